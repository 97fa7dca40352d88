// The loss of classifiers and language models.
#pragma once
#include "hearth/core/array.h"

namespace hearth::fast {

/// logsumexp(logits, -1) - logits[..., target], in float32: logits (..., n), targets (...) of
/// integers below n -> (...).
array cross_entropy(const array& logits, const array& targets, StreamOrDevice s = {});

}  // namespace hearth::fast
