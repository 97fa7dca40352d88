// The tiny random checkpoints of tests/data/models, by tools/tiny_models.py: no weight is stored,
// each follows from its name and place.
#pragma once
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "hearth/io/safetensors.h"
#include "tests/paths.h"
#include "tests/temp_folder.h"

namespace hearth::testing {

/// FNV-1a of the name and splitmix64 of i, as hashes() of tools/tiny_values.py has it.
inline uint64_t tiny_hash(const std::string& name, size_t i, uint64_t salt) {
  uint64_t seed = 0xcbf29ce484222325u;
  for (unsigned char byte : name) seed = (seed ^ byte) * 0x100000001b3u;
  uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u + seed + salt;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

/// Element i of the tensor `name`: center + scale u, u in [-1, 1) by its hash.
inline array tiny_tensor(const std::string& name, const Shape& shape, double center, double scale,
                         uint64_t salt) {
  std::vector<float> values(element_count(shape));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = float(center + scale * (double(tiny_hash(name, i, salt) >> 40) / (1 << 23) - 1));
  return array(values.begin(), shape);
}

/// One of them, as a folder that load_model() reads, and what transformers says of it.
class TinyCheckpoint {
 public:
  struct Prompt {
    std::vector<int> ids, greedy;
    std::vector<std::vector<float>> logits;  // at each of `positions`
  };

  explicit TinyCheckpoint(const std::string& name) {
    const auto from = source_dir() / "tests/data/models" / name;
    const auto json = nlohmann::json::parse(std::ifstream(from / "tiny.json"));
    folder_.write("config.json", content_of(from / "config.json"));
    Tensors tensors;
    for (const auto& [key, t] : json.at("tensors").items()) {
      const std::vector<int> sizes = t[0];
      tensors.emplace(
          key, tiny_tensor(key, Shape(sizes.begin(), sizes.end()), t[1], t[2], json.at("salt")));
    }
    save_safetensors((folder_ / "model.safetensors").string(), tensors);
    positions = json.at("positions").get<std::vector<int>>();
    for (const auto& p : json.at("prompts"))
      prompts.push_back({p.at("ids"), p.at("greedy"), p.at("logits")});
  }

  /// Those that there are.
  static std::vector<std::string> names() {
    std::vector<std::string> all;
    std::error_code absent;  // the tests may have been carried elsewhere
    for (const auto& entry :
         std::filesystem::directory_iterator(source_dir() / "tests/data/models", absent))
      if (std::filesystem::exists(entry.path() / "tiny.json"))
        all.push_back(entry.path().filename().string());
    std::sort(all.begin(), all.end());
    return all;
  }

  const std::filesystem::path& path() const { return folder_.path(); }
  /// Of the language model, where config.json describes other parts too.
  std::string model_type() const {
    const auto config = nlohmann::json::parse(content_of(folder_ / "config.json"));
    return (config.contains("text_config") ? config["text_config"] : config).at("model_type");
  }

  std::vector<int> positions;
  std::vector<Prompt> prompts;

 private:
  TempFolder folder_;
};

}  // namespace hearth::testing
