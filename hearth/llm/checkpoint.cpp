#include "hearth/llm/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "hearth/io/checkpoint.h"
#include "hearth/io/hub.h"
#include "hearth/io/recognize.h"
#include "hearth/llm/gguf.h"
#include "hearth/llm/model.h"
#include "hearth/llm/packed/packed.h"
#include "hearth/llm/registry.h"
#include "hearth/nn/module.h"
#include "hearth/ops/ops.h"
#include "hearth/ops/quantize.h"

namespace hearth::llm {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// A quant_method: as people write it, how its tensors become matrices, and how a module's weight
/// is packed. Those without a reader cannot be read; others than these neither, and stay as they
/// are called.
struct Method {
  std::string_view name, shown;
  fast::Matrices (*read)(const PackedFolder& folder, Tensors tensors) = nullptr;
  Packing (*packing)(const PackedFolder& folder, const std::string& module, int64_t in) = nullptr;
};
constexpr Method kMethods[] = {
    {"awq", "AWQ", awq_matrices, awq_packing},
    {"gptq", "GPTQ", gptq_matrices, gptq_packing},
    {"fp8", "FP8", fp8_matrices, fp8_packing},
    {"fbgemm_fp8", "FP8", fp8_matrices, fp8_packing},
    {"compressed-tensors", "compressed-tensors", compressed_matrices, compressed_packing},
    {"mxfp4", "MXFP4"},
    {"nvfp4", "NVFP4"},
    {"hqq", "HQQ"},
    {"exl2", "EXL2"},
};
const Method* find_method(const json& settings) {
  const auto name = settings.find("quant_method");
  if (name == settings.end() || !name->is_string()) return nullptr;
  const auto found =
      std::ranges::find(kMethods, name->get_ref<const std::string&>(), &Method::name);
  return found == std::end(kMethods) ? nullptr : &*found;
}

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
  if (const Method* known = find_method(settings)) return std::string(known->shown);
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

/// MLX's settings: "quantization", which is written again as "quantization_config".
const json* mlx_settings(const json& config) {
  if (const json* settings = object_in(config, "quantization")) return settings;
  const json* other = object_in(config, "quantization_config");
  const bool mlx = other && !other->contains("quant_method") && other->contains("group_size") &&
                   other->contains("bits");
  return mlx ? other : nullptr;
}

/// Those of the whole, or else of its language model.
const json* mlx_settings_of(const JsonObject& config) {
  const json* settings = mlx_settings(config.raw());
  const json* text = object_in(config.raw(), "text_config");
  return settings || !text ? settings : mlx_settings(*text);
}

std::string settings_of(const json& config) {
  if (const json* mlx = mlx_settings(config)) return concat("MLX", bits_of(*mlx));
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

/// How MLX's settings pack a module: those of its own, or else those of all.
Packing mlx_packing(const JsonObject& config, const json& all, const std::string& path) {
  const auto own = all.find(path);
  const std::string who = concat(config.where(), ": quantization", own == all.end() ? "" : ": ",
                                 own == all.end() ? "" : path);
  const json& settings = own == all.end() || (own->is_boolean() && own->get<bool>()) ? all : *own;
  ensure(settings.is_object(), who, ": is ", in_quotes(settings.dump()), ", but ", path,
         ".scales is there");
  const auto number = [&](const char* key) -> std::optional<int> {
    const auto it = settings.find(key);
    if (it == settings.end() || it->is_null()) return {};
    ensure(it->is_number_integer() && *it >= 1 && *it <= 1 << 20, who, ": ", key,
           ": wanted a positive integer, got ", in_quotes(it->dump()));
    return it->get<int>();
  };
  const auto mode = settings.find("mode");
  ensure(mode == settings.end() || mode->is_string(), who, ": mode: wanted a text");
  try {
    return packing_of_mode(who, mode == settings.end() ? "affine" : mode->get<std::string>(),
                           number("group_size"), number("bits"));
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(error.what());
  }
}

/// MLX's arrays as matrices: a module is packed where its scales are there.
fast::Matrices mlx_matrices(const std::string& where, const JsonObject& config,
                            const json& settings, Tensors tensors) {
  constexpr std::string_view kScales = ".scales";
  std::vector<std::string> paths;
  for (const auto& [name, x] : tensors)
    if (name.ends_with(kScales)) paths.push_back(name.substr(0, name.size() - kScales.size()));
  std::sort(paths.begin(), paths.end());
  fast::Matrices out;
  for (const std::string& path : paths) {
    const Packing packing = mlx_packing(config, settings, path);
    const std::string weight = path + ".weight";
    Arrays planes;
    for (int i = 0; i < packing_info(packing).planes; ++i) {
      const auto plane = tensors.find(nn::plane_name(weight, packing, i));
      ensure(plane != tensors.end(), where, ": ", nn::plane_name(weight, packing, i),
             " is missing, but ", path, kScales, " is there");
      planes.push_back(plane->second);
      tensors.erase(plane);
    }
    out.emplace(weight, nn::matrix_of(concat(where, ": ", weight), packing, planes));
  }
  for (const auto& [name, x] : tensors) {
    ensure(x.dtype() != uint32, where, ": ", name, " holds codes (uint32), but its scales are ",
           "missing");
    out.emplace(name, x);
  }
  return out;
}

/// gpt-oss's own form of MXFP4: "X_blocks" u8 (E, rows, groups, 16) and "X_scales" u8 (E, rows,
/// groups), the bytes of MLX's mxfp4. Rows of gate and up take turns.
fast::Matrices mxfp4_matrices(const std::string& where, Tensors tensors) {
  constexpr std::string_view kBlocks = "_blocks", kExperts = ".mlp.experts.";
  std::vector<std::string> paths;
  for (const auto& [name, x] : tensors)
    if (name.ends_with(kBlocks)) paths.push_back(name.substr(0, name.size() - kBlocks.size()));
  std::sort(paths.begin(), paths.end());
  fast::Matrices out;
  for (const std::string& path : paths) {
    const std::string blocks = path + "_blocks", scales = path + "_scales";
    const size_t experts = path.rfind(kExperts);
    const std::string_view part = std::string_view(path).substr(
        experts == path.npos ? path.size() : experts + kExperts.size());
    ensure(part == "gate_up_proj" || part == "down_proj", where, ": ", blocks,
           " is packed (MXFP4), but hearth reads only experts' gate_up_proj and down_proj so");
    ensure(tensors.contains(scales), where, ": ", scales, " is missing, but ", blocks, " is there");
    const array x = tensors.at(blocks), s = tensors.at(scales);
    ensure(x.ndim() == 4 && x.shape(3) == 16 && x.dtype() == uint8, where, ": ", blocks, " is ",
           x.shape(), " of ", x.dtype(), ", wanted (experts, rows, groups, 16) of uint8");
    const array codes = reshape(x, {x.shape(0), x.shape(1), x.shape(2) * 16});
    const fast::Matrix all =
        nn::matrix_of(concat(where, ": ", blocks), Packing::mxfp4, {view(codes, uint32), s});
    tensors.erase(blocks), tensors.erase(scales);
    const std::string to = path.substr(0, experts) + ".moe.experts.";
    if (part == "down_proj") {
      out.emplace(to + "down_proj", all);
      continue;
    }
    for (const int turn : {0, 1})
      out.emplace(to + (turn == 0 ? "gate_proj" : "up_proj"),
                  map_planes(all, [turn](const array& plane) {
                    return contiguous(slice(plane, {0, turn, 0}, plane.shape(), {1, 2, 1}));
                  }));
  }
  out.insert(tensors.begin(), tensors.end());
  return out;
}

/// What mlx-lm changes is taken back: convolutions have channels last, (C, K, 1) for (C, 1, K), and
/// norms of families that keep w of 1 + w have the sum, where there is such a convolution.
void take_back_mlxs(Tensors& tensors) {
  bool sums = false;
  for (auto& [name, x] : tensors) {
    if (name.find("conv") == name.npos || x.ndim() != 3 || x.shape(2) != 1 || x.shape(1) == 1)
      continue;
    sums = sums || name.ends_with(".linear_attn.conv1d.weight");
    x = reshape(x, {x.shape(0), 1, x.shape(1)});
  }
  if (!sums) return;
  for (auto& [name, x] : tensors)
    for (const std::string_view norm :
         {".input_layernorm.weight", ".post_attention_layernorm.weight", "model.norm.weight",
          ".q_norm.weight", ".k_norm.weight"})
      if (name.ends_with(norm) && x.ndim() == 1) x = subtract(astype(x, float32), array(1.0f));
}

constexpr std::string_view kReads =
    "it reads plain weights (f32, f16, bf16), MLX's quantized ones, AWQ, GPTQ, FP8, "
    "compressed-tensors, and gpt-oss's MXFP4";

/// The settings of a method that is not MLX's, of the whole or of its language model.
std::optional<JsonObject> method_settings(const JsonObject& config) {
  for (const JsonObject& part : {config, config.object("text_config")})
    for (const char* key : {"quantization_config", "compression_config"})
      if (object_in(part.raw(), key)) return part.object(key);
  return {};
}

PackedFolder packed_folder(const fs::path& folder, const JsonObject& config,
                           const JsonObject& settings, bool values) {
  return {folder.string(), settings, config_dtype(language_config(config)), values};
}

/// What the model was made of, as its card says ("base_model: X", or a list of one), else
/// config.json.
std::string base_model(const fs::path& folder, const JsonObject& config) {
  std::ifstream card(folder / "README.md");
  std::string line;
  for (int i = 0; i < 200 && std::getline(card, line); ++i) {
    constexpr std::string_view kKey = "base_model:";
    if (!line.starts_with(kKey)) continue;
    std::string name = line.substr(kKey.size());
    if (name.find_first_not_of(" \r") == name.npos && std::getline(card, line)) name = line;
    std::erase_if(name, [](char c) { return std::strchr(" -\"'[]\r", c) && c != '-'; });
    while (name.starts_with('-')) name.erase(0, 1);
    if (is_hub_name(name)) return name;
  }
  const std::string from = config.text("_name_or_path", "");
  return is_hub_name(from) && from.find('/') != from.npos ? from : "";
}

/// The sentence's end for what cannot be read.
std::string instead_of(const std::string& packed, const fs::path& folder,
                       const JsonObject& config) {
  if (!packed.starts_with("bitsandbytes")) return concat("which hearth cannot read yet; ", kReads);
  const std::string base = base_model(folder, config);
  return concat(
      "which is made while a model is loaded and which hearth does not read. Take the "
      "model that it was made of: ",
      base.empty() ? "its card names it" : base);
}

fast::Matrices read_tensors(const fs::path& folder, const JsonObject& config, bool values) {
  const std::string packed = packed_by(config), where = folder.string();
  const json* mlx = mlx_settings_of(config);
  const auto settings = method_settings(config);
  const Method* const method = mlx || packed.empty() ? nullptr : find_method(settings->raw());
  const bool mxfp4 = method && method->shown == "MXFP4";
  ensure(packed.empty() || mlx || mxfp4 || (method && method->read), where,
         ": the weights are quantized (", packed, "), ", instead_of(packed, folder, config));
  Tensors tensors;
  if (values) {
    tensors = load_checkpoint(folder);
  } else {
    for (const auto& [name, info] : list_checkpoint(folder))
      tensors.emplace(name, zeros(Shape(info.shape.begin(), info.shape.end()), info.dtype));
  }
  take_back_mlxs(tensors);
  if (mlx) return mlx_matrices(where, config, *mlx, std::move(tensors));
  if (mxfp4) return mxfp4_matrices(where, std::move(tensors));
  if (method)
    return method->read(packed_folder(folder, config, *settings, values), std::move(tensors));
  return fast::Matrices(tensors.begin(), tensors.end());
}

}  // namespace

JsonObject read_config(const ModelFiles& files) {
  if (const auto& gguf = files.gguf()) return gguf_config(*gguf);
  const fs::path& folder = files.path();
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

std::string packed_as_names_show(const fast::Matrices& tensors) {
  /// What ends the names of tensors that only packed weights have.
  static constexpr std::pair<std::string_view, std::string_view> kPackedNames[] = {
      {".qweight", "GPTQ or AWQ"},
      {".weight.absmax", "bitsandbytes, 4 bits"},
      {".SCB", "bitsandbytes, 8 bits"},
      {".weight_packed", "compressed-tensors"},
      {".weight_scale_inv", "FP8"},
      {".weight_scale", "FP8"},
      {"_blocks", "MXFP4"},
      {".scales", "MLX"},
  };

  for (const auto& [end, by] : kPackedNames) {
    const std::string* first = nullptr;
    for (const auto& [key, tensor] : tensors)
      if (key.ends_with(end) && (!first || key < *first)) first = &key;
    if (first)
      return concat("quantized (", by, ", as ", in_quotes(*first), " shows), ",
                    by.starts_with("bitsandbytes")
                        ? concat("which hearth cannot read; ", kReads)
                        : concat("but config.json does not say how, under \"quantization",
                                 by == "MLX" ? "" : "_config", "\""));
  }
  return "";
}

void refuse_codes(const std::string& where, const nn::Parameters& parameters,
                  const fast::Matrices& tensors) {
  for (const auto& [name, p] : parameters)
    if (const auto x = tensors.find(name); x != tensors.end() && !x->second.packed())
      ensure(!is_integer(x->second.dtype()), where, ": ", name, " holds codes (", x->second.dtype(),
             "), and nothing says what they mean: its scales are missing");
}

Checkpoint read_checkpoint(const ModelFiles& files) {
  if (const auto& file = files.gguf())
    return {.where = file->name(),
            .config = gguf_config(*file),
            .tensors = [file](bool values) { return gguf_tensors(*file, values); },
            .named = [file](const std::string& name) { return gguf_name_of(*file, name); }};
  const fs::path& path = files.path();
  Checkpoint all{path.string(), read_config(files)};
  if (const auto file = path / "generation_config.json"; fs::exists(file))
    all.generation = JsonObject::read(file);
  all.tensors = [path, config = all.config](bool values) {
    return read_tensors(path, config, values);
  };
  if (const json* mlx = mlx_settings_of(all.config)) {
    all.packing = [mlx, config = all.config](const std::string& parameter, int64_t) {
      const std::string path = parameter.substr(0, parameter.rfind(".weight"));
      const auto own = mlx->find(path);
      const bool none = own != mlx->end() && own->is_boolean() && !own->get<bool>();
      return none ? Packing::dense : mlx_packing(config, *mlx, path);
    };
  } else if (const auto settings = method_settings(all.config); settings) {
    const Method* const method = find_method(settings->raw());
    if (method && method->packing)
      all.packing = [=, of = packed_folder(path, all.config, *settings, false)](
                        const std::string& parameter, int64_t in) {
        // What files call an expert's projections is not known: one speaks for all.
        const size_t experts = parameter.find(".experts.");
        const std::string module = experts == parameter.npos
                                       ? parameter.substr(0, parameter.rfind(".weight"))
                                       : parameter.substr(0, experts) + ".experts.0.up_proj";
        const bool outside = !module.starts_with("model.layers.");  // the head and embeddings
        return outside ? Packing::dense : method->packing(of, module, in);
      };
  }
  return all;
}

}  // namespace hearth::llm
