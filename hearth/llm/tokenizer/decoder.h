// The decoder of a tokenizer.json: how tokens become text again, one after the other as they come.
// A new kind is a struct, a line in Step, its `put` and `end`, and a line in `read`.
#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "hearth/llm/tokenizer/finder.h"

namespace hearth::llm {

class TokenDecoder {
 public:
  // The steps. Each takes tokens and gives tokens, one after the other.
  struct JoinBySpaces {};  // where a file has no decoder
  struct ByteLevel {};     // the alphabet of bytes; all becomes one token
  struct Fuse {};          // all becomes one token
  struct ByteFallback {};  // <0x..>
  struct Replace {
    Finder finder;
    std::string content;
  };
  struct Strip {
    std::string content;  // one character
    size_t start, stop;
  };
  struct Metaspace {
    std::string replacement;
    bool drop_first;  // those of the first token are dropped
  };
  struct WordPiece {
    std::string prefix;
    bool cleanup;
  };
  struct Suffix {  // BPEDecoder: it becomes a space, but at the end
    Finder suffix;
  };
  struct Sentencepiece {  // spaces are written U+2581; those that were added in front go
    bool drop_first, drop_all_first;
  };
  using Step = std::variant<JoinBySpaces, ByteLevel, Fuse, ByteFallback, Replace, Strip, Metaspace,
                            WordPiece, Suffix, Sentencepiece>;

  explicit TokenDecoder(std::vector<Step> steps) : steps_(std::move(steps)) {}

  /// Reads the "decoder" of a tokenizer.json, which may be null. Throws std::runtime_error naming
  /// what is wrong or not known.
  static TokenDecoder read(const nlohmann::json& description);

  /// What a step must remember of a text as it comes.
  struct State {
    size_t tokens = 0;   // that came before
    bool open = false;   // whether a part of a token has come, and not its end
    std::string token;   // its parts, for a step that needs the whole
    std::string held;    // bytes or tokens that must wait
    size_t dropped = 0;  // characters at the beginning of the token
    bool text = false;   // whether any text was given
  };

  /// One text as it comes.
  class Stream {
   public:
    explicit Stream(const TokenDecoder& decoder)
        : decoder_(&decoder), states_(decoder.steps_.size()) {}

    /// Appends to `out` the text that the token makes certain.
    void push(std::string_view token, std::string& out) { put(0, token, true, out); }
    /// Appends the rest. Then the stream starts afresh.
    void finish(std::string& out);

   private:
    // A part of a token comes to a step; `ends` says whether it is the last part.
    void put(size_t step, std::string_view part, bool ends, std::string& out);
    Regex::Memory* regex(const Step& step);

    const TokenDecoder* decoder_;
    std::vector<State> states_;
    std::unique_ptr<Regex::Memory> regex_;  // made when it is needed
  };

 private:
  void append(const nlohmann::json& description, int depth);
  std::vector<Step> steps_;
};

}  // namespace hearth::llm
