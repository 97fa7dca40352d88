#include "hearth/llm/generation_config.h"

#include "hearth/base/error.h"
#include "hearth/io/json.h"

namespace hearth::llm {

std::optional<SamplingOptions> recommended(const std::filesystem::path& folder,
                                           SamplingOptions options) {
  const auto file = folder / "generation_config.json";
  if (!std::filesystem::is_regular_file(file)) return {};
  const JsonObject json = JsonObject::read(file);
  bool any = false;
  const auto number = [&](const char* key, float& to) {
    if (!json.has(key)) return;
    to = float(json.number(key));
    any = true;
  };
  number("temperature", options.temperature);
  number("top_p", options.top_p);
  number("min_p", options.min_p);
  number("typical_p", options.typical_p);
  number("repetition_penalty", options.repetition_penalty);
  if (json.has("top_k")) {
    options.top_k = json.natural("top_k");
    any = true;
  }
  if (!json.flag("do_sample", true)) {
    options.temperature = 0;
    any = true;
  }
  try {
    check_options(options);
  } catch (const std::invalid_argument& error) {
    ensure(false, file.string(), ": ", error.what());
  }
  if (!any) return {};
  return options;
}

}  // namespace hearth::llm
