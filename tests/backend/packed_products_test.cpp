// Products with packed weights against sums in f64 of what the weights mean, at every instruction
// set of the machine.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/cpu/products/kernels.h"
#include "hearth/backend/cpu/products/products.h"
#include "hearth/backend/pool.h"
#include "tests/packed.h"

namespace hearth::cpu {
namespace {

using hearth::testing::golden_packings;
using hearth::testing::GoldenPacking;
using hearth::testing::PackedMatrix;
using hearth::testing::random_packed;

std::vector<Packing> packings() {
  std::vector<Packing> all;
  for (int p = 1; p < kPackings; ++p) all.push_back(Packing(p));
  return all;
}

/// The weights in f32: scale * code + offset without the dtype of the scales between.
std::vector<float> weights_of(const PackedMatrix& m, int64_t out) {
  PackedMatrix exact = m;
  if (packing_info(m.packing).planes == 3 && m.scales != float32) {
    exact.scales = float32;
    for (size_t i = 1; i < 3; ++i) {
      const size_t n = m.planes[i].size() / 2;
      exact.planes[i].resize(n * 4);
      for (size_t j = 0; j < n; ++j) {
        uint16_t bits;
        std::memcpy(&bits, &m.planes[i][2 * j], 2);
        float16_t half;
        bfloat16_t brain;
        half.bits = brain.bits = bits;
        const float v = m.scales == float16 ? float(half) : float(brain);
        std::memcpy(&exact.planes[i][4 * j], &v, 4);
      }
    }
  }
  std::vector<float> w(size_t(out * m.in));
  unpack_rows(exact.matrix(), m.in, 0, out, w.data());
  return w;
}

/// Elements of a dtype, read and written as floats.
struct Values {
  Dtype dtype;
  std::vector<std::byte> data;
  Values(Dtype d, int64_t n, unsigned seed) : dtype(d), data(size_t(n) * size_of(d)) {
    std::mt19937 random(seed);
    for (int64_t i = 0; i < n; ++i) set(i, seed ? (float(random() % 4001) - 2000) / 1000 : -77.0f);
  }
  void set(int64_t i, float v) {
    visit(Types<float, float16_t, bfloat16_t>{}, dtype, "test", [&]<class T>() {
      const T t(v);
      std::memcpy(&data[size_t(i) * sizeof t], &t, sizeof t);
    });
  }
  double operator[](int64_t i) const {
    double v = 0;
    visit(Types<float, float16_t, bfloat16_t>{}, dtype, "test", [&]<class T>() {
      T t;
      std::memcpy(&t, &data[size_t(i) * sizeof t], sizeof t);
      v = double(float(t));
    });
    return v;
  }
  bool operator==(const Values& other) const { return data == other.data; }
};

double epsilon(Dtype d) { return d == float32 ? 0x1p-24 : d == float16 ? 0x1p-11 : 0x1p-8; }

struct PackedProducts : ::testing::TestWithParam<Isa> {
  Isa before = isa();
  int threads_before = threads();
  void SetUp() override { set_isa(GetParam()); }
  void TearDown() override { set_isa(before), set_threads(threads_before); }
};

RawMatrix in_int8(RawMatrix w) {
  w.int8 = true;
  return w;
}

Values product(const Values& x, const RawMatrix& w, int64_t m, int64_t n, int64_t k) {
  Values y(x.dtype, m * n, 0);
  const LinearJob layer{.weight = w, .n = n, .y = y.data.data(), .y_stride = n};
  linear(x.dtype, m, k, x.data.data(), k, {&layer, 1});
  return y;
}
Values product(Dtype dtype, const PackedMatrix& w, int64_t m, int64_t n, unsigned seed = 5) {
  return product(Values(dtype, m * w.in, seed), w.matrix(), m, n, w.in);
}

/// One rounding of each result, f32 sums, and, where many rows of bf16 meet panels of bf16, one
/// rounding of each weight.
void expect_product(const Values& y, const PackedMatrix& w, int64_t m, int64_t n,
                    unsigned seed = 5) {
  const std::vector<float> weights = weights_of(w, n);
  const Values x(y.dtype, m * w.in, seed);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double want = 0, magnitude = 0;
      for (int64_t p = 0; p < w.in; ++p) {
        const double term = x[i * w.in + p] * double(weights[size_t(j * w.in + p)]);
        want += term, magnitude += std::abs(term);
      }
      const double panels = y.dtype == bfloat16 && m > 32 ? 0x1p-9 : 0;
      ASSERT_NEAR(y[i * n + j], want,
                  epsilon(y.dtype) * std::abs(want) * 1.01 + 1e-7 +
                      (panels + 0x1p-24 * (4 + 0.05 * double(w.in))) * magnitude)
          << to_string(w.packing) << " " << to_string(y.dtype) << " m " << m << " n " << n << " k "
          << w.in << " at " << i << ", " << j;
    }
}

TEST_P(PackedProducts, AreTheSumsOfWhatTheWeightsMean) {
  for (const Packing packing : packings()) {
    const int64_t block = packing_info(packing).weights;
    for (const auto& [m, n, blocks] : std::vector<std::array<int64_t, 3>>{{1, 1, 1},
                                                                          {1, 37, 5},
                                                                          {2, 5, 3},
                                                                          {5, 13, 2},
                                                                          {6, 7, 1},
                                                                          {7, 12, 3},
                                                                          {31, 5, 1},
                                                                          {32, 9, 2},
                                                                          {33, 35, 3},
                                                                          {64, 3, 5}})
      for (const Dtype dtype : {float32, bfloat16, float16}) {
        const PackedMatrix w =
            random_packed(packing, n, blocks * block, unsigned(m), n % 2 ? bfloat16 : float16);
        expect_product(product(dtype, w, m, n), w, m, n);
      }
  }
}

// Sums that nobody writes would be what was on the stack.
[[gnu::noinline]] void leave_nan_on_the_stack() {
  volatile double all[1 << 15];
  for (volatile double& x : all) x = std::nan("");
}

TEST_P(PackedProducts, RowsOfNothingGiveTheBias) {
  for (const Packing packing : packings())
    for (const int64_t m : {1, 3, 40}) {
      const Values bias(float32, 5, 1);
      Values y(float32, m * 5, 0);
      const LinearJob layer{.weight = RawMatrix(packing, {}),
                            .n = 5,
                            .y = y.data.data(),
                            .y_stride = 5,
                            .bias = bias.data.data()};
      leave_nan_on_the_stack();
      linear(float32, m, 0, nullptr, 0, {&layer, 1});
      for (int64_t i = 0; i < m * 5; ++i) ASSERT_EQ(y[i], bias[i % 5]) << to_string(packing);
    }
}

TEST_P(PackedProducts, LongRowsAreReadInPieces) {
  for (const Packing packing : packings()) {
    // Beyond the scales that are read at once, by an odd number of short blocks too.
    for (const int64_t k : {int64_t{4096 + 5 * 256}, 8192 + packing_info(packing).weights}) {
      const PackedMatrix w = random_packed(packing, 6, k, 3, float32);
      for (const Dtype dtype : {float32, bfloat16})
        for (const int64_t m : {1, 2, 9, 40}) expect_product(product(dtype, w, m, 6), w, m, 6);
    }
  }
}

// Before they are rounded: sums of codes lose no more than f32 does.
TEST_P(PackedProducts, CodesMeetRowsAsExactlyAsFloats) {
  int met = 0;
  for (const Packing packing : packings()) {
    if (!kernels::meets_codes(bfloat16, packing)) continue;
    ++met;
    const int64_t block = packing_info(packing).weights;
    for (const auto& [n, blocks] :
         std::vector<std::array<int64_t, 2>>{{1, 1}, {2, 2}, {4, 3}, {11, 9}, {37, 6}}) {
      const int64_t k = block * blocks, m = kernels::kCodeRows;
      const PackedMatrix w = random_packed(packing, n, k, unsigned(n));
      const std::vector<float> weights = weights_of(w, n);
      const Values x(bfloat16, m * k, 5);
      const int64_t row = kernels::laid_bytes(k) + 64;
      std::vector<std::byte> laid(size_t(m * row), std::byte{0xff});
      for (int64_t i = 0; i < m; ++i)
        kernels::lay(packing, &x.data[size_t(i * k * 2)], k, &laid[size_t(i * row)]);
      for (int rows = 1; rows <= m; ++rows) {
        std::vector<float> sums(size_t(rows * (n + 3)));
        kernels::dot_codes({rows, n, k, laid.data(), row, w.matrix(), sums.data(), n + 3});
        for (int64_t i = 0; i < rows; ++i)
          for (int64_t j = 0; j < n; ++j) {
            double want = 0, magnitude = 0;
            for (int64_t p = 0; p < k; ++p) {
              const double term = x[i * k + p] * double(weights[size_t(j * k + p)]);
              want += term, magnitude += std::abs(term);
            }
            ASSERT_NEAR(sums[size_t(i * (n + 3) + j)], want, 0x1p-20 * magnitude)
                << to_string(packing) << " rows " << rows << " n " << n << " k " << k;
          }
      }
    }
  }
  EXPECT_EQ(met > 0, kernels::meets_codes(bfloat16, Packing::q4_k));
}

TEST_P(PackedProducts, ARowIsTheSameInAnySmallBatchAndOnAnyThreads) {
  for (const Packing packing : packings()) {
    const int64_t k = packing_info(packing).weights * 3, n = 61;
    const PackedMatrix w = random_packed(packing, n, k, 9);
    for (const Dtype dtype : {float32, bfloat16}) {
      set_threads(1);
      const Values all = product(dtype, w, 32, n);
      for (const int64_t m : {1, 2, 3, 5, 6, 7, 8, 9, 13, 31})
        for (const int count : {1, 2, 3, 5}) {
          set_threads(count);
          const Values y = product(dtype, w, m, n);
          ASSERT_EQ(std::memcmp(y.data.data(), all.data.data(), y.data.size()), 0)
              << to_string(packing) << " " << to_string(dtype) << " m " << m;
        }
      const Values many = product(dtype, w, 50, n);
      for (const int count : {1, 3, 4}) {
        set_threads(count);
        ASSERT_TRUE(product(dtype, w, 50, n) == many) << to_string(packing);
      }
    }
  }
}

/// x in eight bits, 32 elements to a scale.
std::vector<double> rounded_to_int8(const Values& x, int64_t n) {
  std::vector<double> out;
  for (int64_t p = 0; p < n; p += 32) {
    float most = 0;
    for (int64_t i = 0; i < 32; ++i) most = std::max(most, std::abs(float(x[p + i])));
    const float scale = most / 127;
    for (int64_t i = 0; i < 32; ++i)
      out.push_back(scale > 0 ? std::nearbyint(float(x[p + i]) * (1 / scale)) * double(scale) : 0);
  }
  return out;
}

TEST_P(PackedProducts, FewRowsInInt8AreTheSumsOfWhatTheyWereRoundedTo) {
  int met = 0;
  for (const Packing packing : packings()) {
    const int64_t block = packing_info(packing).weights;
    for (const auto& [m, n, blocks] : std::vector<std::array<int64_t, 3>>{
             {1, 1, 1}, {1, 37, 5}, {2, 5, 3}, {5, 13, 2}, {7, 12, 3}, {32, 9, 2}, {33, 5, 1}})
      for (const Dtype dtype : {float32, bfloat16, float16}) {
        const int64_t k = blocks * block;
        const PackedMatrix w = random_packed(packing, n, k, unsigned(m));
        const Values x(dtype, m * k, 5), y = product(x, in_int8(w.matrix()), m, n, k);
        if (m > 32 || !kernels::meets_int8(packing)) {
          EXPECT_TRUE(y == product(dtype, w, m, n)) << to_string(packing);
          continue;
        }
        ++met;
        const std::vector<float> weights = weights_of(w, n);
        const std::vector<double> rounded = rounded_to_int8(x, m * k);
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < n; ++j) {
            double want = 0, magnitude = 0;
            for (int64_t p = 0; p < k; ++p) {
              const double term = rounded[size_t(i * k + p)] * double(weights[size_t(j * k + p)]);
              want += term, magnitude += std::abs(term);
            }
            ASSERT_NEAR(y[i * n + j], want,
                        epsilon(dtype) * std::abs(want) * 1.01 + 1e-7 + 0x1p-19 * magnitude)
                << to_string(packing) << " " << to_string(dtype) << " m " << m << " k " << k;
          }
      }
  }
  EXPECT_GT(met, 0);
}

