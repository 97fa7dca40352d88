// The pre-tokenizer of a tokenizer.json: how a text is cut into the pieces that the model sees,
// one at a time. A new kind is a struct, a line in its Step list, a `split` and a line in `read`.
#pragma once
#include <deque>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "hearth/llm/tokenizer/regex.h"

namespace hearth::llm {

/// Called with one piece of a text after the other.
using PieceSink = std::function<void(std::string_view)>;

/// ByteLevel's own expression, that of GPT-2. Plain ASCII is cut by hand, the rest by PCRE2.
struct Gpt2Split {
  Regex regex;
  Gpt2Split();
};

/// Cuts at the matches of an expression.
struct RegexSplit {
  enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };
  Regex regex;
  Behavior behavior = Behavior::isolated;
  bool invert = false;
};

/// Puts a space before a piece that has none.
struct PrefixSpace {};

/// A chain of steps, each cutting the pieces of the one before.
class PreTokenizer {
 public:
  /// Working memory of one thread.
  struct Memory {
    Regex::Memory regex;
    std::deque<std::string> made;  // pieces that are not part of the text: with a prefix space
  };

  /// Reads the "pre_tokenizer" of a tokenizer.json (null: the text is one piece). Throws
  /// std::runtime_error naming what is wrong or not known.
  static PreTokenizer read(const nlohmann::json& description);

  /// Whether the model works on the bytes of a piece, written in GPT-2's alphabet of bytes.
  bool byte_level() const { return byte_level_; }

  /// Cuts `text` (valid UTF-8) into pieces, none empty, which live as long as `text` and `memory`.
  void run(std::string_view text, Memory& memory, const PieceSink& sink) const;

 private:
  using Step = std::variant<Gpt2Split, RegexSplit, PrefixSpace>;
  void append(const nlohmann::json& description, int depth);

  std::vector<Step> steps_;
  bool byte_level_ = false;
};

/// The expression that ByteLevel uses.
extern const char* const kGpt2Pattern;

/// The end of the piece of kGpt2Pattern that starts at `from`, or 0 where the text there is not
/// plain ASCII, so that PCRE2 must say.
size_t gpt2_piece_end(std::string_view text, size_t from);

}  // namespace hearth::llm
