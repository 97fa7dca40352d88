// A folder of Hugging Face's as a GGUF file has it: keys of config.json's fields, and tensors by
// the same tables that files are read by.
#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <set>

#include "hearth/base/error.h"
#include "hearth/io/json.h"
#include "hearth/llm/checkpoint.h"
#include "hearth/llm/gguf/architecture.h"
#include "hearth/llm/gguf/names.h"
#include "hearth/llm/gguf/tensors.h"
#include "hearth/llm/gguf/vocabulary.h"
#include "hearth/llm/gguf_out.h"
#include "hearth/llm/model.h"
#include "hearth/llm/registry.h"
#include "hearth/llm/tokenizer.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace from_folder {
namespace {

using nlohmann::json;

bool given(const json& f, std::string_view key) {
  const auto it = f.find(key);
  return it != f.end() && !it->is_null();
}

/// config.json with its fields by the names that the tables have.
json canonical(const JsonObject& config) {
  json f = config.raw();
  for (const auto& [from, to] : {std::pair("num_local_experts", "num_experts"),
                                 {"norm_epsilon", "layer_norm_eps"},
                                 {"layer_norm_epsilon", "layer_norm_eps"}})
    if (given(f, from) && !given(f, to)) f[to] = f[from];
  json rope = given(f, "rope_parameters") ? f["rope_parameters"]
              : given(f, "rope_scaling")  ? f["rope_scaling"]
                                          : json::object();
  if (given(rope, "full_attention")) {
    if (given(rope, "sliding_attention"))
      f["rope_local_base_freq"] = rope["sliding_attention"].value("rope_theta", 10000.0);
    rope = json(rope["full_attention"]);
  }
  if (given(rope, "type") && !given(rope, "rope_type")) rope["rope_type"] = rope["type"];
  if (given(rope, "rope_theta")) f["rope_theta"] = rope["rope_theta"];
  if (given(rope, "partial_rotary_factor"))
    f["partial_rotary_factor"] = rope["partial_rotary_factor"];
  f["rope_parameters"] = rope;
  if (given(f, "use_sliding_window") && f["use_sliding_window"] == false) f.erase("sliding_window");
  return f;
}

/// A folder on its way.
struct Folder {
  const std::string& where;
  const GgufArchitecture& architecture;
  json config;
  GgufModel& model;

  std::string key(std::string_view name) const { return concat(architecture.name, ".", name); }
  int64_t number(const char* field, int64_t otherwise) const {
    const auto it = config.find(field);
    return it != config.end() && it->is_number() ? it->get<int64_t>() : otherwise;
  }
  int64_t heads() const { return number("num_attention_heads", 1); }
  int64_t kv_heads() const { return number("num_key_value_heads", heads()); }
  int64_t head_dim() const { return number("head_dim", number("hidden_size", 1) / heads()); }

