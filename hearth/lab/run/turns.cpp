#include "hearth/lab/run/turns.h"

#include <algorithm>
#include <span>
#include <thread>
#include <utility>

#include "hearth/base/error.h"
#include "hearth/lab/judge/compare.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/windows.h"
#include "hearth/lab/telemetry/samples.h"
#include "hearth/lab/telemetry/telemetry.h"

namespace hearth::lab {

namespace {

constexpr int kStreamedEvery = 3;         // rounds in which tokens are also timed one by one
constexpr double kShortestOp = 0.1;       // seconds that one timing of an operation should last
constexpr int kFewestTokens = 4;          // of which steps can be told apart
constexpr size_t kMostRepeats = 1000;     // in one turn
constexpr double kSteady = 1.1;           // times its usual time an execution is steady
constexpr int kMostAside = 3;             // executions at the beginning of a turn that do not count
constexpr size_t kRemembered = 9;         // of which the usual time is the median
constexpr double kKeepTelemetry_s = 1;    // samples are written down as often as that
constexpr double kLeak = 0.10;            // growth of the resident memory that is worth a note
constexpr int64_t kLeakBytes = 64 << 20;  // and at least this

double seconds_since(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

void note_once(EngineResult& e, const std::string& note) {
  if (std::ranges::find(e.notes, note) == e.notes.end()) e.notes.push_back(note);
}

void remember(std::vector<double>& steady, double total_s) {
  steady.push_back(total_s);
  if (steady.size() > kRemembered) steady.erase(steady.begin());
}

bool has(const EngineResult& e, std::string_view moment) {
  return std::ranges::find(e.memory, moment, &Memory::moment) != e.memory.end();
}

}  // namespace

Participant Turns::join(const EngineSpec& spec, size_t index) const {
  const EngineResult& e = result_.engines[index];
  Participant p{.spec = spec, .index = index, .jobs = {}};
  p.jobs.resize(result_.jobs.size());
  for (const Repetition& r : e.repetitions) {
    Participant::OfJob& j = p.jobs[size_t(r.job)];
    if (j.ids.empty()) j.ids = r.ids;
    j.checked |= r.own.contains("checksum");
    if (r.streamed) continue;
    j.calls = r.calls;
    if (!r.counts()) continue;
    j.rounds.insert(r.round);
    remember(j.steady, r.total_s);
  }
  p.out = e.status == EngineStatus::unavailable || !e.faults.empty();
  return p;
}

double Turns::usual(const Participant& p, int job) const {
  const auto& steady = p.jobs[size_t(job)].steady;
  return steady.empty() ? 0 : median(steady);
}

void Turns::keep(const Participant& p, Addition addition) const {
  if (!o_.keep) return;
  addition.engine = int(p.index);
  o_.keep(addition);
}

void Turns::keep_state() {
  if (o_.keep) o_.keep(state_of(result_));
}

template <class F>
bool Turns::attempt(Participant& p, const std::string& doing, Participant::OfJob* job, F&& f) {
  try {
    f();
    return true;
  } catch (const EngineFault& fault) {  // it is dead
    of(p).faults.push_back(concat(doing, ": ", fault.what()));
    p.engine.reset();
    p.out = true;
  } catch (const EngineRefusal& refusal) {
    of(p).faults.push_back(concat(doing, ": ", refusal.what()));
    if (job) job->refused = true;
  }
  return false;
}

bool Turns::streams(int round) const {
  return result_.jobs[0].kind != JobKind::op && round % kStreamedEvery == 0;
}

void Turns::settle(Participant& p) {
  EngineResult& e = of(p);
  if (e.status == EngineStatus::unavailable) return;
  const bool any = std::ranges::any_of(e.repetitions, [](const auto& r) { return r.counts(); });
  if (any) e.status = e.faults.empty() ? EngineStatus::ok : EngineStatus::partial;
  if (!any && !e.faults.empty()) e.status = EngineStatus::failed;
  if (!any && e.faults.empty()) e.status = EngineStatus::partial;
  for (int job = 0; job < int(result_.jobs.size()); ++job)
    if (const auto why = under_sampled(result_, e, job); !why.empty())
      note_once(e, concat("job ", job + 1, ": its telemetry is ", why));
}

bool Turns::start(Participant& p) {
  EngineResult& e = of(p);
  const int number = int(e.starts.size()) + 1;
  tell_(number > 1 ? concat("starting ", e.label, " again (", number, ")")
                   : concat("starting ", e.label));
  const auto from = Clock::now();
  Start start;
  start.began_s = std::chrono::duration<double>(from - origin_).count();
  const bool here = attempt(p, "start", nullptr, [&] {
    p.engine = std::make_unique<Engine>(p.spec, o_.places, o_.timeouts, &interrupted_);
    const EngineHello hello = p.engine->hello();
    start.start_s = seconds_since(from);
    e.version = hello.version;
    e.commit = hello.commit;
    p.counts_launches = hello.counts_launches;
    p.tells_logits = hello.tells_logits;
    if (!hello.device.empty()) e.device = hello.device;
    std::string program;
    for (const std::string& word : command_of(p.spec, o_.places))
      program += concat(program.empty() ? "" : " ", word);
    e.program = program;
    if (const auto lack = hello.lack(result_.jobs[0])) throw EngineRefusal(*lack);
  });
  if (!here) {
    if (number == 1) e.status = EngineStatus::unavailable;
    p.out = true;
    if (p.engine) p.engine->bye(), p.engine.reset();
    return false;
  }
  const bool loaded = attempt(p, "load", nullptr, [&] {
    if (!has(e, "started")) e.memory.push_back(p.engine->memory("started"));
    if (p.spec.altered.keepalive && !p.load)
      p.load = std::make_unique<KeepAlive>(e.device, o_.places, o_.timeouts, &interrupted_);
    if (o_.model.empty()) return;
    tell_(concat("loading ", e.label));
    const auto begin = Clock::now();
    const EngineLoad facts = p.engine->load(o_.model);
    start.load_s = seconds_since(begin);
    e.dtype = facts.dtype;
    e.activations = facts.activations;
    e.bytes_per_weight = facts.bytes_per_weight;
    e.weights_bytes = facts.weights_bytes;
    e.threads = facts.threads;
    e.same_prompt_ids = facts.same_prompt_ids;
    e.sampling = facts.sampling;
    for (const std::string& note : facts.notes) note_once(e, note);
    if (!has(e, "loaded")) e.memory.push_back(p.engine->memory("loaded"));
  });
  if (!loaded) {
    p.out = true;
    if (p.engine) p.engine->bye(), p.engine.reset();
    return false;
  }
  if (number == 1) e.start_s = start.start_s, e.load_s = start.load_s;
  e.starts.push_back(start);
  Addition added;
  added.starts = {start};
  keep(p, std::move(added));
  if (o_.watch) p.watch = std::make_unique<Watch>(p.engine->pid());
  return true;
}

void Turns::rest(double s) const {
  const auto end = Clock::now() + std::chrono::duration<double>(s);
  while (Clock::now() < end) {
    if (interrupted_) throw Interrupted();
    std::this_thread::sleep_for(std::min(std::chrono::duration<double>(0.05),
                                         std::chrono::duration<double>(end - Clock::now())));
  }
}

const Repetition& Turns::execute(Participant& p, int job, int round, bool streamed, As as) {
  EngineResult& e = of(p);
  Participant::OfJob& j = p.jobs[size_t(job)];
  Job what = result_.jobs[size_t(job)];
  if (p.spec.altered.batch > 0) what.batch = p.spec.altered.batch;
  if (as == As::counted) rest(p.spec.altered.pause_s);
  if (p.watch) p.watch->begin();
  Repetition r = p.engine->run(what, streamed, j.calls, origin_);
  if (p.watch) {
    r.disturbance = p.watch->end();
    e.unseen = p.watch->unseen();
  }
  r.job = job;
  r.round = round;
  r.start = int(e.starts.size()) - 1;
  r.warmup = as == As::warmup;
  r.settling = as == As::settling;
  const int wanted = result_.jobs[size_t(job)].new_tokens;
  if (j.ids.empty()) j.ids = r.ids;
  if (!r.ids.empty() && r.ids != j.ids)
    note_once(e, concat("job ", job + 1, ": its ids changed from one repetition to another"));
  if (what.kind == JobKind::op && !std::exchange(j.checked, true)) try {
      r.own["checksum"] = p.engine->checksum();
    } catch (const EngineRefusal& refusal) {  // infinite, say: not a reason to leave it out
      note_once(e, concat("job ", job + 1, ": its result was not checked: ", refusal.what()));
    }
  Addition added;
  added.repetitions = {r};
  keep(p, std::move(added));
  add(e, std::move(r));
  const Repetition& kept = e.repetitions.back();
  bool all = kept.new_tokens == wanted;
  for (const auto& row : kept.ids) all &= int(row.size()) == wanted;
  if (!all)
    throw EngineRefusal(
        concat("E_TOKENS: stopped early: ", kept.new_tokens, " of ", wanted, " tokens"));
  if (as == As::counted && !streamed) {
    remember(j.steady, kept.total_s);
    j.rounds.insert(round);
  }
  return kept;
}

void Turns::warm_up(Participant& p, int job) {
  EngineResult& e = of(p);
  const Job& what = result_.jobs[size_t(job)];
  Participant::OfJob& j = p.jobs[size_t(job)];
  tell_(concat("warming up ", e.label));
  attempt(p, "warm-up", &j, [&] {
    const auto run = [&](bool streamed) {
      return execute(p, job, 0, streamed, As::warmup).total_s;
    };
    const auto begin = Clock::now();
    double last = run(false);
    if (!j.steady.empty()) {  // another process has shown what is usual
      while (last > kSteady * usual(p, job) && seconds_since(begin) < o_.warmup_s)
        last = run(false);
      return;
    }
    if (what.kind == JobKind::op) {
      last = run(false);
      while (last < kShortestOp && j.calls < (1 << 20)) {
        j.calls *= std::clamp(int(kShortestOp / last), 2, 100);
        last = run(false);
      }
    } else {
      run(true);
    }
    const auto steady_from = Clock::now();
    std::vector<double> times;
    do {
      times.push_back(run(false));
    } while (times.size() < 2 || (drifting(times) && seconds_since(steady_from) < o_.warmup_s));
    if (times.size() >= 6 && drifting(times))
      note_once(e, concat("job ", job + 1, ": still drifting when the warm-up ended"));
    for (const double time : std::span(times).last(std::min<size_t>(times.size(), 3)))
      remember(j.steady, time);
  });
  if (p.engine) p.engine->pause();
}

void Turns::turn(Participant& p, int job, int round) {
  EngineResult& e = of(p);
  tell_(concat("round ", round + 1, ", ", e.label));
  std::optional<Sampler> sampler;
  auto kept_at = Clock::now();
  const auto keep_samples = [&](const Timeline& more) {
    kept_at = Clock::now();
    if (more.time_s.empty()) return;
    append(e.telemetry, more);
    Addition added;
    added.telemetry = {more};
    keep(p, std::move(added));
  };
  const auto once = [&](bool streamed, As as) {
    const double total = execute(p, job, round, streamed, as).total_s;
    if (sampler && seconds_since(kept_at) > kKeepTelemetry_s) keep_samples(sampler->take());
    return total;
  };
  attempt(p, concat("round ", round + 1), &p.jobs[size_t(job)], [&] {
    p.engine->resume();
    if (p.load) p.load->start();
    if (o_.telemetry_period_s > 0)
      sampler.emplace(find_telemetry("/", p.engine->pid()), o_.telemetry_period_s, origin_);
    // Whether one counts is decided by those before it, never by itself: to leave out those that
    // are slow would prefer the engine that scatters more.
    const double most = kSteady * usual(p, job);
    for (int aside = 0; aside < kMostAside; ++aside)
      if (once(false, As::settling) <= most) break;
    double sum = 0;
    for (size_t repeats = 0; repeats == 0 || (sum < share() && repeats < kMostRepeats); ++repeats)
      sum += once(false, As::counted);
    if (streams(round)) once(true, As::counted);
    if (p.load)
      if (const std::string why = p.load->stop(); !why.empty())
        throw EngineRefusal("the load beside it: " + why);
  });
  if (sampler) keep_samples(sampler->stop());
  if (p.load) p.load->stop();
  if (p.engine) p.engine->pause();
}

void Turns::gauges(Participant& p, const char* moment) {
  if (p.out || !p.engine || has(of(p), moment)) return;
  attempt(p, concat("memory ", moment), nullptr, [&] {
    if (std::string_view(moment) == "cleared") p.engine->clear_cache();
    of(p).memory.push_back(p.engine->memory(moment));
  });
  if (p.engine) p.engine->pause();
}

void Turns::count_launches(Participant& p) {
  EngineResult& e = of(p);
  const Job& job = result_.jobs[0];
  if (p.out || !p.engine || !o_.launches) return;
  Engine::Launches counted;
  const auto missing = [&](const std::string& why) {
    counted.one_by_one = counted.replayed = Reading<int64_t>::missing(why);
  };
  try {
    if (job.kind == JobKind::op || job.new_tokens < kFewestTokens)
      missing(
          concat("the job has no ", kFewestTokens, " new tokens, whose steps could be counted"));
    else if (!p.counts_launches)
      missing("the engine does not count its launches");
    else
      tell_(concat("counting the launches of ", e.label)), counted = p.engine->launches(job);
  } catch (const EngineFault& fault) {
    missing(fault.what());
    p.engine.reset();
  } catch (const EngineRefusal& refusal) {
    missing(refusal.what());
  }
  e.launches = counted.one_by_one;
  e.replayed = counted.replayed;
  if (p.engine) p.engine->pause();
}

void Turns::ask_margins(Participant& p) {
  EngineResult& e = of(p);
  e.margins.clear();  // of a run that is resumed
  for (int job = 0; job < int(result_.jobs.size()); ++job)
    for (const EngineResult& other : result_.engines) {
      if (p.out || !p.engine || !p.tells_logits || &other == &e) continue;
      const auto *mine = e.ids(job), *theirs = other.ids(job);
      const auto at = mine && theirs ? first_divergence(*mine, *theirs) : std::nullopt;
      if (!at) continue;
      tell_(concat("asking for the logits of ", e.label));
      const auto row = size_t(at->row), index = size_t(at->index);
      std::vector<int> text = rows_of(result_.jobs[size_t(job)]).at(row);
      text.insert(text.end(), (*mine)[row].begin(), (*mine)[row].begin() + at->index);
      Margin margin{other.label, job, at->row, at->index, {}};
      try {
        const auto logits = p.engine->logits(text, {(*mine)[row][index], (*theirs)[row][index]});
        margin.logits = logits[0] - logits[1];
      } catch (const EngineFault& fault) {
        margin.logits = Reading<double>::missing(fault.what());
        p.engine.reset();
      } catch (const EngineRefusal& refusal) {
        margin.logits = Reading<double>::missing(refusal.what());
      }
      e.margins.push_back(std::move(margin));
    }
  if (p.engine) p.engine->pause();
}

void Turns::look_for_leak(EngineResult& e) {
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

}  // namespace hearth::lab
