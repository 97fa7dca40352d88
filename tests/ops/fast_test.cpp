// Fused operations: the kernels against their own plain definitions, over dtypes, layouts,
// instruction sets and thread counts.
#include "hearth/ops/fast.h"

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/pool.h"
#include "hearth/ops/primitives_fast.h"
#include "tests/ops/fused.h"

namespace hearth {
namespace {

using namespace fused;

TEST(Fast, NormsAreAsDefinedInEveryLayout) {
  for (Dtype dtype : {float32, float16, bfloat16, float64})
    for (Shape shape :
         {Shape{3, 5, 37}, Shape{130, 64}, Shape{1}, Shape{4, 1}, Shape{0, 8}, Shape{2, 2560}})
      for (const array& x : layouts(numbers(shape, dtype))) {
        const array w = layouts(numbers({shape.back()}, dtype, 2)).back();
        const array b = layouts(numbers({shape.back()}, dtype, 3))[2];
        const std::string what = concat("norm of ", x.dtype(), " ", x.shape());
        expect_as_defined(std::make_shared<fast::LayerNorm>(1e-5f, true, true), {x, w, b}, what);
        expect_as_defined(std::make_shared<fast::LayerNorm>(1e-5f, false, true), {x, b}, what);
        expect_as_defined(std::make_shared<fast::LayerNorm>(1e-5f, false, false), {x}, what);
        expect_as_defined(std::make_shared<fast::RMSNorm>(1e-6f, true), {x, w}, what);
        expect_as_defined(std::make_shared<fast::RMSNorm>(1e-6f, false), {x}, what);
      }
}

TEST(Fast, NormsKeepTheirDigitsFarFromZero) {
  // Mean 1000, deviations of 1: sums of squares would cancel.
  std::vector<float> values;
  for (int i = 0; i < 4096; ++i) values.push_back(1000.0f + (i % 2 ? 1.0f : -1.0f));
  const array y = fast::layer_norm(array(values.begin(), {4096}), {}, {}, 0.0f);
  for (float v : y.to_vector<float>()) ASSERT_NEAR(std::abs(v), 1.0f, 1e-6f);
  // Infinities and NaN stay in their row.
  const array bad = fast::rms_norm(array({1.0f, NAN, 2.0f, 2.0f}, {2, 2}), {}, 0.0f);
  const auto out = bad.to_vector<float>();
  EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[1]));
  EXPECT_EQ(out[2], 1.0f);
}

TEST(Fast, RopeIsAsDefinedInEveryLayout) {
  for (Dtype dtype : {float32, float16, bfloat16, float64})
    for (const array& x : layouts(numbers({2, 3, 70, 18}, dtype)))
      for (bool traditional : {false, true})
        for (bool inverse : {false, true}) {
          const fast::Rotation r{.dims = 12, .traditional = traditional, .scale = 0.7f};
          const auto op = std::make_shared<fast::RoPE>(r, inverse);
          expect_as_defined(op, {x, array({5, 900}, int32)}, "rope");
          expect_as_defined(op, {x, array(11)}, "rope");
        }
  const fast::Rotation r{.dims = 4, .has_freqs = true};
  expect_as_defined(std::make_shared<fast::RoPE>(r),
                    {numbers({1, 2, 3, 3, 4}, float32), array(2), array({1.0f, 3.0f})}, "freqs");
  expect_as_defined(std::make_shared<fast::RoPE>(fast::Rotation{.dims = 2}),
                    {numbers({1, 0, 2}, float32), array(0)}, "empty");
}

TEST(Fast, RopeBackAndForthIsNothing) {
  const array x = numbers({1, 2, 30, 16}, float32);
  const fast::Rotation r{.dims = 16};
  const array there = apply(std::make_shared<fast::RoPE>(r), {x, array(100)});
  expect_close(apply(std::make_shared<fast::RoPE>(r, true), {there, array(100)}), x, {8, 1},
               "rope");
}

