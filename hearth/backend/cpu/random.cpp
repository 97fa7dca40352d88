// Random bits by Threefry, compiled once per instruction set: the loop is plain, compilers
// vectorise it.
#include "hearth/backend/cpu/isa.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hearth/backend/cpu/random.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "hearth/backend/cpu/copy.h"
#include "hearth/backend/cpu/movement.h"
#include "hearth/backend/pool.h"
#include "hearth/backend/threefry.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {

// Words first + i and second + i of a stream of `n` counter pairs, i in [0, n).
HWY_ATTR void threefry(const uint32_t* key, uint32_t counter, uint32_t partner, int64_t n,
                       uint32_t* HWY_RESTRICT first, uint32_t* HWY_RESTRICT second) {
  const uint32_t a = key[0], b = key[1];
  for (int64_t i = 0; i < n; ++i) {
    uint32_t x = counter + uint32_t(i), y = partner + uint32_t(i);
    hearth::threefry(a, b, x, y);
    first[i] = x, second[i] = y;
  }
}

}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth::cpu {

HEARTH_EXPORT(threefry);

// MLX's stream of `size` bytes: n = ceil(size / 4) words, of which i and n' + i, n' = ceil(n / 2),
// come from the counters (i, n' + i); the one without a partner, if n is odd, from (n' - 1, 0).
static void stream(const uint32_t* key, std::byte* out, int64_t size) {
  const int64_t n = (size + 3) / 4, pairs = n / 2, half = n - pairs;
  constexpr int64_t kBlock = 4096;  // words of each half, on the stack
  parallel_for((half + kBlock - 1) / kBlock, [&](int64_t block) {
    uint32_t words[2][kBlock];
    const int64_t start = block * kBlock, count = std::min(kBlock, pairs - start);
    auto write = [&](const uint32_t* from, int64_t at, int64_t many) {
      std::memcpy(out + at * 4, from, size_t(std::min(many * 4, size - at * 4)));
    };
    if (count > 0) {
      HEARTH_DISPATCH(threefry)
      (key, uint32_t(start), uint32_t(half + start), count, words[0], words[1]);
      write(words[0], start, count);
      write(words[1], half + start, count);
    }
    if (half > pairs && start + kBlock >= half) {
      HEARTH_DISPATCH(threefry)(key, uint32_t(pairs), 0, 1, words[0], words[1]);
      write(words[0], pairs, 1);
    }
  });
}

void random_bits(const RandomBits& op, const Args& args, CpuQueue&) {
  const array &keys = args.in[0], &out = args.out[0];
  const auto size = int64_t(element_count(op.shape)) * op.width;
  const int64_t step = keys.node().strides.back() * 4;
  Shape shape(keys.shape().begin(), keys.shape().end() - 1);
  Strides strides(keys.node().strides.begin(), keys.node().strides.end() - 1);
  std::byte* to = out.node().data();
  each_index<1>(shape, {strides}, [&](const std::array<int64_t, 1>& at) {
    const std::byte* from = keys.node().data() + at[0] * 4;
    const uint32_t key[] = {load<uint32_t>(from), load<uint32_t>(from + step)};
    stream(key, to, size);
    to += size;
  });
}

}  // namespace hearth::cpu
#endif
