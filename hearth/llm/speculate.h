// Speculation: several tokens in one step, where those drafted for it turn out to be those that
// the model itself would have given. The tokens are the same with and without.
#pragma once
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "hearth/llm/draft.h"

namespace hearth::llm {

/// What became of drafted tokens.
struct DraftCounts {
  int steps = 0;  // in which some were fed
  int drafted = 0, accepted = 0;
};

/// How many tokens to draft, by what became of those before; none for a while where a token then
/// takes longer than without.
class DraftPace {
 public:
  explicit DraftPace(int most) : most_(most), size_(std::min(most, 4)) {}
  /// Tokens to draft for the next step; 0: it is to be an ordinary one.
  int next() const { return ordinary_left_ > 0 ? 0 : size_; }
  /// A step took so long; drafted 0: an ordinary one.
  void took(int drafted, int accepted, double seconds);
  /// Nothing is drafted for a while.
  void rest();

 private:
  static constexpr int kPause = 32, kLongestPause = 512;  // ordinary steps
  int most_, size_;
  int ordinary_left_ = 5, pause_ = kPause;
  std::deque<double> ordinary_s_;  // of the latest ordinary steps while nothing was drafted
  struct {
    int steps = 0, verified = 0, tokens = 0;
    double seconds = 0;
  } window_;
};

/// The speculation of one row. It is alone in its cache and no step of it is recorded meanwhile.
class Speculator {
 public:
  /// Throws for options without a meaning, and for a device other than the CPU.
  Speculator(LanguageModel& model, const DraftOptions& options);

  struct Drawn {
    array id;      // int32 (1), computed
    array logits;  // (1, vocab): what it was drawn from
  };
  /// The row's sampler: logits (1, vocab) to an id, int32 (1). Each call is one position's.
  using Draw = std::function<array(const array& logits)>;
  /// A step for a text that the cache holds but for the last token: 1 to `most` tokens that follow,
  /// each drawn from the logits that an ordinary step would give, -1 the last if one is. Nothing if
  /// the step is to be an ordinary one, of which took() is to hear.
  std::vector<Drawn> step(KvCache& cache, std::span<const int> text, int most, const Draw& draw);
  void took(double seconds) { pace_.took(0, 0, seconds); }

  const DraftCounts& counts() const { return counts_; }

 private:
  std::vector<int> draft(std::span<const int> text, int most);

  LanguageModel& model_;
  std::optional<NgramDrafter> ngrams_;
  std::optional<ModelDrafter> drafter_;
  DraftPace pace_;
  DraftCounts counts_;
};

}  // namespace hearth::llm
