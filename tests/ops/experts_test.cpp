// Products by experts: the kernel against its plain definition and against linear().
#include "hearth/ops/experts.h"

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

// Choices of K of E experts, the first rows all the same so that one expert has many.
array choices(Shape shape, int E) {
  std::vector<int> ids(element_count(shape));
  for (size_t i = 0; i < ids.size(); ++i)
    ids[i] = i < ids.size() / 3 ? int(i) % shape.back() % E : int(i * 7 + i / 5) % E;
  return array(ids.begin(), shape, int32);
}

TEST(Experts, AreAsDefined) {
  const fast::ExpertLinear op({{Activation::silu, true, false}, {Activation::none, false, false}});
  for (Dtype dtype : {float32, float16, bfloat16, float64})
    for (auto [rows, K, E, k, n] : {std::array{1, 3, 5, 40, 7}, std::array{9, 2, 6, 33, 130},
                                    std::array{150, 2, 4, 24, 19}, std::array{3, 1, 1, 1, 1}})
      for (bool one_row : {true, false})
        for (const array& x : layouts(numbers({2, rows, one_row ? 1 : K, k}, dtype))) {
          const array ids = layouts(choices({2, rows, K}, E))[size_t(one_row)];
          const array w = numbers({E, n, k}, dtype, 2), b = numbers({E, n}, dtype, 3),
                      v = numbers({E, 5, k}, dtype, 4);
          const std::string what = concat(dtype, " ", rows, " rows of ", k, ", ", K, " of ", E);
          expect_as_defined(std::make_shared<fast::ExpertLinear>(op), {x, ids, w, b, v}, what);
          expect_as_defined(std::make_shared<fast::ExpertLinear>(op),
                            {x, ids, layouts(w)[1], layouts(b)[2], layouts(v)[4]}, what);
        }
}

// As a GPU's tensor cores take them: several tiles of rows and outputs of an expert, and a rest.
TEST(Experts, OfManyChoicesInHalvesAreAsDefined) {
  const fast::ExpertLinear op({{Activation::silu, true, false}, {Activation::none, false, false}});
  for (const Dtype dtype : {float16, bfloat16})
    for (const int seen : {1, 2})  // rows of x for the two choices
      expect_as_defined(std::make_shared<fast::ExpertLinear>(op),
                        {numbers({2, 70, seen, 136}, dtype), choices({2, 70, 2}, 3),
                         numbers({3, 150, 136}, dtype, 2), numbers({3, 150}, dtype, 3),
                         numbers({3, 5, 136}, dtype, 4)},
                        concat(dtype, " ", seen));
}

TEST(Experts, GiveUpToThirtyTwoRowsTheBitsOfLinear) {
  HEARTH_CPU_ONLY(testing::kBits);
  for (Dtype dtype : {float32, float16, bfloat16})
    for (int rows : {1, 5, 32}) {
      const array x = numbers({rows, 1, 300}, dtype), w = numbers({3, 70, 300}, dtype, 2),
                  b = numbers({3, 70}, dtype, 3);
      const fast::Projection all[] = {{w, b, Activation::gelu}};
      const array ids = full({rows, 2}, array(0)) + array({2, 1}, {2});
      const array y = fast::expert_linears(x, ids, all)[0];
      for (int j : {0, 1}) {
        const int e = j == 0 ? 2 : 1;
        const array wanted =
            fast::linear(squeeze(x, 1), take(w, e, 0), take(b, e, 0), Activation::gelu);
        EXPECT_TRUE(same_bits(take(y, j, 1), wanted)) << dtype << " " << rows;
      }
    }
}

TEST(Experts, HaveTheSameBitsOnAnyNumberOfThreads) {
  const int before = cpu::threads();
  const array x = numbers({50, 1, 96}, bfloat16), w = numbers({4, 64, 96}, bfloat16, 2);
  const fast::Projection all[] = {{w, {}}};
  std::vector<float> first;
  for (int n : {1, 2, 5}) {
    cpu::set_threads(n);
    const auto y = fast::expert_linears(x, choices({50, 2}, 4), all)[0].to_vector<float>();
    if (first.empty()) first = y;
    EXPECT_EQ(y, first);
  }
  cpu::set_threads(before);
}

