// hearth lab history and trend: results of this machine over time.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "hearth/base/system.h"
#include "hearth/cli/lab.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/lab/judge/trend.h"
#include "hearth/lab/result/history.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/report.h"
#include "hearth/lab/show/trend_text.h"
#include "hearth/lab/show/verdicts.h"

namespace hearth::cli {

namespace fs = std::filesystem;

fs::path data_folder() {
  const char *data = setting("XDG_DATA_HOME"), *home = setting("HOME");
  return data   ? fs::path(data) / "hearth"
         : home ? fs::path(home) / ".local/share/hearth"
                : fs::path();
}

fs::path history_file(const std::string& named) {
  if (!named.empty()) return named;
  const fs::path folder = data_folder();
  ensure(!folder.empty(),
         "no folder for the history: neither XDG_DATA_HOME nor HOME is set; name "
         "a file with --file");
  return folder / "history.db";
}

std::string keep_in_history(const lab::Result& result, const std::string& file) {
  const fs::path path = history_file(file);
  const int64_t id = lab::History(path, lab::History::Open::write).add(lab::run_of(result));
  return id ? fmt::format("run {} of {}\n", id, path.string())
            : fmt::format("{} has this run already\n", path.string());
}

namespace {

struct HistoryOptions {
  std::vector<std::string> add;
  std::string file;
  int64_t remove = 0;
  bool json = false;
};

nlohmann::json json_of(const std::vector<lab::HistoryRun>& runs) {
  auto all = nlohmann::json::array();
  for (const auto& run : runs) {
    auto points = nlohmann::json::array();
    for (const auto& p : run.points)
      points.push_back(
          {{"engine", p.engine}, {"job", p.job}, {"unit", p.unit}, {"seconds", p.seconds}});
    all.push_back({{"run", run.id},
                   {"created", run.created},
                   {"source", run.source},
                   {"facts", run.facts},
                   {"points", points}});
  }
  return all;
}

void history(const HistoryOptions& o) {
  const fs::path path = history_file(o.file);
  for (const std::string& file : o.add) print_out(keep_in_history(lab::read_result(file), o.file));
  if (o.remove > 0) {
    ensure(lab::History(path, lab::History::Open::write).remove(o.remove), path.string(),
           ": there is no run ", o.remove);
    print_out(fmt::format("removed run {}\n", o.remove));
  }
  if (!o.add.empty() || o.remove > 0) return;
  const auto runs = lab::History(path, lab::History::Open::read).runs();
  if (o.json) return show_json(json_of(runs));
  std::string text;
  for (const auto& run : runs) {
    text += fmt::format("{:5}  {}\n", run.id, lab::one_line(run.created));
    for (const auto& p : run.points)
      text += fmt::format("         {}, {}: {} round{}\n", lab::one_line(p.engine),
                          lab::one_line(p.job), p.seconds.size(), p.seconds.size() == 1 ? "" : "s");
  }
  show_text(text);
  print_out(path.string() + "\n");
}

struct TrendOptions {
  std::string engine, job, file;
  bool json = false;
};

/// "hearth:cpu, generate tiny-phi 4+200 (12 runs)", a line each, of what there is.
std::string what_there_is(const std::vector<lab::HistoryRun>& runs) {
  std::map<std::pair<std::string, std::string>, int> counts;
  for (const auto& run : runs)
    for (const auto& p : run.points) ++counts[{p.engine, p.job}];
  std::string text;
  for (const auto& [names, n] : counts)
    text += fmt::format("\n  {}, {} ({} run{})", lab::one_line(names.first),
                        lab::one_line(names.second), n, n == 1 ? "" : "s");
  return text;
}

void trend(const TrendOptions& o) {
  const fs::path path = history_file(o.file);
  const auto runs = lab::History(path, lab::History::Open::read).runs(o.engine);
  std::vector<std::string> jobs, near;
  for (const auto& run : runs)
    for (const auto& p : run.points)
      if (std::ranges::find(jobs, p.job) == jobs.end()) {
        jobs.push_back(p.job);
        if (p.job.find(o.job) != p.job.npos) near.push_back(p.job);
      }
  // Its whole name, or a part that one alone has.
  const bool exact = std::ranges::find(jobs, o.job) != jobs.end();
  if (!exact && near.size() != 1)
    throw std::runtime_error(fmt::format(
        "{}: {} has {} of it; there are{}", path.string(),
        o.engine + (o.job.empty() ? "" : ", " + o.job), near.empty() ? "no run" : "several jobs",
        what_there_is(lab::History(path, lab::History::Open::read).runs())));
  const auto t = lab::trend_of(runs, o.engine, exact ? o.job : near[0]);
  if (o.json) return show_json(to_json(t));
  print_out(lab::to_text(t, width(STDOUT_FILENO)));
}

}  // namespace

void compare_with_history(const lab::Result& result, const AgainstOptions& o) {
  const fs::path path = history_file(o.file);
  const auto all = lab::against(result, lab::History(path, lab::History::Open::read).runs());
  if (o.json)
    show_json(lab::to_json(all));
  else
    print_out(lab::to_text(all, width(STDOUT_FILENO)));
  const char* github = setting("GITHUB_STEP_SUMMARY");
  if (const std::string file = !o.summary.empty() ? o.summary
                               : github           ? github
                                                  : "";
      !file.empty()) {
    std::ofstream out(file, std::ios::app | std::ios::binary);  // a job's steps share it
    out << lab::to_markdown(all);
    ensure(bool(out.flush()), file, ": the summary cannot be written: ", std::strerror(errno));
  }
  if (o.fail <= 0) return;
  for (const auto& one : all)
    ensure(!(one.verdict == lab::Verdict::slower && one.ratio > 1 + o.fail), one.engine, " is ",
           fmt::format("{:.1f} % slower than it was, more than {:.1f} %", 100 * (one.ratio - 1),
                       100 * o.fail));
}

void add_lab_history(Command& lab) {
  auto* command = lab.add_subcommand("history", "Keep results of this machine; list them");
  auto o = std::make_shared<HistoryOptions>();
  command->add_option("--add", o->add, "Results of `hearth lab run`, or imported")->type_name("F");
  add_number<int64_t>(
      *command, "--remove", [o](int64_t id) { o->remove = id; }, {1, INT64_MAX},
      "Take out the run of that number");
  command->add_option("--file", o->file, "The history (default: in the user's folder of data)")
      ->type_name("F");
  command->add_flag("--json", o->json, "Print JSON (docs/lab.md)");
  command->callback([o] { history(*o); });
}

void add_lab_trend(Command& lab) {
  auto* command = lab.add_subcommand("trend", "Show an engine's times over all runs, and changes");
  auto o = std::make_shared<TrendOptions>();
  command->add_option("engine", o->engine, "Its label, as `lab history` has it")
      ->required()
      ->type_name("ENGINE");
  command->add_option("job", o->job, "The job's name, or a part that no other has")
      ->type_name("JOB");
  command->add_option("--file", o->file, "The history (default: in the user's folder of data)")
      ->type_name("F");
  command->add_flag("--json", o->json, "Print JSON (docs/lab.md)");
  command->callback([o] { trend(*o); });
}

}  // namespace hearth::cli
