#include "hearth/io/hub.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <optional>

#include "hearth/base/error.h"
#include "hearth/io/gguf.h"
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

/// HF_HOME, else XDG_CACHE_HOME/huggingface, else ~/.cache/huggingface.
fs::path hub_home() {
  if (const auto home = variable("HF_HOME")) return expand(*home);
  return fs::path(expand(variable("XDG_CACHE_HOME").value_or("~/.cache"))) / "huggingface";
}

/// Whether all parts between slashes are words of letters, digits, - _ . and what `more` has, and
/// none begins with a dot or has two.
bool all_parts_named(std::string_view text, std::string_view more) {
  for (;;) {
    const auto slash = text.find('/');
    const std::string_view part = text.substr(0, slash);
    const bool named = std::all_of(part.begin(), part.end(), [&](unsigned char c) {
      return (c < 128 && std::isalnum(c)) || c == '-' || c == '_' || c == '.' ||
             more.find(char(c)) != more.npos;
    });
    if (!named || part.empty() || part.front() == '.' || part.find("..") != part.npos) return false;
    if (slash == text.npos) return true;
    text.remove_prefix(slash + 1);
  }
}

/// The snapshots that may be meant, the best first: that which the revision points to, that which
/// it is, and, where any will do, the others, the newest first.
std::vector<fs::path> snapshots_of(const fs::path& model, const HubName& name) {
  const fs::path snapshots = model / "snapshots";
  std::vector<fs::path> all;
  std::string commit;
  if (std::ifstream ref(model / "refs" / name.revision); ref >> commit && is_hub_name(commit))
    all.push_back(snapshots / commit);
  all.push_back(snapshots / name.revision);  // a commit
  if (!name.any_revision) return all;
  std::error_code none;
  std::vector<std::pair<fs::file_time_type, fs::path>> others;
  for (const auto& entry : fs::directory_iterator(snapshots, none)) {
    std::error_code gone;
    if (const auto time = fs::last_write_time(entry.path(), gone); !gone)
      others.emplace_back(time, entry.path());
  }
  std::sort(others.rbegin(), others.rend());
  for (const auto& [time, path] : others) all.push_back(path);
  return all;
}

/// The GGUF file of that type, of several that are one model the first; nothing where none is.
std::optional<fs::path> file_of_type(const fs::path& snapshot, const HubName& name) {
  std::vector<std::string> names;
  std::error_code none;
  for (fs::recursive_directory_iterator at(snapshot, none), end; !none && at != end;
       at.increment(none)) {
    std::error_code other;
    if (fs::is_regular_file(at->path(), other))
      names.push_back(at->path().lexically_relative(snapshot).string());
  }
  try {
    return snapshot / gguf_files_of_type(names, name.type, name.id).at(0);
  } catch (const std::runtime_error&) {
    return {};
  }
}

/// What the name means in the cache.
std::optional<fs::path> find_in_cache(const fs::path& model, const HubName& name) {
  for (const fs::path& snapshot : snapshots_of(model, name)) {
    std::error_code none;
    if (!name.type.empty()) {
      if (const auto file = file_of_type(snapshot, name)) return file;
    } else if (fs::exists(snapshot / "config.json", none) || !gguf_models_in(snapshot).empty()) {
      return snapshot;
    }
  }
  return {};
}

}  // namespace

fs::path hub_cache() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const auto cache = variable(name)) return expand(*cache);
  return hub_home() / "hub";
}

bool is_hub_name(std::string_view name) {
  return name.size() <= 200 && std::count(name.begin(), name.end(), '/') <= 1 &&
         all_parts_named(name, "");
}

bool is_hub_revision(std::string_view revision) {
  return revision.size() <= 200 && all_parts_named(revision, "+=#@");
}

HubName parse_hub_name(std::string_view name) {
  const auto colon = name.rfind(':');
  const std::string_view whole = name.substr(0, colon);
  const auto at = whole.find('@');
  HubName parsed{std::string(whole.substr(0, at)),
                 std::string(at == whole.npos ? "main" : whole.substr(at + 1)), at == whole.npos,
                 std::string(colon == name.npos ? "" : name.substr(colon + 1))};
  ensure(is_hub_name(parsed.id) && is_hub_revision(parsed.revision) &&
             (colon == name.npos || is_hub_name(parsed.type)),
         in_quotes(name),
         ": no such folder, and not a name as on the Hub (such as microsoft/phi-2)");
  return parsed;
}

