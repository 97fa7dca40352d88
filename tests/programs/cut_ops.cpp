// Parts of arrays: cut out, written over, joined.
#include <algorithm>
#include <cmath>

#include "hearth/ops/ops.h"
#include "tests/programs/program.h"

namespace hearth::testing {

namespace {

/// start, count and step along each axis.
struct Cut {
  std::vector<int> start, count, step;
  explicit Cut(const Parameters& p, size_t more = 0) {
    for (size_t i = more; i < p.size(); i += 3) {
      start.push_back(int(p[i])), count.push_back(int(p[i + 1])), step.push_back(int(p[i + 2]));
    }
  }
  Shape shape() const { return {count.begin(), count.end()}; }
  Place from(const Place& at) const {
    Place place(at.size());
    for (size_t k = 0; k < at.size(); ++k) place[k] = start[k] + at[k] * step[k];
    return place;
  }
  // hearth's arguments: a stop before the first element is -size - 1.
  Shape starts() const { return {start.begin(), start.end()}; }
  Shape steps() const { return {step.begin(), step.end()}; }
  Shape stops(const Shape& size) const {
    Shape stop;
    for (size_t k = 0; k < start.size(); ++k) {
      const int end = start[k] + count[k] * step[k];
      stop.push_back(end < 0 ? -size[k] - 1 : std::min(end, size[k]));
    }
    return stop;
  }
};
Parameters cut_of(Maker& m, const Shape& shape, Parameters p = {}) {
  for (int n : shape) {
    const bool whole = n == 0 || m.one_in(3);
    const int step = whole ? 1 : m.one_in(2) ? 1 : m.one_in(2) ? -1 : m.one_in(2) ? 2 : -2;
    const int start = whole ? 0 : m.below(n);
    const int most = step > 0 ? (n - start + step - 1) / step : start / -step + 1;
    const int count = whole ? n : m.one_in(10) ? 0 : m.between(1, most);
    for (int i : {start, count, step}) p.push_back(i);
  }
  return p;
}

/// How an update meets what is there: the functions, and the number.
struct Meeting {
  const char* name;
  array (*cut)(const array&, const array&, Shape, Shape, Shape, StreamOrDevice);
};
const Meeting kMeetings[] = {{"set", slice_update},
                             {"add", slice_update_add},
                             {"prod", slice_update_prod},
                             {"max", slice_update_max},
                             {"min", slice_update_min}};

Operation sliced() {
  return {"slice",
          [](Maker& m) {
            const int x = m.any(has_axis);
            m.add({x}, cut_of(m, m[x].shape));
          },
          [](const Arrays& in, const Parameters& p) {
            const Cut c(p);
            return Arrays{slice(in[0], c.starts(), c.stops(in[0].shape()), c.steps())};
          },
          [](const Operands& in, const Parameters& p) {
            const Cut c(p);
            return Values{moved(*in[0], c.shape(), [&](const Place& at) {
              return int64_t(offset_of(in[0]->shape, c.from(at)));
            })};
          }};
}
/// p: the meeting, then the cut.
Operation updated() {
  return {"slice_update",
          [](Maker& m) {
            const int x = m.any(has_axis);
            const Parameters p = cut_of(m, m[x].shape, {double(m.below(5))});
            const int by = m.broadcasting(
                Cut(p, 1).shape(), [](Dtype) { return true; }, m[x].dtype);
            if (p[0] != 0 && m[x].dtype == bool_) throw Maker::Unfit{};
            m.add({x, by}, p);
          },
          [](const Arrays& in, const Parameters& p) {
            const Cut c(p, 1);
            return Arrays{kMeetings[size_t(p[0])].cut(in[0], in[1], c.starts(),
                                                      c.stops(in[0].shape()), c.steps(), {})};
          },
          [](const Operands& in, const Parameters& p) {
            const Cut c(p, 1);
            Value out = *in[0];
            out.error.assign(is_floating(out.dtype) ? out.x.size() : 0, 0);
            const Value by = broadcast(as(*in[1], out.dtype), c.shape());
            each_place(by.shape, [&](const Place& at, size_t i) {
              const size_t to = offset_of(out.shape, c.from(at));
              out.x[to] = met(int(p[0]), out.dtype, out.x[to], by.x[i]);
              if (size_of(out.dtype) == 2 && is_floating(out.dtype) && p[0] > 0)
                out.error[to] = step_at(out.x[to], out.dtype);
            });
            return Values{out};
          }};
}

/// Indexing by numbers and slices; p: of each axis 1 for a number, then start, count, step.
struct Brackets {
  Cut cut{Parameters{}};
  std::vector<bool> number;
  explicit Brackets(const Parameters& p) {
    Parameters cuts;
    for (size_t i = 0; i < p.size(); i += 4) {
      number.push_back(p[i] != 0);
      cuts.insert(cuts.end(), p.begin() + long(i) + 1, p.begin() + long(i) + 4);
    }
    cut = Cut(cuts);
  }
  Index index(const Shape& shape) const {
    Index at{Index::Part(0)};
    at.parts.clear();
    for (size_t k = 0; k < number.size(); ++k) {
      const int start = cut.start[k], stop = start + cut.count[k] * cut.step[k];
      // Every other one counts from the end.
      if (number[k])
        at.parts.push_back(k % 2 ? start - shape[k] : start);
      else
        at.parts.push_back(stop < 0 ? Slice(start, {}, cut.step[k])
                                    : Slice(start, stop, cut.step[k]));
    }
    return at;
  }
  Shape shape() const {
    Shape s;
    for (size_t k = 0; k < number.size(); ++k)
      if (!number[k]) s.push_back(cut.count[k]);
    return s;
  }
  Place from(const Place& at) const {
    Place place;
    size_t next = 0;
    for (size_t k = 0; k < number.size(); ++k)
      place.push_back(cut.start[k] + (number[k] ? 0 : at[next++] * cut.step[k]));
    return place;
  }
};
Parameters brackets_of(Maker& m, const Shape& shape) {
  Parameters p;
  for (int n : shape) {
    const bool number = n > 0 && m.one_in(3);
    p.push_back(number);
    const Parameters cut = number ? Parameters{double(m.below(n)), 1, 1} : cut_of(m, {n});
    p.insert(p.end(), cut.begin(), cut.end());
  }
  return p;
}
Operation bracketed() {
  return {"get",
          [](Maker& m) {
            const int x = m.any(has_axis);
            m.add({x}, brackets_of(m, m[x].shape));
          },
          [](const Arrays& in, const Parameters& p) {
            return Arrays{get(in[0], Brackets(p).index(in[0].shape()))};
          },
          [](const Operands& in, const Parameters& p) {
            const Brackets b(p);
            return Values{moved(*in[0], b.shape(), [&](const Place& at) {
              return int64_t(offset_of(in[0]->shape, b.from(at)));
            })};
          }};
}
Operation put_in_brackets() {
  return {"put",
          [](Maker& m) {
            const int x = m.any(has_axis);
            const Parameters p = brackets_of(m, m[x].shape);
            m.add({x, m.broadcasting(
                          Brackets(p).shape(), [](Dtype) { return true; }, m[x].dtype)},
                  p);
          },
          [](const Arrays& in, const Parameters& p) {
            return Arrays{put(in[0], Brackets(p).index(in[0].shape()), in[1])};
          },
          [](const Operands& in, const Parameters& p) {
            const Brackets b(p);
            Value out = *in[0];
            const Value by = broadcast(as(*in[1], out.dtype), b.shape());
            each_place(by.shape, [&](const Place& at, size_t i) {
              out.x[offset_of(out.shape, b.from(at))] = by.x[i];
            });
            return Values{out};
          }};
}

/// The dtype of all.
Dtype joined_dtype(const Operands& in) {
  Dtype d = in[0]->dtype;
  for (const Value* v : in) d = promote_types(d, v->dtype);
  return d;
}
Value joined(const Operands& in, size_t axis) {
  const Dtype d = joined_dtype(in);
  Shape shape = in[0]->shape;
  shape[axis] = 0;
  Values parts;
  for (const Value* v : in) parts.push_back(as(*v, d)), shape[axis] += v->shape[axis];
  return made(shape, d, [&](Place at) {
    const Value* part = parts.data();
    for (; at[axis] >= part->shape[axis]; ++part) at[axis] -= part->shape[axis];
    return part->x[offset_of(part->shape, at)];
  });
}
Operation concatenated() {
  return {"concatenate",
          [](Maker& m) {
            const int first = m.any(has_axis), axis = m.axis(first);
            const Shape shape = m[first].shape;
            std::vector<int> in{first};
            for (int k = m.between(1, 3); k > 0; --k)
              in.push_back(m.any([&](const Value& v) {
                if (v.shape.size() != shape.size()) return false;
                Shape own = v.shape;
                own[size_t(axis)] = shape[size_t(axis)];
                return own == shape;
              }));
            m.add(in, {double(axis)});
          },
          [](const Arrays& in, const Parameters& p) { return Arrays{concatenate(in, int(p[0]))}; },
          [](const Operands& in, const Parameters& p) { return Values{joined(in, size_t(p[0]))}; }};
}
Operation stacked() {
  return {"stack",
          [](Maker& m) {
            const int first = m.any([](const Value& v) { return v.shape.size() < 4; });
            std::vector<int> in{first};
            for (int k = m.between(1, 3); k > 0; --k)
              in.push_back(m.any([&](const Value& v) { return v.shape == m[first].shape; }));
            m.add(in, {double(m.between(0, int(m[first].shape.size())))});
          },
          [](const Arrays& in, const Parameters& p) { return Arrays{stack(in, int(p[0]))}; },
          [](const Operands& in, const Parameters& p) {
            Values parts;
            Operands all;
            for (const Value* v : in) {
              parts.push_back(*v);
              parts.back().shape = inserted(v->shape, size_t(p[0]), 1);
            }
            for (const Value& v : parts) all.push_back(&v);
            return Values{joined(all, size_t(p[0]))};
          }};
}
/// p: the axis, then where it is cut.
Operation parted() {
  return {"split",
          [](Maker& m) {
            const int x = m.any(has_axis), axis = m.axis(x), n = m[x].shape[size_t(axis)];
            Parameters p;
            for (int k = m.between(1, 2); k > 0; --k) p.push_back(m.between(0, n));
            std::sort(p.begin(), p.end());
            p.insert(p.begin(), axis);
            m.add({x}, p);
          },
          [](const Arrays& in, const Parameters& p) {
            return split(in[0], Shape(p.begin() + 1, p.end()), int(p[0]));
          },
          [](const Operands& in, const Parameters& p) {
            const Value& v = *in[0];
            const size_t axis = size_t(p[0]);
            Values out;
            int start = 0;
            for (size_t i = 1; i <= p.size(); ++i) {
              const int stop = i < p.size() ? int(p[i]) : v.shape[axis];
              Shape s = v.shape;
              s[axis] = stop - start;
              out.push_back(moved(v, s, [&](Place at) {
                at[axis] += start;
                return int64_t(offset_of(v.shape, at));
              }));
              start = stop;
            }
            return out;
          }};
}

/// A start that is computed: the first element of an integer array, brought into 0 .. most.
array computed_start(const array& of, int most) {
  return remainder(astype(slice(flatten(of), {0}, {1}), int32), array(most + 1));
}
int plain_start(const Value& of, int most) {
  const auto first = int64_t(as(of.dtype, int32, of.x[0]));
  return int((first % (most + 1) + most + 1) % (most + 1));
}
int draw_start(Maker& m) {
  return m.any([](const Value& v) { return is_integer(v.dtype) && !v.x.empty(); });
}
/// p: the axis, the length.
Operation dynamic_slice() {
  return {"slice at a computed place",
          [](Maker& m) {
            const int x = m.any(has_elements), axis = m.axis(x);
            const int start = draw_start(m);
            m.add({x, start}, {double(axis), double(m.between(1, m[x].shape[size_t(axis)]))});
          },
          [](const Arrays& in, const Parameters& p) {
            Shape size = in[0].shape();
            const int n = size[size_t(p[0])];
            size[size_t(p[0])] = int(p[1]);
            return Arrays{slice(in[0], computed_start(in[1], n - int(p[1])),
                                std::vector<int>{int(p[0])}, size)};
          },
          [](const Operands& in, const Parameters& p) {
            const Value& v = *in[0];
            const size_t axis = size_t(p[0]);
            Shape s = v.shape;
            s[axis] = int(p[1]);
            const int start = plain_start(*in[1], v.shape[axis] - s[axis]);
            return Values{moved(v, s, [&](Place at) {
              at[axis] += start;
              return int64_t(offset_of(v.shape, at));
            })};
          }};
}
Operation dynamic_update() {
  return {"slice_update at a computed place",
          [](Maker& m) {
            const int x = m.any(has_elements), axis = m.axis(x);
            Shape s = m[x].shape;
            s[size_t(axis)] = m.between(1, s[size_t(axis)]);
            const int start = draw_start(m), by = m.like(s, m[x].dtype);
            m.add({x, by, start}, {double(axis)});
          },
          [](const Arrays& in, const Parameters& p) {
            const int axis = int(p[0]), most = in[0].shape(axis) - in[1].shape(axis);
            return Arrays{
                slice_update(in[0], in[1], computed_start(in[2], most), std::vector<int>{axis})};
          },
          [](const Operands& in, const Parameters& p) {
            Value out = *in[0];
            const size_t axis = size_t(p[0]);
            const int start = plain_start(*in[2], out.shape[axis] - in[1]->shape[axis]);
            each_place(in[1]->shape, [&](Place at, size_t i) {
              at[axis] += start;
              out.x[offset_of(out.shape, at)] = in[1]->x[i];
            });
            return Values{out};
          }};
}

}  // namespace

Real met(int how, Dtype d, Real a, Real b) {
  switch (how) {
    case 0: return b;
    case 1:
      return is_floating(d) ? a + b
                            : wrapped(d, int64_t(uint64_t(int64_t(a)) + uint64_t(int64_t(b))));
    case 2:
      return is_floating(d) ? a * b
                            : wrapped(d, int64_t(uint64_t(int64_t(a)) * uint64_t(int64_t(b))));
    case 3: return std::max(a, b);
    default: return std::min(a, b);
  }
}

std::vector<Operation> cuts() {
  return {sliced(),        sliced(),         updated(),   updated(),
          concatenated(),  concatenated(),   stacked(),   parted(),
          dynamic_slice(), dynamic_update(), bracketed(), put_in_brackets()};
}

}  // namespace hearth::testing
