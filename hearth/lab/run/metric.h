// A number that a program writes about itself, found by a regular expression.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace hearth::lab {

class Metric {
 public:
  /// Throws std::invalid_argument unless it is a regular expression with a group in brackets.
  explicit Metric(std::string pattern);
  /// The number in the first group of the first match. Throws EngineFault, with what is wrong,
  /// where there is none.
  double find(std::string_view text) const;
  const std::string& pattern() const { return pattern_; }

 private:
  std::string pattern_;
  std::shared_ptr<const void> code_;  // pcre2_code
};

}  // namespace hearth::lab
