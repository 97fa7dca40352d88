// The values of a template: Python's, as far as a chat template can reach them. Texts, lists and
// dicts never change once they are made (Jinja's sandbox forbids it); namespaces do.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "hearth/llm/template/integer.h"
#include "hearth/llm/template/text.h"

namespace hearth::llm::jinja {

/// What a template did wrong, in Python's words where there are some; the interpreter adds the
/// line.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts);

class Value;
class Interpreter;
using Values = std::vector<Value>;

/// The arguments of a call.
struct Args {
  Values values;
  std::vector<std::pair<std::string, Value>> named;
};

struct Undefined {
  std::shared_ptr<const std::string> why;  // what using it is an error for
};
struct None {};
struct String {
  Text text;
  bool safe = false;  // Markup: what is added to it is escaped
};
struct List {
  Values items;
  int depth = 1;         // lists in lists
  bool grouped = false;  // a tuple of groupby, with .grouper and .list
};
class Dict;
struct Namespace;
/// range(start, stop, step): numbers that are not written out.
struct Range {
  int64_t start = 0, stop = 0, step = 1;
  int64_t size() const;
};
struct View {
  enum class Of { keys, values, items } of;
  std::shared_ptr<const Dict> dict;
};
/// Gives items once, as Python's generators do.
struct Iterator {
  std::function<std::optional<Value>()> next;
  const char* type = "generator";  // Python's name
  int depth = 1;                   // iterators over iterators
};
struct Callable {
  std::function<Value(Interpreter&, Args&)> call;
  std::string shown;  // what printing it gives
  int depth = 1;
};
class Loop;

class Value {
 public:
  using Any = std::variant<
      Undefined, None, bool, int64_t, std::shared_ptr<const Integer>, double,
      std::shared_ptr<const String>, std::shared_ptr<const List>, std::shared_ptr<const Dict>,
      std::shared_ptr<Namespace>, std::shared_ptr<const Range>, std::shared_ptr<const View>,
      std::shared_ptr<Iterator>, std::shared_ptr<const Callable>, std::shared_ptr<Loop>>;

  Value() : any_(None{}) {}
  Value(bool b) : any_(b) {}
  Value(int64_t n) : any_(n) {}
  Value(int n) : any_(int64_t(n)) {}
  Value(size_t n) : any_(int64_t(n)) {}
  Value(double d) : any_(d) {}
  Value(const Integer& n);
  Value(Text text, bool safe = false)
      : any_(std::make_shared<const String>(String{std::move(text), safe})) {}
  Value(std::string_view text) : Value(Text(std::string(text))) {}
  Value(const std::string& text) : Value(Text(text)) {}
  Value(const char* text) : Value(std::string_view(text)) {}
  Value(std::shared_ptr<const Dict> dict) : any_(std::move(dict)) {}
  Value(std::shared_ptr<Namespace> space) : any_(std::move(space)) {}
  Value(Range r) : any_(std::make_shared<const Range>(r)) {}
  Value(View v) : any_(std::make_shared<const View>(std::move(v))) {}
  Value(Iterator i) : any_(std::make_shared<Iterator>(std::move(i))) {}
  Value(Callable c) : any_(std::make_shared<const Callable>(std::move(c))) {}
  Value(std::shared_ptr<Loop> loop) : any_(std::move(loop)) {}
  static Value undefined(std::string why);
  static Value list(Values items);
  static Value tuple(Values items, bool grouped = false);

  template <class T>
  const T* get() const {
    if constexpr (std::is_same_v<T, Undefined> || std::is_same_v<T, None> ||
                  std::is_same_v<T, bool> || std::is_same_v<T, int64_t> ||
                  std::is_same_v<T, double>) {
      return std::get_if<T>(&any_);
    } else if constexpr (std::is_same_v<T, Namespace> || std::is_same_v<T, Iterator> ||
                         std::is_same_v<T, Loop>) {
      const auto* held = std::get_if<std::shared_ptr<T>>(&any_);
      return held ? held->get() : nullptr;
    } else {
      const auto* held = std::get_if<std::shared_ptr<const T>>(&any_);
      return held ? held->get() : nullptr;
    }
  }
  template <class T>
  bool is() const {
    return get<T>() != nullptr;
  }
  const Any& any() const { return any_; }
  bool is_list() const { return is<List>() && !tuple_; }
  bool is_tuple() const { return is<List>() && tuple_; }
  std::shared_ptr<const Dict> dict_ref() const;
  /// Whether both are the same object (or the same constant).
  bool same(const Value& other) const;

 private:
  Any any_;
  bool tuple_ = false;
};

/// Keys in the order in which they came, as Python's dicts have them.
class Dict {
 public:
  /// A key that is there keeps its place. Throws for a key that cannot be one (a list).
  void set(const Value& key, Value value);
  void set(const char* key, Value value) { set(Value(key), std::move(value)); }
  void set(std::string_view key, Value value) { set(Value(key), std::move(value)); }
  void set(const std::string& key, Value value) { set(Value(key), std::move(value)); }
  const Value* find(const Value& key) const;
  const Value* find(const char* key) const { return find(Value(key)); }
  const Value* find(std::string_view key) const { return find(Value(key)); }
  const Value* find(const std::string& key) const { return find(Value(key)); }
  const std::vector<std::pair<Value, Value>>& items() const { return items_; }
  size_t size() const { return items_.size(); }
  int depth() const { return depth_; }
  void clear() { items_.clear(), at_.clear(); }

 private:
  struct Less {
    bool operator()(const Value& a, const Value& b) const;
  };
  std::vector<std::pair<Value, Value>> items_;
  std::map<Value, size_t, Less> at_;
  int depth_ = 1;
};

struct Namespace {
  Dict attributes;
};

/// Lists, dicts and iterators hold one another at most so deep.
constexpr int kMostDepth = 200;
int depth_of(const Value& value);
int depth_around(int inner);  // one more; throws above the limit

// What Python says of values.
std::string type_name(const Value& value);    // "str", "NoneType"
std::string object_name(const Value& value);  // "'dict object'", "'None'": in errors
bool truth(const Value& value);
bool equal(const Value& a, const Value& b);
/// a < b; `sign` stands in the error for values that have no order.
bool less(const Value& a, const Value& b, const char* sign = "<");
Text str(const Value& value);
Text repr(const Value& value);
std::string repr(double value);

// The value as something, or an error that says what it is instead.
const Text& text_of(const Value& value, std::string_view what);
int64_t integer_of(const Value& value, std::string_view what);
bool is_integer(const Value& value);  // bool too, as in Python
bool is_number(const Value& value);
double number_of(const Value& value, std::string_view what);
Integer big_of(const Value& value);  // of an integer

/// Characters of a text, items of a list, ...; nothing where Python says TypeError.
std::optional<size_t> size_of(const Value& value);
/// A fresh iterator, or the generator itself. Throws for what cannot be iterated over.
Iterator iterate(const Value& value);
bool iterable(const Value& value);
Values items_of(Interpreter& interpreter, const Value& value);
/// `item in whole`.
bool contains(Interpreter& interpreter, const Value& whole, const Value& item);

}  // namespace hearth::llm::jinja