  void set(const GgufArchitecture::Key& of) {
    const auto it = config.find(of.to);
    if (it == config.end() || it->is_null()) return;
    const bool fits = of.kind == GgufValue::boolean ? it->is_boolean()
                      : of.kind == GgufValue::f32   ? it->is_number()
                                                    : it->is_number_unsigned();
    ensure(fits && (of.kind != GgufValue::u32 || it->get<uint64_t>() <= UINT32_MAX), where,
           ": config.json: ", of.to, ": is ", in_quotes(it->dump()), ", wanted ",
           of.kind == GgufValue::boolean ? "true or false"
           : of.kind == GgufValue::f32   ? "a number"
                                         : "a whole number");
    const std::string name = key(of.from);
    if (of.kind == GgufValue::boolean) return model.metadata.set(name, it->get<bool>());
    if (of.kind == GgufValue::f32) return model.metadata.set(name, it->get<float>());
    model.metadata.set(name, it->get<uint32_t>());
  }
  void refuse(bool bad, std::string_view what) const {
    ensure(!bad, where, ": ", what, ", which a GGUF file of the architecture ", architecture.name,
           " cannot say");
  }
};

void set_rope(Folder& f) {
  const json& rope = f.config["rope_parameters"];
  GgufMetadata& to = f.model.metadata;
  const double part =
      given(f.config, "partial_rotary_factor") ? double(f.config["partial_rotary_factor"]) : 1.0;
  if (f.architecture.neighbours || part != 1)
    to.set(f.key("rope.dimension_count"), uint32_t(part * double(f.head_dim())));
  const std::string type = given(rope, "rope_type") ? std::string(rope["rope_type"]) : "default";
  if (type == "default" || type == "llama3") return;
  f.refuse(type != "linear" && type != "yarn", concat("rope of the type ", in_quotes(type)));
  to.set(f.key("rope.scaling.type"), type);
  const auto put = [&](const char* field, const char* name) {
    if (given(rope, field)) to.set(f.key(name), rope[field].get<float>());
  };
  put("factor", "rope.scaling.factor");
  if (type == "linear") return;
  if (given(rope, "original_max_position_embeddings"))
    to.set(f.key("rope.scaling.original_context_length"),
           rope["original_max_position_embeddings"].get<uint32_t>());
  put("extrapolation_factor", "rope.scaling.yarn_ext_factor");
  put("attention_factor", "rope.scaling.yarn_attn_factor");
  put("beta_fast", "rope.scaling.yarn_beta_fast");
  put("beta_slow", "rope.scaling.yarn_beta_slow");
  f.refuse(given(rope, "mscale") || given(rope, "truncate"),
           "rope of yarn with mscale or truncate");
}

/// Which layers slide, where that is not what the architecture has anyway.
void set_windows(Folder& f) {
  const bool windows = given(f.config, "sliding_window");
  if (f.architecture.pattern == 0) {
    f.refuse(windows && f.architecture.name != "llama", "a sliding window");
    return;
  }
  if (!windows) return;
  if (!given(f.config, "layer_types")) {
    const int64_t pattern = f.number("sliding_window_pattern", f.architecture.pattern);
    if (pattern != f.architecture.pattern)
      f.model.metadata.set(f.key("attention.sliding_window_pattern"), uint32_t(pattern));
    return;
  }
  const json& types = f.config["layer_types"];
  const auto full = [&](size_t i) { return types[i] == "full_attention"; };
  size_t pattern = 1;
  while (pattern < types.size() && !full(pattern - 1)) ++pattern;
  for (size_t i = 0; i < types.size(); ++i)
    f.refuse(full(i) != ((i + 1) % pattern == 0), "layers that slide irregularly");
  if (pattern != size_t(f.architecture.pattern))
    f.model.metadata.set(f.key("attention.sliding_window_pattern"), uint32_t(pattern));
}

/// What files of these architectures leave out must be what readers take it for.
void check_unsaid(const Folder& f) {
  const json& c = f.config;
  const std::string_view name = f.architecture.name;
  const auto is = [&](const char* field, const json& wanted) {
    f.refuse(given(c, field) && c[field] != wanted,
             concat(field, " of ", c.value(field, json()).dump()));
  };
  if (name == "gemma2" || name == "gemma3") {
    const bool largest = f.number("num_hidden_layers", 0) == (name == "gemma2" ? 46 : 62);
    const int64_t scale = largest ? f.number("hidden_size", 0) / f.heads() : f.head_dim();
    if (given(c, "query_pre_attn_scalar"))
      f.refuse(c["query_pre_attn_scalar"].get<double>() != double(scale),
               concat("query_pre_attn_scalar of ", c["query_pre_attn_scalar"].dump()));
  }
  if (name == "gemma3") is("attn_logit_softcapping", nullptr);
  if (name == "qwen3moe") {
    is("norm_topk_prob", true);
    is("decoder_sparse_step", 1);
  }
  if (name == "phi2") is("qk_layernorm", false);
  if (name == "smollm3") {
    is("no_rope_layer_interval", 4);
    const json layers = given(c, "no_rope_layers") ? c["no_rope_layers"] : json::array();
    for (size_t i = 0; i < layers.size(); ++i)
      f.refuse((layers[i] != 0) != ((i + 1) % 4 != 0),
               "layers without rope other than every fourth");
  }
  const bool gelu = name == "phi2" || name == "starcoder2" || name.starts_with("gemma");
  if (!gelu) is("hidden_act", "silu");
}

/// llama3's factors of each frequency.
void add_frequencies(Folder& f) {
  const json& rope = f.config["rope_parameters"];
  if (!given(rope, "rope_type") || rope["rope_type"] != "llama3") return;
  f.refuse(!f.architecture.neighbours, "rope of the type llama3");
  const int64_t dim = f.head_dim();
  const auto number = [&](const char* key, double otherwise) {
    return given(rope, key) ? float(double(rope[key])) : float(otherwise);
  };
  const float base = given(f.config, "rope_theta") ? float(double(f.config["rope_theta"])) : 10000;
  const float factor = number("factor", 8), low = number("low_freq_factor", 1),
              high = number("high_freq_factor", 4),
              old = number("original_max_position_embeddings", 8192);
  std::vector<float> factors;
  for (int64_t i = 0; i < dim; i += 2) {
    const float frequency = 1.0f / std::pow(base, float(i) / float(dim));
    const float wave = float(2 * std::numbers::pi) / frequency;
    const float smooth = (old / wave - low) / (high - low);
    factors.push_back(wave < old / high  ? 1
                      : wave > old / low ? factor
                                         : 1 / ((1 - smooth) / factor + smooth));
  }
  f.model.tensors.push_back(
      {"rope_freqs.weight", array(factors.begin(), Shape{int(factors.size())}, float32), 0});
}

void set_keys(Folder& f, const std::filesystem::path& folder) {
  GgufMetadata& to = f.model.metadata;
  to.set("general.architecture", f.architecture.name);
  to.set("general.type", "model");
  to.set("general.name", std::filesystem::absolute(folder).lexically_normal().filename().string());
  for (const GgufArchitecture::Key& key : gguf_keys()) {
    f.set(key);
    if (key.to == "head_dim") f.set({"attention.value_length", "head_dim"});
  }
  for (const GgufArchitecture::Key& key : f.architecture.keys) f.set(key);
  // llama.cpp reads it where there is no tokenizer.
  if (f.architecture.neighbours || !Tokenizer::file_in(folder)) f.set({"vocab_size", "vocab_size"});
  set_rope(f), set_windows(f), check_unsaid(f);
}

/// Rows of a head so that those that are rotated together are neighbours.
array neighbours(const array& x, int heads) {
  Shape shape = x.shape();
  Shape split{heads, 2, shape[0] / heads / 2};
  split.insert(split.end(), shape.begin() + 1, shape.end());
  return reshape(swapaxes(reshape(x, split), 1, 2), shape);
}

void add_tensors(Folder& f, fast::Matrices tensors, const LanguageModel& shape) {
  const GgufNames names(f.architecture, shape.rewrites());
  const bool tied =
      given(f.config, "tie_word_embeddings") && f.config["tie_word_embeddings"] == true;
  const auto put = [&](const std::string& name, const std::string& to, fast::Matrix m) {
    const bool q = to.find(".attn_q.") != to.npos, k = to.find(".attn_k.") != to.npos;
    if (f.architecture.neighbours && (q || k)) {
      const int64_t heads = q ? f.heads() : f.kv_heads();
      const array x = m.packed() ? fast::dequantize(m) : m.dense();
      ensure(x.ndim() > 0 && x.shape(0) % (2 * heads) == 0, f.where, ": ", name, ": its shape is ",
             x.shape(), ", which are no ", heads, " heads");
      m = neighbours(x, int(heads));
    }
    f.model.tensors.push_back({to, std::move(m), 0});
  };
  fast::Matrices others;
  for (const auto& [name, m] : tensors) {
    if ((tied && name == "lm_head.weight") || name.ends_with(".rotary_emb.inv_freq")) continue;
    const auto to = names.of_tensor(name);
    if (!to) {
      others.emplace(name, m);
    } else if (f.architecture.one_added && gguf_adds_one(name)) {
      put(name, *to, add(astype(m.dense(), float32), array(1.0f)));
    } else {
      put(name, *to, m);
    }
  }
  for (const auto& [name, m] : rewrite(std::move(others), shape.rewrites())) {
    const auto to = names.of_parameter(name);
    ensure(to.has_value(), f.where, ": tensor ", in_quotes(name),
           " has no place in a GGUF file of the architecture ", f.architecture.name);
    put(name, *to, m);
  }
  std::set<std::string> seen;
  for (const GgufModel::Tensor& t : f.model.tensors)
    ensure(seen.insert(t.name).second, f.where, ": two tensors become ", t.name);
}

}  // namespace
}  // namespace from_folder

