// Names of tensors to those that they have in GGUF files: the tables that files are read by, the
// other way.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "hearth/llm/gguf/architecture.h"

namespace hearth::llm {

/// The architecture that a model_type is written as. Throws std::runtime_error, beginning with
/// `where`, that lists those that hearth writes.
const GgufArchitecture& gguf_architecture_of(const std::string& where, const std::string& type);

class LanguageModel;

class GgufNames {
 public:
  /// `of_model`: how a checkpoint's tensors become the model's parameters.
  GgufNames(const GgufArchitecture& architecture, std::span<const Rewrite> of_model);
  std::optional<std::string> of_tensor(const std::string& name) const;  // a checkpoint's
  std::optional<std::string> of_parameter(const std::string& name) const;

 private:
  void add(const GgufArchitecture& architecture, const Rewrite& rule);
  std::map<std::string, std::string> written_, of_parameters_;  // layers are layer 0
};

/// Of the model that a path holds, a GGUF file or a folder.
GgufNames gguf_names_of(const std::filesystem::path& path, const LanguageModel& model);

}  // namespace hearth::llm
