#include "hearth/llm/describe.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "hearth/base/listed.h"
#include "hearth/io/recognize.h"
#include "hearth/llm/encoder.h"
#include "hearth/llm/registry.h"
#include "hearth/llm/tokenizer.h"

namespace hearth::llm {

namespace fs = std::filesystem;

namespace {

/// Whether nothing in the folder is named as weights are.
bool without_weights(const fs::path& folder) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none))
    if (entry.path().filename().string().find(".safetensors") != std::string::npos) return false;
  return weights_of_another_kind(folder).empty();
}

/// What the headers say of weights that no model of hearth's has counted.
void count(const TensorInfos& infos, Recognized& found) {
  std::set<std::string> dtypes;
  for (const auto& [name, info] : infos) {
    ++found.tensors;
    found.parameters += info.bytes / size_of(info.dtype);
    found.bytes += info.bytes;
    dtypes.insert(std::string(short_name(info.dtype)));
  }
  found.dtypes.assign(dtypes.begin(), dtypes.end());
}

}  // namespace

Description describe(const fs::path& folder) {
  Description d;
  d.found = recognize(folder);
  bool encodes = false;
  try {
    const JsonObject config = read_config(folder);
    encodes = Encoder::knows(config);
    if (d.found.usable || (d.found.packed.empty() && without_weights(folder) && !encodes)) {
      const auto model = make_model(config);
      const Dtype dtype = config_dtype(language_config(config));
      d.costs = model->costs(dtype);
      d.has_weights = d.found.usable;
      d.shape = !d.has_weights;
      if (d.has_weights) d.use = "generate";
      if (!d.shape) return d;
      d.found.parameters = d.costs.parameters;
      d.found.tensors = model->parameters().size();
      d.found.bytes = d.costs.parameters * size_of(dtype);
      d.found.dtypes = {std::string(short_name(dtype))};
    } else if (d.found.packed.empty()) {
      count(list_checkpoint(folder), d.found);
      d.has_weights = true;
      if (encodes) d.use = "embed";
    }
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    if (encodes || d.found.sentence.empty()) d.found.sentence = error.what();
  }
  return d;
}

std::string describe_tokenizer(const fs::path& folder) {
  std::error_code none;
  const auto file = Tokenizer::file_in(folder);
  if (!file) return fs::exists(folder / "vocab.txt", none) ? "in vocab.txt" : "";
  const std::string in = "in " + file->filename().string();
  std::string type;
  try {
    if (file->filename() == "tokenizer.json")
      type = JsonObject::read(*file).object("model").text("type", "BPE") + ", ";
    return concat(type, Tokenizer::load(*file).vocab_size(), " tokens, ", in);
  } catch (const std::runtime_error&) {
    return concat(type, in, ", which hearth cannot read");
  }
}

std::string describe_template(const fs::path& folder) {
  std::error_code none;
  if (fs::exists(folder / "chat_template.jinja", none)) return "chat_template.jinja";
  if (fs::exists(folder / "chat_template.json", none)) return "chat_template.json";
  const fs::path file = folder / "tokenizer_config.json";
  if (fs::exists(file, none) && JsonObject::read(file).has("chat_template"))
    return "tokenizer_config.json";
  return "";
}

}  // namespace hearth::llm