TEST(Fast, LinearIsAsDefined) {
  using fast::Activation;
  for (Dtype dtype : {float32, float16, bfloat16, float64})
    for (Shape shape :
         {Shape{33}, Shape{1, 1, 320}, Shape{3, 5, 64}, Shape{40, 7}, Shape{0, 4}, Shape{2, 0}})
      for (const array& x : layouts(numbers(shape, dtype)))
        for (Activation a : fast::kActivations) {
          const array w = numbers({19, shape.back()}, dtype, 2), b = numbers({19}, dtype, 3);
          Shape out = shape;
          out.back() = 19;
          const array r = layouts(numbers(out, dtype, 4)).back();
          const std::string what = concat("linear of ", dtype, " ", shape, ", ", to_string(a));
          expect_as_defined(
              std::make_shared<fast::Linear>(std::vector{fast::Linear::Part{a, true, false}}, true),
              {x, w, b, r}, what);
          expect_as_defined(std::make_shared<fast::Linear>(
                                std::vector{fast::Linear::Part{a, false, false}}, false),
                            {x, layouts(w)[1]}, what + " transposed weight");
        }
}

TEST(Fast, LinearsAreLinears) {
  const array x = numbers({2, 3, 40}, float16);
  const std::vector<fast::Projection> all{
      {numbers({24, 40}, float16, 2), numbers({24}, float16, 3), fast::Activation::silu},
      {numbers({9, 40}, float16, 4), {}, fast::Activation::none},
      {transpose(numbers({40, 11}, float16, 5)), numbers({11}, float16, 6),
       fast::Activation::gelu}};
  const Arrays together = fast::linears(x, all);
  ASSERT_EQ(together.size(), 3u);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_TRUE(
        same_bits(together[i], fast::linear(x, all[i].weight, all[i].bias, all[i].activation)));
}

// A gate times what is after it, in one pass: few rows and many, with biases and a norm.
TEST(Fast, GatedProductsAreAsDefined) {
  using Part = fast::Linear::Part;
  const auto silu = fast::Activation::silu, none = fast::Activation::none;
  for (Dtype dtype : {float32, float16, bfloat16, float64})
    for (int m : {1, 5, 32, 33, 70})
      for (auto [k, n] : {std::pair{8, 1}, {40, 7}, {264, 300}, {0, 3}}) {
        const array x = numbers({m, k}, dtype), g = numbers({n, k}, dtype, 2),
                    u = numbers({n, k}, dtype, 3), b = numbers({n}, dtype, 4),
                    c = numbers({n}, dtype, 5), w = numbers({9, k}, dtype, 6),
                    s = numbers({k}, dtype, 7);
        const std::string what = concat("gated ", dtype, " ", m, " x ", k, " -> ", n);
        // The definition rounds both factors to the dtype first; sums of f32 are off by the square
        // root of k roundings at their size, times the other factor.
        const Tolerance close = size_of(dtype) == 2 ? Tolerance{3, 1} : Tolerance{40, k / 8.0 + 1};
        const auto op = [&](std::vector<Part> parts, bool norm) {
          return std::make_shared<fast::Linear>(
              std::move(parts), false,
              norm ? std::optional(fast::Linear::Norm{1e-5f, true, true, false}) : std::nullopt);
        };
        expect_as_defined(op({{silu, false, true}, {none, false, false}}, false), {x, g, u}, what,
                          close);
        expect_as_defined(op({{silu, true, true}, {none, true, false}}, false), {x, g, b, u, c},
                          what, close);
        if (k == 0) continue;
        expect_as_defined(
            op({{none, false, false}, {silu, true, true}, {none, false, false}}, true),
            {x, s, w, g, b, u}, what + " with others, normed", close);
        expect_as_defined(op({{silu, false, true}, {none, false, false}}, false),
                          {x, layouts(g)[1], u}, what + " transposed", close);
      }
  const array x = numbers({2, 4}, float32), w = numbers({3, 4}, float32);
  const auto refuse = [&](std::vector<fast::Projection> all) {
    EXPECT_THROW(fast::linears(x, all), std::invalid_argument);
  };
  refuse({{w, {}, silu, true}});                                             // nothing after it
  refuse({{w, {}, silu, true}, {numbers({5, 4}, float32), {}, none}});       // other rows
  refuse({{w, {}, silu, true}, {w, {}, silu}});                              // an activation
  refuse({{w, {}, silu, true}, {w, {}, none, true}, {w, {}, none, false}});  // a gate of a gate
}

