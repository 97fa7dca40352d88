// Reductions, scans, sorting, softmax. Sums may be added up in any order: n numbers whose absolute
// values sum to S err by n S units at most.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "hearth/ops/ops.h"
#include "tests/programs/program.h"

namespace hearth::testing {

namespace {

using Line = std::vector<Real>;
struct Number {
  Real x, error = 0;
};

Real sum_of(const Line& v) { return std::accumulate(v.begin(), v.end(), Real(0)); }
Real size_of_all(const Line& v) {
  Real s = 0;
  for (Real x : v) s += std::abs(x);
  return s;
}
Number sum_number(const Line& v, Real unit) {
  return {sum_of(v), Real(v.size()) * unit * size_of_all(v)};
}
Number mean_number(const Line& v, Real unit) {
  const Number s = sum_number(v, unit);
  const Real n = Real(v.size());
  return {s.x / n, s.error / n + 2 * unit * size_of_all(v) / n};
}
Number variance_number(const Line& v, Real unit, int ddof) {
  const Number m = mean_number(v, unit);
  Number out{0};
  for (Real x : v) {
    const Real d = std::abs(x - m.x), off = m.error + unit * d;
    out.x += d * d;
    out.error += 2 * d * off + off * off + unit * (d + off) * (d + off);
  }
  const Real n = Real(v.size());
  out.error += (n + 2) * unit * (out.x + out.error);
  return {out.x / (n - ddof), out.error / (n - ddof)};
}
Number root(const Number& v, Real unit) {
  const Real y = std::sqrt(v.x);
  return {y,
          std::max(std::sqrt(v.x + v.error) - y, y - std::sqrt(std::max(v.x - v.error, Real(0)))) +
              2 * unit * y};
}
Number logsumexp_number(const Line& v, Real unit) {
  const Real most = *std::max_element(v.begin(), v.end());
  Real s = 0, error = 0;
  for (Real x : v) {
    const Real e = std::exp(x - most);
    s += e;
    error += e * unit * (8 + std::abs(x - most));
  }
  error += Real(v.size()) * unit * s;
  const Real y = most + std::log(s);
  return {y, error / s + unit * (8 * std::log(s) + std::abs(most) + std::abs(y) + 1)};
}
Number median_number(Line v, Real unit) {
  std::sort(v.begin(), v.end());
  const size_t n = v.size();
  return mean_number({v[(n - 1) / 2], v[n / 2]}, n % 2 ? 0 : unit);
}
int64_t product_of(const Line& v) {
  uint64_t y = 1;
  for (Real x : v) y *= uint64_t(int64_t(x));
  return int64_t(y);
}

/// Reduces lines of elements; `axes` and keepdims are the parameters but the last `more`.
struct Axes {
  std::vector<int> axes;
  bool keepdims;
  Axes(const Parameters& p, size_t more = 0)
      : axes(p.begin() + 1, p.end() - long(more)), keepdims(p[0] != 0) {}
};
template <class F>
Value reduced(const Value& v, const Axes& over, Dtype dtype, F&& f) {
  const auto is_reduced = [&](size_t k) {
    return std::find(over.axes.begin(), over.axes.end(), int(k)) != over.axes.end();
  };
  Shape kept = v.shape, inner;
  for (size_t k = 0; k < kept.size(); ++k) {
    inner.push_back(is_reduced(k) ? v.shape[k] : 1);
    if (is_reduced(k)) kept[k] = 1;
  }
  Value out{{}, dtype};
  each_place(kept, [&](const Place& at, size_t) {
    Line line;
    each_place(inner, [&](const Place& in, size_t) {
      Place both = at;
      for (size_t k = 0; k < both.size(); ++k) both[k] += in[k];
      line.push_back(v.x[offset_of(v.shape, both)]);
    });
    const Number y = f(line);
    out.x.push_back(y.x);
    if (is_floating(dtype)) out.error.push_back(y.error);
  });
  for (size_t k = 0; k < kept.size(); ++k)
    if (over.keepdims || !is_reduced(k)) out.shape.push_back(kept[k]);
  return out;
}

Dtype sum_dtype(Dtype d) {
  if (d == bool_) return int32;
  if (!is_integer(d) || size_of(d) == 8) return d;
  return kind_of(d) == Kind::u ? uint32 : int32;
}
Dtype same(Dtype d) { return d; }
Dtype to_bool(Dtype) { return bool_; }
Dtype to_i32(Dtype) { return int32; }

/// The half's own rounding is behind a number in f32.
Number wide(Number y, Dtype d) {
  if (size_of(d) == 2) y.error += step_at(y.x, d);
  return y;
}

using Reducer = array (*)(const array&, const std::vector<int>&, bool, StreamOrDevice);
struct Reduction {
  const char* name;
  Reducer run;
  Dtype (*dtype)(Dtype);
  bool of_nothing;  // has a value
  Number (*of)(const Line&, Real unit, Dtype d);
};
const Reduction kReductions[] = {
    {"sum", sum, sum_dtype, true,
     [](const Line& v, Real u, Dtype d) {
       if (is_floating(d)) return sum_number(v, u);
       int64_t s = 0;
       for (Real x : v) s = int64_t(uint64_t(s) + uint64_t(int64_t(x)));
       return Number{wrapped(sum_dtype(d), s)};
     }},
    {"prod", prod, sum_dtype, true,
     [](const Line& v, Real u, Dtype d) {
       if (!is_floating(d)) return Number{wrapped(sum_dtype(d), product_of(v))};
       Number y{1};
       for (Real x : v) y.x *= x;
       y.error = Real(v.size()) * u * std::abs(y.x);
       return y;
     }},
    {"mean", mean, at_least_f32, false,
     [](const Line& v, Real u, Dtype) { return mean_number(v, u); }},
    {"max", max, same, false,
     [](const Line& v, Real, Dtype) { return Number{*std::max_element(v.begin(), v.end())}; }},
    {"min", min, same, false,
     [](const Line& v, Real, Dtype) { return Number{*std::min_element(v.begin(), v.end())}; }},
    {"all", all, to_bool, true,
     [](const Line& v, Real, Dtype) {
       return Number{Real(std::count(v.begin(), v.end(), Real(0)) == 0)};
     }},
    {"any", any, to_bool, true,
     [](const Line& v, Real, Dtype) {
       return Number{Real(std::count(v.begin(), v.end(), Real(0)) < std::ptrdiff_t(v.size()))};
     }},
    {"count_nonzero", count_nonzero, to_i32, true,
     [](const Line& v, Real, Dtype) {
       return Number{Real(v.size()) - Real(std::count(v.begin(), v.end(), Real(0)))};
     }},
    {"logsumexp", logsumexp, at_least_f32, false,
     [](const Line& v, Real u, Dtype) { return logsumexp_number(v, u); }},
    {"median", median, at_least_f32, false,
     [](const Line& v, Real u, Dtype) { return median_number(v, u); }},
};

void draw_axes(Maker& m, bool of_nothing, Parameters more = {}) {
  const int x = m.any([&](const Value& v) {
    return (of_nothing || !v.x.empty()) && (v.shape.size() > 0 || m.one_in(8));
  });
  Parameters p{double(m.below(2))};
  for (int k : m.axes(x)) p.push_back(m.one_in(4) ? k - double(m[x].shape.size()) : k);
  p.insert(p.end(), more.begin(), more.end());
  m.add({x}, p);
}
/// Axes may count from the end.
Parameters from_front(Parameters p, const Value& v, size_t more = 0) {
  for (size_t i = 1; i + more < p.size(); ++i)
    if (p[i] < 0) p[i] += double(v.shape.size());
  return p;
}

Operation reduction(const Reduction& r) {
  return {r.name, [&r](Maker& m) { draw_axes(m, r.of_nothing); },
          [&r](const Arrays& in, const Parameters& p) {
            const Axes over(p);
            return Arrays{r.run(in[0], over.axes, over.keepdims, {})};
          },
          [&r](const Operands& in, const Parameters& p) {
            const Value& v = *in[0];
            const Dtype d = r.dtype(v.dtype);
            const Value x = d == float32 && !is_floating(v.dtype) ? as(v, d) : v;
            return Values{reduced(x, Axes(from_front(p, v)), d, [&](const Line& line) {
              return wide(r.of(line, unit_of(d), v.dtype), d);
            })};
          }};
}
Operation deviation(const char* name, bool rooted) {
  return {name, [](Maker& m) { draw_axes(m, false, {double(m.below(2))}); },
          [rooted](const Arrays& in, const Parameters& p) {
            const Axes over(p, 1);
            const int ddof = int(p.back());
            return Arrays{rooted ? std(in[0], over.axes, over.keepdims, ddof)
                                 : var(in[0], over.axes, over.keepdims, ddof)};
          },
          [rooted](const Operands& in, const Parameters& p) {
            const Dtype d = at_least_f32(in[0]->dtype);
            const Real u = unit_of(d);
            const Axes over(from_front(p, *in[0], 1), 1);
            return Values{reduced(as(*in[0], d), over, d, [&](const Line& line) {
              const Number v = variance_number(line, u, int(p.back()));
              return wide(rooted ? root(v, u) : v, d);
            })};
          }};
}

/// What goes along one axis: `f` makes of the line's numbers as many, or others.
using Lines = std::function<std::vector<Number>(const Line&, Real unit, Dtype d)>;
Value along_axis(const Value& v, int axis, Dtype dtype, const Lines& f) {
  Value out{v.shape, dtype};
  const size_t k = size_t(axis);
  Shape others = v.shape;
  others[k] = std::min(1, v.shape[k]);
  std::vector<std::pair<Place, std::vector<Number>>> lines;
  each_place(others, [&](const Place& at, size_t) {
    lines.emplace_back(at, f(along(v, at, k), unit_of(dtype), v.dtype));
  });
  if (!lines.empty()) out.shape[k] = int(lines[0].second.size());
  out.x.resize(element_count(out.shape));
  if (is_floating(dtype)) out.error.resize(out.x.size());
  for (auto& [at, numbers] : lines)
    for (size_t i = 0; i < numbers.size(); ++i) {
      at[k] = int(i);
      const size_t to = offset_of(out.shape, at);
      out.x[to] = numbers[i].x;
      if (is_floating(dtype)) out.error[to] = wide(numbers[i], dtype).error;
    }
  return out;
}
int axis_of(const Parameters& p, const Value& v) {
  return int(p[0] < 0 ? p[0] + double(v.shape.size()) : p[0]);
}
void draw_axis(Maker& m, const std::function<bool(const Value&)>& fits, Parameters more = {}) {
  const int x = m.any(fits), axis = m.axis(x);
  Parameters p{m.one_in(3) ? axis - double(m[x].shape.size()) : axis};
  p.insert(p.end(), more.begin(), more.end());
  m.add({x}, p);
}

/// p: axis, reverse, inclusive.
Operation scan(const char* name, std::function<array(const array&, int, bool, bool)> run,
               Dtype (*dtype)(Dtype), bool has_identity,
               std::function<Number(const Line&, Real, Dtype)> of) {
  return {name,
          [has_identity](Maker& m) {
            draw_axis(m, has_elements, {double(m.below(2)), double(!has_identity || !m.one_in(3))});
          },
          [run](const Arrays& in, const Parameters& p) {
            return Arrays{run(in[0], int(p[0]), p[1] != 0, p[2] != 0)};
          },
          [dtype, of](const Operands& in, const Parameters& p) {
            const Dtype d = dtype(in[0]->dtype);
            const Value v = is_floating(d) ? as(*in[0], d) : *in[0];
            return Values{along_axis(v, axis_of(p, v), d, [&](Line line, Real u, Dtype from) {
              if (p[1] != 0) std::reverse(line.begin(), line.end());
              std::vector<Number> out;
              for (size_t i = 0; i < line.size(); ++i) {
                const Line part(line.begin(), line.begin() + long(i) + (p[2] != 0));
                out.push_back(of(part, u, from));
                if (!is_floating(d)) out.back().x = wrapped(d, int64_t(out.back().x));
              }
              if (p[1] != 0) std::reverse(out.begin(), out.end());
              return out;
            })};
          }};
}
Dtype scan_sum_dtype(Dtype d) { return d == bool_ ? int32 : d; }

/// Stable, as hearth's.
std::vector<size_t> order_of(const Line& v) {
  std::vector<size_t> order(v.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return v[a] < v[b]; });
  return order;
}
Operation on_axis(
    const char* name, std::function<void(Maker&)> draw,
    std::function<array(const array&, const Parameters&)> run, std::function<Dtype(Dtype)> dtype,
    std::function<std::vector<Number>(const Line&, Real, Dtype, const Parameters&)> f) {
  return {name, std::move(draw),
          [run](const Arrays& in, const Parameters& p) { return Arrays{run(in[0], p)}; },
          [dtype, f](const Operands& in, const Parameters& p) {
            const Dtype d = dtype(in[0]->dtype);
            const Value v = d == float32 ? as(*in[0], d) : *in[0];
            return Values{along_axis(
                v, axis_of(p, v), d,
                [&](const Line& line, Real u, Dtype from) { return f(line, u, from, p); })};
          }};
}
Operation arg_reduction(const char* name, bool largest) {
  return {
      name, [](Maker& m) { draw_axis(m, has_elements, {double(m.below(2))}); },
      [largest](const Arrays& in, const Parameters& p) {
        const int axis = int(p[0]);
        return Arrays{largest ? argmax(in[0], axis, p[1] != 0) : argmin(in[0], axis, p[1] != 0)};
      },
      [largest](const Operands& in, const Parameters& p) {
        const int axis = axis_of(p, *in[0]);
        return Values{reduced(*in[0], Axes({p[1], double(axis)}), uint32, [&](const Line& v) {
          const auto at =
              largest ? std::max_element(v.begin(), v.end()) : std::min_element(v.begin(), v.end());
          return Number{Real(at - v.begin())};
        })};
      }};
}

std::vector<Number> softmax_numbers(const Line& v, Real u) {
  const Real most = *std::max_element(v.begin(), v.end());
  Real s = 0, error = 0;
  for (Real x : v) {
    const Real e = std::exp(x - most);
    s += e, error += e * u * (8 + std::abs(x - most));
  }
  std::vector<Number> out;
  for (Real x : v) {
    const Real y = std::exp(x - most) / s;
    out.push_back({y, y * (error / s + u * (12 + Real(v.size()) + std::abs(x - most)))});
  }
  return out;
}

}  // namespace

