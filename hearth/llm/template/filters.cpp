// value|filter: those on texts and numbers. Those on sequences: sequence_filters.cpp.
#include "hearth/llm/template/filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "hearth/llm/template/bound.h"
#include "hearth/llm/template/fail.h"
#include "hearth/llm/template/json.h"
#include "hearth/llm/template/methods.h"

namespace hearth::llm::jinja {

Text escaped(const Text& text) {
  Text out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const bool mark = text.from_input(begin);
    switch (text.str()[at++]) {
      case '&': out.append("&amp;", mark); break;
      case '<': out.append("&lt;", mark); break;
      case '>': out.append("&gt;", mark); break;
      case '\'': out.append("&#39;", mark); break;
      case '"': out.append("&#34;", mark); break;
      default: out.append(text, begin, at);
    }
  }
  return out;
}

namespace {

bool is_safe(const Value& v) { return v.is<String>() && v.get<String>()->safe; }

template <Text (*change)(const Text&)>
Value changed(Interpreter&, const Value& v, const Args& args) {
  Bound("filter", args, {});
  return Value(change(str(v)), is_safe(v));
}

Value default_of(Interpreter&, const Value& v, const Args& args) {
  const Bound b("default", args, {"default_value", "boolean"});
  const bool missing = v.is<Undefined>() || (b.flag(1, false) && !truth(v));
  return missing ? b.value(0, Value("")) : v;
}

Value replace(Interpreter& in, const Value& v, const Args& args) {
  const Bound b("replace", args, {"old", "new", "count"}, 2);
  return Value(replaced(in, str(v), str(*b[0]), str(*b[1]), b.integer(2, -1)));
}

Value trim(Interpreter&, const Value& v, const Args& args) {
  const Bound b("trim", args, {"chars"});
  const Text* chars = b.text(0);
  return Value(strip(str(v), chars ? &chars->str() : nullptr, true, true), is_safe(v));
}

Value indent(Interpreter& in, const Value& v, const Args& args) {
  const Bound b("indent", args, {"width", "first", "blank"});
  Text pad("    ");
  if (b[0] && b[0]->is<String>()) {
    pad = b[0]->get<String>()->text;
  } else if (b[0]) {
    const int64_t width = std::max<int64_t>(integer_of(*b[0], "indent"), 0);
    in.charge(uint64_t(width));
    pad = Text(std::string(size_t(width), ' '));
  }
  Text with_end = text_of(v, "indent");
  with_end.append("\n");
  const auto lines = split_lines(with_end, false);
  const bool blank = b.flag(2, false);
  in.charge(with_end.size() + lines.size() * (pad.size() + 1));
  Text out = b.flag(1, false) ? pad : Text();
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n");
    if (i > 0 && (blank || !lines[i].empty())) out.append(pad);
    out.append(lines[i]);
  }
  return Value(std::move(out), is_safe(v));
}

// int("  1_000 ", base), as Python reads it.
std::optional<Integer> whole(const Text& text, int64_t base) {
  std::string s = strip(text, nullptr, true, true).str();
  bool negative = false;
  if (!s.empty() && (s[0] == '-' || s[0] == '+')) negative = s[0] == '-', s.erase(0, 1);
  const auto prefix = [&](char letter, int64_t of) {
    if (s.size() < 2 || s[0] != '0' || (s[1] | 0x20) != letter || (base != of && base != 0)) return;
    base = of;
    s.erase(0, s.size() > 2 && s[2] == '_' ? 3 : 2);
  };
  prefix('x', 16), prefix('o', 8), prefix('b', 2);
  if (base == 0) base = 10;
  if (s.empty() || s[0] == '_' || s.back() == '_' || s.find("__") != s.npos) return {};
  std::erase(s, '_');
  if (base < 2 || base > 36 || s.size() > Integer::kMostDigits) return {};
  Integer n(0);
  if (base == 10) {
    if (s.find_first_not_of("0123456789") != s.npos) return {};
    n = Integer::parse(s);
  } else {
    if (s.size() > 1000) return {};
    for (const char& c : s) {
      int digit = 0;
      if (std::from_chars(&c, &c + 1, digit, int(base)).ec != std::errc()) return {};
      n = n * Integer(base) + Integer(digit);
    }
  }
  return negative ? -n : n;
}

// float("  1_0.5e3 ")
std::optional<double> real(const Text& text) {
  std::string s = strip(text, nullptr, true, true).str();
  if (s.empty() || s[0] == '_' || s.back() == '_') return {};
  std::erase(s, '_');
  bool negative = false;
  size_t at = 0;
  if (s[0] == '-' || s[0] == '+') negative = s[at++] == '-';
  double value = 0;
  const char* end = s.data() + s.size();
  if (at >= s.size() || s[at] == '-') return {};
  const auto [stop, error] = std::from_chars(s.data() + at, end, value);
  if (stop != end || (error != std::errc() && error != std::errc::result_out_of_range)) return {};
  if (error != std::errc()) value = std::strtod(s.c_str() + at, nullptr);
  return negative ? -value : value;
}

