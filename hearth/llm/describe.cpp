#include "hearth/llm/describe.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "hearth/base/listed.h"
#include "hearth/io/checkpoint.h"
#include "hearth/io/gguf.h"
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

Description describe(const ModelFiles& files) {
  const fs::path& folder = files.path();
  Description d;
  d.found = recognize(files);
  bool encodes = false;
  try {
    const JsonObject config = read_config(files);
    encodes = Encoder::knows(config);
    if (d.found.usable) {
      d.costs = d.found.costs;
      d.has_weights = true;
      d.use = "generate";
    } else if (d.found.packed.empty() && without_weights(folder) && !encodes) {
      const auto model = make_model(config);
      const Dtype dtype = config_dtype(language_config(config));
      d.costs = model->costs(dtype);
      d.shape = true;
      d.found.parameters = d.costs.parameters;
      d.found.tensors = model->parameters().size();
      d.found.bytes = d.costs.parameters * size_of(dtype);
      d.found.dtypes = {std::string(short_name(dtype))};
    } else if (d.found.packed.empty() || encodes) {
      count(list_checkpoint(folder), d.found);
      d.has_weights = true;
      if (encodes && d.found.packed.empty()) d.use = "embed";
    }
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    if (encodes || d.found.sentence.empty()) d.found.sentence = error.what();
  }
  return d;
}

namespace {

std::string describe_gguf_tokenizer(const Gguf& file) {
  const auto model = file.text("tokenizer.ggml.model"), split = file.text("tokenizer.ggml.pre");
  std::string what = concat(model.value_or("?"), split ? concat(" (", *split, ")") : "");
  try {
    return concat(what, ", ", Tokenizer::of_gguf(file).vocab_size(), " tokens");
  } catch (const std::runtime_error&) {
    return what + ", which hearth cannot read";
  }
}

}  // namespace

std::string describe_tokenizer(const ModelFiles& files) {
  const fs::path& folder = files.path();
  std::error_code none;
  const auto file = Tokenizer::file_in(files);
  if (!file) return fs::exists(folder / "vocab.txt", none) ? "in vocab.txt" : "";
  const std::string in = "in " + file->filename().string();
  if (const auto& gguf = files.gguf()) return concat(describe_gguf_tokenizer(*gguf), ", ", in);
  std::string type;
  try {
    if (file->filename() == "tokenizer.json")
      type = JsonObject::read(*file).object("model").text("type", "BPE") + ", ";
    return concat(type, Tokenizer::load(*file).vocab_size(), " tokens, ", in);
  } catch (const std::runtime_error&) {
    return concat(type, in, ", which hearth cannot read");
  }
}

std::string describe_template(const ModelFiles& files) {
  if (const auto& gguf = files.gguf())
    return gguf->find("tokenizer.chat_template") ? fs::path(gguf->name()).filename().string() : "";
  const fs::path& folder = files.path();
  std::error_code none;
  if (fs::exists(folder / "chat_template.jinja", none)) return "chat_template.jinja";
  if (fs::exists(folder / "chat_template.json", none)) return "chat_template.json";
  const fs::path file = folder / "tokenizer_config.json";
  if (fs::exists(file, none) && JsonObject::read(file).has("chat_template"))
    return "tokenizer_config.json";
  return "";
}

}  // namespace hearth::llm
