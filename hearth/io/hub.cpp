#include "hearth/io/hub.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <optional>

#include "hearth/base/error.h"
#include "hearth/io/json.h"
#include "hearth/io/recognize.h"

namespace hearth {

namespace fs = std::filesystem;

namespace {

std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (!value || !*value) return std::nullopt;
  return value;
}

/// As Python's expandvars(expanduser(path)): "~" at the front, "$NAME" and "${NAME}" anywhere;
/// what is not set stays as it is.
std::string expand(const std::string& path) {
  std::string out;
  size_t at = 0;
  if (const auto home = variable("HOME"); home && (path == "~" || path.starts_with("~/")))
    out = *home, at = 1;
  while (at < path.size()) {
    const bool braces = path.compare(at, 2, "${") == 0;
    const size_t begin = at + (braces ? 2 : 1);
    size_t end = begin;
    while (end < path.size() &&
           (std::isalnum(static_cast<unsigned char>(path[end])) || path[end] == '_'))
      ++end;
    const bool whole =
        path[at] == '$' && end > begin && (!braces || (end < path.size() && path[end] == '}'));
    const auto value = whole ? variable(path.substr(begin, end - begin)) : std::nullopt;
    if (value)
      out += *value, at = end + (braces ? 1 : 0);
    else
      out += path[at++];
  }
  return out;
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
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const auto cache = variable(name)) return expand(*cache);
  if (const auto home = variable("HF_HOME")) return fs::path(expand(*home)) / "hub";
  return fs::path(expand(variable("XDG_CACHE_HOME").value_or("~/.cache"))) / "huggingface" / "hub";
}

fs::path find_model(std::string_view name) {
  ensure(!name.empty(),
         "model: the name is empty; give a folder, or a name such as microsoft/phi-2");
  const fs::path folder(name);
  std::error_code none;
  if (fs::exists(folder, none)) {
    if (fs::exists(folder / "config.json")) return folder;
    ensure(!fs::is_directory(folder), folder_without_config(folder));
    const auto kind = recognize_file(folder);
    ensure(false, folder.string(), kind && !kind->text ? concat(" is ", kind->is, ": ") : ": ",
           "a file, wanted the folder of a model (with config.json and its weights)",
           kind && !kind->next.empty() ? concat(". ", kind->next) : "");
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
  // What it is must be known before its gigabytes are fetched.
  const std::string how =
      concat("; fetch what it is, a small file, then ask whether hearth can run it: hf download ",
             id, " config.json", at == name.npos ? "" : concat(" --revision ", revision),
             " && hearth info ", name);
  ensure(!fs::is_directory(model / "snapshots"), name, ": ", model.string(),
         " has no whole snapshot of ", revision, " (with config.json)", how);
  ensure(false, name, ": no such folder, and not in the Hugging Face cache (looked for ",
         model.string(), ")", how);
  return {};
}

}  // namespace hearth
