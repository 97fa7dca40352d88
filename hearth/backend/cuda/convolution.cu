// Convolutions of halves by tensor cores: a product whose rows are what the kernel sees at a place,
// fetched from the input tap by tap and never written out.
#include <mma.h>

#include "hearth/backend/cuda/convolution.h"
#include "hearth/backend/cuda/device.cuh"

namespace hearth::cuda {
namespace {

constexpr int kThreads = 256, kRows = 128, kDepth = 32, kPitch = kDepth + 8, kStages = 3;

/// Over (N, H, W, C); of one axis H is 1.
template <class T>
struct Job {
  const T *x, *weight;  // weight (outputs, kernel_height, kernel_width, channels)
  T* y;
  int64_t places;  // of all images
  int height, width, channels, out_height, out_width, outputs, kernel_height, kernel_width;
  Sweep down, across;
};

/// 16 bytes, or zeros.
__device__ inline void fetch(void* to, const void* from, bool there) {
  const unsigned at = unsigned(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from),
               "r"(there ? 16 : 0)
               : "memory");
}

/// Elements of a stage: what is seen at kRows places, then weights.
template <int kColumns>
constexpr int kStage = (kRows + kColumns) * kPitch;

/// A tile of kRows places by kColumns outputs, 32 x kColumns / 2 to a warp; f32 sums.
template <class T, int kColumns>
__global__ void __launch_bounds__(kThreads) convolution_kernel(Job<T> job) {
  namespace wmma = nvcuda::wmma;
  constexpr int kAcross = kColumns / 32;  // fragments of a warp, 16 columns each
  constexpr int kLines = kThreads / 4;    // a thread fetches a piece of every kLines-th line
  extern __shared__ __align__(128) std::byte shared[];
  T* const ring = reinterpret_cast<T*>(shared);
  const int64_t m0 = int64_t(blockIdx.y) * kRows;
  const int n0 = int(blockIdx.x) * kColumns,
            k_all = job.kernel_height * job.kernel_width * job.channels;
  const int t = int(threadIdx.x), line = t / 4, piece = t % 4 * 8;

  // Where the thread's places begin to see.
  const T* image[kRows / kLines];
  int top[kRows / kLines], left[kRows / kLines];
#pragma unroll
  for (int i = 0; i < kRows / kLines; ++i) {
    const int64_t place = min(m0 + line + i * kLines, job.places - 1);
    const int64_t row = place / job.out_width, of = row / job.out_height;
    left[i] = int(place - row * job.out_width) * job.across.stride - job.across.low;
    top[i] = int(row - of * job.out_height) * job.down.stride - job.down.low;
    image[i] = job.x + of * job.height * job.width * job.channels;
  }
  // The piece that is fetched next: its place in the weights' rows, its tap and channel.
  int k = piece, channel = piece, down = 0, across = 0;
  const auto load = [&](int step) {
    T* const to = ring + step % kStages * kStage<kColumns> + line * kPitch + piece;
    while (channel >= job.channels) {
      channel -= job.channels;
      if (++across == job.kernel_width) across = 0, ++down;
    }
    const bool inside = k < k_all;
#pragma unroll
    for (int i = 0; i < kRows / kLines; ++i) {
      const int h = top[i] + down * job.down.kernel_dilation,
                w = left[i] + across * job.across.kernel_dilation;
      const bool there =
          inside && unsigned(h) < unsigned(job.height) && unsigned(w) < unsigned(job.width);
      fetch(to + i * kLines * kPitch,
            there ? image[i] + (int64_t(h) * job.width + w) * job.channels + channel : job.x,
            there);
    }
#pragma unroll
    for (int i = 0; i < kColumns / kLines; ++i) {
      const int column = n0 + line + i * kLines;
      const bool there = inside && column < job.outputs;
      fetch(to + (kRows + i * kLines) * kPitch,
            there ? job.weight + int64_t(column) * k_all + k : job.weight, there);
    }
    k += kDepth, channel += kDepth;
    asm volatile("cp.async.commit_group;" ::: "memory");
  };

  const int warp = t / 32, lane = t % 32, row = warp / 2 * 32, col = warp % 2 * (kColumns / 2);
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum[2][kAcross];
#pragma unroll
  for (auto& some : sum)
#pragma unroll
    for (auto& s : some) wmma::fill_fragment(s, 0.0f);
  for (int s = 0; s + 1 < kStages; ++s) load(s);
  for (int step = 0; step * kDepth < k_all; ++step) {
    asm volatile("cp.async.wait_group %0;" ::"n"(kStages - 2) : "memory");
    __syncthreads();  // all of it is there, and all have read the stage that is fetched next
    load(step + kStages - 1);
    const T* const a_rows = ring + step % kStages * kStage<kColumns> + row * kPitch;
    const T* const b_rows = ring + step % kStages * kStage<kColumns> + (kRows + col) * kPitch;
#pragma unroll
    for (int at = 0; at < kDepth; at += 16) {
      wmma::fragment<wmma::matrix_a, 16, 16, 16, T, wmma::row_major> a[2];
      wmma::fragment<wmma::matrix_b, 16, 16, 16, T, wmma::col_major> b[kAcross];
#pragma unroll
      for (int i = 0; i < 2; ++i)
        wmma::load_matrix_sync(a[i], a_rows + 16 * i * kPitch + at, kPitch);
#pragma unroll
      for (int j = 0; j < kAcross; ++j)
        wmma::load_matrix_sync(b[j], b_rows + 16 * j * kPitch + at, kPitch);
#pragma unroll
      for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < kAcross; ++j) wmma::mma_sync(sum[i][j], a[i], b[j], sum[i][j]);
    }
  }
  asm volatile("cp.async.wait_group 0;" ::: "memory");
  __syncthreads();
  float* const staged = reinterpret_cast<float*>(shared) + warp * 256;
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int j = 0; j < kAcross; ++j) {
      wmma::store_matrix_sync(staged, sum[i][j], 16, wmma::mem_row_major);
      __syncwarp();
      for (int e = lane; e < 256; e += 32) {
        const int64_t place = m0 + row + 16 * i + e / 16;
        const int output = n0 + col + 16 * j + e % 16;
        if (place < job.places && output < job.outputs)
          job.y[place * job.outputs + output] = narrow<T>(staged[e]);
      }
      __syncwarp();
    }
}

