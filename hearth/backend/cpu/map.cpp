// Elementwise programs over blocks that stay in L1: widen, one loop for each step, narrow. What
// lies as the loops compute is passed by its own pointer, never copied. Code size is ops x 7 lanes,
// not ops x dtypes^2.
#include "hearth/backend/cpu/isa.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/map.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <cstring>

#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/cpu/math.h"
#include "hearth/backend/cpu/pool.h"
#include "hearth/ops/primitives.h"

#ifndef HEARTH_MAP_ONCE
#define HEARTH_MAP_ONCE
namespace hearth::cpu {
namespace {

/// What a register holds while computing: the type that its dtype widens to.
enum class Lane : uint8_t { f32, f64, i32, u32, i64, u64, c64 };
constexpr int kLanes = 7;
template <Lane L>
using lane_t = std::tuple_element_t<
    size_t(L), std::tuple<float, double, int32_t, uint32_t, int64_t, uint64_t, math::Complex>>;
template <class T>  // an element type
using lane_of = std::conditional_t<
    is_half<T>, float,
    std::conditional_t<
        std::is_same_v<T, complex64_t>, math::Complex,
        std::conditional_t<!std::is_integral_v<T> || sizeof(T) == 8, T,
                           std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>>>>;
constexpr Lane kLaneOf[] = {
#define X(name, type, kind, text)                                       \
  Kind::kind == Kind::c   ? Lane::c64                                   \
  : Kind::kind == Kind::f ? (sizeof(type) == 8 ? Lane::f64 : Lane::f32) \
  : Kind::kind == Kind::i ? (sizeof(type) == 8 ? Lane::i64 : Lane::i32) \
                          : (sizeof(type) == 8 ? Lane::u64 : Lane::u32),
    HEARTH_DTYPES(X)
#undef X
};
constexpr Lane lane(Dtype d) { return kLaneOf[int(d)]; }
constexpr size_t kLaneSize[kLanes] = {4, 8, 4, 4, 8, 8, 8};

using Compute = void (*)(const void* a, const void* b, const void* c, void* out, size_t n);
using Load = void (*)(const std::byte* from, int64_t stride, void* lanes, size_t n);
using Store = void (*)(const void* lanes, std::byte* to, size_t n);

/// The loops of one instruction set. Null: not taken, or nothing to do.
struct Loops {
  Compute op[kElementOps][kLanes] = {};  // by the lane of the last operand
  Compute cast[kLanes][kLanes] = {};     // from, to
  Compute to_bool[kLanes] = {};          // x != 0
  Compute to_half[kLanes] = {};          // f32, rounded so that rounding it again is right
  Compute round[kDtypes] = {};           // lanes rounded to the dtype
  Load load[kDtypes] = {};               // elements of any stride and alignment, as lanes
  Store store[kDtypes] = {};             // lanes as elements, rounded
};

constexpr bool accepts(std::string_view kinds, Lane l) {
  const char* any[kLanes] = {"f", "f", "i", "bu", "i", "u", "c"};
  return kinds.find_first_of(any[int(l)]) != kinds.npos;
}

}  // namespace
}  // namespace hearth::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace {

// No element depends on another: in place is fine, and compilers need no check for overlap.
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed"  // loops of libm calls stay scalar
#define HEARTH_EACH(i, n) \
  _Pragma("clang loop vectorize(assume_safety)") for (size_t i = 0; i < n; ++i)
#else
#define HEARTH_EACH(i, n) _Pragma("GCC ivdep") for (size_t i = 0; i < n; ++i)
#endif

using namespace math;

#define UNARY(name, kinds, rule, value, ...) \
  struct name##_op {                         \
    template <class T>                       \
    static HWY_INLINE auto of(T x) {         \
      return value;                          \
    }                                        \
  };
#define BINARY(name, kinds, rule, value, ...) \
  struct name##_op {                          \
    template <class T>                        \
    static HWY_INLINE auto of(T a, T b) {     \
      return value;                           \
    }                                         \
  };
#define TERNARY(name, kinds, rule, value, ...)    \
  struct name##_op {                              \
    template <class T>                            \
    static HWY_INLINE auto of(bool a, T b, T c) { \
      return value;                               \
    }                                             \
  };
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY

// bool is computed as 0 or 1 in 32 bits.
template <class R>
using result_t = std::conditional_t<std::is_same_v<R, bool>, uint32_t, R>;

