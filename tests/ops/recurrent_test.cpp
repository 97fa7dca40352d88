// Layers with a running state: kernels against their plain definitions, texts cut anywhere, and
// padding that changes no state.
#include "hearth/ops/recurrent.h"

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/pool.h"
#include "hearth/ops/primitives_layers.h"
#include "tests/on_device.h"
#include "tests/ops/fused.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using namespace fused;
using fast::Activation;

/// x[:, from:to]
array span_of(const array& x, int from, int to) {
  Shape start(size_t(x.ndim()), 0), stop = x.shape();
  start[1] = from, stop[1] = to;
  return slice(x, start, stop);
}

TEST(CausalConv, IsAsDefined) {
  for (Dtype dtype : {float32, float16, bfloat16, float64})
    for (auto [B, L, C, K] : {std::array{2, 11, 37, 4}, std::array{1, 1, 64, 3},
                              std::array{3, 2, 5, 1}, std::array{2, 20, 16, 7}})
      for (size_t layout : {0, 1, 3}) {
        const auto of = [&](Shape shape, uint32_t seed) {
          return layouts(numbers(shape, dtype, seed))[layout];
        };
        const array x = of({B, L, C}, 1), w = of({C, K}, 2), s = of({B, K - 1, C}, 3),
                    b = of({C}, 4);
        std::vector<int> some;
        for (int i = 0; i < B; ++i) some.push_back((i * 5 + 1) % (L + 1));
        const array lengths(some.begin(), {B}, int32);
        const std::string what = concat(dtype, " ", x.shape(), " ", K);
        for (Activation a : {Activation::none, Activation::silu}) {
          expect_as_defined(std::make_shared<fast::CausalConv>(a, false, false), {x, w, s}, what);
          expect_as_defined(std::make_shared<fast::CausalConv>(a, true, true),
                            {x, w, s, b, lengths}, what);
        }
      }
}

TEST(CausalConv, TextsCutAnywhereHaveTheSameBits) {
  const array x = numbers({2, 23, 40}, bfloat16), w = numbers({40, 4}, bfloat16, 2);
  const array before = numbers({2, 3, 40}, bfloat16, 3);
  const auto whole = fast::causal_conv(x, w, before, {}, Activation::silu);
  for (int cut : {1, 2, 9, 22}) {
    const auto one = fast::causal_conv(span_of(x, 0, cut), w, before, {}, Activation::silu);
    const auto two = fast::causal_conv(span_of(x, cut, 23), w, one.state, {}, Activation::silu);
    EXPECT_TRUE(same_bits(concatenate({one.y, two.y}, 1), whole.y));
    EXPECT_TRUE(same_bits(two.state, whole.state));
    const auto padded = fast::causal_conv(x, w, before, {}, Activation::silu, array({cut, 0}, {2}));
    EXPECT_TRUE(same_bits(take(padded.state, 0, 0), take(one.state, 0, 0)));
    EXPECT_TRUE(same_bits(take(padded.state, 1, 0), take(before, 1, 0)));
  }
}

struct Delta {
  array q, k, v, decay, beta, state;
  Delta(int B, int L, int Hk, int H, int Dk, int Dv, Dtype dtype, size_t layout = 0)
      : q(of({B, L, Hk, Dk}, dtype, 1, layout)),
        k(of({B, L, Hk, Dk}, dtype, 2, layout)),
        v(of({B, L, H, Dv}, dtype, 3, layout)),
        decay(negative(abs(of({B, L, H}, wide(dtype), 4, layout)))),
        beta(abs(of({B, L, H}, wide(dtype), 5, layout))),
        state(of({B, H, Dk, Dv}, wide(dtype), 6, layout)) {
    // Keys of length 1, as the models have them: others let the state grow without bound.
    const array norm = rsqrt(sum(square(astype(k, float32)), -1, true) + array(1e-6f));
    k = astype(astype(k, float32) * norm, dtype);
  }
  static Dtype wide(Dtype dtype) { return dtype == float64 ? float64 : float32; }
  static array of(Shape shape, Dtype dtype, uint32_t seed, size_t layout) {
    return layouts(numbers(shape, dtype, seed))[layout];
  }
};

TEST(GatedDelta, IsAsDefined) {
  for (Dtype dtype : {float32, float16, bfloat16, float64})
    for (auto [B, L, Hk, H, Dk, Dv] :
         {std::array{2, 9, 2, 4, 12, 10}, std::array{1, 1, 1, 1, 128, 128},
          std::array{1, 5, 3, 3, 7, 130}, std::array{3, 0, 1, 2, 4, 4}})
      for (size_t layout : {0, 1, 4}) {
        const Delta d(B, L, Hk, H, Dk, Dv, dtype, layout);
        const std::string what = concat(dtype, " ", d.q.shape(), " ", d.v.shape());
        // 9 positions of sums of 128 products.
        const std::optional<Tolerance> some = Tolerance{64, 2, 2e-5};
        expect_as_defined(std::make_shared<fast::GatedDelta>(true),
                          {d.q, d.k, d.v, d.decay, d.state, d.beta}, what, some);
        expect_as_defined(std::make_shared<fast::GatedDelta>(false),
                          {d.q, d.k, d.v, d.decay, d.state}, what, some);
      }
}

