// quant_method "compressed-tensors": groups of modules, each with how its weights are packed:
// integers in words (pack-quantized) or bytes (int-quantized), e4m3 (float-quantized, mxfp8), and
// e2m1 (nvfp4-pack-quantized, mxfp4-pack-quantized). Activations stay as the model has them.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "hearth/llm/packed/packed.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {
namespace {

using nlohmann::json;

/// How the weights of some modules are quantized.
struct Scheme {
  ModuleNames targets;
  int bits;
  bool integer, symmetric;
  enum { tensor, channel, group, block } by;
  Block size;  // of a group or block
};

void refuse_other_parts(const JsonObject& whole, std::string_view name, std::string_view key,
                        const JsonObject& part, std::initializer_list<std::string_view> known) {
  for (const auto& [field, value] : part.raw().items())
    ensure(std::ranges::find(known, field) != known.end() || value.is_null() || value == false ||
               value.empty(),
           whole.where(), ": quantization_config: ", name, key, ": ", in_quotes(field),
           " is a setting that hearth does not know, so the weights may mean something else");
}

/// "[128, 128]", or "128x128" in older files.
Block structure_of(const JsonObject& weights, const std::string& who) {
  const json& raw = weights.raw();
  const auto found = raw.find("block_structure");
  std::vector<int> sizes;
  if (found != raw.end() && found->is_string()) {
    const std::string text = found->get<std::string>();
    int rows = 0, columns = 0;
    if (std::sscanf(text.c_str(), "%9dx%9d", &rows, &columns) == 2) sizes = {rows, columns};
  } else {
    sizes = weights.naturals("block_structure");
  }
  ensure(sizes.size() == 2 && sizes[0] > 0 && sizes[1] > 0, who,
         "block_structure: wanted two sizes, rows and columns, each 1 or more");
  return {sizes[0], sizes[1]};
}

std::optional<Scheme> scheme_of(const JsonObject& settings, const std::string& name) {
  const JsonObject all = settings.object("config_groups").object(name);
  refuse_other_parts(settings, name, "", all,
                     {"targets", "weights", "input_activations", "output_activations", "format"});
  if (all.has("format"))
    refuse_unless(all, "format",
                  {"pack-quantized", "int-quantized", "float-quantized", "naive-quantized",
                   "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized", "dense"});
  if (!all.has("weights")) return {};
  const JsonObject weights = all.object("weights");
  refuse_other_parts(
      settings, name, ".weights", weights,
      {"num_bits", "type", "symmetric", "strategy", "group_size", "block_structure", "dynamic",
       "actorder", "observer", "observer_kwargs", "scale_dtype", "zp_dtype"});
  const std::string who =
      concat(settings.where(), ": quantization_config: config_groups: ", name, ": weights: ");
  const int bits = weights.positive("num_bits", 8);
  const std::string type = weights.text("type", "int");
  const bool integer = type == "int";
  ensure(integer || type == "float", who, "type: ", in_quotes(type), ", wanted int or float");
  ensure(integer ? bits >= 2 && bits <= 8 && bits != 7 : bits == 4 || bits == 8, who,
         "num_bits: ", bits, " bits of ", type, ", wanted ",
         integer ? "2, 3, 4, 5, 6 or 8" : "4 or 8");
  const auto dynamic = weights.raw().find("dynamic");
  ensure(dynamic == weights.raw().end() || *dynamic == false || dynamic->is_null(), who,
         "dynamic: of weights it can only be false");
  Scheme out{ModuleNames::targets(all, "targets"), bits,           integer,
             weights.flag("symmetric", true),      Scheme::tensor, {1, 1}};
  const auto size = weights.raw().find("group_size");
  const bool grouped = size != weights.raw().end() && !size->is_null() && *size != -1;
  const std::string strategy =
      weights.text("strategy", weights.has("block_structure")                    ? "block"
                               : grouped                                         ? "group"
                               : size != weights.raw().end() && !size->is_null() ? "channel"
                                                                                 : "tensor");
  if (strategy == "block") {
    out.by = Scheme::block, out.size = structure_of(weights, who);
  } else if (strategy == "group" || strategy == "tensor_group") {
    out.by = Scheme::group, out.size = {1, weights.positive("group_size")};
  } else {
    ensure(strategy == "tensor" || strategy == "channel", who, "strategy: ", in_quotes(strategy),
           ", wanted tensor, channel, group, tensor_group or block");
    out.by = strategy == "channel" ? Scheme::channel : Scheme::tensor;
  }
  ensure(out.integer || out.symmetric, who, "symmetric: false is for integers");
  return out;
}

struct Schemes {
  std::vector<Scheme> all;
  ModuleNames ignored;

