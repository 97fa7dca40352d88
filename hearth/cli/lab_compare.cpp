// hearth lab compare, engines; and what a run ends with.
#include "hearth/lab/judge/compare.h"

#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <set>

#include "hearth/base/system.h"
#include "hearth/cli/build_facts.h"
#include "hearth/cli/failure.h"
#include "hearth/cli/lab.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/advice.h"
#include "hearth/lab/show/plain.h"
#include "hearth/lab/show/standing.h"
#include "hearth/lab/show/verdicts.h"

namespace hearth::cli {

namespace fs = std::filesystem;

lab::EnginePlaces engine_places() {
  std::error_code none;
  lab::EnginePlaces places;
  places.hearth = fs::read_symlink("/proc/self/exe", none);
  places.adapters = places.hearth.parent_path().parent_path() / "share/hearth/engines";
  if (!fs::exists(places.adapters / "protocol.py", none))
    places.adapters = fs::path(kSourceDir) / "hearth/lab/engines";
  const char* python = setting("HEARTH_PYTHON");
  const fs::path peers = data_folder() / "peers/bin/python";
  places.python = python ? python : fs::exists(peers, none) ? peers.string() : "python3";
  return places;
}

std::vector<EngineFound> find_engines(std::string_view what) {
  const lab::EnginePlaces places = engine_places();
  std::vector<EngineFound> found;
  std::vector<std::unique_ptr<lab::Engine>> started;  // all at once: importing takes seconds
  for (const lab::KnownEngine& known : lab::known_engines(places)) {
    if (known.runs.find(what) == known.runs.npos) continue;
    found.push_back({known, {}});
    try {
      started.push_back(std::make_unique<lab::Engine>(lab::parse_engine(known.name), places));
    } catch (const lab::EngineFault& fault) {
      started.push_back(nullptr);
      found.back().hello = lab::Reading<lab::EngineHello>::missing(fault.what());
    }
  }
  for (size_t i = 0; i < found.size(); ++i) {
    if (!started[i]) continue;
    try {
      found[i].hello = started[i]->hello();
      started[i]->bye();
    } catch (const std::runtime_error& error) {
      found[i].hello = lab::Reading<lab::EngineHello>::missing(error.what());
    }
  }
  return found;
}

double parse_share(const std::string& text, std::string_view option) {
  const bool percent = text.ends_with('%');
  const auto number = parse_number<double>(text.substr(0, text.size() - percent));
  const double share = number.value_or(0) / (percent ? 100 : 1);
  if (share > 0 && share < 1) return share;
  throw UsageError(fmt::format("{}: '{}', wanted a share above 0, e.g. 3% or 0.03", option, text));
}

namespace {

std::string describe(const lab::Job& job) {
  if (job.kind == lab::JobKind::command) return "commands";
  if (job.kind == lab::JobKind::op) {
    std::string shape;
    for (int s : job.shape) shape += fmt::format("{}{}", shape.empty() ? "" : " x ", s);
    return fmt::format("{} {} {}", job.op, shape, job.dtype);
  }
  return fmt::format("{}: {} prompt tokens, {} new{}{}", lab::to_string(job.kind),
                     job.prompt_tokens, job.new_tokens,
                     job.batch > 1 ? fmt::format(", {} rows", job.batch) : "",
                     job.random_weights ? ", random weights" : "");
}

/// The lines of one engine: as the post has it, mean and standard deviation of n runs; below, what
/// its tokens and its start took.
std::string lines_of(const lab::Result& result, const lab::EngineResult& e, int index) {
  using lab::with_unit;
  const lab::Job& job = result.jobs[size_t(index)];
  if (job.kind == lab::JobKind::command) return lab::command_text(result, e, index);
  const lab::Times times = lab::times_of(result, e, index);
  std::string text = "  " + lab::padded(e.label, 24);
  if (lab::columns_of(e.label) > 24) text += fmt::format("\n  {:24}", "");
  if (times.totals.empty()) return text + fmt::format("{}\n", lab::to_string(e.status));
  const double mean = lab::mean(times.totals);
  text += fmt::format("{:>20} (std. dev. of {} runs)",
                      lab::with_spread(mean, lab::stddev(times.totals)), times.totals.size());
  if (job.kind == lab::JobKind::prefill)
    text += fmt::format("  {:.1f} prompt tokens/s", job.batch * job.prompt_tokens / mean);
  else if (job.kind != lab::JobKind::op)
    text += fmt::format("  {:.1f} tokens/s", job.batch * job.new_tokens / mean);
  // Tokens are timed one by one in other repetitions than those of the total.
  if (times.decode_per_s.value && times.streamed_per_s.value)
    text += fmt::format("; streamed {:.1f} tokens/s, decode {:.1f}", *times.streamed_per_s.value,
                        *times.decode_per_s.value);
  text += "\n";
  const int far = lab::outliers(times.totals);
  if (times.totals.size() > 1)
    text += fmt::format("  {:24}{:>20} (median, MAD{})\n", "",
                        lab::with_spread(lab::median(times.totals), lab::mad(times.totals)),
                        far ? fmt::format("; {} far off, kept", far) : "");
  std::string more;
  const auto add = [&](const char* what, const lab::Reading<double>& time) {
    if (time.value)
      more += fmt::format("{}{} {}", more.empty() ? "" : ", ", what, with_unit(*time.value));
  };
  add("first token after", times.first_token_s);
  add("between tokens", times.between_s);
  add("95 % within", times.between_95_s);
  add("99 %", times.between_99_s);
  add("loaded in", e.load_s);
  add("cold run", e.first_s);
  if (times.wake_s.value && *times.wake_s.value > 0) add("waking costs", times.wake_s);
  if (times.streamed_ratio.value && *times.streamed_ratio.value > 1.05)
    more += fmt::format("{}a streamed run takes {:.2f} times as long: each token is sent by itself",
                        more.empty() ? "" : ", ", *times.streamed_ratio.value);
  return more.empty() ? text : text + fmt::format("  {:24}{}\n", "", more);
}

/// What twins of one engine differ by: nothing smaller can be detected.
std::string noise_floor(const lab::Result& result, int job) {
  std::string text;
  for (const auto& e : result.engines) {
    const std::string twin = e.label + "#2";
    if (!result.engine(twin)) continue;
    if (const auto c = lab::compare(result, e.label, twin, job); c.time)
      text += fmt::format("  noise floor: {}\n", lab::to_text(c, result.jobs[size_t(job)]));
  }
  return text;
}

/// The smallest difference that as many starts detect.
std::string power_of(const lab::PairedRatio& time) {
  if (time.starts < 2) return "";
  const double least = lab::detectable(time.spread, time.starts);
  return fmt::format("  {} starts with this spread ({}) detect a difference of {} or more{}\n",
                     time.starts, lab::in_percent(time.spread), lab::in_percent(least),
                     least < 0.1 ? "" : ". Run more starts, or quiet the machine");
}

/// What to run for a verdict, where they took no turns.
std::string advice(const lab::Result& result, const std::string& a, const std::string& b, int job,
                   int columns) {
  lab::Explanation of;
  of.a.label = a, of.b.label = b, of.job = job;
  const lab::Advice advice = lab::advice_of(result, of, lab::Finding::no_turns);
  return lab::folded("  " + advice.words + "\n", size_t(columns)) +
         (advice.command.empty() ? ""
                                 : lab::folded_command(advice.command, size_t(columns)) + "\n");
}

}  // namespace

std::string summary(const lab::Result& given) {
  const lab::Result result = lab::plain(given);
  const int columns = width(STDOUT_FILENO);
  std::string text, verdicts;
  std::set<std::string> notes(result.notes.begin(), result.notes.end());
  const bool colour = is_terminal(STDOUT_FILENO) && !setting("NO_COLOR");
  for (size_t j = 0; j < result.jobs.size(); ++j) {
    const std::string of = describe(result.jobs[j]) + "\n";
    text += of + noise_floor(result, int(j));
    for (const auto& e : result.engines) text += lines_of(result, e, int(j));
    for (size_t i = 1; i < result.engines.size(); ++i) {
      const auto c = lab::compare(result, result.engines[0].label, result.engines[i].label, int(j));
      for (const auto& why : c.time ? c.gate.differences : std::vector<std::string>())
        text += "    not the same: " + why + "\n";
      for (const auto& why : c.time ? c.gate.notes : std::vector<std::string>())
        if (notes.insert(why).second) text += "    note: " + why + "\n";
    }
    const std::string lines = lab::verdict_text(result, int(j), colour, columns);
    if (!lines.empty() && result.jobs.size() > 1)
      verdicts += "\n" + lab::folded(of, size_t(columns));
    verdicts += lines;
    const auto all = lab::standings(result, int(j));
    const auto none = std::ranges::find(all, lab::Finding::no_turns, &lab::Standing::finding);
    const auto first = std::ranges::find(all, true, &lab::Standing::first);
    if (none != all.end() && first != all.end())
      verdicts += advice(result, result.engines[first->engine].label,
                         result.engines[none->engine].label, int(j), columns);
  }
  if (const auto overall = lab::over_jobs(result); !overall.empty())
    verdicts += "\n" + lab::folded(overall.front().sentence(), size_t(columns)) + "\n";
  for (const auto& note : result.notes) text += "  note: " + note + "\n";
  for (const auto& e : result.engines)
    for (const auto& fault : e.faults) text += fmt::format("  {}: {}\n", e.label, fault);
  return lab::folded(text, size_t(columns)) + (verdicts.empty() ? "" : "\n") + verdicts;
}

namespace {

constexpr int kDrift = 3, kBusy = 4;  // exit codes of --strict

struct CompareOptions {
  std::string file, a, b, fail, against, history, summary;
  bool json = false, strict = false;
};

nlohmann::json json_of(const lab::Comparison& c) {
  nlohmann::json out = {{"a", c.a},
                        {"b", c.b},
                        {"job", c.job + 1},
                        {"comparable", c.gate.comparable()},
                        {"drift_controlled", c.gate.drift_controlled},
                        {"differences", c.gate.differences},
                        {"unknown", lab::all_unknown(c.gate)},
                        {"notes", c.gate.notes},
                        {"verdict", nullptr},
                        {"ratio", nullptr}};
  if (c.time) {
    const lab::PairedRatio& time = c.time->time;
    out["ratio"] = time.ratio;
    out["interval"] = {time.low, time.high};
    out["pairs"] = c.time->pairs;
    out["starts"] = time.starts;
    out["disturbed"] = c.time->disturbed;
    if (!c.time->busy.empty()) out["busy"] = c.time->busy;
    out["detectable"] = time.starts < 2 ? nlohmann::json()
                                        : nlohmann::json(lab::detectable(time.spread, time.starts));
    if (const std::string verdict = c.verdict(); !verdict.empty()) out["verdict"] = verdict;
  }
  return out;
}

void compare(const CompareOptions& o) {
  const lab::Result result = lab::plain(lab::read_result(o.file));
  ensure(!result.engines.empty(), o.file, ": no engines");
  if (!o.against.empty()) {
    const double fail = o.fail.empty() ? 0 : parse_share(o.fail, "--fail-if-slower");
    return compare_with_history(result, {o.history, o.summary, fail, o.json});
  }
  std::vector<std::pair<std::string, std::string>> pairs;
  const std::string a = o.a.empty() ? result.engines[0].label : lab::one_line(o.a);
  if (!o.b.empty()) pairs = {{a, lab::one_line(o.b)}};
  for (const auto& e : result.engines)
    if (o.b.empty() && e.label != a) pairs.emplace_back(a, e.label);
  ensure(!pairs.empty(), o.file, ": only one engine; nothing to compare with");
  const double fail = o.fail.empty() ? 0 : parse_share(o.fail, "--fail-if-slower");
  const std::string drift =
      (result.plan.order.empty() ? "unknown order" : result.plan.order) + ": drift not controlled";
  auto all = nlohmann::json::array();
  std::string slower, busy;
  bool controlled = true;
  for (const auto& [first, second] : pairs)
    for (size_t j = 0; j < result.jobs.size(); ++j) {
      const auto c = lab::compare(result, first, second, int(j));
      all.push_back(json_of(c));
      controlled &= c.gate.drift_controlled;
      if (c.time && !c.time->busy.empty() && busy.empty()) busy = c.time->busy;
      if (!o.json) {
        std::string text = lab::to_text(c, result.jobs[j]) + "\n";
        if (c.time) text += power_of(c.time->time);
        for (const auto& why : c.gate.differences) text += "  not the same: " + why + "\n";
        for (const auto& what : c.gate.unknown) text += "  not known: " + what + "\n";
        text += lab::environment_line(c.gate);
        for (const auto& note : c.gate.notes) text += "  note: " + note + "\n";
        if (!c.gate.drift_controlled) text += "  " + drift + "\n";
        if (!c.gate.drift_controlled && c.gate.one_process)
          text += "  all runs of one are of one process: how processes differ is not seen\n";
        show_text(text);
        if (c.time && c.gate.comparable() && !c.gate.drift_controlled)
          print_out(advice(result, first, second, int(j), width(STDOUT_FILENO)));
      }
      if (fail == 0 || !slower.empty()) continue;
      if (!c.time || c.time->time.starts < lab::kFewestStarts)
        slower = fmt::format("{} and {}: too few starts", c.a, c.b);
      else if (!c.gate.drift_controlled)
        slower = fmt::format("{} and {}: {}", c.a, c.b, drift);
      else if (!c.gate.comparable())
        slower = fmt::format("{} and {} are not comparable", c.a, c.b);
      else if (!c.time->busy.empty())
        slower =
            fmt::format("{} and {}: undecided: the machine was busy: {}", c.a, c.b, c.time->busy);
      else if (c.time->time.high < 1 && c.time->time.ratio < 1 / (1 + fail))
        slower = fmt::format("{} is {:.1f} % slower than {}, more than {:.1f} %", c.a,
                             100 * (1 / c.time->time.ratio - 1), c.b, 100 * fail);
    }
  if (o.json) show_json(all);
  if (o.strict && !controlled) throw Failure(kDrift, o.file + ": " + drift);
  if (o.strict && !busy.empty())
    throw Failure(kBusy, o.file + ": undecided: the machine was busy: " + busy);
  ensure(slower.empty(), slower);
}

void list_engines(bool as_json) {
  auto all = nlohmann::json::array();
  bool python_missing = false;
  for (const EngineFound& found : find_engines("")) {
    const auto& hello = found.hello;
    const std::string& install = found.known.install;
    nlohmann::json entry = {{"name", found.known.name},
                            {"runs", found.known.runs},
                            {"available", hello.value.has_value()}};
    if (hello.value) {
      entry.update({{"version", hello.value->version},
                    {"devices", hello.value->devices},
                    {"lacks", hello.value->lacks}});
      entry["reason"] = entry["install"] = nullptr;
    } else {
      entry["reason"] = hello.reason;
      entry["install"] = install.empty() ? nlohmann::json() : nlohmann::json(install);
      entry["version"] = nullptr;
      entry["devices"] = nlohmann::json::array();
      entry["lacks"] = nlohmann::json::object();
    }
    all.push_back(entry);
    python_missing |= !hello.value && found.known.name != "hearth" &&
                      found.known.name != "openai" && found.known.name != "server";
    if (as_json) continue;
    std::string devices;
    for (const auto& d : hello.value ? hello.value->devices : std::vector<std::string>())
      devices += (devices.empty() ? "" : ", ") + d;
    print_out(lab::one_line(hello.value
                                ? fmt::format("{:12} {}  on {}  ({})", found.known.name,
                                              hello.value->version, devices, found.known.runs)
                                : fmt::format("{:12} unavailable: {}{}{}", found.known.name,
                                              hello.reason, install.empty() ? "" : "; ", install)) +
              "\n");
    if (hello.value)
      for (const auto& [what, why] : hello.value->lacks)
        print_out(lab::one_line(fmt::format("{:12}   {} unavailable: {}", "", what, why)) + "\n");
  }
  if (as_json)
    show_json(all);
  else if (python_missing)
    print_out(
        "tools/peers.sh makes a Python environment with them; $HEARTH_PYTHON names another.\n");
}

}  // namespace

void add_lab_compare(Command& lab) {
  auto* command = lab.add_subcommand("compare", "Say which engine of a result is faster, if any");
  auto o = std::make_shared<CompareOptions>();
  command->add_option("result", o->file, "What `hearth lab run` wrote")->required()->type_name("F");
  command->add_option("a", o->a, "An engine (default: the first)")->type_name("A");
  command->add_option("b", o->b, "Another (default: each of the others)")->type_name("B");
  command
      ->add_option("--fail-if-slower", o->fail,
                   "Exit 1 if A is slower than B by more than this, or the result cannot show it")
      ->type_name("X%");
  command
      ->add_option("--against", o->against,
                   "history: each engine against its earlier runs on this machine")
      ->one_of({"history"})
      ->type_name("WHAT");
  command->add_option("--file", o->history, "The history (default: in the user's folder of data)")
      ->type_name("F");
  command
      ->add_option("--summary", o->summary,
                   "Add what --against found to this file, as Markdown (default: "
                   "$GITHUB_STEP_SUMMARY, if set)")
      ->type_name("F");
  command->add_flag("--strict", o->strict,
                    "Exit 3 if the engines took no turns, 4 if the machine was busy");
  command->add_flag("--json", o->json, "Print JSON (docs/lab.md)");
  command->callback([o] {
    if (o->against.empty() && (!o->history.empty() || !o->summary.empty()))
      throw UsageError(fmt::format("{}: belongs to --against history",
                                   o->history.empty() ? "--summary" : "--file"));
    if (!o->against.empty() && (!o->a.empty() || o->strict))
      throw UsageError(
          "--against history: holds every engine against itself; leave A, B "
          "and --strict out");
    try {
      compare(*o);
    } catch (const std::invalid_argument& error) {
      throw UsageError(error.what());
    }
  });
}

void add_lab_engines(Command& lab) {
  auto* command = lab.add_subcommand("engines", "List the engines, and why one is not available");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "Print JSON");
  command->callback([as_json] { list_engines(*as_json); });
}

}  // namespace hearth::cli
