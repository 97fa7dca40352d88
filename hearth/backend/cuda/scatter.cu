// Writing at computed places, with the results of the CPU bit for bit: the updates are sorted by
// the place that they meet (a stable sort), and one thread applies those of one place in order.
#include <bit>

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>

#include "hearth/backend/cuda/index.cuh"
#include "hearth/backend/cuda/update.cuh"

namespace hearth::cuda {

namespace {

constexpr int kThreads = 256;

unsigned grid(int64_t n) { return unsigned((n + kThreads - 1) / kThreads); }

__global__ void __launch_bounds__(kThreads)
    offsets_kernel(const __grid_constant__ Index index, bool first, int64_t n, int64_t* offsets) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n) offsets[i] = (first ? 0 : offsets[i]) + index.offset(i);
}

}  // namespace

void place_offsets(CudaQueue& queue, std::span<const array> indices, std::span<const int> axes,
                   const Shape& block, const Shape& shape, const Strides& strides,
                   std::string_view who, int64_t* offsets) {
  if (indices.empty())
    return check_cuda(cudaMemsetAsync(offsets, 0, sizeof(int64_t), queue.stream()), who);
  const auto n = int64_t(indices[0].size());
  for (size_t k = 0; k < indices.size(); ++k)
    launch(queue, offsets_kernel, grid(n), kThreads, 0,
           index_of(queue, indices[k], axes[k], block, shape, strides, who), k == 0, n, offsets);
}

namespace {

// Scratch memory of a scatter, all asked for at once.
struct Sorting {
  int64_t n;
  int bits;  // of the keys that count
  int64_t* offsets = nullptr;
  uint64_t *keys = nullptr, *sorted = nullptr;      // the element that each update meets
  uint32_t *order = nullptr, *placement = nullptr;  // which update it is; before and after sorting
  void* temporary = nullptr;
  size_t bytes = 0;

  Sorting(CudaQueue& queue, int64_t places, int64_t n, int64_t elements) : n(n), bytes(0) {
    ensure(n < int64_t{1} << 31, "scatter: wanted less than 2^31 updates, got ", n);
    bits = std::max(1, int(std::bit_width(uint64_t(elements))));
    check_cuda(sort(nullptr, queue), "scatter");
    auto* p = queue.scratch<uint64_t>(size_t(places) + size_t(n) * 3 + bytes / 8 + 64);
    offsets = reinterpret_cast<int64_t*>(p), p += places;
    keys = p, p += n;
    sorted = p, p += n;
    order = reinterpret_cast<uint32_t*>(p), placement = order + n, p += n;
    temporary = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(p) + 255) / 256 * 256);
  }
  cudaError_t sort(void* at, CudaQueue& queue) {
    return cub::DeviceRadixSort::SortPairs(at, bytes, keys, sorted, order, placement, int(n), 0,
                                           bits, queue.stream());
  }
  void sort(CudaQueue& queue) { check_cuda(sort(temporary, queue), "scatter"); }
};

// The key of update i: of a whole block, or of one of its elements.
__global__ void __launch_bounds__(kThreads)
    keys_kernel(const int64_t* offsets, const __grid_constant__ Axes<1> block, int64_t block_size,
                int64_t n, uint64_t* keys, uint32_t* order) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  const int64_t place = i / block_size;
  int64_t at[1];
  block.offsets(i - place * block_size, at);
  keys[i] = uint64_t(offsets[place] + at[0]);
  order[i] = uint32_t(i);
}
__global__ void __launch_bounds__(kThreads)
    axis_keys_kernel(const __grid_constant__ Index index, const __grid_constant__ Axes<1> walk,
                     int64_t n, uint64_t* keys, uint32_t* order) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  int64_t at[1];
  walk.offsets(i, at);
  keys[i] = uint64_t(at[0] + index.offset(i));
  order[i] = uint32_t(i);
}

