#include "hearth/cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "hearth/cli/output.h"

namespace hearth::cli {

ProgressBar::ProgressBar() : on_(is_terminal(STDERR_FILENO)) {}

void ProgressBar::show(size_t done, size_t all, const std::string& count) {
  if (!on_) return;
  const std::string text = " " + count;
  const size_t room = size_t(width(STDERR_FILENO)), others = text.size() + 4;
  const size_t bar = std::clamp<size_t>(room > others ? room - others : 0, 0, 40);
  const size_t full = all == 0 ? bar : std::min(done, all) * bar / all;
  const std::string line = bar == 0
                               ? "\r" + text.substr(0, room - 1)
                               : fmt::format("\r[{:<{}}]{}", std::string(full, '#'), bar, text);
  if (line == last_) return;
  print_err(line);
  last_ = line;
}

void ProgressBar::end() {
  if (!last_.empty()) print_err("\n");
  last_.clear();
}

}  // namespace hearth::cli
