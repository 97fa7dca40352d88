#include "hearth/llm/recognize.h"

#include <fmt/format.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "hearth/base/listed.h"
#include "hearth/io/foreign.h"
#include "hearth/io/recognize.h"
#include "hearth/llm/registry.h"
#include "hearth/llm/tokenizer.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr std::string_view kPlain = "it reads plain weights: f32, f16, bf16";

/// quant_method -> as people write it; others stay as they are.
constexpr std::pair<std::string_view, std::string_view> kMethods[] = {
    {"awq", "AWQ"},     {"gptq", "GPTQ"},   {"fp8", "FP8"}, {"fbgemm_fp8", "FP8"},
    {"mxfp4", "MXFP4"}, {"nvfp4", "NVFP4"}, {"hqq", "HQQ"}, {"exl2", "EXL2"},
};

/// What ends the names of tensors that only packed weights have.
constexpr std::pair<std::string_view, std::string_view> kPackedNames[] = {
    {".qweight", "GPTQ or AWQ"},
    {".weight.absmax", "bitsandbytes, 4 bits"},
    {".SCB", "bitsandbytes, 8 bits"},
    {".weight_packed", "compressed-tensors"},
    {".weight_scale_inv", "FP8"},
    {".weight_scale", "FP8"},
    {"_blocks", "MXFP4"},
    {".scales", "MLX"},
};

const json* object_in(const json& from, const char* key) {
  const auto it = from.find(key);
  return it == from.end() || !it->is_object() || it->empty() ? nullptr : &*it;
}

bool set_in(const json& from, const char* key) {
  const auto it = from.find(key);
  return it != from.end() && it->is_boolean() && it->get<bool>();
}

std::string method_of(const json& settings) {
  std::string method;
  if (const auto it = settings.find("quant_method"); it != settings.end() && it->is_string())
    method = it->get<std::string>();
  for (const auto& [name, shown] : kMethods)
    if (method == name) return std::string(shown);
  if (method.empty()) return "a method that quantization_config does not name";
  const std::string quoted = in_quotes(method);
  return quoted.substr(1, quoted.size() - 2);
}

std::string bits_of(const json& settings) {
  if (set_in(settings, "load_in_4bit")) return ", 4 bits";
  if (set_in(settings, "load_in_8bit")) return ", 8 bits";
  for (const char* key : {"bits", "w_bit", "weight_bits"})
    if (const auto it = settings.find(key); it != settings.end() && it->is_number())
      return concat(", ", it->dump(), " bits");
  return "";
}

std::string settings_of(const json& config) {
  if (const json* mlx = object_in(config, "quantization")) return concat("MLX", bits_of(*mlx));
  for (const char* key : {"quantization_config", "compression_config"}) {
    const json* settings = object_in(config, key);
    if (!settings) continue;
    const std::string method = method_of(*settings);
    const bool loads = settings->contains("load_in_4bit") || settings->contains("load_in_8bit");
    if (method == "bitsandbytes" && loads && bits_of(*settings).empty()) continue;  // switched off
    return concat(method, bits_of(*settings));
  }
  return "";
}

// What every model passes over, and what checkpoints of the trunk alone lack.
const Rewrite kRewrites[] = {
    {"rotary_emb.inv_freq$", "", Rewrite::skip},  // follows from rope_theta
    {"^layers.", "model.layers."},
    {"^embed_tokens.", "model.embed_tokens."},
    {"^norm.", "model.norm."},
};

bool same(const array& a, const array& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  const array x = row_major(a), y = row_major(b);
  return std::memcmp(bytes_of(x).data(), bytes_of(y).data(), x.nbytes()) == 0;
}

void settle_tied(LanguageModel& model, Tensors& tensors, bool values) {
  const auto tied = model.tied();
  if (!tied) return;
  const auto head = tensors.find(tied->head), embedding = tensors.find(tied->embedding);
  if (head == tensors.end()) return;
  if (embedding == tensors.end()) {
    auto moved = tensors.extract(head);
    moved.key() = tied->embedding;
    tensors.insert(std::move(moved));
  } else if (!values || same(head->second, embedding->second)) {
    tensors.erase(head);
  } else {
    *tied->tied = false;
  }
}

}  // namespace