std::optional<double> as_real(const Value& v) {
  if (v.is<String>()) return real(v.get<String>()->text);
  if (is_number(v)) return number_of(v, "float");
  if (const auto* u = v.get<Undefined>()) fail(*u->why);
  return {};
}

Value to_int(Interpreter&, const Value& v, const Args& args) {
  const Bound b("int", args, {"default", "base"});
  const Value otherwise = b.value(0, Value(0));
  if (v.is<String>())
    if (const auto n = whole(v.get<String>()->text, b.integer(1, 10))) return Value(*n);
  if (is_integer(v)) return Value(big_of(v));
  const auto d = as_real(v);
  return d && std::isfinite(*d) ? Value(Integer::truncated(*d)) : otherwise;
}

Value to_float(Interpreter&, const Value& v, const Args& args) {
  const Bound b("float", args, {"default"});
  const auto d = as_real(v);
  return d ? Value(*d) : b.value(0, Value(0.0));
}

Value absolute(Interpreter&, const Value& v, const Args& args) {
  Bound("abs", args, {});
  if (v.is<double>()) return Value(std::fabs(*v.get<double>()));
  if (!is_integer(v)) {
    if (const auto* u = v.get<Undefined>()) fail(*u->why);
    fail("bad operand type for abs(): '", type_name(v), "'");
  }
  const Integer n = big_of(v);
  return Value(n.negative() ? -n : n);
}

Value round(Interpreter&, const Value& v, const Args& args) {
  const Bound b("round", args, {"precision", "method"});
  const int64_t digits = b.integer(0, 0);
  const std::string method = b[1] ? text_of(*b[1], "round").str() : "common";
  if (method != "common" && method != "ceil" && method != "floor")
    fail("method must be common, ceil or floor");
  const double x = number_of(v, "round");
  if (digits > 300 || digits < -300) fail("round: a precision of ", digits);
  if (method != "common") {
    const double scale = std::pow(10.0, double(digits));
    const double scaled = x * scale;
    if (!std::isfinite(scaled)) fail("cannot convert float infinity or NaN to integer");
    return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
  }
  if (is_integer(v) && digits >= 0) return Value(big_of(v));
  if (is_integer(v)) {  // half to even
    Integer unit(1);
    for (int64_t i = digits; i < 0; ++i) unit = unit * Integer(10);
    auto [quotient, rest] = divide(big_of(v), unit);
    const int half = compare(rest + rest, unit);
    if (half > 0 || (half == 0 && !divide(quotient, Integer(2)).rest.zero()))
      quotient = quotient + Integer(1);
    return Value(quotient * unit);
  }
  if (!std::isfinite(x)) return v;
  if (digits >= 0) {  // correctly rounded digits, read back
    const std::string shown = fmt::format("{:.{}f}", x, int(digits));
    return Value(std::strtod(shown.c_str(), nullptr));
  }
  const double unit = std::pow(10.0, double(-digits));
  return Value(std::nearbyint(x / unit) * unit);
}

Value truncate(Interpreter&, const Value& v, const Args& args) {
  const Bound b("truncate", args, {"length", "killwords", "end", "leeway"});
  const Text end = b[2] ? text_of(*b[2], "truncate") : Text("...");
  const int64_t most = b.integer(0, 255), leeway = b.integer(3, 5);
  const int64_t ending = int64_t(length(end.str()));
  if (most < ending) fail("expected length >= ", ending, ", got ", most);
  if (leeway < 0) fail("expected leeway >= 0, got ", leeway);
  const auto size = size_of(v);
  if (size && int64_t(*size) <= most + leeway) return v;  // whatever it is
  const Text& text = text_of(v, "truncate");
  Text kept = text.slice(0, byte_of(text.str(), size_t(most - ending)));
  if (!b.flag(1, false))
    if (const size_t space = kept.str().rfind(' '); space != std::string::npos)
      kept = kept.slice(0, space);
  kept.append(end);
  return Value(std::move(kept));
}

Value center(Interpreter& in, const Value& v, const Args& args) {
  const Bound b("center", args, {"width"});
  Args width{{Value(b.integer(0, 80))}, {}};
  return in.call(*text_method(Value(str(v)), "center"), width);
}

