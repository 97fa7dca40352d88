// A tokenizer's file, read into the parts that the tokenizer works with.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "hearth/llm/tokenizer/added_tokens.h"
#include "hearth/llm/tokenizer/decoder.h"
#include "hearth/llm/tokenizer/model.h"
#include "hearth/llm/tokenizer/normalizer.h"
#include "hearth/llm/tokenizer/post_processor.h"
#include "hearth/llm/tokenizer/pre_tokenizer.h"
#include "hearth/llm/tokenizer/vocab.h"

namespace hearth {
class Gguf;
}

namespace hearth::llm {

struct TokenizerConfig;

struct TokenizerParts {
  Vocab vocab;  // of the model, and the added tokens
  std::vector<AddedToken> added;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Model model;
  Surround surround;
  TokenDecoder decoder;
  std::unordered_map<int, std::string> shown;  // what the decoder sees, where not the token's text
  bool normalize_added = true;  // those looked for in the normalised text are normalised, too
};

/// Reads the text of a tokenizer.json. Throws std::exception with what is wrong in it.
TokenizerParts parse_tokenizer(std::string_view text);

/// Reads a tokenizer.model, sentencepiece's protocol buffer. Here and below, what `config` does not
/// say is filled in.
TokenizerParts parse_sentencepiece(std::string_view bytes, TokenizerConfig& config);

/// Reads a tekken.json, Mistral's.
TokenizerParts parse_tekken(std::string_view text, TokenizerConfig& config);

/// Reads a tiktoken file: on each line a token in base64 and its rank. The expression that cuts
/// the text, and the special tokens, are those of `config`, or else of the model that has a file
/// named `file` with so many lines.
TokenizerParts parse_tiktoken(std::string_view text, const std::string& file,
                              TokenizerConfig& config);

/// Reads the tokenizer in a GGUF file's metadata, if it has one.
bool has_tokenizer(const Gguf& file);
TokenizerParts parse_gguf_tokenizer(const Gguf& file, TokenizerConfig& config);

/// All bytes of a file of at most 1 GB. Throws std::runtime_error with its name.
std::string read_file(const std::filesystem::path& file);

}  // namespace hearth::llm