TEST_P(PackedProducts, ARowInInt8IsTheSameInAnySmallBatchAndOnAnyThreads) {
  for (const Packing packing : packings()) {
    const int64_t k = packing_info(packing).weights * 3, n = 61;
    const PackedMatrix w = random_packed(packing, n, k, 9);
    set_threads(1);
    const Values x(bfloat16, 32 * k, 5), all = product(x, in_int8(w.matrix()), 32, n, k);
    for (const int64_t m : {1, 2, 3, 6, 7, 13, 31})
      for (const int count : {1, 2, 3}) {
        set_threads(count);
        const Values y = product(x, in_int8(w.matrix()), m, n, k);
        ASSERT_EQ(std::memcmp(y.data.data(), all.data.data(), size_t(m * n) * 2), 0)
            << to_string(packing) << " m " << m;
      }
  }
}

TEST_P(PackedProducts, Int8TakesZerosAndTellsWhatIsNoNumber) {
  for (const Packing packing : packings()) {
    const int64_t k = packing_info(packing).weights * 2, n = 5;
    const PackedMatrix w = random_packed(packing, n, k, 9);
    Values x(float32, k, 5);
    for (int64_t i = 0; i < k; ++i) x.set(i, 0);
    const Values none = product(x, in_int8(w.matrix()), 1, n, k);
    for (int64_t j = 0; j < n; ++j) EXPECT_EQ(none[j], 0) << to_string(packing);
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      x.set(k - 1, bad);
      const Values y = product(x, in_int8(w.matrix()), 1, n, k);
      for (int64_t j = 0; j < n; ++j)
        EXPECT_FALSE(std::isfinite(y[j])) << to_string(packing) << " " << bad;
    }
  }
}

