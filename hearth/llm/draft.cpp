#include "hearth/llm/draft.h"

#include <algorithm>

#include "hearth/base/error.h"
#include "hearth/llm/prefill.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

void check_options(const DraftOptions& options) {
  check(options.ngram >= 0 && options.ngram <= kLongestNgram, "draft-ngram: ", options.ngram,
        " tokens; wanted 1 to ", kLongestNgram, ", or 0 for none");
  check(options.most >= 1 && options.most < kMostDrafted, "draft-max: ", options.most,
        " tokens; wanted 1 to ", kMostDrafted - 1);
}

void check_same_tokens(const LanguageModel& model, const Tokenizer* tokenizer,
                       const LanguageModel& draft, const Tokenizer* of_draft) {
  constexpr const char* kNext = "; a draft model needs the model's own tokenizer";
  if (!tokenizer || !of_draft) {
    check(model.facts.vocab_size == draft.facts.vocab_size, "draft-model: it has a vocabulary of ",
          draft.facts.vocab_size, " tokens, the model one of ", model.facts.vocab_size, kNext);
    return;
  }
  const int tokens = tokenizer->vocab_size(), drafts = of_draft->vocab_size();
  const auto name = [](const std::optional<std::string>& token) {
    return token ? concat("'", *token, "'") : std::string("none");
  };
  for (int id = 0; id < std::max(tokens, drafts); ++id) {
    const auto one = tokenizer->id_to_token(id), other = of_draft->id_to_token(id);
    check(one == other, "draft-model: token ", id, " is ", name(other), " there and ", name(one),
          " in the model, of ", drafts, " and ", tokens, " tokens", kNext);
  }
}

// FNV-1a of the ids.
static uint64_t hash_of(std::span<const int> ids) {
  uint64_t hash = 0xcbf29ce484222325u ^ ids.size();
  for (const int id : ids) hash = (hash ^ uint64_t(uint32_t(id))) * 0x100000001b3u;
  return hash ^ hash >> 29;
}

std::vector<int> NgramDrafter::operator()(std::span<const int> text, int most) {
  const size_t size = text.size(), longest = size_t(longest_),
               shortest = std::min(longest, size_t(2));
  for (; known_ < size; ++known_)
    for (size_t n = shortest; n <= std::min(longest, known_); ++n)
      after_[hash_of(text.subspan(known_ - n, n))] = known_;
  for (size_t n = std::min(longest, size); n >= shortest && n > 0; --n) {
    const auto end = text.last(n);
    const auto found = after_.find(hash_of(end));
    if (found == after_.end()) continue;
    const size_t at = found->second;  // of another sequence, if their hashes are equal
    if (at < n || !std::ranges::equal(text.subspan(at - n, n), end)) continue;
    std::vector<int> ids;
    for (size_t i = 0; i < size_t(most); ++i)  // beyond the text goes on what was drafted
      ids.push_back(at + i < size ? text[at + i] : ids[at + i - size]);
    return ids;
  }
  return {};
}

ModelDrafter::ModelDrafter(LanguageModel& model) : model_(model), cache_(model.make_cache()) {}

// The most likely token after them.
int ModelDrafter::feed(std::span<const int> ids) {
  const array logits = prefill(model_, cache_, ids);
  fed_.insert(fed_.end(), ids.begin(), ids.end());
  return view(argmax(logits, -1), int32).item<int>();
}

std::vector<int> ModelDrafter::operator()(std::span<const int> text, int most) {
  const auto& facts = model_.facts;
  most = std::min(most, facts.context_length - int(text.size()) + 1);
  if (most < 1) return {};
  const size_t last = text.size() - 1;  // to be fed in any case: the draft follows from it
  while (same_ < std::min(fed_.size(), last) && fed_[same_] == text[same_]) ++same_;
  if (same_ < fed_.size()) {
    const bool possible = cache_.can_truncate(0, int(same_));
    possible ? cache_.truncate(0, int(same_)) : cache_.clear();
    fed_.resize(same_ = possible ? same_ : 0);
  }
  const auto rest = text.subspan(fed_.size());
  if (std::ranges::any_of(rest, [&](int id) { return id >= facts.vocab_size; })) return {};
  cache_.keep_back(most);
  try {
    // A window keeps what is needed when all that is drafted now is taken back.
    cache_.reserve(std::min(kMostDrafted, facts.context_length - cache_.length(0)));
    std::vector<int> ids{feed(rest)};
    while (int(ids.size()) < most) ids.push_back(feed({&ids.back(), 1}));
    return ids;
  } catch (...) {  // of what was fed then nothing is known
    cache_ = model_.make_cache();
    fed_.clear(), same_ = 0;
    throw;
  }
}

}  // namespace hearth::llm
