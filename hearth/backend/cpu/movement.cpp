// Kernels that copy, join and update parts of arrays.
#include "hearth/backend/cpu/movement.h"
#include "hearth/backend/cpu/copy.h"
#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/cpu/update.h"
#include "hearth/backend/pool.h"

namespace hearth::cpu {

namespace {

std::byte* bytes(const array& a) { return a.node().data(); }

// The values of `from`, row-major, at the start of `to`.
void copy_to(const array& from, const array& to) {
  const Node& n = from.node();
  copy_strided(bytes(from), n.strides, bytes(to), row_major(n.shape), n.shape, from.itemsize());
}

// The bytes from the first element to the element at `index`.
int64_t byte_offset(const array& a, std::span<const int> index) {
  int64_t offset = 0;
  for (size_t i = 0; i < index.size(); ++i) offset += index[i] * a.node().strides[i];
  return offset * int64_t(a.itemsize());
}

// Where a block of `shape` begins: the values of `start` on `axes`, checked.
Shape block_start(const array& start, std::span<const int> axes, const Shape& block,
                  const Shape& shape, std::string_view who) {
  Shape out(shape.size(), 0);
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = size_t(axes[i]);
    const int64_t stride = start.ndim() ? start.node().strides[0] : 0;
    const auto at = load_element<int64_t>(
        bytes(start) + int64_t(i) * stride * int64_t(start.itemsize()), start.dtype());
    ensure(at >= 0 && at <= shape[axis] - block[axis], who, ": start ", at, " with size ",
           block[axis], " is out of range for axis ", axis, " of size ", shape[axis]);
    out[axis] = ShapeElem(at);
  }
  return out;
}

// A whole number modulo 2^64.
uint64_t wrapped(double v) { return v < 0 ? -uint64_t(-v) : uint64_t(v); }

// `out` holds the values of `source`: already so if it took its memory.
void begin_update(const array& source, const array& out) {
  if (bytes(source) != bytes(out)) copy_to(source, out);
}

}  // namespace

void copy(const Copy&, const Args& args, CpuQueue&) { copy_to(args.in[0], args.out[0]); }
void assign(const Assign&, const Args& args, CpuQueue&) {
  const array &values = args.in[1], &state = args.out[0];
  copy_strided(ptr<std::byte>(values), values.node().strides, ptr<std::byte>(state),
               state.node().strides, state.shape(), state.itemsize());
}
void contiguous(const Contiguous&, const Args& args, CpuQueue&) {
  copy_to(args.in[0], args.out[0]);
}
void reshape(const Reshape&, const Args& args, CpuQueue&) { copy_to(args.in[0], args.out[0]); }
void reinterpret(const Reinterpret&, const Args& args, CpuQueue&) {
  copy_to(args.in[0], args.out[0]);
}

void concatenate(const Concatenate& op, const Args& args, CpuQueue&) {
  const array& out = args.out[0];
  const Strides& strides = out.node().strides;
  std::byte* to = bytes(out);
  for (const array& in : args.in) {
    copy_strided(bytes(in), in.node().strides, to, strides, in.shape(), in.itemsize());
    to += in.shape()[size_t(op.axis)] * strides[size_t(op.axis)] * int64_t(in.itemsize());
  }
}

void slice_update(const SliceUpdate& op, const Args& args, CpuQueue&) {
  const array &source = args.in[0], &update = args.in[1], &out = args.out[0];
  begin_update(source, out);
  Strides strides = out.node().strides;
  std::byte* to = bytes(out) + byte_offset(out, op.box.start);
  for (size_t i = 0; i < strides.size(); ++i) strides[i] *= op.box.strides[i];
  if (op.mode == Update::assign)
    return copy_strided(bytes(update), update.node().strides, to, strides, op.box.shape,
                        out.itemsize());
  with_update(op.mode, out.dtype(), [&]<class T, Update mode>() {
    each_index<2>(op.box.shape, {update.node().strides, strides},
                  [&](const std::array<int64_t, 2>& at) {
                    std::byte* p = to + at[1] * int64_t(sizeof(T));
                    const T by = load<T>(bytes(update) + at[0] * int64_t(sizeof(T)));
                    store(p, updated<mode>(load<T>(p), by));
                  });
  });
}

void dynamic_slice(const DynamicSlice& op, const Args& args, CpuQueue&) {
  const array& in = args.in[0];
  const Shape start = block_start(args.in[1], op.axes, op.shape, in.shape(), "slice");
  copy_strided(bytes(in) + byte_offset(in, start), in.node().strides, bytes(args.out[0]),
               args.out[0].node().strides, op.shape, in.itemsize());
}

void dynamic_slice_update(const DynamicSliceUpdate& op, const Args& args, CpuQueue&) {
  const array &source = args.in[0], &update = args.in[1], &out = args.out[0];
  const Shape start = block_start(args.in[2], op.axes, update.shape(), out.shape(), "slice_update");
  begin_update(source, out);
  copy_strided(bytes(update), update.node().strides, bytes(out) + byte_offset(out, start),
               out.node().strides, update.shape(), out.itemsize());
}

void arange(const Arange& op, const Args& args, CpuQueue&) {
  constexpr int64_t kBlock = 1 << 16;
  const int64_t n = op.size;
  visit(AllTypes{}, op.dtype, "arange", [&]<class T>() {
    T* out = ptr<T>(args.out[0]);
    parallel_for((n + kBlock - 1) / kBlock, [&](int64_t block) {
      const int64_t end = std::min(n, (block + 1) * kBlock);
      if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
        const uint64_t start = wrapped(op.start), step = wrapped(op.step);
        for (int64_t i = block * kBlock; i < end; ++i) out[i] = T(start + uint64_t(i) * step);
      } else if constexpr (!std::is_same_v<T, bool>) {
        for (int64_t i = block * kBlock; i < end; ++i)
          out[i] = convert<T>(op.start + double(i) * op.step);
      }
    });
    if (op.last && n > 0) out[n - 1] = convert<T>(*op.last);
  });
}

}  // namespace hearth::cpu
