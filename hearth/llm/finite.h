// Logits that are no numbers: said with the place they come from, never sampled from.
#pragma once
#include <span>
#include <string_view>

#include "hearth/llm/model.h"

namespace hearth::llm {

/// Throws std::runtime_error: the logits after `ids` hold NaN or infinity, since which layer the
/// hidden states do, and whether a weight does. To know, it feeds the ids once more and looks at
/// each layer. `who` is what the user called.
[[noreturn]] void fail_not_finite(LanguageModel& model, std::span<const int> ids,
                                  std::string_view who);

/// Does that unless all `logits` are finite; waits for them.
void check_finite(LanguageModel& model, const array& logits, std::span<const int> ids,
                  std::string_view who);

}  // namespace hearth::llm