TEST_P(PackedProducts, GatesBiasesResidualsAndDenseNeighboursAreAsOfDenseWeights) {
  const int64_t n = 29, k = 512;
  for (const Dtype dtype : {float32, bfloat16})
    for (const int64_t m : {1, 4, 7, 16, 40}) {
      const PackedMatrix up = random_packed(Packing::q4_k, n, k, 1);
      const PackedMatrix gate = random_packed(Packing::affine_4_64, n, k, 2);
      const Values x(dtype, m * k, 3), bias(dtype, n, 4), residual(dtype, m * n, 6),
          dense(dtype, n * k, 7);
      Values y(dtype, m * n, 0), beside(dtype, m * n, 0), alone = beside, mixed = y;
      const LinearJob layers[] = {
          {.weight = gate.matrix(),
           .n = n,
           .y = y.data.data(),
           .y_stride = n,
           .bias = bias.data.data(),
           .activation = Activation::silu,
           .residual = residual.data.data(),
           .residual_stride = n,
           .times = up.matrix(),
           .times_bias = bias.data.data()},
          {.weight = dense.data.data(), .n = n, .y = beside.data.data(), .y_stride = n},
          {.weight = dense.data.data(),
           .n = n,
           .y = mixed.data.data(),
           .y_stride = n,
           .times = up.matrix()}};
      linear(dtype, m, k, x.data.data(), k, layers);
      LinearJob one = layers[1];
      one.y = alone.data.data();
      linear(dtype, m, k, x.data.data(), k, {&one, 1});
      EXPECT_TRUE(beside == alone);
      const std::vector<float> w[] = {weights_of(gate, n), weights_of(up, n)};
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) {
          double sum[2] = {bias[j], bias[j]}, plain = 0, size = 0;
          for (int64_t p = 0; p < k; ++p) {
            for (int g = 0; g < 2; ++g) sum[g] += x[i * k + p] * double(w[g][size_t(j * k + p)]);
            plain += x[i * k + p] * dense[j * k + p];
            for (int g = 0; g < 2; ++g)
              size = std::max(size, std::abs(x[i * k + p] * double(w[g][size_t(j * k + p)])));
          }
          const double want = sum[0] / (1 + std::exp(-sum[0])) * sum[1] + residual[i * n + j];
          const double times = plain * (sum[1] - bias[j]);
          const double share = dtype == bfloat16 ? 0x1p-5 : 1e-4;
          EXPECT_NEAR(y[i * n + j], want, share * (std::abs(want) + std::abs(sum[1]) + 40 * size));
          EXPECT_NEAR(mixed[i * n + j], times,
                      share * (std::abs(times) + std::abs(plain) * size + std::abs(sum[1]) * 4));
        }
    }
}

