#include "hearth/llm/reasoning.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace hearth::llm {

namespace {

struct Marker {
  const char *open, *close;  // without a close: left out
};
constexpr Marker kMarkers[] = {
    {"<think>", "</think>"},
    {"[THINK]", "[/THINK]"},
    {"<|START_THINKING|>", "<|END_THINKING|>"},
    {"<|channel>thought", "<channel|>"},
    {"<|channel|>analysis<|message|>", "<|end|>"},
    {"<|start|>assistant", nullptr},
    {"<|channel|>final<|message|>", nullptr},
    {"<|START_RESPONSE|>", nullptr},
    {"<|END_RESPONSE|>", nullptr},
};

bool white(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// The longest end of `text` that begins `marker`, but is not all of it.
size_t begun(std::string_view text, std::string_view marker) {
  for (size_t n = std::min(text.size(), marker.size() - 1); n > 0; --n)
    if (marker.starts_with(text.substr(text.size() - n))) return n;
  return 0;
}

}  // namespace

ReasoningSplitter::ReasoningSplitter(std::string_view prompt_end) {
  while (!prompt_end.empty() && white(prompt_end.back())) prompt_end.remove_suffix(1);
  for (const Marker& m : kMarkers)
    if (m.close && prompt_end.ends_with(m.open)) close_ = m.close, fresh_ = true;
}

bool ReasoningSplitter::marks(std::string_view token) {
  if (token.empty()) return false;
  return std::any_of(std::begin(kMarkers), std::end(kMarkers), [&](const Marker& m) {
    return std::string_view(m.open).find(token) != std::string_view::npos ||
           (m.close && token == m.close);
  });
}

// White space behind a marker is left out; in reasoning it waits for what comes, and is left out
// before the marker that ends it.
void ReasoningSplitter::put(std::string text, std::vector<Part>& parts) {
  if (fresh_) text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), white));
  if (text.empty()) return;
  fresh_ = false;
  const bool inside = reasoning();
  if (inside) {
    text = spaces_ + text;
    const auto end = std::find_if_not(text.rbegin(), text.rend(), white).base();
    spaces_.assign(end, text.end());
    text.erase(end, text.end());
    if (text.empty()) return;
  }
  if (!parts.empty() && parts.back().reasoning == inside)
    parts.back().text += text;
  else
    parts.push_back({inside, std::move(text)});
}

std::vector<ReasoningSplitter::Part> ReasoningSplitter::push(std::string_view text) {
  std::vector<Part> parts;
  held_ += text;
  for (;;) {
    // The marker that comes first, of those that count here.
    size_t at = std::string::npos, size = 0, hold = 0;
    const Marker* found = nullptr;
    const auto look = [&](std::string_view what, const Marker* marker) {
      const size_t here = held_.find(what);
      if (here < at) at = here, size = what.size(), found = marker;
      hold = std::max(hold, begun(held_, what));
    };
    if (close_)
      look(close_, nullptr);
    else
      for (const Marker& m : kMarkers) look(m.open, &m);
    if (at == std::string::npos) {
      put(held_.substr(0, held_.size() - hold), parts);
      held_.erase(0, held_.size() - hold);
      return parts;
    }
    put(held_.substr(0, at), parts);
    held_.erase(0, at + size);
    spaces_.clear();
    close_ = found ? found->close : nullptr;
    fresh_ = true;
  }
}

std::vector<ReasoningSplitter::Part> ReasoningSplitter::finish() {
  std::vector<Part> parts;
  put(std::exchange(held_, {}), parts);
  return parts;
}

}  // namespace hearth::llm
