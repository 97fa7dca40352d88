// Rotary embedding as config.json describes it: every rope_type, as what the kernels take.
#pragma once
#include <memory>
#include <optional>
#include <string_view>

#include "hearth/io/json.h"
#include "hearth/llm/part.h"
#include "hearth/ops/fast.h"

namespace hearth::llm {

/// How positions turn the first dimensions of queries and keys.
struct Rope {
  fast::Rotation rotation = {};     // dims 0: not at all
  std::optional<array> freqs = {};  // f32 (dims / 2), where it is not base^(2i/dims)
  /// What a row that outgrows its first context has instead.
  struct Beyond {
    int original;                // positions
    std::optional<array> freqs;  // those of longrope; none: "dynamic", by the row's length
    float base, factor;          // of "dynamic"
    int dims;
  };
  std::shared_ptr<const Beyond> beyond = {};

  /// For fast::AttentionArrays: freqs of this step, (dims / 2), or (B, dims / 2) where they depend
  /// on a row's length.
  std::optional<array> at(const StepInfo& step) const;
};

/// Where a family keeps what its configurations say of a kind of layers.
struct RopeKeys {
  std::string_view layer_type = {};          // "full_attention", ...; empty: all layers are alike
  double base = 10000;                       // where none is given
  std::string_view base_key = "rope_theta";  // at the top
  bool scaled = true;                        // rope_scaling, or a flat rope_parameters, is of these
  const char* type = "default";              // where nothing is said of these layers at all
  double partial = 1;                        // partial_rotary_factor, where none is given
};
/// In rope_parameters, in rope_scaling, or at the top. Throws for a rope_type that is not known,
/// naming those that are.
Rope read_rope(const JsonObject& config, int head_dim, const RopeKeys& keys = {});

/// What MLA multiplies its scale by: (0.1 m ln(factor) + 1)^2 of yarn with mscale_all_dim m;
/// else 1.
float read_yarn_scale(const JsonObject& config);

/// max_position_embeddings, or what a rope that grows with the text makes of it.
int read_context(const JsonObject& config, std::optional<int> fallback = {});

}  // namespace hearth::llm