TEST_P(PackedProducts, LayersOfSeveralPackingsShareOneInput) {
  for (const int64_t m : {1, 3, 33}) {
    const Packing kinds[] = {Packing::q6_k, Packing::q4_0, Packing::affine_8_32, Packing::nvfp4};
    const int64_t n[] = {33, 1, 600, 9}, k = 256;
    const Values x(bfloat16, m * k, 5);
    std::vector<PackedMatrix> w;
    std::vector<Values> y;
    std::vector<LinearJob> layers;
    for (size_t i = 0; i < 4; ++i) {
      w.push_back(random_packed(kinds[i], n[i], k, unsigned(i)));
      y.emplace_back(bfloat16, m * n[i], 0);
    }
    for (size_t i = 0; i < 4; ++i)
      layers.push_back(
          {.weight = w[i].matrix(), .n = n[i], .y = y[i].data.data(), .y_stride = n[i]});
    linear(bfloat16, m, k, x.data.data(), k, layers);
    for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(y[i] == product(bfloat16, w[i], m, n[i]));
  }
}

TEST_P(PackedProducts, GroupsHaveTheBitsOfLayersAlone) {
  const int64_t n = 21, k = 256, experts = 3;
  const PackedMatrix stacked = random_packed(Packing::ggml_mxfp4, experts * n, k, 4);
  const PackedMatrix other = random_packed(Packing::q6_k, experts * n, k, 8);
  for (const Dtype dtype : {bfloat16, float32}) {
    const int64_t rows[] = {1, 5, 40};
    std::vector<Values> x, y, z;
    std::vector<int64_t> order;
    for (int64_t i = 0; i < 40; ++i) order.push_back(39 - i);
    std::vector<LinearGroup> groups;
    for (size_t e = 0; e < 3; ++e) {
      x.emplace_back(dtype, rows[e] * k, unsigned(e + 1));
      y.emplace_back(dtype, 40 * n, 0);
      z.emplace_back(dtype, 40 * n, 0);
    }
    for (size_t e = 0; e < 3; ++e)
      for (auto* to : {&y[e], &z[e]})
        groups.push_back(
            {x[e].data.data(), rows[e], k, order.data(),
             LinearJob{
                 .weight = (to == &y[e] ? stacked : other).matrix().from_row(int64_t(e) * n, k),
                 .n = n,
                 .y = to->data.data(),
                 .y_stride = n}});
    linear_groups(dtype, k, groups);
    for (size_t e = 0; e < 3; ++e)
      for (const auto* w : {&stacked, &other}) {
        Values alone(dtype, rows[e] * n, 0);
        const LinearJob layer{.weight = w->matrix().from_row(int64_t(e) * n, k),
                              .n = n,
                              .y = alone.data.data(),
                              .y_stride = n};
        linear(dtype, rows[e], k, x[e].data.data(), k, {&layer, 1});
        for (int64_t i = 0; i < rows[e]; ++i)
          for (int64_t j = 0; j < n; ++j)
            ASSERT_EQ((w == &stacked ? y : z)[e][(39 - i) * n + j], alone[i * n + j]);
      }
  }
}

