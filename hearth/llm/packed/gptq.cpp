// AWQ and GPTQ: integers of a few bits in the words of a transposed matrix, a scale and a zero for
// each group of inputs: w = scale * (code - zero).
#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "hearth/backend/pool.h"
#include "hearth/core/allocate.h"
#include "hearth/io/foreign.h"
#include "hearth/llm/packed/packed.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {
namespace {

/// What either method's settings have; most is about how the codes were found.
const std::vector<std::string_view> kWordSettings = {"quant_method",
                                                     "bits",
                                                     "w_bit",
                                                     "group_size",
                                                     "q_group_size",
                                                     "zero_point",
                                                     "version",
                                                     "format",
                                                     "checkpoint_format",
                                                     "backend",
                                                     "modules_to_not_convert",
                                                     "sym",
                                                     "desc_act",
                                                     "pack_dtype",
                                                     "dynamic",
                                                     "lm_head",
                                                     "static_groups",
                                                     "act_group_aware",
                                                     "hyb_act",
                                                     "mse",
                                                     "true_sequential",
                                                     "damp_percent",
                                                     "damp_auto_increment",
                                                     "mock_quantization",
                                                     "meta",
                                                     "quantizer",
                                                     "model_name_or_path",
                                                     "model_file_base_name",
                                                     "dataset",
                                                     "tokenizer",
                                                     "batch_size",
                                                     "pad_token_id",
                                                     "max_input_length",
                                                     "model_seqlen",
                                                     "use_cuda_fp16",
                                                     "use_exllama",
                                                     "disable_exllama",
                                                     "exllama_config",
                                                     "cache_block_outputs",
                                                     "block_name_to_quantize",
                                                     "module_name_preceding_first_block",
                                                     "modules_in_block_to_quantize",
                                                     "do_fuse",
                                                     "fuse_max_seq_len",
                                                     "modules_to_fuse"};

constexpr std::string_view kPlain = "modules_to_not_convert";

/// Inputs that share a scale; nothing for -1: all do.
std::optional<int> group_size_of(const JsonObject& settings, const char* key) {
  const auto found = settings.raw().find(key);
  if (found != settings.raw().end() && found->is_number_integer() && *found == -1) return {};
  return settings.positive(key, 128);
}

/// The same codes in the rows of the transposed matrix: a word of uint32 (in, words) holds codes of
/// 4 bits, that of column c at bit kPlaces[c].
constexpr int kPlaces[8] = {0, 16, 4, 20, 8, 24, 12, 28};
array awq_words(const PackedFolder& folder, const array& words) {
  const int in = words.shape(0), columns = words.shape(1), each = in / 8;
  if (!folder.values) return zeros({columns * 8, each}, uint32);
  const array from = row_major(words), out = uninitialized({columns * 8, each}, uint32);
  const std::byte* const read = bytes_of(from).data();
  std::byte* const write = reinterpret_cast<std::byte*>(out.node().data());
  constexpr int64_t kSome = 16;  // words: a line of the cache
  cpu::parallel_for((columns + kSome - 1) / kSome, [&](int64_t some) {
    for (int64_t row = 0; row < each; ++row)
      for (int64_t c = some * kSome; c < std::min<int64_t>(columns, (some + 1) * kSome); ++c) {
        uint32_t word[8];
        for (int64_t i = 0; i < 8; ++i)
          std::memcpy(&word[i], read + ((row * 8 + i) * columns + c) * 4, 4);
        for (int64_t j = 0; j < 8; ++j) {
          uint32_t all = 0;
          for (int i = 0; i < 8; ++i) all |= (word[i] >> kPlaces[j] & 15) << 4 * i;
          std::memcpy(write + ((c * 8 + j) * each + row) * 4, &all, 4);
        }
      }
  });
  return out;
}

/// Words of 32 bits, with or without a sign.
array words_of(const PackedModule& module, const char* end, const array& x) {
  module.require(x.ndim() == 2 && x.size() > 0 && (x.dtype() == int32 || x.dtype() == uint32), end,
                 "is ", x.shape(), " of ", x.dtype(), ", wanted two axes of int32, neither empty");
  return view(x, uint32);
}

array word_scales(PackedModule& module) {
  const array scales = module.need(".scales");
  module.require(scales.ndim() == 2 && is_floating(scales.dtype()) && scales.dtype() != float64,
                 ".scales", "is ", scales.shape(), " of ", scales.dtype(),
                 ", wanted (groups, out) of float16, bfloat16 or float32");
  return scales;
}

void check_awq(const JsonObject& settings) {
  refuse_others(settings, kWordSettings);
  for (const char* key : {"version", "format"}) refuse_unless(settings, key, {"gemm"});
  refuse_unless(settings, "backend", {"auto", "autoawq", "auto-awq", "gemm"});
  const int bits = settings.positive(settings.has("w_bit") ? "w_bit" : "bits", 4);
  ensure(bits == 4, settings.where(), ": quantization_config: bits: ", bits,
         " bits of AWQ, wanted 4");
  ensure(settings.flag("zero_point", true), settings.where(),
         ": quantization_config: zero_point: false is not what hearth reads: AWQ with zeros");
}
std::optional<int> awq_group(const JsonObject& settings) {
  return group_size_of(settings, settings.has("q_group_size") ? "q_group_size" : "group_size");
}

int gptq_bits(const JsonObject& settings) {
  refuse_others(settings, kWordSettings);
  for (const char* key : {"checkpoint_format", "format"})
    refuse_unless(settings, key, {"gptq", "gptq_v2"});
  refuse_unless(settings, "pack_dtype", {"int32"});
  const int bits = settings.positive("bits", 4);
  ensure(bits == 2 || bits == 3 || bits == 4 || bits == 8, settings.where(),
         ": quantization_config: bits: ", bits, " bits of GPTQ, wanted 2, 3, 4 or 8");
  return bits;
}

/// Modules that `dynamic` names have bits of their own, which their sizes tell: of the `rows` of
/// words for `in` inputs.
int gptq_bits_of(const PackedModule& module, int bits, int rows,
                 const std::optional<array>& places) {
  const JsonObject& settings = module.folder.settings;
  const auto own = settings.raw().find("dynamic");
  const bool any = own != settings.raw().end() && own->is_object() && !own->empty();
  if (!any || !places || places->size() == 0) return bits;
  const int64_t told = int64_t(rows) * 32 / int64_t(places->size());
  module.require(int64_t(places->size()) * told == int64_t(rows) * 32 &&
                     (told == 2 || told == 3 || told == 4 || told == 8),
                 ".qweight", "has ", rows, " rows for ", places->size(),
                 " inputs, which are no 2, 3, 4 or 8 bits each");
  return int(told);
}

/// The scale of each input, where these are not in order.
std::optional<array> gptq_places(const PackedModule& module, const std::optional<array>& index,
                                 int in, int groups, int each) {
  if (!index) return {};
  module.require_shape(".g_idx", *index, {in});
  module.require(is_integer(index->dtype()), ".g_idx", "is of ", index->dtype(), ", wanted int32");
  if (!module.folder.values) {
    if (!module.folder.settings.flag("desc_act", false)) return {};
    return astype(*index, int32);
  }
  const auto all = astype(*index, int32).to_vector<int>();
  bool ordered = true;
  for (int i = 0; i < in; ++i) {
    module.require(all[size_t(i)] >= 0 && all[size_t(i)] < groups, ".g_idx", "input ", i,
                   " is of group ", all[size_t(i)], " of ", groups);
    ordered = ordered && all[size_t(i)] == i / each;
  }
  return ordered ? std::nullopt : std::optional(array(all.begin(), Shape{in}, int32));
}

/// Are all zeros in the middle?
bool in_the_middle(const array& zeros, int bits) {
  const auto all = zeros.to_vector<float>();
  return std::ranges::all_of(all, [&](float z) { return z == float(1 << (bits - 1)); });
}

fast::Matrix gptq_matrix(PackedModule& module, int bits) {
  const JsonObject& settings = module.folder.settings;
  const array words = words_of(module, ".qweight", module.need(".qweight"));
  const array scales = word_scales(module);
  const auto index = module.take(".g_idx");
  bits = gptq_bits_of(module, bits, words.shape(0), index);
  const int out = words.shape(1);
  const int64_t inputs = int64_t(words.shape(0)) * 32 / bits;
  module.require(inputs * bits == int64_t(words.shape(0)) * 32 && inputs <= INT32_MAX, ".qweight",
                 "has ", words.shape(0), " rows, which are no whole number of ", bits, " bits");
  const int in = int(inputs);
  // A module of its own in `dynamic` may have groups of its own.
  int each = std::max(1, std::min(group_size_of(settings, "group_size").value_or(in), in));
  const bool own = settings.has("dynamic") && scales.shape(0) > 0 && in % scales.shape(0) == 0;
  if (own) each = std::max(1, in / scales.shape(0));
  const Block block{1, each};
  module.require_shape(".scales", scales, {shape_of_scales({1, in}, block)[1], out});
  const int groups = scales.shape(0);
  Integers x{.words = swapaxes(words, 0, 1),
             .bits = bits,
             .in = in,
             .scales = swapaxes(scales, 0, 1),
             .block = block,
             .places = gptq_places(module, index, in, groups, each)};
  const bool symmetric = settings.flag("sym", true);
  const auto stored = module.take(".qzeros");
  module.require(stored || symmetric, ".qzeros", "is missing, and \"sym\" is not true");
  if (!stored) return integers(module, ".qweight", x);
  const array zero_words = words_of(module, ".qzeros", *stored);
  module.require(int64_t(out) * bits % 32 == 0, ".qweight", "has ", out, " columns, of which ",
                 bits, " bits each are no whole words in qzeros");
  module.require_shape(".qzeros", zero_words, {groups, int(int64_t(out) * bits / 32)});
  array codes = codes_in(zero_words, bits, out);
  const bool second = settings.text("checkpoint_format", settings.text("format", "")) == "gptq_v2";
  if (!second) codes = bitwise_and(add(codes, array(1u)), array((1u << bits) - 1));
  const array zeros = swapaxes(astype(codes, float32), 0, 1);
  const bool plain = symmetric && (!module.folder.values || in_the_middle(zeros, bits));
  if (!plain) x.zeros = zeros;
  return integers(module, ".qweight", x);
}

fast::Matrix awq_matrix(PackedModule& module) {
  const array words = words_of(module, ".qweight", module.need(".qweight"));
  const array scales = word_scales(module);
  const array zero_words = words_of(module, ".qzeros", module.need(".qzeros"));
  const int in = words.shape(0);
  module.require(in % 8 == 0 && words.shape(1) <= INT32_MAX / 8, ".qweight", "its shape is ",
                 words.shape(), ", of which the inputs are no multiple of 8");
  const int out = words.shape(1) * 8;
  const Block block{1, std::max(1, std::min(awq_group(module.folder.settings).value_or(in), in))};
  const int groups = shape_of_scales({1, in}, block)[1];
  module.require_shape(".scales", scales, {groups, out});
  module.require_shape(".qzeros", zero_words, {groups, words.shape(1)});
  const array places(std::begin(kPlaces), Shape{8}, uint32);
  const array codes =
      bitwise_and(right_shift(expand_dims(zero_words, -1), places), array(uint32_t{15}));
  return integers(module, ".qweight",
                  {.words = awq_words(module.folder, words),
                   .bits = 4,
                   .in = in,
                   .scales = swapaxes(scales, 0, 1),
                   .zeros = swapaxes(astype(reshape(codes, {groups, out}), float32), 0, 1),
                   .block = block});
}

template <class Make>
fast::Matrices of_packed_words(const PackedFolder& folder, Tensors tensors, const Make& make) {
  const auto plain = ModuleNames::beginnings(folder.settings, kPlain);
  fast::Matrices out;
  for (const std::string& path : modules_with(tensors, ".qweight")) {
    if (plain.contains(path)) continue;
    PackedModule module(folder, tensors, path);
    out.emplace(path + ".weight", make(module));
  }
  for (const char* end : {".qzeros", ".scales", ".g_idx"})
    for (const std::string& path : modules_with(tensors, end))
      ensure(tensors.contains(path + ".qweight"), folder.where, ": ", path, end,
             ": is there without its .qweight");
  out.insert(tensors.begin(), tensors.end());
  return out;
}

}  // namespace

