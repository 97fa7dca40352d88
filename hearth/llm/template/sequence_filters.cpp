// value|filter: those on sequences. Generators stay generators, which give their items once.
#include <algorithm>

#include "hearth/llm/template/bound.h"
#include "hearth/llm/template/fail.h"
#include "hearth/llm/template/filters.h"

namespace hearth::llm::jinja {

namespace {

// "a.0.b": each part an item of the one before.
class Path {
 public:
  Path(const Value& attribute) {
    if (attribute.is<None>()) return;
    if (!attribute.is<String>()) {
      parts_.push_back(attribute);
      return;
    }
    const std::string point = ".";
    for (const Text& part : split(attribute.get<String>()->text, &point, -1)) {
      const std::string& s = part.str();
      const bool digits = !s.empty() && s.find_first_not_of("0123456789") == s.npos;
      parts_.push_back(digits ? Value(Integer::parse(s)) : Value(part));
    }
  }
  Value of(Interpreter& in, Value item, const Value* otherwise = nullptr) const {
    for (const Value& part : parts_) {
      item = in.item(item, part);
      if (otherwise && !otherwise->is<None>() && item.is<Undefined>()) item = *otherwise;
    }
    return item;
  }

 private:
  Values parts_;
};

Value without_case(const Value& v) {
  return v.is<String>() ? Value(lower(v.get<String>()->text)) : v;
}

Value generator(std::function<std::optional<Value>()> next, int depth) {
  return Value(Iterator{std::move(next), "generator", depth_around(depth)});
}

Value length_of(Interpreter&, const Value& v, const Args& args) {
  Bound("length", args, {});
  const auto n = size_of(v);
  if (!n) fail("object of type '", type_name(v), "' has no len()");
  return Value(*n);
}

Value first(Interpreter&, const Value& v, const Args& args) {
  Bound("first", args, {});
  Iterator from = iterate(v);
  auto item = from.next();
  return item ? *item : Value::undefined("No first item, sequence was empty.");
}

Value last(Interpreter& in, const Value& v, const Args& args) {
  Bound("last", args, {});
  if (v.is<Iterator>() || v.is<Loop>()) fail("'", type_name(v), "' object is not reversible");
  const Values items = items_of(in, v);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value join(Interpreter& in, const Value& v, const Args& args) {
  const Bound b("join", args, {"d", "attribute"});
  const Text by = b[0] ? str(*b[0]) : Text();
  const Path path(b.value(1, Value()));
  Text out;
  bool any = false;
  for (const Value& item : items_of(in, v)) {
    const Text one = str(path.of(in, item));
    in.charge(by.size() + one.size());
    if (std::exchange(any, true)) out.append(by);
    out.append(one);
  }
  return Value(std::move(out));
}

Value reverse(Interpreter& in, const Value& v, const Args& args) {
  Bound("reverse", args, {});
  if (v.is<String>()) return slice(in, v, Value(), Value(), Value(-1));
  if (!iterable(v)) fail("argument must be iterable");
  Values items = items_of(in, v);
  std::reverse(items.begin(), items.end());
  if (v.is<Iterator>() || v.is<Loop>()) return Value::list(std::move(items));
  Iterator from = iterate(Value::list(std::move(items)));
  from.type = "list_reverseiterator";
  return Value(std::move(from));
}

struct Order {
  bool reverse, with_case;
};

// Stable; `keys` has the key of each item, and is moved from.
Values sorted(Interpreter& in, const Values& items, const Values& keys, bool reverse) {
  in.charge(items.size() * 32 * sizeof(Value));
  std::vector<size_t> order(items.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    in.charge(16);
    return reverse ? less(keys[b], keys[a]) : less(keys[a], keys[b]);
  });
  Values out;
  for (size_t i : order) out.push_back(items[i]);
  return out;
}

Value sort(Interpreter& in, const Value& v, const Args& args) {
  const Bound b("sort", args, {"reverse", "case_sensitive", "attribute"});
  const bool with_case = b.flag(1, false);
  std::vector<Path> paths;
  const Value attribute = b.value(2, Value());
  if (attribute.is<String>()) {
    const std::string comma = ",";
    for (const Text& one : split(attribute.get<String>()->text, &comma, -1))
      paths.emplace_back(Value(one));
  } else {
    paths.emplace_back(attribute);
  }
  const Values items = items_of(in, v);
  Values keys;
  for (const Value& item : items) {
    Values parts;
    for (const Path& path : paths) {
      const Value part = path.of(in, item);
      parts.push_back(with_case ? part : without_case(part));
    }
    keys.push_back(Value::list(std::move(parts)));
  }
  return Value::list(sorted(in, items, keys, b.flag(0, false)));
}

Value dict_sort(Interpreter& in, const Value& v, const Args& args) {
  const Bound b("dictsort", args, {"case_sensitive", "by", "reverse"});
  const std::string by = b[1] ? text_of(*b[1], "dictsort").str() : "key";
  if (by != "key" && by != "value") fail("You can only sort by either \"key\" or \"value\"");
  const auto* dict = v.get<Dict>();
  if (!dict) {
    if (const auto* u = v.get<Undefined>()) fail(*u->why);
    fail("'", type_name(v), "' object has no attribute 'items'");
  }
  Values items, keys;
  for (const auto& [key, value] : dict->items()) {
    items.push_back(Value::tuple({key, value}));
    const Value& one = by == "key" ? key : value;
    keys.push_back(b.flag(0, false) ? one : without_case(one));
  }
  return Value::list(sorted(in, items, keys, b.flag(2, false)));
}

Value group_by(Interpreter& in, const Value& v, const Args& args) {
  const Bound b("groupby", args, {"attribute", "default", "case_sensitive"}, 1);
  const Path path(*b[0]);
  const bool with_case = b.flag(2, false);
  const Values items = items_of(in, v);
  Values keys, places;
  for (size_t i = 0; i < items.size(); ++i) {
    const Value key = path.of(in, items[i], b[1]);
    keys.push_back(with_case ? key : without_case(key));
    places.emplace_back(i);
  }
  Values groups, group;
  const Values order = sorted(in, places, keys, false);
  for (size_t i = 0; i < order.size(); ++i) {
    const size_t at = size_t(*order[i].get<int64_t>());
    group.push_back(items[at]);
    const bool ends =
        i + 1 == order.size() || !equal(keys[at], keys[size_t(*order[i + 1].get<int64_t>())]);
    if (!ends) continue;
    const Value shown = path.of(in, group[0], b[1]);
    groups.push_back(Value::tuple({shown, Value::list(std::exchange(group, {}))}, true));
  }
  return Value::list(std::move(groups));
}

Value unique(Interpreter& in, const Value& v, const Args& args) {
  const Bound b("unique", args, {"case_sensitive", "attribute"});
  const Path path(b.value(1, Value()));
  Iterator from = iterate(v);
  const int depth = from.depth;
  return generator(
      [&in, from = std::move(from), path, with_case = b.flag(0, false),
       seen = std::make_shared<Dict>()]() mutable -> std::optional<Value> {
        while (auto item = from.next()) {
          const Value key = path.of(in, *item);
          const Value plain = with_case ? key : without_case(key);
          in.charge(4 * sizeof(Value));
          if (seen->find(plain)) continue;
          seen->set(plain, Value(true));
          return item;
        }
        return {};
      },
      depth);
}

template <bool largest>
Value extreme(Interpreter& in, const Value& v, const Args& args) {
  const Bound b("min/max", args, {"case_sensitive", "attribute"});
  const Path path(b.value(1, Value()));
  const bool with_case = b.flag(0, false);
  std::optional<Value> best, best_key;
  for (const Value& item : items_of(in, v)) {
    const Value key = path.of(in, item);
    const Value plain = with_case ? key : without_case(key);
    if (!best || (largest ? less(*best_key, plain, ">") : less(plain, *best_key)))
      best = item, best_key = plain;
  }
  return best ? *best : Value::undefined("No aggregated item, sequence was empty.");
}

Value sum(Interpreter& in, const Value& v, const Args& args) {
  const Bound b("sum", args, {"attribute", "start"});
  const Path path(b.value(0, Value()));
  Value total = b.value(1, Value(0));
  if (total.is<String>()) fail("sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& item : items_of(in, v)) total = binary(in, "+", total, path.of(in, item));
  return total;
}

// map('filter', ...) or map(attribute='name', default=...): nothing is done before it is asked for.
Value map(Interpreter& in, const Value& v, const Args& args) {
  if (!truth(v)) return generator([] { return std::optional<Value>(); }, 0);
  std::function<Value(const Value&)> change;
  if (args.values.empty()) {
    const Bound b("map", args, {"attribute", "default"});
    if (!b[0]) fail("map requires a filter argument");
    change = [&in, path = Path(*b[0]), otherwise = b.value(1, Value())](const Value& item) {
      return path.of(in, item, &otherwise);
    };
  } else {
    const std::string name = text_of(args.values[0], "map").str();
    Args rest{{args.values.begin() + 1, args.values.end()}, args.named};
    change = [&in, name, rest](const Value& item) mutable { return in.filter(name, item, rest); };
  }
  Iterator from = iterate(v);
  const int depth = from.depth;
  return generator(
      [from = std::move(from), change]() -> std::optional<Value> {
        const auto item = from.next();
        if (!item) return {};
        return change(*item);
      },
      depth);
}

// select, reject, selectattr, rejectattr.
template <bool wanted, bool by_attribute>
Value select(Interpreter& in, const Value& v, const Args& args) {
  if (!truth(v)) return generator([] { return std::optional<Value>(); }, 0);
  size_t at = 0;
  if (by_attribute && args.values.empty()) fail("Missing parameter for attribute name");
  const Path path(by_attribute ? args.values[at++] : Value());
  std::string name;
  Args rest;
  if (at < args.values.size()) {
    name = text_of(args.values[at++], "select").str();
    rest = {{args.values.begin() + long(at), args.values.end()}, args.named};
  }
  Iterator from = iterate(v);
  const int depth = from.depth;
  return generator(
      [&in, from = std::move(from), path, name, rest]() mutable -> std::optional<Value> {
        while (auto item = from.next()) {
          in.charge(sizeof(Value));
          const Value what = path.of(in, *item);
          if ((name.empty() ? truth(what) : in.test(name, what, rest)) == wanted) return item;
        }
        return {};
      },
      depth);
}

Value batch(Interpreter& in, const Value& v, const Args& args) {
  const Bound b("batch", args, {"linecount", "fill_with"}, 1);
  const size_t size = size_t(std::max<int64_t>(b.integer(0, 1), 1));
  Values all, now;
  const auto put = [&] { all.push_back(Value::list(std::exchange(now, {}))); };
  for (const Value& item : items_of(in, v)) {
    if (now.size() == size) put();
    now.push_back(item);
  }
  if (!now.empty()) {
    if (b[1] && !b[1]->is<None>() && now.size() < size) {
      in.charge((size - now.size()) * sizeof(Value));
      now.resize(size, *b[1]);
    }
    put();
  }
  return generator(iterate(Value::list(std::move(all))).next, 0);
}

Value slices(Interpreter& in, const Value& v, const Args& args) {
  const Bound b("slice", args, {"slices", "fill_with"}, 1);
  const Values items = items_of(in, v);
  const int64_t n = b.integer(0, 1);
  if (n <= 0) fail("integer division or modulo by zero");
  in.charge(uint64_t(n) * sizeof(Value));
  const size_t count = size_t(n), each = items.size() / count, extra = items.size() % count;
  Values all;
  size_t at = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t size = each + (i < extra);
    Values part(items.begin() + long(at), items.begin() + long(at + size));
    at += size;
    if (b[1] && !b[1]->is<None>() && i >= extra) part.push_back(*b[1]);
    all.push_back(Value::list(std::move(part)));
  }
  return generator(iterate(Value::list(std::move(all))).next, 0);
}

Value items(Interpreter&, const Value& v, const Args& args) {
  Bound("items", args, {});
  if (v.is<Undefined>()) return generator([] { return std::optional<Value>(); }, 0);
  if (!v.is<Dict>()) fail("Can only get item pairs from a mapping.");
  return generator(iterate(Value(View{View::Of::items, v.dict_ref()})).next, depth_of(v));
}

Value attribute(Interpreter& in, const Value& v, const Args& args) {
  const Bound b("attr", args, {"name"}, 1);
  const std::string& name = text_of(*b[0], "attr").str();
  if (v.is<Dict>() && !changes(v, name) && !method_of(v, name))
    return Value::undefined(concat(object_name(v), " has no attribute '", name, "'"));
  return in.attribute(v, name);
}

}  // namespace

const std::map<std::string_view, Filter>& sequence_filters() {
  static const std::map<std::string_view, Filter> all = {
      {"attr", attribute},
      {"batch", batch},
      {"count", length_of},
      {"dictsort", dict_sort},
      {"first", first},
      {"groupby", group_by},
      {"items", items},
      {"join", join},
      {"last", last},
      {"length", length_of},
      {"list",
       [](Interpreter& in, const Value& v, const Args&) { return Value::list(items_of(in, v)); }},
      {"map", map},
      {"max", extreme<true>},
      {"min", extreme<false>},
      {"reject", select<false, false>},
      {"rejectattr", select<false, true>},
      {"reverse", reverse},
      {"select", select<true, false>},
      {"selectattr", select<true, true>},
      {"slice", slices},
      {"sort", sort},
      {"sum", sum},
      {"unique", unique},
  };
  return all;
}

Value Interpreter::filter(std::string_view name, const Value& value, Args& args) {
  charge(value.is<String>() ? 2 * value.get<String>()->text.size() : 16);
  for (const auto* filters : {&text_filters(), &sequence_filters()})
    if (const auto at = filters->find(name); at != filters->end())
      return at->second(*this, value, args);
  fail("No filter named '", name, "'.");
}

}  // namespace hearth::llm::jinja
