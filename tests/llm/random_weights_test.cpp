// Weights at random: norms about 1, all else about 0, with the deviation that models begin with.
#include <gtest/gtest.h>

#include <cmath>

#include "hearth/llm/model.h"
#include "hearth/ops/ops.h"
#include "tests/shared.h"

namespace hearth::llm {
namespace {

TEST(RandomWeights, AreSpreadAsModelsBegin) {
  const auto folder = testing::source_path("models/tiny-phi");
  LoadOptions options;
  options.random_weights = true;
  options.dtype = float32;
  const auto model = load_model(folder, options);
  int norms = 0, others = 0;
  for (const auto& [name, p] : model->parameters()) {
    const bool norm = name.find("norm") != name.npos && name.ends_with("weight");
    const auto values = p->to_vector<double>();
    double sum = 0, squares = 0, most = 0;
    for (double v : values) {
      const double off = v - norm;
      sum += off, squares += off * off, most = std::max(most, std::abs(off));
    }
    const double n = double(values.size());
    EXPECT_NEAR(sum / n, 0, 0.02 * 5 / std::sqrt(n)) << name;
    EXPECT_NEAR(std::sqrt(squares / n), 0.02, 0.02 * 4 / std::sqrt(n)) << name;
    EXPECT_LE(most, 0.02 * std::sqrt(3.0)) << name;
    EXPECT_GT(most, 0.02 * std::sqrt(3.0) * (1 - 1e-3 - 30 / n)) << name;
    (norm ? norms : others)++;
  }
  EXPECT_GT(norms, 5);
  EXPECT_GT(others, 20);
  const auto same = load_model(folder, options);
  options.seed = 1;
  const auto other = load_model(folder, options);
  for (const auto& [name, p] : model->parameters()) {
    EXPECT_TRUE(array_equal(*p, *same->parameters().at(name)).item<bool>()) << name;
    EXPECT_FALSE(array_equal(*p, *other->parameters().at(name)).item<bool>()) << name;
  }
}

}  // namespace
}  // namespace hearth::llm
