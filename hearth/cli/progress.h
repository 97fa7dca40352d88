// A bar of progress on stderr.
#pragma once
#include <cstddef>
#include <string>

namespace hearth::cli {

/// As wide as the terminal has room for, on one line that is written again each time; nothing where
/// stderr is no terminal. A new line ends it.
class ProgressBar {
 public:
  ProgressBar();
  ~ProgressBar() { end(); }
  ProgressBar(const ProgressBar&) = delete;
  /// `count` stands behind the bar: "3 of 12 tokens".
  void show(size_t done, size_t all, const std::string& count);
  void end();

 private:
  const bool on_;
  std::string last_;
};

}  // namespace hearth::cli
