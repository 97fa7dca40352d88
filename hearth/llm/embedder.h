// Texts as vectors: a model, and what sentence-transformers does with what it gives.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hearth/core/array.h"
#include "hearth/llm/tokenizer.h"

namespace hearth::llm {

/// How the vectors of a text's tokens become one: of several ways the results are joined, in this
/// order, as sentence-transformers does.
enum class Pooling : uint8_t { cls, max, mean, mean_sqrt_len, weighted_mean, last };
std::string_view to_string(Pooling pooling);
/// Throws std::invalid_argument naming those that are known.
Pooling parse_pooling(std::string_view text);

struct EmbedOptions {
  std::optional<Pooling> pooling;          // else what the folder says: modules.json, 1_Pooling
  std::optional<bool> normalize;           // to length 1; else what modules.json says
  std::optional<std::string> prompt;       // before each text; else prompt_name's
  std::optional<std::string> prompt_name;  // in config_sentence_transformers.json; else its default
  std::optional<Dtype> dtype;              // else f32 for encoders, the checkpoint's for decoders
};

class Embedder {
 public:
  /// Reads the folder of an encoder or of a decoder. Without modules.json an encoder's vectors are
  /// pooled by the mean, a decoder's last one is taken, and they are normalized. Throws
  /// std::runtime_error for what the folder wants and hearth lacks.
  static Embedder load(const ModelFiles& folder, const EmbedOptions& options = {});

  /// (texts, dimensions), float32, computed. A text that is too long is cut. `go_on` is called
  /// after each batch with the texts done; false stops: what is missing is NaN then.
  array operator()(const std::vector<std::string>& texts,
                   const std::function<bool(size_t done)>& go_on = {}) const;

  int dimensions() const;
  /// The most tokens of a text that count.
  int max_tokens() const;
  std::vector<Pooling> pooling() const;
  bool normalizes() const;
  const std::string& prompt() const;
  /// The tokens of a text as the model gets them: with the prompt and special tokens, cut.
  std::vector<int> tokens(const std::string& text) const;

 private:
  struct Impl;
  explicit Embedder(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace hearth::llm
