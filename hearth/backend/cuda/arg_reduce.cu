// argmax and argmin along any axis of any layout: the largest of keys that hold the element and,
// below it, the place from the end, so that of equals the first is found. NaN is first of all.
#include "hearth/backend/cuda/keys.cuh"
#include "hearth/backend/cuda/reduce.cuh"

namespace hearth::cuda {
namespace {

template <class T>
struct Place {
  static constexpr bool wide = sizeof(T) == 8;
  static constexpr bool kPieces = sizeof(T) == 2 || std::is_same_v<T, float>;
  struct Both {
    uint64_t key, from_end;
  };
  using Total = std::conditional_t<wide, Both, uint64_t>;
  using Part = Total;
  uint64_t flip;  // integers: bits to turn over; else whether the smallest is looked for

  __device__ Total identity() const { return Total{}; }
  __device__ Part lift(T x, int64_t i) const {
    const uint32_t from_end = ~uint32_t(i);
    Key<T> key;
    if constexpr (std::is_integral_v<T>) {
      key = T(x ^ T(flip));
    } else {
      bool nan;
      if constexpr (std::is_same_v<T, Complex>)
        nan = x.re != x.re || x.im != x.im;
      else
        nan = widen_(x) != widen_(x);
      key = order_key(x, true);
      key = nan ? ~Key<T>(0) : flip ? ~key : key;
    }
    if constexpr (wide)
      return {key, from_end};
    else
      return uint64_t(key) << 32 | from_end;
  }
  __device__ Total join(Total a, Total b) const {
    if constexpr (wide)
      return a.key > b.key || (a.key == b.key && a.from_end >= b.from_end) ? a : b;
    else
      return a >= b ? a : b;
  }
  __device__ Total widen(Part p) const { return p; }
  __device__ void store(void* out, int64_t i, Total t) const {
    uint64_t from_end;
    if constexpr (wide)
      from_end = t.from_end;
    else
      from_end = t;
    static_cast<uint32_t*>(out)[i] = ~uint32_t(from_end);
  }

 private:
  static __device__ auto widen_(T x) { return cuda::widen(x); }
};

}  // namespace

void arg_reduce(const ArgReduce& op, const Args& args, CudaQueue& queue) {
  const array& in = args.in[0];
  if (args.out[0].size() == 0) return;
  void* const out = queue.ptr<void>(args.out[0]);
  const ReducePlan plan = plan_reduce(queue.ptr<std::byte>(in), in, std::span(&op.axis, 1), true);
  const Dtype type = in.dtype();
  if (is_inexact(type))
    return visit(Types<float, float16_t, bfloat16_t, double, complex64_t>{}, type, op.name(),
                 [&]<class H>() {
                   using T = OnDevice<H>;
                   run_reduce<T>(queue, plan, out, Place<T>{!op.largest});
                 });
  const auto by_size = [&](auto bits) {
    using T = decltype(bits);
    const uint64_t sign = kind_of(type) == Kind::i ? uint64_t{1} << (8 * sizeof(T) - 1) : 0;
    run_reduce<T>(queue, plan, out, Place<T>{sign ^ (op.largest ? 0 : ~uint64_t{0})});
  };
  switch (size_of(type)) {
    case 1: return by_size(uint8_t{});
    case 2: return by_size(uint16_t{});
    case 4: return by_size(uint32_t{});
    default: return by_size(uint64_t{});
  }
}

}  // namespace hearth::cuda
