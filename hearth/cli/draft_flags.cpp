#include "hearth/cli/draft_flags.h"

#include <fmt/format.h>

#include "hearth/cli/options.h"

namespace hearth::cli {

void DraftFlags::add_to(Command& command) {
  add_number(command, "--draft-ngram", options_.ngram, {0, llm::kLongestNgram},
             "Draft what followed the last N tokens, or fewer, when they came before; 0: do not");
  command
      .add_option("--draft-model", model_,
                  "Draft by a smaller model with the same tokenizer: a folder, or a name")
      ->check(named_model)
      ->type_name("MODEL");
  add_number(command, "--draft-max", options_.most, {1, llm::kMostDrafted - 1},
             "Tokens to draft for a step at most");
  needs_one_of(command, "--draft-max", {"--draft-ngram", "--draft-model"});
}

llm::DraftOptions DraftFlags::load(const ModelOptions& options, const llm::LanguageModel& model,
                                   const llm::Tokenizer* tokenizer) {
  if (model_.empty()) return options_;
  ModelOptions other = options;
  other.model = model_;
  other.context.reset();
  loaded_ = other.load();
  std::optional<llm::Tokenizer> own;
  if (llm::Tokenizer::file_in(other.files())) own = load_tokenizer(other);
  llm::check_same_tokens(model, tokenizer, *loaded_, own ? &*own : nullptr);
  options_.model = loaded_.get();
  return options_;
}

nlohmann::json drafts_json(bool given, const llm::DraftCounts& drafts) {
  if (!given) return nullptr;
  return {{"steps", drafts.steps}, {"drafted", drafts.drafted}, {"accepted", drafts.accepted}};
}

std::string drafts_text(const llm::DraftCounts& drafts) {
  if (drafts.drafted == 0) return "nothing was drafted";
  return fmt::format("drafted {} tokens in {} steps, {} accepted ({:.0f} %)", drafts.drafted,
                     drafts.steps, drafts.accepted, 100.0 * drafts.accepted / drafts.drafted);
}

}  // namespace hearth::cli
