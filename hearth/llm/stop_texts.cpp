#include "hearth/llm/stop_texts.h"

#include <algorithm>
#include <utility>

#include "hearth/base/error.h"

namespace hearth::llm {

StopTexts::StopTexts(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& s : stops_)
    check(!s.empty(), "stop: an empty text would stop everything");
}

std::string StopTexts::push(std::string_view text, bool& hit) {
  held_ += text;
  size_t end = std::string::npos;
  for (const std::string& s : stops_) end = std::min(end, held_.find(s));
  hit = end != std::string::npos;
  if (!hit) end = held_.size() - partial();
  std::string out = held_.substr(0, end);
  held_.erase(0, end);
  return out;
}

std::string StopTexts::rest() { return std::exchange(held_, {}); }

// The longest end of held_ that begins a stop text.
size_t StopTexts::partial() const {
  size_t longest = 0;
  for (const std::string& s : stops_)
    for (size_t n = std::min(held_.size(), s.size() - 1); n > longest; --n)
      if (s.starts_with(std::string_view(held_).substr(held_.size() - n))) longest = n;
  return longest;
}

}  // namespace hearth::llm
