// Shapes and places: what moves elements, and arrays from nothing.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "hearth/ops/ops.h"
#include "tests/programs/program.h"

namespace hearth::testing {

namespace {

Shape shape_of(const Parameters& p, size_t from = 0) {
  Shape s;
  for (size_t i = from; i < p.size(); ++i) s.push_back(int(p[i]));
  return s;
}
std::vector<int> axes_of(const Parameters& p, size_t from = 0) {
  return {p.begin() + long(from), p.end()};
}
Parameters of_shape(const Shape& s) { return {s.begin(), s.end()}; }

/// The same elements in the same order.
Values reshaped(const Value& v, Shape shape) { return {Value{std::move(shape), v.dtype, v.x}}; }
Values permuted(const Value& v, const std::vector<int>& axes) {
  Shape shape;
  for (int k : axes) shape.push_back(v.shape[size_t(k)]);
  return {moved(v, shape, [&](const Place& at) {
    Place from(at.size());
    for (size_t i = 0; i < at.size(); ++i) from[size_t(axes[i])] = at[i];
    return int64_t(offset_of(v.shape, from));
  })};
}

int at_least(Maker& m, size_t ndim) {
  return m.any([&](const Value& v) { return v.shape.size() >= ndim; });
}

using Draw = std::function<void(Maker&)>;
using Run = std::function<array(const array&, const Parameters&)>;
using Plain = std::function<Values(const Value&, const Parameters&)>;
Operation unary(const char* name, Draw draw, Run run, Plain plain) {
  return {name, std::move(draw),
          [run](const Arrays& in, const Parameters& p) { return Arrays{run(in[0], p)}; },
          [plain](const Operands& in, const Parameters& p) { return plain(*in[0], p); }};
}

void draw_reshape(Maker& m) {
  const int x = m.any(any_ndim);
  // The sizes of the factors, in an order of their own, some joined.
  std::vector<int> factors;
  int n = int(m[x].x.size());
  if (n == 0) {
    factors = integers(m[x].shape);
  } else {
    for (int f = 2; n > 1; ++f)
      for (; n % f == 0; n /= f) factors.push_back(f);
  }
  for (size_t i = factors.size(); i > 1; --i)
    std::swap(factors[i - 1], factors[size_t(m.below(int(i)))]);
  Shape shape;
  for (int f : factors) {
    if (!shape.empty() && (shape.size() >= 4 || m.one_in(2)))
      shape.back() *= f;
    else
      shape.push_back(f);
  }
  if (m.one_in(4)) shape = inserted(shape, size_t(m.between(0, int(shape.size()))), 1);
  m.add({x}, of_shape(shape));
}

/// p: the first and last axis.
Operation flattened() {
  return unary(
      "flatten",
      [](Maker& m) {
        const int x = at_least(m, 1), first = m.axis(x);
        m.add({x}, {double(first), double(m.between(first, int(m[x].shape.size()) - 1))});
      },
      [](const array& a, const Parameters& p) { return flatten(a, int(p[0]), int(p[1])); },
      [](const Value& v, const Parameters& p) {
        Shape s;
        for (size_t k = 0; k < v.shape.size(); ++k) {
          if (double(k) > p[0] && double(k) <= p[1])
            s.back() *= v.shape[k];
          else
            s.push_back(v.shape[k]);
        }
        return reshaped(v, s);
      });
}
Operation squeezed() {
  return unary(
      "squeeze",
      [](Maker& m) {
        const int x =
            m.any([](const Value& v) { return std::count(v.shape.begin(), v.shape.end(), 1) > 0; });
        Parameters p;
        for (size_t k = 0; k < m[x].shape.size(); ++k)
          if (m[x].shape[k] == 1 && (p.empty() || m.one_in(2))) p.push_back(double(k));
        m.add({x}, p);
      },
      [](const array& a, const Parameters& p) { return squeeze(a, axes_of(p)); },
      [](const Value& v, const Parameters& p) {
        Shape s;
        for (size_t k = 0; k < v.shape.size(); ++k)
          if (std::count(p.begin(), p.end(), double(k)) == 0) s.push_back(v.shape[k]);
        return reshaped(v, s);
      });
}
Operation expanded() {
  return unary(
      "expand_dims",
      [](Maker& m) {
        const int x = m.any([](const Value& v) { return v.shape.size() < 4; });
        m.add({x}, {double(m.between(0, int(m[x].shape.size())))});
      },
      [](const array& a, const Parameters& p) { return expand_dims(a, int(p[0])); },
      [](const Value& v, const Parameters& p) {
        return reshaped(v, inserted(v.shape, size_t(p[0]), 1));
      });
}
Operation transposed() {
  return unary(
      "transpose",
      [](Maker& m) {
        const int x = at_least(m, 2);
        Parameters p;
        for (size_t k = 0; k < m[x].shape.size(); ++k)
          p.insert(p.begin() + m.between(0, int(k)), double(k));
        m.add({x}, p);
      },
      [](const array& a, const Parameters& p) { return transpose(a, axes_of(p)); },
      [](const Value& v, const Parameters& p) { return permuted(v, axes_of(p)); });
}
Operation axis_moved() {
  return unary(
      "moveaxis",
      [](Maker& m) {
        const int x = at_least(m, 2);
        m.add({x}, {double(m.axis(x)), double(m.axis(x))});
      },
      [](const array& a, const Parameters& p) { return moveaxis(a, int(p[0]), int(p[1])); },
      [](const Value& v, const Parameters& p) {
        std::vector<int> axes(v.shape.size());
        std::iota(axes.begin(), axes.end(), 0);
        axes.erase(axes.begin() + long(p[0]));
        axes.insert(axes.begin() + long(p[1]), int(p[0]));
        return permuted(v, axes);
      });
}
Operation broadcasted() {
  return unary(
      "broadcast_to",
      [](Maker& m) {
        const int x = m.any([](const Value& v) { return v.shape.size() < 4; });
        Shape s = m[x].shape;
        for (int& n : s)
          if (n == 1) n = m.size();
        for (int k = m.between(0, 4 - int(s.size())); k > 0 && m.one_in(2); --k)
          s = inserted(s, 0, m.size());
        m.add({x}, of_shape(s));
      },
      [](const array& a, const Parameters& p) { return broadcast_to(a, shape_of(p)); },
      [](const Value& v, const Parameters& p) { return Values{broadcast(v, shape_of(p))}; });
}
Operation flipped() {
  return unary(
      "flip",
      [](Maker& m) {
        const int x = at_least(m, 1);
        m.add({x}, parameters(m.axes(x)));
      },
      [](const array& a, const Parameters& p) { return flip(a, axes_of(p)); },
      [](const Value& v, const Parameters& p) {
        return Values{moved(v, v.shape, [&](Place at) {
          for (int k : axes_of(p)) at[size_t(k)] = v.shape[size_t(k)] - 1 - at[size_t(k)];
          return int64_t(offset_of(v.shape, at));
        })};
      });
}
/// p: the shift, the axis.
Operation rolled() {
  return unary(
      "roll",
      [](Maker& m) {
        const int x = at_least(m, 1);
        m.add({x}, {double(m.between(-7, 7)), double(m.axis(x))});
      },
      [](const array& a, const Parameters& p) { return roll(a, int(p[0]), int(p[1])); },
      [](const Value& v, const Parameters& p) {
        return Values{moved(v, v.shape, [&](Place at) {
          const int n = v.shape[size_t(p[1])];
          int& i = at[size_t(p[1])];
          i = ((i - int(p[0])) % n + n) % n;
          return int64_t(offset_of(v.shape, at));
        })};
      });
}
/// p: of each axis low and high; then the value, or -1 for the edge.
Operation padded() {
  return unary(
      "pad",
      [](Maker& m) {
        const int x = m.any(has_elements);
        Parameters p;
        for (size_t k = 0; k < 2 * m[x].shape.size(); ++k)
          p.push_back(m.one_in(2) ? m.below(3) : 0);
        p.push_back(m.between(-1, 2));
        m.add({x}, p);
      },
      [](const array& a, const Parameters& p) {
        std::vector<std::pair<int, int>> widths;
        for (size_t k = 0; k + 1 < p.size(); k += 2) widths.emplace_back(int(p[k]), int(p[k + 1]));
        return p.back() < 0 ? pad(a, widths, array(0), "edge")
                            : pad(a, widths, array(int(p.back())));
      },
      [](const Value& v, const Parameters& p) {
        Shape s = v.shape;
        for (size_t k = 0; k < s.size(); ++k) s[k] += int(p[2 * k] + p[2 * k + 1]);
        const Real fill = as(int32, v.dtype, std::max(p.back(), 0.0));
        return Values{moved(
            v, s,
            [&](Place at) {
              for (size_t k = 0; k < s.size(); ++k) {
                const int i = at[k] - int(p[2 * k]);
                if (p.back() >= 0 && (i < 0 || i >= v.shape[k])) return int64_t(-1);
                at[k] = std::clamp(i, 0, v.shape[k] - 1);
              }
              return int64_t(offset_of(v.shape, at));
            },
            fill)};
      });
}
Operation tiled() {
  return unary(
      "tile",
      [](Maker& m) {
        const int x = m.any(any_ndim);
        Parameters p;
        for (int k = m.between(1, int(m[x].shape.size()) + 1); k > 0 && p.size() < 4; --k)
          p.push_back(m.between(1, 3));
        m.add({x}, p);
      },
      [](const array& a, const Parameters& p) { return tile(a, axes_of(p)); },
      [](const Value& v, const Parameters& p) {
        Shape own = v.shape, times = shape_of(p);
        while (own.size() < times.size()) own = inserted(own, 0, 1);
        while (times.size() < own.size()) times = inserted(times, 0, 1);
        Shape s = own;
        for (size_t k = 0; k < s.size(); ++k) s[k] *= times[k];
        return Values{moved(v, s, [&](Place at) {
          for (size_t k = 0; k < s.size(); ++k) at[k] %= own[k];
          return int64_t(offset_of(own, at));
        })};
      });
}
/// p: how often, the axis.
Operation repeated() {
  return unary(
      "repeat",
      [](Maker& m) {
        const int x = at_least(m, 1);
        m.add({x}, {double(m.between(1, 3)), double(m.axis(x))});
      },
      [](const array& a, const Parameters& p) { return repeat(a, int(p[0]), int(p[1])); },
      [](const Value& v, const Parameters& p) {
        Shape s = v.shape;
        s[size_t(p[1])] *= int(p[0]);
        return Values{moved(v, s, [&](Place at) {
          at[size_t(p[1])] /= int(p[0]);
          return int64_t(offset_of(v.shape, at));
        })};
      });
}
Operation triangle(const char* name, bool lower) {
  return unary(
      name, [](Maker& m) { m.add({at_least(m, 2)}, {double(m.between(-2, 2))}); },
      [lower](const array& a, const Parameters& p) {
        return lower ? tril(a, int(p[0])) : triu(a, int(p[0]));
      },
      [lower](const Value& v, const Parameters& p) {
        return Values{moved(v, v.shape, [&](const Place& at) {
          const int off = at.back() - at[at.size() - 2] - int(p[0]);
          return (lower ? off <= 0 : off >= 0) ? int64_t(offset_of(v.shape, at)) : -1;
        })};
      });
}
/// p: the offset.
Operation diagonal_of() {
  return unary(
      "diagonal", [](Maker& m) { m.add({at_least(m, 2)}, {double(m.between(-1, 1))}); },
      [](const array& a, const Parameters& p) { return diagonal(a, int(p[0])); },
      [](const Value& v, const Parameters& p) {
        const int low = std::max(0, -int(p[0])), right = std::max(0, int(p[0]));
        Shape s(v.shape.begin() + 2, v.shape.end());
        s.push_back(std::max(0, std::min(v.shape[0] - low, v.shape[1] - right)));
        return Values{moved(v, s, [&](const Place& at) {
          Place from{low + at.back(), right + at.back()};
          from.insert(from.end(), at.begin(), at.end() - 1);
          return int64_t(offset_of(v.shape, from));
        })};
      });
}
Operation diag_of() {
  return unary(
      "diag",
      [](Maker& m) {
        m.add({m.any([](const Value& v) { return v.shape.size() == 1 && v.x.size() < 20; })},
              {double(m.between(-2, 2))});
      },
      [](const array& a, const Parameters& p) { return diag(a, int(p[0])); },
      [](const Value& v, const Parameters& p) {
        const int k = int(p[0]), n = v.shape[0] + std::abs(k);
        return Values{moved(v, {n, n}, [&](const Place& at) {
          return at[1] - at[0] == k ? int64_t(k < 0 ? at[1] : at[0]) : -1;
        })};
      });
}

/// Arrays from nothing: p[0] is the dtype.
Operation created(const char* name, Draw draw, std::function<array(const Parameters&)> run,
                  std::function<Value(const Parameters&)> plain) {
  return {name, std::move(draw),
          [run](const Arrays&, const Parameters& p) { return Arrays{run(p)}; },
          [plain](const Operands&, const Parameters& p) { return Values{plain(p)}; }};
}
Dtype dtype_in(const Parameters& p) { return Dtype(int(p[0])); }

}  // namespace

std::vector<Operation> movements() {
  return {
      unary(
          "reshape", draw_reshape,
          [](const array& a, const Parameters& p) { return reshape(a, shape_of(p)); },
          [](const Value& v, const Parameters& p) { return reshaped(v, shape_of(p)); }),
      flattened(),
      squeezed(),
      expanded(),
      transposed(),
      transposed(),
      axis_moved(),
      broadcasted(),
      flipped(),
      rolled(),
      padded(),
      tiled(),
      repeated(),
      triangle("tril", true),
      triangle("triu", false),
      diagonal_of(),
      diag_of(),
      unary(
          "contiguous", [](Maker& m) { m.add({m.any(any_ndim)}, {double(m.below(2))}); },
          [](const array& a, const Parameters& p) { return contiguous(a, p[0] != 0); },
          [](const Value& v, const Parameters&) { return Values{v}; }),
      unary(
          "copy", [](Maker& m) { m.add({m.any(any_ndim)}); },
          [](const array& a, const Parameters&) { return copy(a); },
          [](const Value& v, const Parameters&) { return Values{v}; }),
      created(
          "arange",
          [](Maker& m) {
            m.add({}, {double(m.one_in(2) ? int32 : float64), double(m.between(-3, 3)),
                       double(m.below(7)), double(m.between(1, 2))});
          },
          [](const Parameters& p) { return arange(p[1], p[1] + p[2] * p[3], p[3], dtype_in(p)); },
          [](const Parameters& p) {
            return made({int(p[2])}, dtype_in(p),
                        [&](const Place& at) { return p[1] + at[0] * p[3]; });
          }),
      created(
          "eye",
          [](Maker& m) {
            m.add({}, {double(m.dtype()), double(m.size()), double(m.size()),
                       double(m.between(-1, 1))});
          },
          [](const Parameters& p) { return eye(int(p[1]), int(p[2]), int(p[3]), dtype_in(p)); },
          [](const Parameters& p) {
            return made({int(p[1]), int(p[2])}, dtype_in(p),
                        [&](const Place& at) { return at[1] - at[0] == int(p[3]); });
          }),
      created(
          "full",
          [](Maker& m) {
            Parameters p{double(m.dtype()), double(m.below(4))};
            for (int n : m.shape()) p.push_back(n);
            m.add({}, p);
          },
          [](const Parameters& p) { return full(shape_of(p, 2), p[1], dtype_in(p)); },
          [](const Parameters& p) {
            return made(shape_of(p, 2), dtype_in(p),
                        [&](const Place&) { return as(float64, dtype_in(p), p[1]); });
          }),
  };
}

}  // namespace hearth::testing
