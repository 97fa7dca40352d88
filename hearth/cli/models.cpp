// hearth models: what the Hub's cache and the current folder hold.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "hearth/cli/commands.h"
#include "hearth/cli/json_out.h"
#include "hearth/cli/model_options.h"
#include "hearth/io/gguf.h"
#include "hearth/io/hub.h"
#include "hearth/llm/describe.h"

namespace hearth::cli {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Place {
  std::string name;  // for --model
  fs::path folder;
};

/// Folders in a folder, by name.
std::vector<fs::path> folders_in(const fs::path& folder) {
  std::vector<fs::path> all;
  std::error_code none;
  for (fs::directory_iterator at(folder, none), end; !none && at != end; at.increment(none)) {
    std::error_code other;
    if (fs::is_directory(at->path(), other)) all.push_back(at->path());
  }
  std::sort(all.begin(), all.end());
  return all;
}

/// Revisions by the commit they point to, as refs/ has them; of several "main" is the one.
std::map<std::string, std::string> revisions_of(const fs::path& model) {
  std::map<std::string, std::string> by_commit;
  std::error_code none;
  for (fs::recursive_directory_iterator at(model / "refs", none), end; !none && at != end;
       at.increment(none)) {
    std::string commit;
    if (std::ifstream file(at->path()); !(file >> commit)) continue;
    const std::string revision = fs::relative(at->path(), model / "refs", none).string();
    std::string& known = by_commit[commit];
    if (known.empty() || revision == "main") known = revision;
  }
  return by_commit;
}

std::vector<Place> places() {
  std::vector<Place> all;
  for (const fs::path& model : folders_in(hub_cache())) {
    const std::string id = hub_name_of_entry(model.filename().string());
    if (id.empty()) continue;
    const auto revisions = revisions_of(model);
    for (const fs::path& snapshot : folders_in(model / "snapshots")) {
      const std::string commit = snapshot.filename().string();
      const auto known = revisions.find(commit);
      const std::string revision = known == revisions.end() ? commit : known->second;
      all.push_back({revision == "main" ? id : id + "@" + revision, snapshot});
    }
  }
  std::vector<fs::path> here{"."};
  for (const fs::path& folder : folders_in(".")) here.push_back(folder);
  std::error_code none;
  for (const fs::path& folder : here) {
    if (fs::exists(folder / "config.json", none)) all.push_back({folder.string(), folder});
    for (const fs::path& file : gguf_models_in(folder)) all.push_back({file.string(), file});
  }
  return all;
}

/// Of all files, links followed: what would be free without the model.
uintmax_t bytes_on_disk(const fs::path& folder) {
  uintmax_t bytes = 0;
  std::error_code none;
  for (fs::recursive_directory_iterator at(folder, none), end; !none && at != end;
       at.increment(none)) {
    std::error_code other;
    if (fs::is_regular_file(at->path(), other))
      if (const auto size = fs::file_size(at->path(), other); !other) bytes += size;
  }
  return bytes;
}

std::string parameters_text(size_t parameters) {
  if (parameters == 0) return "";
  return parameters < 1'000'000'000 ? fmt::format("{:.1f} M", double(parameters) / 1e6)
                                    : fmt::format("{:.2f} B", double(parameters) / 1e9);
}

void show(bool as_json) {
  json all = json::array();
  std::vector<std::vector<std::string>> rows{
      {"name", "family", "parameters", "size", "dtype", "use"}};
  for (const Place& place : places()) {
    const llm::Description d = llm::describe(place.folder);
    const uintmax_t bytes =
        fs::is_directory(place.folder) ? bytes_on_disk(place.folder) : d.found.bytes;
    const std::string dtype = fmt::format("{}", fmt::join(d.found.dtypes, ", "));
    std::error_code none;
    const fs::path path = fs::absolute(place.folder, none).lexically_normal();
    all.push_back({{"name", place.name},
                   {"path", path.string()},
                   {"type", d.found.type.empty() ? json() : json(d.found.type)},
                   {"parameters", d.has_weights ? json(d.found.parameters) : json()},
                   {"bytes", bytes},
                   {"dtype", dtype.empty() ? json() : json(dtype)},
                   {"use", d.use.empty() ? json() : json(d.use)},
                   {"reason", d.use.empty() ? json(d.found.sentence) : json()}});
    rows.push_back({place.name, d.found.type,
                    parameters_text(d.has_weights ? d.found.parameters : 0),
                    fmt::format("{:.2f} GB", double(bytes) / 1e9), dtype,
                    d.use.empty() ? "cannot be run" : d.use});
  }
  if (as_json) return print_json(all);
  if (all.empty())
    return print_out(fmt::format("no models in {} or here; hearth pull NAME fetches one\n",
                                 hub_cache().string()));
  std::vector<size_t> wide(rows[0].size());
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) wide[i] = std::max(wide[i], row[i].size());
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const bool number = i == 2 || i == 3;
      line += number ? fmt::format("{:>{}}  ", row[i], wide[i])
                     : fmt::format("{:<{}}  ", row[i], wide[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  print_out(text);
}

}  // namespace

void add_models(Command& app) {
  auto* command =
      app.add_subcommand("models", "List the models in the Hub's cache and in this folder");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "Print JSON (docs/cli.md)");
  command->callback([as_json] { show(*as_json); });
}

}  // namespace hearth::cli
