// How the next token is chosen: the options, described once, and the orders in which others apply
// them.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::llm {

/// One of `heads`, followed by `tail`, as ids.
struct SequenceBreaker {
  std::vector<int> heads, tail;
  bool operator==(const SequenceBreaker&) const = default;
};

struct SamplingOptions {
  float temperature = 0;         // 0: the most likely token
  int top_k = 0;                 // only the k most likely; 0: all
  float top_p = 1;               // only the most likely with this probability together
  float min_p = 0;               // only those with this share of the best one's
  float typical_p = 1;           // only the most typical with this probability together
  float top_n_sigma = 0;         // only those within so many deviations of the best; 0: all
  float xtc_probability = 0;     // how often the best choices are left out
  float xtc_threshold = 0.1f;    // which: all but the last of those with this probability
  float repetition_penalty = 1;  // above 1: tokens seen before are made less likely
  float frequency_penalty = 0;   // taken off for each time that a token was seen
  float presence_penalty = 0;    // taken off once for a token that was seen
  int penalty_window = -1;       // tokens looked back; 0: all, -1: as the order has it
  float dry_multiplier = 0;      // DRY: what continues a repeated sequence is less likely
  float dry_base = 1.75f;        // by multiplier * base^(length - allowed)
  int dry_allowed_length = 2;    //
  int dry_window = 0;            // tokens that DRY looks back; 0: all, at most 4096
  // Texts that a repeated sequence ends at, so that structure may repeat; and the same as ids,
  // which generate() finds with its tokenizer (sequence_breakers).
  std::vector<std::string> dry_sequence_breakers = {"\n", ":", "\"", "*"};
  std::vector<SequenceBreaker> dry_breakers = {};
  int no_repeat_ngram = 0;               // no sequence of so many tokens twice; 0: they may
  float mirostat_tau = 0;                // mirostat 2: the surprise to keep to; 0: off
  float mirostat_eta = 0.1f;             // and how fast to correct it
  int min_tokens = 0;                    // no end before so many tokens
  std::map<int, float> logit_bias = {};  // added to a token's logit
  int logprobs = 0;                      // how many of the most likely tokens to report
  std::string order = "hf";              // hf, llama.cpp, mlx, vllm, or steps with commas
  uint64_t seed = 0;

  bool operator==(const SamplingOptions&) const = default;
};

/// each(name, value, meaning) for every option that is a number: options of the command line, /set
/// in a chat and --json are made of it.
template <class Options, class F>
void each_option(Options& o, F&& each) {
  each("temp", o.temperature, "Temperature; 0: the most likely token");
  each("top-k", o.top_k, "Sample from the K most likely; 0: all");
  each("top-p", o.top_p, "Sample from the most likely with probability P");
  each("min-p", o.min_p, "Sample from those with P of the best one's probability");
  each("typical-p", o.typical_p, "Sample from the most typical with probability P");
  each("top-n-sigma", o.top_n_sigma, "Sample from logits within N deviations of the best; 0: all");
  each("xtc-probability", o.xtc_probability, "How often XTC leaves the best choices out");
  each("xtc-threshold", o.xtc_threshold, "Of those with this probability all but the last go");
  each("repetition-penalty", o.repetition_penalty, "Above 1: less repetition");
  each("frequency-penalty", o.frequency_penalty, "Less likely for each time a token was seen");
  each("presence-penalty", o.presence_penalty, "Less likely if a token was seen");
  each("penalty-window", o.penalty_window,
       "Tokens that penalties look back; 0: all, -1: as the order has it");
  each("dry-multiplier", o.dry_multiplier, "Above 0: DRY, against repeated sequences");
  each("dry-base", o.dry_base, "How fast DRY's penalty grows with the sequence");
  each("dry-allowed-length", o.dry_allowed_length, "Sequences that DRY lets pass");
  each("dry-window", o.dry_window, "Tokens that DRY looks back; 0: all, at most 4096");
  each("no-repeat-ngram", o.no_repeat_ngram, "No sequence of N tokens comes twice; 0: it may");
  each("mirostat-tau", o.mirostat_tau, "Above 0: mirostat 2, with this surprise");
  each("mirostat-eta", o.mirostat_eta, "How fast mirostat corrects itself");
  each("min-tokens", o.min_tokens, "No end before so many tokens");
  each("logprobs", o.logprobs, "Report the N most likely tokens of each step, in --json");
  each("seed", o.seed, "Seed of sampling");
}

/// What is done to logits, one after another.
enum class SamplingStep {
  min_tokens,
  bias,
  repetition,
  frequency,  // and presence
  dry,
  ngram,
  temperature,
  top_k,
  top_p,
  min_p,
  typical,
  top_n_sigma,
  xtc,
};

struct SamplingOrder {
  std::vector<SamplingStep> steps;
  int penalty_window;  // where the options say -1; 0: all
  bool counts_prompt;  // whether frequency and presence count the prompt's tokens
};

/// The preset of that name, or the steps "top-k,temp,...". Throws std::invalid_argument that lists
/// what there is.
SamplingOrder sampling_order(std::string_view name);
/// "top-k", ...
std::string_view to_string(SamplingStep step);

/// Throws std::invalid_argument, naming the option, for values without a meaning.
void check_options(const SamplingOptions& options);

}  // namespace hearth::llm
