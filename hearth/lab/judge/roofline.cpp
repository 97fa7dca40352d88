#include "hearth/lab/judge/roofline.h"

#include <fmt/format.h>

#include <algorithm>

#include "hearth/base/error.h"
#include "hearth/lab/judge/busy.h"
#include "hearth/lab/judge/pairs.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/judge/windows.h"

namespace hearth::lab {
namespace {

// From here on an engine is near a limit. Measured loops reach 100 %; a good decode reaches 80 to
// 90 % of it and a good product 70 to 90 %.
constexpr double kNear = 0.6;
// More than memory gives comes from the caches: then memory does not bind.
constexpr double kMost = 1.1;
// A device that is active for less is waiting for work.
constexpr double kMostlyActive = 0.8;
constexpr double kFullClock = 0.9;

Reading<double> ceiling(const Result& result, const EngineResult& engine, std::string_view name) {
  const std::string device = engine.device.substr(0, engine.device.find(':'));
  for (const Ceiling& one : result.ceilings) {
    if (one.name != name || one.device != device) continue;
    if (one.value.value && one.others.value.value_or(0) > kFew)
      return Reading<double>::missing(
          fmt::format("{} of {} was measured while others took {:.0f} % of the processors", name,
                      device, 100 * *one.others.value));
    return one.value;
  }
  return Reading<double>::missing(
      concat("the result has no ", name, " of ", device, "; its limits were not measured"));
}

// The arithmetic limit that a dtype is held against: halves are computed in f32 where there is no
// product of halves.
Reading<double> flops_ceiling(const Result& result, const EngineResult& engine,
                              const std::string& dtype) {
  Reading<double> limit = ceiling(result, engine, "flops_" + dtype);
  if (!limit.value && dtype != "f32")
    if (auto wide = ceiling(result, engine, "flops_f32"); wide.value) return wide;
  return limit;
}

void hold_against(Phase& phase, const Result& result, const EngineResult& engine,
                  const std::string& dtype) {
  if (!phase.work.value || phase.time_s <= 0) {
    for (auto* unknown :
         {&phase.gb_s, &phase.gflop_s, &phase.bandwidth_share, &phase.compute_share})
      *unknown = Reading<double>::missing(phase.work.reason);
    return;
  }
  phase.gb_s = phase.work.value->bytes / phase.time_s * 1e-9;
  phase.gflop_s = phase.work.value->operations / phase.time_s * 1e-9;
  const auto share = [](double reached, const Reading<double>& limit) -> Reading<double> {
    if (!limit.value || *limit.value <= 0) return Reading<double>::missing(limit.reason);
    return reached / *limit.value;
  };
  phase.bandwidth_share = share(*phase.gb_s.value, ceiling(result, engine, "read_bandwidth"));
  phase.compute_share = share(*phase.gflop_s.value, flops_ceiling(result, engine, dtype));
}

// Launches of a decoding step, and what as many of the smallest operations take of its time.
void hold_launches(Phase& phase, const Result& result, const EngineResult& engine) {
  using Number = Reading<double>;
  const auto time_of = [&](const Reading<int64_t>& count, const char* limit) -> Number {
    if (!count.value) return Number::missing(count.reason);
    if (*count.value == 0) return 0.0;
    const Number each_us = ceiling(result, engine, limit);
    if (!each_us.value) return each_us;
    return double(*count.value) * *each_us.value * 1e-6;
  };
  const Number one_by_one = time_of(engine.launches, "launch"),
               replayed = time_of(engine.replayed, "launch_replayed");
  if (engine.launches.value && engine.replayed.value)
    phase.launches = double(*engine.launches.value + *engine.replayed.value);
  else
    phase.launches = Number::missing(engine.launches.value ? replayed.reason : one_by_one.reason);
  if (one_by_one.value && replayed.value && phase.time_s > 0)
    phase.launch_share = (*one_by_one.value + *replayed.value) / phase.time_s;
  else
    phase.launch_share = Number::missing(one_by_one.value ? replayed.reason : one_by_one.reason);
}

void find_floor(Phase& phase) {
  std::string unknown;
  double most = 0;
  for (const auto& [name, share] : {std::pair("bandwidth", &phase.bandwidth_share),
                                    {"compute", &phase.compute_share},
                                    {"launch", &phase.launch_share}}) {
    if (share->value && *share->value > kMost) continue;  // faster than it: no limit
    if (!share->value)
      unknown += concat(unknown.empty() ? "" : " and ", name);
    else if (*share->value > most)
      most = *share->value, phase.floor_from = name;
  }
  if (most > 0)
    phase.floor_s = most * phase.time_s;
  else
    phase.floor_s = Reading<double>::missing("none of its limits is known, and holds");
  if (!unknown.empty() && most > 0) phase.floor_from += concat("; ", unknown, " unknown");
}

void judge(Phase& phase, const Busy& busy, bool gpu) {
  const double bandwidth = phase.bandwidth_share.value.value_or(0),
               compute = phase.compute_share.value.value_or(0),
               launch = phase.launch_share.value.value_or(0);
  const std::string sent =
      phase.launches.value && phase.launch_share.value
          ? fmt::format("{:.0f} launches a step, {:.0f} % of the time if each did nothing",
                        *phase.launches.value, 100 * launch)
          : "";
  const auto set = [&](Regime regime, std::string because) {
    phase.regime = regime;
    phase.because = std::move(because);
  };
  if (launch >= kNear && launch > compute && (launch > bandwidth || bandwidth > kMost))
    return set(Regime::launch, sent);
  if (bandwidth >= kNear && bandwidth <= kMost && bandwidth >= compute)
    return set(Regime::bandwidth,
               fmt::format("it reads {:.0f} % of what memory gives", 100 * bandwidth));
  if (compute >= kNear)
    return set(Regime::compute,
               fmt::format("it computes {:.0f} % of what the device can", 100 * compute));
  if (!busy.active_fraction.value) return set(Regime::unknown, busy.active_fraction.reason);
  if (const std::string why = crowded(busy); !gpu && !why.empty())
    return set(Regime::unknown, why);  // what is active is not only the engine
  const double active = *busy.active_fraction.value;
  const auto f = busy.clock_mhz.value, most = busy.clock_max_mhz.value;
  const bool clock_known = f && most && *most > 0;
  const std::string clock = clock_known
                                ? fmt::format("at {:.0f} % of its highest clock", 100 * *f / *most)
                            : f ? fmt::format("at {:.0f} MHz", *f)
                                : "at a clock that is not known";
  const char* device = gpu ? "the GPU" : "the processor";
  if (active < kMostlyActive) {
    const std::string idle =
        fmt::format("{} is active {:.0f} % of the time, {}", device, 100 * active, clock);
    if (!gpu) return set(Regime::host, idle + ": the rest is waiting or not parallel");
    if (busy.host_cores.value && *busy.host_cores.value < 0.5)
      return set(Regime::host,
                 fmt::format("{}, and the program keeps only {:.2f} cores busy: both wait", idle,
                             *busy.host_cores.value));
    const bool full = clock_known && *f >= kFullClock * *most;
    return set(Regime::launch, concat(idle, full ? ": no slow GPU, it waits" : ": it waits",
                                      " for work to be sent", sent.empty() ? "" : "; ", sent));
  }
  if (clock_known && *f < kMostlyActive * *most) {
    const std::string asked = asked_for(busy);  // which a governor may do for a reason of its own
    return set(Regime::clock, fmt::format("{} is active {:.0f} % of the time, {}{}{}", device,
                                          100 * active, clock, asked.empty() ? "" : "; ", asked));
  }
  if (!phase.bandwidth_share.value || !phase.compute_share.value)
    return set(Regime::unknown, phase.bandwidth_share.value ? phase.compute_share.reason
                                                            : phase.bandwidth_share.reason);
  set(Regime::kernels,
      fmt::format("{} is active {:.0f} % of the time, {}, and {}", device, 100 * active, clock,
                  bandwidth > kMost ? "its weights stay in the caches" : "far from both limits"));
}

}  // namespace

std::string_view to_string(Regime regime) {
  constexpr std::string_view kNames[] = {"unknown",      "bandwidth-bound", "compute-bound",
                                         "launch-bound", "host-bound",      "clock-limited",
                                         "kernel-bound"};
  return kNames[size_t(regime)];
}

std::vector<Phase> phases_of(const Result& result, const EngineResult& engine, int job,
                             const Busy& busy) {
  const Job& what = result.jobs.at(size_t(job));
  std::vector<Phase> phases;
  const auto add = [&](std::string name, double time, Reading<Work> work) {
    Phase phase;
    phase.name = std::move(name);
    phase.time_s = time;
    phase.work = std::move(work);
    hold_against(phase, result, engine, what.kind == JobKind::op ? what.dtype : engine.dtype);
    if (phase.name == "decode")
      hold_launches(phase, result, engine);
    else
      phase.launches = phase.launch_share =
          Reading<double>::missing("launches are counted of decoding alone");
    find_floor(phase);
    Busy here = busy;
    if (!windows_of(engine, job, phase.name).empty()) {
      here = busy_of(result, engine, job, phase.name);
      phase.telemetry_s = here.seconds;
      phase.under_sampled = here.under_sampled;
      if (!here.under_sampled.empty() || here.seconds <= 0) here = busy;
    } else {
      phase.telemetry_s = busy.seconds;
      phase.under_sampled = busy.under_sampled;
    }
    phase.active_fraction = here.active_fraction;
    phase.clock_mhz = here.clock_mhz;
    judge(phase, here, !engine.device.starts_with("cpu"));
    phases.push_back(std::move(phase));
  };
  const auto total = total_of(engine, job);
  if (!total) return phases;
  if (what.kind == JobKind::command) return phases;  // what it has to do is not known
  if (what.kind == JobKind::op) {
    add("call", mean(unit_times(engine, job)), op_work(what));
    return phases;
  }
  Reading<ModelSizes> sizes;
  if (const auto config = model_config(result, what); config.value)
    sizes = model_sizes(*config.value);
  else
    sizes = Reading<ModelSizes>::missing(config.reason);
  if (!engine.bytes_per_weight.value)
    sizes = Reading<ModelSizes>::missing("the engine's bytes per weight are not known");
  const double bytes = engine.bytes_per_weight.value.value_or(0);
  const double prompt = what.prompt_tokens, rows = std::max(1, what.batch);
  const auto work = [&](auto&& of) -> Reading<Work> {
    if (!sizes.value) return Reading<Work>::missing(sizes.reason);
    return of(*sizes.value);
  };
  if (what.kind == JobKind::prefill || total->new_tokens < 2) {
    add("prefill", total->mean_s,
        work([&](const ModelSizes& m) { return prefill_work(m, bytes, prompt, rows); }));
    return phases;
  }
  const double n = total->new_tokens;
  // A token in the middle of the text; its share of the total where no times of tokens are known.
  std::vector<double> decode, first;
  for (const Repetition& r : engine.repetitions)
    // Tokens that came all at one moment were held back: they have no phases.
    if (r.job == job && r.counts() && r.token_s.size() > 1 && r.token_s.front() > 0 &&
        r.token_s.back() > r.token_s.front()) {
      decode.push_back((r.token_s.back() - r.token_s.front()) / double(r.token_s.size() - 1));
      first.push_back(r.token_s.front());
    }
  add("decode", decode.empty() ? total->mean_s / n : median(decode),
      work([&](const ModelSizes& m) { return decode_work(m, bytes, prompt + n / 2, rows); }));
  if (!first.empty())
    add("prefill", median(first),
        work([&](const ModelSizes& m) { return prefill_work(m, bytes, prompt, rows); }));
  if (phases.size() == 2 && phases[1].time_s > phases[0].time_s * (n - 1))
    std::swap(phases[0], phases[1]);
  return phases;
}

}  // namespace hearth::lab