TEST_P(PackedProducts, DequantizeGivesTheValuesOfThePlainDefinition) {
  for (const GoldenPacking& g : golden_packings()) {
    const int64_t rows = int64_t(g.values.size()) / g.in;
    for (const Dtype dtype : {float32, bfloat16, float16}) {
      Values got(dtype, rows * g.in, 0), want(dtype, rows * g.in, 0), last(dtype, 2 * g.in, 0);
      for (size_t i = 0; i < g.values.size(); ++i) want.set(int64_t(i), g.values[i]);
      dequantize(g.matrix(), g.in, 0, rows, dtype, got.data.data());
      const int64_t listed[] = {rows - 1, 0};
      dequantize(g.matrix(), g.in, listed, dtype, last.data.data());
      for (int64_t i = 0; i < rows * g.in; ++i)
        ASSERT_TRUE(got[i] == want[i] || (std::isnan(got[i]) && std::isnan(want[i])))
            << to_string(g.packing) << " " << to_string(dtype) << " " << i << ": " << got[i]
            << " is not " << want[i];
      const size_t row = last.data.size() / 2;
      EXPECT_EQ(std::memcmp(last.data.data(), &got.data[got.data.size() - row], row), 0);
      EXPECT_EQ(std::memcmp(&last.data[row], got.data.data(), row), 0);
    }
  }
}

