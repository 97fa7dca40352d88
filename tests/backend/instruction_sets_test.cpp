// Every instruction set of the machine: that its own kernels run, that halves are rounded as the
// scalar conversions round them, and that loops end where they should at any length.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <tuple>

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/cpu/map_loops.h"
#include "hearth/backend/cpu/products/kernels.h"
#include "hearth/ops/fast.h"
#include "hearth/ops/ops.h"

namespace hearth::cpu {
namespace {

class InstructionSet : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override { set_isa(GetParam()); }
  void TearDown() override { set_isa(isa_levels().back()); }
};

TEST(InstructionSets, EachHasKernelsOfItsOwn) {
  std::set<std::tuple<const void*, const void*, const void*>> kernels;
  for (Isa level : isa_levels()) {
    set_isa(level);
    EXPECT_EQ(isa(), level);
    kernels.emplace(&map_loops(), &kernels::blocked_kernels(float32),
                    &kernels::blocked_kernels(bfloat16));
  }
  set_isa(isa_levels().back());
  EXPECT_EQ(kernels.size(), isa_levels().size());
}

template <class T>
uint16_t bits_of(float v) {
  return T(v).bits;
}
template <class T>
float value_of(uint32_t bits) {
  T half;
  half.bits = uint16_t(bits);
  return float(half);
}
template <class F>
void for_halves(F&& f) {
  f.template operator()<float16_t>();
  f.template operator()<bfloat16_t>();
}

// Every upper half of a float with lower halves at and around the ties of both half types.
TEST_P(InstructionSet, HalvesAreRoundedToTheNearestAndTiesToEven) {
  const uint32_t lower[] = {0x0000, 0x0001, 0x0fff, 0x1000, 0x1001, 0x2fff, 0x3000,
                            0x3001, 0x5000, 0x7000, 0x7fff, 0x8000, 0x8001, 0xffff};
  std::vector<float> values;
  for (uint32_t upper = 0; upper < 0x10000; ++upper)
    for (uint32_t low : lower) values.push_back(std::bit_cast<float>(upper << 16 | low));
  const array x(values.begin(), {int(values.size())});
  for_halves([&]<class T>() {
    const array halves = astype(x, dtype_of<T>);
    const T* got = halves.data<T>();
    int wrong = 0;
    for (size_t i = 0; i < values.size() && wrong < 10; ++i) {
      const bool right =
          std::isnan(values[i]) ? std::isnan(float(got[i])) : got[i].bits == bits_of<T>(values[i]);
      if (!right)
        ADD_FAILURE() << to_string(dtype_of<T>) << " of " << values[i] << " is " << float(got[i]),
            ++wrong;
    }
  });
}

TEST_P(InstructionSet, HalvesAreWidenedExactly) {
  for_halves([]<class T>() {
    std::vector<uint16_t> bits(0x10000);
    for (size_t i = 0; i < bits.size(); ++i) bits[i] = uint16_t(i);
    const array halves = view(array(bits.begin(), {0x10000}), dtype_of<T>);
    for (const array& h : {halves, flip(contiguous(flip(halves)))}) {  // in vectors, one by one
      const array wide = astype(h, float32);
      const float* got = wide.data<float>();
      for (uint32_t i = 0; i < 0x10000; ++i) {
        const float want = value_of<T>(i);
        if (std::isnan(want))
          ASSERT_TRUE(std::isnan(got[i])) << i;
        else
          ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want)) << i;
      }
    }
  });
}

// The loops of elementwise programs at every length, and what lies after it untouched.
TEST_P(InstructionSet, LoadsAndStoresEndWhereTheyShould) {
  const Loops& loops = map_loops();
  constexpr size_t kMost = 70;
  for (int d = 0; d < kDtypes; ++d) {
    const auto dtype = Dtype(d);
    const size_t item = size_of(dtype), lane_size = kLaneSize[int(lane(dtype))];
    std::vector<std::byte> elements(kMost * item), whole(kMost * lane_size);
    for (size_t i = 0; i < kMost; ++i)
      store_element(elements.data() + i * item, dtype, float(i % 2 ? i : 0));
    loops.load[d](elements.data(), 1, whole.data(), kMost);
    for (size_t n = 0; n < kMost; ++n) {
      std::vector<std::byte> lanes(kMost * lane_size, std::byte{0x5a}),
          back(kMost * item, std::byte{0x5a});
      loops.load[d](elements.data(), 1, lanes.data(), n);
      loops.store[d](whole.data(), back.data(), n);
      EXPECT_EQ(std::memcmp(lanes.data(), whole.data(), n * lane_size), 0) << dtype << n;
      EXPECT_EQ(std::memcmp(back.data(), elements.data(), n * item), 0) << dtype << n;
      for (size_t i = n * lane_size; i < lanes.size(); ++i)
        ASSERT_EQ(lanes[i], std::byte{0x5a}) << dtype << n;
      for (size_t i = n * item; i < back.size(); ++i)
        ASSERT_EQ(back[i], std::byte{0x5a}) << dtype << n;
      // Every second, backwards, and one for all.
      if (2 * n > kMost) continue;
      std::vector<std::byte> apart(kMost * lane_size), last(kMost * lane_size),
          same(kMost * lane_size);
      loops.load[d](elements.data() + item, 2, apart.data(), n);
      loops.load[d](elements.data() + (kMost - 1) * item, -1, last.data(), n);
      loops.load[d](elements.data() + item, 0, same.data(), n);
      for (size_t i = 0; i < n; ++i) {
        const auto equal = [&](const std::vector<std::byte>& got, size_t of) {
          return !std::memcmp(got.data() + i * lane_size, whole.data() + of * lane_size, lane_size);
        };
        ASSERT_TRUE(equal(apart, 2 * i + 1) && equal(last, kMost - 1 - i) && equal(same, 1))
            << dtype << n;
      }
    }
  }
}

