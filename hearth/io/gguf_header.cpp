// The header of a GGUF file: counts, keys with values, tensors with places.
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "hearth/base/error.h"
#include "hearth/io/gguf.h"
#include "hearth/io/json.h"
#include "hearth/io/recognize.h"

namespace hearth {

static_assert(std::endian::native == std::endian::little, "GGUF's numbers are little-endian");

namespace {

using Kind = GgufValue::Kind;

constexpr size_t kKindBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};  // 0: not of one size
constexpr size_t kMostDimensions = 4;                                     // ggml's
constexpr size_t kMostNameBytes = 65535;
constexpr size_t kMostAlignment = 1 << 20;

/// ggml's types by number: name, and how many weights are how many bytes. An empty name: removed.
struct Type {
  std::string_view name;
  size_t weights, bytes;
};
constexpr Type kTypes[] = {
    {"F32", 1, 4},        {"F16", 1, 2},       {"Q4_0", 32, 18},     {"Q4_1", 32, 20},
    {"", 0, 0},           {"", 0, 0},          {"Q5_0", 32, 22},     {"Q5_1", 32, 24},
    {"Q8_0", 32, 34},     {"Q8_1", 32, 36},    {"Q2_K", 256, 84},    {"Q3_K", 256, 110},
    {"Q4_K", 256, 144},   {"Q5_K", 256, 176},  {"Q6_K", 256, 210},   {"Q8_K", 256, 292},
    {"IQ2_XXS", 256, 66}, {"IQ2_XS", 256, 74}, {"IQ3_XXS", 256, 98}, {"IQ1_S", 256, 50},
    {"IQ4_NL", 32, 18},   {"IQ3_S", 256, 110}, {"IQ2_S", 256, 82},   {"IQ4_XS", 256, 136},
    {"I8", 1, 1},         {"I16", 1, 2},       {"I32", 1, 4},        {"I64", 1, 8},
    {"F64", 1, 8},        {"IQ1_M", 256, 56},  {"BF16", 1, 2},       {"", 0, 0},
    {"", 0, 0},           {"", 0, 0},          {"TQ1_0", 256, 54},   {"TQ2_0", 256, 66},
    {"", 0, 0},           {"", 0, 0},          {"", 0, 0},           {"MXFP4", 32, 17},
    {"NVFP4", 64, 36},    {"Q1_0", 128, 18},   {"Q2_0", 64, 18},
};

template <class T>
T read_as(std::span<const std::byte> bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

/// The header's bytes, one number or text after the other.
class Reader {
 public:
  Reader(std::span<const std::byte> file, std::string_view name) : file_(file), name_(name) {}

  size_t at() const { return at_; }
  size_t left() const { return file_.size() - at_; }

  /// `what` names what would stand here: it is made only where it is needed.
  template <class What>
  std::span<const std::byte> take(uint64_t bytes, const What& what) {
    if (bytes > left())
      ensure(false, name_, ": ", what(), " needs ", bytes, " bytes, but only ", left(),
             " follow; the file may be cut short: fetch it again");
    const auto taken = file_.subspan(at_, size_t(bytes));
    at_ += size_t(bytes);
    return taken;
  }
  template <class T, class What>
  T number(const What& what) {
    return read_as<T>(take(sizeof(T), what));
  }
  template <class What>
  std::string_view text(const What& what) {
    const auto bytes = take(number<uint64_t>(what), what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

 private:
  std::span<const std::byte> file_;
  std::string_view name_;
  size_t at_ = 0;
};

struct Parser {
  Reader in;
  std::string_view name;
  size_t size;

  std::string_view key_or_name(std::string_view of) {
    const auto text = in.text([&] { return concat("the name of ", of); });
    if (text.empty() || text.size() > kMostNameBytes)
      ensure(false, name, ": the name of ", of, " has ", text.size(), " bytes, wanted 1 to ",
             kMostNameBytes);
    return text;
  }

  Kind kind(std::string_view key) {
    const auto kind = in.number<uint32_t>([&] { return concat("the type of ", in_quotes(key)); });
    if (kind > Kind::f64)
      ensure(false, name, ": ", in_quotes(key), ": type ", kind, " is not one of 0 to 12");
    return Kind(kind);
  }

  GgufValue value(std::string_view key) {
    const auto what = [&] { return concat("the value of ", in_quotes(key)); };
    GgufValue v;
    v.kind = v.element = kind(key);
    if (v.is_list()) {
      v.element = kind(key);
      if (v.element == Kind::list)
        ensure(false, name, ": ", in_quotes(key), ": a list of lists, which no model needs");
      v.count = in.number<uint64_t>(what);
    }
    if (v.element == Kind::text) {
      if (v.is_list() && v.count > in.left() / 8)
        ensure(false, name, ": ", in_quotes(key), ": a list of ", v.count, " texts in ", in.left(),
               " bytes; the file may be cut short: fetch it again");
      const auto begin = in;
      const size_t from = in.at();
      for (uint64_t i = 0; i < v.count; ++i) in.text(what);
      v.bytes = Reader(begin).take(in.at() - from, what);
      return v;
    }
    const size_t each = kKindBytes[v.element];
    if (v.count > in.left() / each)
      ensure(false, name, ": ", in_quotes(key), ": ", v.count, " values of ", each,
             " bytes, but only ", in.left(), " follow; the file may be cut short: fetch it again");
    v.bytes = in.take(v.count * each, what);
    const auto is_bool = [](std::byte b) { return b <= std::byte{1}; };
    if (v.element == Kind::boolean && !std::all_of(v.bytes.begin(), v.bytes.end(), is_bool))
      ensure(false, name, ": ", in_quotes(key), ": a bool that is neither 0 nor 1");
    return v;
  }

  GgufTensor tensor(uint64_t number) {
    GgufTensor t;
    t.name = key_or_name(concat("tensor ", number));
    const auto what = [&] { return concat("what is said of tensor ", in_quotes(t.name)); };
    const auto refuse = [&](const auto&... why) {
      ensure(false, name, ": tensor ", in_quotes(t.name), ": ", why...);
    };
    const auto dimensions = in.number<uint32_t>(what);
    if (dimensions > kMostDimensions)
      refuse(dimensions, " dimensions, at most ", kMostDimensions, " work");
    size_t elements = 1;
    for (uint32_t i = 0; i < dimensions; ++i) {
      const auto n = in.number<uint64_t>(what);
      if (n > uint64_t(std::numeric_limits<int32_t>::max()))
        refuse("dimension ", i, " is ", n, ", wanted below 2^31");
      if (__builtin_mul_overflow(elements, size_t(n), &elements) || elements > size_t(1) << 56)
        refuse("more elements than any file holds");
      t.shape.insert(t.shape.begin(), int64_t(n));
    }
    t.type = in.number<uint32_t>(what);
    if (t.type >= std::size(kTypes) || kTypes[t.type].name.empty())
      refuse("type ", t.type, " is none of ggml's; the file is newer than this hearth, or damaged");
    const Type& type = kTypes[t.type];
    const size_t row = t.shape.empty() ? 1 : size_t(t.shape.back());
    if (row % type.weights != 0)
      refuse("rows of ", row, " weights, which are no whole number of ", type.name, "'s blocks of ",
             type.weights);
    t.bytes = elements / type.weights * type.bytes;
    const auto offset = in.number<uint64_t>(what);
    if (offset > size) refuse("begins at byte ", offset, " of the data, beyond the file");
    t.offset = size_t(offset);
    return t;
  }
};

size_t alignment_of(const GgufHeader& header, std::string_view name) {
  const auto found = header.metadata.find("general.alignment");
  if (found == header.metadata.end()) return 32;
  const auto value = found->second.is_list() ? std::nullopt : found->second.integer();
  ensure(value && *value > 0 && size_t(*value) <= kMostAlignment &&
             std::has_single_bit(size_t(*value)),
         name, ": general.alignment: wanted a power of two of at most ", kMostAlignment, ", got ",
         value ? std::to_string(*value) : "no number");
  return size_t(*value);
}

void check_version(uint32_t version, std::string_view name) {
  ensure((version & 0xFFFF) != 0, name,
         ": a GGUF file with the bytes of numbers in big-endian order; fetch the other one");
  ensure(version == 2 || version == 3, name, ": version ", version,
         " of GGUF; hearth reads 2 and 3: fetch a file that was made since");
}

}  // namespace

std::string ggml_type_name(uint32_t type) {
  const bool known = type < std::size(kTypes) && !kTypes[type].name.empty();
  return known ? std::string(kTypes[type].name) : concat("type ", type);
}

std::optional<size_t> ggml_bytes(uint32_t type, std::span<const int64_t> shape) {
  if (type >= std::size(kTypes) || kTypes[type].name.empty()) return std::nullopt;
  const Type& of = kTypes[type];
  size_t elements = 1;
  for (const int64_t n : shape) elements *= size_t(n);
  const size_t row = shape.empty() ? 1 : size_t(shape.back());
  if (row % of.weights != 0) return std::nullopt;
  return elements / of.weights * of.bytes;
}

GgufHeader parse_gguf(std::span<const std::byte> file, std::string_view name) {
  if (file.size() < 4 || std::memcmp(file.data(), "GGUF", 4) != 0) {
    refuse_foreign(file, name, "a GGUF file");
    ensure(false, name, ": not a GGUF file: it does not begin with GGUF");
  }
  Parser p{Reader(file, name), name, file.size()};
  p.in.take(4, [] { return "the beginning of a GGUF file"; });
  const auto counts = [] { return "the beginning of a GGUF file"; };
  check_version(p.in.number<uint32_t>(counts), name);
  const auto tensors = p.in.number<uint64_t>(counts), keys = p.in.number<uint64_t>(counts);
  // Of a key there are at least its length, a letter, its type and a byte; of a tensor its length,
  // a letter, dimensions, type and offset.
  ensure(keys <= p.in.left() / 14 && tensors <= p.in.left() / 25, name, ": ", keys, " keys and ",
         tensors, " tensors in ", file.size(), " bytes; the file may be cut short: fetch it again");
  GgufHeader header;
  for (uint64_t i = 0; i < keys; ++i) {
    const auto key = p.key_or_name("a key");
    const auto [at, added] = header.metadata.emplace(key, GgufValue());
    if (!added) ensure(false, name, ": the key ", in_quotes(key), " stands twice");
    at->second = p.value(key);
  }
  header.tensors.reserve(size_t(tensors));
  for (uint64_t i = 0; i < tensors; ++i) header.tensors.push_back(p.tensor(i));

  const size_t alignment = alignment_of(header, name);
  const size_t data = (p.in.at() + alignment - 1) / alignment * alignment;
  std::vector<GgufTensor*> order;
  for (GgufTensor& t : header.tensors) {
    const auto refuse = [&](const auto&... why) {
      ensure(false, name, ": tensor ", in_quotes(t.name), ": ", why...);
    };
    if (t.offset % alignment != 0)
      refuse("begins at byte ", t.offset, " of the data, no multiple of ", alignment);
    const size_t room = data <= file.size() ? file.size() - data : 0;
    if (t.offset > room || t.bytes > room - t.offset)
      refuse(t.bytes, " bytes from byte ", t.offset, " of the data reach beyond the file, whose ",
             "data is ", room, " bytes; it may be cut short: fetch it again");
    t.offset += data;
    order.push_back(&t);
  }
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return a->name < b->name; });
  for (size_t i = 1; i < order.size(); ++i)
    ensure(order[i - 1]->name != order[i]->name, name, ": the tensor ", in_quotes(order[i]->name),
           " stands twice");
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return a->offset < b->offset; });
  const GgufTensor* before = nullptr;
  for (const GgufTensor* t : order) {
    if (t->bytes == 0) continue;
    if (before)
      ensure(before->offset + before->bytes <= t->offset, name, ": tensors ",
             in_quotes(before->name), " and ", in_quotes(t->name), " overlap");
    before = t;
  }
  return header;
}