  const Scheme* find(const std::string& module) const {
    if (ignored.contains(module)) return nullptr;
    for (const Scheme& one : all)
      if (one.targets.names(module)) return &one;
    for (const Scheme& one : all)
      if (one.targets.contains(module)) return &one;
    return nullptr;
  }
};

Schemes schemes_of(const JsonObject& settings) {
  refuse_others(settings, {"quant_method", "format", "config_groups", "ignore", "kv_cache_scheme",
                           "quantization_status", "global_compression_ratio", "sparsity_config",
                           "transform_config", "version", "run_compressed", "dequantize",
                           "use_optimized_inference"});
  refuse_unless(settings, "format",
                {"pack-quantized", "int-quantized", "float-quantized", "naive-quantized",
                 "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized",
                 "mixed-precision", "dense"});
  refuse_unless(settings, "quantization_status", {"compressed", "frozen"});
  const JsonObject sparsity = settings.object("sparsity_config");
  ensure(sparsity.text("format", "dense") == "dense", settings.where(),
         ": quantization_config: sparsity_config: format: ",
         in_quotes(sparsity.text("format", "dense")), ", wanted dense");
  const JsonObject transform = settings.object("transform_config");
  const auto turns = transform.raw().find("config_groups");
  ensure(turns == transform.raw().end() || turns->empty(), settings.where(),
         ": quantization_config: transform_config: activations that are turned at run time are "
         "not what hearth reads");
  Schemes out{{}, ModuleNames::targets(settings, "ignore")};
  for (const std::string& name : settings.object("config_groups").keys())
    if (auto one = scheme_of(settings, name)) out.all.push_back(std::move(*one));
  return out;
}

/// Scales, or zeros, of a weight of that shape.
array of_scheme(const PackedModule& module, std::string_view end, const array& x,
                const Scheme& scheme, const Shape& weight, Block& block) {
  const int out = weight[weight.size() - 2], in = weight.back();
  block = scheme.by == Scheme::tensor    ? Block{out, in}
          : scheme.by == Scheme::channel ? Block{1, in}
                                         : scheme.size;
  block.columns = std::min(block.columns, in);
  const Shape wanted = shape_of_scales(weight, block);
  // (1) or () for all, (out) for each row.
  const bool flat = x.size() == element_count(wanted) && x.ndim() < int(wanted.size());
  if (!flat) module.require_shape(end, x, wanted);
  return flat ? reshape(x, wanted) : x;
}

array bytes_of_codes(const PackedModule& module, std::string_view end, const array& x,
                     Dtype dtype) {
  module.require(x.ndim() >= 2 && x.size() > 0 && x.dtype() == dtype, end, "is ", x.shape(), " of ",
                 x.dtype(), ", wanted ", dtype == uint8 ? "bytes" : to_string(dtype),
                 " of 2 axes or more, none empty");
  return x;
}

fast::Matrix of_integers(PackedModule& m, const Scheme& scheme) {
  constexpr std::string_view kScale = ".weight_scale", kZero = ".weight_zero_point";
  array scales = m.need(kScale);
  m.require(is_floating(scales.dtype()) && scales.dtype() != float64, kScale, "is of ",
            scales.dtype(), ", wanted floats");
  const auto zeros = m.take(kZero), places = m.take(".weight_g_idx");
  m.require(scheme.symmetric || zeros, kZero, "is missing, but \"symmetric\" is false");
  const bool words = m.has(".weight_packed");
  Integers x{.words = array(0u), .bits = scheme.bits, .in = 0, .scales = scales, .block = {1, 1}};
  Shape shape;
  if (words) {
    constexpr std::string_view kWeight = ".weight_packed";
    x.words = view(bytes_of_codes(m, kWeight, m.need(kWeight), int32), uint32);
    shape = x.words.shape();
    const int64_t bits = int64_t(shape.back()) * 32;
    int64_t in = bits / scheme.bits;  // as many as fit, where no groups count them
    if (scheme.by == Scheme::group) in = int64_t(scales.shape(-1)) * scheme.size.columns;
    m.require(in > 0 && in <= INT32_MAX && in * scheme.bits <= bits &&
                  (in * scheme.bits + 31) / 32 == shape.back(),
              kWeight, "its shape is ", shape, ", which is not ", scheme.bits, " bits for each of ",
              in, " inputs, as ", kScale, " of ", scales.shape(), " has them");
    shape.back() = x.in = int(in);
    if (const auto told = m.take(".weight_shape"); told && m.folder.values) {
      const auto sizes = astype(*told, int32).to_vector<int>();
      m.require(sizes.size() == shape.size() && std::ranges::equal(sizes, shape), ".weight_shape",
                "says ", Shape(sizes.begin(), sizes.end()), ", but the weight is ", shape);
    }
  } else {
    const array codes = bytes_of_codes(m, ".weight", m.need(".weight"), int8);
    m.require(scheme.bits == 8, ".weight", "is of bytes, but of ", scheme.bits, " bits");
    shape = codes.shape();
    x.in = shape.back();
    x.scales = scales = of_scheme(m, kScale, scales, scheme, shape, x.block);
    if (!zeros && !places) return valued(m, ".weight", "int8", codes, scales, x.block);
    m.require(x.in % 4 == 0, ".weight", "has rows of ", x.in, ", wanted a multiple of 4");
    x.words = bitwise_xor(view(codes, uint32), array(0x80808080u));  // without a sign
  }
  x.scales = of_scheme(m, kScale, scales, scheme, shape, x.block);
  if (zeros) {
    array z = *zeros;
    if (words && z.dtype() == int32 && z.ndim() == x.scales.ndim()) {  // packed along the rows
      const int rows = x.scales.shape(-2);
      const int64_t wanted = (int64_t(rows) * scheme.bits + 31) / 32;
      Shape packed = x.scales.shape();
      packed[packed.size() - 2] = int(wanted);
      m.require_shape(kZero, z, packed);
      z = swapaxes(codes_in(swapaxes(view(z, uint32), -1, -2), scheme.bits, rows), -1, -2);
      x.zeros = astype(z, float32);
    } else {
      m.require(z.dtype() == int8, kZero, "is of ", z.dtype(), ", wanted int8");
      Block same = x.block;
      x.zeros = add(astype(of_scheme(m, kZero, z, scheme, shape, same), float32),
                    array(float(1 << (scheme.bits - 1))));
    }
  }
  if (x.block.rows != 1) {  // as scales of single rows
    x.scales = spread(x.scales, x.block, shape[shape.size() - 2], x.in, x.block.columns);
    if (x.zeros)
      x.zeros = spread(*x.zeros, x.block, shape[shape.size() - 2], x.in, x.block.columns);
    x.block.rows = 1;
  }
  if (places) {
    m.require_shape(".weight_g_idx", *places, {x.in});
    m.require(is_integer(places->dtype()), ".weight_g_idx", "is of ", places->dtype());
    if (m.folder.values)
      for (const int place : astype(*places, int32).to_vector<int>())
        m.require(place >= 0 && place < x.scales.shape(-1), ".weight_g_idx", "has ", place, " for ",
                  x.scales.shape(-1), " groups");
    x.places = astype(*places, int32);
  }
  return integers(m, ".weight", x);
}

fast::Matrix of_e4m3_bytes(PackedModule& m, const Scheme& scheme) {
  constexpr std::string_view kScale = ".weight_scale";
  const array codes = bytes_of_codes(m, ".weight", m.need(".weight"), uint8);
  Block block{1, 1};
  array scales = of_scheme(m, kScale, m.need(kScale), scheme, codes.shape(), block);
  if (scales.dtype() == uint8) scales = values_of_e8m0(scales);
  m.require(is_floating(scales.dtype()), kScale, "is of ", scales.dtype(), ", wanted floats");
  return valued(m, ".weight", "fp8", codes, scales, block);
}

fast::Matrix of_e2m1(PackedModule& m, const Scheme& scheme) {
  constexpr std::string_view kWeight = ".weight_packed", kScale = ".weight_scale",
                             kGlobal = ".weight_global_scale";
  const array codes = bytes_of_codes(m, kWeight, m.need(kWeight), uint8);
  Shape shape = codes.shape();
  const int each = scheme.size.columns;
  m.require(scheme.by == Scheme::group && (each == 16 || each == 32), kWeight, "e2m1 in groups of ",
            each, ", wanted 16 or 32");
  m.require(shape.back() <= INT32_MAX / 2 && shape.back() * 2 % each == 0, kWeight, "its shape is ",
            shape, ": rows are no whole groups of ", each);
  shape.back() *= 2;
  Block block{1, 1};
  array scales = of_scheme(m, kScale, m.need(kScale), scheme, shape, block);
  m.require(scales.dtype() == uint8, kScale, "is of ", scales.dtype(), ", wanted bytes");
  if (each == 32) return m.packed(kWeight, Packing::mxfp4, {view(codes, uint32), scales});
  const array global = m.need(kGlobal);
  m.require(global.size() == 1 && is_floating(global.dtype()), kGlobal, "is ", global.shape(),
            " of ", global.dtype(), ", wanted one number");
  const array one = reshape(astype(global, float32), {});
  return valued(m, kWeight, "fp4", codes, divide(values_of_e4m3(scales), one), block);
}

}  // namespace

