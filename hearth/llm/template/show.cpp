// Values as text: Python's str() and repr().
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "hearth/llm/template/fail.h"
#include "hearth/llm/template/loop.h"

namespace hearth::llm::jinja {

// The shortest digits that read back the same; with an exponent below 1e-4 and from 1e16 on.
std::string repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view shortest(buffer, size_t(end.ptr - buffer));  // "-1.25e+02"
  const size_t e = shortest.find('e');
  int exponent = 0;
  const size_t digits_of_exponent = e + (shortest[e + 1] == '+' ? 2 : 1);
  std::from_chars(shortest.data() + digits_of_exponent, shortest.data() + shortest.size(),
                  exponent);
  if (exponent < -4 || exponent >= 16) return std::string(shortest);
  std::string text(
      buffer, std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed).ptr);
  return text.find('.') == text.npos ? text + ".0" : text;
}

namespace {

void append_quoted(Text& to, const Text& text) {
  const std::string_view bytes = text.str();
  const bool single = bytes.find('\'') == bytes.npos || bytes.find('"') != bytes.npos;
  const char quote = single ? '\'' : '"';
  to.append(std::string_view(&quote, 1));
  for (size_t at = 0; at < bytes.size();) {
    const size_t begin = at;
    const char32_t c = next_character(bytes, at);
    const bool mark = text.from_input(begin);
    if (c == char32_t(quote) || c == U'\\')
      to.append(fmt::format("\\{}", char(c)), mark);
    else if (c == U'\n' || c == U'\r' || c == U'\t')
      to.append(c == U'\n' ? "\\n" : c == U'\r' ? "\\r" : "\\t", mark);
    else if (is_printable(c))
      to.append(bytes.substr(begin, at - begin), mark);
    else
      to.append(c <= 0xFF     ? fmt::format("\\x{:02x}", uint32_t(c))
                : c <= 0xFFFF ? fmt::format("\\u{:04x}", uint32_t(c))
                              : fmt::format("\\U{:08x}", uint32_t(c)),
                mark);
  }
  to.append(std::string_view(&quote, 1));
}

void append_repr(Text& to, const Value& v, int depth);

template <class Items, class F>
void append_joined(Text& to, const char* open, const Items& items, const char* close, F&& each) {
  to.append(open);
  bool first = true;
  for (const auto& item : items) {
    if (!first) to.append(", ");
    first = false;
    each(item);
  }
  to.append(close);
}

void append_dict(Text& to, const Dict& dict, int depth) {
  append_joined(to, "{", dict.items(), "}", [&](const auto& item) {
    append_repr(to, item.first, depth);
    to.append(": ");
    append_repr(to, item.second, depth);
  });
}

void append_repr(Text& to, const Value& v, int depth) {
  if (depth > 2 * kMostDepth) fail("a value that holds itself cannot be written");
  ++depth;
  if (v.is<Undefined>()) return to.append("Undefined");
  if (v.is<None>()) return to.append("None");
  if (const auto* b = v.get<bool>()) return to.append(*b ? "True" : "False");
  if (const auto* n = v.get<int64_t>()) return to.append(fmt::format("{}", *n));
  if (const auto* big = v.get<Integer>()) return to.append(to_string(*big));
  if (const auto* d = v.get<double>()) return to.append(repr(*d));
  if (const auto* s = v.get<String>()) {
    if (s->safe) to.append("Markup(");
    append_quoted(to, s->text);
    return to.append(s->safe ? ")" : "");
  }
  if (const auto* l = v.get<List>()) {
    const bool one = v.is_tuple() && l->items.size() == 1;
    return append_joined(to, v.is_tuple() ? "(" : "[", l->items,
                         one            ? ",)"
                         : v.is_tuple() ? ")"
                                        : "]",
                         [&](const Value& item) { append_repr(to, item, depth); });
  }
  if (const auto* dict = v.get<Dict>()) return append_dict(to, *dict, depth);
  if (const auto* space = v.get<Namespace>()) {
    to.append("<Namespace ");
    append_dict(to, space->attributes, depth);
    return to.append(">");
  }
  if (const auto* r = v.get<Range>())
    return to.append(r->step == 1 ? fmt::format("range({}, {})", r->start, r->stop)
                                  : fmt::format("range({}, {}, {})", r->start, r->stop, r->step));
  if (const auto* view = v.get<View>())
    return append_joined(
        to, (type_name(v) + "([").c_str(), view->dict->items(), "])", [&](const auto& item) {
          if (view->of == View::Of::items)
            return append_repr(to, Value::tuple({item.first, item.second}), depth);
          append_repr(to, view->of == View::Of::keys ? item.first : item.second, depth);
        });
  if (const auto* callable = v.get<Callable>()) return to.append(callable->shown);
  if (const auto* loop = v.get<Loop>())
    return to.append(
        fmt::format("<LoopContext {}/{}>", loop->index0() + 1, const_cast<Loop*>(loop)->length()));
  to.append(fmt::format("<{} object>", type_name(v)));
}

}  // namespace

Text repr(const Value& v) {
  Text text;
  append_repr(text, v, 0);
  return text;
}

Text str(const Value& v) {
  if (const auto* s = v.get<String>()) return s->text;
  if (v.is<Undefined>()) return {};
  return repr(v);
}

}  // namespace hearth::llm::jinja
