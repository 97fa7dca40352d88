// A prompt, fed in pieces.
#pragma once
#include <span>

#include "hearth/llm/model.h"

namespace hearth::llm {

/// Rows of a product that each have the bits of one alone; more round differently.
inline constexpr int kFewRows = 32;

/// Feeds the prompt to a cache of one row, `chunk` tokens at once; logits (1, vocab) of the last
/// position, computed.
array prefill(LanguageModel& model, KvCache& cache, std::span<const int> prompt, int chunk = 512);

/// Where the piece that begins at token `at` of a text of `total` ends: at the next multiple of
/// `chunk`, or at the text's end if kFewRows tokens or fewer would be left. It follows from the
/// text alone, so that its state has the same bits whenever it is read.
int piece_end(int at, int total, int chunk);

}  // namespace hearth::llm