// A gate multiplies what the projection after it gives; as each alone, but for the rounding.
TEST(Experts, OpenAGateInOneResult) {
  for (const Dtype dtype : {float32, float16, bfloat16, float64}) {
    const float off = dtype == bfloat16 ? 2e-2f : dtype == float16 ? 3e-3f : 2e-6f;
    for (const Shape& shape :
         {Shape{1, 1, 64}, Shape{1, 3, 64}, Shape{5, 1, 64}, Shape{40, 3, 64}}) {
      const array x = numbers(shape, dtype);
      const array ids = choices({shape[0], 3}, 6);
      const array gate = numbers({6, 20, 64}, dtype, 2), up = numbers({6, 20, 64}, dtype, 3);
      const array bias = numbers({6, 20}, dtype, 4);
      const fast::Projection both[] = {{gate, bias, fast::Activation::silu, true}, {up, bias}};
      const fast::Projection apart[] = {{gate, bias, fast::Activation::silu}, {up, bias}};
      const Arrays each = fast::expert_linears(x, ids, apart);
      const auto wanted = astype(multiply(each[0], each[1]), float32).to_vector<float>();
      const Arrays all = fast::expert_linears(x, ids, both);
      ASSERT_EQ(all.size(), 1u);
      const auto got = astype(all[0], float32).to_vector<float>();
      ASSERT_EQ(got.size(), wanted.size());
      for (size_t i = 0; i < got.size(); ++i)
        ASSERT_NEAR(got[i], wanted[i], off * std::max(1.0f, std::abs(wanted[i]))) << dtype << shape;
    }
  }
}

TEST(Experts, TakeNothing) {
  const fast::Projection all[] = {{numbers({3, 4, 5}, float32), {}}};
  EXPECT_EQ(fast::expert_linears(zeros({0, 1, 5}), zeros({0, 2}, int32), all)[0].shape(),
            (Shape{0, 2, 4}));
  EXPECT_EQ(fast::expert_linears(zeros({2, 1, 5}), zeros({2, 0}, int32), all)[0].size(), 0u);
  const fast::Projection empty[] = {{zeros({3, 4, 0}), numbers({3, 4}, float32)}};
  EXPECT_EQ(fast::expert_linears(zeros({1, 1, 0}), array({2}, {1, 1}), empty)[0].to_vector<float>(),
            take(numbers({3, 4}, float32), 2, 0).to_vector<float>());
}

TEST(Experts, RefuseWhatDoesNotFit) {
  const array x = zeros({2, 1, 5}), w = zeros({3, 4, 5}), ids = zeros({2, 2}, int32);
  const auto run = [&](const array& x, const array& ids, const array& w,
                       std::optional<array> bias = {}) {
    const fast::Projection all[] = {{w, bias}};
    return fast::expert_linears(x, ids, all)[0];
  };
  EXPECT_EQ(run(x, ids, w).shape(), (Shape{2, 2, 4}));
  EXPECT_THROW(run(zeros({2, 3, 5}), ids, w), std::invalid_argument);
  EXPECT_THROW(run(x, zeros({3, 2}, int32), w), std::invalid_argument);
  EXPECT_THROW(run(x, zeros({2, 2}), w), std::invalid_argument);
  EXPECT_THROW(run(x, ids, zeros({4, 5})), std::invalid_argument);
  EXPECT_THROW(run(x, ids, zeros({3, 4, 6})), std::invalid_argument);
  EXPECT_THROW(run(x, ids, zeros({3, 4, 5}, float16)), std::invalid_argument);
  EXPECT_THROW(run(x, ids, w, zeros({3, 5})), std::invalid_argument);
  EXPECT_THROW(fast::expert_linears(x, ids, {}), std::invalid_argument);
  const auto refuse = [&](std::vector<fast::Projection> all) {
    EXPECT_THROW(fast::expert_linears(x, ids, all), std::invalid_argument);
  };
  using fast::Activation;
  refuse({{w, {}, Activation::silu, true}});                             // of nothing
  refuse({{w, {}, Activation::silu, true}, {zeros({3, 6, 5}), {}}});     // of other rows
  refuse({{w, {}, Activation::silu, true}, {w, {}, Activation::relu}});  // an activation
  refuse({{w, {}, Activation::silu, true}, {w, {}, Activation::none, true}, {w, {}}});
  HEARTH_CPU_ONLY(testing::kThrows);
  for (int id : {-1, 3})
    EXPECT_EQ(testing::error_of([&] {
                run(x, array({0, 1, 2, id}, {2, 2}), w).eval();
              }),
              concat("expert_linears: id ", id, " is out of range for 3 experts"));
}

}  // namespace
}  // namespace hearth
