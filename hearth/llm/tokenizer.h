// The tokenizer of a checkpoint folder: text to ids and back, as its tokenizer.json (or
// tokenizer.model, tekken.json, tiktoken file) says, with the results of the library that it is of.
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/io/model_files.h"

namespace hearth::llm {

/// What tokenizer_config.json (and chat_template.jinja) say beside tokenizer.json; what they do not
/// say is empty.
struct TokenizerConfig {
  std::string bos_token, eos_token, pad_token, unk_token;
  std::optional<bool> add_bos_token, add_eos_token;
  std::string split_pattern;                // "pat_str", for a tiktoken file
  std::map<int, std::string> added_tokens;  // "added_tokens_decoder": id to text
  std::string chat_template;

  /// Reads the files in `folder`, which need not be there. Throws std::runtime_error with the
  /// file's name where one is not what it should be.
  static TokenizerConfig load(const std::filesystem::path& folder);
};

/// A value: copies share the tables. All functions may be called from several threads at once.
class Tokenizer {
 public:
  /// Reads a folder with a tokenizer.json, or else a tekken.json, tokenizer.model or tiktoken file;
  /// or any such file itself; or a model's GGUF file. Throws std::runtime_error with the file's
  /// name where it is missing, damaged, or needs a kind of step that is not known.
  static Tokenizer load(const ModelFiles& folder_or_file);

  /// The file of a folder that `load` would read, if it has one.
  static std::optional<std::filesystem::path> file_in(const ModelFiles& folder);

  /// Reads the text of a tokenizer.json, or the bytes of one of the other files; `name` stands for
  /// it in errors.
  static Tokenizer from_json(std::string_view text, const std::string& name = "tokenizer.json",
                             TokenizerConfig config = {});

  /// Reads the metadata of a GGUF file.
  static Tokenizer of_gguf(const Gguf& file);

  /// The ids of `text`. What is not valid UTF-8 counts as U+FFFD. Special tokens in the text are
  /// recognised; `add_special_tokens` adds those of the file's post-processor, BOS for instance.
  std::vector<int> encode(std::string_view text, bool add_special_tokens = true) const;

  /// A part of a text. Where it may not be special, what is written like a special token is text.
  struct Piece {
    std::string_view text;
    bool may_be_special = true;
  };
  /// The ids of the pieces joined. No special token has any of its text in a piece that may not be
  /// special; where there is none, the ids are those of the joined text.
  ///     const Tokenizer::Piece pieces[] = {{"<|user|>"}, {typed, false}, {"<|end|>"}};
  ///     tokenizer.encode(pieces);
  std::vector<int> encode(std::span<const Piece> pieces, bool add_special_tokens = true) const;

  /// The text of `ids`, always valid UTF-8. Throws std::invalid_argument for an id that names no
  /// token.
  std::string decode(std::span<const int> ids, bool skip_special = false) const;

  /// One above the largest id of a token.
  int vocab_size() const;

  /// The id of the token written `token` in tokenizer.json (where a space may be a "\u0120").
  std::optional<int> token_to_id(std::string_view token) const;

  /// The token as written in tokenizer.json.
  std::optional<std::string> id_to_token(int id) const;

  /// Whether the file marks the token as special.
  bool is_special(int id) const;

  /// The ids of all special tokens, ascending.
  std::span<const int> special_ids() const;

  const TokenizerConfig& config() const;

  /// The ids of config().bos_token and eos_token, if they are named and in the vocabulary.
  std::optional<int> bos_id() const;
  std::optional<int> eos_id() const;

 private:
  friend class StreamDecoder;
  struct Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

/// Decodes ids as they come. The pieces joined are what Tokenizer::decode makes of all ids.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special = false);
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;
  ~StreamDecoder();

  /// The text that `id` makes certain: whole characters, or nothing as long as one is incomplete.
  /// An id that names no token adds nothing: models have rows beyond the vocabulary.
  std::string push(int id);

  /// The rest: U+FFFD for a character that never became whole. Then the decoder starts afresh.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth::llm
