// Packed weights as dense ones, bit for bit what unpack_rows gives, rounded once.
#include "hearth/backend/cuda/copy.cuh"
#include "hearth/backend/cuda/dequantize.h"
#include "hearth/backend/cuda/device.cuh"
#include "hearth/backend/cuda/packed_formats.cuh"

namespace hearth::cuda {
namespace {

using namespace packed;

constexpr int kThreads = 256;

struct DequantizeJob {
  Pieces rows;               // where the first begins
  int64_t row_bytes[kMostPlanes];
  Scales scales;
  int64_t blocks, quarters;  // of a row, of all: four threads share a block
  void* out;
};

__device__ float rounded(float x, Dtype dtype) {
  if (dtype == float16) return widen(narrow<__half>(x));
  if (dtype == bfloat16) return widen(narrow<__nv_bfloat16>(x));
  return x;
}

template <class F>
__device__ float weight_of(__half code, Scale s, Dtype scales) {
  const float w = __fmul_rn(__half2float(code), s.scale);
  if constexpr (F::kPlanes == 3) return rounded(__fadd_rn(rounded(w, scales), s.offset), scales);
  return F::kOffset ? __fadd_rn(w, s.offset) : w;
}

template <class F, class T>
__global__ void __launch_bounds__(kThreads)
    dequantize_kernel(const __grid_constant__ DequantizeJob j) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= j.quarters) return;
  const int t = int(i % 4);
  const int64_t row = i / 4 / j.blocks;
  const int block = int(i / 4 - row * j.blocks);
  const Pieces p = {j.rows.codes + row * j.row_bytes[0], j.rows.scales + row * j.row_bytes[1],
                    j.rows.biases + row * j.row_bytes[2]};
  T* const to = static_cast<T*>(j.out) + i / 4 * F::kWeights + 4 * t;
  const auto sixteen = [&]<int I>() {
    const Codes c = F::template codes<I>(p.codes + int64_t(block) * F::kBytes, t);
    const Scale s = F::scale(p, j.scales, block, I * 16 / F::kGroup);
    const __half2 even = halves_of(c.even), odd = halves_of(c.odd);
    const auto value = [&](__half v) { return narrow<T>(weight_of<F>(v, s, j.scales.dtype)); };
    struct alignas(4 * sizeof(T)) Four {
      T x[4];
    };
    *reinterpret_cast<Four*>(to + 16 * I) = {value(__low2half(even)), value(__low2half(odd)),
                                             value(__high2half(even)), value(__high2half(odd))};
  };
  [&]<int... I>(std::integer_sequence<int, I...>) { (sixteen.template operator()<I>(), ...); }
  (std::make_integer_sequence<int, F::kWeights / 16>());
}

}  // namespace

void dequantize(const fast::Dequantize& op, const Args& args, CudaQueue& queue) {
  const array& out = args.out[0];
  if (out.size() == 0) return;
  const int64_t in = out.shape(-1), rows = int64_t(out.size()) / in;
  DequantizeJob job = {};
  job.scales = scales_of(op.packing, args.in.size() > 1 ? args.in[1].dtype() : float32);
  job.out = queue.ptr<void>(out);
  with_format(op.packing, [&]<class F>() {
    // Planes that are no rows side by side, or begin at an odd byte, are laid anew.
    const uint8_t* planes[kMostPlanes] = {};
    size_t copied = 0;
    const auto lies_well = [&](const array& a) {
      return row_contiguous(a.shape(), a.node().strides) &&
             reinterpret_cast<uintptr_t>(queue.ptr<void>(a)) % F::kAlign == 0;
    };
    for (const array& a : args.in)
      if (!lies_well(a)) copied += (a.nbytes() + 15) / 16 * 16;
    auto* copies = copied ? queue.scratch<uint8_t>(copied) : nullptr;
    for (size_t i = 0; i < args.in.size(); ++i) {
      const array& a = args.in[i];
      planes[i] = queue.ptr<const uint8_t>(a);
      if (!lies_well(a)) {
        copy_strided(queue, planes[i], a.node().strides, copies, row_major(a.shape()), a.shape(),
                     a.itemsize());
        planes[i] = std::exchange(copies, copies + (a.nbytes() + 15) / 16 * 16);
      }
      job.row_bytes[i] = int64_t(a.nbytes()) / rows;
    }
    job.rows = {planes[0], planes[1], planes[2]};
    job.blocks = in / F::kWeights, job.quarters = rows * job.blocks * 4;
    const auto blocks = unsigned((job.quarters + kThreads - 1) / kThreads);
    visit(Types<float16_t, bfloat16_t, float>{}, op.dtype, "dequantize", [&]<class E>() {
      launch(queue, dequantize_kernel<F, OnDevice<E>>, blocks, kThreads, 0, job);
    });
  });
}

}  // namespace hearth::cuda
