// Regular expressions of tokenizer.json, written for Oniguruma, run by PCRE2 with its JIT.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace hearth::llm {

/// A compiled expression; searching it from several threads at once is safe.
class Regex {
 public:
  /// What one thread needs to search; serves any expression, one search at a time.
  class Memory {
   public:
    Memory();
    ~Memory();
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

   private:
    friend class Regex;
    struct Parts;
    std::unique_ptr<Parts> parts_;
  };

  struct Match {
    size_t begin, end;  // bytes; begin == end is possible
  };

  /// `pattern` is Oniguruma's (onig.h). Throws std::runtime_error where it is not accepted.
  explicit Regex(const std::string& pattern);

  /// The first match in `text` (valid UTF-8) at or after byte `from`, a character's start.
  /// Throws std::runtime_error when the search takes more steps than any sane expression needs.
  std::optional<Match> find(std::string_view text, size_t from, Memory& memory) const;

 private:
  std::shared_ptr<const void> code_;  // pcre2_code
};

}  // namespace hearth::llm
