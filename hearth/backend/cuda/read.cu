// The limit of decoding, measured: reading memory and doing nothing else.
#include <algorithm>

#include "hearth/backend/cuda/device.cuh"

namespace hearth::cuda {

namespace {

__global__ void __launch_bounds__(512) read_kernel(const uint4* data, int64_t n, unsigned* sink) {
  constexpr int kAhead = 8;
  uint4 sum = {};
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i + (kAhead - 1) * step < n; i += kAhead * step) {
    uint4 v[kAhead];
    for (int a = 0; a < kAhead; ++a) v[a] = __ldcs(data + i + a * step);
    for (int a = 0; a < kAhead; ++a)
      sum.x ^= v[a].x, sum.y ^= v[a].y, sum.z ^= v[a].z, sum.w ^= v[a].w;
  }
  for (; i < n; i += step) {
    const uint4 v = data[i];
    sum.x ^= v.x, sum.y ^= v.y, sum.z ^= v.z, sum.w ^= v.w;
  }
  if ((sum.x ^ sum.y ^ sum.z ^ sum.w) == 0x9e3779b9u) atomicAdd(sink, 1u);  // never optimised away
}

}  // namespace

std::vector<double> read_gb_per_s(std::span<const array> arrays) {
  constexpr int kRounds = 9;
  size_t wanted = 0;
  for (const array& a : arrays) wanted += a.nbytes();
  // One piece of memory: a launch for each small array would be measured too. Large enough that
  // the cache holds little of it.
  const Card& c = card(default_device().index);
  const DeviceMemory memory = memory_of(c.index);
  const size_t bytes = std::min(std::max(wanted, size_t{1} << 30), memory.free / 2) / 16 * 16;
  CudaQueue queue(new_stream(default_device()));
  check_cuda(cudaDeviceSynchronize(), "read bandwidth");
  void* data = nullptr;
  check_cuda(cudaMalloc(&data, bytes), "read bandwidth");
  check_cuda(cudaMemsetAsync(data, 1, bytes, queue.stream()), "read bandwidth");
  cudaEvent_t start, end;
  check_cuda(cudaEventCreate(&start), "event");
  check_cuda(cudaEventCreate(&end), "event");
  unsigned* sink = queue.counters(1);
  std::vector<double> samples;
  for (int round = 0; round <= kRounds; ++round) {
    check_cuda(cudaEventRecord(start, queue.stream()), "event");
    launch(queue, read_kernel, unsigned(c.multiprocessors) * 4, 512, 0,
           static_cast<const uint4*>(data), int64_t(bytes / 16), sink);
    check_cuda(cudaEventRecord(end, queue.stream()), "event");
    check_cuda(cudaEventSynchronize(end), "read bandwidth");
    float ms = 0;
    check_cuda(cudaEventElapsedTime(&ms, start, end), "event");
    if (round > 0) samples.push_back(double(bytes) / 1e6 / double(ms));
  }
  cudaEventDestroy(start), cudaEventDestroy(end);
  cudaFree(data);
  return samples;
}

}  // namespace hearth::cuda
