#include "hearth/io/safetensors_header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "hearth/base/error.h"
#include "hearth/base/listed.h"
#include "hearth/io/json.h"
#include "hearth/io/recognize.h"

namespace hearth {

using nlohmann::json;
static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

namespace {

constexpr size_t kMaxHeader = 100'000'000;  // bytes, the reference's limit
constexpr size_t kMaxRank = 64;
constexpr std::string_view kMetadata = "__metadata__";  // stands among the tensors

struct NamedDtype {
  std::string_view name;
  Dtype dtype;
};
constexpr NamedDtype kNames[] = {
    // in the order in which the reference writes them
    {"U64", uint64}, {"I64", int64}, {"F64", float64},   {"C64", complex64}, {"F32", float32},
    {"U32", uint32}, {"I32", int32}, {"BF16", bfloat16}, {"F16", float16},   {"U16", uint16},
    {"I16", int16},  {"I8", int8},   {"U8", uint8},      {"BOOL", bool_},
};
static_assert(std::size(kNames) == kDtypes);
// Types that arrays do not have are read as their bytes: whoever knows what they scale unpacks
// them.
constexpr NamedDtype kBytes[] = {{"F8_E4M3", uint8}, {"F8_E8M0", uint8}};

size_t rank_of(Dtype dtype) {
  size_t rank = 0;
  while (kNames[rank].dtype != dtype) ++rank;
  return rank;
}

std::string_view name_of(Dtype dtype) { return kNames[rank_of(dtype)].name; }

/// Fails for one tensor. A sentence is only made where it is needed: there may be 100,000 tensors.
struct Refuse {
  std::string_view file, tensor;
  template <class... Parts>
  [[noreturn]] void operator()(const Parts&... parts) const {
    throw std::runtime_error(concat(file, ": tensor ", in_quotes(tensor), ": ", parts...));
  }
};

Dtype dtype_in(const json& entry, const Refuse& refuse) {
  const auto field = entry.find("dtype");
  if (field == entry.end() || !field->is_string()) refuse("dtype is missing or not a text");
  const auto& name = field->get_ref<const std::string&>();
  for (const auto& known : kNames)
    if (known.name == name) return known.dtype;
  for (const auto& known : kBytes)
    if (known.name == name) return known.dtype;
  std::vector<std::string_view> names;
  for (const auto& known : kNames) names.push_back(known.name);
  refuse("dtype ", in_quotes(name), " is not one of ", listed(names));
}

/// A whole number of at most `most`.
size_t count_in(const json& value, size_t most, const Refuse& refuse, std::string_view what) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > most)
    refuse(what, ": wanted an integer from 0 to ", most, ", got ",
           value.is_number() ? value.dump() : value.type_name());
  return size_t(value.get<uint64_t>());
}

const json& list_in(const json& entry, const char* key, const Refuse& refuse) {
  const auto field = entry.find(key);
  if (field == entry.end() || !field->is_array()) refuse(key, " is missing or not a list");
  return *field;
}

TensorInfo parse_tensor(const std::string& key, const json& entry, size_t data, size_t end,
                        std::string_view name, std::string_view cut) {
  const Refuse refuse{name, key};
  if (!entry.is_object()) refuse("wanted an object with dtype, shape and data_offsets");
  TensorInfo tensor{key, dtype_in(entry, refuse), {}, 0, 0};

  const json& shape = list_in(entry, "shape", refuse);
  if (shape.size() > kMaxRank) refuse(shape.size(), " dimensions, at most ", kMaxRank, " work");
  size_t bytes = size_of(tensor.dtype), extent = bytes;  // extent: as if no dimension were 0
  for (const json& d : shape) {
    const size_t n = count_in(d, size_t(std::numeric_limits<int32_t>::max()), refuse, "shape");
    const bool fits =
        !__builtin_mul_overflow(extent, std::max<size_t>(n, 1), &extent) && extent <= INT64_MAX;
    if (!fits) refuse("shape ", shape.dump(), " is more than 2^63 bytes");
    bytes *= n;
    tensor.shape.push_back(int64_t(n));
  }

  const json& offsets = list_in(entry, "data_offsets", refuse);
  if (offsets.size() != 2)
    refuse("data_offsets: wanted [begin, end], got ", offsets.size(), " numbers");
  const size_t from = count_in(offsets[0], SIZE_MAX, refuse, "data_offsets");
  const size_t to = count_in(offsets[1], SIZE_MAX, refuse, "data_offsets");
  if (from > to) refuse("data_offsets [", from, ", ", to, "] end before they begin");
  if (to > end - data)
    refuse("data_offsets [", from, ", ", to, "] reach beyond the file, whose data is ", end - data,
           " bytes; it may be cut short: ", cut);
  if (to - from != bytes)
    refuse("data_offsets span ", to - from, " bytes, but shape ", shape.dump(), " of ",
           name_of(tensor.dtype), " needs ", bytes);
  tensor.offset = data + from;
  tensor.bytes = bytes;
  return tensor;
}

