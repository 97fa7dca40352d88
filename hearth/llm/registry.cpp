#include "hearth/llm/registry.h"

#include <map>

#include "hearth/base/listed.h"
#include "hearth/llm/recognize.h"

namespace hearth::llm {

namespace {
using Make = std::unique_ptr<LanguageModel> (*)(const JsonObject&);
const std::map<std::string, Make, std::less<>> kModels = {
    {"phi", make_phi},
};
}  // namespace

std::vector<std::string> known_models() {
  std::vector<std::string> names;
  for (auto& [name, make] : kModels) names.push_back(name);
  return names;
}

std::unique_ptr<LanguageModel> make_model(const JsonObject& config) {
  const std::string type = config.text("model_type");
  const auto found = kModels.find(type);
  if (found == kModels.end()) {
    const std::string packed = packed_by(config);
    ensure(false, config.where(), ": model_type ", in_quotes(type),
           " is not known; known: ", listed(known_models()),
           packed.empty() ? ""
                          : concat(". Its weights are quantized (", packed,
                                   "), which hearth cannot read yet either"));
  }
  try {
    auto model = found->second(config);
    model->facts.type = type;
    return model;
  } catch (const std::invalid_argument& error) {  // shapes that no array can have
    throw std::runtime_error(concat(config.where(), ": ", error.what()));
  }
}

}  // namespace hearth::llm
