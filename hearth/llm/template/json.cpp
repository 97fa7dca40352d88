#include "hearth/llm/template/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "hearth/io/json.h"
#include "hearth/llm/template/fail.h"
#include "hearth/llm/template/interpreter.h"

namespace hearth::llm::jinja {

namespace {

class Writer {
 public:
  Writer(Interpreter& in, const JsonStyle& style) : in_(in), style_(style) {}

  void write(const Value& v, int depth) {
    in_.charge(16);
    if (v.is<None>()) return put("null");
    if (const auto* b = v.get<bool>()) return put(*b ? "true" : "false");
    if (const auto* d = v.get<double>()) return put(number(*d));
    if (is_number(v)) return put(repr(v).str());
    if (const auto* s = v.get<String>()) return text(s->text);
    if (const auto* list = v.get<List>())
      return group('[', list->items, ']', depth,
                   [&](const Value& item) { write(item, depth + 1); });
    if (const auto* dict = v.get<Dict>()) return object(*dict, depth);
    fail("Object of type ", type_name(v), " is not JSON serializable");
  }

  Text out;

 private:
  void put(std::string_view text) { out.append(text); }

  static std::string number(double d) {
    return std::isnan(d) ? "NaN" : std::isinf(d) ? d < 0 ? "-Infinity" : "Infinity" : repr(d);
  }

  void line(int depth) {
    if (!style_.indent) return;
    in_.charge(style_.indent->size() * size_t(depth) + 1);
    put("\n");
    for (int i = 0; i < depth; ++i) put(*style_.indent);
  }

  template <class Items, class F>
  void group(char open, const Items& items, char close, int depth, F&& each) {
    put({&open, 1});
    bool first = true;
    for (const auto& item : items) {
      if (!std::exchange(first, false)) put(style_.between);
      line(depth + 1);
      each(item);
    }
    if (!items.empty()) line(depth);
    put({&close, 1});
  }

  void object(const Dict& dict, int depth) {
    auto items = dict.items();
    if (style_.sorted)
      std::stable_sort(items.begin(), items.end(),
                       [](const auto& a, const auto& b) { return less(a.first, b.first); });
    group('{', items, '}', depth, [&](const auto& item) {
      const Value& key = item.first;
      if (key.is<String>())
        text(key.get<String>()->text);
      else if (key.is<None>() || key.is<bool>())
        text(Text(key.is<None>() ? "null" : *key.get<bool>() ? "true" : "false"));
      else if (is_number(key))
        text(key.is<double>() ? Text(number(*key.get<double>())) : repr(key));
      else
        fail("keys must be str, int, float, bool or None, not ", type_name(key));
      put(style_.colon);
      write(item.second, depth + 1);
    });
  }

  void text(const Text& text) {
    const std::string_view bytes = text.str();
    in_.charge(bytes.size());
    put("\"");
    for (size_t at = 0; at < bytes.size();) {
      const size_t begin = at;
      const char32_t c = next_character(bytes, at);
      const bool mark = text.from_input(begin);
      constexpr std::string_view kFrom = "\"\\\n\r\t\f\b", kTo = "\"\\nrtfb";
      const size_t short_one = c < 128 ? kFrom.find(char(c)) : kFrom.npos;
      if (short_one != kFrom.npos)
        out.append(std::string{'\\', kTo[short_one]}, mark);
      else if (c < 32 || (style_.ascii && c >= 127 && c <= 0xFFFF))
        out.append(fmt::format("\\u{:04x}", uint32_t(c)), mark);
      else if (style_.ascii && c > 0xFFFF)
        out.append(fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((uint32_t(c) - 0x10000) >> 10),
                               0xDC00 + (uint32_t(c) & 0x3FF)),
                   mark);
      else
        out.append(bytes.substr(begin, at - begin), mark);
    }
    put("\"");
  }

  Interpreter& in_;
  const JsonStyle& style_;
};

/// Builds values from the parser's events. What the text is, is checked by hearth::parse_json.
class Reader {
 public:
  explicit Reader(bool from_input) : from_input_(from_input) {}
  Value root;

  bool null() { return put(Value()); }
  bool boolean(bool b) { return put(Value(b)); }
  bool number_integer(int64_t n) { return put(Value(n)); }
  bool number_unsigned(uint64_t n) { return put(Value(Integer::parse(fmt::format("{}", n)))); }
  bool number_float(double d, const std::string& written) {
    if (written.find_first_of(".eE") != written.npos) return put(Value(d));
    return put(Value(Integer::parse(written)));  // beyond 64 bits
  }
  bool string(std::string& s) { return put(Value(Text(std::move(s), from_input_))); }
  bool binary(nlohmann::json::binary_t&) { return false; }
  bool start_object(size_t) {
    open_.push_back({std::make_shared<Dict>(), {}, {}});
    return true;
  }
  bool start_array(size_t) {
    open_.push_back({nullptr, {}, {}});
    return true;
  }
  bool key(std::string& key) {
    open_.back().key = Value(Text(std::move(key), from_input_));
    return true;
  }
  bool end_object() {
    Value made{std::shared_ptr<const Dict>(open_.back().dict)};
    open_.pop_back();
    return put(std::move(made));
  }
  bool end_array() {
    Value made = Value::list(std::move(open_.back().items));
    open_.pop_back();
    return put(std::move(made));
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) { return false; }

 private:
  struct Open {
    std::shared_ptr<Dict> dict;  // null: a list
    Value key;
    Values items;
  };
  bool put(Value v) {
    if (open_.empty())
      root = std::move(v);
    else if (open_.back().dict)
      open_.back().dict->set(open_.back().key, std::move(v));
    else
      open_.back().items.push_back(std::move(v));
    return true;
  }
  bool from_input_;
  std::vector<Open> open_;
};

}  // namespace

Text json_of(Interpreter& in, const Value& value, const JsonStyle& style) {
  Writer writer(in, style);
  writer.write(value, 0);
  return std::move(writer.out);
}

Value value_of_json(std::string_view text, std::string_view name, bool from_input) {
  parse_json(text, name);  // says what is wrong with it
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  Reader reader(from_input);
  try {
    ensure(nlohmann::json::sax_parse(text.begin(), text.end(), &reader), name, ": not valid JSON");
  } catch (const Error& error) {
    ensure(false, name, ": ", error.what());
  } catch (const std::invalid_argument& error) {
    ensure(false, name, ": ", error.what());
  }
  return reader.root;
}

}  // namespace hearth::llm::jinja
