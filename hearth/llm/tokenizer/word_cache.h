// Remembers the tokens of words, which repeat: a text of a megabyte has some 10,000 different.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::llm {

class WordCache {
 public:
  static constexpr size_t kLongestWord = 64;  // bytes; longer ones rarely come again

  WordCache();

  /// Appends the ids remembered for `word` to `ids`; false if there are none.
  bool find(std::string_view word, std::vector<int>& ids) const;
  void remember(std::string_view word, const int* ids, size_t count);

 private:
  struct Slot {
    uint32_t hash, length, word, ids, count;  // length 0: free; word, ids: places in the arrays
  };
  size_t slot_of(std::string_view word, uint32_t hash) const;

  std::vector<Slot> slots_;
  size_t used_ = 0;
  std::string words_;
  std::vector<int> ids_;
};

}  // namespace hearth::llm
