// quant_method "fp8" (DeepSeek, Qwen, Ministral) and "fbgemm_fp8": weights in e4m3, a byte each,
// with a scale for each block of rows and columns, for each row, or for all: w = code * scale,
// whatever the scale's name says.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "hearth/llm/packed/packed.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {
namespace {

void check_fp8(const JsonObject& settings) {
  refuse_others(settings,
                {"quant_method", "weight_block_size", "activation_scheme", "fmt", "scale_fmt",
                 "modules_to_not_convert", "modules_to_convert", "ignored_layers", "expert_dtype",
                 "dequantize", "activation_scale_ub", "is_checkpoint_fp8_serialized",
                 "kv_cache_scheme", "kv_cache_quant_method"});
  refuse_unless(settings, "fmt", {"e4m3", "float8_e4m3fn"});
  refuse_unless(settings, "scale_fmt", {"float", "ue8m0"});
  refuse_unless(settings, "expert_dtype", {"fp8"});
}

/// That of weight_block_size; none where it is null.
std::optional<Block> fp8_block(const JsonObject& settings) {
  if (!settings.raw().contains("weight_block_size")) return Block{128, 128};
  const auto sizes = settings.naturals("weight_block_size");
  if (sizes.empty()) return {};
  ensure(sizes.size() == 2 && sizes[0] > 0 && sizes[1] > 0, settings.where(),
         ": quantization_config: weight_block_size: wanted two sizes, rows and columns, each 1 or "
         "more");
  return Block{sizes[0], sizes[1]};
}

/// How scales lie: by their shape, for what they have for all, for rows, or for blocks.
Block fp8_scales(const PackedModule& module, const char* end, const array& weight, array& scales,
                 const std::optional<Block>& block) {
  const int out = weight.shape(-2), in = weight.shape(-1);
  Shape all = weight.shape(), rows = weight.shape();
  all[all.size() - 2] = all.back() = rows.back() = 1;
  if (scales.size() == element_count(all)) {
    scales = reshape(scales, all);
    return {std::max(out, 1), std::max(in, 1)};
  }
  if (scales.size() == element_count(rows) && (scales.shape(-1) == 1 || scales.ndim() == 1)) {
    scales = reshape(scales, rows);
    return {1, std::max(in, 1)};
  }
  const Shape wanted = block ? shape_of_scales(weight.shape(), *block) : rows;
  module.require(scales.shape() == wanted, end, "its shape is ", scales.shape(), ", wanted ",
                 wanted, " for a weight of ", weight.shape(),
                 block ? concat(" in blocks of ", block->rows, " x ", block->columns)
                       : ": weight_block_size is null");
  return *block;
}

/// What scales are called beside the weight.
struct Fp8Name {
  const char *scale, *weight;
};
constexpr Fp8Name kFp8Names[] = {
    {".weight_scale_inv", ".weight"}, {".weight_scale", ".weight"}, {"_scale_inv", ""}};

}  // namespace

fast::Matrices fp8_matrices(const PackedFolder& folder, Tensors tensors) {
  check_fp8(folder.settings);
  const auto block = fp8_block(folder.settings);
  drop_scales_of_activations(tensors);
  const auto plain = {ModuleNames::beginnings(folder.settings, "modules_to_not_convert"),
                      ModuleNames::beginnings(folder.settings, "ignored_layers")};
  fast::Matrices out;
  for (const auto& [scale, weight] : kFp8Names)
    for (const std::string& path : modules_with(tensors, scale)) {
      if (std::ranges::any_of(plain, [&](const auto& list) { return list.contains(path); }))
        continue;
      PackedModule module(folder, tensors, path);
      array scales = module.need(scale);
      const array codes = module.need(weight);
      module.require(codes.ndim() >= 2 && codes.size() > 0 && codes.dtype() == uint8, weight, "is ",
                     codes.shape(), " of ", codes.dtype(),
                     ", wanted F8_E4M3 of 2 axes or more, for ", path, scale, " is there");
      module.require(is_floating(scales.dtype()) || scales.dtype() == uint8, scale, "is of ",
                     scales.dtype(), ", wanted floats, or F8_E8M0");
      if (scales.dtype() == uint8) scales = values_of_e8m0(scales);
      const Block scaled = fp8_scales(module, scale, codes, scales, block);
      out.emplace(path + weight, valued(module, weight, "fp8", codes, scales, scaled));
    }
  out.insert(tensors.begin(), tensors.end());
  return out;
}

Packing fp8_packing(const PackedFolder& folder, const std::string& module, int64_t in) {
  check_fp8(folder.settings);
  for (const char* list : {"modules_to_not_convert", "ignored_layers"})
    if (ModuleNames::beginnings(folder.settings, list).contains(module)) return Packing::dense;
  const auto block = fp8_block(folder.settings);
  return wide_packing("fp8", group_of(block ? block->columns : int(in), int(in)))
      .value_or(Packing::dense);
}

}  // namespace hearth::llm
