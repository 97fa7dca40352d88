// Reading at computed places, and searching. An index out of range, for which the CPU throws, is
// moved to the end of its axis: a kernel cannot throw, and the host does not read indices.
#include "hearth/backend/cuda/index.cuh"

namespace hearth::cuda {

namespace {

constexpr int kThreads = 256;

unsigned grid(int64_t n) { return unsigned((n + kThreads - 1) / kThreads); }

// Everything in units of `sizeof(T)` bytes.
struct GatherCall {
  const void* from;
  void* to;
  int64_t size, block;
  Index index;             // of the only axis
  const int64_t* offsets;  // if not null: of the places, instead
  Axes<1> inner;
};
template <class T>
__global__ void __launch_bounds__(kThreads) gather_kernel(const __grid_constant__ GatherCall g) {
  constexpr int kEach = 4;
  const int64_t first = int64_t(blockIdx.x) * kThreads * kEach + threadIdx.x;
  T v[kEach];
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const int64_t i = first + e * kThreads;
    if (i >= g.size) break;
    const int64_t place = i / g.block;
    int64_t at[1];
    g.inner.offsets(i - place * g.block, at);
    v[e] = static_cast<const T*>(
        g.from)[at[0] + (g.offsets ? g.offsets[place] : g.index.offset(place))];
  }
#pragma unroll
  for (int e = 0; e < kEach; ++e)
    if (first + e * kThreads < g.size) static_cast<T*>(g.to)[first + e * kThreads] = v[e];
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    gather_axis_kernel(const T* from, const __grid_constant__ Index index,
                       const __grid_constant__ Axes<1> walk, int64_t size, T* out) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= size) return;
  int64_t at[1];
  walk.offsets(i, at);
  out[i] = from[at[0] + index.offset(i)];
}

}  // namespace

void gather(const Gather& op, const Args& args, CudaQueue& queue) {
  const array &a = args.in[0], &out = args.out[0];
  const auto indices = args.in.subspan(1);
  Strides strides = a.node().strides;
  Shape inner = op.sizes;
  Strides steps[] = {strides};
  collapse(inner, steps);

  // Whole lines of 16 bytes where everything is a multiple of them.
  const size_t item = a.itemsize();
  size_t unit = !inner.empty() && steps[0].back() == 1 ? 16 : item;
  auto fits = [&](int64_t elements) {
    while (unit > item && uint64_t(elements) * item % unit != 0) unit /= 2;
  };
  if (unit > item) {
    fits(inner.back());
    for (size_t i = 0; i + 1 < inner.size(); ++i) fits(steps[0][i]);
    for (int axis : op.axes) fits(strides[size_t(axis)]);
    while (unit > item && reinterpret_cast<uintptr_t>(queue.ptr<std::byte>(a)) % unit != 0)
      unit /= 2;
  }
  const auto per_unit = int64_t(unit / item);
  if (per_unit > 1) {
    inner.back() = ShapeElem(inner.back() / per_unit);
    for (size_t i = 0; i + 1 < inner.size(); ++i) steps[0][i] /= per_unit;
    for (int64_t& s : strides) s /= per_unit;
  }
  const int64_t* offsets = nullptr;
  if (indices.size() != 1) {
    int64_t* all = queue.scratch<int64_t>(indices.empty() ? 1 : indices[0].size());
    place_offsets(queue, indices, op.axes, op.sizes, a.shape(), strides, "gather", all);
    offsets = all;
  }
  const auto size = int64_t(out.size()) / per_unit;
  const GatherCall g{
      queue.ptr<std::byte>(a),
      queue.ptr<std::byte>(out),
      size,
      int64_t(element_count(inner)),
      offsets ? Index()
              : index_of(queue, indices[0], op.axes[0], op.sizes, a.shape(), strides, "take"),
      offsets,
      Axes<1>(inner, {steps[0]})};
  const unsigned blocks = unsigned((size + 4 * kThreads - 1) / (4 * kThreads));
  if (unit == 16) return launch(queue, gather_kernel<uint4>, blocks, kThreads, 0, g);
  with_item(unit, [&]<class T>() { launch(queue, gather_kernel<T>, blocks, kThreads, 0, g); });
}

void gather_axis(const GatherAxis& op, const Args& args, CudaQueue& queue) {
  const array &a = args.in[0], &indices = args.in[1], &out = args.out[0];
  Strides walk = a.node().strides;
  walk[size_t(op.axis)] = 0;
  const auto size = int64_t(out.size());
  const Index index = index_of(queue, indices, op.axis, Shape(a.shape().size(), 1), a.shape(),
                               a.node().strides, op.name());
  with_item(a.itemsize(), [&]<class T>() {
    launch(queue, gather_axis_kernel<T>, grid(size), kThreads, 0, queue.ptr<const T>(a), index,
           Axes<1>(indices.shape(), {walk}), size, queue.ptr<T>(out));
  });
}

namespace {

// NaN after all numbers, as sort puts it.
template <class T>
__device__ bool before(T a, T b) {
  if constexpr (std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>)
    return before(widen(a), widen(b));
  else if constexpr (std::is_same_v<T, Complex>)
    return before(a.re, b.re) || (!before(b.re, a.re) && before(a.im, b.im));
  else
    return a < b || (a == a && b != b);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    search_kernel(const T* sorted, int64_t size, int64_t step, bool right, const T* values,
                  const __grid_constant__ Axes<1> axes, int64_t count, uint32_t* out) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  int64_t at[1];
  axes.offsets(i, at);
  const T value = values[at[0]];
  int64_t low = 0, high = size;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    const T here = sorted[middle * step];
    if (right ? !before(value, here) : before(here, value))
      low = middle + 1;
    else
      high = middle;
  }
  out[i] = uint32_t(low);
}

}  // namespace

void search_sorted(const SearchSorted& op, const Args& args, CudaQueue& queue) {
  const array &sorted = args.in[0], &values = args.in[1], &out = args.out[0];
  const auto count = int64_t(out.size());
  visit(AllTypes{}, sorted.dtype(), "searchsorted", [&]<class E>() {
    using T = OnDevice<E>;
    launch(queue, search_kernel<T>, grid(count), kThreads, 0, queue.ptr<const T>(sorted),
           int64_t(sorted.size()), sorted.node().strides[0], op.right, queue.ptr<const T>(values),
           Axes<1>(values.shape(), {values.node().strides}), count, queue.ptr<uint32_t>(out));
  });
}

}  // namespace hearth::cuda
