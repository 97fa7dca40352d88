// "%5.2f" % x and "{:>5}".format(x), as Python has them.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "hearth/llm/template/fail.h"
#include "hearth/llm/template/interpreter.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm::jinja {

namespace {

// What stands behind % or behind the colon in braces.
struct Spec {
  Text fill = Text(" ");
  char align = 0;  // < > ^ =
  char sign = '-';
  bool alternate = false;
  int64_t width = 0, precision = -1;
  char grouping = 0;  // , or _
  char type = 0;
};

constexpr int64_t kMostDigits = 10000;  // of a precision

int64_t read_number(std::string_view text, size_t& at) {
  int64_t n = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    n = n * 10 + (text[at] - '0');
    if (n > INT32_MAX) fail("Too many decimal digits in format string");
  }
  return n;
}

Text padded(Interpreter& in, const Spec& spec, const Text& text, size_t sign_size, char usual) {
  const int64_t pad = spec.width - int64_t(length(text.str()));
  if (pad <= 0) return text;
  in.charge(uint64_t(pad) * spec.fill.size());
  const char align = spec.align ? spec.align : usual;
  const int64_t before = align == '<' ? 0 : align == '^' ? pad / 2 : pad;
  Text out;
  const size_t head = align == '=' ? sign_size : 0;
  out.append(text, 0, head);
  for (int64_t i = 0; i < before; ++i) out.append(spec.fill);
  out.append(text, head, text.size());
  for (int64_t i = before; i < pad; ++i) out.append(spec.fill);
  return out;
}

// 1234567 -> 1,234,567
std::string grouped(const std::string& digits, char by, size_t size) {
  if (!by) return digits;
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % size == 0) out += by;
    out += digits[i];
  }
  return out;
}

Text number(Interpreter& in, const Spec& spec, bool negative, const std::string& prefix,
            std::string body) {
  std::string sign = negative ? "-" : spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
  sign += prefix;
  if (spec.grouping) {
    const size_t end = std::min(body.find_first_not_of("0123456789abcdefABCDEF"), body.size());
    const bool decimal = prefix.empty();
    const size_t whole =
        decimal ? std::min(body.find_first_not_of("0123456789"), body.size()) : end;
    body = grouped(body.substr(0, whole), spec.grouping, decimal ? 3 : 4) + body.substr(whole);
  }
  return padded(in, spec, Text(sign + body), sign.size(), '>');
}

Text integer(Interpreter& in, const Spec& spec, const Value& v) {
  const Integer big = big_of(v);
  const char type = spec.type ? spec.type : 'd';
  if (type == 'c') {
    const auto code = big.small();
    if (!code || *code < 0 || *code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF))
      fail("%c arg not in range(0x110000)");
    std::string bytes;
    append_utf8(bytes, char32_t(*code));
    return padded(in, spec, Text(bytes), 0, '<');
  }
  std::string digits = to_string(big.negative() ? -big : big), prefix;
  if (type != 'd' && type != 'n') {
    const auto small = big.small();
    if (!small) fail("a number too large to be written with '", type, "'");
    const uint64_t n = *small < 0 ? -uint64_t(*small) : uint64_t(*small);
    char buffer[72];
    const int base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : 2;
    digits.assign(buffer, std::to_chars(buffer, buffer + sizeof buffer, n, base).ptr);
    if (type == 'X')
      for (char& c : digits) c = char(std::toupper(c));
    if (spec.alternate) prefix = std::string("0") + type;
  }
  return number(in, spec, big.negative(), prefix, digits);
}

Text real(Interpreter& in, const Spec& spec, double value) {
  const char type = spec.type == 'F' ? 'f' : spec.type == '%' ? 'f' : spec.type;
  if (spec.precision > kMostDigits)
    fail("a precision of ", spec.precision, ", more than ", kMostDigits);
  const bool negative = std::signbit(value) && !std::isnan(value);
  double size = std::fabs(value);
  if (spec.type == '%') size *= 100;
  std::string body;
  if (!std::isfinite(size)) {
    body = std::isnan(size) ? "nan" : "inf";
    if (spec.type == 'F' || spec.type == 'E' || spec.type == 'G')
      for (char& c : body) c = char(std::toupper(c));
  } else if (!type && spec.precision < 0) {
    body = repr(size);
  } else {
    std::string how = spec.alternate ? "{:#.{}" : "{:.{}";
    const bool general = !type || type == 'n';
    how += general ? 'g' : type;
    body = fmt::format(fmt::runtime(how + "}"), size, int(spec.precision < 0 ? 6 : spec.precision));
    if (!type && body.find_first_of(".e") == body.npos) body += ".0";  // as str has it
  }
  if (spec.type == '%') body += '%';
  return number(in, spec, negative, "", body);
}

