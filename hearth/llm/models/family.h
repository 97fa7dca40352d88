// What families read alike from config.json.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/llm/decoder_model.h"

namespace hearth::llm {

/// Null, which is not the same as absent where a default counts then.
bool is_null(const JsonObject& config, std::string_view key);

/// The numbers that every family has, checked: heads divide, and no product of them overflows.
struct Sizes {
  int hidden, layers, heads, kv_heads, head_dim, ffn, vocab, context;
};
/// What stands for a number that is absent (null counts as absent but for head_dim, where it means
/// hidden_size / num_attention_heads), and how the keys are called.
struct SizeDefaults {
  int kv_heads = 0;  // 0: as many as heads
  int head_dim = 0;  // 0: hidden_size / num_attention_heads
  std::optional<int> context = {}, ffn = {};
  bool grouped = true;       // num_key_value_heads counts
  bool own_head_dim = true;  // head_dim counts
  const char* hidden = "hidden_size";
  const char* layers = "num_hidden_layers";
  const char* heads = "num_attention_heads";
  const char* width = "intermediate_size";
  const char* positions = "max_position_embeddings";
};
Sizes read_sizes(const JsonObject& config, const SizeDefaults& defaults = {});

/// RMSNorm with an eps of rms_norm_eps; LayerNorm with one of layer_norm_eps.
NormForm read_rms_norm(const JsonObject& config, double eps = 1e-6);
NormForm read_layer_norm(const JsonObject& config, bool bias, const char* key = "layer_norm_eps");

/// hidden_act, or what `key` names; `fallback` where the file does not say. Throws naming those
/// that are known.
fast::Activation read_activation(const JsonObject& config, const std::string& fallback,
                                 const char* key = "hidden_act");

/// sliding_window: 0 where it is null, the fallback where it is absent.
int read_window(const JsonObject& config, int fallback);

/// layer_types, one a layer, or what `fallback` says of layer i. Throws for a kind that is not
/// `known`, naming those that are.
std::vector<std::string> read_layer_types(const JsonObject& config, int layers,
                                          const std::function<std::string(int)>& fallback,
                                          const std::vector<std::string>& known = {
                                              "full_attention", "sliding_attention"});
/// "sliding_attention", but every n-th "full_attention"; n 0: all of them are full.
std::string every_nth_full(int layer, int n);

/// sliding_window_pattern: every so many-th layer is full; "LLLG" is 4.
int read_pattern(const JsonObject& config, int fallback);
/// A rope whose "dynamic" scaling is a base times alpha^(d / (d - 2)) (Hunyuan).
Rope read_alpha_rope(const JsonObject& config, int head_dim);

/// A flag that hearth has only one value of: throws naming it where the file has the other.
void refuse_flag(const JsonObject& config, const char* key, bool wanted);

/// A model of these sizes; its layers are those of `layer(i)`.
Traits make_traits(const JsonObject& config, const Sizes& sizes, const NormForm& norm, bool tied,
                   const std::function<LayerTraits(int)>& layer);
inline AttentionTraits attention_of(const Sizes& s) {
  return {.heads = s.heads, .kv_heads = s.kv_heads, .head_dim = s.head_dim};
}

}  // namespace hearth::llm
