// What a model has read already: a prompt that begins alike is not read again.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "hearth/llm/generate.h"

namespace hearth::llm {

/// A row and the tokens that it was made from.
struct Beginning {
  std::vector<int> ids = {};  // row.length of them
  int prompt = 0;             // of them, those that reading a prompt wrote; decoding wrote the rest
  RowState row = {};
};

/// What `held` has of a prompt's beginning: all that both share but the prompt's last token, which
/// is read for its logits. Nothing where the prompt begins otherwise, where a state of fixed size
/// cannot be cut back so far, and where a rope that depends on the length turned keys otherwise.
///
/// What decoding wrote has not the bits that reading would give. With `same_bits` it is not used,
/// and of what was read in chunks of `chunk` tokens only whole ones: the rest of the prompt is then
/// cut as if all of it were read.
std::optional<RowState> shared_beginning(const LanguageModel& model, const Beginning& held,
                                         std::span<const int> prompt, bool same_bits, int chunk);

/// generate(), which does not read again what `held` has of the prompt. `held` is then what the
/// model has read and written; nothing, when this fails.
Generated generate_after(Beginning& held, bool same_bits, LanguageModel& model,
                         std::span<const int> prompt, GenerateOptions options,
                         const Sink& sink = {}, const Tokenizer* tokenizer = nullptr);

}  // namespace hearth::llm
