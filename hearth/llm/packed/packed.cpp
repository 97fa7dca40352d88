#include "hearth/llm/packed/packed.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hearth/llm/tokenizer/regex.h"
#include "hearth/nn/module.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

using nlohmann::json;

namespace {

constexpr std::string_view kSettings = ": quantization_config: ";

bool says_nothing(const json& value) {
  return value.is_null() || value == false || (value.is_string() && value == "") ||
         ((value.is_array() || value.is_object()) && value.empty());
}

}  // namespace

void refuse_others(const JsonObject& settings, const std::vector<std::string_view>& known) {
  for (const auto& [key, value] : settings.raw().items())
    if (std::ranges::find(known, key) == known.end() && !says_nothing(value))
      ensure(false, settings.where(), kSettings, in_quotes(key), ": ", in_quotes(value.dump()),
             " is a setting that hearth does not know, so the weights may mean something else");
}

void refuse_unless(const JsonObject& settings, std::string_view key,
                   std::initializer_list<std::string_view> wanted) {
  if (!settings.has(key)) return;
  std::string text = settings.text(key);
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  std::string all;
  for (const std::string_view one : wanted) {
    if (text == one) return;
    all += concat(all.empty() ? "" : ", ", one);
  }
  ensure(false, settings.where(), kSettings, key, ": ", in_quotes(text),
         " is not what hearth reads: ", all);
}

ModuleNames ModuleNames::beginnings(const JsonObject& settings, std::string_view list) {
  return {settings, list, /*targets=*/false};
}
ModuleNames ModuleNames::targets(const JsonObject& settings, std::string_view list) {
  return {settings, list, /*targets=*/true};
}

ModuleNames::ModuleNames(const JsonObject& settings, std::string_view list, bool targets)
    : targets_(targets) {
  const auto found = settings.raw().find(list);
  if (found == settings.raw().end() || found->is_null()) return;
  ensure(found->is_array(), settings.where(), kSettings, list, ": wanted a list of modules");
  for (const json& one : *found) {
    ensure(one.is_string(), settings.where(), kSettings, list, ": wanted names, got ",
           in_quotes(one.dump()));
    std::string name = one.get<std::string>();
    const bool said = targets && name.starts_with("re:");
    if (said) name.erase(0, 3);
    // A name is compared, which is quicker: there may be a thousand, for as many modules.
    if (!said && (targets || name.find_first_of("*+?[](){}|^$\\") == name.npos)) {
      plain_.push_back(name);
      continue;
    }
    constexpr const char* kBoundary = "(?:(?<=\\.)|(?=\\.|\\z))";
    try {
      expressions_.emplace_back(concat("\\A(?:", name, ")", targets ? "" : kBoundary));
    } catch (const std::runtime_error& error) {
      ensure(false, settings.where(), kSettings, list, ": the expression ", in_quotes(name), ": ",
             error.what());
    }
  }
}

bool ModuleNames::names(const std::string& module) const {
  const auto holds = [&](const std::string& name) {
    if (targets_) return module == name;
    return module.ends_with(name) ||
           (module.starts_with(name) && (name.ends_with('.') || module[name.size()] == '.'));
  };
  return std::ranges::any_of(plain_, holds) ||
         std::ranges::any_of(expressions_, [&](const Regex& regex) {
           return regex.find(module, 0, *memory_).has_value();
         });
}

bool ModuleNames::contains(const std::string& module) const {
  const char* const of_class = module.ends_with("embed_tokens") ? "Embedding" : "Linear";
  return names(module) || (targets_ && std::ranges::find(plain_, of_class) != plain_.end());
}

std::optional<array> PackedModule::take(std::string_view end) {
  const auto found = tensors_.find(path + std::string(end));
  if (found == tensors_.end()) return {};
  const array x = found->second;
  tensors_.erase(found);
  return x;
}

array PackedModule::need(std::string_view end) {
  auto found = take(end);
  require(found.has_value(), end, "is missing, but other parts of the packed weight are there");
  return *found;
}

void PackedModule::require_shape(std::string_view end, const array& x, const Shape& wanted) const {
  require(x.shape() == wanted, end, "its shape is ", x.shape(), ", wanted ", wanted);
}

fast::Matrix PackedModule::packed(std::string_view end, Packing packing,
                                  const Arrays& planes) const {
  return nn::matrix_of(concat(folder.where, ": ", path, end), packing, planes).as(folder.dtype);
}

std::set<std::string> modules_with(const Tensors& tensors, std::string_view end) {
  std::set<std::string> paths;
  for (const auto& [name, x] : tensors)
    if (name.ends_with(end)) paths.insert(name.substr(0, name.size() - end.size()));
  return paths;
}

