#include "hearth/ops/elementwise.h"

#include <cfloat>
#include <cmath>

#include "hearth/ops/create.h"
#include "hearth/ops/joined.h"
#include "hearth/ops/reduce.h"
#include "hearth/ops/wide.h"

namespace hearth {

namespace {

using detail::binary;
using Constant = Map::Constant;

// What the operands become, and what comes out.
struct Dtypes {
  Dtype operand, result;
};
Dtypes dtypes(ElementOp op, Dtype promoted) {
  const ElementOpInfo& about = info(op);
  Dtypes d{promoted, promoted};
  switch (about.rule) {
    case ResultRule::Same:
    case ResultRule::Select: break;
    case ResultRule::Float: d.operand = d.result = at_least_float(promoted); break;
    case ResultRule::Bits: d.operand = d.result = promoted == bool_ ? uint8 : promoted; break;
    case ResultRule::Compare: d.result = bool_; break;
    case ResultRule::Logic: d.operand = d.result = bool_; break;
    case ResultRule::Part: d.result = promoted == complex64 ? float32 : promoted; break;
  }
  if (!about.accepts(d.operand)) {
    std::string takes;
    for (char kind : about.kinds)
      takes += concat(takes.empty() ? "" : ", ", kind == 'b'   ? "bool"
                                                 : kind == 'u' ? "unsigned"
                                                 : kind == 'i' ? "signed"
                                                 : kind == 'f' ? "float"
                                                               : "complex");
    check(false, about.name, ": dtype ", promoted, " is not one of ", takes,
          "; astype gives another");
  }
  return d;
}

std::shared_ptr<Map> alone(ElementOp op) {
  switch (op) {
#define UNARY(name, ...) \
  case ElementOp::name:  \
    return std::make_shared<Elementwise<ElementOp::name>>();
#define BINARY UNARY
#define TERNARY UNARY
#include "hearth/ops/elementwise_names.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
    case ElementOp::astype: break;
  }
  return std::make_shared<Elementwise<ElementOp::astype>>();
}

// Programs of one step on plain inputs are made once.
std::shared_ptr<const Map> one_step(ElementOp op, Dtype operand, Dtype result) {
  using Slot = std::atomic<const std::shared_ptr<const Map>*>;
  static Slot slots[kElementOps][kDtypes][kDtypes];
  Slot& slot = slots[int(op)][int(operand)][int(result)];
  const auto* made = slot.load(std::memory_order_acquire);
  if (!made) {
    auto map = alone(op);
    const int arity = op == ElementOp::astype ? 1 : info(op).arity;
    map->inputs.resize(size_t(arity), operand);
    if (info(op).rule == ResultRule::Select) map->inputs[0] = bool_;
    Map::Step step{op, result, {}};
    for (int i = 0; i < arity; ++i) step.from[size_t(i)] = uint8_t(i);
    map->results.push_back(map->add(step));
    auto* fresh = new std::shared_ptr<const Map>(std::move(map));
    if (slot.compare_exchange_strong(made, fresh, std::memory_order_acq_rel))
      made = fresh;
    else
      delete fresh;
  }
  return *made;
}

// An operand of a builder: an array or a constant.
struct Operand {
  const array* in;
  const Constant* constant;
  Operand(const array& a) : in(&a), constant(nullptr) {}
  Operand(const Constant& c) : in(nullptr), constant(&c) {}
  Dtype dtype() const { return in ? in->dtype() : constant->dtype; }
};

template <class... Operands>
array build(ElementOp op, const Operands&... operands) {
  constexpr size_t n = sizeof...(operands);
  const Operand all[n] = {operands...};
  const bool select = n == 3;
  Dtype promoted = all[select].dtype();
  for (size_t i = select + 1; i < n; ++i) promoted = promote_types(promoted, all[i].dtype());
  if (op == ElementOp::bitwise_invert && promoted == bool_) op = ElementOp::logical_not;
  const Dtypes d = dtypes(op, promoted);
  auto wanted = [&](size_t i) { return select && i == 0 ? bool_ : d.operand; };

  bool plain = true;
  for (size_t i = 0; i < n; ++i) plain = plain && all[i].in && all[i].dtype() == wanted(i);
  SmallVector<array, 3> in;
  if (plain) {
    for (const Operand& x : all) in.push_back(*x.in);
    return hearth::apply(one_step(op, d.operand, d.result), std::move(in));
  }
  auto map = std::make_shared<Map>();
  for (const Operand& x : all)
    if (x.in) {
      map->inputs.push_back(x.dtype());
      in.push_back(*x.in);
    }
  Map::Step last{op, d.result, {}};
  for (size_t i = 0; i < n; ++i)
    if (all[i].constant) {
      last.from[i] = uint8_t(map->inputs.size() + map->constants.size());
      map->constants.push_back(cast(*all[i].constant, wanted(i)));
    }
  for (size_t i = 0, input = 0; i < n; ++i)
    if (all[i].in) {
      last.from[i] = uint8_t(input++);
      if (all[i].dtype() == wanted(i)) continue;
      last.from[i] = map->add({ElementOp::astype, wanted(i), {last.from[i]}});
    }
  map->results.push_back(map->add(last));
  return hearth::apply(std::move(map), std::move(in));
}

array as(const array& x, Dtype dtype) {
  return hearth::apply(one_step(ElementOp::astype, x.dtype(), dtype), {x});
}

}  // namespace

namespace detail {
array binary(ElementOp op, const array& a, const array& b) { return build(op, a, b); }
array binary(ElementOp op, const array& a, const Constant& b) { return build(op, a, b); }
array binary(ElementOp op, const Constant& a, const array& b) { return build(op, a, b); }
}  // namespace detail

#define UNARY(name, ...)                         \
  array name(const array& x, StreamOrDevice s) { \
    StreamScope scope(s);                        \
    return build(ElementOp::name, x);            \
  }
#define BINARY(name, ...)                                        \
  array name(const array& a, const array& b, StreamOrDevice s) { \
    StreamScope scope(s);                                        \
    return build(ElementOp::name, a, b);                         \
  }
#define TERNARY(name, ...)                                                       \
  array name(const array& a, const array& b, const array& c, StreamOrDevice s) { \
    StreamScope scope(s);                                                        \
    return build(ElementOp::name, a, b, c);                                      \
  }
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY

array astype(array x, Dtype dtype, StreamOrDevice s) {
  if (x.dtype() == dtype) return x;
  StreamScope scope(s);
  return as(x, dtype);
}

array positive(const array& x, StreamOrDevice s) {
  StreamScope scope(s);  // a device that is not there is an error here too
  return x;
}

array stop_gradient(const array& x, StreamOrDevice s) {
  StreamScope scope(s);
  static const auto op = std::make_shared<const StopGradient>();
  return hearth::apply(op, {x});
}

// To a multiple of 10^digits, in the integers themselves: half to even.
static array round_integer(const array& x, int digits) {
  int64_t scale = 1;
  for (int i = 0; i < digits && i < 19; ++i) scale = i < 18 ? scale * 10 : 0;
  const bool is_signed = kind_of(x.dtype()) == Kind::i;
  if (scale == 0 || x.dtype() == bool_) return zeros_like(x);
  return fused(
      [&](const Arrays& in) {
        const Dtype wide = is_signed ? int64 : uint64;
        const array v = astype(in[0], wide), s(scale, wide), q = floor_divide(v, s),
                    rest = v - q * s;
        const array other = s - rest;
        const array up = rest > other || (rest == other && q % array(2, wide) != array(0, wide));
        return astype((q + astype(up, wide)) * s, x.dtype());
      },
      {x});
}
array round(const array& x, int decimals, StreamOrDevice s) {
  StreamScope scope(s);
  if (decimals == 0) return round(x);
  if (!is_inexact(x.dtype())) return decimals > 0 ? x : round_integer(x, -decimals);
  const double scale = std::pow(10.0, std::abs(double(decimals)));
  const Dtype wide = wide_of(x.dtype());
  if (!std::isfinite(scale) || (wide != float64 && scale > FLT_MAX))
    return decimals > 0 ? x : zeros_like(x);
  return in_wide(
      [&](const array& v) {
        const array by(scale, v.dtype());
        if (decimals < 0) return round(v / by) * by;
        const array scaled = v * by;  // a number too large for this has no decimals
        return where(isfinite(scaled), round(scaled) / by, v);
      },
      x);
}

array clip(const array& x, const std::optional<array>& a_min, const std::optional<array>& a_max,
           StreamOrDevice s) {
  check(a_min || a_max, "clip: wanted a_min, a_max or both, got neither");
  StreamScope scope(s);
  array out = a_min ? maximum(x, *a_min) : x;
  return a_max ? minimum(out, *a_max) : out;
}

array nan_to_num(const array& x, float nan, const std::optional<float> posinf,
                 const std::optional<float> neginf, StreamOrDevice s) {
  if (!is_inexact(x.dtype())) return x;
  check(x.dtype() != complex64,
        "nan_to_num: dtype complex64 is not one of float16, bfloat16, float32, float64");
  StreamScope scope(s);
  const double most = x.dtype() == float64    ? std::numeric_limits<double>::max()
                      : x.dtype() == float16  ? 65504.0
                      : x.dtype() == bfloat16 ? 0x1.fep127
                                              : double(std::numeric_limits<float>::max());
  array out = where(isnan(x), array(nan, x.dtype()), x);
  out = where(isposinf(x), array(posinf ? double(*posinf) : most, x.dtype()), out);
  return where(isneginf(x), array(neginf ? double(*neginf) : -most, x.dtype()), out);
}

std::vector<array> divmod(const array& a, const array& b, StreamOrDevice s) {
  StreamScope scope(s);
  return {floor_divide(a, b), remainder(a, b)};
}

array isclose(const array& a, const array& b, double rtol, double atol, bool equal_nan,
              StreamOrDevice s) {
  StreamScope scope(s);
  // Differences of unsigned integers would wrap.
  const Dtype common = promote_types(a.dtype(), b.dtype());
  const Dtype wide = is_inexact(common) ? common : float64;
  const Dtype real = wide == float64 ? float64 : float32;
  const array x = astype(a, wide), y = astype(b, wide);
  const array near = abs(x - y) <= abs(y) * array(rtol, real) + array(atol, real);
  const array out = (near && isfinite(x) && isfinite(y)) || a == b;
  return equal_nan ? out || (isnan(x) && isnan(y)) : out;
}
array allclose(const array& a, const array& b, double rtol, double atol, bool equal_nan,
               StreamOrDevice s) {
  StreamScope scope(s);
  return all(isclose(a, b, rtol, atol, equal_nan));
}
array array_equal(const array& a, const array& b, bool equal_nan, StreamOrDevice s) {
  if (a.shape() != b.shape()) return array(false);
  StreamScope scope(s);
  const array same = a == b;
  return all(equal_nan ? same || (isnan(a) && isnan(b)) : same);
}

}  // namespace hearth
