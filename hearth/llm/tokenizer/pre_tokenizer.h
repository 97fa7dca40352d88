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

#include "hearth/llm/tokenizer/finder.h"

namespace hearth::llm {

/// Called with one piece of a text after the other.
using PieceSink = std::function<void(std::string_view)>;

/// ByteLevel's own expression, that of GPT-2. Plain ASCII is cut by hand, the rest by PCRE2.
struct Gpt2Split {
  Regex regex;
  Gpt2Split();
};

/// Cuts at what is found.
struct Split {
  enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };
  Finder finder;
  Behavior behavior = Behavior::isolated;
  bool invert = false;
};

/// Puts a space before a piece that has none.
struct PrefixSpace {};

/// Writes spaces as another character, maybe puts one in front, and cuts before each.
struct Metaspace {
  enum class Prepend { first, never, always };
  std::string replacement;
  Prepend prepend = Prepend::always;
  bool split = true;
};

/// Writes a piece in the alphabet of bytes.
struct InAlphabet {};

/// Cuts after every so many characters.
struct FixedLength {
  int length;
};

/// A chain of steps, each cutting the pieces of the one before.
class PreTokenizer {
 public:
  /// Working memory of one thread.
  struct Memory {
    Regex::Memory regex;
    std::deque<std::string> made;  // pieces that are not part of the text: with a prefix space
  };

  /// Reads the "pre_tokenizer" of a tokenizer.json (null: the text is one piece). Throws
  /// std::runtime_error naming what is wrong or not known. Where the last step writes pieces in the
  /// alphabet of bytes and `model_reads_bytes`, it is left out: then byte_level() is true.
  static PreTokenizer read(const nlohmann::json& description, bool model_reads_bytes = true);
  /// Cuts by an expression alone, for a model that reads bytes.
  static PreTokenizer of_expression(const std::string& pattern);

  /// Whether the model works on the bytes of a piece, written in GPT-2's alphabet of bytes.
  bool byte_level() const { return byte_level_; }

  /// Cuts `text` (valid UTF-8) into pieces, none empty, which live as long as `text` and `memory`.
  /// `at_start`: whether it begins what was given to the tokenizer.
  void run(std::string_view text, bool at_start, Memory& memory, const PieceSink& sink) const;

 private:
  using Step = std::variant<Gpt2Split, Split, PrefixSpace, Metaspace, InAlphabet, FixedLength>;
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