// Each update is `inner` elements, `into` says where from its key on.
struct Apply {
  Update mode;
  const uint64_t* keys;
  const uint32_t* order;
  int64_t n, inner;
  const void* updates;
  void* out;
  Axes<1> from, into;
};
template <class T>
__global__ void __launch_bounds__(kThreads) apply_kernel(const __grid_constant__ Apply a) {
  const int64_t t = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (t >= a.n * a.inner) return;
  int64_t i = t / a.inner;
  const int64_t element = t - i * a.inner;
  const uint64_t key = a.keys[i];
  if (i > 0 && a.keys[i - 1] == key) return;  // the thread of the first one does all
  if (a.mode == Update::assign)
    while (i + 1 < a.n && a.keys[i + 1] == key) ++i;
  int64_t at[1];
  a.into.offsets(element, at);
  T* to = static_cast<T*>(a.out) + int64_t(key) + at[0];
  T value = *to;
  do {
    a.from.offsets(int64_t(a.order[i]) * a.inner + element, at);
    value = updated(a.mode, value, static_cast<const T*>(a.updates)[at[0]]);
  } while (++i < a.n && a.keys[i] == key);
  *to = value;
}

void apply_sorted(CudaQueue& queue, Sorting& s, Update mode, int64_t inner, const array& updates,
                  const Axes<1>& into, const array& out) {
  if (s.n > 1) s.sort(queue);
  const Apply a{mode,
                s.n > 1 ? s.sorted : s.keys,
                s.n > 1 ? s.placement : s.order,
                s.n,
                inner,
                queue.ptr<std::byte>(updates),
                queue.ptr<std::byte>(out),
                Axes<1>(updates.shape(), {updates.node().strides}),
                into};
  with_update(mode, out.dtype(), [&]<class T>() {
    launch(queue, apply_kernel<T>, grid(s.n * inner), kThreads, 0, a);
  });
}

}  // namespace

void scatter(const Scatter& op, const Args& args, CudaQueue& queue) {
  const array &updates = args.in[1], &out = args.out[0];
  const auto indices = args.in.subspan(2);
  copy_to(queue, args.in[0], out);
  if (updates.size() == 0) return;
  const auto lead = ptrdiff_t(updates.shape().size() - out.shape().size());
  const Shape block(updates.shape().begin() + lead, updates.shape().end());
  const auto inner = int64_t(element_count(block)), places = int64_t(updates.size()) / inner;
  // Blocks meet as a whole or not at all if they are 1 long on every indexed axis.
  bool whole = true;
  for (int axis : op.axes) whole = whole && block[size_t(axis)] == 1;
  const Strides& strides = out.node().strides;
  Sorting s(queue, places, whole ? places : places * inner, int64_t(out.size()));
  place_offsets(queue, indices, op.axes, block, out.shape(), strides, "scatter", s.offsets);
  const Axes<1> walk(block, {strides});
  launch(queue, keys_kernel, grid(s.n), kThreads, 0, s.offsets, walk, whole ? 1 : inner, s.n,
         s.keys, s.order);
  apply_sorted(queue, s, op.mode, whole ? inner : 1, updates, walk, out);
}

namespace {

// One thread for each line along the axis, in order.
struct Lines {
  Update mode;
  Index index;  // its axes: the lines of the indices
  const void* values;
  void* out;
  int64_t lines, length, index_step, value_step;
  Axes<3> axes;  // of the lines: of indices, values, output
};
template <class T>
__global__ void __launch_bounds__(kThreads) lines_kernel(const __grid_constant__ Lines l) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= l.lines) return;
  int64_t at[3];
  l.axes.offsets(i, at);
  for (int64_t j = 0; j < l.length; ++j) {
    T* to = static_cast<T*>(l.out) + at[2] + l.index.step_of(at[0] + j * l.index_step);
    *to = updated(l.mode, *to, static_cast<const T*>(l.values)[at[1] + j * l.value_step]);
  }
}

constexpr int kShortLine = 16;     // up to here, a thread walks a line rather than sorts
constexpr int64_t kLines = 32768;  // and when there are so many lines

}  // namespace

