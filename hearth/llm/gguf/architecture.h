// What llama.cpp calls a family of models and what it calls things in it.
#pragma once
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/io/gguf.h"
#include "hearth/llm/rewrite.h"

namespace hearth::llm {

/// A file's metadata with the architecture's keys: "rope.freq_base" is "llama.rope.freq_base".
class GgufKeys {
 public:
  GgufKeys(const Gguf& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}
  const Gguf& file() const { return file_; }
  std::string name(std::string_view key) const { return prefix_ + std::string(key); }
  const GgufValue* find(std::string_view key) const { return file_.find(name(key)); }
  std::optional<double> number(std::string_view key) const { return file_.number(name(key)); }
  std::optional<int64_t> integer(std::string_view key) const { return file_.integer(name(key)); }
  /// One number of each of `layers` layers, of a list or of one number for all; empty where the key
  /// is absent.
  std::vector<int64_t> by_layer(std::string_view key, int64_t layers) const;
  const GgufTensor* tensor(std::string_view name) const;

 private:
  const Gguf& file_;
  std::string prefix_;
};

struct GgufArchitecture {
  /// A key of the metadata, the field of config.json that it is, and what it is written as.
  struct Key {
    std::string_view from, to;
    GgufValue::Kind kind = GgufValue::u32;
  };

  std::string_view name;        // general.architecture
  std::string_view model_type;  // config.json's
  std::vector<Key> keys = {};   // beside those that all have
  /// Names of tensors that are not those that most have.
  std::vector<Rewrite> names = {};
  const char* defaults = "{}";  // fields of config.json that the file leaves out
  int pattern = 0;              // every so many-th layer is full, where the file does not say
  bool neighbours = false;      // q and k lie so that neighbours are rotated together
  bool one_added = false;       // to the weights of norms
  void (*more)(const GgufKeys& keys, nlohmann::json& config) = nullptr;
};

/// The keys that most have.
std::span<const GgufArchitecture::Key> gguf_keys();

/// All that are known, by name.
std::span<const GgufArchitecture> gguf_architectures();
/// The file's. Throws std::runtime_error naming it and those that are known.
const GgufArchitecture& gguf_architecture(const Gguf& file);

/// The layers of the model itself: those behind them draft.
int64_t gguf_layers(const Gguf& file, const GgufArchitecture& architecture);

/// N of "blk.N.", or -1.
int64_t gguf_layer_of(std::string_view tensor);

/// The names that most have, after those of the architecture.
std::span<const Rewrite> gguf_names();

}  // namespace hearth::llm
