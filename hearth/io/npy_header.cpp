#include "hearth/io/npy_header.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

#include "hearth/base/error.h"
#include "hearth/io/json.h"

namespace hearth {

static_assert(std::endian::native == std::endian::little, "'<' is taken as this machine's order");

namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxNpyHeader = 65536;  // NumPy itself refuses more than 10,000 by default
constexpr size_t kMaxNpyRank = 64;

struct Code {
  std::string_view code;  // without the byte order
  Dtype dtype;
};
constexpr Code kCodes[] = {
    // as NumPy writes them
    {"b1", bool_},
    {"u1", uint8},
    {"u2", uint16},
    {"u4", uint32},
    {"u8", uint64},
    {"i1", int8},
    {"i2", int16},
    {"i4", int32},
    {"i8", int64},
    {"f2", float16},
    {"f4", float32},
    {"f8", float64},
    {"c8", complex64},
    // as it reads them too
    {"?", bool_},
    {"B", uint8},
    {"H", uint16},
    {"I", uint32},
    {"L", uint64},
    {"Q", uint64},
    {"b", int8},
    {"h", int16},
    {"i", int32},
    {"l", int64},
    {"q", int64},
    {"e", float16},
    {"f", float32},
    {"d", float64},
    {"F", complex64},
};
// Names, which have no byte order before them.
constexpr Code kTypeNames[] = {
    {"bool", bool_},      {"uint8", uint8},   {"uint16", uint16},       {"uint32", uint32},
    {"uint64", uint64},   {"int8", int8},     {"int16", int16},         {"int32", int32},
    {"int64", int64},     {"int", int64},     {"float16", float16},     {"float32", float32},
    {"float64", float64}, {"float", float64}, {"complex64", complex64},
};
constexpr std::string_view kBlanks = " \t\n\r\f";

/// Reads the few Python literals a header may hold.
class Literals {
 public:
  Literals(std::string_view text, std::string_view name) : text_(text), name_(name) {}

  bool take(char c) {
    skip_blanks();
    if (!text_.starts_with(c)) return false;
    text_.remove_prefix(1);
    return true;
  }
  void skip_blanks() {
    text_.remove_prefix(std::min(text_.find_first_not_of(kBlanks), text_.size()));
  }
  void expect(char c) { require(take(c), std::string("'") + c + '\''); }

  std::string_view text() {
    skip_blanks();
    if (text_.size() > 1 && std::string_view("urUR").find(text_[0]) != std::string_view::npos &&
        (text_[1] == '\'' || text_[1] == '"'))
      text_.remove_prefix(1);  // Python 2 wrote u'descr'
    const char quote = take('\'') ? '\'' : '"';
    if (quote == '"') expect('"');
    const size_t end = text_.find(quote);
    require(end != text_.npos, "the end of a text");
    const auto value = text_.substr(0, end);
    text_.remove_prefix(end + 1);
    return value;
  }

  bool truth() {
    skip_blanks();
    for (std::string_view word : {"True", "False"})
      if (text_.starts_with(word)) {
        text_.remove_prefix(word.size());
        return word == "True";
      }
    require(false, "True or False");
    return false;
  }

  std::vector<int64_t> shape() {
    std::vector<int64_t> shape;
    expect('(');
    while (!take(')')) {
      int32_t n = -1;
      skip_blanks();
      require(!text_.starts_with('0') || text_.size() < 2 || !std::isdigit(uint8_t(text_[1])),
              "a shape of integers without a 0 before them");
      const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), n);
      require(error == std::errc() && n >= 0, "a shape of integers from 0 to below 2^31");
      text_.remove_prefix(size_t(end - text_.data()));
      take('L');  // Python 2 wrote 3L
      shape.push_back(n);
      require(shape.size() <= kMaxNpyRank, concat("at most ", kMaxNpyRank, " dimensions"));
      if (take(',')) continue;
      expect(')');
      require(shape.size() > 1, "(3,), for (3) is a number");
      break;
    }
    return shape;
  }

  void end() {
    skip_blanks();
    require(text_.empty(), "nothing more");
  }

  void require(bool ok, std::string_view wanted) const {
    ensure(ok, name_, ": .npy header: wanted ", wanted, ", got ", in_quotes(text_.substr(0, 40)));
  }
  bool next_is(char c) {
    skip_blanks();
    return text_.starts_with(c);
  }

 private:
  std::string_view text_, name_;
};