template <class F, class T>
void unary(const void* pa, const void*, const void*, void* out, size_t n) {
  using R = result_t<decltype(F::of(T()))>;
  const T* a = static_cast<const T*>(pa);
  R* y = static_cast<R*>(out);
  HEARTH_EACH(i, n) y[i] = F::of(a[i]);
}
template <class F, class T>
void binary(const void* pa, const void* pb, const void*, void* out, size_t n) {
  using R = result_t<decltype(F::of(T(), T()))>;
  const T *a = static_cast<const T*>(pa), *b = static_cast<const T*>(pb);
  R* y = static_cast<R*>(out);
  HEARTH_EACH(i, n) y[i] = F::of(a[i], b[i]);
}
template <class F, class T>
void ternary(const void* pa, const void* pb, const void* pc, void* out, size_t n) {
  const uint32_t* a = static_cast<const uint32_t*>(pa);
  const T *b = static_cast<const T*>(pb), *c = static_cast<const T*>(pc);
  T* y = static_cast<T*>(out);
  HEARTH_EACH(i, n) y[i] = F::of(a[i] != 0, b[i], c[i]);
}
// sin, cos, tan: a block with a huge argument goes to libm.
template <class F, float (*Libm)(float)>
void periodic(const void* pa, const void*, const void*, void* out, size_t n) {
  const float* a = static_cast<const float*>(pa);
  uint32_t huge = 0;
  HEARTH_EACH(i, n) huge |= abs(a[i]) > kPeriodic;
  if (!huge) return unary<F, float>(pa, nullptr, nullptr, out, n);
  for (size_t i = 0; i < n; ++i) static_cast<float*>(out)[i] = Libm(a[i]);
}

template <class To, class From>
HWY_INLINE To lane_cast(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (std::is_same_v<From, Complex>) {
    return lane_cast<To>(x.re);
  } else if constexpr (std::is_same_v<To, Complex>) {
    return Complex(lane_cast<float>(x));
  } else if constexpr (std::integral<To> && std::floating_point<From>) {
    // Towards zero, saturating; NaN is 0. Unsigned types take negative numbers as signed ones do.
    using Signed = std::conditional_t<std::is_same_v<To, int32_t>, int32_t, int64_t>;
    constexpr From end = sizeof(Signed) == 4 ? From(0x1p31) : From(0x1p63);
    const From inside = x < -end ? -end : x >= end || x != x ? From(0) : x;
    const Signed v = x >= end ? std::numeric_limits<Signed>::max() : Signed(inside);
    if constexpr (std::is_same_v<To, uint64_t>) {
      if (x >= end) return x >= From(0x1p64) ? ~uint64_t{0} : uint64_t(x);
    }
    return To(v);
  } else {
    return To(x);
  }
}
template <class From, class To>
void cast(const void* pa, const void*, const void*, void* out, size_t n) {
  const From* a = static_cast<const From*>(pa);
  To* y = static_cast<To*>(out);
  HEARTH_EACH(i, n) y[i] = lane_cast<To>(a[i]);
}
template <class From>
void to_bool(const void* pa, const void*, const void*, void* out, size_t n) {
  const From* a = static_cast<const From*>(pa);
  uint32_t* y = static_cast<uint32_t*>(out);
  HEARTH_EACH(i, n) y[i] = a[i] != From(0);
}
// To float, the last bit telling whether any was lost ("round to odd").
HWY_INLINE float odd(double x) {
  constexpr uint64_t lost = (uint64_t{1} << 29) - 1;
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  const uint64_t sticky = (bits & ~lost) | ((bits & lost) != 0 ? lost + 1 : 0);
  return float(std::bit_cast<double>(x != x ? bits : sticky));
}
template <class From>
void to_half(const void* pa, const void*, const void*, void* out, size_t n) {
  const From* a = static_cast<const From*>(pa);
  float* y = static_cast<float*>(out);
  if constexpr (std::is_same_v<From, float> || std::is_same_v<From, Complex>) {
    HEARTH_EACH(i, n) y[i] = real(a[i]);
  } else {
    HEARTH_EACH(i, n) y[i] = odd(double(a[i]));
  }
}

