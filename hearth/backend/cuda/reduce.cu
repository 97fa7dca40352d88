// Sum, prod, mean, max, min, all and any, over any axes of any layout. Floats are summed by few in
// f32 and further in f64; integers wrap in 64 bits.
#include "hearth/backend/cuda/reduce.cuh"

namespace hearth::cuda {
namespace {

using Kind = Reduce::Kind;

struct Pair {
  double re, im;
};
__device__ inline bool is_nan(float v) { return v != v; }
__device__ inline bool is_nan(double v) { return v != v; }
__device__ inline bool is_nan(Complex v) { return v.re != v.re || v.im != v.im; }

template <class T>
constexpr bool is_float =
    std::is_floating_point_v<T> || std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>;

/// Sums, and means where there is a divisor. Wide: 64-bit integers in f64, for means.
template <class T, bool Wide = false>
struct Sum {
  static constexpr bool real = is_float<T> || Wide, complex = std::is_same_v<T, Complex>;
  static constexpr bool kPieces = sizeof(T) <= 2 || std::is_same_v<T, float>;
  using Few = std::conditional_t<sizeof(T) <= 2, int, uint64_t>;
  using Part = std::conditional_t<complex, Complex,
                                  std::conditional_t<Wide || std::is_same_v<T, double>, double,
                                                     std::conditional_t<real, float, Few>>>;
  using Total = std::conditional_t<complex, Pair, std::conditional_t<real, double, uint64_t>>;
  double divisor;  // 0: none

  __device__ Total identity() const { return Total{}; }
  __device__ Part lift(T x, int64_t) const {
    if constexpr (complex)
      return x;
    else if constexpr (is_float<T>)
      return widen_(x);
    else
      return Part(x);
  }
  template <class A>
  __device__ A join(A a, A b) const {
    if constexpr (std::is_class_v<A>)
      return {a.re + b.re, a.im + b.im};
    else
      return a + b;
  }
  __device__ Total widen(Part p) const {
    if constexpr (complex)
      return {p.re, p.im};
    else if constexpr (std::is_same_v<Part, int>)
      return uint64_t(int64_t(p));
    else
      return p;
  }
  __device__ void store(void* out, int64_t i, Total t) const {
    if constexpr (complex) {
      if (divisor != 0) t = {t.re / divisor, t.im / divisor};
      static_cast<Complex*>(out)[i] = {float(t.re), float(t.im)};
    } else if constexpr (is_float<T>) {
      static_cast<T*>(out)[i] = narrow<T>(divisor != 0 ? t / divisor : t);
    } else if constexpr (Wide) {
      static_cast<float*>(out)[i] = float(t / divisor);
    } else if (divisor != 0) {
      static_cast<float*>(out)[i] = float(double(int64_t(t)) / divisor);
    } else {
      using Out = std::conditional_t<sizeof(T) < 8, uint32_t, uint64_t>;
      static_cast<Out*>(out)[i] = Out(t);
    }
  }

 private:
  static __device__ auto widen_(T x) { return cuda::widen(x); }
};

template <class T>
struct Product {
  static constexpr bool real = is_float<T>, complex = std::is_same_v<T, Complex>;
  static constexpr bool kPieces = sizeof(T) == 2 && real;
  using Total = std::conditional_t<complex, Pair, std::conditional_t<real, double, uint64_t>>;
  using Part = Total;

  __device__ Total identity() const {
    if constexpr (complex)
      return {1, 0};
    else
      return Total(1);
  }
  __device__ Part lift(T x, int64_t) const {
    if constexpr (complex)
      return {x.re, x.im};
    else if constexpr (real)
      return Part(cuda::widen(x));
    else
      return Part(x);
  }
  __device__ Total join(Total a, Total b) const {
    if constexpr (complex)
      return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    else
      return a * b;
  }
  __device__ Total widen(Part p) const { return p; }
  __device__ void store(void* out, int64_t i, Total t) const {
    if constexpr (complex) {
      static_cast<Complex*>(out)[i] = {float(t.re), float(t.im)};
    } else if constexpr (real) {
      static_cast<T*>(out)[i] = narrow<T>(t);
    } else {
      using Out = std::conditional_t<sizeof(T) < 8, uint32_t, uint64_t>;
      static_cast<Out*>(out)[i] = Out(t);
    }
  }
};

/// The largest. Others come as the largest of flipped elements: of integers the bits of `flip` are
/// turned over, which makes unsigned ones signed and reverses the order; floats are negated.
template <class T>
struct Largest {
  static constexpr bool whole = std::is_integral_v<T>, complex = std::is_same_v<T, Complex>;
  static constexpr bool kPieces = sizeof(T) <= 2 || std::is_same_v<T, float>;
  using Total = std::conditional_t<
      whole, std::conditional_t<sizeof(T) == 8, int64_t, int>,
      std::conditional_t<complex, Complex,
                         std::conditional_t<std::is_same_v<T, double>, double, float>>>;
  using Part = Total;
  int64_t flip;

