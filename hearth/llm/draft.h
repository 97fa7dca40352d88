// Where drafted tokens come from: what followed the same tokens before in the text, or a smaller
// model's guess.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "hearth/llm/model.h"
#include "hearth/llm/tokenizer.h"

namespace hearth::llm {

struct DraftOptions {
  /// What followed the latest `ngram` tokens, or fewer but 2, when they last stood in prompt or
  /// answer; 0: that is not looked for.
  int ngram = 0;
  /// What this model finds most likely, where the text itself has nothing to offer; null: none. Its
  /// ids mean the same tokens (check_same_tokens). In use as long as the generation lasts.
  LanguageModel* model = nullptr;
  int most = 8;  // tokens drafted for a step at most

  bool any() const { return ngram > 0 || model; }
};
inline constexpr int kLongestNgram = 8;

/// Throws std::invalid_argument, naming the option, for values without a meaning.
void check_options(const DraftOptions& options);

/// Throws std::invalid_argument, which says what differs, unless the ids of both models mean the
/// same tokens: where both tokenizers are there by each token, and models may then have more rows
/// than tokens; else by the sizes of the vocabularies.
void check_same_tokens(const LanguageModel& model, const Tokenizer* tokenizer,
                       const LanguageModel& draft, const Tokenizer* of_draft);

/// Remembers what followed each sequence of 2 to `longest` tokens, in time and memory that grow
/// with the text.
class NgramDrafter {
 public:
  explicit NgramDrafter(int longest) : longest_(longest) {}
  /// What may follow the text, which begins with those given before: at most `most` tokens.
  std::vector<int> operator()(std::span<const int> text, int most);

 private:
  int longest_;
  size_t known_ = 0;  // tokens before these are followed by what after_ says
  /// By the hash of a sequence and its length: where the token stands that followed it last.
  std::unordered_map<uint64_t, size_t> after_;
};

/// The most likely tokens of a model, one after the other. It reads only what is new of the text.
class ModelDrafter {
 public:
  explicit ModelDrafter(LanguageModel& model);
  std::vector<int> operator()(std::span<const int> text, int most);

 private:
  int feed(std::span<const int> ids);

  LanguageModel& model_;
  KvCache cache_;
  std::vector<int> fed_;  // what the cache holds
  size_t same_ = 0;       // of them as many are the text's for sure
};

}  // namespace hearth::llm
