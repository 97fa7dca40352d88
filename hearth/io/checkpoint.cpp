#include "hearth/io/checkpoint.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "hearth/base/error.h"
#include "hearth/io/json.h"

namespace hearth {

namespace fs = std::filesystem;

namespace {

/// A shard lies in the folder or below it: an index from elsewhere must not open other files.
bool stays_inside(const fs::path& shard) {
  return !shard.empty() && shard.is_relative() &&
         std::none_of(shard.begin(), shard.end(),
                      [](const fs::path& part) { return part == ".."; });
}

/// Shard -> names of its tensors, both in order.
std::map<std::string, std::vector<std::string>> read_index(const fs::path& index) {
  const JsonObject file = JsonObject::read(index);
  ensure(file.has("weight_map"), index.string(), ": weight_map is missing");
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [tensor, shard] : file.object("weight_map").raw().items()) {
    ensure(shard.is_string(), index.string(), ": weight_map: ", in_quotes(tensor),
           ": wanted the name of a shard");
    const auto& name = shard.get_ref<const std::string&>();
    ensure(stays_inside(name), index.string(), ": the shard ", in_quotes(name),
           " is outside the folder");
    shards[name].push_back(tensor);
  }
  return shards;
}

Tensors load_shards(const fs::path& folder, const fs::path& index) {
  Tensors tensors;
  std::string missing;
  for (const auto& [shard, names] : read_index(index)) {
    const fs::path file = folder / shard;
    if (!fs::exists(file)) {
      missing += concat("\n  the shard ", in_quotes(shard), " of ", names.size(), " tensors");
      continue;
    }
    Tensors in_shard = load_safetensors(file.string()).first;
    for (const auto& name : names) {
      if (auto found = in_shard.extract(name))
        tensors.insert(std::move(found));
      else
        missing += concat("\n  the tensor ", in_quotes(name), " in ", in_quotes(shard));
    }
  }
  ensure(missing.empty(), index.string(), ": the checkpoint is not whole; missing are:", missing);
  return tensors;
}

}  // namespace

Tensors load_checkpoint(const fs::path& folder) {
  const fs::path single = folder / "model.safetensors";
  const fs::path index = folder / "model.safetensors.index.json";
  if (fs::exists(single)) return load_safetensors(single.string()).first;
  if (fs::exists(index)) return load_shards(folder, index);
  ensure(fs::is_directory(folder), folder.string(), ": no such folder");
  const bool torch = fs::exists(folder / "pytorch_model.bin") ||
                     fs::exists(folder / "pytorch_model.bin.index.json");
  ensure(
      false, folder.string(), ": no weights: neither model.safetensors nor ",
      index.filename().string(), " is there (--random-weights needs none)",
      torch ? "; pytorch_model.bin is, which hearth does not read: convert it to safetensors" : "");
  return {};
}

}  // namespace hearth
