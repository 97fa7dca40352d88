// Attention where its kernels change hands: sizes one below, at and above each limit, queries that
// see no key, sinks far from the scores, on every instruction set.
#include "hearth/backend/cpu/isa.h"
#include "hearth/ops/primitives_fast.h"
#include "tests/ops/fused.h"

namespace hearth {
namespace {

using namespace fused;
using fast::Attention;

class AttentionLimits : public ::testing::TestWithParam<cpu::Isa> {
 protected:
  void SetUp() override { cpu::set_isa(GetParam()); }
  void TearDown() override { cpu::set_isa(cpu::isa_levels().back()); }
};

struct Sizes {
  int H, Hkv, L, S, D, Dv;
  int B = 1;
};
Arrays inputs(const Sizes& c, Dtype dtype) {
  return {numbers({c.B, c.H, c.L, c.D}, dtype, 1), numbers({c.B, c.Hkv, c.S, c.D}, dtype, 2),
          numbers({c.B, c.Hkv, c.S, c.Dv}, dtype, 3)};
}
void expect_attention(const Sizes& c, bool causal, Dtype dtype = float32) {
  expect_as_defined(std::make_shared<Attention>(1.5f, causal, false, false), inputs(c, dtype),
                    concat("H ", c.H, "/", c.Hkv, " L ", c.L, " S ", c.S, " D ", c.D, " Dv ", c.Dv,
                           causal ? " causal " : " ", dtype));
}

TEST_P(AttentionLimits, WhereQueriesAreStreamedOrBlocked) {
  for (int L : {15, 16, 17}) expect_attention({1, 1, L, 40, 8, 8}, true);
  for (int L : {3, 4, 5}) expect_attention({8, 2, L, 40, 8, 8, 2}, true);
  for (int H : {16, 17}) expect_attention({H, 1, 1, 40, 8, 8}, false);
}

TEST_P(AttentionLimits, WhereKeysAreCut) {
  // Stretches of 512 when streamed; blocks of 120 to 128, by the height of a tile, otherwise.
  for (int S : {511, 512, 513, 1024, 1025}) expect_attention({2, 1, 2, S, 5, 4}, true, float16);
  for (int S : {119, 120, 121, 125, 126, 127, 128, 129, 252, 253, 256, 257})
    for (bool causal : {false, true}) expect_attention({1, 1, 20, S, 5, 4}, causal);
}

TEST_P(AttentionLimits, WhereQueriesAreCut) {
  // Panels of up to 32, of one head or of several; tasks of 256 queries.
  for (int L : {31, 32, 33, 63, 64, 65}) expect_attention({1, 1, L, L, 4, 4}, true);
  for (int L : {6, 7, 13}) expect_attention({9, 3, L, 20, 4, 4, 2}, true);
  for (int L : {255, 256, 257}) expect_attention({1, 1, L, L + 3, 4, 4}, true);
  for (int L : {84, 85, 86}) expect_attention({3, 1, L, 90, 4, 4}, true);
  expect_attention({300, 1, 2, 9, 4, 4}, true);  // more heads than queries of a task
}

TEST_P(AttentionLimits, HeadsOfEverySize) {
  for (Dtype dtype : {float32, float16, bfloat16})
    for (int L : {1, 2, 4, 20})
      for (int D : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 48, 64, 80, 96, 112, 127, 128, 130})
        expect_attention({1, 1, L, 11, D, D % 2 ? D : 1}, false, dtype),
            expect_attention({1, 1, L, 11, 3, D}, false, dtype);
}

TEST_P(AttentionLimits, QueriesThatSeeNoKeyWeighAllAlike) {
  // Causal, with more queries than keys: the first see none, by whole panels and tasks of them.
  for (Sizes c : {Sizes{1, 1, 4, 2, 8, 8},
                  {1, 1, 16, 1, 8, 8},
                  {2, 1, 40, 3, 8, 8},
                  {1, 1, 300, 40, 8, 8},
                  {2, 1, 300, 300, 4, 4},
                  {1, 1, 600, 150, 4, 4, 2},
                  {1, 1, 140, 130, 4, 4}}) {
    expect_attention(c, true);
    const Arrays in = inputs(c, float32);
    if (c.L == c.S) continue;
    const array y =
        apply(std::make_shared<Attention>(1.5f, true, false, false), {in[0], in[1], in[2]});
    const auto first = slice(y, {0, 0, 0, 0}, {c.B, 1, 1, c.Dv}).to_vector<float>();
    const auto all =
        slice(mean(in[2], 2, true), {0, 0, 0, 0}, {c.B, 1, 1, c.Dv}).to_vector<float>();
    for (size_t i = 0; i < all.size(); ++i) ASSERT_NEAR(first[i], all[i], 1e-6) << c.L;
  }
  // A mask that hides every key of some queries, of a whole panel, of all.
  for (int L : {1, 3, 20, 70})
    for (int S : {5, 130, 600}) {
      const Arrays in = inputs({2, 1, L, S, 8, 8}, float32);
      for (int hidden : {1, L / 2, L}) {
        const array seen = greater_equal(reshape(arange(L), {1, 1, L, 1}), array(hidden));
        const array mask = logical_and(broadcast_to(seen, {1, 2, L, S}),
                                       greater(numbers({1, 2, L, S}, float32, 9), array(-0.5f)));
        expect_as_defined(std::make_shared<Attention>(1.0f, false, true, false),
                          {in[0], in[1], in[2], mask},
                          concat("hidden ", hidden, " of ", L, ", S ", S));
      }
    }
}

TEST_P(AttentionLimits, SinksNearAndFarFromTheScores) {
  for (Sizes c : {Sizes{2, 1, 1, 40, 8, 8},
                  {2, 2, 3, 600, 8, 8},
                  {4, 2, 20, 150, 8, 8},
                  {2, 1, 300, 30, 4, 4},
                  {2, 1, 20, 5, 4, 4}})
    for (float sink : {-1e4f, -90.0f, 0.0f, 20.0f, 80.0f, 100.0f, 1e4f})
      for (bool causal : {false, true}) {
        Arrays in = inputs(c, float32);
        std::vector<float> sinks;
        for (int h = 0; h < c.H; ++h) sinks.push_back(sink + float(h));
        in.push_back(array(sinks.begin(), {c.H}));
        expect_as_defined(std::make_shared<Attention>(1.0f, causal, false, true), in,
                          concat("sink ", sink, ", L ", c.L, " S ", c.S));
      }
}

TEST_P(AttentionLimits, MasksOfEveryShapeAndDtype) {
  const int B = 2, H = 4, L = 19, S = 140;
  for (int few : {1, L}) {
    const Arrays in = inputs({H, 2, few, S, 8, 8, B}, float16);
    for (Shape shape : {Shape{1, 1, 1, S}, Shape{B, 1, 1, S}, Shape{1, H, few, 1},
                        Shape{1, 1, few, S}, Shape{B, H, few, S}})
      for (Dtype dtype : {bool_, float16}) {
        const array values = numbers(shape, float32, 5);
        const array mask =
            dtype == bool_ ? greater(values, array(-0.3f)) : astype(values * 4.0f, dtype);
        const array whole = broadcast_to(mask, {B, H, few, S});
        for (const array& m : {whole, contiguous(whole), flip(contiguous(flip(whole)))}) {
          const auto op = std::make_shared<Attention>(0.7f, false, true, false);
          expect_as_defined(op, {in[0], in[1], in[2], m}, concat("mask ", dtype, " ", shape));
        }
      }
  }
}

TEST_P(AttentionLimits, RopeAroundItsBlocksOfRows) {
  for (int L : {1, 63, 64, 65, 128, 129})
    for (bool traditional : {false, true}) {
      const fast::Rotation r{.dims = 6, .traditional = traditional, .scale = 0.5f};
      expect_as_defined(std::make_shared<fast::RoPE>(r),
                        {numbers({3, 2, L, 7}, float32), array({0, 5, 1000}, int32)},
                        concat("rope ", L));
      expect_as_defined(std::make_shared<fast::RoPE>(r), {numbers({2, L, 6}, float16), array(-3)},
                        concat("rope ", L));
    }
}

TEST_P(AttentionLimits, CachesOfEveryLengthAndPlace) {
  for (int L : {1, 2, 63, 64, 65, 129})
    for (int D : {4, 64}) {  // less and more new elements than are worth sharing
      const CachedCase c{2, L, 4, 2, D, 200, 4, {0, 200 - L}};
      for (Dtype dtype : {float32, bfloat16})
        expect_as_defined(cached_op(c, 500.0f, 1.0f), cached_inputs(c, dtype),
                          concat("cached, L ", L, " D ", D));
    }
}

INSTANTIATE_TEST_SUITE_P(Isa, AttentionLimits,
                         ::testing::ValuesIn(cpu::isa_levels().begin(), cpu::isa_levels().end()),
                         [](const auto& info) { return std::string(cpu::to_string(info.param)); });

}  // namespace
}  // namespace hearth
