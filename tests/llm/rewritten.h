// Rules on tensors that are all dense.
#pragma once
#include "hearth/llm/rewrite.h"

namespace hearth::llm {

inline Tensors rewritten(const Tensors& tensors, std::span<const Rewrite> rules) {
  Tensors out;
  for (const auto& [name, x] : rewrite(fast::Matrices(tensors.begin(), tensors.end()), rules))
    out.emplace(name, x.dense());
  return out;
}

}  // namespace hearth::llm
