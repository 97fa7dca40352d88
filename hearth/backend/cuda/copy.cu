// Copies between layouts, and updates of parts: 16 bytes at a time where memory is contiguous,
// tiles in shared memory where it is transposed.
#include "hearth/backend/cuda/copy.cuh"

#include "hearth/backend/cuda/device.cuh"
#include "hearth/backend/cuda/update.cuh"

namespace hearth::cuda {

namespace {

constexpr int kThreads = 256;

__device__ int64_t offset_of(const DeviceStart& s) {
  int64_t at = 0;
  if (s.start)
    for (int i = 0; i < s.count; ++i) {
      const int64_t v = load_integer(s.start, s.dtype, i * s.stride);
      at += max(int64_t{0}, min(v, s.most[i])) * s.step[i];
    }
  return at;
}

// Operand 0 is read, operand 1 is written.
struct Move {
  const void* from;
  void* to;
  int64_t size;
  DeviceStart from_start, to_start;
  Axes<2> axes;
};

template <class T, bool Flat>
__global__ void __launch_bounds__(kThreads) move_kernel(const __grid_constant__ Move m) {
  constexpr int kEach = 4;
  const T* from = static_cast<const T*>(m.from) + offset_of(m.from_start);
  T* to = static_cast<T*>(m.to) + offset_of(m.to_start);
  const int64_t first = int64_t(blockIdx.x) * kThreads * kEach + threadIdx.x;
  T v[kEach];
  int64_t into[kEach];
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const int64_t i = first + e * kThreads;
    if (i >= m.size) break;
    int64_t at[2] = {i, i};
    if constexpr (!Flat) m.axes.offsets(i, at);
    v[e] = from[at[0]], into[e] = at[1];
  }
#pragma unroll
  for (int e = 0; e < kEach; ++e)
    if (first + e * kThreads < m.size) to[into[e]] = v[e];
}

// `from` is contiguous along rows, `to` along columns.
struct Transposition {
  const void* from;
  void* to;
  int64_t from_column, to_row;
  int rows, columns, row_tiles, column_tiles;
  DeviceStart from_start, to_start;
  Axes<2> outer;
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    transpose_kernel(const __grid_constant__ Transposition t) {
  constexpr int kTile = sizeof(T) <= 2 ? 64 : 32, kLines = kThreads / 32;
  __shared__ T tile[kTile][kTile + (sizeof(T) <= 2 ? 4 / sizeof(T) : 1)];
  const int lane = threadIdx.x % 32, line = threadIdx.x / 32;
  int64_t rest = blockIdx.x;
  const int c0 = int(rest % t.column_tiles) * kTile;
  rest /= t.column_tiles;
  const int r0 = int(rest % t.row_tiles) * kTile;
  rest /= t.row_tiles;
  int64_t at[2];
  t.outer.offsets(rest, at);
  const T* from = static_cast<const T*>(t.from) + offset_of(t.from_start) + at[0];
  T* to = static_cast<T*>(t.to) + offset_of(t.to_start) + at[1];
#pragma unroll
  for (int j = 0; j < kTile; j += kLines)
#pragma unroll
    for (int i = 0; i < kTile; i += 32) {
      const int r = r0 + i + lane, c = c0 + j + line;
      if (r < t.rows && c < t.columns) tile[j + line][i + lane] = from[r + c * t.from_column];
    }
  __syncthreads();
#pragma unroll
  for (int j = 0; j < kTile; j += kLines)
#pragma unroll
    for (int i = 0; i < kTile; i += 32) {
      const int r = r0 + j + line, c = c0 + i + lane;
      if (r < t.rows && c < t.columns) to[r * t.to_row + c] = tile[i + lane][j + line];
    }
}

template <class T>
void move(CudaQueue& queue, const Move& m, bool flat) {
  constexpr int64_t tile = 4 * kThreads;
  launch(queue, flat ? move_kernel<T, true> : move_kernel<T, false>,
         unsigned((m.size + tile - 1) / tile), kThreads, 0, m);
}

Strides without(const Strides& strides, size_t axis) {
  Strides out = strides;
  out.erase(out.begin() + axis);
  return out;
}

// Tiles, where an axis other than the last lies contiguous in `from`. False: not so.
template <class T>
bool transposed(CudaQueue& queue, const Move& m, const Shape& shape, const Strides& from,
                const Strides& to) {
  const size_t last = shape.size() - 1;
  if (to[last] != 1 || from[last] == 1 || from[last] == 0 || shape[last] < 8) return false;
  for (size_t axis = 0; axis < last; ++axis) {
    if (from[axis] != 1 || shape[axis] < 8) continue;
    constexpr int kTile = sizeof(T) <= 2 ? 64 : 32;
    Shape outer = shape;
    outer.pop_back();
    outer.erase(outer.begin() + axis);
    Strides outer_from = without(without(from, last), axis),
            outer_to = without(without(to, last), axis);
    const int rows = shape[axis], columns = shape[last];
    const Transposition t{m.from,
                          m.to,
                          from[last],
                          to[axis],
                          rows,
                          columns,
                          (rows + kTile - 1) / kTile,
                          (columns + kTile - 1) / kTile,
                          m.from_start,
                          m.to_start,
                          Axes<2>(outer, {outer_from, outer_to})};
    const int64_t blocks = int64_t(t.row_tiles) * t.column_tiles * int64_t(element_count(outer));
    if (blocks >= int64_t{1} << 31) return false;
    launch(queue, transpose_kernel<T>, unsigned(blocks), kThreads, 0, t);
    return true;
  }
  return false;
}

// Layouts of the same bytes in units of several elements.
DeviceStart in_units(DeviceStart s, int64_t elements) {
  for (int i = 0; i < s.count; ++i) s.step[i] /= elements;
  return s;
}

}  // namespace

void copy_strided(CudaQueue& queue, const void* from, const Strides& from_strides, void* to,
                  const Strides& to_strides, const Shape& whole, size_t item,
                  const DeviceStart& from_start, const DeviceStart& to_start) {
  if (element_count(whole) == 0) return;
  Shape shape = whole;
  Strides strides[] = {from_strides, to_strides};
  collapse(shape, strides);
  if (shape.empty()) shape = {1}, strides[0] = strides[1] = {1};
  const size_t last = shape.size() - 1;

  // The longest unit that every line and every step is a multiple of.
  size_t unit = 16;
  if (strides[0][last] != 1 || strides[1][last] != 1) unit = item;
  auto fits = [&](int64_t elements) {
    while (unit > item && uint64_t(elements) * item % unit != 0) unit /= 2;
  };
  while (unit > item &&
         (reinterpret_cast<uintptr_t>(from) % unit || reinterpret_cast<uintptr_t>(to) % unit))
    unit /= 2;
  fits(shape[last]);
  for (size_t i = 0; i < last; ++i) fits(strides[0][i]), fits(strides[1][i]);
  for (const DeviceStart* s : {&from_start, &to_start})
    for (int i = 0; i < s->count; ++i) fits(s->step[i]);

  const auto per_unit = int64_t(unit / item);
  if (per_unit > 1) {
    shape[last] = ShapeElem(shape[last] / per_unit);
    for (Strides& s : strides)
      for (size_t i = 0; i < last; ++i) s[i] /= per_unit;
  }
  const Move m{from,
               to,
               int64_t(element_count(shape)),
               in_units(from_start, per_unit),
               in_units(to_start, per_unit),
               Axes<2>(shape, {strides[0], strides[1]})};
  const bool flat = last == 0 && strides[0][0] == 1 && strides[1][0] == 1;
  if (unit == 16) return move<uint4>(queue, m, flat);
  with_item(unit, [&]<class T>() {
    if (!transposed<T>(queue, m, shape, strides[0], strides[1])) move<T>(queue, m, flat);
  });
}

void copy_to(CudaQueue& queue, const array& from, const array& to) {
  const auto *source = queue.ptr<std::byte>(from), *target = queue.ptr<std::byte>(to);
  if (source == target) return;  // donated
  copy_strided(queue, source, from.node().strides, queue.ptr<std::byte>(to),
               row_major(from.shape()), from.shape(), from.itemsize());
}

namespace {

// Where a block of `shape` begins on the device: the values of `start` on `axes`.
DeviceStart device_start(CudaQueue& queue, const array& start, std::span<const int> axes,
                         const Shape& block, const Shape& shape, const Strides& strides) {
  ensure(axes.size() <= DeviceStart::kMost, "cuda: a slice that starts on more than ",
         DeviceStart::kMost, " axes");
  DeviceStart out;
  out.start = queue.ptr<std::byte>(start), out.dtype = start.dtype();
  out.count = int(axes.size());
  out.stride = start.ndim() ? start.node().strides[0] : 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = size_t(axes[i]);
    out.most[i] = shape[axis] - block[axis], out.step[i] = strides[axis];
  }
  return out;
}

struct BoxUpdate {
  Update mode;
  const void* by;
  void* to;
  int64_t size;
  Axes<2> axes;
};
template <class T>
__global__ void __launch_bounds__(kThreads) update_kernel(const __grid_constant__ BoxUpdate u) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= u.size) return;
  int64_t at[2];
  u.axes.offsets(i, at);
  T* to = static_cast<T*>(u.to) + at[1];
  *to = updated(u.mode, *to, static_cast<const T*>(u.by)[at[0]]);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    arange_kernel(double start, double step, int64_t first, int64_t by, int64_t size, bool has_last,
                  double last, T* out) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= size) return;
  const bool special = has_last && i == size - 1;
  const double v = special ? last : __dadd_rn(start, __dmul_rn(double(i), step));
  if constexpr (std::is_same_v<T, bool>)
    out[i] = v != 0;
  else if constexpr (std::is_integral_v<T>)
    out[i] = special ? T(v) : T(uint64_t(first) + uint64_t(i) * uint64_t(by));
  else if constexpr (std::is_same_v<T, Complex>)
    out[i] = {float(v), 0};
  else if constexpr (std::is_same_v<T, double>)
    out[i] = v;
  else
    out[i] = narrow<T>(float(v));
}

