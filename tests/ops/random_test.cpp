// Random numbers against what MLX draws from the same keys (tools/goldens_random.py), and the
// paper's test vectors.
#include "hearth/ops/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/pool.h"
#include "hearth/backend/threefry.h"
#include "hearth/core/eval.h"
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/reduce.h"
#include "tests/close.h"
#include "tests/ops/layouts.h"
#include "tests/shared.h"

namespace hearth {
namespace {

using nlohmann::json;
using testing::row_major_bytes;

Dtype dtype_named(const std::string& name) {
  for (int d = 0; d < kDtypes; ++d)
    if (short_name(Dtype(d)) == name) return Dtype(d);
  throw std::invalid_argument(name);
}

array drawn(const json& c) {
  const std::string fn = c["fn"];
  const json& a = c["args"];
  const array key = random::key(c["seed"]);
  const auto v = c["shape"].get<std::vector<int>>();
  const Shape shape(v.begin(), v.end());
  const Dtype dtype = a.contains("dtype") ? dtype_named(a["dtype"]) : float32;
  auto number = [&](const char* name) { return a[name].get<float>(); };
  if (fn == "split") return random::split(key, int(a["n"]));
  if (fn == "uniform") return random::uniform(number("low"), number("high"), shape, dtype, key);
  if (fn == "normal") return random::normal(shape, dtype, number("loc"), number("scale"), key);
  if (fn == "gumbel") return random::gumbel(shape, dtype, key);
  if (fn == "laplace") return random::laplace(shape, dtype, number("loc"), number("scale"), key);
  if (fn == "truncated_normal")
    return random::truncated_normal(array(number("low")), array(number("high")), shape, dtype, key);
  if (fn == "randint")
    return random::randint(a["low"].get<int>(), a["high"].get<int>(), shape, dtype, key);
  if (fn == "bernoulli") return random::bernoulli(array(number("p")), shape, key);
  if (fn == "permutation") return random::permutation(int(a["n"]), key);
  if (fn == "permute")
    return random::permutation(reshape(arange(int(element_count(shape))), shape), int(a["axis"]),
                               key);
  if (fn == "multivariate_normal") {
    const auto matrix = [&](const char* name) {
      std::vector<float> flat;
      for (const json& row : a[name])
        for (float v : row) flat.push_back(v);
      return array(flat.begin(), Shape{int(a[name].size()), int(flat.size() / a[name].size())});
    };
    return random::multivariate_normal(matrix("mean"), matrix("cov"), {4, 2}, float32, key);
  }
  if (fn == "sequence") {
    random::seed(c["seed"]);
    Arrays parts;
    for (int i = 0; i < 4; ++i) parts.push_back(random::uniform({3}));
    return concatenate(parts);
  }
  EXPECT_EQ(fn, "categorical");
  const array logits({0.1f, 1.0f, 2.0f, -1.0f, 3.0f, 0.0f, 0.5f, 0.0f}, {2, 4});
  if (a.contains("samples")) return random::categorical(logits, a["axis"], int(a["samples"]), key);
  if (a.contains("shape")) return random::categorical(logits, a["axis"], shape, key);
  return random::categorical(logits, int(a["axis"]), key);
}

TEST(Random, DrawsWhatMlxDraws) {
  const json cases = json::parse(std::ifstream(testing::source_path("tests/data/ops/random.json")));
  ASSERT_GT(cases.size(), 100u);
  for (const json& c : cases) {
    SCOPED_TRACE(concat(std::string(c["fn"]), " ", c["seed"].dump(), " ", c["args"].dump()));
    // Of so many integers MLX draws floats, which are not all of them.
    if (c["fn"] == "randint" && c["args"]["high"] > (1 << 24)) continue;
    array out = drawn(c);
    const auto shape = c["shape"].get<std::vector<int>>();
    ASSERT_EQ(out.shape(), Shape(shape.begin(), shape.end()));
    const Dtype dtype = out.dtype(), bits_as = out.itemsize() == 4 ? uint32 : uint16;
    const auto bits = c["out"].get<std::vector<int64_t>>();
    if (!is_floating(dtype)) {
      ASSERT_EQ(out.to_vector<int64_t>(), bits);
      continue;
    }
    const auto got = out.to_vector<double>();
    const auto want = view(array(bits.begin(), out.shape(), bits_as), dtype).to_vector<double>();
    // Uniform numbers are exact. What goes through erfinv or log differs in the last places, as
    // those functions' approximations do, and by what they cancel near 0.
    const bool exact = c["fn"] == "uniform" || c["fn"] == "sequence";
    // MLX draws truncated normals from uniform halves, and rounds each step.
    const double units = dtype == float32 ? 8 : c["fn"] == "truncated_normal" ? 8 : 2;
    const double step = units * testing::last_place(1, dtype);
    for (size_t i = 0; i < want.size(); ++i)
      ASSERT_LE(std::abs(got[i] - want[i]), exact ? 0 : step * std::max(1.0, std::abs(want[i])))
          << i;
  }
}

TEST(Random, BitsAreThreefrys) {
  // Random123's known answers for threefry2x32 with 20 rounds (kat_vectors).
  const uint32_t known[][6] = {
      // key, counter, result
      {0, 0, 0, 0, 0x6b200159, 0x99ba4efe},
      {~0u, ~0u, ~0u, ~0u, 0x1cb996fc, 0xbb002be7},
      {0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3, 0xc4923a9c, 0x483df7a0}};
  for (const auto& k : known) {
    uint32_t x = k[2], y = k[3];
    threefry(k[0], k[1], x, y);
    EXPECT_EQ(x, k[4]);
    EXPECT_EQ(y, k[5]);
  }
}

// MLX's stream: of n words the first half and the second come in pairs from the counters (i, half +
// i); one without a partner from (half - 1, 0). Blocks of 4,096 words of each half.
TEST(Random, StreamsOfEveryLengthCountAsMlx) {
  const uint32_t a = 7, b = 0xfedcba98;
  const array key = array({a, b}, {2}, uint32);
  const int threads = cpu::threads();
  const cpu::Isa before = cpu::isa();
  cpu::set_threads(3);
  for (cpu::Isa level : cpu::isa_levels()) {
    cpu::set_isa(level);
    for (int n : {1, 2, 3, 4, 5, 31, 8190, 8191, 8192, 8193, 8194, 16383, 16384, 16385, 30001}) {
      const auto got = random::bits({n}, 4, key).to_vector<uint32_t>();
      const uint32_t pairs = uint32_t(n) / 2, half = uint32_t(n) - pairs;
      for (uint32_t i = 0; i < half; ++i) {
        uint32_t x = i, y = i < pairs ? half + i : 0;
        threefry(a, b, x, y);
        ASSERT_EQ(got[i], x) << i << " of " << n;
        if (i < pairs) {
          ASSERT_EQ(got[half + i], y) << i << " of " << n;
        }
      }
    }
  }
  cpu::set_isa(before);
  cpu::set_threads(threads);
}

TEST(Random, NarrowBitsAreTheBytesOfWideOnes) {
  const array key = random::key(11);
  for (int n : {0, 1, 2, 3, 4, 5, 7, 8, 31, 40'000}) {
    SCOPED_TRACE(n);
    const array bytes = random::bits({n}, 1, key), halves = random::bits({n}, 2, key);
    ASSERT_EQ(bytes.dtype(), uint8);
    ASSERT_EQ(halves.dtype(), uint16);
    const std::string words = row_major_bytes(random::bits({(n + 3) / 4}, 4, key));
    EXPECT_EQ(row_major_bytes(bytes), words.substr(0, size_t(n)));
    const std::string more = row_major_bytes(random::bits({(n + 1) / 2}, 4, key));
    EXPECT_EQ(row_major_bytes(halves), more.substr(0, 2 * size_t(n)));
  }
}

TEST(Random, ManyKeysDrawWhatEachDrawsAlone) {
  const array keys = random::split(random::key(5), 6);
  for (const auto& [layout, some] : testing::layouts(reshape(keys, {2, 3, 2}))) {
    SCOPED_TRACE(layout);
    const array all = random::bits({5}, 2, some);
    ASSERT_EQ(all.shape(), (Shape{2, 3, 5}));
    std::string alone;
    for (const array& key : unstack(keys)) alone += row_major_bytes(random::bits({5}, 2, key));
    EXPECT_EQ(row_major_bytes(all), alone);
  }
}

TEST(Random, ManyThreadsDrawTheSame) {
  const int threads = cpu::threads();
  cpu::set_threads(1);
  const std::string alone = row_major_bytes(random::bits({100'001}, 4, random::key(2)));
  cpu::set_threads(4);
  EXPECT_EQ(row_major_bytes(random::bits({100'001}, 4, random::key(2))), alone);
  cpu::set_threads(threads);
}

TEST(Random, MomentsAreRight) {
  const int n = 1 << 20;
  const array key = random::key(9);
  auto moments = [](const array& x) {
    return std::pair(mean(x).item<float>(), std(x).item<float>());
  };
  const auto [u_mean, u_std] = moments(random::uniform({n}, key));
  EXPECT_NEAR(u_mean, 0.5, 0.002);  // 7 standard errors
  EXPECT_NEAR(u_std, std::sqrt(1.0 / 12), 0.002);
  const auto [g_mean, g_std] = moments(random::normal({n}, key));
  EXPECT_NEAR(g_mean, 0, 0.007);
  EXPECT_NEAR(g_std, 1, 0.007);
  const array u = random::uniform({n}, float16, key);
  EXPECT_LT(max(u).item<float>(), 1.0f);
  EXPECT_GE(min(u).item<float>(), 0.0f);
}

TEST(Random, GaussianVectorsHaveTheirCovariance) {
  const int n = 1 << 18;
  const array mean({3.0f, -1.0f}), cov({2.0f, 1.2f, 1.2f, 1.0f}, {2, 2});
  const array x =
      random::multivariate_normal(mean, cov, {n}, float32, random::key(4)) - mean;  // (n, 2)
  const auto got = (matmul(transpose(x), x) / float(n)).to_vector<float>();
  const auto want = cov.to_vector<float>();
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(got[i], want[i], 0.03) << i;  // 5 standard errors
  // A covariance for each of several means.
  const array many = broadcast_to(cov, {3, 1, 2, 2});
  EXPECT_EQ(
      random::multivariate_normal(zeros({4, 2}), many, {3, 4}, float32, random::key(4)).shape(),
      (Shape{3, 4, 2}));
}

// Half-open: `high` is never drawn, whatever rounding does, nor anything beyond.
TEST(Random, UniformStaysBelowItsUpperEnd) {
  const int n = 1 << 22;
  for (const auto& [low, high] : {std::pair{1.0f, 2.0f},
                                  {-1.0f, 1.0f},
                                  {0.0f, 1.0f},
                                  {-3.0f, 0.0f},
                                  {100.0f, 101.0f},
                                  {-2.0f, -1.0f}})
    for (Dtype d : {float32, float16, bfloat16}) {
      const array x = random::uniform(low, high, {n}, d, random::key(3));
      EXPECT_GE(min(x).item<float>(), low) << d << " " << low;
      EXPECT_LT(max(x).item<float>(), high) << d << " " << low;
      EXPECT_NEAR(mean(astype(x, float32)).item<float>(), (low + high) / 2,
                  0.02 * (high - low) + testing::last_place(high, d) / 2);
    }
  // Bounds further apart than the largest number.
  for (const auto& [most, d] : {std::pair{3e38f, float32}, {6e4f, float16}, {3e38f, bfloat16}}) {
    const array x = random::uniform(-most, most, {1 << 16}, d, random::key(4));
    EXPECT_TRUE(all(isfinite(x)).item<bool>()) << d;
    const array share = astype(x, float32) / most;
    EXPECT_NEAR(mean(share).item<float>(), 0, 0.02) << d;
    EXPECT_NEAR(hearth::std(share).item<float>(), std::sqrt(1 / 3.0), 0.01) << d;
  }
  // Bounds that broadcast, and one that is its own range.
  const array low({0.0f, 5.0f}), high({1.0f, 5.0f});
  const array x = random::uniform(low, high, {1000, 2}, float32, random::key(5));
  EXPECT_TRUE(all(slice(x, {0, 1}, {1000, 2}) == 5).item<bool>());
  EXPECT_LT(max(slice(x, {0, 0}, {1000, 1})).item<float>(), 1);
}

TEST(Random, IntegersOfAnyRangeAreAllDrawn) {
  const int n = 1 << 16;
  const auto moments = [](const array& x) {
    const array y = astype(x, float64);
    return std::pair(mean(y).item<double>(), hearth::std(y).item<double>());
  };
  struct Range {
    int64_t low, high;
    Dtype dtype;
  };
  for (const Range& r :
       {Range{0, INT32_MAX, int32}, Range{INT32_MIN, INT32_MAX, int32},
        Range{int64_t{1} << 40, (int64_t{1} << 40) + 1024, int64},
        Range{0, int64_t{1} << 32, uint32}, Range{-(int64_t{1} << 60), int64_t{1} << 60, int64},
        Range{16777216, 16777216 + 4, int32}, Range{-5, 20, int8}, Range{0, 256, uint8},
        Range{0, 1 << 24, int32}, Range{1 << 24, 1 << 25, int64},
        Range{0, 3 * (int64_t{1} << 61), uint64}}) {
    SCOPED_TRACE(concat(r.low, " to ", r.high, " as ", r.dtype));
    // Known bounds, and bounds that are computed: the same numbers.
    const array x = random::randint(array(r.low), array(r.high), {n}, r.dtype, random::key(6));
    const array y =
        random::randint(array(r.low) + 0, array(r.high) + 0, {n}, r.dtype, random::key(6));
    ASSERT_EQ(x.dtype(), r.dtype);
    EXPECT_TRUE(array_equal(x, y).item<bool>());
    const double low = double(r.low), high = double(r.high), range = high - low;
    EXPECT_GE(min(x).item<double>(), low);
    EXPECT_LT(max(x).item<double>(), std::nextafter(high, INFINITY));
    const auto [middle, spread] = moments(x);
    EXPECT_NEAR((middle - low + 0.5) / range, 0.5, 0.006);  // 5 standard errors
    EXPECT_NEAR(spread / range, std::sqrt(1 / 12.0),
                0.04 / std::sqrt(std::min(range, 100.0)) + 0.004);
    const array odd = astype(x % array(2, r.dtype), float32);
    if (range > 4) {
      EXPECT_NEAR(mean(odd).item<float>(), 0.5, 0.03);
    }
    if (range <= 1024) {  // every one
      std::vector<int64_t> values = x.to_vector<int64_t>();
      std::sort(values.begin(), values.end());
      values.erase(std::unique(values.begin(), values.end()), values.end());
      EXPECT_EQ(int64_t(values.size()), r.high - r.low);
    }
  }
  EXPECT_EQ(random::randint(7, 7, {3}, int32, random::key(1)).to_vector<int>(),
            (std::vector<int>{7, 7, 7}));
}

TEST(Random, TruncatedNormalsAreOfTheirInterval) {
  // Mean and deviation of a normal number in [a, b], by sums over its density.
  const auto moments = [](double a, double b) {
    const double near = std::max({a, -b, 0.0});  // the density is that over the density here
    a = std::max(a, -near - 12), b = std::min(b, near + 12);
    double share = 0, mean = 0, square = 0;
    const int n = 200000;
    for (int i = 0; i < n; ++i) {
      const double x = a + (b - a) * (i + 0.5) / n, w = std::exp((near * near - x * x) / 2);
      share += w, mean += w * x, square += w * x * x;
    }
    mean /= share;
    return std::pair(mean, std::sqrt(square / share - mean * mean));
  };
  const int n = 1 << 17;
  const double inf = INFINITY;
  for (const auto& [a, b] : {std::pair{8.0, 9.0},
                             {-9.0, -8.0},
                             {-1.0, 1.0},
                             {-inf, inf},
                             {0.0, inf},
                             {3.0, 3.5},
                             {5.0, inf},
                             {-inf, -20.0},
                             {2.5, 4.0},
                             {-0.5, 30.0},
                             {100.0, 101.0}})
    for (Dtype d : {float32, float16, bfloat16}) {
      SCOPED_TRACE(concat(a, " to ", b, " in ", d));
      const array low(float(a), float32), high(float(b), float32);
      const array x = random::truncated_normal(low, high, {n}, d, random::key(8));
      EXPECT_TRUE(all(isfinite(x)).item<bool>());
      EXPECT_GE(min(x).item<double>(), a);
      EXPECT_LE(max(x).item<double>(), b);
      const auto [want_mean, want_spread] = moments(a, b);
      // What is drawn is rounded: half a unit of the dtype.
      const double unit = testing::last_place(want_mean + want_spread, d);
      const array y = astype(x, float64);
      EXPECT_NEAR(mean(y).item<double>(), want_mean, 0.02 * want_spread + unit / 2);
      EXPECT_NEAR(hearth::std(y).item<double>(), want_spread, 0.02 * want_spread + unit);
      if (d != float32) continue;
      const array computed =
          random::truncated_normal(low + 0.0f, high + 0.0f, {n}, d, random::key(8));
      EXPECT_TRUE(array_equal(x, computed).item<bool>());
    }
}

// No logarithm of 0, no number beyond erfinv's range.
TEST(Random, EveryNumberIsFinite) {
  const int n = 1 << 23;
  for (Dtype d : {float32, float16, bfloat16}) {
    const array key = random::key(12);
    EXPECT_TRUE(all(isfinite(random::normal({n}, d, key))).item<bool>()) << d;
    EXPECT_TRUE(all(isfinite(random::gumbel({n}, d, key))).item<bool>()) << d;
    EXPECT_TRUE(all(isfinite(random::laplace({n}, d, key))).item<bool>()) << d;
  }
  // 50,000 times a normal number is mostly finite in f16, 50,000 times the root of 2 is not.
  const array x = random::normal({1000}, float16, 0, 50000, random::key(2));
  EXPECT_GT(sum(isfinite(x)).item<int>(), 700);
  EXPECT_TRUE(all(random::bernoulli(array(1.0f), {n}, random::key(3))).item<bool>());
  EXPECT_FALSE(any(random::bernoulli(array(0.0f), {n}, random::key(3))).item<bool>());
}

TEST(Random, SaysWhatIsWrong) {
  const array key = random::key(0);
  EXPECT_THROW(random::multivariate_normal(zeros({2}), eye(3), {}, float32, key),
               std::invalid_argument);
  EXPECT_THROW(random::multivariate_normal(zeros({3}), zeros({3}), {}, float32, key),
               std::invalid_argument);
  EXPECT_THROW(random::multivariate_normal(zeros({3}), eye(3), {}, float16, key),
               std::invalid_argument);
  EXPECT_THROW(random::bits({2}, 3, key), std::invalid_argument);
  EXPECT_THROW(random::bits({2}, 4, array({1, 2}, int32)), std::invalid_argument);
  EXPECT_THROW(random::uniform({2}, int32, key), std::invalid_argument);
  EXPECT_THROW(random::uniform(zeros({3}), ones({3}), {2}, float32, key), std::invalid_argument);
  EXPECT_THROW(random::randint(0, 5, {2}, float32, key), std::invalid_argument);
  EXPECT_THROW(random::bernoulli(array(1), key), std::invalid_argument);
  EXPECT_THROW(random::categorical(zeros({2, 3}), 2, key), std::out_of_range);
  EXPECT_THROW(random::categorical(zeros({2, 3}), -1, Shape{3}, key), std::invalid_argument);
}

}  // namespace
}  // namespace hearth
