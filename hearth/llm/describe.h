// What a model's folder holds and what running it costs, from its configuration and the headers of
// its weights; no weight is read.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "hearth/llm/recognize.h"

namespace hearth::llm {

struct Description {
  Recognized found;  // parameters, tensors, bytes and dtypes also of models that hearth cannot run
  std::string use;   // the command for it: "generate", "embed"; empty: hearth cannot run it

  LanguageModel::Costs costs;  // of a language model that hearth knows
  bool has_weights = false;
  /// There is a config.json that hearth knows, and no weights of any kind: a shape, to be run with
  /// random ones. The counts are of these, in the dtype that the file names.
  bool shape = false;
};

/// Never throws for what it finds, as recognize().
Description describe(const ModelFiles& files);

/// "BPE, 50257 tokens, in tokenizer.json"; empty where there is no tokenizer.
std::string describe_tokenizer(const ModelFiles& files);
/// The file that has the chat template; empty where there is none.
std::string describe_template(const ModelFiles& files);

}  // namespace hearth::llm
