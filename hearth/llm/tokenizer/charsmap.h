// sentencepiece's table of characters and what they become: a double array, as its models hold it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::llm {

class Charsmap {
 public:
  struct Found {
    size_t length;
    std::string_view becomes;
  };

  /// The bytes of "precompiled_charsmap". Throws std::runtime_error where they cannot be one.
  explicit Charsmap(std::string_view bytes);

  /// Of the entries that `text` begins with the shortest, as Hugging Face takes it, or the longest,
  /// as sentencepiece does.
  std::optional<Found> shortest(std::string_view text) const { return find(text, false); }
  std::optional<Found> longest(std::string_view text) const { return find(text, true); }

 private:
  std::optional<Found> find(std::string_view text, bool longest) const;

  std::vector<uint32_t> units_;
  std::string becomes_;  // texts, each ended by a zero
};

}  // namespace hearth::llm
