#include "hearth/io/hub.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <vector>

#include "hearth/base/error.h"
#include "hearth/io/json.h"

namespace hearth {

namespace fs = std::filesystem;

namespace {

std::optional<fs::path> folder_named(const char* variable) {
  const char* value = std::getenv(variable);
  if (!value || !*value) return std::nullopt;
  return fs::path(value);
}

fs::path expand_home(const fs::path& path) {
  const auto home = folder_named("HOME");
  if (home && !path.empty() && *path.begin() == "~") return *home / path.lexically_relative("~");
  return path;
}

/// What the Hub accepts as a name: one or two parts of letters, digits, - _ and . (no "..").
bool named_as_on_hub(std::string_view name) {
  const auto slash = name.find('/');
  const auto part = [](std::string_view text) {
    return !text.empty() && text.front() != '.' && text.find("..") == text.npos &&
           std::all_of(text.begin(), text.end(), [](unsigned char c) {
             return (c < 128 && std::isalnum(c)) || c == '-' || c == '_' || c == '.';
           });
  };
  if (slash == name.npos) return part(name);
  return part(name.substr(0, slash)) && part(name.substr(slash + 1));
}

/// The snapshot that the revision points to; without that file, the newest one.
std::optional<fs::path> find_snapshot(const fs::path& model, const std::string& revision,
                                      bool any_will_do) {
  const fs::path snapshots = model / "snapshots";
  std::string commit;
  if (std::ifstream ref(model / "refs" / revision); ref >> commit) {
    if (named_as_on_hub(commit) && fs::exists(snapshots / commit / "config.json"))
      return snapshots / commit;
  }
  if (fs::exists(snapshots / revision / "config.json")) return snapshots / revision;  // a commit
  if (!any_will_do) return std::nullopt;
  std::optional<fs::path> newest;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(snapshots, none)) {
    if (!fs::exists(entry.path() / "config.json")) continue;
    if (!newest || fs::last_write_time(entry.path()) > fs::last_write_time(*newest))
      newest = entry.path();
  }
  return newest;
}

}  // namespace

fs::path hub_cache() {
  if (auto cache = folder_named("HF_HUB_CACHE")) return expand_home(*cache);
  if (auto home = folder_named("HF_HOME")) return expand_home(*home) / "hub";
  if (auto cache = folder_named("XDG_CACHE_HOME"))
    return expand_home(*cache) / "huggingface" / "hub";
  return expand_home("~/.cache/huggingface/hub");
}

fs::path find_model(std::string_view name) {
  ensure(!name.empty(),
         "model: the name is empty; give a folder, or a name such as microsoft/phi-2");
  const fs::path folder(name);
  std::error_code none;
  if (fs::exists(folder, none)) {
    ensure(fs::is_directory(folder), folder.string(),
           ": a file, wanted the folder of a model (with config.json and its weights)");
    ensure(fs::exists(folder / "config.json"), folder.string(),
           ": not the folder of a model: it has no config.json");
    return folder;
  }
  const auto at = name.find('@');
  const std::string_view id = name.substr(0, at);
  const std::string revision(at == name.npos ? "main" : name.substr(at + 1));
  ensure(named_as_on_hub(id) && named_as_on_hub(revision), in_quotes(name),
         ": no such folder, and not a name as on the Hub (such as microsoft/phi-2)");

  std::string entry = concat("models--", id);
  if (auto slash = entry.find('/'); slash != entry.npos) entry.replace(slash, 1, "--");
  const fs::path model = hub_cache() / entry;
  if (auto snapshot = find_snapshot(model, revision, at == name.npos)) return *snapshot;
  const std::string how = concat("; get it with: hf download ", id,
                                 at == name.npos ? "" : concat(" --revision ", revision),
                                 " (or huggingface-cli download)");
  ensure(!fs::is_directory(model / "snapshots"), name, ": ", model.string(),
         " has no whole snapshot of ", revision, " (with config.json)", how);
  ensure(false, name, ": no such folder, and not in the Hugging Face cache (looked for ",
         model.string(), ")", how);
  return {};
}

}  // namespace hearth
