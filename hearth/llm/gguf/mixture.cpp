#include "hearth/llm/gguf/mixture.h"

#include <algorithm>
#include <utility>

#include "hearth/llm/gguf/architecture.h"

namespace hearth::llm {

namespace mixtures {
namespace {

constexpr uint32_t ggml_type(Packing p) { return uint32_t(packing_info(p).ggml_type); }
enum Type : uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = ggml_type(Packing::q4_0),
  Q4_1 = ggml_type(Packing::q4_1),
  Q5_0 = ggml_type(Packing::q5_0),
  Q5_1 = ggml_type(Packing::q5_1),
  Q8_0 = ggml_type(Packing::q8_0),
  Q2_K = ggml_type(Packing::q2_k),
  Q3_K = ggml_type(Packing::q3_k),
  Q4_K = ggml_type(Packing::q4_k),
  Q5_K = ggml_type(Packing::q5_k),
  Q6_K = ggml_type(Packing::q6_k),
  IQ4_NL = ggml_type(Packing::iq4_nl),
  IQ4_XS = ggml_type(Packing::iq4_xs),
  BF16 = 30,
  TQ1_0 = ggml_type(Packing::tq1_0),
  TQ2_0 = ggml_type(Packing::tq2_0),
  MXFP4 = ggml_type(Packing::ggml_mxfp4)
};

enum FileType : uint32_t {
  all_f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q8_0 = 7,
  q5_0 = 8,
  q5_1 = 9,
  q2_k = 10,
  q3_k_s = 11,
  q3_k_m = 12,
  q3_k_l = 13,
  q4_k_s = 14,
  q4_k_m = 15,
  q5_k_s = 16,
  q5_k_m = 17,
  q6_k = 18,
  iq4_nl = 25,
  iq4_xs = 30,
  bf16 = 32,
  tq1_0 = 36,
  tq2_0 = 37,
  mxfp4 = 38
};

constexpr GgufMixture kMixtures[] = {
    {"f32", all_f32, F32},      {"f16", f16, F16},        {"bf16", bf16, BF16},
    {"q8_0", q8_0, Q8_0},       {"q4_0", q4_0, Q4_0},     {"q4_1", q4_1, Q4_1},
    {"q5_0", q5_0, Q5_0},       {"q5_1", q5_1, Q5_1},     {"q2_k", q2_k, Q2_K},
    {"q3_k_s", q3_k_s, Q3_K},   {"q3_k_m", q3_k_m, Q3_K}, {"q3_k_l", q3_k_l, Q3_K},
    {"q4_k_s", q4_k_s, Q4_K},   {"q4_k_m", q4_k_m, Q4_K}, {"q5_k_s", q5_k_s, Q5_K},
    {"q5_k_m", q5_k_m, Q5_K},   {"q6_k", q6_k, Q6_K},     {"iq4_nl", iq4_nl, IQ4_NL},
    {"iq4_xs", iq4_xs, IQ4_XS}, {"tq1_0", tq1_0, TQ1_0},  {"tq2_0", tq2_0, TQ2_0},
    {"mxfp4", mxfp4, MXFP4},
};

/// What a tensor is for: the first of these that its name holds.
enum class Part { head, embedding, qkv, kv_b, v, k, q, attention, up, gate, down, other };
constexpr std::pair<std::string_view, Part> kParts[] = {
    {"attn_qkv.weight", Part::qkv}, {"attn_kv_b.weight", Part::kv_b},
    {"attn_v.weight", Part::v},     {"attn_k.weight", Part::k},
    {"attn_q.weight", Part::q},     {"attn_output.weight", Part::attention},
    {"ffn_up", Part::up},           {"ffn_gate", Part::gate},
    {"ffn_down", Part::down},
};
Part part_of(std::string_view name) {
  if (name == "output.weight") return Part::head;
  if (name == "token_embd.weight" || name == "per_layer_token_embd.weight") return Part::embedding;
  for (const auto& [text, part] : kParts)
    if (name.find(text) != name.npos) return part;
  return Part::other;
}

/// Matrices that stay as they are: routers, small ones, and those that are no products.
constexpr std::string_view kKept[] = {"_norm.weight",
                                      "ffn_gate_inp.weight",
                                      "ffn_gate_tid2eid.weight",
                                      "altup",
                                      "laurel",
                                      "per_layer_model_proj",
                                      "ssm_conv1d",
                                      "shortconv.conv.weight",
                                      "indexer.k_proj.weight",
                                      "indexer.q_proj.weight",
                                      "time_mix_first.weight",
                                      "time_mix_w0.weight",
                                      "time_mix_w1.weight",
                                      "time_mix_w2.weight",
                                      "time_mix_v0.weight",
                                      "time_mix_v1.weight",
                                      "time_mix_v2.weight",
                                      "time_mix_a0.weight",
                                      "time_mix_a1.weight",
                                      "time_mix_a2.weight",
                                      "time_mix_g1.weight",
                                      "time_mix_g2.weight",
                                      "time_mix_decay_w1.weight",
                                      "time_mix_decay_w2.weight",
                                      "time_mix_lerp_fused.weight",
                                      "attn_rel_b.weight",
                                      ".position_embd",
                                      "sam.pos_embd",
                                      "sam.neck.",
                                      "sam.net_",
                                      ".rel_pos",
                                      ".patch_embd",
                                      ".patch_merger",
                                      "a.rvq.codebook",
                                      "mm.a.code_embd"};

bool packs(const MixedTensor& tensor) {
  const auto& [name, shape, type] = tensor;
  const bool matrix = shape.size() > 1 &&
                      std::any_of(shape.begin(), shape.end() - 1, [](int64_t n) { return n > 1; });
  if (!matrix || !name.ends_with("weight") || name == "position_embd.weight" ||
      name == "token_types.weight")
    return false;
  return std::ranges::none_of(
      kKept, [&name = name](std::string_view part) { return name.find(part) != name.npos; });
}

/// The first and the last eighth, and every third layer between.
bool gets_more(int64_t i, int64_t n) { return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2; }

/// Where a mixture is while it goes through the tensors.
struct Mixing {
  const MixedModel& model;
  const FileType to;
  bool tied = true;
  int64_t values = 0, value = 0, down = 0;

