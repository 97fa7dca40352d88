// Kernels that read and write at computed places. Every index is checked before it is used.
#include "hearth/backend/cpu/copy.h"
#include "hearth/backend/cpu/movement.h"
#include "hearth/backend/cpu/pool.h"
#include "hearth/backend/cpu/update.h"

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

template <class T, Update mode>
void scatter_blocks(const Scatter& op, const Args& args, const std::vector<int64_t>& offsets) {
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
  constexpr int64_t kItem = sizeof(T);
  const auto n = int64_t(offsets.size());
  // Each task walks all places: few tasks, so that its part of a block is not too short.
  parallel_ranges(
      block, n * int64_t(element_count(block)), 16, apart,
      [&](size_t axis, int64_t start, int64_t count) {
        Shape range = block;
        Strides steps[] = {Strides(from.begin() + lead, from.end()), out.node().strides};
        const std::byte* in = bytes(updates);
        std::byte* to = bytes(out);
        if (axis < range.size() && count < range[axis]) {
          in += start * steps[0][axis] * kItem;
          to += start * steps[1][axis] * kItem;
          range[axis] = ShapeElem(count);
        }
        collapse(range, steps);
        if (range.empty()) range = {1}, steps[0] = steps[1] = {1};
        const int64_t columns = range.back(), in_step = steps[0].back(), to_step = steps[1].back();
        range.pop_back(), steps[0].pop_back(), steps[1].pop_back();
        const bool dense = in_step == 1 && to_step == 1;
        int64_t i = 0;
        each_index<1>(places, {place_steps}, [&](const std::array<int64_t, 1>& place) {
          const int64_t into = offsets[size_t(i++)];
          each_index<2>(range, {steps[0], steps[1]}, [&](const std::array<int64_t, 2>& at) {
            const std::byte* from_line = in + (place[0] + at[0]) * kItem;
            std::byte* to_line = to + (into + at[1]) * kItem;
            auto update_line = [&](int64_t in_by, int64_t to_by) {
              for (int64_t c = 0; c < columns; ++c, from_line += in_by, to_line += to_by)
                store(to_line, updated<mode>(load<T>(to_line), load<T>(from_line)));
            };
            dense ? update_line(kItem, kItem) : update_line(in_step * kItem, to_step * kItem);
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
    return with_item(out.itemsize(),
                     [&]<class T>() { scatter_blocks<T, Update::assign>(op, args, offsets); });
  with_update(op.mode, out.dtype(),
              [&]<class T, Update mode>() { scatter_blocks<T, mode>(op, args, offsets); });
}

namespace {

// For every index: f(index as I, offsets into the N operands), split over the axes allowed.
template <class I, size_t N, class Splits, class F>
void each_place(const array& indices, std::array<Strides, N> strides, Splits&& splits, F&& f) {
  const Shape& shape = indices.shape();
  if (element_count(shape) == 0) return;
  parallel_ranges(shape, int64_t(element_count(shape)), kTasks, splits,
                  [&](size_t axis, int64_t start, int64_t count) {
                    Shape range = shape;
                    std::array<Strides, N + 1> steps;
                    std::array<int64_t, N + 1> base{};
                    steps[0] = indices.node().strides;
                    std::copy(strides.begin(), strides.end(), steps.begin() + 1);
                    if (!range.empty()) {
                      range[axis] = ShapeElem(count);
                      for (size_t k = 0; k <= N; ++k) base[k] = start * steps[k][axis];
                    }
                    collapse(range, steps);
                    if (range.empty()) range = {1}, steps.fill({0});
                    const int64_t n = range.back();
                    range.pop_back();
                    std::array<int64_t, N + 1> step;
                    for (size_t k = 0; k <= N; ++k) step[k] = steps[k].back(), steps[k].pop_back();
                    each_index<N + 1>(range, steps, [&](std::array<int64_t, N + 1> at) {
                      for (size_t k = 0; k <= N; ++k) at[k] += base[k];
                      for (int64_t i = 0; i < n; ++i) {
                        f(load<I>(bytes(indices) + at[0] * int64_t(sizeof(I))), at);
                        for (size_t k = 0; k <= N; ++k) at[k] += step[k];
                      }
                    });
                  });
}

template <class T, Update mode>
void scatter_axis_as(const ScatterAxis& op, const Args& args) {
  const array &indices = args.in[1], &values = args.in[2], &out = args.out[0];
  const auto axis = size_t(op.axis);
  Strides into = out.node().strides;
  const int64_t step = into[axis], size = out.shape()[axis];
  into[axis] = 0;
  const std::byte* from = bytes(values);
  std::byte* to = bytes(out);
  constexpr int64_t kItem = sizeof(T);
  const char* who = op.mode == Update::add ? "scatter_add_axis" : "put_along_axis";
  visit(Integers{}, indices.dtype(), who, [&]<class I>() {
    each_place<I, 2>(
        indices, {values.node().strides, into}, [&](int i) { return i != op.axis; },
        [&](I index, const std::array<int64_t, 3>& at) {
          const int64_t place = checked(index, size, 1, op.axis, who);
          std::byte* p = to + (at[2] + place * step) * kItem;
          store(p, updated<mode>(load<T>(p), load<T>(from + at[1] * kItem)));
        });
  });
}

}  // namespace

void gather_axis(const GatherAxis& op, const Args& args, CpuQueue&) {
  const array &a = args.in[0], &indices = args.in[1], &out = args.out[0];
  const auto axis = size_t(op.axis);
  Strides walk = a.node().strides;
  const int64_t step = walk[axis], size = a.shape()[axis];
  walk[axis] = 0;
  const std::byte* from = bytes(a);
  std::byte* to = bytes(out);
  const std::string_view who = op.name();
  with_item(a.itemsize(), [&]<class T>() {
    constexpr int64_t kItem = sizeof(T);
    visit(Integers{}, indices.dtype(), who, [&]<class I>() {
      each_place<I, 2>(
          indices, {walk, out.node().strides}, [](int) { return true; },
          [&](I index, const std::array<int64_t, 3>& at) {
            const int64_t place = checked(index, size, 1, op.axis, who);
            store(to + at[2] * kItem, load<T>(from + (at[1] + place * step) * kItem));
          });
    });
  });
}

void scatter_axis(const ScatterAxis& op, const Args& args, CpuQueue&) {
  begin_update(args.in[0], args.out[0]);
  const array& out = args.out[0];
  if (op.mode == Update::assign)
    return with_item(out.itemsize(),
                     [&]<class T>() { scatter_axis_as<T, Update::assign>(op, args); });
  visit(AllTypes{}, out.dtype(), op.name(),
        [&]<class T>() { scatter_axis_as<T, Update::add>(op, args); });
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