TEST(GatedDelta, TextsCutAnywhereHaveTheSameBitsOnAnyNumberOfThreads) {
  const Delta d(2, 17, 2, 4, 24, 70, bfloat16);
  const auto run = [&](int from, int to, const array& state) {
    const auto part = [&](const array& x) { return span_of(x, from, to); };
    return fast::gated_delta(part(d.q), part(d.k), part(d.v), part(d.decay), part(d.beta), state);
  };
  const int before = cpu::threads();
  const auto whole = run(0, 17, d.state);
  eval({whole.y, whole.state});
  for (int threads : {1, 3}) {
    cpu::set_threads(threads);
    for (int cut : {1, 8, 16}) {
      const auto one = run(0, cut, d.state), two = run(cut, 17, one.state);
      EXPECT_TRUE(same_bits(concatenate({one.y, two.y}, 1), whole.y)) << cut;
      EXPECT_TRUE(same_bits(two.state, whole.state)) << cut;
    }
  }
  cpu::set_threads(before);
}

TEST(GatedDelta, PositionsWithoutDecayAndBetaLeaveTheState) {
  const Delta d(1, 6, 1, 2, 8, 8, float32);
  const array counts = array({1.0f, 1.0f, 1.0f, 1.0f, 0.0f, 0.0f}, {1, 6, 1});
  const auto padded = fast::gated_delta(d.q, d.k, d.v, d.decay * counts, d.beta * counts, d.state);
  const auto part = [&](const array& x) { return span_of(x, 0, 4); };
  const auto four =
      fast::gated_delta(part(d.q), part(d.k), part(d.v), part(d.decay), part(d.beta), d.state);
  EXPECT_TRUE(same_bits(padded.state, four.state));
  EXPECT_TRUE(same_bits(part(padded.y), four.y));
}

TEST(Recurrent, AreAsDefinedOnEveryInstructionSet) {
  const cpu::Isa isa = cpu::isa();
  const Delta d(1, 5, 1, 2, 12, 70, float16);
  const array x = numbers({1, 5, 77}, float16), w = numbers({77, 4}, float16, 2),
              s = numbers({1, 3, 77}, float16, 3);
  for (cpu::Isa level : cpu::isa_levels()) {
    cpu::set_isa(level);
    expect_as_defined(std::make_shared<fast::GatedDelta>(true),
                      {d.q, d.k, d.v, d.decay, d.state, d.beta}, to_string(level).data(),
                      Tolerance{4, 1, 2e-5});
    expect_as_defined(std::make_shared<fast::CausalConv>(Activation::silu, false, false), {x, w, s},
                      to_string(level).data());
  }
  cpu::set_isa(isa);
}

TEST(Recurrent, RefuseWhatDoesNotFit) {
  const array x = zeros({2, 3, 4}), w = zeros({4, 3}), s = zeros({2, 2, 4});
  EXPECT_EQ(fast::causal_conv(x, w, s).y.shape(), x.shape());
  EXPECT_THROW(fast::causal_conv(zeros({2, 3}), w, s), std::invalid_argument);
  EXPECT_THROW(fast::causal_conv(x, zeros({5, 3}), s), std::invalid_argument);
  EXPECT_THROW(fast::causal_conv(x, zeros({4, 0}), s), std::invalid_argument);
  EXPECT_THROW(fast::causal_conv(x, w, zeros({2, 3, 4})), std::invalid_argument);
  EXPECT_THROW(fast::causal_conv(x, w, s, zeros({3})), std::invalid_argument);
  EXPECT_THROW(fast::causal_conv(x, w, astype(s, float16)), std::invalid_argument);
  EXPECT_THROW(fast::causal_conv(x, w, s, {}, Activation::none, zeros({2})), std::invalid_argument);
  if (!testing::on_device()) {  // a kernel elsewhere cannot throw
    EXPECT_EQ(testing::error_of([&] {
                fast::causal_conv(x, w, s, {}, Activation::none, array({1, 4}, {2})).y.eval();
              }),
              "causal_conv: row 1 has a length of 4, wanted 0 to 3");
  }
  const array q = zeros({1, 2, 2, 3}), v = zeros({1, 2, 4, 5}), g = zeros({1, 2, 4}),
              S = zeros({1, 4, 3, 5});
  EXPECT_EQ(fast::gated_delta(q, q, v, g, g, S).y.shape(), v.shape());
  EXPECT_THROW(fast::gated_delta(q, zeros({1, 2, 1, 3}), v, g, g, S), std::invalid_argument);
  EXPECT_THROW(fast::gated_delta(q, q, zeros({1, 2, 3, 5}), g, g, S), std::invalid_argument);
  EXPECT_THROW(fast::gated_delta(q, q, zeros({1, 3, 4, 5}), g, g, S), std::invalid_argument);
  EXPECT_THROW(fast::gated_delta(q, q, v, zeros({1, 2, 2}), g, S), std::invalid_argument);
  EXPECT_THROW(fast::gated_delta(q, q, v, g, zeros({1, 2}), S), std::invalid_argument);
  EXPECT_THROW(fast::gated_delta(q, q, v, g, g, zeros({1, 4, 5, 3})), std::invalid_argument);
  EXPECT_THROW(fast::gated_delta(q, q, v, g, g, zeros({1, 4, 3, 5}, float16)),
               std::invalid_argument);
}

}  // namespace
}  // namespace hearth
