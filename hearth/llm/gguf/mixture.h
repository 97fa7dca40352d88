// Which tensor of a GGUF file gets which type, as llama.cpp's mixtures have it.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::llm {

struct GgufMixture {
  std::string_view name;  // "q4_k_m"
  uint32_t file_type;     // general.file_type
  uint32_t type;          // ggml's, of most tensors
};
/// All that can be written.
std::span<const GgufMixture> gguf_mixtures();
/// Null where there is none of that name.
const GgufMixture* find_gguf_mixture(std::string_view name);

/// What a mixture depends on.
struct MixedModel {
  std::string architecture;
  int64_t layers = 0, heads = 1, kv_heads = 1, experts = 0;
  bool importance = false;  // that of weights is known
};
struct MixedTensor {
  std::string name;
  std::vector<int64_t> shape;  // slowest first
  uint32_t type = 0;           // ggml's: that it has, and then that it gets
};
/// In the order of llama.cpp's files: by layers, then by name.
bool stands_before(const MixedTensor& a, const MixedTensor& b);
/// Gives the tensors, which are in that order, their types. What a mixture leaves alone keeps its
/// own.
void mix(const GgufMixture& mixture, const MixedModel& model, std::span<MixedTensor> tensors);

}  // namespace hearth::llm
