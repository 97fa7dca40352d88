// Methods of str.
#include "hearth/llm/template/methods.h"

#include <algorithm>

#include "hearth/llm/template/bound.h"
#include "hearth/llm/template/fail.h"

namespace hearth::llm::jinja {

namespace {

const std::string* bytes_of(const Text* text) { return text ? &text->str() : nullptr; }

const std::string* separator(const Text* text) {
  if (text && text->empty()) fail("empty separator");
  return bytes_of(text);
}

Value texts(Interpreter& in, std::vector<Text> parts) {
  in.charge(parts.size() * sizeof(Value));
  Values items;
  for (Text& part : parts) items.emplace_back(std::move(part));
  return Value::list(std::move(items));
}

// The part of a text that find, count, startswith, ... look at.
struct Window {
  size_t begin, end;     // bytes
  bool possible = true;  // the begin is not behind the end
};
Window window(const Text& text, const Bound& b, size_t first) {
  const int64_t n = int64_t(length(text.str()));
  const auto place = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + n : at, 0, n); };
  const int64_t given = b.integer(first, 0);
  const int64_t begin = place(given), end = place(b.integer(first + 1, n));
  return {byte_of(text.str(), size_t(begin)), byte_of(text.str(), size_t(end)),
          given <= n && begin <= end};
}

Value starts_or_ends(Interpreter& in, const Text& text, const Args& args, bool at_start) {
  const Bound b(at_start ? "startswith" : "endswith", args, {"prefix", "start", "end"}, 1);
  const Window w = window(text, b, 1);
  const std::string_view part =
      std::string_view(text.str()).substr(w.begin, w.possible ? w.end - w.begin : 0);
  const auto fits = [&](const Value& v) {
    if (!v.is<String>() && !v.is<Undefined>())
      fail(at_start ? "startswith" : "endswith", " first arg must be str or a tuple of str, not ",
           type_name(v));
    const std::string& other = text_of(v, "startswith").str();
    return w.possible && (at_start ? part.starts_with(other) : part.ends_with(other));
  };
  if (!b[0]->is_tuple()) return Value(fits(*b[0]));
  for (const Value& one : items_of(in, *b[0]))
    if (fits(one)) return Value(true);
  return Value(false);
}

Value find(const Text& text, const Args& args, bool last, bool must) {
  const Bound b("find", args, {"sub", "start", "end"}, 1);
  const std::string& what = text_of(*b[0], "find").str();
  const Window w = window(text, b, 1);
  const std::string_view part =
      std::string_view(text.str()).substr(w.begin, w.possible ? w.end - w.begin : 0);
  const size_t at = !w.possible ? part.npos : last ? part.rfind(what) : part.find(what);
  if (at == part.npos) {
    if (must) fail("substring not found");
    return Value(-1);
  }
  return Value(length(std::string_view(text.str()).substr(0, w.begin + at)));
}

Value count(const Text& text, const Args& args) {
  const Bound b("count", args, {"sub", "start", "end"}, 1);
  const std::string& what = text_of(*b[0], "count").str();
  const Window w = window(text, b, 1);
  if (!w.possible) return Value(0);
  const std::string_view part = std::string_view(text.str()).substr(w.begin, w.end - w.begin);
  if (what.empty()) return Value(length(part) + 1);
  size_t n = 0;
  for (size_t at = 0; (at = part.find(what, at)) != part.npos; at += what.size()) ++n;
  return Value(n);
}

Value partition(const Text& text, const Args& args, bool last) {
  const Bound b("partition", args, {"sep"}, 1);
  const Text& by = text_of(*b[0], "partition");
  separator(&by);
  const size_t at = last ? text.str().rfind(by.str()) : text.str().find(by.str());
  if (at == std::string::npos) {
    if (last) return Value::tuple({Value(""), Value(""), Value(text)});
    return Value::tuple({Value(text), Value(""), Value("")});
  }
  return Value::tuple(
      {Value(text.slice(0, at)), Value(by), Value(text.slice(at + by.size(), text.size()))});
}

