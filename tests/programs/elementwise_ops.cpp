// Elementwise operations: kinds, rules and domains from hearth's table, values from the lines
// below.
#include <cmath>
#include <map>

#include "tests/cases.h"
#include "tests/programs/program.h"

namespace hearth::testing {

namespace {

struct Line {
  std::string_view kinds, rule;
  std::vector<std::pair<double, double>> domains;  // of each operand
  std::function<array(const Arrays&)> run;
};
const std::map<std::string, Line>& table() {
  static const std::map<std::string, Line> lines{
#define UNARY(name, kinds, rule, value, gradient, low, high) \
  {#name, {kinds, #rule, {{low, high}}, [](const Arrays& x) { return name(x[0]); }}},
#define BINARY(name, kinds, rule, value, by_a, by_b, low_a, high_a, low_b, high_b) \
  {#name, {kinds, #rule, {{low_a, high_a}, {low_b, high_b}}, [](const Arrays& x) { \
             return name(x[0], x[1]);                                              \
           }}},
#define TERNARY(name, kinds, rule, value, by_a, by_b, by_c, la, ha, lb, hb, lc, hc) \
  {#name, {kinds, #rule, {{la, ha}, {lb, hb}, {lc, hc}}, [](const Arrays& x) {      \
             return name(x[0], x[1], x[2]);                                         \
           }}},
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
  };
  return lines;
}

using Floats3 = Real (*)(Real, Real, Real);
using Integers3 = int64_t (*)(int64_t, int64_t, int64_t);
struct Values3 {
  Floats3 floats = nullptr;      // none: integers only
  Integers3 integers = nullptr;  // none: floats only
};