fast::Matrices awq_matrices(const PackedFolder& folder, Tensors tensors) {
  check_awq(folder.settings);
  return of_packed_words(folder, std::move(tensors), awq_matrix);
}
fast::Matrices gptq_matrices(const PackedFolder& folder, Tensors tensors) {
  const int bits = gptq_bits(folder.settings);
  return of_packed_words(folder, std::move(tensors),
                         [bits](PackedModule& module) { return gptq_matrix(module, bits); });
}

Packing awq_packing(const PackedFolder& folder, const std::string& module, int64_t in) {
  check_awq(folder.settings);
  if (ModuleNames::beginnings(folder.settings, kPlain).contains(module)) return Packing::dense;
  const int columns = awq_group(folder.settings).value_or(int(in));
  return affine_packing(4, group_of(columns, int(in))).value_or(Packing::dense);
}
Packing gptq_packing(const PackedFolder& folder, const std::string& module, int64_t in) {
  const int bits = gptq_bits(folder.settings);
  if (ModuleNames::beginnings(folder.settings, kPlain).contains(module)) return Packing::dense;
  if (folder.settings.flag("desc_act", false)) return Packing::dense;
  const int columns = group_size_of(folder.settings, "group_size").value_or(int(in));
  return affine_packing(bits, group_of(columns, int(in))).value_or(Packing::dense);
}

}  // namespace hearth::llm
