// Random bits by Threefry: the stream of backend/cpu/random.cpp, bit for bit.
#include "hearth/backend/cuda/device.cuh"
#include "hearth/backend/threefry.h"

namespace hearth::cuda {

namespace {

constexpr int kThreads = 256;

// One pair of words for each thread. Of the n words of a key, i and half + i come from the counters
// (i, half + i); the one without a partner, if n is odd, from (half - 1, 0).
__global__ void __launch_bounds__(kThreads)
    random_kernel(const uint32_t* keys, int64_t step, const __grid_constant__ Axes<1> axes,
                  int64_t count, int64_t size, uint8_t* out) {
  const int64_t n = (size + 3) / 4, pairs = n / 2, half = n - pairs;
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count * half) return;
  const int64_t key = i / half, word = i - key * half;
  int64_t at[1];
  axes.offsets(key, at);
  const uint32_t* k = keys + at[0];
  uint32_t first = uint32_t(word), second = word < pairs ? uint32_t(half + word) : 0;
  threefry(k[0], k[step], first, second);
  out += key * size;
  auto write = [&](int64_t place, uint32_t value) {
    uint8_t* to = out + place * 4;
    if (place * 4 + 4 <= size && reinterpret_cast<uintptr_t>(to) % 4 == 0) {
      *reinterpret_cast<uint32_t*>(to) = value;
    } else {
      for (int b = 0; b < 4 && place * 4 + b < size; ++b) to[b] = uint8_t(value >> 8 * b);
    }
  };
  write(word, first);
  if (word < pairs) write(half + word, second);
}

}  // namespace

void random_bits(const RandomBits& op, const Args& args, CudaQueue& queue) {
  const array &keys = args.in[0], &out = args.out[0];
  const auto size = int64_t(element_count(op.shape)) * op.width;
  const Shape shape(keys.shape().begin(), keys.shape().end() - 1);
  const Strides& strides = keys.node().strides;
  const auto count = int64_t(element_count(shape));
  const int64_t threads = count * (((size + 3) / 4 + 1) / 2);
  if (threads == 0) return;
  launch(queue, random_kernel, unsigned((threads + kThreads - 1) / kThreads), kThreads, 0,
         queue.ptr<const uint32_t>(keys), strides.back(),
         Axes<1>(shape, {Strides(strides.begin(), strides.end() - 1)}), count, size,
         queue.ptr<uint8_t>(out));
}

}  // namespace hearth::cuda
