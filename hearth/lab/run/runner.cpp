#include "hearth/lab/run/runner.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

#include "hearth/base/error.h"
#include "hearth/base/system.h"
#include "hearth/lab/judge/compare.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/work.h"
#include "hearth/lab/measure/limits.h"
#include "hearth/lab/result/weights_hash.h"
#include "hearth/lab/run/environment.h"
#include "hearth/lab/run/turns.h"
#include "hearth/lab/telemetry/sources.h"

namespace hearth::lab {

namespace fs = std::filesystem;

namespace {

constexpr double kLongest_s = 1e7;   // four months
constexpr double kLoadedSize = 1.5;  // memory of a loaded engine, in sizes of the checkpoint

class Run {
 public:
  Run(const RunOptions& options, const std::atomic<bool>& interrupted, const OnProgress& progress,
      std::optional<Result> before)
      : o_(options), interrupted_(interrupted), progress_(progress) {
    if (before)
      go_on(*std::move(before));
    else
      begin();
  }

  Result all() {
    try {
      measure();
      result_.plan.finished = true;
    } catch (const Interrupted&) {
    }
    for (Participant& p : everyone_)
      if (p.engine) p.engine->bye();
    for (Participant& p : everyone_) turns_.settle(p);
    return std::move(result_);
  }

 private:
  // --- before

  void begin() {
    result_.created = now_utc();
    result_.made_by = o_.made_by;
    result_.source = "measured";
    result_.jobs = o_.jobs;
    Plan& plan = result_.plan;
    plan.pairs = o_.pairs;
    plan.target_ci = o_.target_ci;
    plan.least_seconds = o_.least_seconds;
    plan.side_by_side = !o_.take_turns && fit_together();
    plan.order = plan.side_by_side ? "ABBA" : "ABBA, in two blocks";
    if (o_.telemetry_period_s > 0)
      plan.telemetry_period_s = o_.telemetry_period_s;
    else
      plan.telemetry_period_s = Reading<double>::missing("telemetry was off");
    std::set<std::string> labels;
    for (const EngineSpec& spec : o_.engines)
      for (int twin = 0; twin <= int(o_.against_itself); ++twin) {
        std::string label = spec.text;
        for (int n = 2; !labels.insert(label).second; ++n) label = concat(spec.text, "#", n);
        EngineResult e;
        e.label = label;
        e.name = spec.name;
        e.device = spec.device;
        e.options = spec.options;
        everyone_.push_back({spec, result_.engines.size(), nullptr});
        result_.engines.push_back(std::move(e));
      }
    if (!o_.model.empty()) describe_model();
    tell(o_.limits ? "measuring the machine" : "looking at the machine");
    describe_machine(result_, o_, interrupted_);
    origin_ = Clock::now();
  }

  /// Its config, from which follows what each engine must do, and which weights they were.
  void describe_model() {
    Job from;
    from.model = o_.model;
    result_.environment.push_back({"model_config", model_config({}, from)});
    Reading<std::string> hash = "random weights, made for this run";
    if (!o_.hash_weights)
      hash = Reading<std::string>::missing("not asked for");
    else if (!o_.jobs.at(0).random_weights)
      hash = weights_sha256(o_.model, [&](double part) {
        tell(concat("hashing the weights, ", int(100 * part), " %"));
      });
    result_.environment.push_back({"weights_sha256", hash});
  }

  void go_on(Result before) {
    result_ = std::move(before);
    double end = 0;
    for (size_t i = 0; i < result_.engines.size(); ++i) {
      EngineResult& e = result_.engines[i];
      Participant p{parse_engine(e.label.substr(0, e.label.find('#'))), i, nullptr};
      p.out = e.status == EngineStatus::unavailable || !e.faults.empty();
      everyone_.push_back(std::move(p));
      for (const Repetition& r : e.repetitions) end = std::max(end, r.start_s + r.total_s);
      if (!e.telemetry.time_s.empty()) end = std::max(end, e.telemetry.time_s.back());
    }
    origin_ = Clock::now() -
              std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(end));
    // A round that not all have finished is measured again.
    for (int job = 0; job < int(result_.jobs.size()); ++job) {
      const int done = rounds_done(job);
      for (EngineResult& e : result_.engines)
        std::erase_if(e.repetitions, [&](const Repetition& r) {
          return r.job == job && !r.warmup && r.round >= done;
        });
    }
  }

  int rounds_done(int job) const {
    int done = -1;
    for (const Participant& p : everyone_) {
      if (p.out) continue;
      int mine = 0;
      for (const Repetition& r : result_.engines[p.index].repetitions)
        if (r.job == job && !r.warmup)
          mine = std::max(mine, r.round + (turns_.streams(r.round) ? r.streamed : 1));
      done = done < 0 ? mine : std::min(done, mine);
    }
    return std::max(done, 0);
  }

