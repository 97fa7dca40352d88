// The clock of a card, measured on it: cycles of a multiprocessor against the card's time.
#include <algorithm>
#include <cmath>
#include <memory>

#include "hearth/backend/cuda/device.cuh"

namespace hearth::cuda {

namespace {

constexpr int64_t kSampleNs = 200'000;
constexpr int kMost = 500;  // samples a kernel, 0.1 s: a display of the card waits for it
// A timer that stands still ends here: half a second at 2 GHz.
constexpr int64_t kMostCycles = 1'000'000'000;

struct Span {
  int64_t cycles, ns;
};

__device__ int64_t now_ns() {
  int64_t t;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(t));
  return t;
}

// The timer moves in steps, of 32 ns to 1 us by card: spans begin and end where it moved.
__global__ void clock_kernel(Span* spans, int count) {
  const int64_t first = clock64();
  const auto moved_beyond = [&](int64_t ns) {
    int64_t now = now_ns();
    while (now <= ns && clock64() - first < kMostCycles) now = now_ns();
    return now;
  };
  int64_t ns = moved_beyond(now_ns()), cycles = clock64();
  for (int i = 0; i < count; ++i) {
    const int64_t end_ns = moved_beyond(ns + kSampleNs), end = clock64();
    spans[i] = {end - cycles, end_ns - ns};
    ns = end_ns, cycles = end;
  }
}

}  // namespace

std::vector<double> clock_mhz(int index, double seconds) {
  check_cuda(cudaSetDevice(card(index).index), "clock");
  cudaStream_t made = nullptr;  // beside what the queues do
  check_cuda(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "clock");
  const std::unique_ptr<CUstream_st, cudaError_t (*)(cudaStream_t)> stream(made, cudaStreamDestroy);
  void* memory = nullptr;
  check_cuda(cudaHostAlloc(&memory, kMost * sizeof(Span), cudaHostAllocDefault), "clock");
  const std::unique_ptr<void, cudaError_t (*)(void*)> owner(memory, cudaFreeHost);
  const Span* spans = static_cast<Span*>(memory);
  std::vector<double> samples;
  for (int64_t left = std::max<int64_t>(1, std::llround(seconds * 1e9 / double(kSampleNs)));
       left > 0; left -= kMost) {
    const int count = int(std::min<int64_t>(left, kMost));
    clock_kernel<<<1, 1, 0, made>>>(static_cast<Span*>(memory), count);
    check_cuda(cudaGetLastError(), "clock");
    check_cuda(cudaStreamSynchronize(made), "clock");
    for (int i = 0; i < count; ++i)
      if (spans[i].ns >= kSampleNs && spans[i].cycles > 0)
        samples.push_back(double(spans[i].cycles) / double(spans[i].ns) * 1e3);
  }
  return samples;
}

}  // namespace hearth::cuda
