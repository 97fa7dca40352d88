// The tiny packed checkpoints of tests/data/packed, by tools/tiny_packed.py: no weight is stored,
// codes and scales follow from their names and places.
#pragma once
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/llm/tiny_checkpoint.h"
#include "tests/stored_tensors.h"

namespace hearth::testing {

/// tensor_of() of the script.
inline StoredTensor stored_tensor(const std::string& name, const nlohmann::json& spec,
                                  uint64_t salt) {
  static const std::map<std::string, const char*> kDtypes = {
      {"f32", "F32"}, {"f16", "F16"}, {"bf16", "BF16"},    {"i32", "I32"},     {"i64", "I64"},
      {"u8", "U8"},   {"i8", "I8"},   {"e4m3", "F8_E4M3"}, {"e8m0", "F8_E8M0"}};
  const std::string kind = spec[1];
  StoredTensor t{kDtypes.at(kind), spec[0], ""};
  size_t count = 1;
  for (const int64_t n : t.shape) count *= size_t(n);
  const auto put = [&](auto value) {
    t.bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  if (spec.size() > 2 && spec[2] == "given") {
    for (const auto& value : spec[3])
      kind == "i64" ? put(value.get<int64_t>()) : put(value.get<int32_t>());
    return t;
  }
  if (kind.find('f') != kind.npos) {
    const Shape shape{int(count)};
    for (const float v : tiny_tensor(name, shape, spec[2], spec[3], salt).to_vector<float>())
      kind == "f32" ? put(v) : kind == "f16" ? put(float16_t(v).bits) : put(bfloat16_t(v).bits);
    return t;
  }
  for (size_t i = 0; i < count; ++i) {
    const uint64_t bits = tiny_hash(name, i, salt);
    if (kind == "i32")
      put(uint32_t(bits >> 32));
    else
      put(uint8_t((bits >> 56 & spec[2].get<uint64_t>()) + spec[3].get<uint64_t>()));
  }
  return t;
}

/// One of them, and what transformers says of its dequantized weights.
class PackedCheckpoint {
 public:
  explicit PackedCheckpoint(const std::string& name) {
    const auto from = source_dir() / "tests/data/packed" / name;
    const auto tiny = nlohmann::json::parse(std::ifstream(from / "tiny.json"));
    config = nlohmann::json::parse(content_of(from / "config.json"));
    for (const auto& [key, spec] : tiny.at("tensors").items())
      tensors.emplace(key, stored_tensor(key, spec, tiny.at("salt")));
    positions = tiny.at("positions").get<std::vector<int>>();
    for (const auto& p : tiny.at("prompts"))
      prompts.push_back({p.at("ids"), p.at("greedy"), p.at("logits")});
  }
  static std::vector<std::string> names() {
    std::vector<std::string> all;
    std::error_code absent;  // the tests may have been carried elsewhere
    for (const auto& entry :
         std::filesystem::directory_iterator(source_dir() / "tests/data/packed", absent))
      all.push_back(entry.path().filename().string());
    std::sort(all.begin(), all.end());
    return all;
  }
  /// As a folder that load_model() reads.
  void save(const TempFolder& to) const {
    to.write("config.json", config.dump());
    to.write("model.safetensors", safetensors_of(tensors));
  }
  nlohmann::json& settings() { return config["quantization_config"]; }

  nlohmann::json config;
  StoredTensors tensors;
  std::vector<int> positions;
  std::vector<TinyCheckpoint::Prompt> prompts;
};

}  // namespace hearth::testing
