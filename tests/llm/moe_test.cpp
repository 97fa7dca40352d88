// How experts are chosen and weighed, against loops that say it plainly.
#include "hearth/llm/moe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tests/ops/fused.h"

namespace hearth::llm {
namespace {

// One position's experts and weights, by sorting.
std::pair<std::vector<int>, std::vector<double>> plainly(const Router& r,
                                                         const std::vector<float>& logits,
                                                         const std::vector<float>& correction) {
  const size_t E = logits.size();
  std::vector<double> scores(logits.begin(), logits.end());
  if (r.score == Router::sigmoid)
    for (double& s : scores) s = 1 / (1 + std::exp(-s));
  if (r.score == Router::softmax) {
    double sum = 0;
    for (double& s : scores) sum += s = std::exp(s);
    for (double& s : scores) s /= sum;
  }
  std::vector<double> choice = scores;
  for (size_t e = 0; e < correction.size(); ++e) choice[e] += correction[e];
  const size_t size = E / size_t(r.groups);
  std::vector<std::pair<double, size_t>> groups;
  for (size_t g = 0; g < size_t(r.groups); ++g) {
    std::vector<double> of(choice.begin() + long(g * size), choice.begin() + long((g + 1) * size));
    std::sort(of.rbegin(), of.rend());
    groups.push_back({r.best_two && size > 1 ? of[0] + of[1] : of[0], g});
  }
  std::sort(groups.rbegin(), groups.rend());
  std::vector<std::pair<double, int>> eligible;
  for (size_t i = 0; i < size_t(r.groups_chosen); ++i)
    for (size_t e = groups[i].second * size; e < (groups[i].second + 1) * size; ++e)
      eligible.push_back({choice[e], int(e)});
  std::sort(eligible.rbegin(), eligible.rend());
  std::vector<int> ids;
  std::vector<double> weights;
  for (size_t i = 0; i < size_t(r.chosen); ++i) {
    ids.push_back(eligible[i].second);
    weights.push_back(scores[size_t(ids.back())]);
  }
  if (r.score == Router::softmax_of_chosen)
    for (double& w : weights) w = std::exp(w);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& w : weights) {
    if (r.score == Router::softmax_of_chosen || r.renormalise)
      w /= sum + (r.renormalise ? double(r.floor) : 0);
    w *= r.scale;
  }
  return {ids, weights};
}

TEST(Route, ChoosesAndWeighsAsItSays) {
  const array logits = multiply(fused::numbers({2, 7, 12}, float32), array(4.0f));
  const array correction = fused::numbers({12}, float32, 9);
  const auto all = logits.to_vector<float>(), corrections = correction.to_vector<float>();
  for (Router::Score score : {Router::softmax, Router::sigmoid, Router::softmax_of_chosen})
    for (bool corrected : {false, true})
      for (auto [groups, of] : {std::pair{1, 1}, {4, 2}, {3, 1}, {12, 5}})
        for (bool two : {false, true})
          for (bool renormalise : {false, true}) {
            const Router r{.experts = 12,
                           .chosen = 3,
                           .score = score,
                           .correction = corrected,
                           .groups = groups,
                           .groups_chosen = of,
                           .best_two = two,
                           .renormalise = renormalise && score != Router::softmax_of_chosen,
                           .floor = 0.25f,
                           .scale = renormalise ? 2.5f : 1.0f};
            const Routed got =
                route(r, logits, corrected ? std::optional(correction) : std::nullopt);
            ASSERT_EQ(got.ids.shape(), (Shape{2, 7, 3}));
            const auto ids = got.ids.to_vector<int>();
            const auto weights = got.weights.to_vector<float>();
            for (size_t row = 0; row < 14; ++row) {
              const auto [wanted, shares] =
                  plainly(r, {all.begin() + long(row * 12), all.begin() + long(row * 12 + 12)},
                          corrected ? corrections : std::vector<float>());
              for (size_t i = 0; i < 3; ++i) {
                EXPECT_EQ(ids[row * 3 + i], wanted[i])
                    << score << corrected << groups << two << " row " << row;
                EXPECT_NEAR(weights[row * 3 + i], shares[i], 1e-6)
                    << score << corrected << groups << two << " row " << row;
              }
            }
          }
}

TEST(Route, TakesTheLowerOfEquals) {
  const Router r{.experts = 4, .chosen = 2, .score = Router::sigmoid};
  EXPECT_EQ(route(r, array({1.0f, 2.0f, 2.0f, 2.0f}, {1, 4}), {}).ids.to_vector<int>(),
            (std::vector<int>{1, 2}));
}

}  // namespace
}  // namespace hearth::llm
