// A model as files hold it: its configuration and its tensors, dense or packed.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "hearth/io/json.h"
#include "hearth/io/model_files.h"
#include "hearth/nn/module.h"
#include "hearth/ops/matrix.h"

namespace hearth::llm {

struct Checkpoint {
  std::string where;                          // its path, which begins errors
  JsonObject config;                          // as Hugging Face's config.json
  std::optional<JsonObject> generation = {};  // generation_config.json
  /// Reads the weights, by the names that files give them. Without `values` they stand for their
  /// shapes and dtypes. Throws std::runtime_error for those that are not there or damaged, and for
  /// those that are packed as hearth cannot read.
  std::function<fast::Matrices(bool values)> tensors = {};
  /// What files call a tensor of tensors(), where that is something else: for messages.
  std::function<std::string(const std::string& name)> named = {};
  /// How a parameter of rows of `in` is packed, as the settings have it: for random weights. Empty:
  /// none is.
  std::function<Packing(const std::string& parameter, int64_t in)> packing = {};
};

/// What a path holds: a folder with config.json and safetensors, or a GGUF file. Throws
/// std::runtime_error with a sentence for what is no model.
Checkpoint read_checkpoint(const ModelFiles& files);

/// config.json of a folder, or what a GGUF file says in its place.
JsonObject read_config(const ModelFiles& files);
/// "AWQ, 4 bits" where the weights are quantized, as config.json says; else empty.
std::string packed_by(const JsonObject& config);
/// "quantized (GPTQ or AWQ, as "x.qweight" shows), ..." where names show that tensors are packed as
/// nobody said; else empty.
std::string packed_as_names_show(const fast::Matrices& tensors);

/// Throws for a parameter of integers: codes of which nobody has said what they mean.
void refuse_codes(const std::string& where, const nn::Parameters& parameters,
                  const fast::Matrices& tensors);

}  // namespace hearth::llm
