#include "hearth/lab/runner.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <thread>

#include "hearth/base/error.h"
#include "hearth/base/system.h"
#include "hearth/lab/compare.h"
#include "hearth/lab/keep_alive.h"
#include "hearth/lab/stats.h"
#include "hearth/lab/telemetry.h"
#include "hearth/lab/telemetry/sources.h"
#include "hearth/lab/work.h"

namespace hearth::lab {

namespace fs = std::filesystem;

namespace {

constexpr int kStreamedEvery = 3;         // rounds in which tokens are also timed one by one
constexpr double kShortestOp = 0.1;       // seconds that one timing of an operation should last
constexpr size_t kMostRepeats = 1000;     // in one turn
constexpr double kLoadedSize = 1.5;       // memory of a loaded engine, in sizes of the checkpoint
constexpr double kLeak = 0.10;            // growth of the resident memory that is worth a note
constexpr int64_t kLeakBytes = 64 << 20;  // and at least this

double seconds_since(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

/// Adds what was sampled to what there is; a channel that is new, or gone, has nulls elsewhere.
void append(Timeline& to, const Timeline& more) {
  const size_t before = to.time_s.size();
  for (const Channel& channel : more.channels) {
    auto it = std::ranges::find_if(to.channels, [&](const Channel& c) {
      return c.name == channel.name && c.source == channel.source;
    });
    if (it == to.channels.end()) {
      it = to.channels.insert(it, channel);
      it->values.clear();
    }
    it->values.resize(before);
    it->values.insert(it->values.end(), channel.values.begin(), channel.values.end());
    if (!channel.reason.empty()) it->reason = channel.reason;
  }
  to.time_s.insert(to.time_s.end(), more.time_s.begin(), more.time_s.end());
  for (Channel& c : to.channels) {
    c.values.resize(to.time_s.size());
    const bool whole = std::ranges::all_of(c.values, [](const auto& v) { return v.has_value(); });
    if ((!whole || c.values.empty()) && c.reason.empty()) c.reason = "not sampled all the time";
  }
  to.sampler_cpu_s = to.sampler_cpu_s.value.value_or(0) + more.sampler_cpu_s.value.value_or(0);
}

/// One engine of the run: its process, as long as it lives, and its results.
struct Participant {
  EngineSpec spec;
  size_t index;  // into Result::engines
  std::unique_ptr<Engine> engine;
  std::unique_ptr<KeepAlive> load = nullptr;
  bool out = false;     // failed, or not here
  bool passes = false;  // the current job
  int calls = 1;
};

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
    for (Participant& p : everyone_) settle(p);
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
    tell("measuring the machine");
    describe_machine(result_, o_, interrupted_);
    if (!o_.model.empty()) {  // from which follows what each engine must do
      Job from;
      from.model = o_.model;
      result_.environment.push_back({"model_config", model_config({}, from)});
    }
    origin_ = Clock::now();
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
          mine = std::max(mine, r.round + (streams(r.round) ? r.streamed : 1));
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

  // --- what may go wrong

  EngineResult& of(const Participant& p) { return result_.engines[p.index]; }

  /// f(), or a fault that is written down; false then.
  template <class F>
  bool attempt(Participant& p, const std::string& doing, F&& f) {
    try {
      f();
      return true;
    } catch (const EngineFault& fault) {  // it is dead
      of(p).faults.push_back(concat(doing, ": ", fault.what()));
      p.engine.reset();
      p.out = true;
    } catch (const EngineRefusal& refusal) {
      of(p).faults.push_back(concat(doing, ": ", refusal.what()));
      p.passes = true;
    }
    return false;
  }

  void settle(Participant& p) {
    EngineResult& e = of(p);
    if (e.status == EngineStatus::unavailable) return;
    const bool any = std::ranges::any_of(e.repetitions, [](const auto& r) { return !r.warmup; });
    if (any) e.status = e.faults.empty() ? EngineStatus::ok : EngineStatus::partial;
    if (!any && !e.faults.empty()) e.status = EngineStatus::failed;
    if (!any && e.faults.empty()) e.status = EngineStatus::partial;
  }

  void tell(std::string doing) {
    if (interrupted_) throw Interrupted();
    if (!progress_) return;
    Progress at{std::move(doing), rounds_, rounds_of_, 0};
    if (rounds_timed_ > 0)
      at.seconds_left = round_seconds_ / rounds_timed_ * std::max(0, rounds_of_ - rounds_);
    progress_(at);
  }

  // --- one engine

  bool start(Participant& p) {
    EngineResult& e = of(p);
    tell(concat("starting ", e.label));
    const auto from = Clock::now();
    const bool here = attempt(p, "start", [&] {
      p.engine = std::make_unique<Engine>(p.spec, o_.places, o_.timeouts, &interrupted_);
      const EngineHello hello = p.engine->hello();
      e.start_s = seconds_since(from);
      e.version = hello.version;
      if (!hello.device.empty()) e.device = hello.device;
      std::string program;
      for (const std::string& word : command_of(p.spec, o_.places))
        program += concat(program.empty() ? "" : " ", word);
      e.program = program;
      if (const auto lack = hello.lack(result_.jobs[0])) throw EngineRefusal(*lack);
    });
    if (!here) {
      e.status = EngineStatus::unavailable;
      p.out = true;
      if (p.engine) p.engine->bye(), p.engine.reset();
      return false;
    }
    const bool loaded = attempt(p, "load", [&] {
      e.memory.push_back(p.engine->memory("started"));
      if (o_.model.empty()) return;
      tell(concat("loading ", e.label));
      const auto begin = Clock::now();
      const EngineLoad facts = p.engine->load(o_.model);
      e.load_s = seconds_since(begin);
      e.dtype = facts.dtype;
      e.bytes_per_weight = facts.bytes_per_weight;
      e.weights_bytes = facts.weights_bytes;
      e.threads = facts.threads;
      e.same_prompt_ids = facts.same_prompt_ids;
      e.sampling = facts.sampling;
      for (const std::string& note : facts.notes) note_once(e, note);
      e.memory.push_back(p.engine->memory("loaded"));
      if (p.spec.altered.keepalive)
        p.load = std::make_unique<KeepAlive>(e.device, o_.places, o_.timeouts);
    });
    if (!loaded) {
      p.out = true;
      if (p.engine) p.engine->bye(), p.engine.reset();
    }
    return loaded;
  }

  static void note_once(EngineResult& e, const std::string& note) {
    if (std::ranges::find(e.notes, note) == e.notes.end()) e.notes.push_back(note);
  }

  void rest(double s) const {
    const auto end = Clock::now() + std::chrono::duration<double>(s);
    while (Clock::now() < end) {
      if (interrupted_) throw Interrupted();
      std::this_thread::sleep_for(std::min(std::chrono::duration<double>(0.05),
                                           std::chrono::duration<double>(end - Clock::now())));
    }
  }

  /// One execution, kept whatever it is worth.
  const Repetition& execute(Participant& p, int job, int round, bool streamed, bool warmup) {
    EngineResult& e = of(p);
    Job what = result_.jobs[size_t(job)];
    if (p.spec.altered.batch > 0) what.batch = p.spec.altered.batch;
    if (!warmup) rest(p.spec.altered.pause_s);
    Repetition r = p.engine->run(what, streamed, p.calls, origin_);
    r.job = job;
    r.round = round;
    r.warmup = warmup;
    const int wanted = result_.jobs[size_t(job)].new_tokens;
    if (!r.ids.empty())
      for (const Repetition& other : e.repetitions)
        if (other.job == job && !other.ids.empty()) {
          if (other.ids != r.ids)
            note_once(e, concat("job ", job, ": its ids changed from one repetition to another"));
          break;
        }
    e.repetitions.push_back(std::move(r));
    const Repetition& kept = e.repetitions.back();
    bool all = kept.new_tokens == wanted;
    for (const auto& row : kept.ids) all &= int(row.size()) == wanted;
    if (!all)
      throw EngineRefusal(concat("stopped early: ", kept.new_tokens, " of ", wanted, " tokens"));
    return kept;
  }

  bool streams(int round) const {
    return result_.jobs[0].kind != JobKind::op && round % kStreamedEvery == 0;
  }

  /// Until its times go neither up nor down.
  void warm_up(Participant& p, int job) {
    EngineResult& e = of(p);
    const Job& what = result_.jobs[size_t(job)];
    tell(concat("warming up ", e.label));
    p.passes = false;
    p.calls = 1;
    attempt(p, "warm-up", [&] {
      const bool cold = std::ranges::none_of(e.repetitions, [](const auto&) { return true; });
      const double first = execute(p, job, 0, false, true).total_s;
      if (cold) e.first_s = first;
      if (what.kind == JobKind::op) {
        double last = execute(p, job, 0, false, true).total_s;
        while (last < kShortestOp && p.calls < (1 << 20)) {
          p.calls *= std::clamp(int(kShortestOp / last), 2, 100);
          last = execute(p, job, 0, false, true).total_s;
        }
        try {
          e.repetitions.back().own["checksum"] = p.engine->checksum();
        } catch (const EngineRefusal& refusal) {  // infinite, say: not a reason to leave it out
          note_once(e, concat("job ", job, ": its result was not checked: ", refusal.what()));
        }
      } else {
        execute(p, job, 0, true, true);
      }
      const auto begin = Clock::now();
      std::vector<double> times;
      do {
        times.push_back(execute(p, job, 0, false, true).total_s);
      } while (times.size() < 2 || (drifting(times) && seconds_since(begin) < o_.warmup_s));
      if (times.size() >= 6 && drifting(times))
        note_once(e, concat("job ", job, ": still drifting when the warm-up ended"));
    });
    if (p.engine) p.engine->pause();
  }

  static double sampled_s(const EngineResult& e, int job) {
    double sum = 0;
    for (const Repetition& r : e.repetitions)
      if (r.job == job && !r.warmup && !r.streamed) sum += r.total_s;
    return sum;
  }

  /// Its part of a round.
  void turn(Participant& p, int job, int round) {
    EngineResult& e = of(p);
    tell(concat("round ", round + 1, ", ", e.label));
    attempt(p, concat("round ", round), [&] {
      p.engine->resume();
      if (o_.warm_turns) execute(p, job, round, false, true);
      if (p.load) p.load->start();
      std::optional<Sampler> sampler;
      if (o_.telemetry_period_s > 0)
        sampler.emplace(find_telemetry("/", p.engine->pid()), o_.telemetry_period_s, origin_);
      // As many as bring it to its share of the seconds, at least one.
      const double share = o_.least_seconds * std::min(1.0, double(round + 1) / o_.pairs);
      size_t repeats = 0;
      do {
        execute(p, job, round, false, false);
      } while (++repeats < kMostRepeats && sampled_s(e, job) < share);
      if (streams(round)) execute(p, job, round, true, false);
      if (sampler) append(e.telemetry, sampler->stop());
      if (p.load)
        if (const std::string why = p.load->stop(); !why.empty())
          throw EngineRefusal("the load beside it: " + why);
    });
    if (p.load) p.load->stop();
    if (p.engine) p.engine->pause();
  }

  void gauges(Participant& p, const char* moment) {
    if (p.out || !p.engine) return;
    attempt(p, concat("memory ", moment), [&] {
      if (std::string_view(moment) == "cleared") p.engine->clear_cache();
      of(p).memory.push_back(p.engine->memory(moment));
    });
    if (p.engine) p.engine->pause();
  }

  void look_for_leak(EngineResult& e) {
    const Memory *before = nullptr, *after = nullptr;
    for (const Memory& m : e.memory) {
      if (m.moment == "before" && !before) before = &m;
      if (m.moment == "after") after = &m;
    }
    if (!before || !after) return;
    const auto from = before->resident_anonymous_bytes.value,
               to = after->resident_anonymous_bytes.value;
    if (from && to && *to - *from > kLeakBytes && double(*to - *from) > kLeak * double(*from))
      note_once(e, concat("its memory grew from ", *from >> 20, " to ", *to >> 20,
                          " MiB from the first round to the last"));
  }

  // --- the run

  bool takes_part(const Participant& p) const { return !p.out && !p.passes && p.engine; }

  /// Rounds [from, to) of the job, the order turned at each.
  void rounds(int job, int from, int to, const std::vector<Participant*>& who) {
    for (int round = from; round < to; ++round) {
      const auto begin = Clock::now();
      auto order = who;
      if (round % 2 == 1) std::reverse(order.begin(), order.end());
      for (Participant* p : order)
        if (takes_part(*p)) turn(*p, job, round);
      ++rounds_;
      ++rounds_timed_;
      round_seconds_ += seconds_since(begin);
    }
  }

  /// Is every interval as narrow as was asked?
  bool narrow(int job) const {
    const Participant* first = nullptr;
    for (const Participant& p : everyone_) {
      if (!takes_part(p)) continue;
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
    for (EngineResult& e : result_.engines) look_for_leak(e);
  }

  void side_by_side() {
    std::vector<Participant*> who;
    for (Participant& p : everyone_) {
      if (p.out) continue;
      if (start(p)) who.push_back(&p);
      if (p.engine) p.engine->pause();
    }
    for (int job = 0; job < int(result_.jobs.size()); ++job) {
      const int done = rounds_done(job);
      rounds_ = job * o_.pairs + std::min(done, o_.pairs);
      if (done >= o_.pairs && !o_.target_ci) continue;
      for (Participant* p : who)
        if (!p->out) warm_up(*p, job);
      if (job == 0)
        for (Participant* p : who) gauges(*p, "before");
      rounds(job, done, o_.pairs, who);
      for (int round = std::max(done, o_.pairs); o_.target_ci && round < 10 * o_.pairs; ++round) {
        if (narrow(job)) break;
        ++rounds_of_;
        rounds(job, round, round + 1, who);
      }
    }
    for (const char* moment : {"after", "cleared"})
      for (Participant* p : who) gauges(*p, moment);
  }

  /// A loads, does the first half of the rounds, and goes; so do the others; then back.
  void take_turns() {
    const int half = (o_.pairs + 1) / 2;
    rounds_of_ *= int(everyone_.size());
    for (int pass = 0; pass < 2; ++pass) {
      std::vector<Participant*> who;
      for (Participant& p : everyone_) who.push_back(&p);
      if (pass == 1) std::reverse(who.begin(), who.end());
      for (Participant* p : who) {
        if (p->out || !start(*p)) continue;
        for (int job = 0; job < int(result_.jobs.size()) && !p->out; ++job) {
          std::erase_if(of(*p).repetitions, [&](const Repetition& r) {  // of a run that is resumed
            return r.job == job && !r.warmup && (r.round >= half) == (pass == 1);
          });
          warm_up(*p, job);
          if (job == 0) gauges(*p, "before");
          rounds(job, pass ? half : 0, pass ? o_.pairs : half, {p});
        }
        gauges(*p, "after");
        gauges(*p, "cleared");
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
  for (const Job& job : options.jobs)
    check(job.kind == JobKind::op || (!job.prompt_ids.empty() && job.new_tokens > 0),
          "lab: a job without a prompt, or without tokens to make");
  return Run(options, interrupted, progress, std::move(before)).all();
}

}  // namespace hearth::lab