Text text(Interpreter& in, const Spec& spec, Text value) {
  if (spec.precision >= 0) value = value.slice(0, byte_of(value.str(), size_t(spec.precision)));
  return padded(in, spec, value, 0, '<');
}

Text ascii(const Text& shown) {
  Text out;
  for (size_t at = 0; at < shown.size();) {
    const size_t begin = at;
    const char32_t c = next_character(shown.str(), at);
    if (c < 128)
      out.append(shown, begin, at);
    else
      out.append(c <= 0xFF     ? fmt::format("\\x{:02x}", uint32_t(c))
                 : c <= 0xFFFF ? fmt::format("\\u{:04x}", uint32_t(c))
                               : fmt::format("\\U{:08x}", uint32_t(c)),
                 shown.from_input(begin));
  }
  return out;
}

Text percent(Interpreter& in, Spec spec, const Value& v) {
  const char type = spec.type;
  if (type == 's') return text(in, spec, str(v));
  if (type == 'r' || type == 'a') return text(in, spec, type == 'r' ? repr(v) : ascii(repr(v)));
  if (type == 'c' && v.is<String>()) {
    if (length(v.get<String>()->text.str()) != 1) fail("%c requires int or char");
    return text(in, spec, v.get<String>()->text);
  }
  if (!is_number(v)) {
    if (const auto* u = v.get<Undefined>()) fail(*u->why);
    fail("%", type, " format: a real number is required, not ", type_name(v));
  }
  if (std::string_view("eEfFgG").find(type) != std::string_view::npos)
    return real(in, spec, number_of(v, "%"));
  if (std::string_view("diuxXoc").find(type) == std::string_view::npos)
    fail("unsupported format character '", type, "'");
  if (type == 'i' || type == 'u') spec.type = 'd';
  Value whole = v;
  if (v.is<double>()) {
    if (type != 'd' && type != 'i' && type != 'u')
      fail("%", type, " format: an integer is required, not float");
    if (!std::isfinite(*v.get<double>())) fail("cannot convert float infinity or NaN to integer");
    whole = Value(Integer::truncated(*v.get<double>()));
  }
  if (spec.precision > kMostDigits)
    fail("a precision of ", spec.precision, ", more than ", kMostDigits);
  if (spec.precision > 0) {  // digits at least
    std::string digits = to_string(big_of(whole));
    const bool negative = digits[0] == '-';
    digits.erase(0, negative);
    if (int64_t(digits.size()) < spec.precision && spec.type == 'd')
      return number(in, spec, negative, "",
                    std::string(size_t(spec.precision) - digits.size(), '0') + digits);
  }
  return integer(in, spec, whole);
}

