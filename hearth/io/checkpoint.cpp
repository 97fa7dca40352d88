#include "hearth/io/checkpoint.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "hearth/base/error.h"
#include "hearth/base/listed.h"
#include "hearth/io/json.h"
#include "hearth/io/mapped_file.h"
#include "hearth/io/recognize.h"

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
    if (!shard.is_string())
      ensure(false, index.string(), ": weight_map: ", in_quotes(tensor),
             ": wanted the name of a shard");
    const auto& name = shard.get_ref<const std::string&>();
    if (!stays_inside(name))
      ensure(false, index.string(), ": the shard ", in_quotes(name), " is outside the folder");
    shards[name].push_back(tensor);
  }
  return shards;
}

/// A file of the checkpoint, and which of its tensors count: all where `names` is absent.
struct Part {
  fs::path file;
  std::optional<std::vector<std::string>> names;
};

std::vector<Part> parts_of(const fs::path& folder) {
  const fs::path single = folder / "model.safetensors";
  const fs::path index = folder / "model.safetensors.index.json";
  if (fs::exists(single)) return {{single, {}}};
  ensure(fs::is_directory(folder), folder.string(), ": no such folder");
  if (!fs::exists(index)) {
    const std::string instead = weights_of_another_kind(folder);
    ensure(false, folder.string(), ": no weights: neither model.safetensors nor ",
           index.filename().string(), " is there (--random-weights needs none)",
           instead.empty() ? how_to_fetch(folder) : "; " + instead);
  }
  std::vector<Part> parts;
  std::vector<std::string> missing;
  for (auto& [shard, names] : read_index(index)) {
    if (!fs::exists(folder / shard)) missing.push_back(in_quotes(shard));
    parts.push_back({folder / shard, std::move(names)});
  }
  ensure(missing.empty(), index.string(), ": ", missing.size(), " of ", parts.size(), " shards ",
         missing.size() == 1 ? "is" : "are", " missing: ", listed(missing), how_to_fetch(folder));
  return parts;
}

/// What `read` makes of each file, joined. A tensor that the index lists and its shard lacks is
/// left out, as transformers does: a tied head, for instance. Whoever needs it will say so.
template <class Read>
auto gather(const fs::path& folder, const Read& read) {
  decltype(read("")) all;
  for (const Part& part : parts_of(folder)) {
    auto in_file = read(part.file.string());
    if (!part.names) return in_file;
    for (const std::string& name : *part.names)
      if (auto found = in_file.extract(name)) all.insert(std::move(found));
  }
  return all;
}

}  // namespace

Tensors load_checkpoint(const fs::path& folder) {
  return gather(folder, [](const std::string& file) { return load_safetensors(file).first; });
}

TensorInfos list_checkpoint(const fs::path& folder) {
  return gather(folder, [](const std::string& file) {
    TensorInfos infos;
    for (TensorInfo& tensor :
         parse_safetensors_header(MappedFile::open(file)->bytes(), file).tensors) {
      std::string name = tensor.name;
      infos.emplace(std::move(name), std::move(tensor));
    }
    return infos;
  });
}

}  // namespace hearth
