// Convolutions against PyTorch's (tools/goldens_conv.py) and against the sum that defines them.
#include <cmath>
#include <fstream>

#include "hearth/backend/pool.h"
#include "hearth/transforms/grad.h"
#include "tests/gradients.h"
#include "tests/ops/fused.h"
#include "tests/shared.h"

namespace hearth::testing {
namespace {

using namespace fused;
using nlohmann::json;

// A parameter of a golden as a list of an axis each.
std::vector<int> list(const json& params, const char* name, size_t axes, int otherwise) {
  if (!params.contains(name)) return std::vector<int>(axes, otherwise);
  if (params[name].is_array()) return params[name];
  return std::vector<int>(axes, params[name].get<int>());
}

array run(const json& c, const array& x, const array& w) {
  const json& p = c["params"];
  const std::string op = c["op"];
  const size_t n = size_t(op[op.size() - 2] - '0');
  const auto s = list(p, "stride", n, 1), pad = list(p, "padding", n, 0),
             d = list(p, "dilation", n, 1), more = list(p, "output_padding", n, 0);
  const int groups = p.value("groups", 1);
  const auto two = [](const auto& v) { return std::pair(v[0], v[1]); };
  const auto three = [](const auto& v) { return std::tuple(v[0], v[1], v[2]); };
  if (op == "conv1d") return conv1d(x, w, s[0], pad[0], d[0], groups);
  if (op == "conv2d") return conv2d(x, w, two(s), two(pad), two(d), groups);
  if (op == "conv3d") return conv3d(x, w, three(s), three(pad), three(d), groups);
  if (op == "conv_transpose1d") return conv_transpose1d(x, w, s[0], pad[0], d[0], more[0], groups);
  if (op == "conv_transpose2d")
    return conv_transpose2d(x, w, two(s), two(pad), two(d), two(more), groups);
  return conv_transpose3d(x, w, three(s), three(pad), three(d), three(more), groups);
}

// The expected values are of f32 numbers, which halves round before and after.
Tolerance of_rounded(Dtype dtype) {
  return dtype == float16 || dtype == bfloat16 ? Tolerance{4, 1} : Tolerance{0, 0, 3e-6};
}

TEST(Conv, IsPyTorchsInEveryDtypeAndLayout) {
  std::ifstream file(source_path("tests/data/conv.json"));
  const json cases = json::parse(file);
  ASSERT_EQ(cases.size(), 10);
  for (const json& c : cases)
    for (Dtype dtype : {float32, float16, bfloat16, float64}) {
      const array x = astype(tensor(c["input"]), dtype), w = astype(tensor(c["weight"]), dtype),
                  want = astype(tensor(c["out"]), dtype);
      for (const array& in : layouts(x))
        for (const array& weight : layouts(w))
          expect_close(run(c, in, weight), want, of_rounded(dtype),
                       concat(c["op"].get<std::string>(), " ", dtype, " ", c["params"].dump()));
    }
}

struct Along {
  int n, k, stride, low, high, kernel_dilation, input_dilation;
  int places() const {
    return ((n - 1) * input_dilation + low + high - (k - 1) * kernel_dilation) / stride + 1;
  }
  // The element of the input that element t of the kernel meets at a place; -1: a zero.
  int meets(int place, int t) const {
    const int at = place * stride + t * kernel_dilation - low;
    return at < 0 || at % input_dilation != 0 || at / input_dilation >= n ? -1
                                                                          : at / input_dilation;
  }
};

TEST(Conv, IsTheSumThatDefinesIt) {
  const Along cases[][2] = {{{5, 3, 1, 0, 0, 1, 1}, {4, 2, 1, 0, 0, 1, 1}},
                            {{5, 3, 2, 1, 3, 1, 3}, {4, 2, 1, 0, 2, 2, 2}},
                            {{9, 3, 2, -2, -1, 1, 1}, {6, 1, 3, -1, 2, 1, 1}},
                            {{1, 1, 4, 0, 0, 3, 2}, {7, 3, 1, 2, -3, 2, 1}}};
  for (const auto& [r, c] : cases)
    for (bool flipped : {false, true})
      for (int groups : {1, 2}) {
        const int N = 2, C = 4, O = 6, c_in = C / groups, c_out = O / groups;
        const array x = numbers({N, r.n, c.n, C}, float32, 1),
                    w = numbers({O, r.k, c.k, c_in}, float32, 2);
        const auto xs = x.to_vector<double>(), ws = w.to_vector<double>();
        std::vector<double> want;
        for (int b = 0; b < N; ++b)
          for (int i = 0; i < r.places(); ++i)
            for (int j = 0; j < c.places(); ++j)
              for (int o = 0; o < O; ++o) {
                double sum = 0;
                for (int s = 0; s < r.k; ++s)
                  for (int t = 0; t < c.k; ++t)
                    for (int k = 0; k < c_in; ++k) {
                      const int row = r.meets(i, s), column = c.meets(j, t);
                      if (row < 0 || column < 0) continue;
                      const int channel = o / c_out * c_in + k;
                      const int ws_row = flipped ? r.k - 1 - s : s,
                                ws_column = flipped ? c.k - 1 - t : t;
                      sum += xs[size_t(((b * r.n + row) * c.n + column) * C + channel)] *
                             ws[size_t(((o * r.k + ws_row) * c.k + ws_column) * c_in + k)];
                    }
                want.push_back(sum);
              }
        const array got = conv_general(x, w, {r.stride, c.stride}, {r.low, c.low}, {r.high, c.high},
                                       {r.kernel_dilation, c.kernel_dilation},
                                       {r.input_dilation, c.input_dilation}, groups, flipped);
        expect_close(got, array(want.begin(), {N, r.places(), c.places(), O}, float32), {8, 1},
                     concat("stride ", r.stride, ", groups ", groups));
      }
}

// The CPU's kernels against the definition, which float64 goes by: channels that are no whole
// vector, several panels of outputs, several tasks, padding, gaps.
TEST(Conv, AndItsGradientsAreTheirDefinition) {
  struct Case {
    Shape x, w;
    int stride, padding, dilation;
  };
  const Case cases[] = {
      {{3, 9, 7, 5}, {37, 3, 3, 5}, 1, 0, 1},     {{2, 30, 29, 3}, {4, 3, 3, 3}, 1, 1, 1},
      {{1, 8, 8, 32}, {64, 1, 1, 32}, 1, 0, 1},   {{70, 6, 5, 2}, {33, 3, 2, 2}, 2, 1, 1},
      {{2, 11, 12, 1}, {32, 3, 3, 1}, 1, 0, 2},   {{1, 5, 600, 7}, {3, 2, 5, 7}, 3, 4, 2},
      {{40, 4, 4, 16}, {9, 4, 4, 16}, 1, 0, 1},   {{2, 50, 6}, {35, 4, 6}, 2, 3, 1},
      {{3, 2, 2, 600}, {40, 2, 2, 600}, 1, 1, 1}, {{0, 6, 6, 2}, {3, 3, 3, 2}, 1, 0, 1}};
  for (const Case& c : cases)
    for (const Dtype dtype : {float32, float16, bfloat16}) {
      const array x = numbers(c.x, dtype, 1), w = numbers(c.w, dtype, 2);
      const Function f = [&](const Arrays& in) {
        return Arrays{conv_general(in[0], in[1], {c.stride}, {c.padding}, {c.dilation})};
      };
      const array shape_of = f({x, w})[0];
      const array d = numbers(shape_of.shape(), dtype, 3);
      const Arrays wide{astype(x, float64), astype(w, float64)};
      const auto [got, slopes] = vjp(f, {x, w}, {d});
      const auto [want, wide_slopes] = vjp(f, wide, {astype(d, float64)});
      // Sums of f32 err with the number and size of what is added; halves are rounded once.
      const auto as_close = [&](const array& a, const array& b, double terms, const char* what) {
        const double size = 2e-6 * std::sqrt(terms);
        expect_close(a, astype(b, dtype), {1.01, 0, size},
                     concat(what, " of ", dtype, " ", c.x, " by ", c.w));
      };
      const double k = double(element_count(c.w)) / c.w[0];
      as_close(got[0], want[0], k, "values");
      as_close(slopes[0], wide_slopes[0], k * c.w[0], "slopes by the input");
      as_close(slopes[1], wide_slopes[1], double(d.size()) / c.w[0], "slopes by the weight");
    }
}

// Channels in multiples of 8, which a GPU's tensor cores take.
TEST(Conv, OfHalvesIsAsDefined) {
  struct Case {
    Shape x, w;
    std::vector<Sweep> axes;
  };
  const Case cases[] = {
      {{3, 70, 8}, {5, 3, 8}, {{.stride = 1, .low = 1, .high = 2}}},
      {{2, 9, 11, 24},
       {70, 3, 2, 24},
       {{.stride = 2, .low = 1, .high = 1}, {.kernel_dilation = 2}}},
      {{1, 16, 17, 40}, {130, 1, 1, 40}, {{}, {.stride = 3}}},
      {{2, 12, 7, 16}, {33, 3, 3, 16}, {{.low = -1, .high = 2}, {.low = 2, .high = -1}}},
      {{4, 20, 20, 64}, {64, 3, 3, 64}, {{.low = 1, .high = 1}, {.low = 1, .high = 1}}}};
  for (const Dtype dtype : {float16, bfloat16})
    for (const Case& c : cases) {
      const array x = fused::numbers(c.x, dtype), w = fused::numbers(c.w, dtype, 2);
      fused::expect_as_defined(std::make_shared<Convolution>(c.axes, 1), {x, w},
                               concat(dtype, " ", c.x, " by ", c.w));
    }
}

// Second derivatives go through the definitions.
TEST(Conv, HasSecondDerivatives) {
  const auto f = [](const Arrays& in) { return Arrays{conv2d(in[0], in[1], {2, 1}, {1, 0})}; };
  expect_gradients({"conv2d in f32",
                    f,
                    {scattered({1, 4, 3, 2}, 0, float32), scattered({3, 2, 2, 2}, 1, float32)}},
                   2e-2);
  expect_gradients({"conv2d", f, {scattered({1, 4, 3, 2}), scattered({3, 2, 2, 2}, 1)}});
}

TEST(Conv, HasTheSameBitsWithAnyNumberOfThreads) {
  const array x = numbers({40, 13, 12, 20}, float32, 1), w = numbers({70, 3, 3, 20}, float32, 2);
  const Function f = [](const Arrays& in) { return Arrays{conv2d(in[0], in[1], {1, 1}, {1, 1})}; };
  const int before = cpu::threads();
  std::vector<Arrays> results;
  for (const int threads : {1, 2, 5}) {
    cpu::set_threads(threads);
    const auto [y, slopes] = vjp(f, {x, w}, {ones({40, 13, 12, 70})});
    results.push_back({y[0], slopes[0], slopes[1]});
    eval(results.back());
  }
  cpu::set_threads(before);
  for (const Arrays& r : results)
    for (size_t i = 0; i < r.size(); ++i) EXPECT_TRUE(same_bits(r[i], results[0][i])) << i;
}

TEST(Conv, TakesOneValueForAllAxesAndNoRows) {
  const array x = numbers({1, 6, 6, 2}, float32), w = numbers({3, 3, 3, 2}, float32, 5);
  EXPECT_TRUE(same_bits(conv_general(x, w, {2}, {1}), conv2d(x, w, {2, 2}, {1, 1})));
  EXPECT_EQ(conv2d(zeros({0, 6, 6, 2}), w).shape(), Shape({0, 4, 4, 3}));
  EXPECT_EQ(conv2d(x, zeros({0, 3, 3, 2})).shape(), Shape({1, 4, 4, 0}));
  EXPECT_EQ(conv2d(astype(x, float16), astype(w, bfloat16)).dtype(), float32);
}

TEST(Conv, Refuses) {
  const array x = zeros({1, 6, 6, 4}), w = zeros({2, 3, 3, 4});
  const auto refused = [](auto f, const std::string& why) {
    try {
      f();
      ADD_FAILURE() << "nothing thrown, wanted: " << why;
    } catch (const std::invalid_argument& e) {
      EXPECT_NE(std::string(e.what()).find(why), std::string::npos) << e.what();
    }
  };
  refused([&] { conv1d(x, w); }, "conv1d: wanted an input of 3 axes, got (1, 6, 6, 4)");
  refused([&] { conv2d(x, zeros({2, 3, 3, 3})); }, "with 1 groups wants 3");
  refused([&] { conv2d(zeros({1, 4, 6, 6}), w); }, "(1, 4, 6, 6) has 6 channels (its last axis)");
  refused(
      [&] {
        conv2d(x, zeros({3, 3, 3, 2}), {1, 1}, {0, 0}, {1, 1}, 2);
      },
      "2 groups do not divide the 3 outputs");
  refused([&] { conv2d(x, w, {1, 1}, {0, 0}, {1, 1}, 0); }, "0 groups");
  refused([&] { conv2d(x, w, {0, 1}); }, "stride of 0");
  refused([&] { conv2d(x, w, {1, 1}, {0, 0}, {3, 1}); }, "does not fit");
  refused([&] { conv2d(x, zeros({2, 0, 3, 4})); }, "empty kernel");
  refused([&] { conv2d(astype(x, int32), astype(w, int32)); }, "floating");
  refused([&] { conv_general(x, w, {1, 1, 1}); }, "stride has 3 values, wanted 0, 1 or 2");
  refused([&] { conv_transpose2d(x, zeros({2, 3, 4})); }, "conv_transpose2d: wanted");
  EXPECT_THROW(conv2d(x, w, {1, 1}, {1 << 30, 1 << 30}), std::overflow_error);
}

}  // namespace
}  // namespace hearth::testing
