#include "hearth/lab/run/runner.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>
#include <set>
#include <span>

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
constexpr int kMostUnquiet = 3;      // times the starts that were planned, where others disturb

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
      turns_.keep_state();
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
    make_plan();
    std::set<std::string> labels;
    std::vector<EngineSpec> specs;
    for (const EngineSpec& spec : o_.engines)
      for (int twin = 0; twin <= int(o_.against_itself); ++twin) {
        std::string label = spec.text;
        for (int n = 2; !labels.insert(label).second; ++n) label = concat(spec.text, "#", n);
        EngineResult e;
        e.label = label;
        e.name = spec.name;
        e.device = spec.device;
        e.options = spec.options;
        result_.engines.push_back(std::move(e));
        specs.push_back(spec);
      }
    for (size_t i = 0; i < specs.size(); ++i) everyone_.push_back(turns_.join(specs[i], i));
    if (!o_.model.empty()) describe_model();
    tell(o_.limits ? "measuring the machine" : "looking at the machine");
    describe_machine(result_, o_, interrupted_);
    origin_ = Clock::now();
  }

  void make_plan() {
    Plan& plan = result_.plan;
    plan.pairs = o_.pairs;
    plan.order_seed = o_.order_seed ? *o_.order_seed : int64_t(std::random_device()());
    plan.ignores_others = !o_.watch;
    plan.target_ci = o_.target_ci;
    plan.least_seconds = o_.least_seconds;
    plan.side_by_side = !o_.take_turns && fit_together();
    plan.order = plan.side_by_side ? "ABBA, who begins by chance"
                                   : "ABBA, who begins by chance, one engine loaded at a time";
    if (o_.telemetry_period_s > 0)
      plan.telemetry_period_s = o_.telemetry_period_s;
    else
      plan.telemetry_period_s = Reading<double>::missing("telemetry was off");
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

  /// Whatever was measured is kept, and counts; only what is missing is measured.
  void go_on(Result before) {
    result_ = std::move(before);
    if (result_.plan.pairs == 0) make_plan();  // of executions whose run is gone
    result_.plan.finished = false;
    double end = 0;
    for (size_t i = 0; i < result_.engines.size(); ++i) {
      EngineResult& e = result_.engines[i];
      // An older result has no list of its processes: all of its repetitions are of one.
      if (e.starts.empty() && !e.repetitions.empty()) e.starts.emplace_back();
      const bool named = o_.engines.size() == result_.engines.size();
      everyone_.push_back(
          turns_.join(named ? o_.engines[i] : parse_engine(spec_of_label(e.label)), i));
      for (const Repetition& r : e.repetitions) end = std::max(end, r.start_s + r.total_s);
      if (!e.telemetry.time_s.empty()) end = std::max(end, e.telemetry.time_s.back());
    }
    origin_ = Clock::now() -
              std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(end));
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

  /// Who begins is chance, and turned round in every second round: what the order does to an engine
  /// (caches, clocks, what the one before left behind) it does to all alike.
  std::vector<Participant*> in_order(int round) {
    std::vector<Participant*> order;
    for (Participant& p : everyone_) order.push_back(&p);
    std::mt19937_64 random(uint64_t(result_.plan.order_seed) * 0x9E3779B97F4A7C15u +
                           uint64_t(round / 2));
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
    if (round % 2 == 1) std::reverse(order.begin(), order.end());
    return order;
  }

  void rounds(int job, int from, int to, std::span<Participant* const> who) {
    for (int round = from; round < to; ++round) {
      const auto begin = Clock::now();
      for (Participant* p : in_order(round))
        if (std::ranges::find(who, p) != who.end() && p->engine && p->lacks(job, round))
          turns_.turn(*p, job, round);
      ++rounds_;
      ++rounds_timed_;
      round_seconds_ += std::chrono::duration<double>(Clock::now() - begin).count();
    }
  }

  /// f(first, other) for each pair of engines whose ratio is asked for.
  template <class F>
  void each_pair(int job, F&& f) const {
    const EngineResult* first = nullptr;
    for (const Participant& p : everyone_) {
      const EngineResult& e = result_.engines[p.index];
      if (p.out || p.jobs[size_t(job)].refused || e.totals(job).empty()) continue;
      if (first)
        f(*first, e);
      else
        first = &e;
    }
  }

  /// How many starts of each engine are needed, as far as those that are done show: for as many as
  /// were planned that nothing disturbed, and for the interval that was asked for.
  int starts_wanted(int job, int done) const {
    const int planned = sessions_planned(), most = 10 * planned;
    int wanted = planned;
    each_pair(job, [&](const EngineResult& a, const EngineResult& b) {
      const auto e = estimate(a, b, job);
      if (!e) return;
      // Where all is disturbed, it is not tried for ever.
      if (e->disturbed > 0) {
        const int lost = (e->disturbed + per_start() - 1) / per_start();
        wanted = std::max(wanted, std::min(planned + lost, kMostUnquiet * planned));
      }
      if (!o_.target_ci) return;
      const PairedRatio& t = e->time;
      if (t.starts < kFewestStarts || std::log(t.high / t.low) / 2 > *o_.target_ci) {
        const int needed = starts_for(t.spread, *o_.target_ci, most) - t.starts;
        wanted = std::max(wanted, done + std::max(needed, 1));
      }
    });
    return std::min(wanted, most);
  }

  int per_start() const {
    return (result_.plan.pairs + result_.plan.starts - 1) / result_.plan.starts;
  }
  int sessions_planned() const { return (result_.plan.pairs + per_start() - 1) / per_start(); }

  /// How the rounds are spread over starts: known before, or when the first start has shown its
  /// cost.
  void plan_starts(std::span<Participant* const> who) {
    Plan& plan = result_.plan;
    if (plan.starts > 0) return;
    double start = 0, round = 0;
    for (const Participant* p : who) {
      if (p->out || !p->engine) continue;
      const Start& last = result_.engines[p->index].starts.back();
      for (const auto* part : {&last.start_s, &last.load_s, &last.first_s})
        start += part->value.value_or(0);
      for (int job = 0; job < int(result_.jobs.size()); ++job) {
        const double once = turns_.usual(*p, job);
        round += once + std::max(once, turns_.share());
      }
    }
    plan.starts =
        o_.starts > 0 ? std::min(o_.starts, plan.pairs) : starts_by_cost(plan.pairs, start, round);
    // One that is loaded alone takes turns by its starts.
    if (!plan.side_by_side) plan.starts = std::max(plan.starts, std::min(2, plan.pairs));
    tell(concat(plan.starts, " starts of each engine, ", per_start(), " rounds in each"));
    turns_.keep_state();
  }

  void measure() {
    rounds_of_ = result_.plan.pairs * int(result_.jobs.size());
    if (!result_.plan.side_by_side) rounds_of_ *= int(everyone_.size());
    if (o_.starts > 0) plan_starts({});
    int wanted = 1;
    for (int session = 0; session < wanted; ++session) {
      run_session(session);
      if (result_.plan.starts == 0) break;  // nobody is there
      wanted = std::max(wanted, sessions_planned());
      const int done = session + 1;
      if (done < wanted) continue;
      // It is looked at anew each time there is 1 % more, as looking takes longer the more there
      // is.
      for (int job = 0; job < int(result_.jobs.size()); ++job)
        if (const int more = starts_wanted(job, done); more > done) {
          say_wanted(job, more);
          wanted = std::max(wanted, std::min(more, done + std::max(1, done / 100)));
        }
    }
    for (int job = 0; job < int(result_.jobs.size()); ++job) note_width(job);
    for (EngineResult& e : result_.engines) turns_.look_for_leak(e);
    if (!o_.limits) return;
    measure_limits_again(result_, "after", interrupted_);
    const auto clock = measure_clock_mhz();
    result_.ceilings.push_back({"clock_after", "cpu", "MHz", "measured after the run",
                                clock.value ? Reading<double>(clock.value->median)
                                            : Reading<double>::missing(clock.reason)});
  }

  /// Before they are measured; and once into the result, by the spread of those that were planned.
  void say_wanted(int job, int starts) {
    rounds_of_ = starts * per_start() * int(result_.jobs.size()) *
                 (result_.plan.side_by_side ? 1 : int(everyone_.size()));
    const std::string what = concat("job ", job + 1, ": ", starts, " starts of each engine are ",
                                    "needed, by the spread of the first ", sessions_planned());
    tell(what);
    if (said_.insert(job).second && o_.target_ci) result_.notes.push_back(what);
  }

  /// Says so if all starts that there may be did not bring the interval that was asked for.
  void note_width(int job) {
    if (!o_.target_ci) return;
    each_pair(job, [&](const EngineResult& a, const EngineResult& b) {
      const auto e = estimate(a, b, job);
      if (!e || (e->time.starts >= kFewestStarts &&
                 std::log(e->time.high / e->time.low) / 2 <= *o_.target_ci))
        return;
      result_.notes.push_back(
          concat("job ", job + 1, ": after ", e->time.starts, " starts the interval of ", b.label,
                 " is still wider than the ", 100 * *o_.target_ci, " % that were asked for"));
    });
  }

  /// A start of each engine, with its rounds of all jobs. Side by side they are all loaded, else
  /// one after the other.
  void run_session(int session) {
    const bool last = result_.plan.starts > 0 && session + 1 >= sessions_planned();
    if (o_.limits && result_.plan.starts > 0 && session > 0 && session == sessions_planned() / 2)
      measure_limits_again(result_, "between", interrupted_);
    std::vector<Participant*> who;
    for (Participant* p : in_order(session))
      if (result_.plan.starts == 0 ? !p->out : wants(*p, session, last)) who.push_back(p);
    if (who.empty()) return;
    if (result_.plan.side_by_side)
      run_together(session, who);
    else
      for (Participant* p : who) run_together(session, std::span(&p, 1));
    turns_.keep_state();
  }

  std::pair<int, int> rounds_of(int session) const {
    const int from = session * per_start();
    return {from, session < sessions_planned() ? std::min(from + per_start(), result_.plan.pairs)
                                               : from + per_start()};
  }

  /// Rounds, or what is asked after all of them.
  bool wants(const Participant& p, int session, bool last) const {
    if (p.out) return false;
    const auto [from, to] = rounds_of(session);
    for (int job = 0; job < int(result_.jobs.size()); ++job)
      for (int round = from; round < to; ++round)
        if (p.lacks(job, round)) return true;
    const auto& memory = result_.engines[p.index].memory;
    return last && std::ranges::find(memory, "cleared", &Memory::moment) == memory.end();
  }

  void run_together(int session, std::span<Participant* const> who) {
    for (Participant* p : who) {
      turns_.start(*p);
      if (p->engine) p->engine->pause();
    }
    for (int job = 0; job < int(result_.jobs.size()); ++job) {
      for (Participant* p : who)
        if (p->engine && !p->jobs[size_t(job)].refused) turns_.warm_up(*p, job);
      if (std::ranges::none_of(who, [](const Participant* p) { return p->engine != nullptr; }))
        break;
      plan_starts(who);
      const bool last = session + 1 >= sessions_planned();
      if (job == 0 && last)
        for (Participant* p : who) turns_.gauges(*p, "before");
      turns_.keep_state();
      const auto [from, to] = rounds_of(session);
      rounds(job, from, to, who);
    }
    if (result_.plan.starts > 0 && session + 1 >= sessions_planned()) {
      for (const char* moment : {"after", "cleared"})
        for (Participant* p : who) turns_.gauges(*p, moment);
      if (session + 1 == sessions_planned())
        for (Participant* p : who) turns_.count_launches(*p), turns_.ask_margins(*p);
    }
    for (Participant* p : who)
      if (p->engine) p->engine->bye(), p->engine.reset();
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
  std::set<int> said_;  // jobs of which it was said how many starts they need
  double round_seconds_ = 0;
};

}  // namespace

int starts_by_cost(int pairs, double start_s, double round_s) {
  check(pairs > 0 && start_s >= 0 && round_s >= 0, "starts_by_cost: pairs ", pairs, ", start ",
        start_s, " s, round ", round_s, " s");
  const double best = round_s > 0 ? std::sqrt(start_s / round_s) : 1;
  const int most = std::max(1, pairs / kFewestStarts);
  const int each = std::clamp(int(std::min(best, 1e6)), 1, most);
  return (pairs + each - 1) / each;
}

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
    check(job.kind == JobKind::op ||
              (of_a_model(job.kind) && !job.prompt_ids.empty() && job.new_tokens > 0),
          "lab: a job without a prompt, or without tokens to make");
  return Run(options, interrupted, progress, std::move(before)).all();
}

}  // namespace hearth::lab