// A whole number modulo 2^64.
int64_t wrapped(double v) { return v < 0 ? int64_t(-uint64_t(-v)) : int64_t(uint64_t(v)); }

}  // namespace

void copy(const Copy&, const Args& args, CudaQueue& queue) {
  copy_to(queue, args.in[0], args.out[0]);
}
void assign(const Assign&, const Args& args, CudaQueue& queue) {
  const array &values = args.in[1], &state = args.out[0];
  copy_strided(queue, queue.ptr<void>(values), values.node().strides, queue.ptr<void>(state),
               state.node().strides, state.shape(), state.itemsize());
}
void contiguous(const Contiguous&, const Args& args, CudaQueue& queue) {
  copy_to(queue, args.in[0], args.out[0]);
}
void reshape(const Reshape&, const Args& args, CudaQueue& queue) {
  copy_to(queue, args.in[0], args.out[0]);
}
void reinterpret(const Reinterpret&, const Args& args, CudaQueue& queue) {
  copy_to(queue, args.in[0], args.out[0]);
}

void concatenate(const Concatenate& op, const Args& args, CudaQueue& queue) {
  const array& out = args.out[0];
  const Strides& strides = out.node().strides;
  std::byte* to = queue.ptr<std::byte>(out);
  for (const array& in : args.in) {
    if (in.size() > 0)
      copy_strided(queue, queue.ptr<std::byte>(in), in.node().strides, to, strides, in.shape(),
                   in.itemsize());
    to += in.shape()[size_t(op.axis)] * strides[size_t(op.axis)] * int64_t(in.itemsize());
  }
}

