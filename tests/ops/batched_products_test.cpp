// Products of chosen matrices, stretches and blocks; Hadamard's transform; 8-bit floats; order
// without data; graphs as text.
#include "hearth/ops/batched_products.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "hearth/core/format.h"
#include "hearth/hearth.h"
#include "tests/gradients.h"

namespace hearth {
namespace {

using testing::scattered;
using Floats = std::vector<float>;

bool same(const array& a, const array& b, double tolerance = 1e-12) {
  return a.shape() == b.shape() && allclose(a, b, tolerance, tolerance).item<bool>();
}

TEST(BatchedProducts, OfChosenMatrices) {
  const array a = scattered({2, 3, 4}, 1), b = scattered({5, 4, 6}, 2);
  const array got = gather_mm(a, b, array({{0}, {1}}), array({0, 4, 1}));
  ASSERT_EQ(got.shape(), (Shape{2, 3, 3, 6}));
  EXPECT_TRUE(same(got[{1, 2}], matmul(a[1], b[1])));
  EXPECT_TRUE(same(gather_mm(a, b, std::nullopt, array({4, 0})),
                   stack({matmul(a[0], b[4]), matmul(a[1], b[0])})));
  const array many = scattered({2, 2, 3, 4}, 3);  // batch axes count as one
  EXPECT_TRUE(same(gather_mm(many, b, array({3}), array({2}))[0], matmul(many[{1, 1}], b[2])));
  EXPECT_TRUE(same(gather_mm(a, scattered({4, 6})), matmul(a, scattered({4, 6}))));
  testing::expect_gradients(
      {"gather_mm",
       [](const Arrays& in) {
         return Arrays{gather_mm(in[0], in[1], array({1, 1, 0}), array({0, 2, 2}))};
       },
       {a, b}});
  EXPECT_THROW(gather_mm(array(1.0f), b, array({0})), std::invalid_argument);
  EXPECT_THROW(gather_mm(a, b, array({0.5f})), std::invalid_argument);
  EXPECT_THROW(gather_mm(a, b, array({0, 1}), array({0, 1, 2})), std::invalid_argument);
}

TEST(BatchedProducts, OfSegments) {
  const array a = scattered({3, 8}, 1), b = scattered({8, 2}, 2);
  const array got = segmented_mm(a, b, array({{0, 3}, {3, 8}, {2, 2}}));
  ASSERT_EQ(got.shape(), (Shape{3, 3, 2}));
  EXPECT_TRUE(same(got[1], matmul(a[{Slice(), Slice(3, 8)}], b[Slice(3, 8)])));
  EXPECT_EQ(sum(abs(got[2])).item<double>(), 0);
  EXPECT_THROW(segmented_mm(a, a, array({{0, 3}})), std::invalid_argument);
  EXPECT_THROW(segmented_mm(a, b, array({0, 3, 4})), std::invalid_argument);
  EXPECT_THROW(segmented_mm(a, b, array({{0.0f, 3.0f}})), std::invalid_argument);
}

TEST(BatchedProducts, OfMaskedBlocks) {
  const array a = scattered({5, 6}, 1), b = scattered({6, 3}, 2);
  const array left({{true, false, true}, {false, true, true}, {true, true, false}});
  const array out({{1.0, 2.0}, {0.0, 1.0}, {3.0, 0.5}}, float64);
  const auto wide = [](const array& m, int rows, int columns) {
    return repeat(repeat(astype(m, float64), 2, 0), 2, 1)[{Slice(0, rows), Slice(0, columns)}];
  };
  EXPECT_TRUE(
      same(block_masked_mm(a, b, 2, out, left), matmul(a * wide(left, 5, 6), b) * wide(out, 5, 3)));
  EXPECT_TRUE(same(block_masked_mm(a, b, 64), matmul(a, b)));
  EXPECT_THROW(block_masked_mm(a, b, 2, left), std::invalid_argument);
  EXPECT_THROW(block_masked_mm(a, b, 0), std::invalid_argument);
}

TEST(Hadamard, IsOrthogonal) {
  for (int n : {1, 2, 4, 12, 20, 24, 28, 40, 56, 64}) {
    const array h = hadamard_transform(eye(n), 1.0f);
    EXPECT_TRUE(array_equal(abs(h), ones({n, n})).item<bool>()) << n;
    EXPECT_TRUE(array_equal(matmul(h, transpose(h)), eye(n) * float(n)).item<bool>()) << n;
    const array x = scattered({3, n}, 1);
    EXPECT_TRUE(same(matmul(hadamard_transform(x), transpose(h) / std::sqrt(float(n))), x, 1e-6))
        << n;
  }
  // MLX's rows.
  EXPECT_EQ(hadamard_transform(eye(4), 1.0f)[3].to_vector<float>(), (Floats{1, -1, -1, 1}));
  EXPECT_EQ(hadamard_transform(eye(12), 1.0f)[1].to_vector<float>(),
            (Floats{-1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1}));
  EXPECT_EQ(hadamard_transform(eye(20), 1.0f)[0].to_vector<float>(),
            (Floats{1, -1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, 1, 1, -1, -1, 1, -1, -1, 1}));
  EXPECT_EQ(hadamard_transform(array({1, 2})).dtype(), float32);
  EXPECT_EQ(hadamard_transform(array({1.0, 2.0}, float16)).dtype(), float16);
  testing::expect_gradients({"hadamard",
                             [](const Arrays& in) { return Arrays{hadamard_transform(in[0])}; },
                             {scattered({2, 24})}});
  for (int n : {3, 6, 5, 36})
    EXPECT_THROW(hadamard_transform(ones({n})), std::invalid_argument) << n;
  EXPECT_THROW(hadamard_transform(zeros({0})), std::invalid_argument);
}

TEST(Fp8, RoundsToTheNearest) {
  for (int code = 0; code < 256; ++code) {  // every number comes back
    const array c({uint8_t(code)});
    const array x = from_fp8(c, float32);
    if (code % 128 == 127)
      EXPECT_TRUE(std::isnan(x.item<float>()));
    else
      EXPECT_EQ(to_fp8(x).item<int>(), code) << x;
  }
  const array x(
      {1.0f, 1.0625f, 1.1875f, 448.0f, 1e9f, -1e9f, -0.0f, 0x1p-10f, 0.002f, NAN, INFINITY});
  EXPECT_EQ(to_fp8(x).to_vector<int>(),
            (std::vector<int>{56, 56, 58, 126, 126, 254, 128, 0, 1, 127, 126}));
  for (Dtype d : {float16, bfloat16, float64})
    EXPECT_EQ(to_fp8(array({448.0, -2.0}, d)).to_vector<int>(), (std::vector<int>{126, 192})) << d;
  EXPECT_EQ(from_fp8(array({uint8_t(126)})).dtype(), bfloat16);
  EXPECT_THROW(to_fp8(array({1, 2})), std::invalid_argument);
  EXPECT_THROW(from_fp8(array({1, 2})), std::invalid_argument);
  EXPECT_THROW(from_fp8(array({uint8_t(1)}), int32), std::invalid_argument);
}

TEST(CrossEntropy, IsTheLogarithmOfTheShare) {
  const array x = scattered({2, 3, 5}, 1, float32), at({{0, 4, 2}, {1, 1, 3}});
  const array wanted = -log(take_along_axis(softmax(x, -1), expand_dims(at, -1), -1));
  EXPECT_TRUE(same(fast::cross_entropy(x, at), squeeze(wanted, -1), 1e-6));
  EXPECT_EQ(fast::cross_entropy(astype(x, float16), at).dtype(), float32);
  EXPECT_EQ(fast::cross_entropy(array({1000.0f, 0.0f}), array(1)).item<float>(), 1000);
  testing::expect_gradients(
      {"cross_entropy",
       [&](const Arrays& in) { return Arrays{fast::cross_entropy(in[0], at)}; },
       {x},
       false},
      2e-3);
  EXPECT_THROW(fast::cross_entropy(x, array({0, 1})), std::invalid_argument);
  EXPECT_THROW(fast::cross_entropy(x, zeros({2, 3})), std::invalid_argument);
}

TEST(Format, WritesArrays) {
  EXPECT_EQ(fmt::format("{} {} {} {:>8}", array({1, 2}), Shape{2, 3}, float16, Device(Device::cpu)),
            "array([1, 2], dtype=int32) (2, 3) float16      cpu");
}

TEST(Depends, ComputesWhatItNames) {
  const array x = arange(3) + 1, y = arange(4) + 2;
  const Arrays out = depends({x, x * 2}, {y});
  eval(out);
  EXPECT_EQ(out[1].to_vector<int>(), (std::vector<int>{2, 4, 6}));
  EXPECT_EQ(y.status(), array::Status::available);
  EXPECT_TRUE(depends({}, {y}).empty());
  testing::expect_gradients(
      {"depends",
       [](const Arrays& in) { return Arrays{square(depends({in[0]}, {in[1]})[0])}; },
       {scattered({3}), scattered({2})}});
}

TEST(GraphText, NamesWhatIsNotComputedYet) {
  const array a = copy(array({1.0f})), b = array({2.0f});
  a.eval();
  const array sum_of = a + b, y = exp(sum_of);
  std::ostringstream text, dot;
  NodeNamer namer;
  namer.set_name(y, "result");
  print_graph(text, namer, y);
  EXPECT_EQ(text.str(), "Inputs: B, C\nadd [B, C] -> [D]\nexp [D] -> [result]\nOutputs: result\n");
  export_to_dot(dot, y, sum_of);
  EXPECT_NE(dot.str().find("label=\"exp\""), std::string::npos) << dot.str();
  EXPECT_EQ(dot.str().find("digraph {"), 0u);
  array chain = a;
  for (int i = 0; i < 100000; ++i) chain = chain + b;
  std::ostringstream large;
  print_graph(large, chain);
  EXPECT_GT(large.str().size(), 1000000u);
}

}  // namespace
}  // namespace hearth
