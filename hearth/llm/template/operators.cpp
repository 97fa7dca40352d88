// Arithmetic, order and slices, as Python has them.
#include <algorithm>
#include <cmath>

#include "hearth/llm/template/fail.h"
#include "hearth/llm/template/interpreter.h"

namespace hearth::llm::jinja {

namespace {

[[noreturn]] void unsupported(std::string_view sign, const Value& a, const Value& b) {
  for (const Value* v : {&a, &b})
    if (const auto* u = v->get<Undefined>()) fail(*u->why);
  const std::string name = sign == "**" ? "** or pow()" : std::string(sign);
  fail("unsupported operand type(s) for ", name, ": '", type_name(a), "' and '", type_name(b), "'");
}

double modulo(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (rest == 0) rest = std::copysign(0.0, b);
  return rest;
}

double floor_quotient(double a, double b) {
  const double quotient = (a - modulo(a, b)) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double down = std::floor(quotient);
  return quotient - down > 0.5 ? down + 1 : down;
}

Value power(Interpreter& in, const Value& a, const Value& b) {
  if (!is_integer(a) || !is_integer(b) || big_of(b).negative()) {
    const double x = number_of(a, "**"), y = number_of(b, "**");
    if (x == 0 && y < 0) fail("0.0 cannot be raised to a negative power");
    if (x < 0 && std::floor(y) != y) fail("complex numbers are not known here");
    const double result = std::pow(x, y);
    if (std::isinf(result) && !std::isinf(x) && !std::isinf(y))
      fail("Numerical result out of range");
    return Value(result);
  }
  const Integer base = big_of(a);
  Integer result(1), square = base;
  int64_t n = big_of(b).small().value_or(INT64_MAX);
  if (base.zero() || compare(base, Integer(1)) == 0) n = std::min<int64_t>(n, 1);
  if (compare(base, Integer(-1)) == 0) n = n % 2;
  while (n > 0) {
    in.charge(4096);
    if (n % 2) result = result * square;
    n /= 2;
    if (n > 0) square = square * square;
  }
  return Value(result);
}

Value arithmetic(Interpreter& in, std::string_view sign, const Value& a, const Value& b) {
  if (sign == "**") return power(in, a, b);
  const bool whole = is_integer(a) && is_integer(b);
  if (sign == "/") {
    const double divisor = number_of(b, sign);
    if (divisor == 0) fail(whole ? "division by zero" : "float division by zero");
    return Value(number_of(a, sign) / divisor);
  }
  if (!whole) {
    const double x = number_of(a, sign), y = number_of(b, sign);
    if (sign == "+") return Value(x + y);
    if (sign == "-") return Value(x - y);
    if (sign == "*") return Value(x * y);
    if (y == 0) fail(sign == "%" ? "float modulo" : "float floor division by zero");
    return Value(sign == "%" ? modulo(x, y) : floor_quotient(x, y));
  }
  if (!a.is<Integer>() && !b.is<Integer>()) {
    const int64_t x = integer_of(a, sign), y = integer_of(b, sign);
    int64_t result = 0;
    if (sign == "+" && !__builtin_add_overflow(x, y, &result)) return Value(result);
    if (sign == "-" && !__builtin_sub_overflow(x, y, &result)) return Value(result);
    if (sign == "*" && !__builtin_mul_overflow(x, y, &result)) return Value(result);
  }
  in.charge(1024);  // long numbers take time
  const Integer x = big_of(a), y = big_of(b);
  if (sign == "+") return Value(x + y);
  if (sign == "-") return Value(x - y);
  if (sign == "*") return Value(x * y);
  if (y.zero()) fail(sign == "%" ? "integer modulo by zero" : "integer division or modulo by zero");
  if (a.is<Integer>() || b.is<Integer>()) in.charge(uint64_t(1) << 20);
  const auto division = divide(x, y);
  return Value(sign == "%" ? division.rest : division.quotient);
}

// text * 3, [1] * 3
Value repeated(Interpreter& in, const Value& what, int64_t times) {
  times = std::max<int64_t>(times, 0);
  if (const auto* s = what.get<String>()) {
    if (times > 0 && s->text.size() > SIZE_MAX / 2 / size_t(times)) fail("a text too long");
    in.charge(s->text.size() * size_t(times) + size_t(times));
    Text text;
    for (int64_t i = 0; i < times; ++i) text.append(s->text);
    return Value(std::move(text), s->safe);
  }
  const auto* list = what.get<List>();
  const size_t size = list->items.size() * sizeof(Value);
  if (times > 0 && size > SIZE_MAX / 2 / size_t(times)) fail("a list too long");
  in.charge(size * size_t(times) + size_t(times));
  Values items;
  for (int64_t i = 0; i < times; ++i)
    items.insert(items.end(), list->items.begin(), list->items.end());
  return what.is_tuple() ? Value::tuple(std::move(items)) : Value::list(std::move(items));
}

Value added(Interpreter& in, const Value& a, const Value& b) {
  if (const auto* x = a.get<String>()) {
    const auto* y = b.get<String>();
    if (!y) {
      if (const auto* u = b.get<Undefined>()) fail(*u->why);
      fail("can only concatenate str (not \"", type_name(b), "\") to str");
    }
    in.charge(x->text.size() + y->text.size());
    const bool safe = x->safe || y->safe;
    Text text = safe && !x->safe ? escaped(x->text) : x->text;
    text.append(safe && !y->safe ? escaped(y->text) : y->text);
    return Value(std::move(text), safe);
  }
  const auto *x = a.get<List>(), *y = b.get<List>();
  if (!x || !y || a.is_tuple() != b.is_tuple()) {
    if (x && !b.is<Undefined>())
      fail("can only concatenate ", type_name(a), " (not \"", type_name(b), "\") to ",
           type_name(a));
    unsupported("+", a, b);
  }
  in.charge((x->items.size() + y->items.size()) * sizeof(Value));
  Values items = x->items;
  items.insert(items.end(), y->items.begin(), y->items.end());
  return a.is_tuple() ? Value::tuple(std::move(items)) : Value::list(std::move(items));
}

}  // namespace

Value binary(Interpreter& in, std::string_view sign, const Value& a, const Value& b) {
  if (sign == "%" && a.is<String>())
    return Value(format_percent(in, a.get<String>()->text, b), a.get<String>()->safe);
  if (is_number(a) && is_number(b)) return arithmetic(in, sign, a, b);
  if (sign == "*" && (a.is<String>() || a.is<List>()) && is_integer(b))
    return repeated(in, a, integer_of(b, "*"));
  if (sign == "*" && (b.is<String>() || b.is<List>()) && is_integer(a))
    return repeated(in, b, integer_of(a, "*"));
  if (sign == "+") return added(in, a, b);
  unsupported(sign, a, b);
}

Value negative(const Value& a) {
  if (const auto* d = a.get<double>()) return Value(-*d);
  return Value(-big_of(a));
}

bool ordered(std::string_view sign, const Value& a, const Value& b) {
  const std::string shown(sign);
  const auto nan = [](const Value& v) { return v.is<double>() && std::isnan(*v.get<double>()); };
  if (nan(a) || nan(b)) return false;
  if (sign == "<") return less(a, b, shown.c_str());
  if (sign == ">") return less(b, a, shown.c_str());
  return sign == "<=" ? less(a, b, shown.c_str()) || equal(a, b)
                      : less(b, a, shown.c_str()) || equal(a, b);
}

Value slice(Interpreter& in, const Value& whole, const Value& begin, const Value& end,
            const Value& by) {
  if (const auto* u = whole.get<Undefined>()) fail(*u->why);
  if (!whole.is<String>() && !whole.is<List>() && !whole.is<Range>())
    fail("'", type_name(whole), "' object is not subscriptable by a slice");
  const auto index = [](const Value& v, int64_t otherwise) {
    if (v.is<None>()) return otherwise;
    if (!is_integer(v)) fail("slice indices must be integers or None or have an __index__ method");
    if (v.is<Integer>()) return v.get<Integer>()->negative() ? INT64_MIN / 2 : INT64_MAX / 2;
    return std::clamp(integer_of(v, "slice"), INT64_MIN / 2, INT64_MAX / 2);
  };
  const int64_t n = int64_t(*size_of(whole)), step = index(by, 1);
  if (step == 0) fail("slice step cannot be zero");
  // As CPython: places from the end are counted back, then both are brought into the text.
  const int64_t least = step > 0 ? 0 : -1, most = step > 0 ? n : n - 1;
  const auto place = [&](int64_t at) { return std::clamp(at < 0 ? at + n : at, least, most); };
  const int64_t first = begin.is<None>() ? (step > 0 ? 0 : n - 1) : place(index(begin, 0));
  const int64_t last = end.is<None>() ? (step > 0 ? n : -1) : place(index(end, 0));
  const Range picked{first, last, step};
  const int64_t count = picked.size();
  if (const auto* range = whole.get<Range>())
    return Value(Range{range->start + first * range->step, range->start + last * range->step,
                       range->step * step});
  if (const auto* list = whole.get<List>()) {
    in.charge(size_t(count) * sizeof(Value));
    Values items;
    for (int64_t i = 0; i < count; ++i) items.push_back(list->items[size_t(first + i * step)]);
    return whole.is_tuple() ? Value::tuple(std::move(items)) : Value::list(std::move(items));
  }
  const auto* s = whole.get<String>();
  const std::string& bytes = s->text.str();
  in.charge(bytes.size());
  if (step == 1) {
    const size_t from = byte_of(bytes, size_t(first));
    const size_t to =
        count == 0 ? from : from + byte_of(std::string_view(bytes).substr(from), size_t(count));
    return Value(s->text.slice(from, to), s->safe);
  }
  in.charge(size_t(n) * sizeof(uint32_t));
  std::vector<uint32_t> at;  // where each character begins
  for (size_t i = 0; i < bytes.size(); ++i)
    if ((bytes[i] & 0xC0) != 0x80) at.push_back(uint32_t(i));
  at.push_back(uint32_t(bytes.size()));
  Text text;
  for (int64_t i = 0; i < count; ++i) {
    const size_t c = size_t(first + i * step);
    text.append(s->text, at[c], at[c + 1]);
  }
  return Value(std::move(text), s->safe);
}

}  // namespace hearth::llm::jinja
