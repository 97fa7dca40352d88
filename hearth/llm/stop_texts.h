// Texts that end a generation, found in what comes piece by piece.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace hearth::llm {

/// Text is held back while it may be the beginning of a stop text.
class StopTexts {
 public:
  /// Throws for an empty one, which would stop everything.
  explicit StopTexts(std::vector<std::string> stops);
  /// The part of what came that is certain; sets `hit` when a stop text is complete: that which
  /// begins first counts.
  std::string push(std::string_view text, bool& hit);
  /// What is held back, at the end of all text.
  std::string rest();

 private:
  size_t partial() const;

  std::vector<std::string> stops_;
  std::string held_;
};

}  // namespace hearth::llm
