// The tokens of a tokenizer: text to id and back.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace hearth::llm {

/// A token as tokenizer.json has it.
struct Token {
  int id;
  std::string text;
  bool in_model = true;  // else the model never makes it of a text
};

class Vocab {
 public:
  /// Throws std::runtime_error where two tokens have one id, or an id is so large that most ids
  /// would have no token.
  explicit Vocab(std::vector<Token> tokens);
  Vocab(Vocab&&) = default;
  Vocab(const Vocab&) = delete;  // the map points into the texts

  /// -1 where there is no such token.
  int id(std::string_view text) const {
    const auto found = ids_.find(text);
    return found == ids_.end() ? -1 : found->second;
  }
  /// The same among the tokens that the model may make of a text.
  int model_id(std::string_view text) const {
    const int found = id(text);
    return found >= 0 && tokens_[slots_[found]].in_model ? found : -1;
  }

  /// Whether any token has this id; any int may be asked.
  bool has(int id) const {
    return id >= 0 && static_cast<size_t>(id) < slots_.size() && slots_[id] >= 0;
  }

  /// The text of a token that there is.
  const std::string& text(int id) const { return tokens_[slots_[id]].text; }

  const std::vector<Token>& tokens() const { return tokens_; }

  /// One above the largest id.
  int size() const { return static_cast<int>(slots_.size()); }

 private:
  std::vector<Token> tokens_;
  std::vector<int> slots_;  // id -> index in tokens_, -1 for none
  std::unordered_map<std::string_view, int> ids_;
};

}  // namespace hearth::llm