JsonObject read_config(const fs::path& folder) {
  std::error_code none;
  ensure(!fs::is_directory(folder, none) || fs::exists(folder / "config.json", none),
         folder_without_config(folder));
  return JsonObject::read(folder / "config.json");
}

std::string packed_by(const JsonObject& config) {
  const json& raw = config.raw();
  const json* text = object_in(raw, "text_config");
  const std::string outside = settings_of(raw);
  return outside.empty() && text ? settings_of(*text) : outside;
}

void refuse_packed(const fs::path& folder, const JsonObject& config) {
  const std::string packed = packed_by(config);
  ensure(packed.empty(), folder.string(), ": the weights are quantized (", packed,
         "), which hearth cannot read yet; ", kPlain);
}

Tensors arranged(const fs::path& folder, LanguageModel& model, Tensors tensors, bool values) {
  std::string problems, packed;
  for (const auto& [end, by] : kPackedNames)
    for (const auto& [key, tensor] : tensors)
      if (packed.empty() && key.ends_with(end))
        packed = concat("quantized (", by, ", as ", in_quotes(key), " shows), which hearth cannot ",
                        "read yet; ", kPlain);
  try {
    tensors = rewrite(std::move(tensors), kRewrites, values);
    tensors = rewrite(std::move(tensors), model.rewrites(), values);
    settle_tied(model, tensors, values);
    nn::Shapes shapes;
    for (const auto& [key, tensor] : tensors) shapes.emplace(key, tensor.shape());
    const auto before = [&](const std::string& name) {
      return name_before(name, model.rewrites());
    };
    problems = nn::mismatch(model.parameters(), shapes, {}, before);
  } catch (const std::runtime_error& error) {
    problems = error.what();
  }
  ensure(problems.empty() || packed.empty(), folder.string(), ": the weights are ", packed);
  ensure(problems.empty(), folder.string(),
         ": the weights are not those that config.json describes: ", problems);
  return tensors;
}

namespace {

Recognized look_at(const fs::path& path, Recognized& found) {
  std::error_code none;
  ensure(fs::exists(path, none), path.string(), ": no such file or folder");
  if (!fs::is_directory(path, none)) {
    const auto kind = recognize_file(path);
    const bool ours = path.extension() == ".safetensors" && !kind;
    ensure(!ours, path.string(), ": weights (safetensors) without their folder; name the folder, ",
           "with its config.json");
    ensure(kind.has_value(), path.string(), ": a file of a kind that hearth does not know; it ",
           "reads folders with a config.json and safetensors");
    ensure(false, path.string(), " is ", kind->is, ", not the folder of a model",
           kind->next.empty() ? "" : ". ", kind->next);
  }
  found.tokenizer = Tokenizer::file_in(path).has_value();
  const JsonObject config = read_config(path);
  found.type = language_config(config).text("model_type", "");
  found.packed = packed_by(config);
  const auto model = make_model(config);
  refuse_packed(path, config);
  Tensors tensors;  // of the shapes that the headers say: they have no values
  for (const auto& [name, info] : list_checkpoint(path))
    tensors.emplace(name, zeros(Shape(info.shape.begin(), info.shape.end()), info.dtype));
  tensors = arranged(path, *model, std::move(tensors), /*values=*/false);
  std::set<std::string> dtypes;
  for (const auto& [name, tensor] : tensors) {
    ++found.tensors;
    found.parameters += tensor.size();
    found.bytes += tensor.nbytes();
    dtypes.insert(std::string(short_name(tensor.dtype())));
  }
  found.dtypes.assign(dtypes.begin(), dtypes.end());
  found.usable = true;
  found.sentence =
      fmt::format("{}: a {} model, {:.1f} M parameters in {} tensors of {}, {:.1f} MB{}{}",
                  path.string(), found.type, double(found.parameters) / 1e6, found.tensors,
                  listed(found.dtypes), double(found.bytes) / 1e6,
                  model->facts.wrapper.empty()
                      ? ""
                      : "; only its language model is run: images and sound are not read",
                  found.tokenizer ? "" : "; it has no tokenizer, so it takes token ids only");
  return found;
}

}  // namespace

Recognized recognize(const fs::path& path) {
  Recognized found;
  try {
    look_at(path, found);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    found.sentence = error.what();
  }
  return found;
}

}  // namespace hearth::llm