template <class T, int kColumns>
void start(CudaQueue& queue, const Job<T>& job) {
  constexpr size_t kBytes = kStages * kStage<kColumns> * sizeof(T);
  const auto kernel = convolution_kernel<T, kColumns>;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(kBytes)),
             "convolution");
  launch(queue, kernel,
         dim3(unsigned((job.outputs + kColumns - 1) / kColumns),
              unsigned((job.places + kRows - 1) / kRows)),
         kThreads, kBytes, job);
}

}  // namespace

bool convolution_fits(const Primitive& op, std::span<const array> in) {
  const auto& convolution = static_cast<const Convolution&>(op);
  const array &x = in[0], &w = in[1];
  const auto laid = [](const array& a) {
    return row_contiguous(a.shape(), a.node().strides) &&
           a.node().offset * int64_t(a.itemsize()) % 16 == 0 && a.size() > 0;
  };
  if ((x.dtype() != float16 && x.dtype() != bfloat16) || convolution.groups != 1 ||
      convolution.axes.size() > 2 || convolution.axes.empty() || x.shape(-1) % 8 != 0 || !laid(x) ||
      !laid(w))
    return false;
  for (const Sweep& axis : convolution.axes)
    if (axis.input_dilation != 1) return false;
  const Specs out = op.infer(in);
  const size_t places = element_count(out[0].shape) / size_t(w.shape(0));
  return w.size() < INT32_MAX && places > 0 && places < size_t(65535) * kRows;
}

void convolution(const Convolution& op, const Args& args, CudaQueue& queue) {
  const array &x = args.in[0], &w = args.in[1], &y = args.out[0];
  const bool flat = op.axes.size() == 1;
  visit(Types<float16_t, bfloat16_t>{}, x.dtype(), "convolution", [&]<class H>() {
    using T = OnDevice<H>;
    Job<T> job = {};
    job.x = queue.ptr<T>(x), job.weight = queue.ptr<T>(w), job.y = queue.ptr<T>(y);
    job.channels = x.shape(-1), job.outputs = w.shape(0);
    job.places = int64_t(y.size()) / job.outputs;
    job.height = flat ? 1 : x.shape(1), job.width = x.shape(-2);
    job.out_height = flat ? 1 : y.shape(1), job.out_width = y.shape(-2);
    job.kernel_height = flat ? 1 : w.shape(1), job.kernel_width = w.shape(-2);
    job.down = flat ? Sweep{} : op.axes[0], job.across = op.axes.back();
    job.outputs > 64 ? start<T, 128>(queue, job) : start<T, 64>(queue, job);
  });
}

}  // namespace hearth::cuda
