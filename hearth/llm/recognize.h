// What a path holds, for people: a model that hearth runs, or what it is instead and what to do.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

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
  std::vector<std::string> dtypes;                // of these, or packings, without repetition
  LanguageModel::Costs costs;                     // in the dtype that config.json names, if usable
  std::string architecture, mix;  // of a GGUF file: general.architecture; what its tensors are of
  bool tokenizer = false;         // a tokenizer.json is there, so text can be given
};

/// Never throws for what it finds; a path that does not exist is a finding too.
Recognized recognize(const ModelFiles& files);

/// A checkpoint's tensors as the model's parameters, by its rewrites. Throws std::runtime_error
/// with a sentence for those of another model, naming how they are packed if names show it. A head
/// that is tied to the embedding: as transformers does, where both are there and equal, the
/// embedding counts and the head is taken away; both and different: not tied; the head alone: it is
/// the embedding. Without `values` the tensors are shapes: heads are taken to be equal, and nothing
/// is computed.
fast::Matrices arranged(const std::string& where, LanguageModel& model, fast::Matrices tensors,
                        bool values);

}  // namespace hearth::llm