// The conversions of dtype.h without branches.
HWY_INLINE float widen(float16_t h) {
  const uint32_t sign = uint32_t(h.bits & 0x8000u) << 16, em = h.bits & 0x7fffu;
  const uint32_t finite = std::bit_cast<uint32_t>(std::bit_cast<float>(em << 13) * 0x1p112f);
  return std::bit_cast<float>(sign | (em >= 0x7c00u ? 0x7f800000u | (em & 0x3ffu) << 13 : finite));
}
HWY_INLINE float widen(bfloat16_t h) { return std::bit_cast<float>(uint32_t(h.bits) << 16); }
HWY_INLINE uint16_t narrow(float f, float16_t) {
  const uint32_t u = std::bit_cast<uint32_t>(f), sign = u >> 16 & 0x8000u, mag = u & 0x7fffffffu;
  const uint32_t tiny = std::bit_cast<uint32_t>(std::bit_cast<float>(mag) + 0.5f) - 0x3f000000u;
  const uint32_t normal = (mag + 0xc8000fffu + (mag >> 13 & 1)) >> 13;
  uint32_t out = mag < 0x38800000u ? tiny : normal;
  out = mag >= 0x477ff000u ? 0x7c00u : out;
  out = mag > 0x7f800000u ? 0x7e00u : out;
  return uint16_t(sign | out);
}
HWY_INLINE uint16_t narrow(float f, bfloat16_t) {
  const uint32_t u = std::bit_cast<uint32_t>(f);
  const uint32_t rounded = (u + 0x7fffu + (u >> 16 & 1)) >> 16;
  return uint16_t((u & 0x7fffffffu) > 0x7f800000u ? u >> 16 | 0x40u : rounded);
}
template <class T>
HWY_INLINE lane_of<T> to_lane(T v) {
  if constexpr (is_half<T>)
    return widen(v);
  else if constexpr (std::is_same_v<T, complex64_t>)
    return Complex(v);
  else
    return lane_of<T>(v);
}
template <class T>
HWY_INLINE T to_element(lane_of<T> v) {
  if constexpr (is_half<T>) {
    T h;
    h.bits = narrow(v, T());
    return h;
  } else if constexpr (std::is_same_v<T, complex64_t>) {
    return v.value();
  } else if constexpr (std::is_same_v<T, bool>) {
    return v != 0;
  } else {
    return T(v);
  }
}

template <class T>
HWY_INLINE T load_one(const std::byte* p) {
  if constexpr (std::is_same_v<T, bool>) {
    return *p != std::byte{0};
  } else {
    T v;
    std::memcpy(&v, p, sizeof(T));
    return v;
  }
}
template <class T>
void load(const std::byte* from, int64_t stride, void* lanes, size_t n) {
  auto* y = static_cast<lane_of<T>*>(lanes);
  if (stride == 1) {
    HEARTH_EACH(i, n) y[i] = to_lane(load_one<T>(from + i * sizeof(T)));
  } else {
    for (size_t i = 0; i < n; ++i, from += stride * int64_t(sizeof(T)))
      y[i] = to_lane(load_one<T>(from));
  }
}
template <class T>
void store(const void* lanes, std::byte* to, size_t n) {
  const auto* a = static_cast<const lane_of<T>*>(lanes);
  T* y = reinterpret_cast<T*>(to);
  HEARTH_EACH(i, n) y[i] = to_element<T>(a[i]);
}
template <class T>
void round(const void* pa, const void*, const void*, void* out, size_t n) {
  const auto* a = static_cast<const lane_of<T>*>(pa);
  auto* y = static_cast<lane_of<T>*>(out);
  HEARTH_EACH(i, n) y[i] = to_lane(to_element<T>(a[i]));
}

template <int L>
void fill_lane(Loops& l) {
  using T = lane_t<Lane(L)>;
  int op = 0;
#define UNARY(name, kinds, ...)                                             \
  if constexpr (accepts(kinds, Lane(L))) l.op[op][L] = unary<name##_op, T>; \
  ++op;
#define BINARY(name, kinds, ...)                                             \
  if constexpr (accepts(kinds, Lane(L))) l.op[op][L] = binary<name##_op, T>; \
  ++op;
#define TERNARY(name, kinds, ...)                                             \
  if constexpr (accepts(kinds, Lane(L))) l.op[op][L] = ternary<name##_op, T>; \
  ++op;
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
  l.cast[L][0] = cast<T, float>;
  l.cast[L][1] = cast<T, double>;
  l.cast[L][2] = cast<T, int32_t>;
  l.cast[L][3] = cast<T, uint32_t>;
  l.cast[L][4] = cast<T, int64_t>;
  l.cast[L][5] = cast<T, uint64_t>;
  l.cast[L][6] = cast<T, Complex>;
  l.to_bool[L] = to_bool<T>;
  l.to_half[L] = to_half<T>;
}
template <class T>
void fill_dtype(Loops& l) {
  const int d = int(dtype_of<T>);
  l.load[d] = load<T>;
  l.store[d] = store<T>;
  if (sizeof(T) < sizeof(lane_of<T>)) l.round[d] = round<T>;
}

