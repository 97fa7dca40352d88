#include "hearth/llm/template/value.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "hearth/llm/template/fail.h"
#include "hearth/llm/template/interpreter.h"
#include "hearth/llm/template/loop.h"

namespace hearth::llm::jinja {

int64_t Range::size() const {
  if (step > 0 ? start >= stop : start <= stop) return 0;
  const __int128 span = step > 0 ? __int128(stop) - start : __int128(start) - stop;
  const __int128 stride = step > 0 ? __int128(step) : -__int128(step);
  const __int128 n = (span + stride - 1) / stride;
  return n > INT64_MAX ? INT64_MAX : int64_t(n);
}

Value::Value(const Integer& n) {
  if (const auto small = n.small())
    any_ = *small;
  else
    any_ = std::make_shared<const Integer>(n);
}

Value Value::undefined(std::string why) {
  Value v;
  v.any_ = Undefined{std::make_shared<const std::string>(std::move(why))};
  return v;
}

namespace {
std::shared_ptr<const List> make_list(Values items, bool grouped) {
  int inner = 0;
  for (const Value& item : items) inner = std::max(inner, depth_of(item));
  return std::make_shared<const List>(List{std::move(items), depth_around(inner), grouped});
}
}  // namespace

Value Value::list(Values items) {
  Value v;
  v.any_ = make_list(std::move(items), false);
  return v;
}

Value Value::tuple(Values items, bool grouped) {
  Value v;
  v.any_ = make_list(std::move(items), grouped);
  v.tuple_ = true;
  return v;
}

std::shared_ptr<const Dict> Value::dict_ref() const {
  const auto* held = std::get_if<std::shared_ptr<const Dict>>(&any_);
  return held ? *held : nullptr;
}

bool Value::same(const Value& other) const {
  return std::visit(
      [&]<class T>(const T& mine) {
        const T* theirs = std::get_if<T>(&other.any_);
        if constexpr (std::is_same_v<T, None>)
          return theirs != nullptr;
        else if constexpr (std::is_same_v<T, Undefined>)
          return theirs && theirs->why == mine.why;
        else
          return theirs && *theirs == mine;
      },
      any_);
}

int depth_of(const Value& value) {
  if (const auto* list = value.get<List>()) return list->depth;
  if (const auto* dict = value.get<Dict>()) return dict->depth();
  if (const auto* view = value.get<View>()) return view->dict->depth();
  if (const auto* iterator = value.get<Iterator>()) return iterator->depth;
  if (const auto* callable = value.get<Callable>()) return callable->depth;
  return 0;
}

int depth_around(int inner) {
  if (inner >= kMostDepth) fail("values are nested deeper than ", kMostDepth, " levels");
  return inner + 1;
}

namespace {

// Keys are ordered by kind, then by value: numbers of all kinds are one.
int rank(const Value& v) {
  if (v.is<None>()) return 0;
  if (is_number(v)) return 1;
  if (v.is<String>()) return 2;
  if (v.is_tuple()) return 3;
  return 4;
}

int compare_numbers(const Value& a, const Value& b) {
  if (is_integer(a) && is_integer(b)) {
    const auto *x = a.get<int64_t>(), *y = b.get<int64_t>();
    if (x && y) return *x < *y ? -1 : *x > *y;
    return compare(big_of(a), big_of(b));
  }
  const double x = number_of(a, ""), y = number_of(b, "");
  return x < y ? -1 : x > y;
}

}  // namespace

bool Dict::Less::operator()(const Value& a, const Value& b) const {
  const int kind = rank(a);
  if (kind != rank(b)) return kind < rank(b);
  if (kind == 1) return compare_numbers(a, b) < 0;
  if (kind == 2) return a.get<String>()->text.str() < b.get<String>()->text.str();
  if (kind == 3)
    return std::lexicographical_compare(a.get<List>()->items.begin(), a.get<List>()->items.end(),
                                        b.get<List>()->items.begin(), b.get<List>()->items.end(),
                                        *this);
  if (kind == 4) fail("unhashable type: '", type_name(a), "'");
  return false;
}

void Dict::set(const Value& key, Value value) {
  if (rank(key) == 4) fail("unhashable type: '", type_name(key), "'");
  depth_ = std::max(depth_, depth_around(std::max(depth_of(key), depth_of(value))));
  const auto [at, added] = at_.emplace(key, items_.size());
  if (added)
    items_.emplace_back(key, std::move(value));
  else
    items_[at->second].second = std::move(value);
}

const Value* Dict::find(const Value& key) const {
  if (rank(key) == 4) return nullptr;
  const auto at = at_.find(key);
  return at == at_.end() ? nullptr : &items_[at->second].second;
}

std::string type_name(const Value& v) {
  if (v.is<Undefined>()) return "Undefined";
  if (v.is<None>()) return "NoneType";
  if (v.is<bool>()) return "bool";
  if (is_integer(v)) return "int";
  if (v.is<double>()) return "float";
  if (const auto* s = v.get<String>()) return s->safe ? "Markup" : "str";
  if (v.is<List>()) return v.is_tuple() ? "tuple" : "list";
  if (v.is<Dict>()) return "dict";
  if (v.is<Namespace>()) return "Namespace";
  if (v.is<Range>()) return "range";
  if (v.is<Loop>()) return "LoopContext";
  if (const auto* i = v.get<Iterator>()) return i->type;
  if (const auto* view = v.get<View>())
    return view->of == View::Of::keys     ? "dict_keys"
           : view->of == View::Of::values ? "dict_values"
                                          : "dict_items";
  return "function";
}

std::string object_name(const Value& v) {
  if (v.is<None>()) return "'None'";
  const bool safe = v.is<String>() && v.get<String>()->safe;
  return fmt::format("'{}{} object'", safe ? "markupsafe." : "", type_name(v));
}

bool truth(const Value& v) {
  if (v.is<Undefined>() || v.is<None>()) return false;
  if (const auto* b = v.get<bool>()) return *b;
  if (const auto* n = v.get<int64_t>()) return *n != 0;
  if (const auto* d = v.get<double>()) return *d != 0;
  if (v.is<Integer>() || v.is<Loop>()) return true;
  if (const auto* s = v.get<String>()) return !s->text.empty();
  if (const auto n = size_of(v)) return *n > 0;
  return true;
}

bool equal(const Value& a, const Value& b) {
  if (is_number(a) && is_number(b)) {
    const bool nan = (a.is<double>() && std::isnan(*a.get<double>())) ||
                     (b.is<double>() && std::isnan(*b.get<double>()));
    return !nan && compare_numbers(a, b) == 0;
  }
  if (const auto* x = a.get<String>(), *y = b.get<String>(); x && y) return x->text == y->text;
  if (const auto* x = a.get<List>(), *y = b.get<List>(); x && y) {
    if (a.is_tuple() != b.is_tuple() || x->items.size() != y->items.size()) return false;
    for (size_t i = 0; i < x->items.size(); ++i)
      if (!equal(x->items[i], y->items[i])) return false;
    return true;
  }
  if (const auto* x = a.get<Dict>(), *y = b.get<Dict>(); x && y) {
    if (x->size() != y->size()) return false;
    for (const auto& [key, value] : x->items()) {
      const Value* other = y->find(key);
      if (!other || !equal(value, *other)) return false;
    }
    return true;
  }
  if (const auto* x = a.get<Range>(), *y = b.get<Range>(); x && y)
    return x->size() == y->size() &&
           (x->size() == 0 || (x->start == y->start && (x->size() == 1 || x->step == y->step)));
  if (a.is<Undefined>() && b.is<Undefined>()) return true;
  return a.same(b);
}

bool less(const Value& a, const Value& b, const char* sign) {
  if (is_number(a) && is_number(b)) return compare_numbers(a, b) < 0;
  if (const auto* x = a.get<String>(), *y = b.get<String>(); x && y)
    return x->text.str() < y->text.str();  // bytes of UTF-8 are ordered as characters
  if (const auto* x = a.get<List>(), *y = b.get<List>(); x && y && a.is_tuple() == b.is_tuple()) {
    for (size_t i = 0; i < std::min(x->items.size(), y->items.size()); ++i)
      if (!equal(x->items[i], y->items[i])) return less(x->items[i], y->items[i], sign);
    return x->items.size() < y->items.size();
  }
  for (const Value* v : {&a, &b})
    if (const auto* u = v->get<Undefined>()) fail(*u->why);
  fail("'", sign, "' not supported between instances of '", type_name(a), "' and '", type_name(b),
       "'");
}

bool is_integer(const Value& v) { return v.is<int64_t>() || v.is<bool>() || v.is<Integer>(); }
bool is_number(const Value& v) { return v.is<double>() || is_integer(v); }

Integer big_of(const Value& v) {
  if (const auto* big = v.get<Integer>()) return *big;
  if (const auto* b = v.get<bool>()) return Integer(*b);
  return Integer(*v.get<int64_t>());
}

const Text& text_of(const Value& v, std::string_view what) {
  if (const auto* s = v.get<String>()) return s->text;
  if (const auto* u = v.get<Undefined>()) fail(*u->why);
  fail(what, ": wanted a str, got ", type_name(v));
}

int64_t integer_of(const Value& v, std::string_view what) {
  if (const auto* n = v.get<int64_t>()) return *n;
  if (const auto* b = v.get<bool>()) return *b;
  if (const auto* u = v.get<Undefined>()) fail(*u->why);
  if (v.is<Integer>()) fail(what, ": the number is too large");
  fail(what, ": wanted an int, got ", type_name(v));
}

double number_of(const Value& v, std::string_view what) {
  if (const auto* d = v.get<double>()) return *d;
  if (const auto* n = v.get<int64_t>()) return double(*n);
  if (const auto* b = v.get<bool>()) return *b;
  if (const auto* big = v.get<Integer>()) return big->number();
  if (const auto* u = v.get<Undefined>()) fail(*u->why);
  fail(what, ": wanted a number, got ", type_name(v));
}

std::optional<size_t> size_of(const Value& v) {
  if (const auto* s = v.get<String>()) return length(s->text.str());
  if (const auto* l = v.get<List>()) return l->items.size();
  if (const auto* d = v.get<Dict>()) return d->size();
  if (const auto* r = v.get<Range>()) return size_t(r->size());
  if (const auto* view = v.get<View>()) return view->dict->size();
  if (const auto* loop = v.get<Loop>()) return size_t(const_cast<Loop*>(loop)->length());
  if (v.is<Undefined>()) return 0;
  return {};
}

bool iterable(const Value& v) {
  return v.is<Undefined>() || v.is<String>() || v.is<List>() || v.is<Dict>() || v.is<Range>() ||
         v.is<View>() || v.is<Iterator>() || v.is<Loop>();
}

Iterator iterate(const Value& v) {
  const int depth = depth_around(depth_of(v));
  if (const auto* generator = std::get_if<std::shared_ptr<Iterator>>(&v.any()))
    return {[held = *generator] { return held->next(); }, (*generator)->type, (*generator)->depth};
  if (v.is<Undefined>()) return {[] { return std::optional<Value>(); }};
  if (const auto* s = v.get<String>())
    return {[v, s, at = size_t(0)]() mutable -> std::optional<Value> {
              if (at >= s->text.size()) return {};
              const size_t begin = at;
              next_character(s->text.str(), at);
              return Value(s->text.slice(begin, at));
            },
            "str_iterator", depth};
  if (const auto* l = v.get<List>())
    return {[v, l, at = size_t(0)]() mutable -> std::optional<Value> {
              if (at >= l->items.size()) return {};
              return l->items[at++];
            },
            "list_iterator", depth};
  if (const auto* r = v.get<Range>())
    return {[r = *r, at = int64_t(0)]() mutable -> std::optional<Value> {
              if (at >= r.size()) return {};
              return Value(r.start + r.step * at++);
            },
            "range_iterator", depth};
  const auto* view = v.get<View>();
  if (const auto dict = view ? view->dict : v.dict_ref())
    return {[dict, of = view ? view->of : View::Of::keys,
             at = size_t(0)]() mutable -> std::optional<Value> {
              if (at >= dict->size()) return {};
              const auto& [key, value] = dict->items()[at++];
              if (of == View::Of::keys) return key;
              if (of == View::Of::values) return value;
              return Value::tuple({key, value});
            },
            "dict_iterator", depth};
  if (const auto* loop = std::get_if<std::shared_ptr<Loop>>(&v.any()))
    return {[held = *loop]() -> std::optional<Value> {
              auto item = held->next();
              if (!item) return {};
              return Value::tuple({*item, Value(held)});
            },
            "LoopContext", depth};
  fail("'", type_name(v), "' object is not iterable");
}

Values items_of(Interpreter& interpreter, const Value& v) {
  Values items;
  Iterator from = iterate(v);
  for (auto item = from.next(); item; item = from.next()) {
    interpreter.charge(sizeof(Value));
    items.push_back(*std::move(item));
  }
  return items;
}

bool contains(Interpreter& interpreter, const Value& whole, const Value& item) {
  if (const auto* s = whole.get<String>()) {
    if (!item.is<String>())
      fail("'in <string>' requires string as left operand, not ", type_name(item));
    interpreter.charge(s->text.size() / 16);
    return s->text.str().find(item.get<String>()->text.str()) != std::string::npos;
  }
  if (const auto* dict = whole.get<Dict>()) {
    if (rank(item) == 4 && !item.is<Undefined>()) fail("unhashable type: '", type_name(item), "'");
    return dict->find(item) != nullptr;
  }
  if (!iterable(whole)) fail("argument of type '", type_name(whole), "' is not iterable");
  Iterator from = iterate(whole);
  for (auto each = from.next(); each; each = from.next()) {
    interpreter.charge(sizeof(Value));
    if (equal(*each, item)) return true;
  }
  return false;
}

}  // namespace hearth::llm::jinja
