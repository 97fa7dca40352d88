#include "hearth/io/gguf_arrays.h"

#include <algorithm>

#include "hearth/core/eval.h"
#include "hearth/io/foreign.h"
#include "hearth/io/gguf_writer.h"
#include "hearth/io/json.h"
#include "hearth/ops/matrix.h"
#include "hearth/ops/ops.h"

namespace hearth {

namespace {

/// Of tensors, and of metadata where it has the type.
struct GgufDtype {
  Dtype dtype;
  int64_t ggml;  // -1: no tensor is of it
  int value;     // -1: no metadata
};
constexpr GgufDtype kGgufDtypes[] = {{float32, 0, GgufValue::f32},
                                     {float16, 1, -1},
                                     {bfloat16, 30, -1},
                                     {float64, 28, GgufValue::f64},
                                     {int8, 24, GgufValue::i8},
                                     {int16, 25, GgufValue::i16},
                                     {int32, 26, GgufValue::i32},
                                     {int64, 27, GgufValue::i64},
                                     {uint8, -1, GgufValue::u8},
                                     {uint16, -1, GgufValue::u16},
                                     {uint32, -1, GgufValue::u32},
                                     {uint64, -1, GgufValue::u64},
                                     {bool_, -1, GgufValue::boolean}};

/// Blocks (..., n * bytes) of 32 as MLX's codes, scales and biases.
void put_quantized(const std::string& name, Packing packing, const array& blocks, Tensors& to) {
  const int bytes = int(packing_info(packing).bytes), first = packing == Packing::q4_1 ? 4 : 2;
  Shape shape = blocks.shape();
  shape.back() /= bytes;
  Shape each = shape;
  each.push_back(bytes);
  const array all = reshape(blocks, each);
  const auto part = [&](int from, int end) {
    Shape start(each.size(), 0), stop = each;
    start.back() = from, stop.back() = end;
    return contiguous(slice(all, start, stop));
  };
  const auto half = [&](int at) { return squeeze(view(part(at, at + 2), float16), -1); };
  const array scales = half(0), q = part(first, bytes);
  const float zero = packing == Packing::q8_0 ? -128 : -8;
  const array biases = packing == Packing::q4_1 ? half(2) : multiply(scales, array(zero, float16));
  array codes = bitwise_xor(q, array(128, uint8));
  if (packing != Packing::q8_0) {  // neighbours share a byte, not halves
    const array low = bitwise_and(q, array(15, uint8)), high = right_shift(q, array(4, uint8));
    Shape pairs = each;
    pairs.back() = 16, pairs.push_back(2);
    const array two = reshape(concatenate(Arrays{low, high}, -1), pairs);
    codes = add(take(two, 0, -1), left_shift(take(two, 1, -1), array(4, uint8)));
  }
  Shape words = shape;
  words.back() *= codes.shape(-1) / 4;
  to.emplace(name, reshape(view(contiguous(codes), uint32), words));
  const std::string path = name.substr(0, name.rfind(".weight"));
  to.emplace(path + ".scales", scales), to.emplace(path + ".biases", biases);
}

GGUFMetaData metadata_of(const Gguf& file, const GgufValue& value, const std::string& key) {
  if (const auto text = value.string()) return std::string(*text);
  if (value.is_list() && value.element == GgufValue::text) {
    const auto texts = value.strings();
    return std::vector<std::string>(texts.begin(), texts.end());
  }
  const auto kind = std::ranges::find(kGgufDtypes, int(value.element), &GgufDtype::value);
  const int64_t shape[] = {int64_t(value.count)};
  // Copied: the file need not stay.
  const auto bytes = host_bytes(std::max<size_t>(value.bytes.size(), 1));
  std::copy(value.bytes.begin(), value.bytes.end(), bytes.get());
  return foreign_array(bytes, bytes.get(), std::span(shape, value.is_list() ? 1 : 0), kind->dtype,
                       concat(file.name(), ": ", key));
}

GgufValue value_of_array(const array& a) {
  const auto of = std::ranges::find(kGgufDtypes, a.dtype(), &GgufDtype::dtype);
  check(of != std::end(kGgufDtypes) && of->value >= 0, "save_gguf: metadata of ", a.dtype());
  check(a.ndim() <= 1, "save_gguf: metadata of shape ", a.shape(), ", wanted at most one axis");
  check(a.size() > 0, "save_gguf: metadata that is an empty list");
  GgufValue value;
  value.element = GgufValue::Kind(of->value);
  value.kind = a.ndim() == 0 ? value.element : GgufValue::list;
  value.count = a.size();
  value.bytes = bytes_of(a);
  return value;
}

}  // namespace

GGUFLoad load_gguf(const std::string& path, StreamOrDevice s) {
  StreamScope scope(s);
  const Gguf file = Gguf::open(path);
  GGUFLoad all;
  for (const GgufTensor& t : file.tensors()) {
    const std::string name(t.name), who = concat(path, ": tensor ", in_quotes(name));
    const auto mapped = [&](std::span<const int64_t> shape, Dtype dtype) {
      return foreign_array(file.keeper(t), file.bytes(t).data(), shape, dtype, who);
    };
    const auto plain = std::ranges::find(kGgufDtypes, int64_t(t.type), &GgufDtype::ggml);
    if (plain != std::end(kGgufDtypes)) {
      all.first.emplace(name, mapped(t.shape, plain->dtype));
      continue;
    }
    const auto packing = packing_of_ggml(t.type);
    ensure(packing.has_value(), who, ": is of the type ", ggml_type_name(t.type),
           ", which hearth cannot read");
    std::vector<int64_t> rows = t.shape;
    rows.back() = row_bytes(*packing, rows.back());
    const array blocks = mapped(rows, uint8);
    const bool quantized =
        name.ends_with(".weight") &&
        (*packing == Packing::q4_0 || *packing == Packing::q4_1 || *packing == Packing::q8_0);
    if (quantized)
      put_quantized(name, *packing, blocks, all.first);
    else
      all.first.emplace(name,
                        fast::dequantize(fast::Matrix(*packing, std::span(&blocks, 1)), float16));
  }
  for (const auto& [key, value] : file.metadata())
    all.second.emplace(key, metadata_of(file, value, std::string(key)));
  return all;
}

void save_gguf(std::string path, const Tensors& tensors, const GGUFMetadata& metadata) {
  if (!path.ends_with(".gguf")) path += ".gguf";
  std::vector<std::string> keys;
  for (const auto& [key, value] : metadata) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  GgufMetadata to;
  for (const std::string& key : keys) {
    const GGUFMetaData& value = metadata.at(key);
    if (const auto* text = std::get_if<std::string>(&value)) to.set(key, *text);
    if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) to.set(key, *texts);
    if (const auto* a = std::get_if<array>(&value)) {
      const array values = row_major(*a);
      to.set(key, value_of_array(values));
    }
  }
  std::vector<GgufOutput> outputs;
  Arrays all;
  for (const auto& [name, a] : tensors) {
    const auto of = std::ranges::find(kGgufDtypes, a.dtype(), &GgufDtype::dtype);
    check(of != std::end(kGgufDtypes) && of->ggml >= 0, "save_gguf: ", name, " is ", a.dtype(),
          ", which GGUF files have no tensors of");
    check(a.ndim() <= 4, "save_gguf: ", name, " has ", a.ndim(), " axes, at most 4 can be written");
    outputs.push_back({name, {a.shape().begin(), a.shape().end()}, uint32_t(of->ggml)});
    all.push_back(a);
  }
  eval(all);
  std::sort(outputs.begin(), outputs.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  GgufWriter out(path, to, outputs);
  for (const GgufOutput& output : outputs) {
    const array values = row_major(tensors.at(output.name));
    out.write(bytes_of(values));
  }
  out.commit();
}

}  // namespace hearth