  bool is(std::initializer_list<FileType> any) const {
    return std::find(any.begin(), any.end(), to) != any.end();
  }
  bool falcon() const { return model.architecture == "falcon"; }
  int64_t group() const { return model.kv_heads > 0 ? model.heads / model.kv_heads : 0; }
  /// Of the size at which llama.cpp spends more on values.
  bool very_large() const {
    const std::string_view a = model.architecture;
    return (a == "llama" && model.layers == 80 && model.heads != model.kv_heads) ||
           ((a == "qwen2" || a == "deci" || a == "olmo") && model.layers == 80) ||
           (a == "jais2" && model.layers == 68);
  }

  uint32_t of_values(uint32_t type) {
    const int64_t i = value++;
    if (to == q2_k) type = group() >= 4 ? Q4_K : Q3_K;
    if (to == q3_k_m) type = i < 2 ? Q5_K : Q4_K;
    if (to == q3_k_l) type = Q5_K;
    if (is({iq4_nl, iq4_xs}) && group() >= 4) type = Q5_K;
    if (is({q4_k_m, q5_k_m}) && gets_more(i, values)) type = Q6_K;
    if (to == q4_k_s && i < 4) type = Q5_K;
    if (very_large() && (type == Q3_K || type == Q4_K)) type = Q5_K;
    return model.experts == 8 ? uint32_t(Q8_0) : type;
  }
  uint32_t of_down(uint32_t type, std::string_view name) {
    const int64_t n = model.layers, i = model.experts > 1 ? gguf_layer_of(name) : down;
    ++down;
    const bool more = gets_more(i, n), first = i < n / 8;
    switch (to) {
      case q2_k: return Q3_K;
      case q3_k_m: return i < n / 16 ? Q5_K : !falcon() || more ? Q4_K : Q3_K;
      case q3_k_l: return falcon() ? Q4_K : Q5_K;
      case q4_k_m:
        if (falcon()) return i < n / 16 ? Q6_K : more ? Q5_K : Q4_K;
        return more ? uint32_t(Q6_K) : type;
      case q5_k_m: return more ? uint32_t(Q6_K) : type;
      case q4_k_s: return first && !falcon() ? uint32_t(Q5_K) : type;
      case iq4_nl:
      case iq4_xs: return first && !model.importance ? uint32_t(Q5_K) : type;
      case q4_0: return first && model.importance ? uint32_t(Q4_1) : type;
      case q5_0: return first && model.importance ? uint32_t(Q5_1) : type;
      default: return type;
    }
  }
  uint32_t of_attention(uint32_t type) const {
    if (falcon()) return to == q3_k_l ? uint32_t(Q4_K) : type;
    if (model.experts == 8)
      return is({q2_k, q3_k_s, q3_k_m, iq4_nl, q4_k_s, q4_k_m, iq4_xs}) ? uint32_t(Q5_K) : type;
    return to == q2_k     ? uint32_t(Q3_K)
           : to == q3_k_m ? uint32_t(Q4_K)
           : to == q3_k_l ? uint32_t(Q5_K)
                          : type;
  }
  uint32_t of(const MixedTensor& tensor, uint32_t type) {
    const Part part = part_of(tensor.name);
    if (part == Part::head || (part == Part::embedding && tied)) {
      const bool whole = ggml_bytes(type, tensor.shape).has_value();
      return to == mxfp4 || falcon() || !whole || type == Q8_0 ? Q8_0 : Q6_K;
    }
    if (to == mxfp4) return tensor.shape.size() > 2 ? MXFP4 : Q8_0;  // experts
    switch (part) {
      case Part::embedding: return is({tq1_0, tq2_0}) ? uint32_t(Q4_K) : type;
      case Part::qkv:
      case Part::kv_b:
      case Part::v: return of_values(type);
      case Part::k: return model.experts == 8 ? uint32_t(Q8_0) : type;
      case Part::down: return of_down(type, tensor.name);
      case Part::attention: return of_attention(type);
      default: return type;
    }
  }
};

/// For rows that are no whole blocks of the type.
uint32_t instead_of(uint32_t type) {
  switch (type) {
    case IQ4_XS: return IQ4_NL;
    case Q2_K:
    case Q3_K:
    case TQ1_0:
    case TQ2_0: return Q4_0;
    case Q4_K: return Q5_0;
    case Q5_K: return Q5_1;
    case Q6_K: return Q8_0;
    default: return type;
  }
}

}  // namespace
}  // namespace mixtures

