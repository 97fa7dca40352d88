// An answer taken apart as it comes: what the model thought, and what it says.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace hearth::llm {

/// Knows the markers of the families: <think>, [THINK], <|START_THINKING|>, channels.
class ReasoningSplitter {
 public:
  /// `prompt_end` is the end of the prompt: it may open the reasoning that the answer goes on with.
  explicit ReasoningSplitter(std::string_view prompt_end);

  struct Part {
    bool reasoning;
    std::string text;
  };
  /// What is certain of the text that came. White space around reasoning is left out.
  std::vector<Part> push(std::string_view text);
  /// What was held back as the possible beginning of a marker.
  std::vector<Part> finish();
  bool reasoning() const { return close_ != nullptr; }

  /// Whether a special token is a marker, or a part of one: it has to be pushed as text.
  static bool marks(std::string_view token);

 private:
  void put(std::string text, std::vector<Part>& parts);

  const char* close_ = nullptr;  // what ends the reasoning; null outside of it
  bool fresh_ = false;           // a marker came last: white space is left out
  std::string held_, spaces_;
};

}  // namespace hearth::llm