void read_type(std::string_view descr, std::string_view name, NpyHeader& header) {
  // No byte order means this machine's, as "=" does and, for one byte, "|".
  const bool ordered = !descr.empty() && std::string_view("<>|=").find(descr[0]) != descr.npos;
  const std::string_view code = descr.substr(ordered ? 1 : 0);
  const auto take = [&](const Code& known) {
    if (known.code != code) return false;
    header.dtype = known.dtype;
    header.swapped = descr[0] == '>' && size_of(known.dtype) > 1;
    return true;
  };
  if (std::any_of(std::begin(kCodes), std::end(kCodes), take)) return;
  if (!ordered && std::any_of(std::begin(kTypeNames), std::end(kTypeNames), take)) return;
  std::string_view next;
  if (code == "c16") next = "; save it as complex64";
  if (code.starts_with('O')) next = ": it holds Python objects, which hearth does not run";
  if (code.starts_with('V'))
    next = "; if it is bfloat16, which NumPy lacks, save it as float32 or as safetensors";
  ensure(false, name, ": type ", in_quotes(descr), " is none hearth has", next);
}

}  // namespace

NpyHeader parse_npy_header(std::span<const std::byte> file, std::string_view name) {
  const std::string_view all(reinterpret_cast<const char*>(file.data()), file.size());
  ensure(all.size() >= 10 && all.starts_with(kMagic), name, ": not a .npy file");
  const int version = uint8_t(all[6]);
  ensure(version >= 1 && version <= 3 && all[7] == 0, name, ": .npy version ", version, ".",
         int(uint8_t(all[7])), " is not 1.0, 2.0 or 3.0");
  const size_t begin = version == 1 ? 10 : 12;
  ensure(all.size() >= begin, name, ": cut short within its header");
  uint32_t length = 0;
  std::memcpy(&length, all.data() + 8, begin - 8);
  ensure(length <= kMaxNpyHeader, name, ": .npy header of ", length, " bytes, at most ",
         kMaxNpyHeader, " are allowed");
  ensure(length <= all.size() - begin, name, ": cut short: the header has ", length,
         " bytes, but only ", all.size() - begin, " follow");

  NpyHeader header{};
  bool have_type = false, have_order = false, have_shape = false;
  Literals in(all.substr(begin, length), name);
  in.expect('{');
  while (!in.take('}')) {
    const auto key = in.text();
    in.expect(':');
    const auto once = [&](bool& have) { in.require(!std::exchange(have, true), "each key once"); };
    if (key == "descr") {
      once(have_type);
      ensure(!in.next_is('['), name, ": a structured type; save each field as an array of its own");
      read_type(in.text(), name, header);
    } else if (key == "fortran_order") {
      once(have_order);
      header.fortran = in.truth();
    } else if (key == "shape") {
      once(have_shape);
      header.shape = in.shape();
    } else {
      ensure(false, name, ": .npy header: the key ", in_quotes(key), " is not known");
    }
    if (in.take(',')) continue;
    in.expect('}');
    break;
  }
  in.end();
  ensure(have_type && have_order && have_shape, name,
         ": .npy header: wanted descr, fortran_order and shape");

  header.offset = begin + length;
  size_t extent = header.bytes = size_of(header.dtype);  // extent: as if no dimension were 0
  for (int64_t d : header.shape) {
    const bool fits = !__builtin_mul_overflow(extent, size_t(std::max<int64_t>(d, 1)), &extent) &&
                      extent <= size_t(INT64_MAX);
    ensure(fits, name, ": the shape is more than 2^63 bytes");
    header.bytes *= size_t(d);
  }
  ensure(header.bytes <= all.size() - header.offset, name, ": cut short: the values need ",
         header.bytes, " bytes, but only ", all.size() - header.offset, " follow the header");
  return header;
}

std::string make_npy_header(Dtype dtype, std::span<const int32_t> shape) {
  check(dtype != bfloat16,
        "save: NumPy has no bfloat16; save astype(x, float32), or use save_safetensors");
  const auto code = std::find_if(std::begin(kCodes), std::end(kCodes),
                                 [&](const Code& c) { return c.dtype == dtype; });
  std::string list;
  for (int32_t d : shape) list += concat(list.empty() ? "" : ", ", d);
  std::string text =
      concat("{'descr': '", size_of(dtype) == 1 ? "|" : "<", code->code,
             "', 'fortran_order': False, 'shape': (", list, shape.size() == 1 ? ",), }" : "), }");
  text.resize((10 + text.size() + 1 + 63) / 64 * 64 - 10, ' ');
  text.back() = '\n';
  const uint16_t length = uint16_t(text.size());
  std::string header(kMagic);
  header += {'\1', '\0', char(length & 0xff), char(length >> 8)};
  return header + text;
}

}  // namespace hearth
