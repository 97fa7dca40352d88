// Any quantization_config beside the tensors that it speaks of, and a file of these with bytes
// changed: the whole load of a small folder ends with a model, or with an error. What comes is the
// settings as JSON, then, after a zero, places and bytes. Start from tests/fuzz/packed_seeds:
// packed_folder_fuzz -max_total_time=60 CORPUS tests/fuzz/packed_seeds
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "hearth/llm/describe.h"
#include "hearth/ops/ops.h"
#include "tests/stored_tensors.h"

namespace {

using namespace hearth;
using hearth::testing::StoredTensors;
using nlohmann::json;

constexpr int kHidden = 64, kVocabulary = 16;

std::string zeros_of(size_t bytes) { return std::string(bytes, '\x11'); }

/// The tensors of a module of (64, 64) by every method, of which the settings choose.
void add_module(StoredTensors& all, const std::string& path, const std::string& method,
                const std::string& form) {
  const auto add = [&](const char* end, const char* dtype, std::vector<int64_t> shape,
                       size_t size) {
    size_t bytes = size;
    for (const int64_t n : shape) bytes *= size_t(n);
    all[path + end] = {dtype, shape, zeros_of(bytes)};
  };
  if (method == "awq" || method == "gptq") {
    const bool awq = method == "awq";
    add(".qweight", "I32", awq ? std::vector<int64_t>{64, 8} : std::vector<int64_t>{8, 64}, 4);
    add(".qzeros", "I32", {2, 8}, 4);
    add(".scales", "F16", {2, 64}, 2);
    if (!awq) add(".g_idx", "I32", {64}, 4);
  } else if (method == "compressed-tensors" && form == "pack-quantized") {
    add(".weight_packed", "I32", {64, 8}, 4);
    add(".weight_scale", "BF16", {64, 2}, 2);
    add(".weight_zero_point", "I32", {8, 2}, 4);
    add(".weight_shape", "I64", {2}, 8);
  } else if (method == "compressed-tensors" && form == "nvfp4-pack-quantized") {
    add(".weight_packed", "U8", {64, 32}, 1);
    add(".weight_scale", "F8_E4M3", {64, 4}, 1);
    add(".weight_global_scale", "F32", {1}, 4);
  } else if (method == "compressed-tensors") {
    add(".weight", form == "int-quantized" ? "I8" : "F8_E4M3", {64, 64}, 1);
    add(".weight_scale", "F32", {64, 1}, 4);
  } else {
    add(".weight", "F8_E4M3", {64, 64}, 1);
    add(".weight_scale_inv", "F32", {2, 2}, 4);
  }
}

std::string text_of(const json& settings, const char* key) {
  const auto found = settings.is_object() ? settings.find(key) : settings.end();
  return settings.is_object() && found != settings.end() && found->is_string()
             ? found->get<std::string>()
             : "";
}

std::string file_of(const json& settings) {
  StoredTensors all;
  const auto plain = [&](const char* name, std::vector<int64_t> shape) {
    size_t bytes = 4;
    for (const int64_t n : shape) bytes *= size_t(n);
    all[name] = {"F32", shape, zeros_of(bytes)};
  };
  plain("model.embed_tokens.weight", {kVocabulary, kHidden});
  plain("model.norm.weight", {kHidden});
  plain("model.layers.0.input_layernorm.weight", {kHidden});
  plain("model.layers.0.post_attention_layernorm.weight", {kHidden});
  for (const char* module : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                             "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"})
    add_module(all, std::string("model.layers.0.") + module, text_of(settings, "quant_method"),
               text_of(settings, "format"));
  return hearth::testing::safetensors_of(all);
}

/// A folder that goes with the process.
struct Folder {
  std::string path = "/tmp/packed_folder_fuzz.XXXXXX";
  Folder() {
    if (!::mkdtemp(path.data())) std::abort();
  }
  ~Folder() { std::filesystem::remove_all(path); }
  void write(const char* name, const std::string& content) const {
    std::ofstream(path + "/" + name, std::ios::binary) << content;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view settings = text.substr(0, text.find('\0'));
  const std::string_view changes = text.substr(std::min(size, settings.size() + 1));
  json config = {{"model_type", "llama"},       {"hidden_size", kHidden},
                 {"intermediate_size", 64},     {"num_hidden_layers", 1},
                 {"num_attention_heads", 2},    {"vocab_size", kVocabulary},
                 {"tie_word_embeddings", true}, {"max_position_embeddings", 16},
                 {"rms_norm_eps", 1e-5},        {"torch_dtype", "float32"}};
  config["quantization_config"] = json::parse(settings, nullptr, false);
  if (config["quantization_config"].is_discarded()) return -1;
  std::string file = file_of(config["quantization_config"]);
  for (size_t i = 0; i + 3 <= changes.size(); i += 3) {
    const size_t place = uint8_t(changes[i]) << 8 | uint8_t(changes[i + 1]);
    file[place % file.size()] = changes[i + 2];
  }
  folder.write("config.json", config.dump(-1, ' ', false, json::error_handler_t::replace));
  folder.write("model.safetensors", file);
  llm::recognize(folder.path);
  try {
    const auto model = llm::load_model(folder.path);
    auto cache = model->make_cache();
    const array tokens({1, 2, 3}, int32);
    model->forward({reshape(tokens, {1, 3}), {}}, cache).to_vector<float>();
  } catch (const std::runtime_error&) {
  }
  return 0;
}