const Loops* loops() {
  static const Loops all = [] {
    Loops l;
    fill_lane<0>(l), fill_lane<1>(l), fill_lane<2>(l), fill_lane<3>(l);
    fill_lane<4>(l), fill_lane<5>(l), fill_lane<6>(l);
#define X(name, type, kind, text) fill_dtype<type>(l);
    HEARTH_DTYPES(X)
#undef X
    l.op[int(ElementOp::sin)][int(Lane::f32)] = periodic<sin_op, ::sinf>;
    l.op[int(ElementOp::cos)][int(Lane::f32)] = periodic<cos_op, ::cosf>;
    l.op[int(ElementOp::tan)][int(Lane::f32)] = periodic<tan_op, ::tanf>;
    return l;
  }();
  return &all;
}

}  // namespace
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu {
namespace {

HWY_EXPORT(loops);

constexpr size_t kBlock = 1024;           // elements
constexpr size_t kTask = 32;              // blocks that one thread takes at a time
constexpr int kShortRow = 256;            // rows shorter than this share a block
constexpr size_t kRegister = kBlock * 8;  // bytes

// An input, seen through the collapsed axes of the output.
struct Input {
  const std::byte* data;
  size_t size;  // bytes of an element
  Dtype dtype;
  bool as_is;   // lies as the loops compute: elements are lanes, aligned
  bool scalar;  // one value for all
  Strides strides;
};

// All that the blocks of one call share.
struct Program {
  const Map& op;
  const Loops& loops;
  Shape shape;  // of the output, collapsed
  SmallVector<Input, 3> in;
  std::byte* out;
  size_t total, row, step, blocks;

  Program(const Map& op, const Args& args, const Loops& loops);
  void run(size_t first, size_t last) const;  // blocks

 private:
  const void* input(const Input& x, size_t at, size_t n, void* block) const;
  const void* compute(const Map::Step& s, bool last, const void* const* regs, void* to,
                      size_t n) const;
};

Program::Program(const Map& op, const Args& args, const Loops& loops)
    : op(op),
      loops(loops),
      shape(args.out[0].shape()),
      out(ptr<std::byte>(args.out[0])),
      total(args.out[0].size()) {
  SmallVector<Strides, 3> strides;
  for (const array& x : args.in)
    strides.push_back(broadcast_strides(x.shape(), x.node().strides, shape));
  strides.push_back(row_major(shape));
  collapse(shape, std::span(strides.data(), strides.size()));
  if (shape.empty()) {
    shape.push_back(1);
    for (Strides& s : strides) s.push_back(1);
  }
  for (size_t i = 0; i < args.in.size(); ++i) {
    const array& x = args.in[i];
    const size_t align = kLaneSize[int(lane(x.dtype()))];
    const bool as_is =
        !loops.round[int(x.dtype())] && reinterpret_cast<uintptr_t>(ptr<std::byte>(x)) % align == 0;
    bool scalar = true;
    for (int64_t s : strides[i]) scalar = scalar && s == 0;
    in.push_back({ptr<std::byte>(x), x.itemsize(), x.dtype(), as_is, scalar && total > 1,
                  std::move(strides[i])});
  }
  row = size_t(shape.back());
  if (row < kShortRow) row = total;  // blocks run over the ends of rows
  step = std::min(row, kBlock);
  blocks = total / row * ((row + step - 1) / step);
}

// n elements from the at-th on, as lanes.
const void* Program::input(const Input& x, size_t at, size_t n, void* block) const {
  const Load load = loops.load[int(x.dtype)];
  const int last = int(shape.size()) - 1;
  SmallVector<size_t, 6> index(shape.size(), 0);
  const std::byte* p = x.data;
  for (int axis = last; axis >= 0; --axis) {
    index[axis] = at % size_t(shape[axis]);
    at /= size_t(shape[axis]);
    p += int64_t(index[axis]) * x.strides[axis] * int64_t(x.size);
  }
  size_t here = std::min(n, size_t(shape[last]) - index[last]);
  if (here == n && x.strides[last] == 1 && x.as_is) return p;
  auto* to = static_cast<std::byte*>(block);
  const size_t lane_size = kLaneSize[int(lane(x.dtype))];
  while (true) {
    load(p, x.strides[last], to, here);
    n -= here;
    if (n == 0) return block;
    to += here * lane_size;
    // The next row.
    p -= int64_t(index[last]) * x.strides[last] * int64_t(x.size);
    index[last] = 0;
    for (int axis = last - 1; axis >= 0; --axis) {
      p += x.strides[axis] * int64_t(x.size);
      if (++index[axis] < size_t(shape[axis])) break;
      p -= x.strides[axis] * int64_t(x.size) * shape[axis];
      index[axis] = 0;
    }
    here = std::min(n, size_t(shape[last]));
  }
}

// The lanes of a step, in `to` or, for a cast that changes no lane, where they were.
const void* Program::compute(const Map::Step& s, bool last, const void* const* regs, void* to,
                             size_t n) const {
  const Compute round = last ? nullptr : loops.round[int(s.dtype)];
  if (s.op == ElementOp::astype) {
    const Lane from = lane(op.dtype(s.from[0])), target = lane(s.dtype);
    const bool half = s.dtype == float16 || s.dtype == bfloat16;
    if (from == target && !round && s.dtype != bool_) return regs[s.from[0]];
    const Compute f = s.dtype == bool_ ? loops.to_bool[int(from)]
                      : half           ? loops.to_half[int(from)]
                                       : loops.cast[int(from)][int(target)];
    f(regs[s.from[0]], nullptr, nullptr, to, n);
  } else {
    const Lane operand = lane(op.dtype(s.from[info(s.op).arity - 1]));
    loops.op[int(s.op)][int(operand)](regs[s.from[0]], regs[s.from[1]], regs[s.from[2]], to, n);
  }
  if (round) round(to, nullptr, nullptr, to, n);
  return to;
}

void Program::run(size_t first, size_t last) const {
  thread_local std::vector<std::byte> scratch;
  const int count = op.registers(), steps = op.first_step();
  scratch.resize(std::max(scratch.size(), size_t(count) * kRegister + 64));
  auto* blocks_at =
      reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(scratch.data()) + 63) / 64 * 64);
  const void* regs[Map::kMaxRegisters];
  auto block = [&](int r) { return blocks_at + size_t(r) * kRegister; };
  const size_t most = std::min(step, total);

  for (int r = 0; r < steps; ++r) {  // what is the same for all blocks
    const bool constant = r >= int(in.size());
    if (!constant && !in[r].scalar) continue;
    const Dtype d = op.dtype(r);
    const std::byte* value = constant ? op.constants[r - in.size()].value.data() : in[r].data;
    loops.load[int(d)](value, 0, block(r), most);
    regs[r] = block(r);
  }
  const Dtype result = op.steps.back().dtype;
  const bool direct = !loops.round[int(result)];  // lanes are elements
  const size_t per_row = (row + step - 1) / step;
  for (size_t b = first; b < last; ++b) {
    const size_t at = b / per_row * row + b % per_row * step;
    const size_t n = std::min(step, row - b % per_row * step);
    for (int r = 0; r < int(in.size()); ++r)
      if (!in[r].scalar) regs[r] = input(in[r], at, n, block(r));
    std::byte* to = out + at * size_of(result);
    for (int r = steps; r < count; ++r) {
      const bool is_last = r == count - 1;
      regs[r] = compute(op.steps[r - steps], is_last, regs, is_last && direct ? to : block(r), n);
    }
    if (regs[count - 1] != to) loops.store[int(result)](regs[count - 1], to, n);
  }
}

}  // namespace

void map(const Map& op, const Args& args, CpuQueue&) {
  const Program program(op, args, *HWY_DYNAMIC_DISPATCH(loops)());
  const size_t tasks = (program.blocks + kTask - 1) / kTask;
  parallel_for(int64_t(tasks), [&](int64_t i) {
    program.run(size_t(i) * kTask, std::min(program.blocks, size_t(i + 1) * kTask));
  });
}

}  // namespace hearth::cpu
#endif