constexpr Real kPi = 3.14159265358979323846264338327950288L;
Real normal_share(Real x) { return std::erfc(-x / std::sqrt(Real(2))) / 2; }
Real logistic(Real x) { return 1 / (1 + std::exp(-x)); }
Real erfinv_of(Real x) {  // Newton's way, from the middle
  if (std::abs(x) >= 1) return std::abs(x) > 1 ? NAN : x * INFINITY;
  Real y = 0;
  for (int i = 0; i < 40; ++i) y -= (std::erf(y) - x) * std::exp(y * y) * std::sqrt(kPi) / 2;
  return y;
}
Real logaddexp_of(Real a, Real b) {
  return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
}
Real remainder_of(Real a, Real b) {
  const Real r = std::fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
// Integers: in 64 bits, wrapped behind.
int64_t times(int64_t a, int64_t b) { return int64_t(uint64_t(a) * uint64_t(b)); }
int64_t plus(int64_t a, int64_t b) { return int64_t(uint64_t(a) + uint64_t(b)); }
int64_t minus(int64_t a, int64_t b) { return int64_t(uint64_t(a) - uint64_t(b)); }
int64_t divided(int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return minus(0, a);
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}
int64_t power_of(int64_t a, int64_t b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
  int64_t y = 1;
  for (int64_t i = 0; i < b; ++i) y = times(y, a);
  return y;
}

#define F(e) [](Real a, [[maybe_unused]] Real b, [[maybe_unused]] Real c) -> Real { return e; }
#define I(e) \
  [](int64_t a, [[maybe_unused]] int64_t b, [[maybe_unused]] int64_t c) -> int64_t { return e; }
#define BOTH(e) \
  { F(e), I(e) }
const std::map<std::string, Values3>& values() {
  static const std::map<std::string, Values3> all{
      {"abs", {F(std::abs(a)), I(a < 0 ? minus(0, a) : a)}},
      {"negative", {F(-a), I(minus(0, a))}},
      {"sign", BOTH((a > 0) - (a < 0))},
      {"reciprocal", {F(1 / a)}},
      {"floor", {F(std::floor(a)), I(a)}},
      {"ceil", {F(std::ceil(a)), I(a)}},
      {"trunc", {F(std::trunc(a)), I(a)}},
      {"round", {F(std::nearbyint(a)), I(a)}},
      {"square", {F(a * a), I(times(a, a))}},
      {"sqrt", {F(std::sqrt(a))}},
      {"rsqrt", {F(1 / std::sqrt(a))}},
      {"exp", {F(std::exp(a))}},
      {"expm1", {F(std::expm1(a))}},
      {"log", {F(std::log(a))}},
      {"log2", {F(std::log2(a))}},
      {"log10", {F(std::log10(a))}},
      {"log1p", {F(std::log1p(a))}},
      {"sin", {F(std::sin(a))}},
      {"cos", {F(std::cos(a))}},
      {"tan", {F(std::tan(a))}},
      {"arcsin", {F(std::asin(a))}},
      {"arccos", {F(std::acos(a))}},
      {"arctan", {F(std::atan(a))}},
      {"sinh", {F(std::sinh(a))}},
      {"cosh", {F(std::cosh(a))}},
      {"tanh", {F(std::tanh(a))}},
      {"arcsinh", {F(std::asinh(a))}},
      {"arccosh", {F(std::acosh(a))}},
      {"arctanh", {F(std::atanh(a))}},
      {"degrees", {F(a * 180 / kPi)}},
      {"radians", {F(a * kPi / 180)}},
      {"sigmoid", {F(logistic(a))}},
      {"erf", {F(std::erf(a))}},
      {"erfinv", {F(erfinv_of(a))}},
      {"real", BOTH(a)},
      {"imag", BOTH(a * 0)},
      {"conjugate", BOTH(a)},
      {"isnan", {F(std::isnan(a)), I(a * 0)}},
      {"isinf", {F(std::isinf(a)), I(a * 0)}},
      {"isfinite", {F(std::isfinite(a)), I(a * 0 + 1)}},
      {"isposinf", {F(std::isinf(a) && a > 0), I(a * 0)}},
      {"isneginf", {F(std::isinf(a) && a < 0), I(a * 0)}},
      {"logical_not", BOTH(a == 0)},
      {"bitwise_invert", {nullptr, I(~a)}},
      {"relu", BOTH(a > 0 ? a : 0)},
      {"silu", {F(a * logistic(a))}},
      {"softplus", {F(logaddexp_of(a, 0))}},
      {"gelu", {F(a * normal_share(a))}},
      {"gelu_approx", {F(a * logistic(2 * std::sqrt(2 / kPi) * (a + 0.044715L * a * a * a)))}},
      {"add", {F(a + b), I(plus(a, b))}},
      {"subtract", {F(a - b), I(minus(a, b))}},
      {"multiply", {F(a * b), I(times(a, b))}},
      {"divide", {F(a / b)}},
      {"floor_divide", {F(std::floor(a / b)), I(divided(a, b))}},
      {"remainder", {F(remainder_of(a, b)), I(b == 0 ? 0 : minus(a, times(divided(a, b), b)))}},
      {"power", {F(std::pow(a, b)), I(power_of(a, b))}},
      {"maximum", BOTH(a > b ? a : b)},
      {"minimum", BOTH(a < b ? a : b)},
      {"arctan2", {F(std::atan2(a, b))}},
      {"logaddexp", {F(logaddexp_of(a, b))}},
      {"equal", BOTH(a == b)},
      {"not_equal", BOTH(a != b)},
      {"greater", BOTH(a > b)},
      {"greater_equal", BOTH(a >= b)},
      {"less", BOTH(a < b)},
      {"less_equal", BOTH(a <= b)},
      {"logical_and", BOTH(a != 0 && b != 0)},
      {"logical_or", BOTH(a != 0 || b != 0)},
      {"logical_xor", BOTH((a != 0) != (b != 0))},
      {"bitwise_and", {nullptr, I(a & b)}},
      {"bitwise_or", {nullptr, I(a | b)}},
      {"bitwise_xor", {nullptr, I(a ^ b)}},
      {"left_shift", {nullptr, I(b < 0 || b > 63 ? 0 : int64_t(uint64_t(a) << b))}},
      {"right_shift", {nullptr, I(b < 0 || b > 63 ? (a < 0 ? -1 : 0) : a >> b)}},
      {"where", BOTH(a != 0 ? b : c)},
  };
  return all;
}
#undef F
#undef I
#undef BOTH

/// What the operands become, and the result: by the rule of the table.
struct Dtypes {
  Dtype computes, results;
};
Dtypes dtypes_of(const std::string_view rule, const std::vector<Dtype>& in) {
  if (rule == "Logic") return {bool_, bool_};
  Dtype d = rule == "Select" ? in[1] : in[0];
  for (size_t i = rule == "Select" ? 2 : 1; i < in.size(); ++i) d = promote_types(d, in[i]);
  if (rule == "Float") d = at_least_f32(d);
  if (rule == "Bits" && d == bool_) d = uint8;
  return {d, rule == "Compare" ? bool_ : d};
}
bool takes(const Line& line, Dtype d) {
  return line.kinds.find("buif"[int(kind_of(d))]) != std::string_view::npos;
}

/// How far it may be: units in the last place by tests/cases.h, and what cancels.
Real error_of(const std::string& name, Dtype d, const Real* in, Real y) {
  const Accuracy may = accuracy(name);
  Real error = Real(d == float64 ? may.f64 : may.f32) * step_at(y, d) + Real(may.absolute);
  if (size_of(d) == 2) error += step_at(y, d) / 2;
  if (name == "logaddexp")
    error += 4 * step_at(std::max({std::abs(in[0]), std::abs(in[1]), Real(1)}), d);
  if (name == "gelu_approx")  // what its sigmoid is of is rounded before
    error += 2 * std::abs(in[0] * (1.6L + 0.08L * in[0] * in[0])) * step_at(y, d);
  if (name == "floor_divide") {  // the quotient is rounded before
    const Real q = in[0] / in[1];
    if (std::abs(q - std::nearbyint(q)) <= step_at(q, d)) error += 1;
  }
  return error;
}

Values plain(const std::string& name, const Operands& in) {
  const Line& line = table().at(name);
  const Values3& value = values().at(name);
  std::vector<Dtype> dtypes;
  Shape shape;
  for (const Value* v : in) {
    dtypes.push_back(v->dtype);
    shape = broadcast_shapes(shape, v->shape);
  }
  const auto [computes, results] = dtypes_of(line.rule, dtypes);
  Values cast;
  for (size_t i = 0; i < in.size(); ++i)
    cast.push_back(
        broadcast(as(*in[i], line.rule == "Select" && i == 0 ? bool_ : computes), shape));
  Value out{shape, results};
  for (size_t k = 0; k < element_count(shape); ++k) {
    Real x[3] = {};
    for (size_t i = 0; i < cast.size(); ++i) x[i] = cast[i].x[k];
    if (is_floating(computes)) {
      out.x.push_back(value.floats(x[0], x[1], x[2]));
      if (is_floating(results)) out.error.push_back(error_of(name, computes, x, out.x.back()));
    } else {
      out.x.push_back(
          wrapped(results, value.integers(int64_t(x[0]), int64_t(x[1]), int64_t(x[2]))));
    }
  }
  return {out};
}

void draw(const std::string& name, Maker& m) {
  const Line& line = table().at(name);
  const size_t arity = line.domains.size();
  std::vector<int> in;
  Shape shape;
  std::vector<Dtype> dtypes;
  for (size_t i = 0; i < arity; ++i) {
    const auto any = [](Dtype) { return true; };
    in.push_back(i == 0 ? m.any(any_ndim) : m.broadcasting(shape, any, m.dtype()));
    shape = broadcast_shapes(shape, m[in.back()].shape);
  }
  if (arity > 1 && m.one_in(2)) std::swap(in[0], in[1]);
  for (int i : in) dtypes.push_back(m[i].dtype);
  const Dtype computes = dtypes_of(line.rule, dtypes).computes;
  if (!takes(line, computes)) throw Maker::Unfit{};
  // Integers wrap, whatever they are; but a power takes as many steps as its exponent.
  const bool everywhere = line.rule == "Compare" || line.rule == "Logic" || line.rule == "Select" ||
                          (!is_floating(computes) && name != "power");
  for (size_t i = 0; i < arity && !everywhere; ++i)
    in[i] = m.within(in[i], line.domains[i].first, line.domains[i].second);
  m.add(in);
}

}  // namespace

