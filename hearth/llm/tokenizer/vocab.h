// The tokens of a tokenizer: text to id and back.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
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
  Vocab(const Vocab&) = delete;  // large

  /// -1 where there is no such token.
  int id(std::string_view text) const {
    const Token* found = find(text);
    return found ? found->id : -1;
  }
  /// The same among the tokens that the model may make of a text.
  int model_id(std::string_view text) const {
    const Token* found = find(text);
    return found && found->in_model ? found->id : -1;
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
  /// A place in the table of texts: part of the text's hash, and the token's index + 1; 0: free.
  struct Place {
    uint32_t hash = 0, token = 0;
  };
  /// Where the text is, or the free place where it would be.
  size_t place(std::string_view text, uint32_t hash) const {
    size_t at = hash & (places_.size() - 1);
    while (places_[at].token &&
           (places_[at].hash != hash || tokens_[places_[at].token - 1].text != text))
      at = (at + 1) & (places_.size() - 1);
    return at;
  }
  static uint32_t hash_of(std::string_view text) {
    return uint32_t(std::hash<std::string_view>()(text));
  }
  const Token* find(std::string_view text) const {
    const uint32_t token = places_[place(text, hash_of(text))].token;
    return token ? &tokens_[token - 1] : nullptr;
  }

  std::vector<Token> tokens_;
  std::vector<int> slots_;     // id -> index in tokens_, -1 for none
  std::vector<Place> places_;  // by hash, open addressing, at most half full
};

}  // namespace hearth::llm