void check_places(const std::vector<TensorInfo>& tensors, size_t data, size_t end,
                  std::string_view name) {
  size_t at = data;
  const TensorInfo* before = nullptr;
  for (const auto& tensor : tensors) {
    if (tensor.offset < at)
      ensure(false, name, ": tensors ", before ? in_quotes(before->name) : "", " and ",
             in_quotes(tensor.name), " overlap");
    if (tensor.offset > at)
      ensure(false, name, ": ", tensor.offset - at, " bytes before tensor ", in_quotes(tensor.name),
             " belong to none");
    at += tensor.bytes;
    before = &tensor;
  }
  ensure(at == end, name, ": ", end - at, " bytes after the last tensor belong to none");
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, std::string_view name,
                                           std::string_view cut) {
  ensure(file.size() >= 8, name, ": ", file.size(),
         " bytes are too few for a safetensors file; it may be cut short: ", cut);
  uint64_t length;
  std::memcpy(&length, file.data(), 8);
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8,
                              std::min(size_t(length), file.size() - 8));
  const size_t first = text.find_first_not_of(" \t\n\r");  // the reference skips white space
  const bool begins = first != text.npos && text[first] == '{';
  if (length > text.size() || !begins) refuse_foreign(file, name, "the weights");
  ensure(length <= kMaxHeader, name, ": not a safetensors file: its header would have ", length,
         " bytes, at most ", kMaxHeader, " are allowed");
  ensure(length <= file.size() - 8, name, ": the header has ", length, " bytes, but only ",
         file.size() - 8, " follow; it may be cut short: ", cut);
  ensure(begins, name, ": not a safetensors file: no { begins its header");
  const json root = parse_json(text, name);
  ensure(root.is_object(), name, ": not a safetensors file: its header is not an object");

  SafetensorsHeader header;
  const size_t data = 8 + size_t(length);
  for (const auto& [key, entry] : root.items()) {
    if (key != kMetadata) {
      header.tensors.push_back(parse_tensor(key, entry, data, file.size(), name, cut));
      continue;
    }
    if (entry.is_null()) continue;  // no metadata, as for the reference
    ensure(entry.is_object(), name, ": __metadata__ is not an object");
    for (const auto& [what, value] : entry.items()) {
      if (!value.is_string())
        ensure(false, name, ": __metadata__: ", in_quotes(what), " is not a text");
      header.metadata.emplace(what, value.get<std::string>());
    }
  }
  // Empty tensors take no room: they come before the one that begins where they stand.
  std::sort(header.tensors.begin(), header.tensors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.offset, a.bytes, a.name) < std::tie(b.offset, b.bytes, b.name);
  });
  check_places(header.tensors, data, file.size(), name);
  return header;
}

std::string make_safetensors_header(std::vector<TensorInfo>& tensors,
                                    const std::unordered_map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return a.dtype != b.dtype ? rank_of(a.dtype) < rank_of(b.dtype) : a.name < b.name;
  });
  const auto text_of = [](const std::string& key) {
    try {
      return json(key).dump();
    } catch (const json::exception&) {
      check(false, "save_safetensors: the name ", in_quotes(key), " is not UTF-8");
      return std::string();
    }
  };
  std::string text = "{";
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : std::map(metadata.begin(), metadata.end()))
      text += concat(text.back() == '{' ? "" : ",", text_of(key), ":", text_of(value));
    text += '}';
  }
  size_t at = 0;
  for (auto& tensor : tensors) {
    check(tensor.name != kMetadata, "save_safetensors: a tensor cannot be named ", kMetadata,
          ", where the file has its metadata; rename it");
    tensor.bytes = size_of(tensor.dtype);
    for (int64_t d : tensor.shape) tensor.bytes *= size_t(d);
    text += concat(text.size() > 1 ? "," : "", text_of(tensor.name), ":{\"dtype\":\"",
                   name_of(tensor.dtype), "\",\"shape\":", json(tensor.shape).dump(),
                   ",\"data_offsets\":[", at, ",", at + tensor.bytes, "]}");
    tensor.offset = at;
    at += tensor.bytes;
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  for (auto& tensor : tensors) tensor.offset += 8 + length;
  text.insert(0, reinterpret_cast<const char*>(&length), 8);
  return text;
}

}  // namespace hearth
