// Which GPUs a build has code for, in CMake's words: "80-real,90a-real,120" and the like.
#pragma once
#include <cctype>
#include <string_view>

namespace hearth::cuda {

/// Can a card of this capability (86 for 8.6) run what was built for `architectures`? "-real" is
/// machine code, for later cards of the same generation too; "-virtual" is PTX, for all later
/// cards; neither means both; a letter after the number means this capability alone. Words, such as
/// "native", could mean anything: yes.
inline bool runs_on(std::string_view architectures, int capability) {
  while (!architectures.empty()) {
    const size_t end = architectures.find(',');
    std::string_view one = architectures.substr(0, end);
    architectures.remove_prefix(end == architectures.npos ? architectures.size() : end + 1);
    int built = 0;
    for (; !one.empty() && std::isdigit(one[0]); one.remove_prefix(1))
      built = built * 10 + (one[0] - '0');
    if (built == 0) {
      if (!one.empty()) return true;
      continue;
    }
    const size_t dash = one.find('-');
    const std::string_view letter = one.substr(0, dash);
    const std::string_view kind = dash == one.npos ? "" : one.substr(dash);
    const bool same = built == capability;
    const bool later =
        letter.empty() && built <= capability && (kind != "-real" || built / 10 == capability / 10);
    if (same || later) return true;
  }
  return false;
}

}  // namespace hearth::cuda
