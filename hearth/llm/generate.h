// Tokens of a prompt, or of several, as text, with stop rules.
#pragma once
#include <exception>
#include <functional>
#include <string>
#include <string_view>

#include "hearth/llm/batcher.h"
#include "hearth/llm/tokenizer.h"

namespace hearth::llm {

struct GenerateOptions {
  int max_tokens = 200;
  std::vector<int> stop_ids;            // generation ends before one of them; the model's eos, say
  std::vector<std::string> stop_texts;  // and before one of these (with a tokenizer)
  SamplingOptions sampling;
  std::optional<RowState> begun = {};  // as Batcher::Request has them
  bool keep_state = false;
  DraftOptions draft = {};
};

struct Generated {
  std::vector<int> ids;
  std::string text;                                // with a tokenizer; without the stop text
  std::vector<std::vector<Likely>> logprobs = {};  // of each id, with sampling.logprobs
  std::string stopped_by;                          // "length", "token", "text", "caller"
  int prompt_tokens = 0;
  int reused_tokens = 0;  // of them, those that had been read before
  double prefill_s = 0;   // from the start to the prompt's logits
  double time_to_first_token_s = 0;
  double decode_s = 0;                 // from the first token to the last
  std::optional<RowState> state = {};  // as Batcher::Event has it
  int read_tokens = 0;                 // the same
  DraftCounts drafts = {};
  std::exception_ptr error = {};  // of one of several prompts: why there is no more of it

  double prefill_tokens_per_s() const;
  /// (N - 1) tokens over the time between the first and the last; 0 for fewer than two.
  double decode_tokens_per_s() const;
};

/// Called with each token and, with a tokenizer, the text it made certain; false ends generation.
using Sink = std::function<bool(int id, std::string_view text)>;

/// Continues `prompt`. Without a tokenizer text is empty and stop_texts must be too. Throws what
/// Batcher::add does, and std::runtime_error for logits that are not finite.
Generated generate(LanguageModel& model, std::span<const int> prompt, GenerateOptions options,
                   const Sink& sink = {}, const Tokenizer* tokenizer = nullptr);

/// Called with the number of a prompt and what there is of its answer, after each token and at its
/// end (stopped_by, or error, is set then); false ends all of them.
using Watch = std::function<bool(size_t prompt, const Generated& answer)>;

/// Continues several prompts, as rows of one batch: each has the answer that it has alone. What
/// fails of one is its own `error`.
std::vector<Generated> generate_each(LanguageModel& model,
                                     std::span<const std::vector<int>> prompts,
                                     const GenerateOptions& options, const Watch& watch = {},
                                     const Tokenizer* tokenizer = nullptr);

}  // namespace hearth::llm