std::string hub_entry(std::string_view id) {
  std::string entry = concat("models--", id);
  if (auto slash = entry.find('/'); slash != entry.npos) entry.replace(slash, 1, "--");
  return entry;
}

std::string hub_name_of_entry(std::string_view entry) {
  constexpr std::string_view kModels = "models--";
  if (!entry.starts_with(kModels)) return "";
  entry.remove_prefix(kModels.size());
  const auto at = entry.find("--");
  const std::string id = at == entry.npos ? std::string(entry)
                                          : concat(entry.substr(0, at), "/", entry.substr(at + 2));
  return is_hub_name(id) ? id : "";
}

std::string hub_endpoint() {
  std::string endpoint = variable("HF_ENDPOINT").value_or("https://huggingface.co");
  while (endpoint.ends_with('/')) endpoint.pop_back();
  return endpoint;
}

std::string hub_token() {
  std::string token, from = "HF_TOKEN";
  if (const auto set = variable("HF_TOKEN")) {
    token = *set;
  } else if (const auto older = variable("HUGGING_FACE_HUB_TOKEN")) {
    token = *older, from = "HUGGING_FACE_HUB_TOKEN";
  } else {
    const auto named = variable("HF_TOKEN_PATH");
    const fs::path file = named ? fs::path(expand(*named)) : hub_home() / "token";
    from = file.string();
    std::ifstream in(file, std::ios::binary);
    char piece[4096];
    in.read(piece, sizeof piece);
    token.assign(piece, size_t(std::max<std::streamsize>(in.gcount(), 0)));
  }
  constexpr std::string_view kSpace = " \t\r\n";
  token.erase(0, std::min(token.find_first_not_of(kSpace), token.size()));
  token.erase(token.find_last_not_of(kSpace) + 1);
  ensure(std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c <= '~'; }), from,
         ": wanted a token, letters and digits without spaces");
  return token;
}

bool could_be_pulled(std::string_view name) {
  std::error_code none;
  if (fs::exists(fs::path(name), none)) return false;
  try {
    const HubName parsed = parse_hub_name(name);
    return !parsed.type.empty() && !find_in_cache(hub_cache() / hub_entry(parsed.id), parsed);
  } catch (const std::runtime_error&) {
    return false;
  }
}

fs::path find_model(std::string_view name) {
  ensure(!name.empty(),
         "model: the name is empty; give a folder, or a name such as microsoft/phi-2");
  const fs::path folder(name);
  std::error_code none;
  if (fs::exists(folder, none)) {
    if (find_gguf(folder) || fs::exists(folder / "config.json", none)) return folder;
    ensure(!fs::is_directory(folder), folder_without_config(folder));
    const auto kind = recognize_file(folder);
    ensure(
        false, folder.string(), kind && !kind->text ? concat(" is ", kind->is, ": ") : ": ",
        "a file, wanted the folder of a model (with config.json and its weights), or a GGUF file",
        kind && !kind->next.empty() ? concat(". ", kind->next) : "");
  }
  const HubName parsed = parse_hub_name(name);
  const fs::path model = hub_cache() / hub_entry(parsed.id);
  if (auto found = find_in_cache(model, parsed)) return *found;
  ensure(parsed.type.empty(), name,
         ": no such file, and not in the Hugging Face cache (looked for ", "a GGUF file of type ",
         parsed.type, " in ", model.string(), "); fetch it: hearth pull ", name);
  // What it is must be known before its gigabytes are fetched.
  const std::string how =
      concat("; fetch what it is, a small file, then ask whether hearth can run it: hearth pull ",
             name, " --include config.json && hearth info ", name, "; then hearth pull ", name);
  ensure(!fs::is_directory(model / "snapshots"), name, ": ", model.string(),
         " has no whole snapshot of ", parsed.revision, " (with config.json)", how);
  ensure(false, name, ": no such folder, and not in the Hugging Face cache (looked for ",
         model.string(), ")", how);
  return {};
}

}  // namespace hearth