std::span<const GgufMixture> gguf_mixtures() { return mixtures::kMixtures; }

const GgufMixture* find_gguf_mixture(std::string_view name) {
  const auto found = std::ranges::find(mixtures::kMixtures, name, &GgufMixture::name);
  return found == std::end(mixtures::kMixtures) ? nullptr : found;
}

bool stands_before(const MixedTensor& a, const MixedTensor& b) {
  return std::pair(gguf_layer_of(a.name), std::string_view(a.name)) <
         std::pair(gguf_layer_of(b.name), std::string_view(b.name));
}

void mix(const GgufMixture& mixture, const MixedModel& model, std::span<MixedTensor> tensors) {
  using namespace mixtures;
  Mixing mixing{.model = model, .to = FileType(mixture.file_type)};
  for (const MixedTensor& tensor : tensors) {
    const Part part = part_of(tensor.name);
    mixing.values += part == Part::v || part == Part::qkv || part == Part::kv_b;
    if (part == Part::head) mixing.tied = false;
  }
  for (MixedTensor& tensor : tensors) {
    if (!packs(tensor)) continue;
    uint32_t type = mixture.type;
    if (type != F32 && type != F16 && type != BF16) {
      type = mixing.of(tensor, type);
      const auto whole = [&](uint32_t t) { return ggml_bytes(t, tensor.shape).has_value(); };
      if (!whole(type)) type = instead_of(type);
      if (!whole(type)) type = F16;
    }
    tensor.type = type;
  }
}

}  // namespace hearth::llm