Value justified(Interpreter& in, const Text& text, const Args& args, std::string_view where) {
  const Bound b(where, args, {"width", "fillchar"}, 1);
  const Text fill = b[1] ? text_of(*b[1], where) : Text(" ");
  if (length(fill.str()) != 1) fail("The fill character must be exactly one character long");
  const int64_t n = int64_t(length(text.str())), width = b.integer(0, 0);
  const int64_t pad = std::max<int64_t>(width - n, 0);
  in.charge(uint64_t(pad) * fill.size());
  // CPython puts the odd one to the left where the width is odd.
  const int64_t left = where == "ljust" ? 0 : where == "rjust" ? pad : pad / 2 + (pad & width & 1);
  Text out;
  for (int64_t i = 0; i < left; ++i) out.append(fill);
  out.append(text);
  for (int64_t i = left; i < pad; ++i) out.append(fill);
  return Value(std::move(out));
}

Value zfill(Interpreter& in, const Text& text, const Args& args) {
  const Bound b("zfill", args, {"width"}, 1);
  const int64_t pad = std::max<int64_t>(b.integer(0, 0) - int64_t(length(text.str())), 0);
  in.charge(uint64_t(pad));
  const bool sign = text.str().starts_with('-') || text.str().starts_with('+');
  Text out = text.slice(0, sign ? 1 : 0);
  out.append(std::string(size_t(pad), '0'));
  out.append(text, sign ? 1 : 0, text.size());
  return Value(std::move(out));
}

Value expand_tabs(Interpreter& in, const Text& text, const Args& args) {
  const Bound b("expandtabs", args, {"tabsize"});
  const int64_t size = b.integer(0, 8);
  Text out;
  int64_t column = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_character(text.str(), at);
    if (c == U'\t') {
      const int64_t pad = size > 0 ? size - column % size : 0;
      in.charge(uint64_t(pad));
      out.append(std::string(size_t(pad), ' '), text.from_input(begin));
      column += pad;
    } else {
      out.append(text, begin, at);
      column = c == U'\n' || c == U'\r' ? 0 : column + 1;
    }
  }
  return Value(std::move(out));
}

// Whether every character is of a class, and there is one.
template <bool (*is)(char32_t)>
Value all(Interpreter&, const Text& text, const Args& args) {
  Bound("is...", args, {});
  bool every = !text.empty();
  for (size_t at = 0; every && at < text.size();) every = is(next_character(text.str(), at));
  return Value(every);
}
bool ascii(char32_t c) { return c < 128; }
bool alphanumeric(char32_t c) {
  return is_letter(c) || is_decimal(c) || is_digit(c) || is_numeric(c);
}

// Words that begin with a capital, and nowhere else one.
bool titled(const Text& text) {
  bool inside = false, any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text.str(), at);
    const bool up = is_upper(c) || is_title(c), down = is_lower(c);
    if ((up && inside) || (down && !inside)) return false;
    inside = up || down;
    any |= inside;
  }
  return any;
}

bool identifier(const Text& text) {
  for (size_t at = 0; at < text.size();) {
    const bool first = at == 0;
    const char32_t c = next_character(text.str(), at);
    if (!is_letter(c) && c != U'_' && (first || !is_numeric(c))) return false;
  }
  return !text.empty();
}

Value join(Interpreter& in, const Text& by, const Args& args) {
  const Bound b("join", args, {"iterable"}, 1);
  Text out;
  bool first = true;
  size_t i = 0;
  for (const Value& item : items_of(in, *b[0])) {
    if (!item.is<String>())
      fail("sequence item ", i, ": expected str instance, ", type_name(item), " found");
    in.charge(by.size() + item.get<String>()->text.size());
    if (!std::exchange(first, false)) out.append(by);
    out.append(item.get<String>()->text);
    ++i;
  }
  return Value(std::move(out));
}

