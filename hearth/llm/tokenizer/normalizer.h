// The normalizer of a tokenizer.json: what is done to a text before it is cut. A new kind is a
// struct, a line in Step, an `apply` and a line in `read`.
#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "hearth/llm/tokenizer/charsmap.h"
#include "hearth/llm/tokenizer/finder.h"
#include "hearth/llm/tokenizer/trie.h"
#include "hearth/llm/tokenizer/unicode.h"

namespace hearth::llm {

/// Each character becomes what `map` appends for it, maybe nothing.
struct MapCharacters {
  void (*map)(char32_t code, std::string_view character, std::string& out);
};
struct Strip {
  bool left, right;
};
struct Replace {
  Finder finder;
  std::string content;
};
/// Puts a text before one that is not empty.
struct Prepend {
  std::string text;
};
struct Precompiled {
  std::shared_ptr<const Charsmap> charsmap;
};

/// sentencepiece's own way, with the options of its "normalizer_spec".
struct Sentencepiece {
  std::shared_ptr<const Charsmap> charsmap;  // or none
  std::shared_ptr<const Trie> kept;          // texts that stay as they are
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
  bool whitespace_as_suffix = false;
};

class Normalizer {
 public:
  using Step =
      std::variant<NormalForm, MapCharacters, Strip, Replace, Prepend, Precompiled, Sentencepiece>;

  /// Working memory of one thread.
  struct Memory {
    std::string text, other;
  };

  /// Changes nothing.
  Normalizer() = default;
  explicit Normalizer(Step step) : steps_({std::move(step)}) {}

  /// Reads the "normalizer" of a tokenizer.json, which may be null. Throws std::runtime_error
  /// naming what is wrong or not known.
  static Normalizer read(const nlohmann::json& description);

  /// `text` (valid UTF-8) normalised. The result lives as long as `text` and as `memory` is not
  /// used again. `at_start` becomes false where the first character of the text is not in the
  /// result. Throws std::runtime_error where a step makes far more of the text than any real one
  /// does.
  std::string_view run(std::string_view text, Memory& memory, Regex::Memory& regex,
                       bool& at_start) const;

 private:
  void append(const nlohmann::json& description, int depth);

  std::vector<Step> steps_;
};

}  // namespace hearth::llm