  /// In the host's memory, and those on NVIDIA's GPUs in that of each.
  bool fit_together() const {
    if (o_.model.empty()) return true;
    uintmax_t bytes = 0;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(o_.model, none))
      if (entry.path().extension() == ".safetensors") bytes += fs::file_size(entry.path(), none);
    const double each = double(bytes) * kLoadedSize * (o_.against_itself ? 2 : 1);
    const auto available = available_memory_bytes();
    if (available && each * double(o_.engines.size()) >= double(*available)) return false;
    std::map<int, double> wanted;  // by the number of the GPU
    for (const EngineSpec& spec : o_.engines)
      if (spec.device.starts_with("cuda"))
        wanted[spec.device.size() > 5 ? std::atoi(spec.device.c_str() + 5) : 0] += each;
    for (const auto& [gpu, memory] : wanted)
      if (const auto left = nvml_free_bytes(gpu, o_.nvml); left.value && memory >= *left.value)
        return false;
    return true;
  }

  // --- the run

  void tell(std::string doing) {
    if (interrupted_) throw Interrupted();
    if (!progress_) return;
    Progress at{std::move(doing), rounds_, rounds_of_, 0};
    if (rounds_timed_ > 0)
      at.seconds_left = round_seconds_ / rounds_timed_ * std::max(0, rounds_of_ - rounds_);
    try {
      progress_(at);
    } catch (const std::exception&) {  // who cannot say how far it is loses nothing else
    }
  }

  bool takes_part(const Participant& p) const { return !p.out && !p.passes && p.engine; }

  /// Rounds [from, to) of the job, the order turned at each.
  void rounds(int job, int from, int to, const std::vector<Participant*>& who) {
    for (int round = from; round < to; ++round) {
      const auto begin = Clock::now();
      auto order = who;
      if (round % 2 == 1) std::reverse(order.begin(), order.end());
      for (Participant* p : order)
        if (takes_part(*p)) turns_.turn(*p, job, round);
      ++rounds_;
      ++rounds_timed_;
      round_seconds_ += std::chrono::duration<double>(Clock::now() - begin).count();
    }
  }

  bool measured(const Participant& p, int job) const {
    return !result_.engines[p.index].totals(job).empty();
  }

  /// Is every interval as narrow as was asked?
  bool narrow(int job) const {
    const Participant* first = nullptr;
    for (const Participant& p : everyone_) {
      if (p.out || p.passes || !measured(p, job)) continue;
      if (!first) {
        first = &p;
        continue;
      }
      const auto logs = log_ratios(result_.engines[first->index], result_.engines[p.index], job);
      if (logs.size() < size_t(kFewestPairs)) return false;
      const PairedRatio r = paired_ratio(logs);
      if (std::log(r.high / r.low) / 2 > *o_.target_ci) return false;
    }
    return true;
  }

  void measure() {
    rounds_of_ = o_.pairs * int(result_.jobs.size());
    if (result_.plan.side_by_side)
      side_by_side();
    else
      take_turns();
    for (EngineResult& e : result_.engines) turns_.look_for_leak(e);
    if (!o_.limits) return;
    const auto clock = measure_clock_mhz();
    result_.ceilings.push_back({"clock_after", "cpu", "MHz", "measured after the run",
                                clock.value ? Reading<double>(clock.value->median)
                                            : Reading<double>::missing(clock.reason)});
  }

  void side_by_side() {
    std::vector<Participant*> who;
    for (Participant& p : everyone_) {
      if (p.out) continue;
      if (turns_.start(p)) who.push_back(&p);
      if (p.engine) p.engine->pause();
    }
    for (int job = 0; job < int(result_.jobs.size()); ++job) {
      const int done = rounds_done(job);
      rounds_ = job * o_.pairs + std::min(done, o_.pairs);
      if (done >= o_.pairs && !o_.target_ci) continue;
      for (Participant* p : who)
        if (!p->out) turns_.warm_up(*p, job);
      if (job == 0)
        for (Participant* p : who) turns_.gauges(*p, "before");
      rounds(job, done, o_.pairs, who);
      for (int round = std::max(done, o_.pairs); o_.target_ci && round < 10 * o_.pairs; ++round) {
        // Looked at each time there is 1 % more, as looking takes longer the more there is.
        if (round % std::max(1, round / 100) == 0 && narrow(job)) break;
        ++rounds_of_;
        rounds(job, round, round + 1, who);
      }
      note_width(job);
    }
    for (const char* moment : {"after", "cleared"})
      for (Participant* p : who) turns_.gauges(*p, moment);
    for (Participant* p : who) turns_.count_launches(*p), turns_.ask_margins(*p);
  }