Value format_map(Interpreter& in, const Text& text, const Args& args) {
  const Bound b("format_map", args, {"mapping"}, 1);
  const auto* dict = b[0]->get<Dict>();
  if (!dict) fail("format_map() wants a dict, got ", type_name(*b[0]));
  Args all;
  for (const auto& [key, value] : dict->items())
    if (key.is<String>()) all.named.emplace_back(key.get<String>()->text.str(), value);
  return Value(format_braces(in, text, all));
}

using Method = Value (*)(Interpreter&, const Text&, const Args&);
struct Named {
  std::string_view name;
  Method call;
};

// A method without arguments that gives another text.
template <Text (*change)(const Text&)>
Value changed(Interpreter&, const Text& text, const Args& args) {
  Bound("str method", args, {});
  return Value(change(text));
}

template <bool left, bool right>
Value stripped(Interpreter&, const Text& text, const Args& args) {
  const Bound b("strip", args, {"chars"});
  return Value(strip(text, bytes_of(b.text(0)), left, right));
}

constexpr Named kMethods[] = {
    {"capitalize", changed<capitalize>},
    {"casefold", changed<casefold>},
    {"center",
     [](Interpreter& in, const Text& t, const Args& a) { return justified(in, t, a, "center"); }},
    {"count", [](Interpreter&, const Text& t, const Args& a) { return count(t, a); }},
    {"endswith",
     [](Interpreter& in, const Text& t, const Args& a) { return starts_or_ends(in, t, a, false); }},
    {"expandtabs", expand_tabs},
    {"find", [](Interpreter&, const Text& t, const Args& a) { return find(t, a, false, false); }},
    {"format",
     [](Interpreter& in, const Text& t, const Args& a) { return Value(format_braces(in, t, a)); }},
    {"format_map", format_map},
    {"index", [](Interpreter&, const Text& t, const Args& a) { return find(t, a, false, true); }},
    {"isalnum", all<alphanumeric>},
    {"isalpha", all<is_letter>},
    {"isascii", [](Interpreter& in, const Text& t,
                   const Args& a) { return t.empty() ? Value(true) : all<ascii>(in, t, a); }},
    {"isdecimal", all<is_decimal>},
    {"isdigit", all<is_digit>},
    {"isidentifier", [](Interpreter&, const Text& t, const Args&) { return Value(identifier(t)); }},
    {"islower", [](Interpreter&, const Text& t, const Args&) { return Value(is_lowercase(t)); }},
    {"isnumeric", all<is_numeric>},
    {"isprintable",
     [](Interpreter& in, const Text& t, const Args& a) {
       return t.empty() ? Value(true) : all<is_printable>(in, t, a);
     }},
    {"isspace", all<is_space>},
    {"istitle", [](Interpreter&, const Text& t, const Args&) { return Value(titled(t)); }},
    {"isupper", [](Interpreter&, const Text& t, const Args&) { return Value(is_uppercase(t)); }},
    {"join", join},
    {"ljust",
     [](Interpreter& in, const Text& t, const Args& a) { return justified(in, t, a, "ljust"); }},
    {"lower", changed<lower>},
    {"lstrip", stripped<true, false>},
    {"partition",
     [](Interpreter&, const Text& t, const Args& a) { return partition(t, a, false); }},
    {"removeprefix",
     [](Interpreter&, const Text& t, const Args& a) {
       const std::string& p =
           text_of(*Bound("removeprefix", a, {"prefix"}, 1)[0], "removeprefix").str();
       return Value(t.str().starts_with(p) ? t.slice(p.size(), t.size()) : t);
     }},
    {"removesuffix",
     [](Interpreter&, const Text& t, const Args& a) {
       const std::string& p =
           text_of(*Bound("removesuffix", a, {"suffix"}, 1)[0], "removesuffix").str();
       return Value(t.str().ends_with(p) ? t.slice(0, t.size() - p.size()) : t);
     }},
    {"replace",
     [](Interpreter& in, const Text& t, const Args& a) {
       const Bound b("replace", a, {"old", "new", "count"}, 2);
       return Value(
           replaced(in, t, text_of(*b[0], "replace"), text_of(*b[1], "replace"), b.integer(2, -1)));
     }},
    {"rfind", [](Interpreter&, const Text& t, const Args& a) { return find(t, a, true, false); }},
    {"rindex", [](Interpreter&, const Text& t, const Args& a) { return find(t, a, true, true); }},
    {"rjust",
     [](Interpreter& in, const Text& t, const Args& a) { return justified(in, t, a, "rjust"); }},
    {"rpartition",
     [](Interpreter&, const Text& t, const Args& a) { return partition(t, a, true); }},
    {"rsplit",
     [](Interpreter& in, const Text& t, const Args& a) {
       const Bound b("rsplit", a, {"sep", "maxsplit"});
       return texts(in, rsplit(t, separator(b.text(0)), b.integer(1, -1)));
     }},
    {"rstrip", stripped<false, true>},
    {"split",
     [](Interpreter& in, const Text& t, const Args& a) {
       const Bound b("split", a, {"sep", "maxsplit"});
       return texts(in, split(t, separator(b.text(0)), b.integer(1, -1)));
     }},
    {"splitlines",
     [](Interpreter& in, const Text& t, const Args& a) {
       return texts(in, split_lines(t, Bound("splitlines", a, {"keepends"}).flag(0, false)));
     }},
    {"startswith",
     [](Interpreter& in, const Text& t, const Args& a) { return starts_or_ends(in, t, a, true); }},
    {"strip", stripped<true, true>},
    {"swapcase", changed<swapcase>},
    {"title", changed<title>},
    {"upper", changed<upper>},
    {"zfill", zfill},
};

}  // namespace

