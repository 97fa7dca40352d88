#include "hearth/llm/registry.h"

#include <map>
#include <nlohmann/json.hpp>

#include "hearth/base/listed.h"
#include "hearth/llm/recognize.h"

namespace hearth::llm {

#define FAMILY(type, function) Traits function(const JsonObject& config);
#include "hearth/llm/models/families.inc"
#undef FAMILY

namespace {

using Family = Traits (*)(const JsonObject&);
const std::map<std::string, Family, std::less<>> kFamilies = {
#define FAMILY(type, function) {type, function},
#include "hearth/llm/models/families.inc"
#undef FAMILY
};

// Of models that read images or sound too: where the language model lies, and what is beside it.
const std::vector<Rewrite> kWrapped = {
    {"^model.language_model.", "model."},
    {"^language_model.model.", "model."},
    {"^language_model.lm_head.", "lm_head."},
    {"^model.visual.", "", Rewrite::skip},
    {"^visual.", "", Rewrite::skip},
    {"vision_tower.", "", Rewrite::skip},
    {"vision_model.", "", Rewrite::skip},
    {"audio_tower.", "", Rewrite::skip},
    {"embed_vision.", "", Rewrite::skip},
    {"embed_audio.", "", Rewrite::skip},
    {"multi_modal_projector.", "", Rewrite::skip},
};

}  // namespace

std::vector<std::string> known_models() {
  std::vector<std::string> names;
  for (auto& [name, family] : kFamilies) names.push_back(name);
  return names;
}

JsonObject language_config(const JsonObject& config) {
  if (!config.has("text_config")) return config;
  const JsonObject inner = config.object("text_config");
  nlohmann::json all = config.raw();
  all.erase("text_config");
  for (const auto& [key, value] : inner.raw().items())
    if (!value.is_null() || !all.contains(key)) all[key] = value;
  // Where either says so; a head that differs is not tied in any case.
  if (config.flag("tie_word_embeddings", false)) all["tie_word_embeddings"] = true;
  return JsonObject::parse(all.dump(), config.where());
}

std::unique_ptr<LanguageModel> make_model(const JsonObject& whole) {
  const JsonObject config = language_config(whole);
  const std::string type = config.text("model_type");
  const auto found = kFamilies.find(type);
  if (found == kFamilies.end()) {
    const std::string packed = packed_by(config);
    ensure(false, config.where(), ": model_type ", in_quotes(type),
           " is not known; known: ", listed(known_models()),
           packed.empty() ? ""
                          : concat(". Its weights are quantized (", packed,
                                   "), which hearth cannot read yet either"));
  }
  try {
    Traits traits = found->second(config);
    const bool wrapped = whole.has("text_config");
    if (wrapped) traits.rewrites.insert(traits.rewrites.begin(), kWrapped.begin(), kWrapped.end());
    auto model = std::make_unique<DecoderModel>(std::move(traits));
    model->facts.type = type;
    if (wrapped) model->facts.wrapper = whole.text("model_type", "");
    return model;
  } catch (const std::invalid_argument& error) {  // shapes that no array can have
    throw std::runtime_error(concat(config.where(), ": ", error.what()));
  }
}

}  // namespace hearth::llm