  /// Says so if all rounds that there may be did not bring the interval that was asked for.
  void note_width(int job) {
    if (o_.target_ci && !narrow(job))
      result_.notes.push_back(concat("job ", job + 1, ": after ", rounds_done(job),
                                     " rounds an interval is still wider than the ",
                                     100 * *o_.target_ci, " % that were asked for"));
  }

  void take_turns() {
    rounds_of_ *= int(everyone_.size());
    two_blocks(0, o_.pairs);
    const auto all_narrow = [&] {
      for (int job = 0; job < int(result_.jobs.size()); ++job)
        if (!narrow(job)) return false;
      return true;
    };
    for (int n = 1; n < 10 && o_.target_ci && !all_narrow(); ++n) {
      rounds_of_ += o_.pairs * int(result_.jobs.size() * everyone_.size());
      two_blocks(n * o_.pairs, (n + 1) * o_.pairs);
    }
    for (int job = 0; job < int(result_.jobs.size()); ++job) note_width(job);
  }

  /// A loads, does the first half of the rounds, and goes; so do the others; then back.
  void two_blocks(int from, int to) {
    const int half = from + (to - from + 1) / 2;
    for (int pass = 0; pass < 2; ++pass) {
      const int begin = pass ? half : from, end = pass ? to : half;
      std::vector<Participant*> who;
      for (Participant& p : everyone_) who.push_back(&p);
      if (pass == 1) std::reverse(who.begin(), who.end());
      bool done = true;  // by a run that is resumed
      for (int job = 0; job < int(result_.jobs.size()); ++job) done &= rounds_done(job) >= end;
      for (Participant* p : who) {
        if (done || p->out || !turns_.start(*p)) continue;
        for (int job = 0; job < int(result_.jobs.size()) && !p->out; ++job) {
          std::erase_if(result_.engines[p->index].repetitions, [&](const Repetition& r) {
            return r.job == job && !r.warmup && r.round >= begin && r.round < end;
          });
          turns_.warm_up(*p, job);
          if (job == 0) turns_.gauges(*p, "before");
          rounds(job, begin, end, {p});
        }
        turns_.gauges(*p, "after");
        turns_.gauges(*p, "cleared");
        if (pass == 1) turns_.count_launches(*p), turns_.ask_margins(*p);
        if (p->engine) p->engine->bye(), p->engine.reset();
      }
    }
  }

  const RunOptions& o_;
  const std::atomic<bool>& interrupted_;
  const OnProgress& progress_;
  Result result_;
  std::vector<Participant> everyone_;
  Clock::time_point origin_;
  Turns turns_{o_, interrupted_, result_, origin_,
               [this](std::string doing) { tell(std::move(doing)); }};
  int rounds_ = 0, rounds_of_ = 0, rounds_timed_ = 0;
  double round_seconds_ = 0;
};

}  // namespace

std::vector<int> random_ids(int count, int vocabulary, uint32_t seed) {
  check(count > 0 && vocabulary > 0, "random_ids: ", count, " of a vocabulary of ", vocabulary);
  std::vector<int> ids;
  uint32_t state = seed;
  for (int i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;  // Numerical Recipes' generator
    ids.push_back(int((uint64_t(state) * uint64_t(vocabulary)) >> 32));
  }
  return ids;
}

Result run(const RunOptions& options, const std::atomic<bool>& interrupted,
           const OnProgress& progress, std::optional<Result> before) {
  check(!options.engines.empty(), "lab: no engines");
  check(before || !options.jobs.empty(), "lab: no jobs");
  check(options.pairs >= 1 && options.pairs <= 10000, "lab: ", options.pairs,
        " pairs; wanted 1 to 10000");
  check(!options.target_ci || *options.target_ci > 0, "lab: the interval to reach must be above 0");
  for (const auto& [what, s] : {std::pair("seconds of samples", options.least_seconds),
                                {"seconds of warm-up", options.warmup_s},
                                {"a period of telemetry", options.telemetry_period_s},
                                {"a time-out of hello", options.timeouts.hello_s},
                                {"a time-out of load", options.timeouts.load_s},
                                {"a time-out of an execution", options.timeouts.run_s},
                                {"a time-out of the end", options.timeouts.close_s}})
    check(s >= 0 && s <= kLongest_s, "lab: ", what, " of ", s, " s; wanted 0 to ", kLongest_s);
  for (const Job& job : options.jobs)
    check(job.kind == JobKind::op || (!job.prompt_ids.empty() && job.new_tokens > 0),
          "lab: a job without a prompt, or without tokens to make");
  return Run(options, interrupted, progress, std::move(before)).all();
}

}  // namespace hearth::lab
