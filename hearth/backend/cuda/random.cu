// Random bits: Threefry2x32 with 20 rounds, the stream of backend/cpu/random.cpp bit for bit.
#include "hearth/backend/cuda/device.cuh"

namespace hearth::cuda {

namespace {

constexpr int kThreads = 256;

template <int r>
__device__ void round(uint32_t& x, uint32_t& y) {
  x += y;
  y = __funnelshift_l(y, y, r) ^ x;
}
__device__ uint2 threefry(uint32_t a, uint32_t b, uint32_t x, uint32_t y) {
  const uint32_t c = a ^ b ^ 0x1BD11BDAu;
  x += a, y += b;
  round<13>(x, y), round<15>(x, y), round<26>(x, y), round<6>(x, y);
  x += b, y += c + 1;
  round<17>(x, y), round<29>(x, y), round<16>(x, y), round<24>(x, y);
  x += c, y += a + 2;
  round<13>(x, y), round<15>(x, y), round<26>(x, y), round<6>(x, y);
  x += a, y += b + 3;
  round<17>(x, y), round<29>(x, y), round<16>(x, y), round<24>(x, y);
  x += b, y += c + 4;
  round<13>(x, y), round<15>(x, y), round<26>(x, y), round<6>(x, y);
  x += c, y += a + 5;
  return {x, y};
}

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
  const uint32_t *k = keys + at[0], partner = word < pairs ? uint32_t(half + word) : 0;
  const uint2 bits = threefry(k[0], k[step], uint32_t(word), partner);
  out += key * size;
  auto write = [&](int64_t place, uint32_t value) {
    uint8_t* to = out + place * 4;
    if (place * 4 + 4 <= size && reinterpret_cast<uintptr_t>(to) % 4 == 0) {
      *reinterpret_cast<uint32_t*>(to) = value;
    } else {
      for (int b = 0; b < 4 && place * 4 + b < size; ++b) to[b] = uint8_t(value >> 8 * b);
    }
  };
  write(word, bits.x);
  if (word < pairs) write(half + word, bits.y);
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
