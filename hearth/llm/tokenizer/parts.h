// tokenizer.json, read into the parts that the tokenizer works with.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/llm/tokenizer/added_tokens.h"
#include "hearth/llm/tokenizer/bpe.h"
#include "hearth/llm/tokenizer/pre_tokenizer.h"
#include "hearth/llm/tokenizer/vocab.h"

namespace hearth::llm {

/// The ids that the post-processor puts before and behind those of a text.
struct Surround {
  std::vector<int> prefix, suffix;
};

struct TokenizerParts {
  Vocab vocab;  // of the model, and the added tokens
  std::vector<AddedToken> added;
  std::vector<int> special;  // ids, ascending
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  Surround surround;
  bool byte_level_decoder;  // else tokens are joined by spaces
};

/// Reads the text of a tokenizer.json. Throws std::exception with what is wrong in it.
TokenizerParts parse_tokenizer(std::string_view text);

/// All bytes of a file of at most 1 GB. Throws std::runtime_error with its name.
std::string read_file(const std::filesystem::path& file);

}  // namespace hearth::llm
