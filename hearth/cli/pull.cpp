// hearth pull: a model from the Hugging Face Hub into its cache.
#include "hearth/io/pull.h"
#include "hearth/cli/json_out.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>

#include "hearth/cli/commands.h"
#include "hearth/cli/interrupt.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/io/hub.h"
#include "hearth/io/mapped_file.h"
#include "hearth/llm/encoder.h"
#include "hearth/llm/registry.h"

namespace hearth::cli {

namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

struct Options : PullOptions {
  std::string name, revision;
  bool json = false;
};

/// "12.3 MB", with the unit that fits.
std::string size_text(double bytes) {
  const char* unit = "B";
  for (const char* next : {"kB", "MB", "GB", "TB"}) {
    if (bytes < 1000) break;
    bytes /= 1000, unit = next;
  }
  return *unit == 'B' ? fmt::format("{} B", int(bytes)) : fmt::format("{:.1f} {}", bytes, unit);
}

std::string duration_text(double seconds) {
  const auto s = int64_t(std::min(seconds, 1e6));
  if (s >= 3600) return fmt::format("{} h {:02} min", s / 3600, s / 60 % 60);
  return s >= 60 ? fmt::format("{} min {:02} s", s / 60, s % 60) : fmt::format("{} s", s);
}

/// One line of the terminal, rewritten ten times a second.
class Bar {
 public:
  void show(const PullProgress& p) {
    if (!terminal_) return;
    const auto now = Clock::now();
    if (now - shown_ < std::chrono::milliseconds(100)) return;
    shown_ = now;
    if (p.file.empty()) return;
    if (first_ == Clock::time_point()) first_ = now, began_at_ = p.done;
    const double seconds = std::chrono::duration<double>(now - first_).count();
    const double rate = seconds > 0.5 ? double(p.done - std::min(p.done, began_at_)) / seconds : 0;
    std::string text =
        fmt::format(" {} of {}", size_text(double(p.done)), size_text(double(p.total)));
    if (!p.waiting_for.empty())
      text += fmt::format("  waiting: {}", p.waiting_for);
    else if (rate > 0)
      text +=
          fmt::format("  {}/s  {} left  {}", size_text(rate),
                      duration_text(double(p.total - std::min(p.total, p.done)) / rate), p.file);
    const size_t room = size_t(width(STDERR_FILENO)) - 1;
    constexpr size_t kBar = 24;
    const size_t full = p.total ? size_t(double(p.done) / double(p.total) * kBar) : 0;
    std::string line =
        room > 60 ? fmt::format("[{:<{}}]", std::string(std::min(full, kBar), '#'), kBar) : "";
    line = (line + text).substr(0, room);
    print_err(fmt::format("\r{:<{}}", line, std::exchange(written_, line.size())));
  }
  /// Takes the line away.
  void clear() {
    if (written_) print_err(fmt::format("\r{:<{}}\r", "", std::exchange(written_, 0)));
  }

 private:
  const bool terminal_ = is_terminal(STDERR_FILENO);
  size_t written_ = 0;
  Clock::time_point shown_{}, first_{};
  uint64_t began_at_ = 0;
};

/// Says at once, before gigabytes come, that hearth will not be able to run the model.
void judge(const std::string& name, const std::filesystem::path& config) {
  try {
    const auto file = MappedFile::open(config);
    const auto bytes = file->bytes();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const JsonObject json = JsonObject::parse(text, name + ": config.json");
    if (!llm::Encoder::knows(json)) llm::make_model(json);
  } catch (const std::runtime_error& error) {
    print_err(fmt::format("note: hearth cannot run this model: {}\n", error.what()));
  }
}

json json_of(const Pulled& pulled) {
  json files = json::array();
  uint64_t all = 0, fetched = 0;
  for (const auto& file : pulled.files) {
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"fetched", file.fetched}});
    all += file.bytes;
    fetched += file.fetched ? file.bytes : 0;
  }
  return {{"name", pulled.id},
          {"revision", pulled.revision},
          {"commit", pulled.commit},
          {"whole", pulled.whole},
          {"folder", pulled.folder.string()},
          {"bytes", all},
          {"fetched_bytes", fetched},
          {"files", files}};
}

/// What is asked on a terminal.
bool agreed(const std::string& question) {
  print_err(question + " [y/N] ");
  std::string answer;
  return std::getline(std::cin, answer) && (answer == "y" || answer == "Y" || answer == "yes");
}

void run(const Options& o) {
  std::string name = o.name;
  if (!o.revision.empty()) name.insert(std::min(name.rfind(':'), name.size()), "@" + o.revision);
  CatchInterrupt ctrl_c;
  Bar bar;
  PullOptions options = o;
  options.there = [&](std::string_view file, const std::filesystem::path& at) {
    if (file != "config.json") return;
    bar.clear();
    judge(o.name, at);
  };
  Pulled pulled;
  try {
    pulled = pull_model(name, options, [&](const PullProgress& progress) {
      bar.show(progress);
      return !CatchInterrupt::flag();
    });
  } catch (...) {
    bar.clear();
    throw;
  }
  bar.clear();
  if (CatchInterrupt::flag() && !pulled.whole)
    print_err("what came is kept: the same command goes on there\n");
  if (o.json) {
    print_json(json_of(pulled));
  } else if (o.only_list) {
    uint64_t all = 0;
    for (const auto& file : pulled.files) {
      print_out(fmt::format("{:>10}  {}\n", size_text(double(file.bytes)), file.name));
      all += file.bytes;
    }
    print_out(fmt::format("{:>10}  in all\n", size_text(double(all))));
  } else if (pulled.whole) {
    print_out(pulled.folder.string() + "\n");
  }
  CatchInterrupt::fail_if_interrupted();
}

}  // namespace

void offer_to_pull(const std::string& model) {
  if (!could_be_pulled(model) || !is_terminal(STDIN_FILENO) || !is_terminal(STDERR_FILENO)) return;
  if (!agreed(model + " is not in the cache. Fetch it from the Hub now?")) return;
  Options o;
  o.name = model;
  run(o);
}

void add_pull(Command& app) {
  auto* command =
      app.add_subcommand("pull", "Fetch a model from the Hugging Face Hub into its cache");
  auto o = std::make_shared<Options>();
  command
      ->add_option("NAME", o->name,
                   "The model, as on the Hub: microsoft/phi-2, NAME@REVISION, or NAME:Q4_K_M for a "
                   "GGUF file of that type")
      ->required()
      ->type_name("");
  command->add_option("--revision", o->revision, "A branch, tag or commit (default: main)")
      ->type_name("R");
  command
      ->add_option("--include", o->include,
                   "Only files that match, such as \"*.json\" (default: what running it needs)")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  command->add_option("--exclude", o->exclude, "No files that match")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  add_number(*command, "--retries", o->retries.most, {0, 1000},
             "How often in a row a request that failed is made again");
  command->add_flag("--dry-run", o->only_list, "List the files, fetch none");
  command->add_flag("--json", o->json, "Print one JSON object (docs/cli.md)");
  command->callback([o] {
    if (!o->revision.empty() && o->name.find('@') != std::string::npos)
      throw UsageError("the revision is given twice: in NAME, and by --revision");
    run(*o);
  });
}

}  // namespace hearth::cli
