// Steps of sampling that look at the logits alone: each leaves some tokens out, which get
// -infinity. (batch, vocab) float32 in and out.
#pragma once
#include "hearth/core/array.h"

namespace hearth::llm::sampling {

array keep(const array& kept, const array& logits);
array top_k(const array& logits, int k);
array top_p(const array& logits, float p);
array min_p(const array& logits, float p);
array typical_p(const array& logits, float p);
array top_n_sigma(const array& logits, float n);
/// `chance` (batch, 1) in [0, 1): below `probability` the best choices go.
array xtc(const array& logits, const array& chance, float probability, float threshold);
/// Logits of tokens that were seen, divided by the penalty when positive and multiplied when
/// negative (Keskar et al. 2019, CTRL, section 4.1).
array penalize(const array& logits, const array& seen, float penalty);

}  // namespace hearth::llm::sampling