void drop_scales_of_activations(Tensors& tensors) {
  std::erase_if(tensors, [](const auto& one) {
    return std::ranges::any_of(
        std::initializer_list<std::string_view>{
            ".input_scale", ".input_global_scale", ".input_zero_point", ".activation_scale",
            ".output_scale", ".output_zero_point", ".k_scale", ".v_scale", ".q_scale"},
        [&](std::string_view end) { return one.first.ends_with(end); });
  });
}

Shape shape_of_scales(const Shape& matrix, Block block) {
  const auto pieces = [](int n, int each) { return n / each + (n % each != 0); };
  Shape shape = matrix;
  shape[shape.size() - 2] = pieces(shape[shape.size() - 2], block.rows);
  shape.back() = pieces(shape.back(), block.columns);
  return shape;
}

int group_of(int columns, int in) {
  for (const int group : {128, 64, 32})
    if (in % group == 0 && (columns >= in || columns % group == 0)) return group;
  return 0;
}

array spread(const array& scales, Block block, int out, int in, int group) {
  const auto of_each = [](int count, int step, int size) {  // the block of every step-th element
    std::vector<int> all;
    for (int i = 0; i < count; ++i) all.push_back(int(int64_t(i) * step / size));
    return array(all.begin(), Shape{count}, int32);
  };
  array x = scales;
  if (block.rows != 1) x = take(x, of_each(out, 1, block.rows), x.ndim() - 2);
  if (block.columns != group)
    x = take(x, of_each((in + group - 1) / group, group, block.columns), x.ndim() - 1);
  return x;
}

namespace {

/// The 256 values of bytes.
array values_of_bytes(const array& bytes, float (*value)(uint8_t)) {
  std::vector<float> all;
  for (int i = 0; i < 256; ++i) all.push_back(value(uint8_t(i)));
  return take(array(all.begin(), Shape{256}), astype(bytes, int32), 0);
}

}  // namespace

array values_of_e4m3(const array& bytes) { return values_of_bytes(bytes, of_e4m3); }
array values_of_e8m0(const array& bytes) { return values_of_bytes(bytes, of_e8m0); }

fast::Matrix valued(const PackedModule& module, std::string_view end, std::string_view kind,
                    const array& codes, const array& scales, Block block) {
  const bool half = kind == "fp4";
  const int out = codes.shape(-2), in = codes.shape(-1) * (half ? 2 : 1);
  const int group = half ? 16 : group_of(block.columns, in);
  if (group > 0)
    return module.packed(end, *wide_packing(kind, group),
                         {view(codes, uint32), spread(scales, block, out, in, group)});
  const array values = kind == "fp8" ? values_of_e4m3(codes) : astype(codes, float32);
  return astype(multiply(values, astype(spread(scales, block, out, in, 1), float32)),
                module.folder.dtype);
}

array codes_in(const array& words, int bits, int count) {
  std::vector<int> first, next, shift;
  const int last = words.shape(-1) - 1;
  for (int i = 0; i < count; ++i) {
    const int64_t at = int64_t(i) * bits;
    first.push_back(std::min(int(at / 32), last));
    next.push_back(std::min(int(at / 32) + 1, last));
    shift.push_back(int(at % 32));
  }
  const auto row = [&](const std::vector<int>& all, Dtype dtype) {
    return array(all.begin(), Shape{count}, dtype);
  };
  const int axis = words.ndim() - 1;
  const array low = right_shift(take(words, row(first, int32), axis), row(shift, uint32));
  // In two steps: a shift by 32 means nothing.
  const array rest = left_shift(take(words, row(next, int32), axis), array(1u));
  const array high = left_shift(rest, subtract(array(31u), row(shift, uint32)));
  return bitwise_and(bitwise_or(low, high), array((1u << bits) - 1));
}

fast::Matrix integers(const PackedModule& module, std::string_view end, const Integers& x) {
  const int out = x.words.shape(-2);
  const int group = x.places ? 0 : group_of(x.block.columns, x.in);
  const float half = float(1 << (x.bits - 1));
  if (const auto packing = affine_packing(x.bits, group)) {
    // An offset of a power of two is exact in any dtype; others are in float32.
    const array s = x.zeros ? astype(x.scales, float32) : x.scales;
    const array b =
        x.zeros ? negative(multiply(*x.zeros, s)) : multiply(s, astype(array(-half), s.dtype()));
    return module.packed(
        end, *packing,
        {x.words, spread(s, x.block, out, x.in, group), spread(b, x.block, out, x.in, group)});
  }
  const auto of_columns = [&](const array& scales) {
    const array wide = astype(scales, float32);
    return x.places ? take(wide, *x.places, wide.ndim() - 1) : spread(wide, x.block, out, x.in, 1);
  };
  const array codes = astype(codes_in(x.words, x.bits, x.in), float32);
  const array zeros = x.zeros ? of_columns(*x.zeros) : array(half);
  return astype(multiply(subtract(codes, zeros), of_columns(x.scales)), module.folder.dtype);
}

}  // namespace hearth::llm
