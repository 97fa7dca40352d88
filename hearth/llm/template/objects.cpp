// Methods of everything but str, and the functions that a template finds by name.
#include <algorithm>
#include <cmath>

#include "hearth/llm/template/bound.h"
#include "hearth/llm/template/fail.h"
#include "hearth/llm/template/loop.h"
#include "hearth/llm/template/methods.h"

namespace hearth::llm::jinja {

namespace {

using Call = Value (*)(Interpreter&, const Value& self, Args&);

Value method(const Value& self, std::string_view name, Call call) {
  return Value(Callable{[self, call](Interpreter& in, Args& args) { return call(in, self, args); },
                        concat("<built-in method ", name, " of ", type_name(self), " object>"),
                        depth_around(depth_of(self))});
}

template <View::Of of>
Value view(Interpreter&, const Value& self, Args& args) {
  Bound("view", args, {});
  return Value(View{of, self.dict_ref()});
}

std::optional<Value> dict_method(const Value& self, std::string_view name) {
  if (name == "get")
    return method(self, name, [](Interpreter&, const Value& s, Args& args) {
      const Bound b("get", args, {"key", "default"}, 1);
      if (b[0]->is<List>() && !b[0]->is_tuple()) fail("unhashable type: 'list'");
      const Value* found = s.get<Dict>()->find(*b[0]);
      return found ? *found : b.value(1, Value());
    });
  if (name == "items") return method(self, name, view<View::Of::items>);
  if (name == "keys") return method(self, name, view<View::Of::keys>);
  if (name == "values") return method(self, name, view<View::Of::values>);
  if (name == "copy")
    return method(self, name, [](Interpreter&, const Value& s, Args& args) {
      Bound("copy", args, {});
      return s;
    });
  return {};
}

std::optional<Value> list_method(const Value& self, std::string_view name) {
  const List& list = *self.get<List>();
  if (list.grouped && (name == "grouper" || name == "list"))
    return list.items[name == "list" ? 1 : 0];
  if (name == "count")
    return method(self, name, [](Interpreter& in, const Value& s, Args& args) {
      const Bound b("count", args, {"value"}, 1);
      const Values& items = s.get<List>()->items;
      in.charge(items.size());
      return Value(size_t(std::count_if(items.begin(), items.end(),
                                        [&](const Value& v) { return equal(v, *b[0]); })));
    });
  if (name == "index")
    return method(self, name, [](Interpreter& in, const Value& s, Args& args) {
      const Bound b("index", args, {"value", "start", "stop"}, 1);
      const Values& items = s.get<List>()->items;
      const int64_t n = int64_t(items.size());
      in.charge(items.size());
      const auto place = [&](int64_t at) {
        return std::clamp<int64_t>(at < 0 ? at + n : at, 0, n);
      };
      for (int64_t i = place(b.integer(1, 0)); i < place(b.integer(2, n)); ++i)
        if (equal(items[size_t(i)], *b[0])) return Value(i);
      fail(repr(*b[0]).str(), " is not in ", type_name(s));
    });
  if (name == "copy" && self.is_list())
    return method(self, name, [](Interpreter&, const Value& s, Args&) { return s; });
  return {};
}

std::optional<Value> number_method(const Value& self, std::string_view name) {
  if (name == "is_integer" && self.is<double>())
    return method(self, name, [](Interpreter&, const Value& s, Args&) {
      const double d = *s.get<double>();
      return Value(std::isfinite(d) && std::floor(d) == d);
    });
  if (name == "real" || name == "numerator") return self;
  if (name == "imag") return self.is<double>() ? Value(0.0) : Value(0);
  return {};
}

// dict(...) and namespace(...): a mapping or pairs, then names.
std::shared_ptr<Dict> dict_of(Interpreter& in, const Args& args, std::string_view function) {
  auto dict = std::make_shared<Dict>();
  if (args.values.size() > 1)
    fail(function, " expected at most 1 argument, got ", args.values.size());
  for (const Value& from : args.values) {
    if (const auto* other = from.get<Dict>()) {
      for (const auto& [key, value] : other->items()) dict->set(key, value);
    } else {
      for (const Value& pair : items_of(in, from)) {
        const Values both = items_of(in, pair);
        if (both.size() != 2) fail(function, ": wanted pairs, got ", both.size(), " items");
        dict->set(both[0], both[1]);
      }
    }
  }
  for (const auto& [name, value] : args.named) dict->set(name, value);
  in.charge(dict->size() * 4 * sizeof(Value));
  return dict;
}

Value range(Interpreter&, Args& args) {
  const Bound b("range", args, {"start", "stop", "step"}, 1);
  Range r;
  if (b[1]) r.start = integer_of(*b[0], "range");
  r.stop = integer_of(b[1] ? *b[1] : *b[0], "range");
  if (b[2]) r.step = integer_of(*b[2], "range");
  if (r.step == 0) fail("range() arg 3 must not be zero");
  constexpr int64_t kMost = 100000, kFarthest = int64_t(1) << 60;
  for (int64_t end : {r.start, r.stop, r.step})
    if (end > kFarthest || end < -kFarthest) fail("range(): a number is too large");
  if (r.size() > kMost)
    fail("Range too big. The sandbox blocks ranges larger than MAX_RANGE (", kMost, ").");
  return Value(r);
}

Value make_namespace(Interpreter& in, Args& args) {
  auto space = std::make_shared<Namespace>();
  space->attributes = *dict_of(in, args, "namespace");
  for (const auto& [key, value] : space->attributes.items())
    if (key.is<String>() && key.get<String>()->text.str().starts_with('_'))
      fail("Chat templates cannot store underscore-prefixed attributes on a namespace, but got ",
           repr(key).str(), ". Please rename the attribute.");
  in.keep(space);
  return Value(std::move(space));
}

Value strftime_now(Interpreter& in, Args& args) {
  const Bound b("strftime_now", args, {"format"}, 1);
  std::string format;
  const std::string& given = text_of(*b[0], "strftime_now").str();
  for (size_t i = 0; i < given.size(); ++i) {
    if (given[i] == '%' && i + 1 < given.size() &&
        std::string_view("fzZ").find(given[i + 1]) != std::string_view::npos) {
      if (given[++i] == 'f') format += "000000";  // microseconds; a time without a zone has none
    } else if (given[i] == '%' && i + 1 < given.size() && given[i + 1] == '%') {
      format += "%%", ++i;
    } else {
      format += given[i];
    }
  }
  if (format.empty()) return Value("");
  std::string text(4096, '\0');
  const size_t n = std::strftime(text.data(), text.size(), format.c_str(), &in.now());
  if (n == 0) fail("strftime_now: the date is longer than ", text.size(), " bytes, or empty");
  text.resize(n);
  return Value(Text(std::move(text)));
}

Value raise_exception(Interpreter&, Args& args) {
  const Bound b("raise_exception", args, {"message"}, 1);
  throw Refused(str(*b[0]).str());
}

}  // namespace

bool changes(const Value& object, std::string_view name) {
  const auto one_of = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (object.is<Dict>()) return one_of({"clear", "pop", "popitem", "setdefault", "update"});
  return object.is_list() &&
         one_of({"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"});
}

std::optional<Value> method_of(const Value& object, std::string_view name) {
  if (object.is<String>()) return text_method(object, name);
  if (object.is<Dict>()) return dict_method(object, name);
  if (object.is<List>()) return list_method(object, name);
  if (is_number(object)) return number_method(object, name);
  if (const auto* space = object.get<Namespace>())
    if (const Value* value = space->attributes.find(name)) return *value;
  return {};
}

std::map<std::string, Value, std::less<>> functions() {
  const auto function = [](const char* name, Value (*call)(Interpreter&, Args&)) {
    return std::pair<const std::string, Value>(
        name, Value(Callable{call, concat("<function ", name, ">")}));
  };
  return {function("range", range), function("namespace", make_namespace),
          function("dict",
                   [](Interpreter& in, Args& args) {
                     return Value(std::shared_ptr<const Dict>(dict_of(in, args, "dict")));
                   }),
          function("raise_exception", raise_exception), function("strftime_now", strftime_now)};
}

}  // namespace hearth::llm::jinja
