// Products against sums in f64 of the same rounded inputs, at every instruction set of the machine.
#include "hearth/backend/cpu/products/products.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/pool.h"

namespace hearth::cpu {
namespace {

struct IsaScope {
  Isa before = isa();
  explicit IsaScope(Isa level) { set_isa(level); }
  ~IsaScope() { set_isa(before); }
};
struct ThreadsScope {
  int before = threads();
  explicit ThreadsScope(int n) { set_threads(n); }
  ~ThreadsScope() { set_threads(before); }
};

template <class T>
using Wide = std::conditional_t<sizeof(T) == 8, double, float>;

/// Elements of a dtype that begin `shift` bytes off an aligned address.
class Values {
 public:
  Values(Dtype dtype, int64_t n, unsigned seed, int shift = 0, double scale = 1)
      : dtype_(dtype), shift_(shift), data_(size_t(n) * size_of(dtype) + 64 + size_t(shift)) {
    uint32_t random = seed;  // zeros' seed gives -77 everywhere, to see what is written
    visit(Floats{}, dtype, "test", [&]<class T>() {
      for (int64_t i = 0; i < n; ++i) {
        random = random * 1664525 + 1013904223;
        const double value = seed ? (double(random >> 8) * 0x1p-23 - 1) * 2 * scale : -77;
        const T v(static_cast<Wide<T>>(value));
        std::memcpy(data() + i * int64_t(sizeof v), &v, sizeof v);
      }
    });
  }
  std::byte* data() { return data_.data() + shift_; }
  const std::byte* data() const { return data_.data() + shift_; }
  const void* at(int64_t i) const { return data() + i * int64_t(size_of(dtype_)); }
  /// Elements [first, first + n) as doubles.
  std::vector<double> read(int64_t first, int64_t n) const {
    std::vector<double> values;
    visit(Floats{}, dtype_, "test", [&]<class T>() {
      for (int64_t i = first; i < first + n; ++i) {
        T v;
        std::memcpy(&v, at(i), sizeof v);
        values.push_back(double(static_cast<Wide<T>>(v)));
      }
    });
    return values;
  }
  double operator[](int64_t i) const { return read(i, 1)[0]; }
  void set(int64_t i, double value) {
    visit(Floats{}, dtype_, "test", [&]<class T>() {
      const T v(static_cast<Wide<T>>(value));
      std::memcpy(data() + i * int64_t(sizeof v), &v, sizeof v);
    });
  }
  bool operator==(const Values& other) const { return data_ == other.data_; }

