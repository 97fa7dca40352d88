// Speculation on the command line: what tokens are drafted by, and what became of them.
#pragma once
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "hearth/cli/model_options.h"
#include "hearth/llm/speculate.h"

namespace hearth::cli {

class DraftFlags {
 public:
  /// --draft-ngram, --draft-model, --draft-max.
  void add_to(Command& command);
  /// The options, with the draft model loaded as `options` say of the model: its device, dtype and
  /// random weights. It lives as long as this. Throws std::invalid_argument, which says what
  /// differs, unless its tokens are the model's.
  llm::DraftOptions load(const ModelOptions& options, const llm::LanguageModel& model,
                         const llm::Tokenizer* tokenizer);
  bool given() const { return options_.ngram > 0 || !model_.empty(); }

 private:
  std::string model_;
  llm::DraftOptions options_;
  std::unique_ptr<llm::LanguageModel> loaded_;
};

/// {steps, drafted, accepted}; null where nothing was to be drafted.
nlohmann::json drafts_json(bool given, const llm::DraftCounts& drafts);
/// "drafted 120 tokens in 20 steps, 84 accepted (70 %)".
std::string drafts_text(const llm::DraftCounts& drafts);

}  // namespace hearth::cli