fast::Matrices compressed_matrices(const PackedFolder& folder, Tensors tensors) {
  const Schemes schemes = schemes_of(folder.settings);
  drop_scales_of_activations(tensors);
  auto paths = modules_with(tensors, ".weight_packed");
  paths.merge(modules_with(tensors, ".weight_scale"));
  fast::Matrices out;
  for (const std::string& path : paths) {
    if (schemes.ignored.contains(path)) continue;
    PackedModule module(folder, tensors, path);
    const Scheme* const scheme = schemes.find(path);
    module.require(scheme != nullptr, ".weight_scale",
                   "is there, but no group of config_groups has the module");
    out.emplace(path + ".weight", scheme->integer     ? of_integers(module, *scheme)
                                  : scheme->bits == 8 ? of_e4m3_bytes(module, *scheme)
                                                      : of_e2m1(module, *scheme));
  }
  out.insert(tensors.begin(), tensors.end());
  return out;
}

Packing compressed_packing(const PackedFolder& folder, const std::string& module, int64_t in) {
  const Schemes schemes = schemes_of(folder.settings);
  const Scheme* const scheme = schemes.find(module);
  if (!scheme) return Packing::dense;
  if (!scheme->integer && scheme->bits == 4)
    return scheme->size.columns == 32 ? Packing::mxfp4 : Packing::fp4_16;
  const bool whole = scheme->by == Scheme::tensor || scheme->by == Scheme::channel;
  const int each = group_of(whole ? int(in) : scheme->size.columns, int(in));
  const auto packing = !scheme->integer ? wide_packing("fp8", each)
                       : scheme->bits == 8 && scheme->symmetric
                           ? wide_packing("int8", each)
                           : affine_packing(scheme->bits, each);
  return packing.value_or(Packing::dense);
}

}  // namespace hearth::llm
