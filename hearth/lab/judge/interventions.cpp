#include "hearth/lab/judge/interventions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "hearth/base/error.h"
#include "hearth/lab/judge/busy.h"
#include "hearth/lab/judge/compare.h"
#include "hearth/lab/judge/hypotheses.h"
#include "hearth/lab/judge/roofline.h"
#include "hearth/lab/judge/stats.h"

namespace hearth::lab {
namespace {

constexpr std::array<std::string_view, 6> kChanges{"threads", "dtype",     "batch",
                                                   "compile", "keepalive", "pause"};
const std::vector<std::string> kPauses{"0.2", "1", "2"};  // seconds

/// From what to what; nothing where the engine or the job has not that to change.
struct Alternatives {
  std::string from;
  std::vector<std::string> to;
};
std::optional<Alternatives> change_of(std::string_view what, const EngineResult& engine,
                                      const Job& job) {
  const bool model = of_a_model(job.kind);
  if (what == "threads" && engine.device.starts_with("cpu") && engine.threads.value.value_or(0) > 1)
    return Alternatives{std::to_string(*engine.threads.value),
                        {std::to_string(*engine.threads.value / 2)}};
  if (what == "dtype" && model && engine.dtype == "f32") return Alternatives{"f32", {"f16"}};
  if (what == "dtype" && model && (engine.dtype == "f16" || engine.dtype == "bf16"))
    return Alternatives{engine.dtype, {"f32"}};
  if (what == "batch" && model)
    return Alternatives{std::to_string(job.batch), {std::to_string(2 * job.batch)}};
  if (what == "compile" && model && engine.name == "torch") {
    const auto now = engine.options.find("compile");
    return Alternatives{now == engine.options.end() ? "0" : now->second, {"1"}};
  }
  if (what == "keepalive") return Alternatives{"no load beside it", {"a light load beside it"}};
  if (what == "pause") return Alternatives{"0", kPauses};
  return std::nullopt;
}

double bytes_of(std::string_view dtype) { return dtype == "f32" ? 4 : 2; }

std::string does(std::string_view what, const Alternatives& change) {
  if (what == "keepalive") return change.to[0];
  std::string to;
  for (const std::string& one : change.to) to += (to.empty() ? "" : ", ") + one;
  if (what == "pause") return fmt::format("pauses of {} s before each execution", to);
  if (what == "compile") return "the decoding steps compiled";
  if (what == "batch") return fmt::format("{} rows at once instead of {}", to, change.from);
  return fmt::format("{} {} instead of {}", what, to, change.from);
}

}  // namespace

std::span<const std::string_view> interventions() { return kChanges; }

std::vector<Intervention> predict(const Result& result, std::string_view label, int job,
                                  std::span<const std::string> changes) {
  const EngineResult* engine = result.engine(label);
  check(engine, "intervene: the result has no engine ", label);
  check_job(result, job, "intervene");
  const Busy busy = busy_of(result, *engine, job);
  const auto phases = phases_of(result, *engine, job, busy);
  check(!phases.empty(), "intervene: ", label, " has no times of job ", job + 1);
  const Regime cause = phases[0].regime;
  check(cause != Regime::unknown, "intervene: what binds ", label,
        " is not even supposed: ", phases[0].because);
  std::string nothing;
  std::vector<Intervention> all;
  for (const std::string_view what : kChanges) {
    if (!changes.empty() && std::ranges::find(changes, what) == changes.end()) continue;
    const auto change = change_of(what, *engine, result.jobs[size_t(job)]);
    if (!change) {
      nothing += concat("; ", what, ": it has none to change");
      continue;
    }
    const Reading<double> bytes = bytes_of(change->to[0]) / bytes_of(change->from);
    const auto told = predicted(cause, what, change->from, change->to[0], bytes, busy);
    if (!told.value) {
      nothing += concat("; ", what, ": ", told.reason);
      continue;
    }
    Intervention i;
    i.engine = label;
    i.job = job;
    i.cause = to_string(cause);
    i.change = what;
    i.from = change->from;
    i.to = change->to;
    i.predicted = told.value->factor;
    i.least = told.value->least;
    i.most = told.value->most;
    i.unlike = causes_unlike(i.least, i.most, what, i.from, i.to[0], bytes, busy);
    i.prediction = fmt::format("{}: {}, {:.2f} to {:.2f} times", does(what, *change),
                               in_words(i.predicted), i.least, i.most);
    i.refuted_by = "a 95 % interval that lies outside of that range";
    i.predicted_at = now_utc();
    all.push_back(std::move(i));
  }
  check(!all.empty(), "intervene: nothing can be predicted of ", label, ", which is ",
        to_string(cause), nothing);
  return all;
}

Observed judge(const Intervention& i) {
  Observed observed{.ratio = std::nullopt, .verdict = "not tested"};
  if (i.measured_at.empty() || i.executions.size() < 2) return observed;
  bool within = true, outside = false, busy = false;
  double farthest = -1;
  for (size_t e = 1; e < i.executions.size(); ++e) {
    const auto seen = estimate(i.executions[0], i.executions[e], i.job);
    if (!seen) return observed;
    const PairedRatio& ratio = seen->time;
    const bool enough = ratio.starts >= kFewestStarts && seen->busy.empty();
    busy |= !seen->busy.empty();
    within &= enough && ratio.low >= i.least && ratio.high <= i.most;
    outside |= enough && (ratio.high < i.least || ratio.low > i.most);
    if (const double far = std::abs(std::log(ratio.ratio / i.predicted)); far > farthest) {
      farthest = far;
      observed.ratio = ratio;
    }
  }
  observed.verdict = outside  ? "failed"
                     : within ? "held"
                     : busy   ? "undecided: the machine was busy"
                              : "undecided";
  return observed;
}

}  // namespace hearth::lab