bool is_lowercase(const Text& text) {
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text.str(), at);
    if (is_upper(c) || is_title(c)) return false;
    any |= is_lower(c);
  }
  return any;
}
bool is_uppercase(const Text& text) {
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text.str(), at);
    if (is_lower(c) || is_title(c)) return false;
    any |= is_upper(c);
  }
  return any;
}

Text replaced(Interpreter& in, const Text& text, const Text& old, const Text& by, int64_t most) {
  Text out;
  const std::string& bytes = text.str();
  in.charge(bytes.size());
  int64_t n = 0;
  size_t at = 0;
  const auto put = [&](size_t until) {
    in.charge(by.size() + sizeof(uint32_t));
    out.append(text, at, until);
    out.append(by);
    ++n;
  };
  if (old.empty()) {  // before each character, and at the end
    while (most < 0 || n < most) {
      put(at);
      if (at >= bytes.size()) return out;
      const size_t begin = at;
      next_character(bytes, at);
      out.append(text, begin, at);
    }
  } else {
    for (size_t found; (most < 0 || n < most) && (found = bytes.find(old.str(), at)) != bytes.npos;
         at = found + old.size())
      put(found);
  }
  out.append(text, at, bytes.size());
  return out;
}

std::optional<Value> text_method(const Value& self, std::string_view name) {
  const auto at = std::lower_bound(std::begin(kMethods), std::end(kMethods), name,
                                   [](const Named& m, std::string_view n) { return m.name < n; });
  if (at == std::end(kMethods) || at->name != name) return {};
  return Value(Callable{[self, call = at->call](Interpreter& in, Args& args) {
                          const auto* s = self.get<String>();
                          in.charge(2 * s->text.size());
                          Value result = call(in, s->text, args);
                          if (s->safe)
                            if (const auto* made = result.get<String>())
                              return Value(made->text, true);
                          return result;
                        },
                        concat("<built-in method ", name, " of str object>"), 1});
}

}  // namespace hearth::llm::jinja