void scatter_axis(const ScatterAxis& op, const Args& args, CudaQueue& queue) {
  const array &indices = args.in[1], &values = args.in[2], &out = args.out[0];
  copy_to(queue, args.in[0], out);
  if (indices.size() == 0) return;
  const auto axis = size_t(op.axis);
  const Index index =
      index_of(queue, indices, op.axis, Shape(out.shape().size(), 1), out.shape(),
               out.node().strides, op.mode == Update::add ? "scatter_add_axis" : "put_along_axis");
  Strides walk = out.node().strides;
  walk[axis] = 0;
  const int64_t n = int64_t(indices.size()), length = indices.shape()[axis], lines = n / length;
  if (length <= kShortLine || lines >= kLines) {
    Shape shape = indices.shape();
    shape[axis] = 1;
    const Lines l{op.mode,
                  index,
                  queue.ptr<std::byte>(values),
                  queue.ptr<std::byte>(out),
                  lines,
                  length,
                  indices.node().strides[axis],
                  values.node().strides[axis],
                  Axes<3>(shape, {indices.node().strides, values.node().strides, walk})};
    return with_update(op.mode, out.dtype(), [&]<class T>() {
      launch(queue, lines_kernel<T>, grid(lines), kThreads, 0, l);
    });
  }
  Sorting s(queue, 0, n, int64_t(out.size()));
  launch(queue, axis_keys_kernel, grid(n), kThreads, 0, index, Axes<1>(indices.shape(), {walk}), n,
         s.keys, s.order);
  apply_sorted(queue, s, op.mode, 1, values, Axes<1>({}, {Strides()}), out);
}

namespace {

__global__ void __launch_bounds__(kThreads)
    flags_kernel(const uint8_t* mask, const __grid_constant__ Axes<1> axes, int64_t n,
                 uint32_t* flags) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  int64_t at[1];
  axes.offsets(i, at);
  flags[i] = mask[at[0]] != 0;
}
// The i-th element takes the source's element number before[i], if its mask is set. A source that
// is too short, for which the CPU throws, leaves the rest as it was.
template <class T>
__global__ void __launch_bounds__(kThreads)
    masked_kernel(const uint8_t* mask, const __grid_constant__ Axes<1> axes, int64_t n,
                  const uint32_t* before, const T* source, int64_t step, int64_t available,
                  T* out) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  int64_t at[1];
  axes.offsets(i, at);
  if (mask[at[0]] != 0 && before[i] < available) out[i] = source[before[i] * step];
}

}  // namespace

void masked_scatter(const MaskedScatter&, const Args& args, CudaQueue& queue) {
  const array &mask = args.in[1], &source = args.in[2], &out = args.out[0];
  copy_to(queue, args.in[0], out);
  const auto n = int64_t(out.size());
  ensure(n < int64_t{1} << 31, "masked_scatter: wanted less than 2^31 elements, got ", n);
  size_t bytes = 0;
  uint32_t* counts = nullptr;
  check_cuda(cub::DeviceScan::ExclusiveSum(nullptr, bytes, counts, counts, int(n), queue.stream()),
             "masked_scatter");
  std::byte* scratch = queue.scratch<std::byte>(size_t(n) * 4 + 256 + bytes);
  counts = reinterpret_cast<uint32_t*>(scratch);
  const Axes<1> axes(mask.shape(), {mask.node().strides});
  const auto* flags = queue.ptr<const uint8_t>(mask);
  launch(queue, flags_kernel, grid(n), kThreads, 0, flags, axes, n, counts);
  check_cuda(cub::DeviceScan::ExclusiveSum(scratch + (size_t(n) * 4 + 255) / 256 * 256, bytes,
                                           counts, counts, int(n), queue.stream()),
             "masked_scatter");
  with_item(out.itemsize(), [&]<class T>() {
    launch(queue, masked_kernel<T>, grid(n), kThreads, 0, flags, axes, n, counts,
           queue.ptr<const T>(source), source.node().strides[0], int64_t(source.size()),
           queue.ptr<T>(out));
  });
}

}  // namespace hearth::cuda
