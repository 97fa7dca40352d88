// Results made up for tests: two engines on a GPU whose samples are told.
#pragma once
#include "hearth/lab/result/result.h"
#include "hearth/lab/telemetry/samples.h"
#include "hearth/lab/telemetry/telemetry.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::testing {

/// The slower engine. It is limited by reading `gb_s` or computing `gflop_s`, if the device has no
/// more than that.
struct Gpu {
  std::optional<double> active = {}, clock_mhz = {}, host_cores = {};
  double gb_s = 1e6, gflop_s = 1e9;  // the device's limits
  double power_capped = 0;
};

/// Phi-2 in halves for 50 new tokens: "torch:cuda" takes 1 s, "hearth:cuda" half of it, in 8 rounds
/// that are not quite alike, each of processes of their own. 5.3 GB a token make 265 GB/s and as
/// many GFLOP/s.
inline lab::Result gpu_result(const Gpu& gpu) {
  using namespace lab;
  Result r;
  r.created = "2026-01-01T00:00:00Z";
  r.made_by = "a test";
  r.source = "made up";
  r.environment = {{"processor", std::string("a processor")},
                   {"model_config", content_of(source_path("models/configs/phi-2/config.json"))}};
  r.ceilings = {{"read_bandwidth", "cuda", "GB/s", "measured", gpu.gb_s},
                {"flops_f16", "cuda", "GFLOP/s", "measured", gpu.gflop_s}};
  r.plan.pairs = 8;
  r.plan.order = "ABBA";
  r.plan.telemetry_period_s = 0.1;
  r.plan.finished = true;
  Job job;
  job.model = "phi-2";
  job.prompt_tokens = 8;
  job.new_tokens = 50;
  r.jobs = {job};
  for (const bool slow : {true, false}) {
    EngineResult e;
    e.name = slow ? "torch" : "hearth";
    e.label = e.name + ":cuda";
    e.device = "cuda";
    e.dtype = "f16";
    e.bytes_per_weight = 2.0;
    e.same_prompt_ids = true;
    e.sampling = Sampling::greedy;
    e.starts.resize(8);
    const auto channel = [&](const char* name, const char* unit) -> Channel& {
      e.telemetry.channels.push_back({name, unit, "nvml", "", {}});
      return e.telemetry.channels.back();
    };
    for (int round = 0; round < 8; ++round) {
      Repetition rep;
      rep.round = rep.start = round;
      rep.start_s = 2.0 * round + (slow ? 0 : 1.2);
      rep.total_s = (slow ? 1 : 0.5) * (1 + 0.001 * ((round * 5) % 8));
      rep.prompt_tokens = 8;
      rep.new_tokens = 50;
      rep.ids = {{1, 2, 3}};
      e.repetitions.push_back(rep);
      for (int i = 1; 0.1 * i < rep.total_s && i < 5; ++i)
        e.telemetry.time_s.push_back(rep.start_s + 0.1 * i);
    }
    const size_t n = e.telemetry.time_s.size();
    const auto fill = [&](Channel& c, std::optional<double> value) {
      c.values.assign(n, value);
      if (!value) c.reason = "it does not tell";
    };
    fill(channel("gpu_active_fraction", "fraction"), slow ? gpu.active : 0.95);
    fill(channel("gpu_clock_mhz", "MHz"), slow ? gpu.clock_mhz : 1980);
    fill(channel("gpu_clock_max_mhz", "MHz"), 1980.0);
    fill(channel("process_active_cores", "cores"), gpu.host_cores);
    Channel& capped = channel("gpu_limit_power_cap", "0 or 1");
    fill(capped, 0.0);
    if (gpu.power_capped > 0)
      for (size_t i = 0; i < n; ++i) capped.values[i] = double(i % 2);
    r.engines.push_back(std::move(e));
  }
  return r;
}

/// gpu_result() with five jobs more, whose prompts are longer. Against the second engine, the first
/// one loses all, wins all, wins some ("mixed"), is as fast ("equal"), or has no verdict ("open").
inline lab::Result several_jobs(const std::string& kind) {
  lab::Result r = gpu_result({.active = 0.32, .clock_mhz = 1980});
  for (auto& e : r.engines) e.telemetry = {};
  for (int job = 1; job < 6; ++job) {
    r.jobs.push_back(r.jobs[0]);
    r.jobs.back().prompt_tokens = 8 << job;
  }
  for (auto& e : r.engines) {
    const bool first = &e == &r.engines[0];
    const auto once = e.repetitions;
    e.repetitions.clear();
    for (int job = 0; job < 6; ++job)
      for (const lab::Repetition& one : once) {
        lab::Repetition x = one;
        x.job = job;
        x.start_s += 100 * job;
        x.prompt_tokens = r.jobs[size_t(job)].prompt_tokens;
        x.total_s = 1 + 0.001 * ((x.round * 5) % 8);
        const double ratio = kind == "lose"  ? 1.5 + 0.1 * job
                             : kind == "win" ? 1 / (1.5 + 0.1 * job)
                             : kind == "mixed"
                                 ? std::vector{2.0, 1.8, 1.6, 1.0, 0.5, 1.0}[size_t(job)]
                                 : 1;
        if (first) x.total_s *= ratio;
        const bool open = kind == "open" || (kind == "mixed" && job == 5);
        if (open && first) x.total_s *= x.round % 2 ? 1.3 : 0.8;
        e.repetitions.push_back(x);
      }
  }
  return r;
}

/// Commands that take these seconds, give or take a little, in 8 rounds.
inline lab::Result commands(const std::vector<std::pair<std::string, double>>& times) {
  using namespace lab;
  Result r;
  r.plan.order = "ABBA";
  r.plan.finished = true;
  Job job;
  job.kind = JobKind::command;
  r.jobs = {job};
  for (const auto& [name, seconds] : times) {
    EngineResult e;
    e.label = name;
    e.device = "cpu";
    e.starts.resize(8);
    for (int round = 0; round < 8; ++round) {
      Repetition rep;
      rep.round = rep.start = round;
      rep.start_s = 10.0 * round;
      rep.total_s = seconds * (1 + 0.001 * ((round * 5) % 8));
      rep.own = {{"user_s", 0.9 * rep.total_s},
                 {"system_s", 0.05 * rep.total_s},
                 {"exit_code", 0},
                 {"peak_memory_bytes", 5e6}};
      e.repetitions.push_back(rep);
    }
    r.engines.push_back(std::move(e));
  }
  return r;
}

/// Another job with `batch` rows, which takes the first engine `factor` times as long.
inline void add_batch(lab::Result& r, int batch, double factor) {
  lab::Job job = r.jobs[0];
  job.batch = batch;
  r.jobs.push_back(job);
  auto& all = r.engines[0].repetitions;
  for (size_t i = 0, n = all.size(); i < n; ++i) {
    lab::Repetition rep = all[i];
    rep.job = int(r.jobs.size()) - 1;
    rep.start_s += 1000;
    rep.total_s *= factor;
    all.push_back(rep);
  }
}

/// States of the first engine's GPU, with shares that are the same all the time.
inline void add_states(lab::Result& r, const std::string& list,
                       const std::vector<std::pair<std::string, double>>& shares) {
  lab::Timeline& telemetry = r.engines[0].telemetry;
  for (size_t i = 0; i < shares.size(); ++i)
    telemetry.channels.push_back(
        {lab::state_field(list, i, shares[i].first), "fraction", "powermetrics", "",
         std::vector<std::optional<double>>(telemetry.time_s.size(), shares[i].second)});
}

}  // namespace hearth::testing
