#include "hearth/llm/gguf/tensors.h"

#include <algorithm>
#include <map>
#include <optional>

#include "hearth/base/error.h"
#include "hearth/io/foreign.h"
#include "hearth/io/json.h"
#include "hearth/llm/gguf.h"
#include "hearth/llm/gguf/architecture.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

constexpr int64_t kMostSmall = 1 << 16;

/// Of a type that is no packing.
std::optional<Dtype> plain(uint32_t type) {
  switch (type) {
    case 0: return float32;
    case 1: return float16;
    case 28: return float64;
    case 30: return bfloat16;
    default: return std::nullopt;
  }
}

std::optional<Packing> packing(uint32_t type) {
  if (plain(type)) return Packing::dense;
  return packing_of_ggml(type);
}

std::string instead_of(const std::string& type) {
  if (type.starts_with("IQ1") || type.starts_with("IQ2")) return "Q2_K";
  if (type.starts_with("IQ3")) return "IQ4_XS or Q3_K_M";
  return "Q4_K_M or Q8_0";
}

void check_type(const Gguf& file, const GgufTensor& tensor) {
  if (packing(tensor.type)) return;
  const std::string type = ggml_type_name(tensor.type);
  ensure(false, file.name(), ": tensor ", in_quotes(tensor.name), " is of the type ", type,
         ", which hearth cannot read; fetch a file of the same model in ", instead_of(type));
}

}  // namespace

fast::Matrix gguf_matrix(const Gguf& file, const GgufTensor& tensor) {
  check_type(file, tensor);
  const auto bytes = file.bytes(tensor);
  const auto mapped = [&](std::span<const int64_t> shape, Dtype dtype) {
    return foreign_array(file.keeper(tensor), bytes.data(), shape, dtype, tensor.name);
  };
  if (const auto dtype = plain(tensor.type)) {
    const array x = mapped(tensor.shape, *dtype);
    return *dtype == float64 ? astype(x, float32) : x;
  }
  const Packing packed = *packing(tensor.type);
  std::vector<int64_t> rows = tensor.shape;
  rows.back() = row_bytes(packed, rows.back());
  const array plane = mapped(rows, uint8);
  return fast::Matrix(packed, std::span<const array>(&plane, 1));
}

namespace {

/// As an array: of a packed one, its values.
array dense(const fast::Matrix& m) { return m.packed() ? fast::dequantize(m, float32) : m.dense(); }

/// What the converter changed in tensors of one axis or little more.
enum class Change { flat, taps, row, logarithm, one_less };
struct Changed {
  std::string_view end;  // of Hugging Face's name
  Change change;
};
constexpr Changed kChanged[] = {
    {"e_score_correction_bias", Change::flat},
    {".dt_bias", Change::flat},
    {".mamba.D", Change::flat},
    {".mamba.norm.weight", Change::flat},
    {".conv1d.weight", Change::taps},
    {".conv.conv.weight", Change::taps},
    {".A_log", Change::logarithm},
    {".shared_expert_gate.weight", Change::row},
};

array changed(const array& x, Change change) {
  switch (change) {
    case Change::flat: return flatten(x);
    case Change::taps: return x.ndim() == 2 ? expand_dims(x, 1) : x;
    case Change::row: return x.ndim() == 1 ? expand_dims(x, 0) : x;
    // -exp(A_log) is what the file has.
    case Change::logarithm: return flatten(log(negative(astype(x, float32))));
    case Change::one_less: return subtract(astype(x, float32), array(1.0f));
  }
  return x;
}

/// q, k and v of one tensor, as their heads say.
std::vector<Rewrite> split_qkv(const GgufKeys& keys) {
  const auto number = [&](const char* key, int64_t otherwise) {
    const auto all = keys.by_layer(key, keys.find(key) ? 1 : 0);
    return std::clamp<int64_t>(all.empty() ? otherwise : all[0], 1, 1 << 20);
  };
  const int64_t heads = number("attention.head_count", 1),
                head = number("attention.key_length", number("embedding_length", 1) / heads),
                kv = number("attention.head_count_kv", heads);
  const auto rows = [](int64_t n) { return int(std::min<int64_t>(n, 1 << 30)); };
  std::vector<Rewrite> rules;
  for (const std::string end : {"weight", "bias"})
    rules.push_back({".attn_qkv." + end,
                     concat(".attn_q.", end, ",.attn_k.", end, ",.attn_v.", end),
                     Rewrite::split,
                     {rows(heads * head), rows(kv * head), rows(kv * head)}});
  return rules;
}

/// Apertus' activation has parameters, which stand in the metadata.
void add_xielu(const Gguf& file, int64_t layers, fast::Matrices& tensors) {
  for (const char* name : {"alpha_p", "alpha_n", "beta", "eps"}) {
    const std::string key = concat("xielu.", name);
    const std::vector<double> all = file.numbers(key);
    if (all.empty()) continue;
    ensure(int64_t(all.size()) == layers, file.name(), ": ", key, ": ", all.size(), " numbers for ",
           layers, " layers");
    const bool one = std::string_view(name).starts_with("alpha");  // an axis of one
    for (int64_t i = 0; i < layers; ++i) {
      const float number = float(all[size_t(i)]);
      const array value(number);
      tensors.emplace(concat("model.layers.", i, ".mlp.act_fn.", name),
                      one ? reshape(value, {1}) : value);
    }
  }
}

}  // namespace