Text braces(Interpreter& in, const Value& v, const Text& how) {
  Spec spec;
  const std::string_view s = how.str();
  size_t at = 0;
  const auto aligns = [&](size_t i) {
    return i < s.size() && std::string_view("<>^=").find(s[i]) != s.npos;
  };
  if (!s.empty()) {
    size_t second = 0;
    next_character(s, second);
    if (aligns(second)) {
      spec.fill = how.slice(0, second);
      spec.align = s[second];
      at = second + 1;
    } else if (aligns(0)) {
      spec.align = s[at++];
    }
  }
  if (at < s.size() && std::string_view("+- ").find(s[at]) != s.npos) spec.sign = s[at++];
  if (at < s.size() && s[at] == '#') spec.alternate = true, ++at;
  if (at < s.size() && s[at] == '0') {
    if (!spec.align) spec.align = is_number(v) ? '=' : '<', spec.fill = Text("0");
    ++at;
  }
  spec.width = read_number(s, at);
  if (at < s.size() && (s[at] == ',' || s[at] == '_')) spec.grouping = s[at++];
  if (at < s.size() && s[at] == '.') {
    const size_t digits = ++at;
    spec.precision = read_number(s, at);
    if (at == digits) fail("Format specifier missing precision");
  }
  if (at < s.size()) spec.type = s[at++];
  if (at < s.size())
    fail("Invalid format specifier '", s, "' for object of type '", type_name(v), "'");
  const auto unknown = [&] {
    fail("Unknown format code '", spec.type, "' for object of type '", type_name(v), "'");
  };
  const auto known = [&](std::string_view types) {
    return spec.type == 0 || types.find(spec.type) != types.npos;
  };
  if (v.is<String>() || (v.is<bool>() && spec.type == 0)) {
    if (!known("s")) unknown();
    if (spec.align == '=') fail("'=' alignment not allowed in string format specifier");
    return text(in, spec, str(v));
  }
  if (is_integer(v) && known("bcdnoxX")) return integer(in, spec, v);
  if (is_number(v)) {
    if (!known("eEfFgGn%")) unknown();
    return real(in, spec, number_of(v, "format"));
  }
  if (!s.empty()) fail("unsupported format string passed to ", type_name(v), ".__format__");
  return str(v);
}

/// "{0.name[key]!r:>5}": what is between the braces, after which the text goes on.
class Braces {
 public:
  Braces(Interpreter& in, const Args& args) : in_(in), args_(args) {}

  Text format(const Text& format, int depth) {
    if (depth > 2) fail("Max string recursion exceeded");
    Text out;
    const std::string& s = format.str();
    for (size_t at = 0; at < s.size();) {
      const size_t brace = std::min(s.find_first_of("{}", at), s.size());
      out.append(format, at, brace);
      at = brace;
      if (at == s.size()) break;
      if (at + 1 < s.size() && s[at + 1] == s[at]) {
        out.append(format, at, at + 1);
        at += 2;
        continue;
      }
      if (s[at] == '}') fail("Single '}' encountered in format string");
      const size_t close = closing(s, at);
      const Text one = field(format.slice(at + 1, close), depth);
      in_.charge(one.size());
      out.append(one);
      at = close + 1;
    }
    return out;
  }

 private:
  static size_t closing(const std::string& s, size_t open) {
    int nested = 0;
    for (size_t at = open; at < s.size(); ++at) {
      if (s[at] == '{') ++nested;
      if (s[at] == '}' && --nested == 0) return at;
    }
    fail("expected '}' before end of string");
  }

  Text field(const Text& inside, int depth) {
    const std::string& s = inside.str();
    // The name ends at ! or :, which brackets may hold.
    size_t end = 0;
    for (bool bracket = false; end < s.size() && (bracket || (s[end] != '!' && s[end] != ':'));
         ++end)
      bracket = s[end] == '[' || (bracket && s[end] != ']');
    Value v = named(s.substr(0, end));
    char conversion = 0;
    if (end < s.size() && s[end] == '!') {
      if (end + 1 >= s.size()) fail("unmatched '{' in format spec");
      conversion = s[end + 1];
      end += 2;
      if (end < s.size() && s[end] != ':') fail("expected ':' after conversion specifier");
    }
    if (conversion == 'r' || conversion == 'a')
      v = Value(conversion == 'r' ? repr(v) : ascii(repr(v)));
    else if (conversion == 's')
      v = Value(str(v));
    else if (conversion)
      fail("Unknown conversion specifier ", conversion);
    const Text how = end < s.size() ? inside.slice(end + 1, s.size()) : Text();
    return braces(in_, v, format(how, depth + 1));
  }