// Against f64; sizes at the edges of blocks, segments and vectors.
TEST(Fast, NormsAndSumsOfProductsAreWhatTheyAreInDouble) {
  const auto wide = [](const array& a) { return astype(a, float64); };
  for (Dtype dtype : {float32, float16, bfloat16})
    for (int m : {1, 2, 3, 5, 17})
      for (auto [k, n] : {std::pair{8, 1}, {40, 7}, {2560, 130}, {264, 1000}, {1032, 133}}) {
        // Of k products of numbers up to 1: the square root of k roundings at the size of their
        // sum; a half has one more, and its norm was rounded before the product.
        const double root = std::sqrt(double(k)), wide_off = 5e-7 * root;
        const std::string what = concat(dtype, " ", m, " x ", k, " -> ", n);
        const array x = numbers({m, k}, dtype), w = numbers({n, k}, dtype, 2),
                    b = numbers({n}, dtype, 3), y = numbers({m, 16}, dtype, 4),
                    v = numbers({n, 16}, dtype, 5), r = numbers({m, n}, dtype, 6),
                    scale = numbers({k}, dtype, 7), shift = numbers({k}, dtype, 8);
        const fast::Term terms[] = {{x, w, b}, {y, v, {}}};
        const array sum = matmul(wide(x), swapaxes(wide(w), 0, 1)) + wide(b) +
                          matmul(wide(y), swapaxes(wide(v), 0, 1)) + wide(r);
        const auto rounded = [&](const array& a) { return astype(a, dtype); };
        // Halves are rounded after each of two terms.
        const Tolerance close{2, root / 4, wide_off};
        expect_close(fast::linear_sum(terms, r), rounded(sum), close, what);
        const fast::Projection two[] = {{w, b, fast::Activation::gelu_approx}, {w, {}}};
        for (bool rms : {false, true}) {
          const fast::Norm norm{scale, rms ? std::nullopt : std::optional(shift), 1e-5f, rms};
          // The normed x is rounded to its dtype, as the plain operations do.
          const array h =
              rms ? fast::rms_norm(x, scale, 1e-5f) : fast::layer_norm(x, scale, shift, 1e-5f);
          const Arrays got = fast::linears(x, two, norm);
          const array plain = matmul(wide(h), swapaxes(wide(w), 0, 1));
          // Normed numbers reach the root of 3. A half of the norm may be rounded the other way:
          // units of what it is multiplied with.
          const Tolerance normed{dtype == float32 ? 2.0 : 3.0, root / 4, 2 * wide_off};
          expect_close(got[0], rounded(gelu_approx(plain + wide(b))), normed, what);
          expect_close(got[1], rounded(plain), normed, what);
        }
      }
}