bool gguf_adds_one(std::string_view name) {
  return name.ends_with("norm.weight") && !name.ends_with("linear_attn.norm.weight");
}

Dtype gguf_dtype(const Gguf& file) {
  std::map<uint32_t, size_t> bytes;
  for (const GgufTensor& tensor : file.tensors())
    if (tensor.shape.size() > 1) bytes[tensor.type] += tensor.bytes;
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto dtype = most == bytes.end() ? std::nullopt : plain(most->first);
  if (!dtype) return bfloat16;
  return *dtype == float64 ? float32 : *dtype;
}

std::vector<double> small_values(const Gguf& file, std::string_view name) {
  const GgufTensor* tensor = file.find_tensor(name);
  if (!tensor) return {};
  int64_t elements = 1;
  for (const int64_t n : tensor->shape) elements *= std::min(n, kMostSmall + 1);
  ensure(tensor->shape.size() == 1 && elements <= kMostSmall, file.name(), ": tensor ",
         in_quotes(name), ": wanted a list of at most ", kMostSmall, " numbers");
  const std::vector<float> values =
      astype(dense(gguf_matrix(file, *tensor)), float32).to_vector<float>();
  return {values.begin(), values.end()};
}

fast::Matrices gguf_tensors(const Gguf& file, bool values) {
  const GgufArchitecture& architecture = gguf_architecture(file);
  fast::Matrices tensors;
  const int64_t layers = gguf_layers(file, architecture);
  for (const GgufTensor& tensor : file.tensors()) {
    if (gguf_layer_of(tensor.name) >= layers) continue;  // of those that draft
    tensors.emplace(tensor.name, gguf_matrix(file, tensor));
  }
  tensors = rewrite(std::move(tensors), architecture.names, values);
  tensors = rewrite(std::move(tensors), split_qkv(GgufKeys(file, architecture.name)), values);
  tensors = rewrite(std::move(tensors), gguf_names(), values);
  for (auto& [name, m] : tensors) {
    for (const auto& [end, change] : kChanged)
      if (name.ends_with(end)) m = changed(dense(m), change);
    if (architecture.one_added && gguf_adds_one(name)) m = changed(dense(m), Change::one_less);
    if (m.packed() && m.ndim() < 2) m = dense(m);
  }
  add_xielu(file, layers, tensors);
  return tensors;
}

}  // namespace hearth::llm