  __device__ Total identity() const {
    if constexpr (whole)
      return Total(Total(1) << (8 * sizeof(Total) - 1));
    else if constexpr (complex)
      return {-INFINITY, -INFINITY};
    else
      return Total(-INFINITY);
  }
  __device__ Part lift(T x, int64_t) const {
    if constexpr (whole) {
      return Part(T(x ^ T(flip)));
    } else if constexpr (complex) {
      return flip ? Complex{-x.re, -x.im} : x;
    } else {
      const Part v = cuda::widen(x);
      return flip ? -v : v;
    }
  }
  /// NaN is the largest; of equals the first.
  __device__ Total join(Total a, Total b) const {
    if constexpr (whole) {
      return a >= b ? a : b;
    } else if constexpr (complex) {
      if (is_nan(a)) return a;
      return !is_nan(b) && (a.re > b.re || (a.re == b.re && a.im >= b.im)) ? a : b;
    } else {
      return a >= b || is_nan(a) ? a : b;
    }
  }
  __device__ Total widen(Part p) const { return p; }
  __device__ void store(void* out, int64_t i, Total t) const {
    if constexpr (whole)
      static_cast<T*>(out)[i] = T(T(t) ^ T(flip));
    else if constexpr (complex)
      static_cast<T*>(out)[i] = flip ? Complex{-t.re, -t.im} : t;
    else
      static_cast<T*>(out)[i] = narrow<T>(flip ? -t : t);
  }
};

/// Is any element nonzero; all: is none of them zero. `mask`: without the signs of floats.
template <class T>
struct Any {
  using Total = uint32_t;
  using Part = uint32_t;
  static constexpr bool kPieces = sizeof(T) == 1;
  T mask;
  uint32_t all;

  __device__ Total identity() const { return 0; }
  __device__ Part lift(T x, int64_t) const { return Part((x & mask) != 0) ^ all; }
  __device__ Total join(Total a, Total b) const { return a | b; }
  __device__ Total widen(Part p) const { return p; }
  __device__ void store(void* out, int64_t i, Total t) const {
    static_cast<uint8_t*>(out)[i] = uint8_t(t ^ all);
  }
};

/// bool as the byte that it is.
template <class H>
using Stored = std::conditional_t<std::is_same_v<H, bool>, uint8_t, OnDevice<H>>;

template <class F>
void by_size(size_t bytes, F&& f) {
  switch (bytes) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    default: return f(uint64_t{});
  }
}

}  // namespace

void reduce(const Reduce& op, const Args& args, CudaQueue& queue) {
  const array& in = args.in[0];
  if (args.out[0].size() == 0) return;
  void* const out = queue.ptr<void>(args.out[0]);
  const ReducePlan plan = plan_reduce(queue.ptr<std::byte>(in), in, op.axes, false);
  const Dtype type = in.dtype();
  switch (op.kind) {
    case Kind::mean:
    case Kind::sum: {
      double divisor = 0;
      if (op.kind == Kind::mean) divisor = plan.elements ? double(plan.elements) : NAN;
      if (divisor != 0 && type == int64)
        return run_reduce<int64_t>(queue, plan, out, Sum<int64_t, true>{divisor});
      if (divisor != 0 && type == uint64)
        return run_reduce<uint64_t>(queue, plan, out, Sum<uint64_t, true>{divisor});
      return visit(AllTypes{}, type, op.name(), [&]<class H>() {
        run_reduce<Stored<H>>(queue, plan, out, Sum<Stored<H>>{divisor});
      });
    }
    case Kind::prod:
      return visit(AllTypes{}, type, op.name(), [&]<class H>() {
        run_reduce<Stored<H>>(queue, plan, out, Product<Stored<H>>{});
      });
    case Kind::max:
    case Kind::min: {
      const bool least = op.kind == Kind::min;
      if (is_inexact(type))
        return visit(Types<float, float16_t, bfloat16_t, double, complex64_t>{}, type, op.name(),
                     [&]<class H>() {
                       run_reduce<OnDevice<H>>(queue, plan, out, Largest<OnDevice<H>>{least});
                     });
      return by_size(size_of(type), [&](auto bits) {
        using T = std::make_signed_t<decltype(bits)>;
        const uint64_t sign = uint64_t{1} << (8 * sizeof(T) - 1);
        const bool is_signed = kind_of(type) == hearth::Kind::i;
        run_reduce<T>(queue, plan, out,
                      Largest<T>{int64_t((is_signed ? 0 : sign) ^ (least ? ~uint64_t{0} : 0))});
      });
    }
    case Kind::all:
    case Kind::any:
      return by_size(size_of(type), [&](auto bits) {
        using T = decltype(bits);
        T mask = T(~T(0));
        if (is_floating(type)) mask = T(mask >> 1);
        if constexpr (sizeof(T) == 8)
          if (is_complex(type)) mask = 0x7fffffff7fffffff;
        run_reduce<T>(queue, plan, out, Any<T>{mask, op.kind == Kind::all});
      });
  }
}

}  // namespace hearth::cuda