std::vector<Operation> elementwise_operations() {
  std::vector<Operation> out;
  for (const auto& entry : table()) {
    const std::string name = entry.first;
    out.push_back(
        {name, [name](Maker& m) { draw(name, m); },
         [name](const Arrays& in, const Parameters&) { return Arrays{table().at(name).run(in)}; },
         [name](const Operands& in, const Parameters&) { return plain(name, in); }});
  }
  out.push_back({"astype",
                 [](Maker& m) {
                   const int x = m.any(any_ndim);
                   m.add({x}, {double(m.dtype())});
                 },
                 [](const Arrays& in, const Parameters& p) {
                   return Arrays{astype(in[0], Dtype(int(p[0])))};
                 },
                 [](const Operands& in, const Parameters& p) {
                   return Values{as(*in[0], Dtype(int(p[0])))};
                 }});
  out.push_back({"clip",
                 [](Maker& m) {
                   const int x = m.any([](const Value& v) { return kind_of(v.dtype) != Kind::b; });
                   m.add({x}, {double(m.between(0, 2)), double(m.between(3, 5))});
                 },
                 [](const Arrays& in, const Parameters& p) {
                   const Dtype d = in[0].dtype();
                   return Arrays{clip(in[0], array(p[0], d), array(p[1], d))};
                 },
                 [](const Operands& in, const Parameters& p) {
                   Value out = *in[0];
                   const Real low = as(float64, out.dtype, p[0]),
                              high = as(float64, out.dtype, p[1]);
                   for (Real& x : out.x) x = std::min(std::max(x, low), high);
                   return Values{out};
                 }});
  out.push_back(
      {"stop_gradient", [](Maker& m) { m.add({m.any(floating)}); },
       [](const Arrays& in, const Parameters&) { return Arrays{stop_gradient(in[0] > in[0] * 0)}; },
       [](const Operands& in, const Parameters&) {
         Value out{in[0]->shape, bool_};
         for (Real x : in[0]->x) out.x.push_back(x > 0);
         return Values{out};
       }});
  out.push_back({"divmod",
                 [](Maker& m) {
                   const int a = m.any([](const Value& v) { return kind_of(v.dtype) != Kind::b; });
                   const int b = m.like(m[a].shape, m[a].dtype);
                   if (!floating(m[a])) return m.add({a, b});
                   m.add({m.within(a, -8, 8), m.within(b, 0.5, 8)});
                 },
                 [](const Arrays& in, const Parameters&) { return divmod(in[0], in[1]); },
                 [](const Operands& in, const Parameters&) {
                   return Values{plain("floor_divide", in)[0], plain("remainder", in)[0]};
                 }});
  return out;
}

}  // namespace hearth::testing