// Both halves of a gate, and groups, each in its own way.
TEST_P(PackedProducts, Int8AndFloatsStandSideBySide) {
  const int64_t n = 29, k = 512;
  const PackedMatrix gate = random_packed(Packing::q4_k, n, k, 1),
                     up = random_packed(Packing::affine_4_64, n, k, 2);
  for (const int64_t m : {1, 4, 9}) {
    const Values x(float32, m * k, 3);
    for (const bool first : {false, true})
      for (const bool second : {false, true}) {
        const RawMatrix a = first ? in_int8(gate.matrix()) : gate.matrix(),
                        b = second ? in_int8(up.matrix()) : up.matrix();
        const Values one = product(x, a, m, n, k), other = product(x, b, m, n, k);
        Values y(float32, m * n, 0), z(float32, m * n, 0);
        const LinearJob layer{.weight = a, .n = n, .y = y.data.data(), .y_stride = n, .times = b};
        linear(float32, m, k, x.data.data(), k, {&layer, 1});
        std::vector<int64_t> order;
        for (int64_t i = 0; i < m; ++i) order.push_back(m - 1 - i);
        const LinearJob alone{.weight = b, .n = n, .y = z.data.data(), .y_stride = n};
        const LinearGroup group{x.data.data(), m, k, order.data(), alone};
        linear_groups(float32, k, {&group, 1});
        for (int64_t i = 0; i < m * n; ++i) {
          EXPECT_EQ(float(y[i]), float(one[i]) * float(other[i]));
          EXPECT_EQ(z[(m - 1 - i / n) * n + i % n], other[i]);
        }
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, PackedProducts,
                         ::testing::ValuesIn(isa_levels().begin(), isa_levels().end()),
                         [](const auto& info) { return std::string(to_string(info.param)); });

}  // namespace
}  // namespace hearth::cpu