TEST(Fast, SameBitsForAnyNumberOfThreadsOnEveryInstructionSet) {
  const auto all = [] {
    Arrays out;
    const array x = numbers({70, 300}, float16);
    out.push_back(fast::layer_norm(x, numbers({300}, float16, 2), {}, 1e-5f));
    out.push_back(fast::linear(x, numbers({210, 300}, float16, 3)));
    out.push_back(matmul(numbers({3, 33, 65}, float32, 4), numbers({65, 129}, float32, 5)));
    for (int L : {1, 100}) {
      const array q = numbers({2, 4, L, 40}, bfloat16, 6),
                  k = numbers({2, 2, 1500, 40}, bfloat16, 7);
      out.push_back(fast::scaled_dot_product_attention(q, k, k, 0.2f, "causal"));
      out.push_back(fast::rope(k, 32, false, 10000.0f, 1.0f, 3));
      const Arrays in = cached_inputs({1, L, 4, 4, 64, 2000, 16, {1700}}, float16);
      const auto r = fast::cached_attention(in[0], in[1], in[2], in[3], in[4], in[5],
                                            {.scale = 0.1f, .rotation = {.dims = 16}});
      out.push_back(r.y);
    }
    eval(out);
    return out;
  };
  const int threads = cpu::threads();
  const cpu::Isa isa = cpu::isa();
  for (cpu::Isa level : cpu::isa_levels()) {
    cpu::set_isa(level);
    cpu::set_threads(1);
    const Arrays want = all();
    for (int n : {2, 3, 5}) {
      cpu::set_threads(n);
      const Arrays got = all();
      for (size_t i = 0; i < got.size(); ++i)
        EXPECT_TRUE(same_bits(got[i], want[i]))
            << "result " << i << " differs with " << n << " threads, " << cpu::to_string(level);
    }
  }
  cpu::set_isa(isa);
  cpu::set_threads(threads);
}

TEST(Fast, EveryInstructionSetIsAsDefined) {
  const cpu::Isa isa = cpu::isa();
  for (cpu::Isa level : cpu::isa_levels()) {
    cpu::set_isa(level);
    for (Dtype dtype : {float32, float16, bfloat16}) {
      const std::string what = concat(cpu::to_string(level), " ", dtype);
      expect_as_defined(std::make_shared<fast::LayerNorm>(1e-5f, false, false),
                        {numbers({3, 77}, dtype)}, what);
      expect_as_defined(std::make_shared<fast::RoPE>(fast::Rotation{.dims = 10}),
                        {numbers({2, 3, 5, 13}, dtype), array(7)}, what);
      for (int L : {1, 2, 4, 7, 30})
        for (int D : {5, 32, 43})
          expect_as_defined(std::make_shared<fast::Attention>(0.5f, true, false, false),
                            {numbers({2, 4, L, D}, dtype), numbers({2, 2, 45, D}, dtype, 2),
                             numbers({2, 2, 45, D + 1}, dtype, 3)},
                            concat(what, " L ", L, " D ", D));
    }
  }
  cpu::set_isa(isa);
}

TEST(Fast, RefusesWhatDoesNotFit) {
  const array x = numbers({2, 3, 8}, float32), four = numbers({1, 2, 3, 8}, float32);
  EXPECT_THROW(fast::layer_norm(x, numbers({7}, float32), {}, 1e-5f), std::invalid_argument);
  EXPECT_THROW(fast::layer_norm(array(1.0f), {}, {}, 1e-5f), std::invalid_argument);
  EXPECT_THROW(fast::rms_norm(astype(x, int32), {}, 1e-5f), std::invalid_argument);
  EXPECT_THROW(fast::rope(x, 3, false, 10000.0f, 1, 0), std::invalid_argument);
  EXPECT_THROW(fast::rope(x, 10, false, 10000.0f, 1, 0), std::invalid_argument);
  EXPECT_THROW(fast::rope(x, 4, false, {}, 1, 0), std::invalid_argument);
  EXPECT_THROW(fast::rope(x, 4, false, 1.0f, 1, array({1, 2, 3}, int32)), std::invalid_argument);
  EXPECT_THROW(fast::scaled_dot_product_attention(x, x, x, 1), std::invalid_argument);
  EXPECT_THROW(fast::scaled_dot_product_attention(four, four, four, 1, "causal", array(true)),
               std::invalid_argument);
  EXPECT_THROW(fast::scaled_dot_product_attention(four, four, four, 1, "upside down"),
               std::invalid_argument);
  EXPECT_THROW(fast::linear(x, numbers({5, 7}, float32)), std::invalid_argument);
  EXPECT_THROW(fast::linear(x, numbers({5, 8}, float16)), std::invalid_argument);
}

}  // namespace
}  // namespace hearth