void slice_update(const SliceUpdate& op, const Args& args, CudaQueue& queue) {
  const array &source = args.in[0], &update = args.in[1], &out = args.out[0];
  copy_to(queue, source, out);
  if (update.size() == 0) return;
  Strides strides = out.node().strides;
  std::byte* to = queue.ptr<std::byte>(out);
  for (size_t i = 0; i < strides.size(); ++i) {
    to += op.box.start[i] * strides[i] * int64_t(out.itemsize());
    strides[i] *= op.box.strides[i];
  }
  const std::byte* by = queue.ptr<std::byte>(update);
  const Strides from = broadcast_strides(update.shape(), update.node().strides, op.box.shape);
  if (op.mode == Update::assign)
    return copy_strided(queue, by, from, to, strides, op.box.shape, out.itemsize());
  const auto size = int64_t(element_count(op.box.shape));
  const BoxUpdate u{op.mode, by, to, size, Axes<2>(op.box.shape, {from, strides})};
  with_update(op.mode, out.dtype(), [&]<class T>() {
    launch(queue, update_kernel<T>, unsigned((size + kThreads - 1) / kThreads), kThreads, 0, u);
  });
}

void dynamic_slice(const DynamicSlice& op, const Args& args, CudaQueue& queue) {
  const array &in = args.in[0], &out = args.out[0];
  copy_strided(queue, queue.ptr<std::byte>(in), in.node().strides, queue.ptr<std::byte>(out),
               out.node().strides, op.shape, in.itemsize(),
               device_start(queue, args.in[1], op.axes, op.shape, in.shape(), in.node().strides));
}

void dynamic_slice_update(const DynamicSliceUpdate& op, const Args& args, CudaQueue& queue) {
  const array &source = args.in[0], &update = args.in[1], &out = args.out[0];
  copy_to(queue, source, out);
  if (update.size() == 0) return;
  const Strides& strides = out.node().strides;
  copy_strided(queue, queue.ptr<std::byte>(update), update.node().strides,
               queue.ptr<std::byte>(out), strides, update.shape(), out.itemsize(), {},
               device_start(queue, args.in[2], op.axes, update.shape(), out.shape(), strides));
}

void arange(const Arange& op, const Args& args, CudaQueue& queue) {
  const int64_t size = op.size;
  visit(AllTypes{}, op.dtype, "arange", [&]<class T>() {
    launch(queue, arange_kernel<OnDevice<T>>, unsigned((size + kThreads - 1) / kThreads), kThreads,
           0, op.start, op.step, wrapped(op.start), wrapped(op.step), size, op.last.has_value(),
           op.last.value_or(0), queue.ptr<OnDevice<T>>(args.out[0]));
  });
}

}  // namespace hearth::cuda
