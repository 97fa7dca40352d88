// value is test
#include <cmath>

#include "hearth/llm/template/bound.h"
#include "hearth/llm/template/fail.h"
#include "hearth/llm/template/filters.h"
#include "hearth/llm/template/methods.h"

namespace hearth::llm::jinja {

namespace {

bool divides(Interpreter& in, const Value& v, const Value& by) {
  return equal(binary(in, "%", v, by), Value(0));
}
template <int rest>
bool rest_of_two(const Value& v) {
  if (const auto* u = v.get<Undefined>()) fail(*u->why);
  if (!is_number(v)) fail("not all arguments converted during string formatting");
  if (v.is<double>()) {
    const double left = std::fmod(*v.get<double>(), 2);
    return (left < 0 ? left + 2 : left) == rest;
  }
  return equal(Value(divide(big_of(v), Integer(2)).rest), Value(rest));
}
bool is_filter(const Value& v) {
  const std::string name = v.is<String>() ? v.get<String>()->text.str() : "";
  return text_filters().contains(name) || sequence_filters().contains(name);
}
bool is_test(const Value& v);
bool sequence(const Value& v) {
  return v.is<String>() || v.is<List>() || v.is<Dict>() || v.is<Range>() || v.is<Undefined>();
}

// Tests that look at the value alone, and those that take another.
using Alone = bool (*)(const Value&);
using Against = bool (*)(Interpreter&, const Value&, const Value&);

const std::map<std::string_view, Alone>& tests_alone() {
  static const std::map<std::string_view, Alone> all = {
      {"odd", rest_of_two<1>},
      {"even", rest_of_two<0>},
      {"defined", [](const Value& v) { return !v.is<Undefined>(); }},
      {"undefined", [](const Value& v) { return v.is<Undefined>(); }},
      {"none", [](const Value& v) { return v.is<None>(); }},
      {"boolean", [](const Value& v) { return v.is<bool>(); }},
      {"false", [](const Value& v) { return v.is<bool>() && !*v.get<bool>(); }},
      {"true", [](const Value& v) { return v.is<bool>() && *v.get<bool>(); }},
      {"integer", [](const Value& v) { return is_integer(v) && !v.is<bool>(); }},
      {"float", [](const Value& v) { return v.is<double>(); }},
      {"lower", [](const Value& v) { return is_lowercase(str(v)); }},
      {"upper", [](const Value& v) { return is_uppercase(str(v)); }},
      {"string", [](const Value& v) { return v.is<String>(); }},
      {"mapping", [](const Value& v) { return v.is<Dict>(); }},
      {"number", is_number},
      {"sequence", sequence},
      {"iterable", iterable},
      {"callable",
       [](const Value& v) { return v.is<Callable>() || v.is<Loop>() || v.is<Undefined>(); }},
      {"escaped", [](const Value& v) { return v.is<String>() && v.get<String>()->safe; }},
      {"filter", is_filter},
      {"test", is_test},
  };
  return all;
}

const std::map<std::string_view, Against>& tests_against() {
  constexpr Against eq = [](Interpreter&, const Value& a, const Value& b) { return equal(a, b); };
  constexpr Against ne = [](Interpreter&, const Value& a, const Value& b) { return !equal(a, b); };
  constexpr Against lt = [](Interpreter&, const Value& a, const Value& b) {
    return ordered("<", a, b);
  };
  constexpr Against le = [](Interpreter&, const Value& a, const Value& b) {
    return ordered("<=", a, b);
  };
  constexpr Against gt = [](Interpreter&, const Value& a, const Value& b) {
    return ordered(">", a, b);
  };
  constexpr Against ge = [](Interpreter&, const Value& a, const Value& b) {
    return ordered(">=", a, b);
  };
  static const std::map<std::string_view, Against> all = {
      {"divisibleby", divides},
      {"sameas", [](Interpreter&, const Value& a, const Value& b) { return a.same(b); }},
      {"in", [](Interpreter& in, const Value& a, const Value& b) { return contains(in, b, a); }},
      {"==", eq},
      {"eq", eq},
      {"equalto", eq},
      {"!=", ne},
      {"ne", ne},
      {">", gt},
      {"gt", gt},
      {"greaterthan", gt},
      {">=", ge},
      {"ge", ge},
      {"<", lt},
      {"lt", lt},
      {"lessthan", lt},
      {"<=", le},
      {"le", le},
  };
  return all;
}

bool is_test(const Value& v) {
  const std::string name = v.is<String>() ? v.get<String>()->text.str() : "";
  return tests_alone().contains(name) || tests_against().contains(name);
}

}  // namespace

bool Interpreter::test(std::string_view name, const Value& value, Args& args) {
  charge(value.is<String>() ? value.get<String>()->text.size() / 16 : 16);
  if (const auto at = tests_alone().find(name); at != tests_alone().end()) {
    Bound(name, args, {});
    return at->second(value);
  }
  const auto at = tests_against().find(name);
  if (at == tests_against().end()) fail("No test named '", name, "'.");
  return at->second(*this, value, *Bound(name, args, {"other"}, 1)[0]);
}

}  // namespace hearth::llm::jinja
