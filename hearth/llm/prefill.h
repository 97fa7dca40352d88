// A prompt, fed in pieces.
#pragma once
#include <span>

#include "hearth/llm/model.h"

namespace hearth::llm {

/// Feeds the prompt to a cache of one row, `chunk` tokens at once; logits (1, vocab) of the last
/// position, computed.
array prefill(LanguageModel& model, KvCache& cache, std::span<const int> prompt, int chunk = 512);

/// Where the piece that begins at token `at` of a text of `total` ends: at the next multiple of
/// `chunk`, or at the text's end if 32 tokens or fewer would be left. It follows from the text
/// alone, so that its state has the same bits whenever it is read: products of up to 32 rows, and
/// of more, round differently.
int piece_end(int at, int total, int chunk);

}  // namespace hearth::llm
