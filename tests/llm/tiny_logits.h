// What tiny models say of ids, and how far that is from what is wanted.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "hearth/llm/model.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

/// The logits of all ids, read so many at a time.
inline std::vector<float> logits_of(LanguageModel& model, const std::vector<int>& ids,
                                    size_t step) {
  KvCache cache = model.make_cache();
  std::vector<float> all;
  for (size_t at = 0; at < ids.size(); at += step) {
    const int count = int(std::min(step, ids.size() - at));
    const array tokens(ids.begin() + long(at), Shape{1, count}, int32);
    const auto some = astype(model.forward({tokens, {}}, cache), float32).to_vector<float>();
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

/// The largest difference, relative to the largest of b, at least 1.
inline float difference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  float most = 0, size = 1;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    most = std::isnan(a[i]) ? INFINITY : std::max(most, std::abs(a[i] - b[i]));
    size = std::max(size, std::abs(b[i]));
  }
  return most / size;
}

}  // namespace hearth::llm
