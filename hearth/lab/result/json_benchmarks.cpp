#include "hearth/lab/result/json_benchmarks.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/io/json.h"
#include "hearth/lab/result/imports.h"

namespace hearth::lab {

using nlohmann::json;

namespace {

constexpr double kShortestTime = 1e-6;  // of a time that is given as 0

/// The entries of a list of objects, each with its place for errors.
std::vector<JsonObject> objects(const JsonObject& file, const char* key) {
  std::vector<JsonObject> all;
  const json& list = file.raw()[key];
  ensure(!list.empty(), file.where(), ": ", key, " is empty");
  for (size_t i = 0; i < list.size(); ++i)
    all.push_back(JsonObject::parse(list[i].dump(), concat(file.where(), ": ", key, "[", i, "]")));
  return all;
}

/// Numbers that are not below 0; a null stands where a value is not known.
std::vector<std::optional<double>> numbers_or_null(const JsonObject& from, const char* key) {
  std::vector<std::optional<double>> all;
  if (!from.has(key)) return all;
  const json& list = from.raw()[key];
  ensure(list.is_array(), from.where(), ": ", key, ": wanted a list");
  for (const json& item : list) {
    ensure(item.is_null() || (item.is_number() && item.get<double>() >= 0), from.where(), ": ", key,
           ": wanted numbers that are not below 0, got ", in_quotes(item.dump()));
    all.push_back(item.is_null() ? std::nullopt : std::optional(item.get<double>()));
  }
  return all;
}

Job job_of(const std::string& group = "") {
  Job job;
  job.kind = JobKind::command;
  job.op = group;
  return job;
}

/// A new engine of that name: a name that stands twice is a second one. A benchmark within a
/// program is nothing that a shell could run.
EngineResult& add_engine(Import& import, const std::string& name, const char* what = "benchmark") {
  EngineResult e;
  e.label = name;
  for (int n = 2; import.result.engine(e.label); ++n) e.label = concat(name, "#", n);
  e.name = what;
  if (e.name == "command") e.program = name;
  e.device = "cpu";
  return import.engine(std::move(e));
}

std::string text_of(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void add_time(Import& import, EngineResult& e, Repetition r, double seconds, double& clock) {
  if (seconds <= 0 && e.notes.empty())
    e.notes.push_back("a time of 0 stands for what was too short to measure: it is taken as 1 us");
  r.total_s = std::max(seconds, kShortestTime * (seconds <= 0));
  r.start_s = clock;
  clock += r.total_s;
  import.add(e, std::move(r));
}

// --- hyperfine

Result hyperfine(const JsonObject& file, std::string_view name) {
  Import import("hyperfine", name);
  const int job = import.job(job_of());
  double clock = 0;
  for (const JsonObject& entry : objects(file, "results")) {
    EngineResult& e = add_engine(import, entry.text("command"), "command");
    const JsonObject parameters = entry.object("parameters");
    for (const std::string& key : parameters.keys())
      e.options["{" + key + "}"] = text_of(parameters.raw()[key]);
    // One parameter, as versions before 1.7 have it.
    if (entry.has("parameter")) e.options["{parameter}"] = text_of(entry.raw()["parameter"]);
    const auto times = numbers_or_null(entry, "times"),
               codes = numbers_or_null(entry, "exit_codes"),
               memory = numbers_or_null(entry, "memory_usage_byte");
    for (size_t i = 0; i < times.size(); ++i) {
      ensure(times[i].has_value(), entry.where(), ": times: wanted a number, got null");
      Repetition r;
      r.job = job;
      r.start = int(i);  // every run is a process
      e.starts.emplace_back();
      if (i < codes.size() && codes[i]) r.own["exit_code"] = *codes[i];
      if (i < memory.size() && memory[i]) r.own["peak_memory_bytes"] = *memory[i];
      for (const char* part : {"user", "system"})  // it has their means alone
        if (entry.has(part)) r.own[concat(part, "_s")] = entry.number(part);
      add_time(import, e, std::move(r), *times[i], clock);
    }
    if (times.empty()) {
      Published p{job, entry.positive_number("mean"), entry.number("stddev", 0), 1, 0, 0};
      e.published.push_back(p);
      e.notes.push_back("the file has no number of runs");
    }
  }
  return import.finish();
}

// --- Google Benchmark

/// Seconds in one of the file's units.
double unit_of_time(const JsonObject& entry) {
  const std::string unit = entry.text("time_unit", "ns");
  for (const auto& [word, seconds] :
       {std::pair("ns", 1e-9), {"us", 1e-6}, {"ms", 1e-3}, {"s", 1.0}})
    if (unit == word) return seconds;
  ensure(false, entry.where(), ": time_unit: wanted ns, us, ms or s, got ", in_quotes(unit));
  return 0;
}

void add_google(Import& import, const JsonObject& entry, int job, double& clock,
                std::map<std::string, std::string>& labels) {
  const std::string name = entry.text("name"), run = entry.text("run_name", name);
  const bool fresh = !labels.contains(run);
  if (fresh) labels[run] = add_engine(import, run).label;
  EngineResult e;
  e.label = labels[run];
  EngineResult& engine = import.engine(std::move(e));
  if (entry.has("error_occurred") && entry.flag("error_occurred")) {
    const std::string what = entry.text("error_message", "an error occurred");
    if (engine.faults.empty() || engine.faults.back() != what) engine.faults.push_back(what);
    engine.status = engine.repetitions.empty() ? EngineStatus::failed : EngineStatus::partial;
    return;
  }
  const double unit = unit_of_time(entry);
  if (entry.text("run_type", "iteration") == "aggregate") {
    // Of repetitions that stand beside it nothing is new; alone it is what there is.
    const std::string kind = entry.text("aggregate_name", "");
    if (!engine.repetitions.empty() || (kind != "mean" && kind != "stddev")) return;
    const double time = entry.number("real_time") * unit;
    if (kind == "mean")
      engine.published.push_back({job, entry.positive_number("real_time") * unit, 0,
                                  entry.positive("repetitions", entry.positive("iterations", 1)), 0,
                                  0});
    else if (!engine.published.empty())
      engine.published.back().stddev_s = std::abs(time);
    return;
  }
  Repetition r;
  r.job = job;
  // More calls than a repetition can have: their mean is the same.
  const double calls =
      std::min(std::floor(std::max(entry.positive_number("iterations"), 1.0)), double(INT32_MAX));
  r.calls = int(calls);
  const double seconds = entry.number("real_time");
  ensure(seconds >= 0, entry.where(), ": real_time: wanted a number that is not below 0");
  static constexpr std::string_view kKnown[] = {"family_index", "per_family_instance_index",
                                                "repetitions",  "repetition_index",
                                                "threads",      "iterations",
                                                "real_time"};
  for (const auto& [key, value] : entry.raw().items())
    if (value.is_number() && std::ranges::find(kKnown, key) == std::end(kKnown))
      r.own[key == "cpu_time" ? "cpu_s" : key] =
          value.get<double>() * (key == "cpu_time" ? unit : 1);
  add_time(import, engine, std::move(r), seconds * unit * calls, clock);
}

Result google(const JsonObject& file, std::string_view name) {
  Import import("Google Benchmark", name);
  const JsonObject context = file.object("context");
  import.result.created = context.text("date", "");
  auto& facts = import.result.environment;
  if (context.has("num_cpus")) facts.push_back({"cores", text_of(context.raw()["num_cpus"])});
  if (context.has("host_name")) facts.push_back({"host", text_of(context.raw()["host_name"])});
  if (context.has("cpu_scaling_enabled") && context.raw()["cpu_scaling_enabled"] == true)
    import.result.notes.push_back("the processor's clock was scaled while it ran, says the file");
  if (context.text("library_build_type", "") == "debug")
    import.result.notes.push_back("the benchmark's library was built for debugging, says the file");
  const int job = import.job(job_of());
  double clock = 0;
  std::map<std::string, std::string> labels;  // by run
  for (const JsonObject& entry : objects(file, "benchmarks"))
    add_google(import, entry, job, clock, labels);
  return import.finish();
}

// --- pytest-benchmark

Result pytest(const JsonObject& file, std::string_view name) {
  Import import("pytest-benchmark", name);
  Result& result = import.result;
  result.created = file.text("datetime", "");
  const JsonObject machine = file.object("machine_info"), commit = file.object("commit_info");
  const JsonObject cpu = machine.has("cpu") && machine.raw()["cpu"].is_object()
                             ? machine.object("cpu")
                             : JsonObject::parse("{}", file.where());
  for (const char* key : {"brand_raw", "brand"})
    if (cpu.has(key)) {
      result.environment.push_back({"processor", text_of(cpu.raw()[key])});
      break;
    }
  for (const auto& [fact, key] : {std::pair("os", "system"), {"kernel", "release"}})
    if (machine.has(key)) result.environment.push_back({fact, text_of(machine.raw()[key])});
  double clock = 0;
  for (const JsonObject& entry : objects(file, "benchmarks")) {
    const std::string group = entry.text("group", "");
    const int job = import.job(job_of(group));
    EngineResult& e = add_engine(import, entry.text("fullname", entry.text("name", "benchmark")));
    if (commit.has("id")) e.commit = text_of(commit.raw()["id"]);
    if (machine.has("python_version"))
      e.version = concat("Python ", text_of(machine.raw()["python_version"]));
    if (entry.has("params") && entry.raw()["params"].is_object())
      for (const auto& [key, value] : entry.raw()["params"].items())
        e.options["{" + key + "}"] = text_of(value);
    const JsonObject stats = entry.object("stats");
    const auto data = numbers_or_null(stats, "data");
    // Times of single calls: a round's time, over its iterations.
    const int calls = stats.positive("iterations", 1);
    for (const auto& time : data) {
      ensure(time.has_value(), entry.where(), ": stats: data: wanted a number, got null");
      Repetition r;
      r.job = job;
      r.calls = calls;
      add_time(import, e, std::move(r), *time * calls, clock);
    }
    if (data.empty())
      e.published.push_back({job, stats.positive_number("mean"), stats.number("stddev", 0),
                             stats.positive("rounds", 1), 0, 0});
  }
  return import.finish();
}

}  // namespace

std::optional<Result> import_json_benchmark(std::string_view text, std::string_view name) {
  const size_t begin = text.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (begin == text.npos || text[begin] != '{') return std::nullopt;
  json raw;
  try {
    raw = parse_json(text.substr(begin), name);
  } catch (const std::runtime_error&) {
    return std::nullopt;  // lines, or a log beside it: others look at those
  }
  const auto has_list = [&](const char* key) {
    const auto it = raw.find(key);
    return it != raw.end() && it->is_array();
  };
  const bool benchmarks = has_list("benchmarks"),
             commands = has_list("results") &&
                        (raw["results"].empty() ||
                         (raw["results"][0].is_object() && raw["results"][0].contains("command")));
  if (!benchmarks && !commands) return std::nullopt;
  const JsonObject file = JsonObject::parse(text.substr(begin), name);
  if (commands) return hyperfine(file, name);
  return raw.contains("machine_info") ? pytest(file, name) : google(file, name);
}

}  // namespace hearth::lab
