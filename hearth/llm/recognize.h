// What a path holds, for people: a model that hearth runs, or what it is instead and what to do.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "hearth/io/checkpoint.h"
#include "hearth/llm/model.h"

namespace hearth::llm {

/// What was found out about a path from its content, without reading any weight.
struct Recognized {
  bool usable = false;  // load_model takes it, as far as configuration and headers show
  /// "FOLDER: a phi model, 10.0 M parameters in 89 tensors of f16, 20.0 MB", or what it is instead,
  /// whether hearth can use it, and what to do. One sentence or two, without a full stop.
  std::string sentence;
  std::string type;    // model_type of config.json; empty where there is none
  std::string packed;  // how the weights are quantized: "AWQ, 4 bits"; empty for plain ones
  size_t tensors = 0, parameters = 0, bytes = 0;  // of the weights that are there, if usable
  std::vector<std::string> dtypes;                // of these, without repetition
  bool tokenizer = false;                         // a tokenizer.json is there, so text can be given
};

/// Never throws for what it finds; a path that does not exist is a finding too.
Recognized recognize(const std::filesystem::path& path);

// The steps of load_model that refuse, in order. Each throws std::runtime_error with a sentence.

/// config.json of a folder.
JsonObject read_config(const std::filesystem::path& folder);
/// "AWQ, 4 bits" where the weights are quantized, as config.json says; else empty.
std::string packed_by(const JsonObject& config);
/// Refuses weights that are quantized.
void refuse_packed(const std::filesystem::path& folder, const JsonObject& config);
/// Refuses weights that are not those of the model, naming how they are packed if names show it.
void refuse_mismatch(const std::filesystem::path& folder, LanguageModel& model,
                     const nn::Shapes& shapes);

/// A checkpoint's key as the model's parameter; "" for what every model passes over.
nn::Rename rename_of(const LanguageModel& model);

/// A head that is tied to the embedding, and what the checkpoint has of the two.
/// As transformers does: both and equal: the embedding counts, the head is taken away; both and
/// different: not tied; the head alone: it is the embedding.
void settle_tied(LanguageModel& model, Tensors& tensors);

}  // namespace hearth::llm
