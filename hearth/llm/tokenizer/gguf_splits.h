// How texts are cut before BPE, by the names that GGUF files have for it.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::llm {

struct GgufSplit {
  std::vector<std::string_view> names;   // tokenizer.ggml.pre
  std::vector<std::string> expressions;  // each cuts the pieces of the one before
  bool ignore_merges = false, add_bos = false;
  bool nfc = false;   // the text is composed first
  bool bytes = true;  // the pieces are bytes, in their alphabet; else characters
};

std::span<const GgufSplit> gguf_splits();
/// Null where nobody knows the name; an empty one is "default".
const GgufSplit* find_gguf_split(std::string_view name);

}  // namespace hearth::llm