namespace {

template <class Each>
void each_number(const GgufValue& v, const Each& each) {
  const auto all = [&]<class T>() {
    for (size_t i = 0; i < v.bytes.size(); i += sizeof(T)) each(read_as<T>(v.bytes.subspan(i)));
  };
  switch (v.element) {
    case Kind::u8: return all.template operator()<uint8_t>();
    case Kind::i8: return all.template operator()<int8_t>();
    case Kind::u16: return all.template operator()<uint16_t>();
    case Kind::i16: return all.template operator()<int16_t>();
    case Kind::u32: return all.template operator()<uint32_t>();
    case Kind::i32: return all.template operator()<int32_t>();
    case Kind::f32: return all.template operator()<float>();
    case Kind::boolean: return all.template operator()<uint8_t>();
    case Kind::u64: return all.template operator()<uint64_t>();
    case Kind::i64: return all.template operator()<int64_t>();
    case Kind::f64: return all.template operator()<double>();
    case Kind::text:
    case Kind::list: return;
  }
}

}  // namespace

std::optional<double> GgufValue::number() const {
  std::optional<double> value;
  if (!is_list()) each_number(*this, [&](auto n) { value = double(n); });
  return value;
}

std::optional<int64_t> GgufValue::integer() const {
  std::optional<int64_t> value;
  if (!is_list())
    each_number(*this, [&](auto n) {
      const bool whole = std::is_integral_v<decltype(n)> &&
                         (std::is_signed_v<decltype(n)> || uint64_t(n) <= uint64_t(INT64_MAX));
      if (whole) value = int64_t(n);
    });
  return value;
}

std::optional<std::string_view> GgufValue::string() const {
  if (kind != text) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(bytes.data()) + 8, bytes.size() - 8);
}

std::vector<double> GgufValue::numbers() const {
  std::vector<double> all;
  if (element != text) all.reserve(size_t(count));
  each_number(*this, [&](auto n) { all.push_back(double(n)); });
  return all;
}

std::vector<std::string_view> GgufValue::strings() const {
  std::vector<std::string_view> all;
  if (element != text) return all;
  all.reserve(size_t(count));
  for (size_t at = 0; at < bytes.size();) {
    const auto length = size_t(read_as<uint64_t>(bytes.subspan(at)));
    all.emplace_back(reinterpret_cast<const char*>(bytes.data()) + at + 8, length);
    at += 8 + length;
  }
  return all;
}

}  // namespace hearth
