// Kernels that read and write at computed places. Every index is checked before it is used.
#include "hearth/backend/cpu/copy.h"
#include "hearth/backend/cpu/movement.h"
#include "hearth/backend/cpu/update.h"
#include "hearth/backend/pool.h"

namespace hearth::cpu {

namespace {

constexpr int64_t kGrain = 16 << 10;  // elements a task takes at least
constexpr int64_t kTasks = 256;       // into which a loop is split at most

std::byte* bytes(const array& a) { return a.node().data(); }

// The index made non-negative; a block of `block` elements must fit from there on.
template <class I>
int64_t checked(I index, int64_t size, int64_t block, int axis, std::string_view who) {
  int64_t at = int64_t(index);
  if constexpr (std::is_signed_v<I>) at += at < 0 ? size : 0;
  const bool fits = at >= 0 && at <= size - block;  // a u64 above 2^63 is negative here
  if (!fits)
    ensure(false, who, ": index ", index, " is out of range for axis ", axis, " of size ", size,
           block == 1 ? std::string() : concat(" with blocks of ", block));
  return at;
}

// Splits an axis for which splits(axis), the first that is long enough or else the longest, into
// at most `most` ranges, in parallel: f(axis, start, count). One range of all when there is no such
// axis or little to do.
template <class Splits, class F>
void parallel_ranges(const Shape& shape, int64_t work, int64_t most, Splits&& splits, F&& f) {
  const int64_t tasks = std::min(most, work / kGrain);
  int axis = -1;
  for (int i = 0; i < int(shape.size()); ++i) {
    if (axis >= 0 && shape[size_t(axis)] >= tasks) break;
    if (splits(i) && (axis < 0 || shape[size_t(i)] > shape[size_t(axis)])) axis = i;
  }
  if (axis < 0 || tasks < 2) return f(0, 0, shape.empty() ? 1 : shape[0]);
  const int64_t n = shape[size_t(axis)], step = (n + tasks - 1) / tasks;
  parallel_for((n + step - 1) / step, [&](int64_t task) {
    f(size_t(axis), task * step, std::min(step, n - task * step));
  });
}

// What the indices of a gather or scatter add up to: the element where each block begins.
std::vector<int64_t> block_offsets(std::span<const array> indices, std::span<const int> axes,
                                   const Shape& block, const Shape& shape, const Strides& strides,
                                   std::string_view who) {
  std::vector<int64_t> offsets(indices.empty() ? 1 : indices[0].size(), 0);
  for (size_t k = 0; k < indices.size(); ++k) {
    const auto axis = size_t(axes[k]);
    Shape walk = indices[k].shape();
    Strides steps[] = {indices[k].node().strides};
    collapse(walk, steps);
    visit(Integers{}, indices[k].dtype(), who, [&]<class I>() {
      const std::byte* from = bytes(indices[k]);
      auto add = [&](int64_t i, int64_t at) {
        offsets[size_t(i)] += strides[axis] * checked(load<I>(from + at * int64_t(sizeof(I))),
                                                      shape[axis], block[axis], int(axis), who);
      };
      if (walk.size() == 1) {
        parallel_ranges(
            walk, walk[0], kTasks, [](int) { return true; },
            [&](size_t, int64_t start, int64_t count) {
              for (int64_t i = start; i < start + count; ++i) add(i, i * steps[0][0]);
            });
      } else {
        int64_t i = 0;
        each_index<1>(walk, {steps[0]}, [&](const std::array<int64_t, 1>& at) { add(i++, at[0]); });
      }
    });
  }
  return offsets;
}

}  // namespace

void gather(const Gather& op, const Args& args, CpuQueue&) {
  const array &a = args.in[0], &out = args.out[0];
  const auto indices = args.in.subspan(1);
  // A take is a gather of slices of size 1: named as the user called it.
  const bool is_take = op.axes.size() == 1 && op.sizes[size_t(op.axes[0])] == 1;
  const auto offsets = block_offsets(indices, op.axes, op.sizes, a.shape(), a.node().strides,
                                     is_take ? "take" : "gather");
  const auto item = int64_t(a.itemsize()), n = int64_t(offsets.size());
  const auto block = int64_t(element_count(op.sizes));
  const std::byte* from = bytes(a);
  std::byte* to = bytes(out);
  Shape shape = op.sizes;
  Strides strides[] = {a.node().strides, row_major(op.sizes)};
  collapse(shape, strides);
  const bool one_line = shape.empty() || (shape.size() == 1 && strides[0][0] == 1);
  if (block == 1) {
    with_item(size_t(item), [&]<class T>() {
      parallel_for((n + kGrain - 1) / kGrain, [&](int64_t task) {
        for (int64_t i = task * kGrain; i < std::min(n, (task + 1) * kGrain); ++i)
          store(to + i * item, load<T>(from + offsets[size_t(i)] * item));
      });
    });
  } else if (block * n < 2 * kGrain || block < 2 * kGrain) {
    const int64_t per_task = std::max<int64_t>(1, kGrain / block);
    parallel_for((n + per_task - 1) / per_task, [&](int64_t task) {
      for (int64_t i = task * per_task; i < std::min(n, (task + 1) * per_task); ++i) {
        const std::byte* in = from + offsets[size_t(i)] * item;
        if (one_line)
          std::memcpy(to + i * block * item, in, size_t(block * item));
        else
          copy_strided_serial(in, strides[0], to + i * block * item, strides[1], shape,
                              size_t(item));
      }
    });
  } else {
    for (int64_t i = 0; i < n; ++i)
      copy_strided(from + offsets[size_t(i)] * item, strides[0], to + i * block * item, strides[1],
                   shape, size_t(item));
  }
}

namespace {

// `out` holds the values of `source`: already so if it took its memory.
void begin_update(const array& source, const array& out) {
  if (bytes(source) == bytes(out)) return;
  copy_strided(bytes(source), source.node().strides, bytes(out), out.node().strides, out.shape(),
               out.itemsize());
}

// Updates `count` elements, `from_step` and `to_step` elements apart.
using UpdateLine = void (*)(int64_t count, const std::byte* from, int64_t from_step, std::byte* to,
                            int64_t to_step);

template <class T, Update mode>
void update_line(int64_t count, const std::byte* from, int64_t from_step, std::byte* to,
                 int64_t to_step) {
  constexpr int64_t kItem = sizeof(T);
  auto walk = [&](int64_t from_by, int64_t to_by) {
    for (int64_t i = 0; i < count; ++i, from += from_by, to += to_by)
      store(to, updated<mode>(load<T>(to), load<T>(from)));
  };
  from_step == 1 && to_step == 1 ? walk(kItem, kItem) : walk(from_step * kItem, to_step * kItem);
}

void scatter_blocks(const Scatter& op, const Args& args, const std::vector<int64_t>& offsets,
                    UpdateLine update) {
  const array &updates = args.in[1], &out = args.out[0];
  const auto lead = ptrdiff_t(updates.shape().size() - out.shape().size());
  const Shape& shape = updates.shape();
  const Strides& from = updates.node().strides;
  const Shape places(shape.begin(), shape.begin() + lead), block(shape.begin() + lead, shape.end());
  const Strides place_steps(from.begin(), from.begin() + lead);
  // Blocks may overlap along indexed axes only: tasks split the others.
  auto apart = [&](int axis) {
    return std::find(op.axes.begin(), op.axes.end(), axis) == op.axes.end();
  };
  const auto item = int64_t(out.itemsize()), n = int64_t(offsets.size());
  // Each task walks all places: few tasks, so that its part of a block is not too short.
  parallel_ranges(
      block, n * int64_t(element_count(block)), 16, apart,
      [&](size_t axis, int64_t start, int64_t count) {
        Shape range = block;
        Strides steps[] = {Strides(from.begin() + lead, from.end()), out.node().strides};
        const std::byte* in = bytes(updates);
        std::byte* to = bytes(out);
        if (axis < range.size() && count < range[axis]) {
          in += start * steps[0][axis] * item;
          to += start * steps[1][axis] * item;
          range[axis] = ShapeElem(count);
        }
        collapse(range, steps);
        if (range.empty()) range = {1}, steps[0] = steps[1] = {1};
        const int64_t columns = range.back(), in_step = steps[0].back(), to_step = steps[1].back();
        range.pop_back(), steps[0].pop_back(), steps[1].pop_back();
        int64_t i = 0;
        each_index<1>(places, {place_steps}, [&](const std::array<int64_t, 1>& place) {
          const int64_t into = offsets[size_t(i++)];
          each_index<2>(range, {steps[0], steps[1]}, [&](const std::array<int64_t, 2>& at) {
            update(columns, in + (place[0] + at[0]) * item, in_step, to + (into + at[1]) * item,
                   to_step);
          });
        });
      });
}

}  // namespace

void scatter(const Scatter& op, const Args& args, CpuQueue&) {
  const array &updates = args.in[1], &out = args.out[0];
  const auto lead = ptrdiff_t(updates.shape().size() - out.shape().size());
  const Shape block(updates.shape().begin() + lead, updates.shape().end());
  const auto offsets =
      block_offsets(args.in.subspan(2), op.axes, block, out.shape(), out.node().strides, "scatter");
  begin_update(args.in[0], out);
  if (updates.size() == 0) return;
  if (op.mode == Update::assign)
    return with_item(out.itemsize(), [&]<class T>() {
      scatter_blocks(op, args, offsets, update_line<T, Update::assign>);
    });
  with_update(op.mode, out.dtype(), [&]<class T, Update mode>() {
    scatter_blocks(op, args, offsets, update_line<T, mode>);
  });
}

namespace {

// Some indices along a line: their places along the axis, and where the other operand and the
// output stand. One compiled walk serves all dtypes of index and element.
struct Line {
  std::span<const int64_t> places;
  int64_t other, other_step, out, out_step;  // in elements
};
struct Lookup {
  const std::byte* other;  // gather: what is read; scatter: the values
  std::byte* out;
  int64_t step;  // of the axis, in elements
};

template <class T>
void gather_line(const Lookup& table, const Line& line) {
  constexpr int64_t kItem = sizeof(T);
  int64_t from = line.other, to = line.out;
  for (int64_t place : line.places) {
    store(table.out + to * kItem, load<T>(table.other + (from + place * table.step) * kItem));
    from += line.other_step, to += line.out_step;
  }
}

template <class T, Update mode>
void scatter_line(const Lookup& table, const Line& line) {
  constexpr int64_t kItem = sizeof(T);
  int64_t from = line.other, to = line.out;
  for (int64_t place : line.places) {
    std::byte* p = table.out + (to + place * table.step) * kItem;
    store(p, updated<mode>(load<T>(p), load<T>(table.other + from * kItem)));
    from += line.other_step, to += line.out_step;
  }
}

// Reads and checks all indices, and calls f for each line of them, split over the axes allowed.
template <class Splits>
void each_line(const array& indices, int64_t size, int axis, std::string_view who,
               const Strides& other, const Strides& out, Splits&& splits, const Lookup& table,
               void (*f)(const Lookup&, const Line&)) {
  const Shape& shape = indices.shape();
  if (element_count(shape) == 0) return;
  auto read = [&](int64_t from, int64_t step, std::span<int64_t> places) {
    visit(Integers{}, indices.dtype(), who, [&]<class I>() {
      const std::byte* p = bytes(indices) + from * int64_t(sizeof(I));
      for (int64_t& place : places) {
        place = checked(load<I>(p), size, 1, axis, who);
        p += step * int64_t(sizeof(I));
      }
    });
  };
  auto walk = [&](size_t split, int64_t start, int64_t count) {
    Shape range = shape;
    std::array<Strides, 3> steps = {indices.node().strides, other, out};
    std::array<int64_t, 3> base{}, step;
    if (!range.empty()) {
      range[split] = ShapeElem(count);
      for (size_t k = 0; k < 3; ++k) base[k] = start * steps[k][split];
    }
    collapse(range, steps);
    if (range.empty()) range = {1}, steps.fill({0});
    const int64_t n = range.back();
    range.pop_back();
    for (size_t k = 0; k < 3; ++k) step[k] = steps[k].back(), steps[k].pop_back();
    each_index<3>(range, steps, [&](std::array<int64_t, 3> at) {
      for (size_t k = 0; k < 3; ++k) at[k] += base[k];
      std::array<int64_t, 256> places;
      for (int64_t i = 0; i < n; i += 256) {
        const std::span some(places.data(), size_t(std::min<int64_t>(256, n - i)));
        read(at[0] + i * step[0], step[0], some);
        f(table, {some, at[1] + i * step[1], step[1], at[2] + i * step[2], step[2]});
      }
    });
  };
  parallel_ranges(shape, int64_t(element_count(shape)), kTasks, splits, walk);
}

}  // namespace

void gather_axis(const GatherAxis& op, const Args& args, CpuQueue&) {
  const array &a = args.in[0], &indices = args.in[1], &out = args.out[0];
  const auto axis = size_t(op.axis);
  Strides from = a.node().strides;
  const Lookup table = {bytes(a), bytes(out), from[axis]};
  from[axis] = 0;
  auto read = [&](void (*line)(const Lookup&, const Line&)) {
    each_line(
        indices, a.shape()[axis], op.axis, op.name(), from, out.node().strides,
        [](int) { return true; }, table, line);
  };
  with_item(a.itemsize(), [&]<class T>() { read(gather_line<T>); });
}

void scatter_axis(const ScatterAxis& op, const Args& args, CpuQueue&) {
  const array &indices = args.in[1], &values = args.in[2], &out = args.out[0];
  begin_update(args.in[0], out);
  const auto axis = size_t(op.axis);
  Strides into = out.node().strides;
  const Lookup table = {bytes(values), bytes(out), into[axis]};
  into[axis] = 0;
  auto update = [&](const char* who, void (*line)(const Lookup&, const Line&)) {
    each_line(
        indices, out.shape()[axis], op.axis, who, values.node().strides, into,
        [&](int i) { return i != op.axis; }, table, line);
  };
  if (op.mode == Update::assign)
    return with_item(out.itemsize(),
                     [&]<class T>() { update("put_along_axis", scatter_line<T, Update::assign>); });
  visit(AllTypes{}, out.dtype(), op.name(),
        [&]<class T>() { update("scatter_add_axis", scatter_line<T, Update::add>); });
}

void masked_scatter(const MaskedScatter&, const Args& args, CpuQueue&) {
  const array &mask = args.in[1], &source = args.in[2], &out = args.out[0];
  begin_update(args.in[0], out);
  const auto available = int64_t(source.size());
  const int64_t step = source.node().strides[0];
  with_item(out.itemsize(), [&]<class T>() {
    constexpr int64_t kItem = sizeof(T);
    int64_t used = 0;
    each_index<2>(out.shape(), {mask.node().strides, out.node().strides},
                  [&](const std::array<int64_t, 2>& at) {
                    if (!load<uint8_t>(bytes(mask) + at[0])) return;
                    ensure(used < available, "masked_scatter: the mask takes more than the ",
                           available, " elements of the source");
                    store(bytes(out) + at[1] * kItem,
                          load<T>(bytes(source) + used++ * step * kItem));
                  });
  });
}

namespace {

// NaN after all numbers, as sort puts it.
template <class T>
bool before(T a, T b) {
  if constexpr (is_half<T>)
    return before(float(a), float(b));
  else if constexpr (std::is_same_v<T, complex64_t>)
    return before(a.real(), b.real()) ||
           (!before(b.real(), a.real()) && before(a.imag(), b.imag()));
  else
    return a < b || (a == a && b != b);
}

}  // namespace

void search_sorted(const SearchSorted& op, const Args& args, CpuQueue&) {
  const array &sorted = args.in[0], &values = args.in[1], &out = args.out[0];
  const auto size = int64_t(sorted.size());
  const int64_t step = sorted.node().strides[0];
  visit(AllTypes{}, sorted.dtype(), "searchsorted", [&]<class T>() {
    constexpr int64_t kItem = sizeof(T);
    auto find = [&](T value) {
      int64_t low = 0, high = size;
      while (low < high) {
        const int64_t middle = (low + high) / 2;
        const T at = load<T>(bytes(sorted) + middle * step * kItem);
        if (op.right ? !before(value, at) : before(at, value))
          low = middle + 1;
        else
          high = middle;
      }
      return uint32_t(low);
    };
    Shape shape = values.shape();
    Strides steps[] = {values.node().strides, out.node().strides};
    collapse(shape, steps);
    auto walk = [&](const Shape& range, int64_t start) {
      each_index<2>(range, {steps[0], steps[1]}, [&](const std::array<int64_t, 2>& at) {
        const int64_t from = at[0] + (range.empty() ? 0 : start * steps[0][0]);
        const int64_t to = at[1] + (range.empty() ? 0 : start * steps[1][0]);
        ptr<uint32_t>(out)[to] = find(load<T>(bytes(values) + from * kItem));
      });
    };
    if (shape.empty()) return walk(shape, 0);
    parallel_ranges(
        shape, int64_t(element_count(shape)), kTasks, [](int axis) { return axis == 0; },
        [&](size_t, int64_t start, int64_t count) {
          Shape range = shape;
          range[0] = ShapeElem(count);
          walk(range, start);
        });
  });
}

}  // namespace hearth::cpu
