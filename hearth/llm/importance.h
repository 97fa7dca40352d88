// How much each column of a matrix matters: the squares of what it is multiplied by, over a text.
// llama.cpp's imatrix.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace hearth::llm {

class GgufNames;
class LanguageModel;

struct Importance {
  struct Columns {
    std::vector<float> sums;    // of squares: of each column, of one expert after the other
    std::vector<float> counts;  // of rows that were added up: one, or one of each expert
    /// The mean squares; 1 for an expert that no row was given to.
    std::vector<float> means() const;
  };
  std::map<std::string, Columns> tensors;  // by llama.cpp's names, "blk.0.attn_q.weight"
  std::vector<std::string> texts;          // what it was measured on
  std::string file;                        // that it was read from
  uint32_t chunks = 0, chunk_tokens = 0;
};

struct ImportanceOptions {
  int window = 512;  // tokens that are read at once, each window without what came before
  std::optional<int> first = {};  // in the place of each window's first token
};
/// Of the matrices of the layers, over the whole windows of a text. `progress(done, all)`, in
/// tokens, ends it with false: the result is then of what was read. Throws std::runtime_error for a
/// text shorter than a window, and where an input is not finite.
Importance measure_importance(LanguageModel& model, const GgufNames& names,
                              std::span<const int> ids, const ImportanceOptions& options = {},
                              const std::function<bool(size_t, size_t)>& progress = {});

/// A file of llama.cpp's, GGUF or the form before it (.dat). Throws std::runtime_error naming the
/// file and what is wrong.
Importance read_importance(const std::filesystem::path& file);
/// As a GGUF file.
void write_importance(const std::filesystem::path& file, const Importance& importance);

}  // namespace hearth::llm
