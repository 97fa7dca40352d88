#include <algorithm>
#include <cmath>

#include "hearth/base/error.h"
#include "hearth/io/foreign.h"
#include "hearth/io/json.h"
#include "hearth/llm/gguf/architecture.h"
#include "hearth/llm/gguf/tensors.h"
#include "hearth/llm/gguf_out.h"
#include "hearth/llm/weight_rows.h"
#include "hearth/ops/ops.h"
#include "hearth/ops/quantize.h"

namespace hearth::llm {

namespace {

constexpr float kMostHalf = 65504;

int64_t first_number(const Gguf& file, const std::string& key, int64_t otherwise) {
  const std::vector<double> all = file.numbers(key);
  return all.empty() ? otherwise : int64_t(all[0]);
}

/// Of dense values, by ggml's number.
constexpr std::pair<uint32_t, Dtype> kDense[] = {{0, float32}, {1, float16}, {30, bfloat16}};
Dtype dtype_of_ggml(uint32_t type) {
  return std::ranges::find(kDense, type, &std::pair<uint32_t, Dtype>::first)->second;
}
/// ggml's number of what the values are; -1: none of its types.
int64_t ggml_type_of(const fast::Matrix& m) {
  if (m.packed()) return packing_info(m.packing()).ggml_type;
  const auto found = std::ranges::find(kDense, m.dtype(), &std::pair<uint32_t, Dtype>::second);
  return found == std::end(kDense) ? -1 : int64_t(found->first);
}

/// One tensor after the other.
class Packer {
 public:
  Packer(const std::string& where, GgufWriter& out, const std::function<bool(size_t)>& read)
      : where_(where), out_(out), read_(read) {}

  /// False where it was ended.
  bool write(const GgufModel::Tensor& t, uint32_t to, const std::vector<float>* importance) {
    const int64_t in = t.values.ndim() > 0 ? t.values.shape(-1) : 1;
    const int64_t rows = rows_in(t.values);
    const int64_t experts = importance ? int64_t(importance->size()) / in : 1,
                  each = std::max<int64_t>(1, rows / experts);
    for (int64_t first = 0, count; first < rows; first += count) {
      count =
          std::min({rows - first, std::max<int64_t>(1, kWeightsAtOnce / in), each - first % each});
      const fast::Matrix piece = rows_of(t.values, first, count);
      const array bytes = int64_t(to) == ggml_type_of(piece)
                              ? piece.planes()[0]
                              : packed(t, piece, to, importance, first / each * in);
      const array values = row_major(bytes);
      out_.write(bytes_of(values));
      if (!read_(piece.nbytes())) return false;
    }
    return true;
  }

 private:
  array packed(const GgufModel::Tensor& t, const fast::Matrix& piece, uint32_t to,
               const std::vector<float>* importance, int64_t column) {
    const array x = values_of(piece);
    const Packing packing = packing_of_ggml(to).value();
    const float largest = largest_weight(x);
    ensure(std::isfinite(largest), where_, ": tensor ", in_quotes(t.name),
           ": a weight is NaN or infinite");
    ensure(largest <= kMostHalf || to == 0 || to == 30, where_, ": tensor ", in_quotes(t.name),
           ": a weight is ", largest, ", beyond ", kMostHalf,
           ", which half precision reaches: ", "write bf16 or f32");
    if (packing == Packing::dense) return astype(x, dtype_of_ggml(to));
    std::optional<array> columns;
    if (importance) columns = array(importance->begin() + column, Shape{x.shape(-1)}, float32);
    return fast::quantize(x, packing, columns).planes()[0];
  }

