#include "hearth/llm/tokenizer/vocab.h"

#include <algorithm>
#include <bit>

#include "hearth/base/error.h"

namespace hearth::llm {

Vocab::Vocab(std::vector<Token> tokens) : tokens_(std::move(tokens)) {
  // Real files have few holes; a hostile one must not make us reserve 2^31 slots.
  const size_t limit = 16 * tokens_.size() + 65536;
  int largest = -1;
  for (const Token& token : tokens_) largest = std::max(largest, token.id);
  ensure(largest < 0 || static_cast<size_t>(largest) < limit, "vocab: the id ", largest,
         " is out of proportion to ", tokens_.size(), " tokens");
  slots_.assign(largest + 1, -1);
  places_.resize(std::bit_ceil(2 * tokens_.size() + 2));
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const auto& [id, text, in_model] = tokens_[i];
    if (slots_[id] >= 0)
      ensure(false, "vocab: '", tokens_[slots_[id]].text, "' and '", text, "' have the same id ",
             id);
    const uint32_t hash = hash_of(text);
    Place& at = places_[place(text, hash)];
    if (at.token) ensure(false, "vocab: '", text, "' has two ids");
    at = {hash, uint32_t(i + 1)};
    slots_[id] = static_cast<int>(i);
  }
}

}  // namespace hearth::llm