GgufModel gguf_model(const std::filesystem::path& folder) {
  using namespace from_folder;
  const Checkpoint checkpoint = read_checkpoint(folder);
  const JsonObject config = language_config(checkpoint.config);
  GgufModel model{.where = checkpoint.where, .metadata = {}, .tensors = {}, .facts = {}};
  const auto& architecture =
      gguf_architecture_of(checkpoint.where, config.text("model_type", std::string()));
  const std::unique_ptr<LanguageModel> shape = make_model(checkpoint.config);  // checks the fields
  try {
    Folder f{model.where, architecture, canonical(config), model};
    set_keys(f, folder);
    set_vocabulary(model.metadata, folder, config);
    add_tensors(f, checkpoint.tensors(/*values=*/true), *shape);
    add_frequencies(f);
    model.facts = {.architecture = std::string(architecture.name),
                   .layers = f.number("num_hidden_layers", 0),
                   .heads = f.heads(),
                   .kv_heads = f.kv_heads(),
                   .experts = f.number("num_experts", 0)};
  } catch (const json::exception& error) {
    ensure(false, model.where,
           ": a field of its JSON files is not what it should be: ", error.what());
  }
  return model;
}

GgufModel read_gguf_model(const std::filesystem::path& path) {
  if (const auto file = find_gguf(path)) return gguf_model(Gguf::open(*file));
  return gguf_model(path);
}

}  // namespace hearth::llm
