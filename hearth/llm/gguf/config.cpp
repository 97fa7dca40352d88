// config.json's fields of a GGUF file's metadata.
#include <algorithm>
#include <cmath>
#include <map>

#include "hearth/base/error.h"
#include "hearth/io/json.h"
#include "hearth/llm/gguf.h"
#include "hearth/llm/gguf/architecture.h"
#include "hearth/llm/gguf/tensors.h"

namespace hearth::llm {

namespace {

using nlohmann::json;

// What most architectures have.
constexpr GgufArchitecture::Key kKeys[] = {
    {"block_count", "num_hidden_layers"},
    {"context_length", "max_position_embeddings"},
    {"embedding_length", "hidden_size"},
    {"feed_forward_length", "intermediate_size"},
    {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads"},
    {"attention.key_length", "head_dim"},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", GgufValue::f32},
    {"attention.layer_norm_epsilon", "layer_norm_eps", GgufValue::f32},
    {"attention.sliding_window", "sliding_window"},
    {"rope.freq_base", "rope_theta", GgufValue::f32},
    {"expert_count", "num_experts"},
    {"expert_used_count", "num_experts_per_tok"},
    {"expert_feed_forward_length", "moe_intermediate_size"},
    {"expert_shared_count", "n_shared_experts"},
    {"expert_group_count", "n_group"},
    {"expert_group_used_count", "topk_group"},
    {"expert_weights_scale", "routed_scaling_factor", GgufValue::f32},
    {"expert_weights_norm", "norm_topk_prob", GgufValue::boolean},
    {"leading_dense_block_count", "first_k_dense_replace"},
};
// What deepseek2's files call experts as config.json does.
constexpr GgufArchitecture::Key kAlso[] = {{"expert_count", "n_routed_experts"}};

constexpr int64_t kMostLayers = 1000;

/// A number, a bool, a text, or of a list that has one value for all layers, that; of another list
/// the largest, since no more than one kind of layers has it.
json value_of(const Gguf& file, const std::string& key, const GgufValue& value) {
  if (const auto text = value.string()) return std::string(*text);
  if (value.kind == GgufValue::boolean) return *value.integer() != 0;
  if (const auto whole = value.integer()) return *whole;
  if (value.is_list()) {
    const std::vector<double> all = file.numbers(key);
    ensure(!all.empty(), file.name(), ": ", key, ": the list is empty");
    const double largest = *std::max_element(all.begin(), all.end());
    const bool whole = std::abs(largest) < 1e15 && largest == std::floor(largest);
    return whole ? json(int64_t(largest)) : json(largest);
  }
  const auto number = value.number();
  ensure(number && std::isfinite(*number), file.name(), ": ", key, ": wanted a finite number");
  return *number;
}

void read_rope(const GgufKeys& keys, json& config) {
  if (!config.contains("rope_theta")) config["rope_theta"] = 10000;
  const int64_t head = config.value("head_dim", int64_t(0));
  if (const auto dims = keys.integer("rope.dimension_count"); dims && head > 0)
    // Half a dimension more, so that the product, rounded down, is the number.
    config["partial_rotary_factor"] = *dims >= head ? 1 : (double(*dims) + 0.5) / double(head);
  json& rope = config["rope_parameters"] = json::object();
  const Gguf& file = keys.file();
  const auto said = file.text(keys.name("rope.scaling.type"));
  std::string type = said && *said != "none" ? std::string(*said) : "default";
  for (const auto& [from, to] : {std::pair("factor", "factor"),
                                 {"original_context_length", "original_max_position_embeddings"},
                                 {"yarn_beta_fast", "beta_fast"},
                                 {"yarn_beta_slow", "beta_slow"},
                                 {"attn_factor", "attention_factor"},
                                 {"yarn_attn_factor", "attention_factor"},
                                 {"yarn_log_multiplier", "mscale_all_dim"}})
    if (const auto number = keys.number(std::string("rope.scaling.") + from)) rope[to] = *number;
  if (rope.contains("mscale_all_dim")) rope["mscale"] = 1;
  if (const auto old = keys.number("rope.scale_linear"); old && !said && *old > 0 && *old != 1) {
    type = "linear";
    rope["factor"] = *old;
  }
  // gpt-oss alone does not round the dimensions between which yarn passes over.
  if (keys.name("") == "gpt-oss.") rope["truncate"] = false;
  const auto factors = [&](const char* tensor) { return small_values(file, tensor); };
  if (const auto all = factors("rope_freqs.weight"); !all.empty()) {
    type = "factors";
    rope["factors"] = all;
  } else if (const auto longer = factors("rope_factors_long.weight"); !longer.empty()) {
    type = "longrope";
    rope["long_factor"] = longer;
    rope["short_factor"] = factors("rope_factors_short.weight");
  }
  rope["rope_type"] = type;
}

/// layer_types, where the architecture has windows: a list of bools, or each how many-th is full.
void read_windows(const GgufKeys& keys, int pattern, json& config) {
  const int64_t window = config.value("sliding_window", int64_t(0));
  if (window <= 0) config.erase("sliding_window");
  if (pattern == 0) return;
  if (window <= 0) config["sliding_window"] = nullptr;
  const int64_t layers = config["num_hidden_layers"];
  const char* const key = "attention.sliding_window_pattern";
  const GgufValue* said = keys.find(key);
  std::vector<int64_t> slides;
  if (said && said->is_list())
    slides = keys.by_layer(key, layers);
  else if (said)
    pattern = int(std::clamp<int64_t>(keys.integer(key).value_or(1), 1, kMostLayers));
  json types = json::array();
  for (int64_t i = 0; i < layers; ++i) {
    const bool slide = slides.empty() ? (i + 1) % pattern != 0 : slides[size_t(i)] != 0;
    types.push_back(window > 0 && slide ? "sliding_attention" : "full_attention");
  }
  config["layer_types"] = types;
}

}  // namespace

std::span<const GgufArchitecture::Key> gguf_keys() { return kKeys; }

int64_t gguf_layers(const Gguf& file, const GgufArchitecture& architecture) {
  const GgufKeys keys(file, architecture.name);
  const int64_t all = keys.integer("block_count").value_or(0),
                drafting = keys.integer("nextn_predict_layers").value_or(0);
  ensure(drafting >= 0 && drafting < all, file.name(), ": ", keys.name("nextn_predict_layers"),
         ": ", drafting, " of ", all, " layers");
  return all - drafting;
}

std::vector<std::string> known_gguf_architectures() {
  std::vector<std::string> names;
  for (const auto& architecture : gguf_architectures()) names.emplace_back(architecture.name);
  return names;
}

JsonObject gguf_config(const Gguf& file) {
  const GgufArchitecture& architecture = gguf_architecture(file);
  const GgufKeys keys(file, architecture.name);
  json config = json::parse(architecture.defaults);
  config["model_type"] = architecture.model_type;
  const auto take = [&](std::span<const GgufArchitecture::Key> all) {
    for (const auto& [from, to, kind] : all)
      if (const GgufValue* value = keys.find(from))
        config[std::string(to)] = value_of(file, keys.name(from), *value);
  };
  take(kKeys), take(kAlso), take(architecture.keys);
  for (const char* key : {"block_count", "embedding_length", "attention.head_count"})
    ensure(keys.find(key), file.name(), ": ", keys.name(key), " is missing");
  const auto positive = [&](const char* key, const char* field, int64_t most) {
    const json& value = config[field];
    ensure(value.is_number_integer() && value >= 1 && value <= most, file.name(), ": ",
           keys.name(key), ": wanted an integer from 1 to ", most, ", got ", value.dump());
    return value.get<int64_t>();
  };
  positive("block_count", "num_hidden_layers", kMostLayers);
  config["num_hidden_layers"] = gguf_layers(file, architecture);
  const int64_t hidden = positive("embedding_length", "hidden_size", 1 << 24),
                heads = positive("attention.head_count", "num_attention_heads", 1 << 16);
  if (!config.contains("head_dim") && hidden % heads == 0) config["head_dim"] = hidden / heads;

  const GgufTensor* embedding = file.find_tensor("token_embd.weight");
  ensure(embedding && embedding->shape.size() == 2, file.name(),
         ": token_embd.weight is missing, or no matrix: the file has a tokenizer at most");
  config["vocab_size"] = embedding->shape[0];
  config["tie_word_embeddings"] = !file.find_tensor("output.weight");
  if (architecture.neighbours) config["rope_traditional"] = true;
  read_rope(keys, config);
  read_windows(keys, architecture.pattern, config);
  if (architecture.more) architecture.more(keys, config);
  if (const auto bos = file.integer("tokenizer.ggml.bos_token_id")) config["bos_token_id"] = *bos;
  if (const auto stops = gguf_stop_ids(file); !stops.empty()) config["eos_token_id"] = stops;
  config["dtype"] = to_string(gguf_dtype(file));
  return JsonObject::parse(config.dump(-1, ' ', false, json::error_handler_t::replace),
                           file.name());
}

std::string gguf_mix(const Gguf& file) {
  std::map<std::string, size_t> counts;
  size_t bytes = 0, weights = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    ++counts[ggml_type_name(tensor.type)];
    bytes += tensor.bytes;
    size_t elements = 1;
    for (const int64_t n : tensor.shape) elements *= size_t(n);
    weights += elements;
  }
  std::vector<std::pair<std::string, size_t>> order(counts.begin(), counts.end());
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (const auto& [type, count] : order)
    text += concat(text.empty() ? "" : ", ", type, " ", count);
  const double bits = weights ? 8.0 * double(bytes) / double(weights) : 0;
  const auto tenths = std::llround(bits * 10);
  return concat(text, " tensors; ", tenths / 10, ".", tenths % 10, " bits a weight");
}

}  // namespace hearth::llm
