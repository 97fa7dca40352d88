// From logits to the next token: a chain of steps, each from logits to logits.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "hearth/core/array.h"
#include "hearth/llm/sampling_options.h"

namespace hearth::llm {

/// Draws one token a call for each row, by the steps of options.order. A draw depends on the seed
/// and on how many came before it, not on other rows: row r has the seed options.seed + r. All of
/// it is arrays, so that it runs where the logits are and can be recorded.
class Sampler {
 public:
  /// `prompts`: the ids before, of each row, for the penalties. `end_ids` cannot come before
  /// options.min_tokens. Throws on values without a meaning, naming the option.
  Sampler(const SamplingOptions& options, int vocab, const std::vector<std::vector<int>>& prompts,
          const std::vector<int>& end_ids = {});
  struct Row {
    const Sampler* of;
    int row;
  };
  /// Rows of samplers with the same rules, one below the other: each draws on as it would where it
  /// was.
  explicit Sampler(std::span<const Row> rows);
  Sampler(const Sampler&) = delete;  // its steps know where it is
  /// Do both choose alike, but for their seeds?
  bool same_rules(const Sampler& other) const;
  /// logits (batch, vocab) -> tokens int32 (batch), which become part of the state; -1 for a row
  /// whose logits hold NaN or +infinity, or are all -infinity.
  array operator()(const array& logits);
  /// What changes from call to call: positions, tokens seen.
  Arrays state() const;
  void set_state(const Arrays& state);

 private:
  using Step = std::function<array(const array& logits)>;  // (batch, vocab) float32 -> the same
  void add(SamplingStep step);
  array counts(bool with_prompt) const;
  array repeats(int longest, int window, bool broken = false) const;
  array breaks(const array& history) const;
  array noise(int n, int stream) const;
  array surprising(const array& logits) const;
  void correct(const array& logits, const array& ids);
  void remember(const array& ids);

  const SamplingOptions options_;
  const SamplingOrder order_;
  const int batch_, vocab_, window_;  // window_: of the penalties; 0: all
  const std::vector<int> end_ids_;
  std::vector<Step> chain_;
  array keys_;            // uint32 (batch, 2)
  array end_mask_;        // bool (vocab)
  Arrays breaker_masks_;  // of each of dry_breakers: bool (vocab), its heads
  // The state; what no step needs is empty.
  std::optional<array> position_;  // int32 (batch): tokens drawn
  std::optional<array> seen_;      // int32 (batch, vocab): how often, with the prompt
  std::optional<array> drawn_;     // the same without it
  std::optional<array> history_;   // int32 (batch, n): the last ids, -1 before the first
  std::optional<array> surprise_;  // float32 (batch, 1): mirostat's mu
};

}  // namespace hearth::llm