// Words begin behind white space and opening brackets.
Value title_words(Interpreter&, const Value& v, const Args& args) {
  Bound("title", args, {});
  const Text text = str(v);
  Text out;
  const auto starts = [](char32_t c) {
    return is_space(c) || c == U'-' || c == U'(' || c == U'{' || c == U'[' || c == U'<';
  };
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_character(text.str(), at);
    if (starts(c)) {
      out.append(text, begin, at);
      continue;
    }
    size_t end = at;
    while (end < text.size()) {
      size_t next = end;
      if (starts(next_character(text.str(), next))) break;
      end = next;
    }
    out.append(upper(text.slice(begin, at)));
    out.append(lower(text.slice(at, end)));
    at = end;
  }
  return Value(std::move(out));
}

Value word_count(Interpreter&, const Value& v, const Args& args) {
  Bound("wordcount", args, {});
  const Text text = str(v);
  bool inside = false;
  size_t n = 0;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text.str(), at);
    const bool word = is_letter(c) || is_numeric(c) || c == U'_';
    n += word && !inside;
    inside = word;
  }
  return Value(n);
}

void append_quoted(Text& to, const Text& text, bool form) {
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text.str()[at];
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       std::string_view("_.-~").find(c) != std::string_view::npos ||
                       (c == '/' && !form);
    if (plain)
      to.append(std::string_view(&c, 1), text.from_input(at));
    else if (c == ' ' && form)
      to.append("+", text.from_input(at));
    else
      to.append(fmt::format("%{:02X}", uint8_t(c)), text.from_input(at));
  }
}

Value url_encode(Interpreter& in, const Value& v, const Args& args) {
  Bound("urlencode", args, {});
  Text out;
  if (v.is<String>() || !iterable(v)) {
    append_quoted(out, str(v), false);
    return Value(std::move(out));
  }
  const Value pairs = v.is<Dict>() ? Value(View{View::Of::items, v.dict_ref()}) : v;
  for (const Value& pair : items_of(in, pairs)) {
    const Values both = items_of(in, pair);
    if (both.size() != 2) fail("urlencode: wanted pairs, got ", both.size(), " items");
    if (!out.empty()) out.append("&");
    append_quoted(out, str(both[0]), true);
    out.append("=");
    append_quoted(out, str(both[1]), true);
  }
  return Value(std::move(out));
}

Value format(Interpreter& in, const Value& v, const Args& args) {
  if (!args.values.empty() && !args.named.empty())
    fail("can't handle positional and keyword arguments at the same time");
  if (args.named.empty()) return Value(format_percent(in, str(v), Value::tuple(args.values)));
  auto dict = std::make_shared<Dict>();
  for (const auto& [name, value] : args.named) dict->set(name, value);
  return Value(format_percent(in, str(v), Value(std::shared_ptr<const Dict>(dict))));
}

Value to_json(Interpreter& in, const Value& v, const Args& args) {
  const Bound b("tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii = b.flag(0, false);
  style.sorted = b.flag(3, false);
  if (b[1] && b[1]->is<String>()) {
    style.indent = b[1]->get<String>()->text.str();
  } else if (b[1] && !b[1]->is<None>()) {
    const int64_t n = std::max<int64_t>(integer_of(*b[1], "tojson"), 0);
    in.charge(uint64_t(n));
    style.indent = std::string(size_t(n), ' ');
  }
  if (style.indent) style.between.erase(1);  // without the space
  if (b[2] && !b[2]->is<None>()) {
    const Values both = items_of(in, *b[2]);
    if (both.size() != 2) fail("tojson: separators: wanted two texts, got ", both.size());
    style.between = text_of(both[0], "separators").str();
    style.colon = text_of(both[1], "separators").str();
  }
  return Value(json_of(in, v, style));
}

}  // namespace

const std::map<std::string_view, Filter>& text_filters() {
  static const std::map<std::string_view, Filter> all = {
      {"abs", absolute},
      {"capitalize", changed<capitalize>},
      {"center", center},
      {"d", default_of},
      {"default", default_of},
      {"e", [](Interpreter&, const Value& v,
               const Args&) { return is_safe(v) ? v : Value(escaped(str(v)), true); }},
      {"escape", [](Interpreter&, const Value& v,
                    const Args&) { return is_safe(v) ? v : Value(escaped(str(v)), true); }},
      {"float", to_float},
      {"forceescape",
       [](Interpreter&, const Value& v, const Args&) { return Value(escaped(str(v)), true); }},
      {"format", format},
      {"indent", indent},
      {"int", to_int},
      {"lower", changed<lower>},
      {"replace", replace},
      {"round", round},
      {"safe", [](Interpreter&, const Value& v, const Args&) { return Value(str(v), true); }},
      {"string", [](Interpreter&, const Value& v,
                    const Args&) { return v.is<String>() ? v : Value(str(v)); }},
      {"title", title_words},
      {"tojson", to_json},
      {"trim", trim},
      {"truncate", truncate},
      {"upper", changed<upper>},
      {"urlencode", url_encode},
      {"wordcount", word_count},
  };
  return all;
}

}  // namespace hearth::llm::jinja
