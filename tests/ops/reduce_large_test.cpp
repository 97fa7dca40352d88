// Reductions, scans and sorting where work is cut into blocks, segments and tasks: exactness, the
// same bits for any number of threads and instruction set, and bad arguments.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/pool.h"
#include "hearth/ops/ops.h"

namespace hearth {
namespace {

/// (i * 7 + i / 11) % 13 - 6: small integers without a period that blocks share. Exact in any type.
int pattern(int64_t i) { return int((i * 7 + i / 11) % 13 - 6); }
array patterned(const Shape& shape, Dtype dtype) {
  std::vector<int> values(element_count(shape));
  for (size_t i = 0; i < values.size(); ++i) values[i] = pattern(int64_t(i));
  return astype(array(values.begin(), shape), dtype);
}
/// Over the middle axis of (a, n, b), by a plain loop: sum, maximum and where it first stands.
struct Expected {
  std::vector<int64_t> sum, max, at;
  Expected(int64_t a, int64_t n, int64_t b) {
    for (int64_t i = 0; i < a; ++i)
      for (int64_t j = 0; j < b; ++j) {
        int64_t total = 0, highest = -100, where = 0;
        for (int64_t k = 0; k < n; ++k) {
          const int v = pattern((i * n + k) * b + j);
          total += v;
          if (v > highest) highest = v, where = k;
        }
        sum.push_back(total), max.push_back(highest), at.push_back(where);
      }
  }
};

TEST(Reduce, SumsOfOnesAreExact) {
  EXPECT_EQ(sum(ones({8192}, float16)).item<float>(), 8192);
  EXPECT_EQ(sum(ones({1 << 25}, float32)).item<float>(), 1 << 25);
  EXPECT_EQ(sum(contiguous(ones({1 << 25}, float32))).item<float>(), 1 << 25);
  EXPECT_EQ(sum(contiguous(ones({1 << 13, 1 << 12}, float32)), 0).to_vector<float>(),
            std::vector<float>(1 << 12, 1 << 13));
  EXPECT_EQ(mean(ones({1000003}, bfloat16)).item<float>(), 1);
  EXPECT_EQ(mean(ones({1000003}, float16)).item<float>(), 1);  // their sum is beyond float16
  EXPECT_EQ(mean(ones({70000, 3}, bfloat16), 0).to_vector<float>(), std::vector<float>(3, 1));
}

TEST(Reduce, RoundsHalvesOnce) {
  // 2049 + 2^-14 lies above the middle of 2048 and 2050; as a float it would be the middle, and
  // round to 2048.
  std::vector<float> values(8193);
  values[0] = values[1] = 1024, values[4096] = 1, values[8192] = 0x1p-14f;
  EXPECT_EQ(sum(array(values.begin(), {8193}, float16)).item<float>(), 2050);
  // 2051 - 2^-14, below the middle of 2050 and 2052: and so is its negative.
  values[4096] = 3, values[8192] = -0x1p-14f;
  const array below(values.begin(), {8193}, float16);
  EXPECT_EQ(sum(below).item<float>(), 2050);
  EXPECT_EQ(sum(negative(below)).item<float>(), -2050);
}

TEST(Reduce, AnySizeAndLayoutOfManyElements) {
  // (a, n, b) over n: long rows, short rows, columns, and what crosses blocks of 4096 elements,
  // segments of 131072 and chunks of 512 and 1024 columns by one.
  const Shape shapes[] = {{1, 400000, 1}, {1, 131073, 1}, {3, 131072, 1}, {1, 4097, 1},
                          {700, 300, 1},  {20000, 3, 1},  {1, 3, 20000},  {1, 1000, 1025},
                          {2, 300, 513},  {1, 5000, 3},   {40, 129, 17},  {1, 1, 5000}};
  for (const Shape& s : shapes)
    for (Dtype dtype : {float32, float16, bfloat16, float64, int8, int32, int64, complex64}) {
      const array x = patterned(s, dtype);
      const Expected want(s[0], s[1], s[2]);
      SCOPED_TRACE(concat(dtype, " ", s));
      const auto same = [](const array& got, const std::vector<int64_t>& want) {
        const auto g = got.to_vector<double>();
        return std::equal(g.begin(), g.end(), want.begin(), want.end(),
                          [](double a, int64_t b) { return a == double(b); });
      };
      if (size_of(dtype) > 2 || dtype == int8) {
        EXPECT_TRUE(same(sum(x, 1), want.sum));
      }
      EXPECT_TRUE(same(max(x, 1), want.max));
      EXPECT_TRUE(same(argmax(x, 1), want.at));
      // The same memory seen backwards and with axes exchanged.
      EXPECT_TRUE(same(max(transpose(x, {2, 1, 0}), 1), [&] {
        std::vector<int64_t> t;
        for (int j = 0; j < s[2]; ++j)
          for (int i = 0; i < s[0]; ++i)
            t.push_back(want.max[size_t(i) * size_t(s[2]) + size_t(j)]);
        return t;
      }()));
      EXPECT_TRUE(same(min(negative(flip(x, 1)), 1), [&] {
        auto m = want.max;
        for (auto& v : m) v = -v;
        return m;
      }()));
    }
}

TEST(Reduce, OverTwoAxesApart) {
  const array x = patterned({30, 40, 50}, int32);
  const array want = sum(sum(x, 2), 0);
  EXPECT_TRUE(array_equal(sum(x, {0, 2}), want).item<bool>());
  EXPECT_TRUE(array_equal(sum(astype(x, float32), {0, 2}), astype(want, float32)).item<bool>());
  EXPECT_EQ(sum(x, {0, 2}, true).shape(), (Shape{1, 40, 1}));
}

TEST(Reduce, OfNothing) {
  const array none = zeros({3, 0}, float32);
  EXPECT_EQ(sum(none).item<float>(), 0);
  EXPECT_EQ(sum(none, 1).to_vector<float>(), (std::vector<float>{0, 0, 0}));
  EXPECT_EQ(sum(none, 0).shape(), (Shape{0}));
  EXPECT_EQ(prod(none, 1, true).to_vector<float>(), (std::vector<float>{1, 1, 1}));
  EXPECT_EQ(prod(zeros({0}, int8)).item<int>(), 1);
  EXPECT_TRUE(std::isnan(mean(none).item<float>()));
  EXPECT_EQ(mean(none).dtype(), float32);
  EXPECT_TRUE(all(none).item<bool>());
  EXPECT_FALSE(any(none).item<bool>());
  EXPECT_EQ(max(none, 0).size(), 0u);  // nothing is asked of the empty axis
  EXPECT_EQ(argmax(zeros({0, 3}), 1).size(), 0u);
  EXPECT_EQ(cumsum(none, 1).size(), 0u);
  EXPECT_EQ(sort(none, 0).size(), 0u);
  EXPECT_EQ(argsort(none).size(), 0u);
  EXPECT_EQ(softmax(none, -1).size(), 0u);
  EXPECT_EQ(topk(zeros({0}), 0).size(), 0u);
}

TEST(Reduce, OfAScalar) {
  const array x(3.0f);
  EXPECT_EQ(sum(x).item<float>(), 3);
  EXPECT_EQ(max(x).item<float>(), 3);
  EXPECT_EQ(argmax(x).item<int>(), 0);
  EXPECT_EQ(argmax(x).shape(), Shape{});
  EXPECT_EQ(softmax(x).item<float>(), 1);
  EXPECT_EQ(logsumexp(x).item<float>(), 3);
  EXPECT_EQ(median(x).item<float>(), 3);
  EXPECT_EQ(sum(array(true)).dtype(), int32);
}

template <class F>
std::string error_of(const F& f) {
  try {
    f();
  } catch (const std::logic_error& e) {
    return e.what();
  }
  return "none";
}

TEST(Reduce, SaysWhatIsWrong) {
  const array x = zeros({2, 0, 3});
  EXPECT_EQ(error_of([&] { max(x); }),
            "max: axis 1 of shape (2, 0, 3) is empty; there is no max of nothing");
  EXPECT_EQ(error_of([&] { argmin(x, 1); }), "argmin: axis 1 of shape (2, 0, 3) is empty");
  EXPECT_EQ(error_of([&] { sum(x, 3); }), "sum: axis 3 is out of range for 3 dimensions");
  EXPECT_EQ(error_of([&] { sum(x, {0, -3}); }), "sum: axis 0 is named twice");
  EXPECT_EQ(error_of([&] { logsumexp(x); }),
            "logsumexp: axis 1 of shape (2, 0, 3) is empty; there is no logsumexp of nothing");
  EXPECT_EQ(error_of([&] { partition(ones({4}), 4); }),
            "partition: kth 4 is out of range for 4 elements");
  EXPECT_EQ(error_of([&] { topk(ones({4}), 5); }), "topk: k 5 is out of range for 4 elements");
  EXPECT_EQ(error_of([&] { logcumsumexp(ones({4}, complex64)); }),
            "logcumsumexp: complex64 has no order of size; wanted a float");
}

/// Random bits as floats of the ordinary kind, some equal.
array random_floats(const Shape& shape) {
  std::mt19937 random(3);
  std::vector<float> values(element_count(shape));
  for (auto& v : values) v = float(int(random() % 200001) - 100000) * 0.001f;
  return array(values.begin(), shape);
}
std::string bytes_of(const array& a) {
  const array plain = contiguous(a);
  plain.eval();
  return {reinterpret_cast<const char*>(plain.host_bytes()), plain.nbytes()};
}
std::vector<std::string> results() {
  const array x = random_floats({300000}), rows = random_floats({50, 7000}),
              columns = random_floats({4000, 90});
  std::vector<std::string> all;
  for (Dtype dtype : {float32, bfloat16, float16, float64, complex64})
    for (const array& a : {x, rows, columns}) {
      const array b = astype(a, dtype);
      for (const array& r : {sum(b), sum(b, 0), sum(b, -1), prod(b, -1), mean(b), max(b, 0),
                             cumsum(b, 0), argmax(b), argmin(b, 0), sort(b, -1)})
        all.push_back(bytes_of(r));
      if (is_floating(dtype))
        for (const array& r : {softmax(b, -1), logsumexp(b, -1), softmax(b, 0)})
          all.push_back(bytes_of(r));
    }
  return all;
}

TEST(Reduce, SameBitsForAnyNumberOfThreads) {
  const int before = cpu::threads();
  cpu::set_threads(1);
  const auto want = results();
  for (int n : {2, 3, 5}) {
    cpu::set_threads(n);
    EXPECT_TRUE(results() == want) << n << " threads";
  }
  cpu::set_threads(before);
}

TEST(Reduce, SameBitsForAnyInstructionSet) {
  const cpu::Isa before = cpu::isa();
  const auto want = results();
  for (cpu::Isa level : cpu::isa_levels()) {
    cpu::set_isa(level);
    EXPECT_TRUE(results() == want) << cpu::to_string(level);
  }
  cpu::set_isa(before);
}

TEST(Scan, LongRowsAreCutWithoutATrace) {
  // 200001 elements: three parts of 65536 and a rest.
  const array x = patterned({2, 200001}, float32);
  const auto values = x.to_vector<float>();
  std::vector<float> sums, maxima(values);
  for (size_t row = 0; row < 2; ++row) {
    double total = 0;
    for (size_t i = 0; i < 200001; ++i) sums.push_back(float(total += values[row * 200001 + i]));
  }
  EXPECT_EQ(cumsum(x, 1).to_vector<float>(), sums);
  EXPECT_EQ(flip(cumsum(flip(x, 1), 1, true), 1).to_vector<float>(), sums);
  EXPECT_EQ(cumsum(astype(x, int64), 1).to_vector<float>(), sums);
  EXPECT_EQ(contiguous(transpose(cumsum(transpose(x), 0))).to_vector<float>(), sums);
  const array exclusive = cumsum(x, 1, false, false);
  EXPECT_EQ((exclusive + x).to_vector<float>(), sums);
}

TEST(Sort, OrdersLongRowsOfEveryDtype) {
  std::mt19937_64 random(5);
  for (int d = 0; d < kDtypes; ++d) {
    const Dtype dtype = Dtype(d);
    for (int n : {511, 512, 5000, 70000}) {
      SCOPED_TRACE(concat(dtype, " ", n));
      std::vector<float> values(static_cast<size_t>(n));
      for (auto& v : values) v = float(random() % 20001) - (kind_of(dtype) == Kind::u ? 0 : 10000);
      if (is_inexact(dtype)) values[7] = NAN, values[400] = INFINITY, values[401] = -INFINITY;
      const array x = astype(array(values.begin(), {n}), dtype);
      const array order = argsort(x);
      const auto places = order.to_vector<uint32_t>();
      const auto kept = astype(x, is_complex(dtype) ? float32 : float64).to_vector<double>();
      std::vector<uint32_t> want(values.size());
      std::iota(want.begin(), want.end(), 0u);
      std::stable_sort(want.begin(), want.end(), [&](uint32_t a, uint32_t b) {
        return std::isnan(kept[b]) ? !std::isnan(kept[a]) : kept[a] < kept[b];
      });
      EXPECT_EQ(places, want);
      EXPECT_TRUE(array_equal(sort(x), take(x, order), true).item<bool>());
    }
  }
}

TEST(Sort, RadixSeesAllDigits) {
  std::mt19937_64 random(6);
  std::vector<uint64_t> wide(5000);
  for (auto& v : wide) v = random();
  std::vector<uint64_t> want = wide;
  std::sort(want.begin(), want.end());
  EXPECT_EQ(sort(array(wide.begin(), {5000})).to_vector<uint64_t>(), want);
  std::vector<double> real(5000);
  for (auto& v : real) v = std::ldexp(double(random() >> 11) - 0x1p52, int(random() % 600) - 300);
  std::vector<double> ordered = real;
  std::sort(ordered.begin(), ordered.end());
  const array x(real.begin(), {5000}, float64);
  EXPECT_EQ(sort(x).to_vector<double>(), ordered);
  EXPECT_EQ(take(x, argsort(x)).to_vector<double>(), ordered);
}

TEST(Sort, PartitionsAroundTheKth) {
  const array x = random_floats({3, 1000});
  const array sorted = sort(x, 1);
  for (int kth : {0, 1, 500, 998, -1}) {
    const int at = kth < 0 ? kth + 1000 : kth;
    const array p = partition(x, kth, 1);
    EXPECT_TRUE(array_equal(sort(p, 1), sorted).item<bool>());
    const array pivot = take(sorted, array({at}, int32), 1);
    EXPECT_TRUE(array_equal(take(p, array({at}, int32), 1), pivot).item<bool>());
    EXPECT_TRUE(all(slice(p, {0, 0}, {3, at}) <= pivot).item<bool>());
    EXPECT_TRUE(all(slice(p, {0, at}, {3, 1000}) >= pivot).item<bool>());
    EXPECT_TRUE(array_equal(take_along_axis(x, argpartition(x, kth, 1), 1), p).item<bool>());
  }
  EXPECT_TRUE(
      array_equal(sort(topk(x, 10, 1), 1), slice(sorted, {0, 990}, {3, 1000})).item<bool>());
  EXPECT_TRUE(
      array_equal(sort(topk(transpose(x), 10, 0), 0), transpose(slice(sorted, {0, 990}, {3, 1000})))
          .item<bool>());
  EXPECT_EQ(topk(x, 3).shape(), (Shape{3}));
}

TEST(Softmax, LongAndExtremeRows) {
  const array x = random_floats({3, 51200});
  const auto values = x.to_vector<float>();
  const auto got = softmax(x, -1).to_vector<float>(), lse = logsumexp(x, -1).to_vector<float>();
  for (size_t row = 0; row < 3; ++row) {
    double sum = 0;
    for (size_t i = 0; i < 51200; ++i) sum += std::exp(double(values[row * 51200 + i]) - 100);
    EXPECT_NEAR(lse[row], std::log(sum) + 100, 1e-5);
    for (size_t i = row * 51200; i < (row + 1) * 51200; ++i) {
      const double want = std::exp(double(values[i]) - 100) / sum;
      // x - max is rounded to the last place of about 100: 4e-6 in the exponent.
      EXPECT_LE(std::abs(got[i] - want), 5e-6 * want + 1e-44) << i;  // and denormal results
    }
  }
  const float inf = INFINITY;
  const array far({-inf, 0.0f, 1e30f, -1e30f, 1e30f}, {5});
  EXPECT_EQ(softmax(far).to_vector<float>(), (std::vector<float>{0, 0, 0.5, 0, 0.5}));
  EXPECT_EQ(logsumexp(array({-inf, -inf}, {2})).item<float>(), -inf);
  EXPECT_EQ(logsumexp(array({0.0f, inf}, {2})).item<float>(), inf);
  EXPECT_TRUE(std::isnan(softmax(array({-inf, -inf}, {2})).to_vector<float>()[0]));
  EXPECT_TRUE(std::isnan(softmax(array({0.0f, NAN}, {2})).to_vector<float>()[0]));
  EXPECT_NEAR(log_softmax(array({1.0f, 3.0f}, {2})).to_vector<float>()[1], -0.126928, 1e-6);
}

}  // namespace
}  // namespace hearth
