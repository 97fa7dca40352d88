#include "hearth/llm/models/family.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "hearth/base/listed.h"

namespace hearth::llm {

bool is_null(const JsonObject& config, std::string_view key) {
  return config.raw().contains(key) && !config.has(key);
}

Sizes read_sizes(const JsonObject& config, const SizeDefaults& d) {
  Sizes s = {};
  s.hidden = config.positive(d.hidden);
  s.layers = config.positive(d.layers);
  s.heads = config.positive(d.heads);
  const int kv_default =
      d.kv_heads > 0 && !is_null(config, "num_key_value_heads") ? d.kv_heads : s.heads;
  s.kv_heads = d.grouped ? config.positive("num_key_value_heads", kv_default) : s.heads;
  s.ffn = config.positive(d.width, d.ffn);
  s.vocab = config.positive("vocab_size");
  s.context = d.positions == std::string_view("max_position_embeddings")
                  ? read_context(config, d.context)
                  : config.positive(d.positions, d.context);
  const bool given = d.own_head_dim &&
                     (config.has("head_dim") || (d.head_dim > 0 && !is_null(config, "head_dim")));
  ensure((given || s.hidden % s.heads == 0) && s.heads % s.kv_heads == 0, config.where(), ": ",
         d.hidden, " ", s.hidden, ", ", d.heads, " ", s.heads, " and num_key_value_heads ",
         s.kv_heads, " must divide each other");
  s.head_dim = given ? config.positive("head_dim", d.head_dim) : s.hidden / s.heads;
  ensure(s.head_dim <= 1 << 16, config.where(), ": head_dim is ", s.head_dim,
         ", wanted at most 65536");
  ensure(s.layers <= 1000, config.where(), ": ", d.layers, " is ", s.layers,
         ", wanted at most 1000");
  // The largest are some hundred thousand; beyond, counts of elements would not fit in their types.
  constexpr int64_t kMost = 1 << 24;
  const std::pair<const char*, int64_t> sizes[] = {
      {d.hidden, s.hidden},
      {d.width, s.ffn},
      {"vocab_size", s.vocab},
      {"the width of all heads", int64_t(s.heads) * s.head_dim}};
  for (const auto& [name, size] : sizes)
    ensure(size <= kMost, config.where(), ": ", name, " is ", size, ", wanted at most ", kMost);
  return s;
}

NormForm read_rms_norm(const JsonObject& config, double eps) {
  return {.eps = float(config.positive_number("rms_norm_eps", eps))};
}
NormForm read_layer_norm(const JsonObject& config, bool bias, const char* key) {
  return {.eps = float(config.positive_number(key, 1e-5)), .rms = false, .bias = bias};
}

fast::Activation read_activation(const JsonObject& config, const std::string& fallback,
                                 const char* key) {
  static const std::map<std::string, fast::Activation> known = {
      {"gelu", fast::Activation::gelu},
      {"gelu_fast", fast::Activation::gelu_approx},
      {"gelu_new", fast::Activation::gelu_approx},
      {"gelu_pytorch_tanh", fast::Activation::gelu_approx},
      {"relu", fast::Activation::relu},
      {"silu", fast::Activation::silu},
      {"swish", fast::Activation::silu},
  };
  const std::string name = config.text(key, fallback);
  const auto found = known.find(name);
  if (found != known.end()) return found->second;
  std::vector<std::string> names;
  for (auto& [k, v] : known) names.push_back(k);
  ensure(false, config.where(), ": ", key, " ", in_quotes(name),
         " is not known; known: ", listed(names));
  return {};
}

int read_window(const JsonObject& config, int fallback) {
  if (is_null(config, "sliding_window")) return 0;
  return fallback > 0 ? config.positive("sliding_window", fallback)
                      : config.natural("sliding_window", 0);
}

std::string every_nth_full(int layer, int n) {
  return n > 0 && (layer + 1) % n != 0 ? "sliding_attention" : "full_attention";
}

std::vector<std::string> read_layer_types(const JsonObject& config, int layers,
                                          const std::function<std::string(int)>& fallback,
                                          const std::vector<std::string>& known) {
  std::vector<std::string> types;
  if (!config.has("layer_types")) {
    for (int i = 0; i < layers; ++i) types.push_back(fallback(i));
    return types;
  }
  const nlohmann::json& list = config.raw().at("layer_types");
  ensure(list.is_array() && int(list.size()) == layers, config.where(),
         ": layer_types: wanted a list of ", layers, " texts, one a layer");
  for (const auto& type : list) {
    ensure(type.is_string(), config.where(), ": layer_types: wanted texts");
    types.push_back(type.get<std::string>());
    ensure(std::find(known.begin(), known.end(), types.back()) != known.end(), config.where(),
           ": layer_types: ", in_quotes(types.back()),
           " is not known here; known: ", listed(known));
  }
  return types;
}

int read_pattern(const JsonObject& config, int fallback) {
  const char* key = "sliding_window_pattern";
  const bool letters = config.has(key) && config.raw().at(key).is_string();
  return letters ? int(config.text(key).size()) : config.natural(key, fallback);
}

Rope read_alpha_rope(const JsonObject& config, int head_dim) {
  Rope rope = read_rope(config, head_dim);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const JsonObject scaling = config.object(key);
    const int dims = rope.rotation.dims;
    if (!scaling.has("alpha") || dims <= 2) continue;
    const double alpha = scaling.positive_number("alpha");
    rope.rotation.base =
        float(double(rope.rotation.base) * std::pow(alpha, double(dims) / (dims - 2)));
    rope.beyond = {};
    break;
  }
  return rope;
}

void refuse_flag(const JsonObject& config, const char* key, bool wanted) {
  ensure(config.flag(key, wanted) == wanted, config.where(), ": ", key, " is ",
         wanted ? "false" : "true", ", which hearth does not have");
}

Traits make_traits(const JsonObject& config, const Sizes& sizes, const NormForm& norm, bool tied,
                   const std::function<LayerTraits(int)>& layer) {
  Traits t{.hidden = sizes.hidden, .vocab = sizes.vocab, .context = sizes.context, .norm = norm};
  t.tied = config.flag("tie_word_embeddings", tied);
  for (int i = 0; i < sizes.layers; ++i) t.layers.push_back(layer(i));
  return t;
}

}  // namespace hearth::llm
