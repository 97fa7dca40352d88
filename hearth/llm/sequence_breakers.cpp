#include "hearth/llm/sequence_breakers.h"

namespace hearth::llm {

std::vector<SequenceBreaker> sequence_breakers(const Tokenizer& tokenizer,
                                               const std::vector<std::string>& texts) {
  std::vector<SequenceBreaker> all(1);  // the first: tokens that hold a whole text
  for (const std::string& text : texts)
    for (size_t n = 1; n < text.size(); ++n)
      all.push_back({{}, tokenizer.encode(text.substr(n), /*add_special_tokens=*/false)});
  for (int id = 0; id < tokenizer.vocab_size(); ++id) {
    if (!tokenizer.id_to_token(id)) continue;
    const std::string token = tokenizer.decode({&id, 1});
    size_t next = 1;
    bool holds = false;
    for (const std::string& text : texts) {
      const bool whole = token.find(text) != token.npos;
      holds |= whole;
      for (size_t n = 1; n < text.size(); ++n, ++next)
        if (!whole && token.ends_with(std::string_view(text).substr(0, n)))
          all[next].heads.push_back(id);
    }
    if (holds) all[0].heads.push_back(id);
  }
  std::erase_if(all, [](const SequenceBreaker& one) { return one.heads.empty(); });
  return all;
}

}  // namespace hearth::llm
