// Elementwise operations, each by a kernel that was built ahead: one kernel for a lane, a class of
// operation and a layout, in which the operation and the dtypes in memory are a switch that all
// threads take alike. Programs of several steps: jit.cpp.
#include <array>

#include "hearth/backend/cuda/device.cuh"
#include "hearth/backend/cuda/jit.h"
#include "hearth/backend/cuda/tasks.h"
#include "hearth/backend/cuda/values.cuh"
#include "hearth/backend/lanes.h"

namespace hearth::cuda {

namespace {

/// An element type of the table of dtypes as device code sees it.
template <class T>
struct ElementOf {
  using type = T;
};
template <>
struct ElementOf<bool> {
  using type = math::Bool;
};
template <>
struct ElementOf<float16_t> {
  using type = math::Half;
};
template <>
struct ElementOf<bfloat16_t> {
  using type = math::Bfloat;
};
template <>
struct ElementOf<int64_t> {
  using type = math::i64;
};
template <>
struct ElementOf<uint64_t> {
  using type = math::u64;
};
template <>
struct ElementOf<complex64_t> {
  using type = math::Complex;
};
template <class T>
using element = typename ElementOf<T>::type;
#define X(name, type, kind, text)                                \
  static_assert(math::same<element<type>, math::element_##name>, \
                "the names in math.cuh, for jit.cpp");
HEARTH_DTYPES(X)
#undef X

constexpr int kThreads = 256;

/// Classes of operations have kernels of their own: by how many registers and how much code they
/// need. Only `cast` reads what has another lane.
enum class Class : uint8_t { light, heavy, cast };
/// Does the expression call more than functions of a few instructions?
constexpr bool is_heavy(std::string_view value) {
  constexpr std::string_view light[] = {
      "T",        "abs",      "sign",     "floor",      "ceil",       "trunc", "rint",
      "max",      "min",      "real",     "imag",       "conj",       "isnan", "isinf",
      "isfinite", "isposinf", "isneginf", "shift_left", "shift_right"};
  const auto letter = [](char c) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == 'T';
  };
  for (size_t at = 0; (at = value.find('(', at)) != value.npos; ++at) {
    size_t from = at;
    while (from > 0 && letter(value[from - 1])) --from;
    bool known = from == at;  // a parenthesis alone
    for (std::string_view f : light) known = known || value.substr(from, at - from) == f;
    if (!known) return true;
  }
  return false;
}
constexpr Class class_of(ElementOp op) {
  switch (op) {
#define UNARY(name, kinds, rule, value, ...) \
  case ElementOp::name:                      \
    return is_heavy(#value) ? Class::heavy : Class::light;
#define BINARY UNARY
#define TERNARY UNARY
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
    case ElementOp::astype: break;
  }
  return Class::cast;
}
static_assert(class_of(ElementOp::where) == Class::light &&
              class_of(ElementOp::abs) == Class::light);
static_assert(class_of(ElementOp::rsqrt) == Class::heavy &&
              class_of(ElementOp::power) == Class::heavy);
enum class Layout : uint8_t { flat, rows, strided };
enum class Way : uint8_t { vectors, one, constant };  // how an operand is read

struct Operand {
  const std::byte* data;
  uint64_t lane;  // a constant
  Way way;
  Dtype dtype;  // in memory
};
struct Call {
  Operand in[3];
  void* out;
  ElementOp op;
  Dtype result;
  int arity;
  bool flat;
  int64_t size;
  Axes<3> axes;
};

template <class T>
inline constexpr Lane kLaneOf = Lane::f32;
#define X(name, type, kinds) \
  template <>                \
  inline constexpr Lane kLaneOf<math::lane_##name> = Lane::name;
HEARTH_LANES(X)
#undef X
template <class T>
constexpr bool accepts(std::string_view kinds) {
  return hearth::accepts(kinds, kLaneOf<T>);
}
/// Heavy code for 8 bytes is not repeated: a thread takes one element.
template <class T, Class C>
inline constexpr bool kOneEach = C == Class::heavy && sizeof(T) == 8;
/// Elements that a thread reads at once, and how often.
template <class T, Layout L>
inline constexpr int kWidth = L == Layout::strided ? 1 : 16 / sizeof(T);
template <class T, Class C>
inline constexpr int kGroups = kOneEach<T, C>      ? 1
                               : C == Class::light ? 4
                                                   : 2;

template <class S, int W>
struct alignas(W * sizeof(S) < 16 ? W * sizeof(S) : 16) Pack {
  S v[W];
};

template <class T, class R>
HEARTH_FN T as_lane(R r) {
  if constexpr (math::same<T, R>)
    return r;
  else if constexpr (math::same<T, math::Complex>)
    return T(float(r));
  else
    return T(r);
}

template <class T, class S, int W, int G, class F>
HEARTH_FN void load_as(const Operand& x, const int64_t (&at)[G], T (&v)[W * G], F&& f) {
  const S* data = reinterpret_cast<const S*>(x.data);
  Pack<S, W> raw[G];
  if (W > 1 && x.way == Way::one) {
#pragma unroll
    for (int g = 0; g < G; ++g) {
      raw[g].v[0] = data[at[g]];
#pragma unroll
      for (int k = 1; k < W; ++k) raw[g].v[k] = raw[g].v[0];
    }
  } else {
#pragma unroll
    for (int g = 0; g < G; ++g) raw[g] = *reinterpret_cast<const Pack<S, W>*>(data + at[g]);
  }
#pragma unroll
  for (int e = 0; e < W * G; ++e) v[e] = f(math::to_lane(raw[e / W].v[e % W]));
}

/// The lanes of an operand that lies in memory as T or narrower, or as bool.
template <class T, int W, int G>
HEARTH_FN void load(const Operand& x, const int64_t (&at)[G], T (&v)[W * G]) {
  if (x.way == Way::constant) {
    T one;
    memcpy(&one, &x.lane, sizeof(T));
#pragma unroll
    for (int e = 0; e < W * G; ++e) v[e] = one;
    return;
  }
  switch (x.dtype) {
#define X(name, type, kind, text)                                                        \
  case Dtype::name:                                                                      \
    if constexpr (math::same<math::lane_of<element<type>>, T> || math::same<type, bool>) \
      load_as<T, element<type>, W, G>(x, at, v, [](auto l) { return as_lane<T>(l); });   \
    break;
    HEARTH_DTYPES(X)
#undef X
  }
}
/// The lanes of an operand of any dtype as those of the result, rounded to it.
template <class T, int W, int G>
HEARTH_FN void load_cast(const Operand& x, Dtype result, const int64_t (&at)[G], T (&v)[W * G]) {
  const bool half = result == float16 || result == bfloat16;
  switch (x.dtype) {
#define X(name, type, kind, text)                                                     \
  case Dtype::name: {                                                                 \
    using S = element<type>;                                                          \
    using Lane = math::lane_of<S>;                                                    \
    if (math::same<T, math::u32> && result == bool_)                                  \
      load_as<T, S, W, G>(x, at, v, [](Lane l) { return as_lane<T>(l != Lane(0)); }); \
    else if (math::same<T, float> && half)                                            \
      load_as<T, S, W, G>(x, at, v, [](Lane l) { return as_lane<T>(math::odd(l)); }); \
    else                                                                              \
      load_as<T, S, W, G>(x, at, v, [](Lane l) { return math::lane_cast<T>(l); });    \
    break;                                                                            \
  }
    HEARTH_DTYPES(X)
#undef X
  }
}

template <class S, class T, int W, int G>
HEARTH_FN void store_as(void* out, int64_t first, int64_t size, const T (&v)[W * G]) {
#pragma unroll
  for (int g = 0; g < G; ++g) {
    const int64_t i = first + int64_t(g) * kThreads * W;
    if (i >= size) return;
    Pack<S, W> raw;
#pragma unroll
    for (int k = 0; k < W; ++k) {
      const T x = v[g * W + k];
      if constexpr (math::same<S, math::Bool>)
        raw.v[k] = {x != T(0)};
      else if constexpr (math::same<T, math::Complex> && math::same<S, float>)
        raw.v[k] = x.re;
      else
        raw.v[k] = math::to_element<S>(x);
    }
    *reinterpret_cast<Pack<S, W>*>(static_cast<S*>(out) + i) = raw;
  }
}

template <class T, int W, int G>
HEARTH_FN void store(Dtype dtype, void* out, int64_t first, int64_t size, const T (&v)[W * G]) {
  switch (dtype) {
#define X(name, type, kind, text)                                                          \
  case Dtype::name:                                                                        \
    if constexpr (math::same<math::lane_of<element<type>>, T> || math::same<type, bool> || \
                  (math::same<T, math::Complex> && math::same<type, float>))               \
      store_as<element<type>, T, W, G>(out, first, size, v);                               \
    break;
    HEARTH_DTYPES(X)
#undef X
  }
}

// A thread computes `groups` groups of `width` neighbours. The last group may reach beyond the
// arrays, into bytes that their blocks of memory have (Allocator gives multiples of 64) and nobody
// reads.
template <class T, Class C, Layout L>
__global__ void __launch_bounds__(kThreads) map_kernel(const __grid_constant__ Call call) {
  constexpr int W = kWidth<T, L>, G = kGroups<T, C>;
  const int64_t first = (int64_t(blockIdx.x) * kThreads * G + threadIdx.x) * W;
  int64_t at[3][G];
#pragma unroll
  for (int g = 0; g < G; ++g) {
    int64_t i = first + int64_t(g) * kThreads * W;
    i = i < call.size ? i : 0;
    int64_t offsets[3];
    if (L == Layout::flat || call.flat)
      for (int k = 0; k < 3; ++k) offsets[k] = call.in[k].way == Way::one ? 0 : i;
    else
      call.axes.offsets(i, offsets);
    for (int k = 0; k < 3; ++k) at[k][g] = offsets[k];
  }
  T x[W * G];
  if constexpr (C == Class::cast) {
    load_cast<T, W, G>(call.in[0], call.result, at[0], x);
    return store<T, W, G>(call.result, call.out, first, call.size, x);
  }
  T b[W * G], c[W * G];
  load<T, W, G>(call.in[0], at[0], x);
  if (call.arity > 1) load<T, W, G>(call.in[1], at[1], b);
  if (call.arity > 2) load<T, W, G>(call.in[2], at[2], c);
#define EACH _Pragma("unroll") for (int e = 0; e < W * G; ++e)
  switch (call.op) {
#define UNARY(name, kinds, ...)                                        \
  case ElementOp::name:                                                \
    if constexpr (accepts<T>(kinds) && class_of(ElementOp::name) == C) \
      EACH x[e] = as_lane<T>(math::name##_op::template of<T>(x[e]));   \
    break;
#define BINARY(name, kinds, ...)                                           \
  case ElementOp::name:                                                    \
    if constexpr (accepts<T>(kinds) && class_of(ElementOp::name) == C)     \
      EACH x[e] = as_lane<T>(math::name##_op::template of<T>(x[e], b[e])); \
    break;
#define TERNARY(name, kinds, ...)                                                        \
  case ElementOp::name:                                                                  \
    if constexpr (accepts<T>(kinds) && class_of(ElementOp::name) == C)                   \
      EACH x[e] = as_lane<T>(math::name##_op::template of<T>(x[e] != T(0), b[e], c[e])); \
    break;
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
    default: break;
  }
#undef EACH
  store<T, W, G>(call.result, call.out, first, call.size, x);
}

// ---- Host ---------------------------------------------------------------------------------------

// A constant in the lane of dtype `as`.
uint64_t constant_lane(const Map::Constant& c, Dtype as) {
  uint64_t bits = 0;
  auto put = [&]<class T>() {
    const T v = load_element<T>(c.value.data(), c.dtype);
    std::memcpy(&bits, &v, sizeof(T));
  };
  switch (lane(as)) {
    case Lane::f32: put.template operator()<float>(); break;
    case Lane::f64: put.template operator()<double>(); break;
    case Lane::i32: put.template operator()<int32_t>(); break;
    case Lane::u32: put.template operator()<uint32_t>(); break;
    case Lane::i64: put.template operator()<int64_t>(); break;
    case Lane::u64: put.template operator()<uint64_t>(); break;
    case Lane::c64: put.template operator()<complex64_t>(); break;  // host's: the same bytes
  }
  return bits;
}

template <class T, Class C, Layout L>
void start(Call& call, CudaQueue& queue) {
  constexpr int64_t tile = int64_t(kThreads) * kWidth<T, L> * kGroups<T, C>;
  launch(queue, map_kernel<T, C, L>, unsigned((call.size + tile - 1) / tile), kThreads, 0, call);
}

// May rows be read `width` elements at a time? Operands that repeat along them become `one`.
bool read_in_rows(Call& call, int width) {
  const Axes<3>& axes = call.axes;
  const int last = axes.count - 1;
  bool rows = call.flat || (last >= 0 && axes.size[last] % width == 0);
  for (int k = 0; k < call.arity && rows; ++k) {
    const Operand& x = call.in[k];
    if (x.way != Way::vectors) continue;
    const bool repeats = !call.flat && axes.stride[k][last] == 0;
    if (repeats) continue;
    const size_t unit = std::min<size_t>(16, size_t(width) * size_of(x.dtype));
    rows =
        reinterpret_cast<uintptr_t>(x.data) % unit == 0 && (call.flat || axes.stride[k][last] == 1);
    for (int i = 0; i < last && !call.flat; ++i) rows = rows && axes.stride[k][i] % width == 0;
  }
  for (int k = 0; k < call.arity && rows && !call.flat; ++k)
    if (call.in[k].way == Way::vectors && axes.stride[k][last] == 0) call.in[k].way = Way::one;
  return rows;
}

// By the widest layout that the operands allow.
template <class T, Class C>
void start(Call& call, CudaQueue& queue) {
  if constexpr (!kOneEach<T, C>) {
    if (read_in_rows(call, kWidth<T, Layout::rows>)) {
      if constexpr (C == Class::light)
        if (call.flat) return start<T, C, Layout::flat>(call, queue);
      return start<T, C, Layout::rows>(call, queue);
    }
  }
  start<T, C, Layout::strided>(call, queue);
}

template <class T>
void start(Call& call, CudaQueue& queue) {
  switch (class_of(call.op)) {
    case Class::light: return start<T, Class::light>(call, queue);
    case Class::heavy: return start<T, Class::heavy>(call, queue);
    case Class::cast: return start<T, Class::cast>(call, queue);
  }
}

void single(const Map& op, const Args& args, CudaQueue& queue) {
  const array& out = args.out[0];
  const Map::Step& step = op.steps.back();
  const bool cast = step.op == ElementOp::astype;
  const int arity = info(step.op).arity;
  const Dtype operand = op.dtype(step.from[size_t(arity - 1)]);
  std::array<Strides, 3> strides;
  strides.fill(Strides(out.shape().size(), 0));
  std::array<Operand, 3> in{};
  bool flat = true;
  for (size_t k = 0; k < size_t(arity); ++k) {
    const size_t r = step.from[k], inputs = op.inputs.size();
    if (r >= inputs) {
      const Map::Constant& c = op.constants[r - inputs];
      in[k] = {nullptr, constant_lane(c, operand), Way::constant, c.dtype};
      continue;
    }
    const array& x = args.in[r];
    strides[k] = broadcast_strides(x.shape(), x.node().strides, out.shape());
    const bool one = x.size() == 1;
    in[k] = {queue.ptr<std::byte>(x), 0, one ? Way::one : Way::vectors, x.dtype()};
    flat = flat && (one || (x.shape() == out.shape() && row_contiguous(x.shape(), strides[k])));
  }
  Call call{{in[0], in[1], in[2]}, queue.ptr<std::byte>(out),    step.op, step.dtype, arity, flat,
            int64_t(out.size()),   Axes<3>(out.shape(), strides)};
  switch (lane(cast ? step.dtype : operand)) {
#define X(name, type, kinds) \
  case Lane::name: return start<math::lane_##name>(call, queue);
    HEARTH_LANES(X)
#undef X
  }
}

// One step, its result, and not the cast of a constant.
bool is_single(const Map& op) {
  return op.steps.size() == 1 && op.gives_last() &&
         (op.steps[0].op != ElementOp::astype || op.steps[0].from[0] < op.inputs.size());
}

}  // namespace

bool map_fits(const Primitive& op, std::span<const array> in) {
  const Map& map = static_cast<const Map&>(op);
  return is_single(map) || jit::fits(map, in);
}

namespace {
// A sum with what a norm gives, whose task waits: it becomes part of it.
bool joins_norm(const Map& op, const Args& args, CudaQueue& queue) {
  if (queue.tasks().empty() || op.steps[0].op != ElementOp::add || args.in.size() != 2)
    return false;
  const array& y = args.out[0];
  for (const array& x : args.in)
    if (x.shape() != y.shape() || x.dtype() != y.dtype() ||
        !row_contiguous(x.shape(), x.node().strides))
      return false;
  void* const address[] = {queue.ptr<void>(args.in[0]), queue.ptr<void>(args.in[1])};
  for (int i : {0, 1})
    if (queue.tasks().add_sum(address[i], address[1 - i], queue.ptr<void>(y), y.dtype(), y.size(),
                              args))
      return true;
  return false;
}
}  // namespace

void map(const Map& op, const Args& args, CudaQueue& queue) {
  if (is_single(op) && joins_norm(op, args, queue)) return;
  is_single(op) ? single(op, args, queue) : jit::run(op, args, queue);
}

}  // namespace hearth::cuda
