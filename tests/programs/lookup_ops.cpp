// Reading and writing at computed places. Indices are any integers, brought into range first, some
// of them counting from the end.
#include <algorithm>
#include <cmath>

#include "hearth/ops/ops.h"
#include "tests/programs/program.h"

namespace hearth::testing {

namespace {

/// Indices 0 .. n - 1 in their own dtype, or -n .. -1 where `from_end` and the dtype has a sign.
array brought(const array& indices, int n, bool from_end) {
  const array i = remainder(indices, array(n, indices.dtype()));
  return from_end && kind_of(i.dtype()) == Kind::i ? i - array(n, i.dtype()) : i;
}
int brought(Real index, int n) {
  const auto i = int64_t(index) % n;
  return int(i < 0 ? i + n : i);
}
bool indexes(const Value& v) { return is_integer(v.dtype); }
/// Its sizes fit into any integer.
bool indexed(const Value& v) {
  return has_elements(v) && *std::max_element(v.shape.begin(), v.shape.end()) < 100;
}

/// p: the axis, do they count from the end?
Operation taken() {
  return {"take",
          [](Maker& m) {
            const int x = m.any(indexed), axis = m.axis(x);
            const int i = m.any([](const Value& v) { return indexes(v) && v.shape.size() < 3; });
            m.add({x, i}, {double(axis), double(m.below(2))});
          },
          [](const Arrays& in, const Parameters& p) {
            const int axis = int(p[0]);
            return Arrays{take(in[0], brought(in[1], in[0].shape(axis), p[1] != 0), axis)};
          },
          [](const Operands& in, const Parameters& p) {
            const Value &v = *in[0], &i = *in[1];
            const size_t axis = size_t(p[0]), more = i.shape.size();
            Shape s(v.shape.begin(), v.shape.begin() + long(axis));
            s.insert(s.end(), i.shape.begin(), i.shape.end());
            s.insert(s.end(), v.shape.begin() + long(axis) + 1, v.shape.end());
            return Values{moved(v, s, [&](const Place& at) {
              const Place where(at.begin() + long(axis), at.begin() + long(axis + more));
              Place from(at.begin(), at.begin() + long(axis));
              from.push_back(brought(i.x[offset_of(i.shape, where)], v.shape[axis]));
              from.insert(from.end(), at.begin() + long(axis + more), at.end());
              return int64_t(offset_of(v.shape, from));
            })};
          }};
}
Operation taken_flat() {
  return {"take of all",
          [](Maker& m) {
            const int x = m.any([](const Value& v) { return !v.x.empty() && v.x.size() < 100; });
            m.add({x, m.any(indexes)}, {double(m.below(2))});
          },
          [](const Arrays& in, const Parameters& p) {
            return Arrays{take(in[0], brought(in[1], int(in[0].size()), p[0] != 0))};
          },
          [](const Operands& in, const Parameters&) {
            const Value &v = *in[0], &i = *in[1];
            return Values{moved(v, i.shape, [&](const Place& at) {
              return int64_t(brought(i.x[offset_of(i.shape, at)], int(v.x.size())));
            })};
          }};
}

/// Indices of as many axes, of v's size or 1 on all but one.
int indices_along(Maker& m, int x, int axis, bool may_broadcast) {
  const Shape shape = m[x].shape;
  const auto fits = [&](const Value& v) {
    if (!indexes(v) || v.shape.size() != shape.size()) return false;
    for (size_t k = 0; k < shape.size(); ++k)
      if (int(k) != axis && v.shape[k] != shape[k] && !(may_broadcast && v.shape[k] == 1))
        return false;
    return true;
  };
  if (!m.one_in(3)) try {
      return m.any(fits);
    } catch (Maker::Unfit) {
    }
  Shape own = shape;
  own[size_t(axis)] = m.between(1, 4);
  for (size_t k = 0; k < own.size(); ++k)
    if (may_broadcast && int(k) != axis && m.one_in(4)) own[k] = 1;
  return m.argument(m.numbers(own, m.one_in(2) ? int32 : m.one_in(2) ? uint32 : int64));
}
Operation taken_along() {
  return {
      "take_along_axis",
      [](Maker& m) {
        const int x = m.any(indexed), axis = m.axis(x);
        m.add({x, indices_along(m, x, axis, true)}, {double(axis), double(m.below(2))});
      },
      [](const Arrays& in, const Parameters& p) {
        const int axis = int(p[0]);
        return Arrays{take_along_axis(in[0], brought(in[1], in[0].shape(axis), p[1] != 0), axis)};
      },
      [](const Operands& in, const Parameters& p) {
        const Value& v = *in[0];
        const size_t axis = size_t(p[0]);
        Shape s = v.shape;
        s[axis] = in[1]->shape[axis];
        const Value i = broadcast(*in[1], s);
        return Values{moved(v, s, [&](Place at) {
          at[axis] = brought(i.x[offset_of(s, at)], v.shape[axis]);
          return int64_t(offset_of(v.shape, at));
        })};
      }};
}
/// Sums in any order, each rounded to the dtype.
Real sum_error(Dtype d, Real sizes, int terms) {
  const Real unit = d == float64   ? 0x1p-53L
                    : d == float32 ? 0x1p-24L
                    : d == float16 ? 0x1p-11L
                                   : 0x1p-8L;
  return unit * sizes * Real(terms);
}
/// Writes `by` to places of `to`; how as in met().
struct Writer {
  Value out;
  std::vector<Real> sizes;
  std::vector<int> terms;
  explicit Writer(Value to) : out(std::move(to)), terms(out.x.size(), 0) {
    for (Real x : out.x) sizes.push_back(std::abs(x));
  }
  void write(int how, size_t to, Real by) {
    out.x[to] = met(how, out.dtype, out.x[to], by);
    if (how == 0) return;
    ++terms[to];
    if (how == 1) sizes[to] += std::abs(by);
    if (how == 2) sizes[to] *= std::abs(by);
  }
  Value done() {
    out.error.clear();
    for (size_t i = 0; is_floating(out.dtype) && i < out.x.size(); ++i)
      out.error.push_back(terms[i] ? sum_error(out.dtype, sizes[i], terms[i]) : 0);
    return std::move(out);
  }
};
Operation put_along(const char* name, int how) {
  return {name,
          [](Maker& m) {
            const int x = m.any(indexed), axis = m.axis(x);
            if (m[x].dtype == bool_) throw Maker::Unfit{};
            const int i = indices_along(m, x, axis, false);
            m.add({x, i, m.like(m[i].shape, m[x].dtype)}, {double(axis), double(m.below(2))});
          },
          [how](const Arrays& in, const Parameters& p) {
            const int axis = int(p[0]);
            const array i = brought(in[1], in[0].shape(axis), p[1] != 0);
            return Arrays{how ? scatter_add_axis(in[0], i, in[2], axis)
                              : put_along_axis(in[0], i, in[2], axis)};
          },
          [how](const Operands& in, const Parameters& p) {
            Writer w(*in[0]);
            const size_t axis = size_t(p[0]);
            each_place(in[1]->shape, [&](Place at, size_t k) {
              at[axis] = brought(in[1]->x[k], w.out.shape[axis]);
              w.write(how, offset_of(w.out.shape, at), in[2]->x[k]);
            });
            return Values{w.done()};
          }};
}

/// p: the axis, how (met), the sizes of a block.
using Scatter = array (*)(const array&, const array&, const array&, int, StreamOrDevice);
const Scatter kScatters[] = {scatter, scatter_add, scatter_prod, scatter_max, scatter_min};
Parameters block_of(Maker& m, int x, int axis) {
  Parameters p{double(axis), double(m.below(5))};
  for (int n : m[x].shape) p.push_back(m.one_in(2) ? n : m.between(1, n));
  return p;
}
Shape block_shape(const Parameters& p) { return {p.begin() + 2, p.end()}; }
int indices(Maker& m) {
  return m.any([](const Value& v) { return indexes(v) && v.shape.size() < 3; });
}
/// f(place in the blocks I + block, place in the array).
template <class F>
void each_block(const Shape& whole, const Value& i, const Parameters& p, F&& f) {
  const Shape block = block_shape(p);
  const size_t axis = size_t(p[0]);
  each_place(i.shape, [&](const Place& at, size_t k) {
    const int start = brought(i.x[k], whole[axis] - block[axis] + 1);
    each_place(block, [&](const Place& in, size_t) {
      Place both = at, to = in;
      both.insert(both.end(), in.begin(), in.end());
      to[axis] += start;
      f(both, to);
    });
  });
}
Shape blocks_shape(const Value& i, const Parameters& p) {
  Shape s = i.shape, block = block_shape(p);
  s.insert(s.end(), block.begin(), block.end());
  return s;
}
Operation gathered() {
  return {"gather",
          [](Maker& m) {
            const int x = m.any(indexed), axis = m.axis(x);
            const Parameters p = block_of(m, x, axis);
            m.add({x, indices(m)}, p);
          },
          [](const Arrays& in, const Parameters& p) {
            const int axis = int(p[0]);
            const Shape block = block_shape(p);
            const int n = in[0].shape(axis) - block[size_t(axis)] + 1;
            return Arrays{gather(in[0], brought(in[1], n, false), axis, block)};
          },
          [](const Operands& in, const Parameters& p) {
            Value out{blocks_shape(*in[1], p), in[0]->dtype};
            each_block(in[0]->shape, *in[1], p, [&](const Place&, const Place& from) {
              out.x.push_back(in[0]->x[offset_of(in[0]->shape, from)]);
            });
            return Values{out};
          }};
}
Operation scattered_blocks() {
  return {
      "scatter",
      [](Maker& m) {
        const int x = m.any(indexed), axis = m.axis(x);
        if (m[x].dtype == bool_) throw Maker::Unfit{};
        const Parameters p = block_of(m, x, axis);
        const int i = indices(m);
        m.add({x, i, m.like(blocks_shape(m[i], p), m[x].dtype)}, p);
      },
      [](const Arrays& in, const Parameters& p) {
        const int axis = int(p[0]);
        const int n = in[0].shape(axis) - block_shape(p)[size_t(axis)] + 1;
        return Arrays{kScatters[size_t(p[1])](in[0], brought(in[1], n, false), in[2], axis, {})};
      },
      [](const Operands& in, const Parameters& p) {
        Writer w(*in[0]);
        const Shape from = blocks_shape(*in[1], p);
        each_block(in[0]->shape, *in[1], p, [&](const Place& at, const Place& to) {
          w.write(int(p[1]), offset_of(w.out.shape, to), in[2]->x[offset_of(from, at)]);
        });
        return Values{w.done()};
      }};
}
Operation masked() {
  return {"masked_scatter",
          [](Maker& m) {
            const int x = m.any(has_elements);
            const int mask = m.like(m[x].shape, bool_);
            m.add({x, mask, m.like({int(m[x].x.size())}, m[x].dtype)});
          },
          [](const Arrays& in, const Parameters&) {
            return Arrays{masked_scatter(in[0], in[1], in[2])};
          },
          [](const Operands& in, const Parameters&) {
            Value out = *in[0];
            size_t next = 0;
            for (size_t i = 0; i < out.x.size(); ++i)
              if (in[1]->x[i] != 0) out.x[i] = in[2]->x[next++];
            return Values{out};
          }};
}
/// p: right?
Operation searched() {
  return {"searchsorted in sorted",
          [](Maker& m) {
            const int x = m.any(has_elements);
            const Dtype d = m[x].dtype;
            if (d == bool_) throw Maker::Unfit{};
            m.add({x, m.any([&](const Value& v) { return v.dtype == d; })}, {double(m.below(2))});
          },
          [](const Arrays& in, const Parameters& p) {
            return Arrays{searchsorted(sort(in[0]), in[1], p[0] != 0 ? "right" : "left")};
          },
          [](const Operands& in, const Parameters& p) {
            return Values{made(in[1]->shape, uint32, [&](const Place& at) {
              const Real x = in[1]->x[offset_of(in[1]->shape, at)];
              return std::count_if(in[0]->x.begin(), in[0]->x.end(),
                                   [&](Real y) { return p[0] != 0 ? y <= x : y < x; });
            })};
          }};
}

}  // namespace

std::vector<Operation> lookups() {
  return {taken(),
          taken_flat(),
          taken_along(),
          put_along("put_along_axis", 0),
          put_along("scatter_add_axis", 1),
          gathered(),
          scattered_blocks(),
          masked(),
          searched()};
}

}  // namespace hearth::testing