 private:
  Dtype dtype_;
  int shift_;
  std::vector<std::byte> data_;
};

double activate(Activation a, double x) {
  switch (a) {
    case Activation::none: return x;
    case Activation::relu: return std::max(x, 0.0);
    case Activation::silu: return x / (1 + std::exp(-x));
    case Activation::gelu_approx:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::gelu: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  }
  return 0;
}

double epsilon(Dtype d) {
  return d == float64 ? 0x1p-53 : d == float32 ? 0x1p-24 : d == float16 ? 0x1p-11 : 0x1p-8;
}

/// |got - want| allowed: one rounding of the result (f16's smallest step below 6e-5), and the sum's
/// own error: lanes and blocks keep its growth far below k roundings of f32.
double tolerance(Dtype d, double want, double magnitude, int64_t k) {
  const double sum_eps = d == float64 ? 0x1p-53 : 0x1p-24;
  return epsilon(d) * std::abs(want) * 1.01 + (d == float16 ? 3e-8 : 0) +
         sum_eps * magnitude * (4 + 0.05 * double(k));
}

struct Case {
  int64_t m, n, k;
  bool a_columns = false,
       b_columns = false;  // stored transposed: (k, m), and (n, k) as weights are
  Activation activation = Activation::none;
  bool bias = false, residual = false;
  int shift = 0;       // bytes off alignment
  int64_t spread = 0;  // extra elements between rows
  int64_t step = 1;    // between elements of a row
  int64_t gap = 2;     // extra elements between rows of c and of the residual
};

std::string to_string(const Case& c) {
  return concat("m ", c.m, " n ", c.n, " k ", c.k, c.a_columns ? " a^T" : "",
                c.b_columns ? " b^T" : "", " activation ", int(c.activation), " shift ", c.shift,
                " spread ", c.spread, " step ", c.step);
}

/// Runs a case; with `want`, also compares with the sums in f64.
Values run(Dtype dtype, const Case& t, bool compare = true) {
  const auto stride = [&](int64_t length) { return length * t.step + t.spread; };
  const int64_t a_line = stride(t.a_columns ? t.m : t.k), b_line = stride(t.b_columns ? t.k : t.n);
  const double scale = t.k > 0 ? 1 / std::sqrt(double(t.k)) : 1;
  Values a(dtype, (t.a_columns ? t.k : t.m) * a_line, 1, t.shift);
  Values b(dtype, (t.b_columns ? t.n : t.k) * b_line, 2, t.shift, scale * 2);
  Values bias(dtype, t.n, 3, t.shift), residual(dtype, t.m * (t.n + t.gap), 4, t.shift);
  const int64_t c_row = t.n + t.gap;
  Values c(dtype, t.m * c_row, 0, t.shift);
  MatmulJob job{.dtype = dtype,
                .m = t.m,
                .n = t.n,
                .k = t.k,
                .a = a.data(),
                .a_row = t.a_columns ? t.step : a_line,
                .a_col = t.a_columns ? a_line : t.step,
                .b = b.data(),
                .b_row = t.b_columns ? t.step : b_line,
                .b_col = t.b_columns ? b_line : t.step,
                .c = c.data(),
                .c_row = c_row,
                .bias = t.bias ? bias.data() : nullptr,
                .activation = t.activation,
                .residual = t.residual ? residual.data() : nullptr,
                .residual_row = t.n + t.gap};
  matmul(job);
  if (!compare) return c;
  const auto av = a.read(0, (t.a_columns ? t.k : t.m) * a_line);
  const auto bv = b.read(0, (t.b_columns ? t.n : t.k) * b_line);
  const auto biasv = bias.read(0, t.n), residualv = residual.read(0, t.m * (t.n + t.gap));
  const auto cv = c.read(0, t.m * c_row);
  for (int64_t i = 0; i < t.m; ++i) {
    for (int64_t j = 0; j < t.n; ++j) {
      double sum = 0, magnitude = 0;
      for (int64_t p = 0; p < t.k; ++p) {
        const double term =
            av[size_t(i * job.a_row + p * job.a_col)] * bv[size_t(p * job.b_row + j * job.b_col)];
        sum += term;
        magnitude += std::abs(term);
      }
      if (t.bias) sum += biasv[size_t(j)], magnitude += std::abs(biasv[size_t(j)]);
      double want = activate(t.activation, sum);
      if (t.residual) {
        const double r = residualv[size_t(i * (t.n + t.gap) + j)];
        want += r;
        magnitude += std::abs(r);
      }
      const double got = cv[size_t(i * c_row + j)];
      if (!(std::abs(got - want) <= tolerance(dtype, want, magnitude, t.k))) {
        ADD_FAILURE() << to_string(dtype) << " " << to_string(t) << ": (" << i << ", " << j
                      << ") is " << got << ", want " << want;
        return c;
      }
    }
    for (int64_t j = t.n; j < c_row; ++j)
      EXPECT_EQ(cv[size_t(i * c_row + j)], -77) << to_string(t) << ": wrote beyond row " << i;
  }
  return c;
}

constexpr Dtype kDtypes4[] = {float32, float16, bfloat16, float64};

class MatmulTest : public testing::TestWithParam<Isa> {
  IsaScope scope_{GetParam()};
};

TEST_P(MatmulTest, ColumnsAndRowsOfEveryLayout) {
  for (Dtype dtype : kDtypes4)
    for (Case c : {Case{40, 1, 50}, {2, 1, 3}, {300, 1, 129}, {1, 2500, 5}, {8, 1100, 66}})
      for (int layout = 0; layout < 4; ++layout)
        for (int64_t step : {1, 2}) {
          c.a_columns = layout & 1;
          c.b_columns = layout & 2;
          c.residual = layout != 1;
          c.gap = 0;
          c.step = step;
          run(dtype, c);
        }
}

TEST_P(MatmulTest, OddSizes) {
  const std::vector<Case> cases = {
      {1, 1, 1},    {1, 1, 0},    {3, 5, 0},     {0, 5, 3},    {5, 0, 3},      {1, 7, 33},
      {2, 9, 31},   {3, 8, 65},   {4, 17, 127},  {5, 33, 16},  {6, 40, 100},   {7, 3, 1000},
      {8, 100, 47}, {9, 100, 47}, {13, 31, 29},  {14, 32, 64}, {15, 33, 65},   {29, 65, 383},
      {1, 1, 777},  {40, 1, 50},  {1, 300, 400}, {16, 1, 1},   {57, 300, 385}, {70, 50, 770},
  };
  for (Dtype dtype : kDtypes4)
    for (Case c : cases)
      for (int layout = 0; layout < 4; ++layout) {
        c.a_columns = layout & 1;
        c.b_columns = layout & 2;
        c.bias = layout % 3 == 0;
        c.residual = layout != 1;
        run(dtype, c);
      }
}

TEST_P(MatmulTest, AnyByteAlignment) {
  for (Dtype dtype : kDtypes4)
    for (int shift : {1, 2, 3, 6, 8, 34})
      for (int64_t m : {1, 4, 20})
        for (bool b_columns : {false, true})
          run(dtype, {.m = m,
                      .n = 37,
                      .k = 75,
                      .b_columns = b_columns,
                      .bias = true,
                      .residual = true,
                      .shift = shift});
}

TEST_P(MatmulTest, AnyStrides) {
  for (Dtype dtype : kDtypes4)
    for (int64_t step : {1, 2, 3})
      for (int64_t m : {1, 3, 20})
        for (int layout = 0; layout < 4; ++layout)
          run(dtype, {.m = m,
                      .n = 35,
                      .k = 41,
                      .a_columns = bool(layout & 1),
                      .b_columns = bool(layout & 2),
                      .spread = 5,
                      .step = step});
}

TEST_P(MatmulTest, LargerThanEveryBlock) {
  for (Dtype dtype : kDtypes4) {
    run(dtype, {.m = 2, .n = 1100, .k = 900, .b_columns = true, .bias = true});
    run(dtype, {.m = 31, .n = 530, .k = 901, .b_columns = true, .bias = true, .residual = true});
    run(dtype, {.m = 31, .n = 530, .k = 901, .a_columns = true});
  }
  run(float32, {.m = 1600, .n = 20, .k = 12});
}

TEST_P(MatmulTest, AroundTheLimits) {
  for (Dtype dtype : kDtypes4) {
    const int64_t size = int64_t(size_of(dtype));
    // Rows that are streamed six at a time, 32 in all, and added up six at most.
    for (int64_t m : {6, 7, 12, 13, 31, 32, 33})
      for (bool b_columns : {false, true})
        run(dtype, {.m = m, .n = 13, .k = 33, .b_columns = b_columns, .residual = true});
    // Four streams of w up to rows of 16 KB, then six; x is widened up to 8 KB.
    for (int64_t k : {(16 << 10) / size, (16 << 10) / size + 1, int64_t{2048}, int64_t{2049}})
      run(dtype, {.m = 1, .n = 25, .k = k, .b_columns = true, .bias = true});
    // Columns of a block: 2,048 for one row, 512 for more; 512 rows of w.
    for (int64_t n : {511, 512, 513, 1025}) {
      run(dtype, {.m = 4, .n = n, .k = 9});
      run(dtype, {.m = 2, .n = n, .k = 3, .b_columns = true});
    }
    for (int64_t n : {2047, 2048, 2049}) run(dtype, {.m = 1, .n = n, .k = 5, .bias = true});
    // Blocks of k: 1,536 bytes as packed; columns of a task; rows of a chunk.
    for (int64_t k : {191, 192, 193, 383, 384, 385, 767, 768, 769})
      run(dtype, {.m = 34, .n = 35, .k = k, .b_columns = true});
    for (int64_t n : {63, 64, 65, 255, 256, 257}) run(dtype, {.m = 33, .n = n, .k = 7});
  }
  for (int64_t m : {767, 768, 769, 1537}) run(float32, {.m = m, .n = 9, .k = 5, .residual = true});
}

TEST_P(MatmulTest, Activations) {
  for (Dtype dtype : kDtypes4)
    for (Activation a :
         {Activation::relu, Activation::silu, Activation::gelu_approx, Activation::gelu})
      for (int64_t m : {1, 12})
        run(dtype, {.m = m,
                    .n = 101,
                    .k = 64,
                    .b_columns = true,
                    .activation = a,
                    .bias = true,
                    .residual = true});
}

TEST_P(MatmulTest, ActivationsKeepTheirDigitsInTheTails) {
  for (Activation a :
       {Activation::relu, Activation::silu, Activation::gelu_approx, Activation::gelu}) {
    std::vector<float> bias, y(4001);
    for (int i = 0; i <= 4000; ++i) bias.push_back(float(i - 2000) * 0.0025f);
    const LinearJob layer{nullptr, 4001, y.data(), 4001, bias.data(), a};
    linear(float32, 1, 0, nullptr, 0, std::span(&layer, 1));
    for (int i = 0; i <= 4000; ++i) {
      // 1 + tanh in f64 is exact enough to 5 standard deviations; the exponent's rounding is the
      // limit
      const double want = activate(a, double(bias[size_t(i)]));
      EXPECT_NEAR(y[size_t(i)], want, 3e-6 * std::abs(want)) << int(a) << " of " << bias[size_t(i)];
    }
  }
}

TEST_P(MatmulTest, ActivationsOfInfinityAndNaN) {
  const float inf = INFINITY, bias[] = {inf, 1000, 3e38f, -1000, NAN};
  for (Activation a : {Activation::silu, Activation::gelu_approx, Activation::gelu}) {
    float y[5];
    const LinearJob layer{nullptr, 5, y, 5, bias, a};
    linear(float32, 1, 0, nullptr, 0, std::span(&layer, 1));
    EXPECT_EQ(y[0], inf);
    EXPECT_EQ(y[1], 1000);
    EXPECT_EQ(y[2], 3e38f);
    EXPECT_EQ(y[3], 0);
    EXPECT_TRUE(std::isnan(y[4]));
  }
}

TEST_P(MatmulTest, HalfRangesSurvive) {
  // Denormals, the largest value, infinities and NaN pass through widening and rounding.
  for (Dtype dtype : {float16, bfloat16}) {
    for (int64_t m : {1, 20}) {
      Values x(dtype, m, 1), w(dtype, 6, 1), y(dtype, m * 6, 0);
      for (int64_t i = 0; i < m; ++i) x.set(i, 1);
      const double big = dtype == float16 ? 65504 : 3.3895313892515355e38;
      const double small = dtype == float16 ? 0x1p-24 : 0x1p-126;  // vdpbf16ps flushes denormals
      const double in[] = {big, -big, small, INFINITY, -INFINITY, NAN};
      for (int j = 0; j < 6; ++j) w.set(j, in[j]);
      const LinearJob layer{w.data(), 6, y.data(), 6};
      linear(dtype, m, 1, x.data(), 1, std::span(&layer, 1));
      for (int64_t i = 0; i < m; ++i) {
        for (int j = 0; j < 5; ++j) EXPECT_EQ(y[i * 6 + j], in[j]);
        EXPECT_TRUE(std::isnan(y[i * 6 + 5]));
      }
    }
  }
}

TEST_P(MatmulTest, LayersShareOneInput) {
  for (Dtype dtype : kDtypes4)
    for (int64_t m : {1, 3, 11}) {
      const int64_t k = 70, n[] = {5, 0, 600, 33, 1, 2, 3, 4, 9};
      Values x(dtype, m * (k + 1), 1);
      std::vector<Values> w, y, alone;
      std::vector<LinearJob> layers;
      for (int64_t width : n) {
        w.emplace_back(dtype, width * k, 7, 2);
        y.emplace_back(dtype, m * width, 0);
        alone.emplace_back(dtype, m * width, 0);
      }
      for (size_t i = 0; i < w.size(); ++i) {
        layers.push_back({w[i].data(), n[i], y[i].data(), n[i]});
        if (i % 2) layers.back().activation = Activation::gelu_approx;
      }
      linear(dtype, m, k, x.data(), k + 1, layers);
      for (size_t i = 0; i < w.size(); ++i) {
        layers[i].y = alone[i].data();
        linear(dtype, m, k, x.data(), k + 1, std::span(&layers[i], 1));
        EXPECT_TRUE(y[i] == alone[i]);
      }
    }
}

TEST_P(MatmulTest, ResidualMayBeTheResult) {
  for (int64_t m : {1, 12}) {
    Values x(float16, m * 40, 1), w(float16, 30 * 40, 2), r(float16, m * 30, 3),
        y(float16, m * 30, 3);
    Values apart(float16, m * 30, 0);
    LinearJob layer{w.data(), 30, apart.data(), 30, nullptr, Activation::none, r.data(), 30};
    linear(float16, m, 40, x.data(), 40, std::span(&layer, 1));
    layer.y = y.data();
    layer.residual = y.data();
    linear(float16, m, 40, x.data(), 40, std::span(&layer, 1));
    EXPECT_TRUE(y == apart);
  }
}

TEST_P(MatmulTest, BatchesBroadcast) {
  for (int64_t batch : {1, 2, 7}) {
    const int64_t m = 6, n = 9, k = 20;
    Values a(float32, batch * m * k, 1), b(float32, k * n, 2), c(float32, batch * m * n, 0);
    std::vector<int64_t> a_at, c_at;
    for (int64_t i = 0; i < batch; ++i) a_at.push_back(i * m * k), c_at.push_back(i * m * n);
    MatmulJob job{.dtype = float32,
                  .m = m,
                  .n = n,
                  .k = k,
                  .a = a.data(),
                  .a_row = k,
                  .a_col = 1,
                  .b = b.data(),
                  .b_row = n,
                  .b_col = 1,
                  .c = c.data(),
                  .c_row = n};
    job.batch = batch;
    job.a_offsets = a_at.data();
    job.c_offsets = c_at.data();
    matmul(job);
    Values whole(float32, batch * m * n, 0);
    for (int64_t i = 0; i < batch; ++i) {
      MatmulJob one = job;
      one.batch = 1;
      one.a = a.at(i * m * k);
      one.c = whole.data() + i * m * n * 4;
      one.a_offsets = one.c_offsets = nullptr;
      matmul(one);
    }
    EXPECT_TRUE(c == whole);
  }
}

TEST_P(MatmulTest, SameBitsForAnyNumberOfThreads) {
  for (Dtype dtype : kDtypes4)
    for (const Case& c :
         {Case{.m = 1, .n = 1500, .k = 700, .b_columns = true},
          Case{.m = 5, .n = 700, .k = 333, .b_columns = true},
          Case{.m = 100, .n = 700, .k = 900, .b_columns = true}, Case{.m = 1, .n = 700, .k = 900},
          Case{.m = 900, .n = 1, .k = 900}, Case{.m = 900, .n = 40, .k = 500, .a_columns = true}}) {
      ThreadsScope one(1);
      const Values want = run(dtype, c, false);
      for (int n : {2, 3, 5}) {
        set_threads(n);
        EXPECT_TRUE(run(dtype, c, false) == want) << to_string(dtype) << " " << to_string(c);
      }
    }
}

TEST_P(MatmulTest, ARowIsTheSameInAnySmallBatch) {
  for (Dtype dtype : kDtypes4) {
    const int64_t n = 75, k = 333;
    Values x(dtype, 32 * k, 1), w(dtype, n * k, 2), one(dtype, 32 * n, 0);
    LinearJob layer{w.data(), n, nullptr, n};
    for (int64_t i = 0; i < 32; ++i) {
      layer.y = one.data() + i * n * int64_t(size_of(dtype));
      linear(dtype, 1, k, x.at(i * k), k, std::span(&layer, 1));
    }
    for (int64_t m : {2, 3, 4, 5, 6, 7, 8, 13, 32}) {
      Values y(dtype, m * n, 0);
      layer.y = y.data();
      linear(dtype, m, k, x.data(), k, std::span(&layer, 1));
      for (int64_t i = 0; i < m * n; ++i) ASSERT_EQ(y[i], one[i]) << to_string(dtype) << " " << m;
    }
  }
}

// How many runs of rows are read at once, and what is fetched ahead, follow from the processor.
TEST_P(MatmulTest, AnyProcessorGivesTheSameBits) {
  struct ProcessorScope {
    bool before = prefetches_runs();
    ~ProcessorScope() { set_prefetches_runs(before); }
  } scope;
  for (Dtype dtype : kDtypes4)
    for (const int64_t k : {1, 31, 333, 4100, 9000})  // short rows and long ones, with every rest
      for (const int64_t m : {1, 3}) {
        const Case c{.m = m, .n = 77, .k = k, .b_columns = true};
        set_prefetches_runs(false);
        const Values fetched = run(dtype, c);
        set_prefetches_runs(true);
        EXPECT_TRUE(run(dtype, c) == fetched) << to_string(dtype) << " " << to_string(c);
      }
}

INSTANTIATE_TEST_SUITE_P(Isa, MatmulTest,
                         testing::ValuesIn(isa_levels().begin(), isa_levels().end()),
                         [](const auto& info) { return std::string(to_string(info.param)); });

TEST(Isa, LevelsRiseFromPortableToTheBest) {
  ASSERT_FALSE(isa_levels().empty());
  EXPECT_EQ(isa_levels().front(), Isa::portable);
  EXPECT_THROW(isa_levels().back() < Isa::amx_bf16 ? set_isa(Isa::amx_bf16)
                                                   : throw std::invalid_argument("has all"),
               std::invalid_argument);
}

}  // namespace
}  // namespace hearth::cpu
