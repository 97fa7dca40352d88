// What a model found likely: tokens with the logarithms of their probabilities.
#pragma once
#include <span>
#include <vector>

#include "hearth/core/array.h"

namespace hearth::llm {

/// A token and the logarithm of its probability.
struct Likely {
  int id;
  float logprob;
};

/// For each row its token, and the `wanted[row]` most likely ones: of the model's own logits (rows,
/// vocab), before any step of sampling. Nothing for a row that wants none.
std::vector<std::vector<Likely>> likely_of(const array& logits, const array& ids,
                                           std::span<const int> wanted);

}  // namespace hearth::llm