std::vector<Operation> reductions() {
  std::vector<Operation> out;
  for (const Reduction& r : kReductions) out.push_back(reduction(r));
  out.push_back(deviation("var", false));
  out.push_back(deviation("std", true));
  out.push_back(arg_reduction("argmax", true));
  out.push_back(arg_reduction("argmin", false));
  out.push_back(scan(
      "cumsum", [](const array& a, int k, bool r, bool i) { return cumsum(a, k, r, i); },
      scan_sum_dtype, true,
      [](const Line& v, Real u, Dtype d) {
        return is_floating(d) ? sum_number(v, u) : Number{sum_of(v)};
      }));
  out.push_back(scan(
      "cumprod", [](const array& a, int k, bool r, bool i) { return cumprod(a, k, r, i); }, same,
      true,
      [](const Line& v, Real u, Dtype d) {
        if (!is_floating(d)) return Number{wrapped(d, product_of(v))};
        Number y{1};
        for (Real x : v) y.x *= x;
        y.error = Real(v.size()) * u * std::abs(y.x);
        return y;
      }));
  out.push_back(scan(
      "cummax", [](const array& a, int k, bool r, bool i) { return cummax(a, k, r, i); }, same,
      false,
      [](const Line& v, Real, Dtype) { return Number{*std::max_element(v.begin(), v.end())}; }));
  out.push_back(scan(
      "cummin", [](const array& a, int k, bool r, bool i) { return cummin(a, k, r, i); }, same,
      false,
      [](const Line& v, Real, Dtype) { return Number{*std::min_element(v.begin(), v.end())}; }));
  out.push_back(scan(
      "logcumsumexp",
      [](const array& a, int k, bool r, bool i) { return logcumsumexp(a, k, r, i); }, at_least_f32,
      false,
      [](const Line& v, Real u, Dtype) {
        Number y = logsumexp_number(v, u);
        // One by one: each rounds what it has.
        for (Real x : v) y.error += u * (8 + std::abs(x) + std::abs(y.x));
        return y;
      }));
  const auto any_axis = [](Maker& m) { draw_axis(m, has_axis); };
  out.push_back(on_axis(
      "sort", any_axis, [](const array& a, const Parameters& p) { return sort(a, int(p[0])); },
      same,
      [](const Line& v, Real, Dtype, const Parameters&) {
        std::vector<Number> y;
        for (size_t i : order_of(v)) y.push_back({v[i]});
        return y;
      }));
  out.push_back(on_axis(
      "argsort", any_axis,
      [](const array& a, const Parameters& p) { return argsort(a, int(p[0])); },
      [](Dtype) { return uint32; },
      [](const Line& v, Real, Dtype, const Parameters&) {
        std::vector<Number> y;
        for (size_t i : order_of(v)) y.push_back({Real(i)});
        return y;
      }));
  out.push_back(on_axis(
      "sort of topk",
      [](Maker& m) {
        const int x = m.any(has_elements), axis = m.axis(x);
        m.add({x}, {double(axis), double(m.between(1, m[x].shape[size_t(axis)]))});
      },
      [](const array& a, const Parameters& p) {
        return sort(topk(a, int(p[1]), int(p[0])), int(p[0]));
      },
      same,
      [](const Line& v, Real, Dtype, const Parameters& p) {
        std::vector<Number> y;
        for (size_t i : order_of(v)) y.push_back({v[i]});
        y.erase(y.begin(), y.end() - long(p[1]));
        return y;
      }));
  out.push_back(on_axis(
      "kth of partition",
      [](Maker& m) {
        const int x = m.any(has_elements), axis = m.axis(x);
        m.add({x}, {double(axis), double(m.below(m[x].shape[size_t(axis)]))});
      },
      [](const array& a, const Parameters& p) {
        return take(partition(a, int(p[1]), int(p[0])), array({int(p[1])}), int(p[0]));
      },
      same,
      [](Line v, Real, Dtype, const Parameters& p) {
        std::sort(v.begin(), v.end());
        return std::vector<Number>{{v[size_t(p[1])]}};
      }));
  out.push_back(on_axis(
      "softmax", [](Maker& m) { draw_axis(m, has_elements); },
      [](const array& a, const Parameters& p) { return softmax(a, int(p[0])); }, at_least_f32,
      [](const Line& v, Real u, Dtype, const Parameters&) { return softmax_numbers(v, u); }));
  out.push_back(on_axis(
      "log_softmax", [](Maker& m) { draw_axis(m, has_elements); },
      [](const array& a, const Parameters& p) { return log_softmax(a, int(p[0])); }, at_least_f32,
      [](const Line& v, Real u, Dtype, const Parameters&) {
        const Number s = logsumexp_number(v, u);
        std::vector<Number> y;
        for (Real x : v) y.push_back({x - s.x, s.error + u * (std::abs(x) + std::abs(s.x))});
        return y;
      }));
  out.push_back(on_axis(
      "diff", [](Maker& m) { draw_axis(m, has_elements); },
      [](const array& a, const Parameters& p) { return diff(a, 1, int(p[0])); }, same,
      [](const Line& v, Real, Dtype d, const Parameters&) {
        std::vector<Number> y;
        for (size_t i = 1; i < v.size(); ++i)
          y.push_back({d == bool_       ? Real(v[i] != v[i - 1])
                       : is_floating(d) ? v[i] - v[i - 1]
                                        : wrapped(d, int64_t(v[i]) - int64_t(v[i - 1]))});
        return y;
      }));
  return out;
}

}  // namespace hearth::testing