  Value named(const std::string& path) {
    size_t at = std::min(path.find_first_of(".["), path.size());
    const std::string first = path.substr(0, at);
    Value v;
    const bool digits = !first.empty() && std::all_of(first.begin(), first.end(),
                                                      [](char c) { return c >= '0' && c <= '9'; });
    if (first.empty() || digits) {
      if (first.empty() ? next_ < 0 : next_ > 0)
        fail("cannot switch between manual field specification and automatic field numbering");
      size_t zero = 0;
      const int64_t i = first.empty() ? next_++ : read_number(first, zero);
      if (!first.empty()) next_ = -1;
      if (i >= int64_t(args_.values.size()))
        fail("Replacement index ", i, " out of range for positional args tuple");
      v = args_.values[size_t(i)];
    } else {
      const auto found = std::find_if(args_.named.begin(), args_.named.end(),
                                      [&](const auto& one) { return one.first == first; });
      if (found == args_.named.end()) fail("KeyError: '", first, "'");
      v = found->second;
    }
    while (at < path.size()) {
      const bool item = path[at] == '[';
      const size_t end = item ? path.find(']', at) : path.find_first_of(".[", at + 1);
      if (item && end == path.npos) fail("Missing ']' in format string");
      const std::string key = path.substr(at + 1, std::min(end, path.size()) - at - 1);
      if (key.empty()) fail("Empty attribute in format string");
      size_t parsed = 0;
      const int64_t index = item ? read_number(key, parsed) : 0;
      v = !item                  ? in_.attribute(v, key)
          : parsed == key.size() ? in_.item(v, Value(index))
                                 : in_.item(v, Value(key));
      at = end == path.npos ? path.size() : end + (item ? 1 : 0);
    }
    return v;
  }

  Interpreter& in_;
  const Args& args_;
  int64_t next_ = 0;  // of the fields without a name; -1: they have numbers
};

}  // namespace

Text format_braces(Interpreter& in, const Text& format, const Args& args) {
  return Braces(in, args).format(format, 0);
}

Text format_percent(Interpreter& in, const Text& format, const Value& values) {
  const Values one{values};
  const Values& list = values.is_tuple() ? values.get<List>()->items : one;
  const auto* dict = values.get<Dict>();
  size_t next = 0;
  bool by_name = false;
  const auto take = [&]() -> const Value& {
    if (next >= list.size()) fail("not enough arguments for format string");
    return list[next++];
  };
  Text out;
  const std::string& s = format.str();
  for (size_t at = 0; at < s.size();) {
    const size_t sign = std::min(s.find('%', at), s.size());
    out.append(format, at, sign);
    at = sign + 1;
    if (sign == s.size()) break;
    Spec spec;
    const Value* chosen = nullptr;
    if (at < s.size() && s[at] == '(') {
      const size_t close = s.find(')', at);
      if (close == s.npos) fail("incomplete format key");
      if (!dict) fail("format requires a mapping");
      const std::string key = s.substr(at + 1, close - at - 1);
      chosen = dict->find(key);
      if (!chosen) fail("KeyError: '", key, "'");
      by_name = true;
      at = close + 1;
    }
    for (; at < s.size() && std::string_view("-+ #0").find(s[at]) != std::string_view::npos; ++at) {
      if (s[at] == '-') spec.align = '<', spec.fill = Text(" ");
      if (s[at] == '0' && spec.align != '<') spec.align = '=', spec.fill = Text("0");
      if (s[at] == '+' || (s[at] == ' ' && spec.sign != '+')) spec.sign = s[at];
      if (s[at] == '#') spec.alternate = true;
    }
    const auto star_or_number = [&] {
      if (at >= s.size() || s[at] != '*') return read_number(s, at);
      ++at;
      return integer_of(take(), "* wants int");
    };
    spec.width = star_or_number();
    if (spec.width < 0) spec.align = '<', spec.fill = Text(" "), spec.width = -spec.width;
    if (at < s.size() && s[at] == '.') {
      ++at;
      spec.precision = std::max<int64_t>(star_or_number(), 0);
    }
    while (at < s.size() && std::string_view("hlL").find(s[at]) != std::string_view::npos) ++at;
    if (at >= s.size()) fail("incomplete format");
    spec.type = s[at++];
    if (spec.type == '%') {
      out.append("%");
      continue;
    }
    const bool plain = std::string_view("sracr").find(spec.type) != std::string_view::npos;
    if (!spec.align) spec.align = '>';
    if (plain && spec.align == '=') spec.align = '>', spec.fill = Text(" ");
    const Text made = percent(in, spec, chosen ? *chosen : take());
    in.charge(made.size());
    out.append(made);
  }
  // What has items by key is passed over where no key is asked for.
  const bool keyed = dict || values.is_list() || values.is<Range>() || values.is<Undefined>();
  if (!by_name && next < list.size() && !keyed)
    fail("not all arguments converted during string formatting");
  return out;
}

}  // namespace hearth::llm::jinja
