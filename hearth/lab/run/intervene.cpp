#include "hearth/lab/run/intervene.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "hearth/base/error.h"
#include "hearth/lab/judge/times.h"

namespace hearth::lab {

double expected_seconds(const Intervention& i, const Result& result, const RunOptions& options) {
  constexpr double kSteadyAfter = 6;     // executions of a usual warm-up, after the first two
  constexpr double kStreamed = 1.0 / 3;  // of the rounds have an execution more
  const EngineResult& engine = *result.engine(i.engine);
  const auto total = total_of(engine, i.job);
  const double once = total ? total->mean_s : 0;
  const double start = engine.start_s.value.value_or(0) + engine.load_s.value.value_or(0);
  const double share = options.least_seconds / options.pairs;
  struct One {
    double time, pause;
  };
  std::vector<One> all;  // as it is, then as it is changed
  double starts_s = 0, round_s = 0;
  for (size_t k = 0; k <= i.to.size(); ++k) {
    all.push_back(
        {once * (k ? i.predicted : 1), k && i.change == "pause" ? std::stod(i.to[k - 1]) : 0});
    starts_s += start + all.back().time;
    round_s += all.back().time + std::max(share, all.back().time);
  }
  const double starts = options.starts > 0 ? std::min(options.starts, options.pairs)
                                           : starts_by_cost(options.pairs, starts_s, round_s);
  double sum = 0;
  for (const auto& [time, pause] : all) {
    sum += starts * (start + time);  // and a cold execution
    sum += time + std::clamp(options.warmup_s, 2 * time, kSteadyAfter * time);
    const double measured =
        time > 0 ? std::max(double(options.pairs), options.least_seconds / time) : 0;
    sum += (measured + kStreamed * options.pairs) * (time + pause);
    sum += options.pairs * time;  // the first of each turn, which counts not
  }
  return sum;
}

void try_out(Intervention& i, const Result& result, RunOptions options,
             const std::atomic<bool>& interrupted, const OnProgress& progress) {
  EngineSpec plain = parse_engine(i.engine.substr(0, i.engine.find('#')));
  options.engines = {plain};
  for (const std::string& to : i.to) {
    EngineSpec changed = plain;
    changed.text = fmt::format("{} ({} {})", plain.text, i.change, to);
    if (i.change == "batch") changed.altered.batch = std::stoi(to);
    if (i.change == "pause") changed.altered.pause_s = std::stod(to);
    if (i.change == "keepalive") changed.altered.keepalive = true;
    if (i.change == "threads" || i.change == "dtype" || i.change == "compile")
      changed.options[i.change] = to;
    options.engines.push_back(std::move(changed));
  }
  options.jobs = {result.jobs[size_t(i.job)]};
  options.against_itself = options.limits = options.launches = options.hash_weights = false;
  // Its run has one job.
  const auto of_job = [](std::vector<Repetition>& all, int job) {
    for (Repetition& r : all) r.job = job;
  };
  if (options.keep) {
    const auto is_it = [&](const Intervention& one) { return &one == &i; };
    const auto at = std::ranges::find_if(result.interventions, is_it);
    check(at != result.interventions.end(), "try_out: what is kept must be one of the result's");
    const int index = int(at - result.interventions.begin());
    options.keep = [&, index, keep = options.keep](Addition more) {
      more.intervention = index;
      of_job(more.repetitions, i.job);
      keep(more);
    };
  }
  std::optional<Result> before;
  if (i.executions.size() == options.engines.size()) {
    before.emplace();
    before->jobs = options.jobs;
    before->engines = i.executions;
    for (EngineResult& e : before->engines) of_job(e.repetitions, 0);
  }
  Result tried = run(options, interrupted, progress, std::move(before));
  i.executions = std::move(tried.engines);
  for (EngineResult& e : i.executions) {
    of_job(e.repetitions, i.job);
    for (Margin& m : e.margins) m.job = i.job;
    if (e.status != EngineStatus::ok && i.fault.empty() && tried.plan.finished)
      i.fault = concat(e.label, ": ", e.faults.empty() ? "it did not finish" : e.faults.front());
  }
  if (tried.plan.finished) i.measured_at = now_utc();
}

}  // namespace hearth::lab