// Rows of every length up to some vectors, and around the unrolled loops, against sums in double.
TEST_P(InstructionSet, NormsOfRowsOfEveryLength) {
  std::vector<int> lengths{127, 128, 129, 255, 257};
  for (int n = 1; n <= 70; ++n) lengths.push_back(n);
  for (int n : lengths)
    for (Dtype dtype : {float32, float16, bfloat16, float64}) {
      std::vector<float> values, weights, shifts;
      for (int i = 0; i < 3 * n; ++i) values.push_back(float((i * 37 + i / 5) % 101) / 64 + 3);
      for (int i = 0; i < n; ++i)
        weights.push_back(float(i % 7 + 1) / 4), shifts.push_back(float(i % 5));
      const array x(values.begin(), {3, n}, dtype), w(weights.begin(), {n}, dtype),
          b(shifts.begin(), {n}, dtype);
      const auto xs = x.to_vector<double>();
      const auto layer = fast::layer_norm(x, w, b, 0.01f).to_vector<double>();
      const auto rms = fast::rms_norm(x, w, 0.01f).to_vector<double>();
      const double close = dtype == float16    ? 0x1p-10
                           : dtype == bfloat16 ? 0x1p-7
                           : dtype == float32  ? 2e-6
                                               : 1e-13;
      for (int row = 0; row < 3; ++row) {
        double mean = 0, squares = 0, variance = 0;
        for (int i = 0; i < n; ++i) mean += xs[size_t(row * n + i)] / n;
        for (int i = 0; i < n; ++i) {
          const double v = xs[size_t(row * n + i)];
          squares += v * v / n, variance += (v - mean) * (v - mean) / n;
        }
        for (int i = 0; i < n; ++i) {
          const auto at = size_t(row * n + i);
          const double want =
              (xs[at] - mean) / std::sqrt(variance + double(0.01f)) * weights[size_t(i)];
          const double of_rms = xs[at] / std::sqrt(squares + double(0.01f)) * weights[size_t(i)];
          ASSERT_NEAR(layer[at], want + shifts[size_t(i)], close * (3 * weights[size_t(i)] + 4))
              << dtype << " " << n;
          ASSERT_NEAR(rms[at], of_rms, close * (of_rms + 1)) << dtype << " " << n;
        }
      }
    }
}

TEST_P(InstructionSet, SoftmaxOfRowsOfEveryLength) {
  std::vector<int> lengths{4095, 4096, 4097};
  for (int n = 1; n <= 70; ++n) lengths.push_back(n);
  for (int n : lengths)
    for (Dtype dtype : {float32, float16, bfloat16, float64}) {
      std::vector<float> values;
      for (int i = 0; i < 3 * n; ++i)
        values.push_back(float((i * 29 + i / 3) % 97) / 8 - 20 - float(i / n) * 4);
      const array x(values.begin(), {3, n}, dtype);
      const auto xs = x.to_vector<double>(), soft = softmax(x, -1).to_vector<double>(),
                 lse = logsumexp(x, -1).to_vector<double>();
      const double close = dtype == float16    ? 0x1p-11
                           : dtype == bfloat16 ? 0x1p-8
                           : dtype == float32  ? 1e-6
                                               : 1e-13;
      for (int row = 0; row < 3; ++row) {
        double sum = 0;
        for (int i = 0; i < n; ++i) sum += std::exp(xs[size_t(row * n + i)]);
        ASSERT_NEAR(lse[size_t(row)], std::log(sum), close * std::abs(std::log(sum)) + 1e-12)
            << dtype << " " << n;
        for (int i = 0; i < n; ++i) {
          const double want = std::exp(xs[size_t(row * n + i)]) / sum;
          ASSERT_NEAR(soft[size_t(row * n + i)], want,
                      close * want * 1.01 + (dtype == float16 ? 0x1p-25 : 1e-30))
              << dtype << " " << n;
        }
      }
    }
}

INSTANTIATE_TEST_SUITE_P(Isa, InstructionSet,
                         testing::ValuesIn(isa_levels().begin(), isa_levels().end()),
                         [](const auto& info) { return std::string(to_string(info.param)); });

}  // namespace
}  // namespace hearth::cpu