  const std::string& where_;
  GgufWriter& out_;
  const std::function<bool(size_t)>& read_;
};

/// What it says of a tensor; null where it says nothing.
const Importance::Columns* columns_of(const Importance* importance, const MixedTensor& tensor) {
  if (!importance) return nullptr;
  const auto found = importance->tensors.find(tensor.name);
  return found == importance->tensors.end() ? nullptr : &found->second;
}

void say_importance(GgufMetadata& metadata, const Importance& importance) {
  metadata.set("quantize.imatrix.file", importance.file);
  if (!importance.texts.empty()) metadata.set("quantize.imatrix.dataset", importance.texts[0]);
  metadata.set("quantize.imatrix.entries_count", uint32_t(importance.tensors.size()));
  metadata.set("quantize.imatrix.chunks_count", importance.chunks);
}

}  // namespace

GgufModel gguf_model(const Gguf& file) {
  GgufModel model{.where = file.name(), .metadata = GgufMetadata(file), .tensors = {}, .facts = {}};
  const auto architecture = file.text("general.architecture");
  ensure(architecture.has_value(), file.name(),
         ": general.architecture is missing: not a model's file");
  const std::string prefix = std::string(*architecture) + ".";
  const auto number = [&](const char* key, int64_t otherwise) {
    return first_number(file, prefix + key, otherwise);
  };
  MixedModel& facts = model.facts;
  facts.architecture = *architecture;
  facts.layers = number("block_count", 0);
  facts.heads = number("attention.head_count", 1);
  facts.kv_heads = number("attention.head_count_kv", facts.heads);
  facts.experts = number("expert_count", 0);
  for (const GgufTensor& tensor : file.tensors())
    model.tensors.push_back({std::string(tensor.name), gguf_matrix(file, tensor), tensor.type});
  return model;
}

Written write_gguf(const std::filesystem::path& to, GgufModel model, const GgufMixture& mixture,
                   const Importance* importance,
                   const std::function<bool(size_t done, size_t all)>& progress) {
  std::vector<MixedTensor> mixed;
  std::map<std::string, GgufModel::Tensor*> of;
  size_t all = 0, done = 0;
  for (GgufModel::Tensor& t : model.tensors) {
    const Shape shape = t.values.shape();
    mixed.push_back({t.name, {shape.begin(), shape.end()}, t.type});
    of[t.name] = &t;
    all += t.values.nbytes();
  }
  std::sort(mixed.begin(), mixed.end(), stands_before);
  model.facts.importance = importance;
  mix(mixture, model.facts, mixed);

  Written result;
  result.bytes_before = all;
  std::vector<GgufOutput> outputs;
  for (const MixedTensor& t : mixed) {
    outputs.push_back({t.name, t.shape, t.type});
    ++result.types[ggml_type_name(t.type)];
    result.weights += of[t.name]->values.size();
    result.bytes += ggml_bytes(t.type, t.shape).value_or(0);
    const bool changes =
        t.type != ggml_type_of(of[t.name]->values) && packing_of_ggml(t.type) != Packing::dense;
    const auto* columns = columns_of(importance, t);
    result.without_importance += importance && changes && !columns && gguf_layer_of(t.name) >= 0;
    if (!columns || !changes) continue;
    const int64_t in = t.shape.back(), experts = t.shape.size() > 2 ? t.shape[0] : 1;
    ensure(int64_t(columns->sums.size()) == in * experts, model.where, ": ", t.name, " has ",
           experts > 1 ? concat(experts, " x ", in) : concat(in),
           " columns, the importance matrix ", columns->sums.size(),
           ": it was made for another model");
  }
  model.metadata.set("general.quantization_version", uint32_t(2));
  model.metadata.set("general.file_type", mixture.file_type);
  if (importance) say_importance(model.metadata, *importance);

  GgufWriter out(to, model.metadata, outputs);
  const std::function<bool(size_t)> read = [&](size_t bytes) {
    done += bytes;
    return !progress || progress(done, all);
  };
  Packer packer(model.where, out, read);
  for (const MixedTensor& t : mixed) {
    std::vector<float> means;
    const auto* columns = columns_of(importance, t);
    if (columns) means = columns->means();
    if (!packer.write(*of[t.name], t.type, columns ? &means : nullptr)) return {};
    of[t.name]->values = fast::Matrix(array(0.0f));  // its memory is free again
  }
  out.commit();
  return result;
}

}  // namespace hearth::llm
