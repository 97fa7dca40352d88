#include "hearth/lab/run/turns.h"

#include <algorithm>
#include <thread>

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
constexpr double kLeak = 0.10;            // growth of the resident memory that is worth a note
constexpr int64_t kLeakBytes = 64 << 20;  // and at least this

double seconds_since(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

void note_once(EngineResult& e, const std::string& note) {
  if (std::ranges::find(e.notes, note) == e.notes.end()) e.notes.push_back(note);
}

/// Looks once at what a run that is resumed has of the job already.
void begin_job(Participant& p, const EngineResult& e, int job) {
  p.passes = false;
  p.calls = 1;
  p.sampled_s = 0;
  p.ids.clear();
  for (const Repetition& r : e.repetitions) {
    if (r.job != job) continue;
    if (!r.warmup && !r.streamed) p.sampled_s += r.total_s;
    if (p.ids.empty()) p.ids = r.ids;
  }
}

}  // namespace

template <class F>
bool Turns::attempt(Participant& p, const std::string& doing, F&& f) {
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

bool Turns::streams(int round) const {
  return result_.jobs[0].kind != JobKind::op && round % kStreamedEvery == 0;
}

void Turns::settle(Participant& p) {
  EngineResult& e = of(p);
  if (e.status == EngineStatus::unavailable) return;
  const bool any = std::ranges::any_of(e.repetitions, [](const auto& r) { return !r.warmup; });
  if (any) e.status = e.faults.empty() ? EngineStatus::ok : EngineStatus::partial;
  if (!any && !e.faults.empty()) e.status = EngineStatus::failed;
  if (!any && e.faults.empty()) e.status = EngineStatus::partial;
  for (int job = 0; job < int(result_.jobs.size()); ++job)
    if (const auto why = under_sampled(result_, e, job); !why.empty())
      note_once(e, concat("job ", job + 1, ": its telemetry is ", why));
}

bool Turns::start(Participant& p) {
  EngineResult& e = of(p);
  tell_(concat("starting ", e.label));
  const auto from = Clock::now();
  const bool here = attempt(p, "start", [&] {
    p.engine = std::make_unique<Engine>(p.spec, o_.places, o_.timeouts, &interrupted_);
    const EngineHello hello = p.engine->hello();
    e.start_s = seconds_since(from);
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
    e.status = EngineStatus::unavailable;
    p.out = true;
    if (p.engine) p.engine->bye(), p.engine.reset();
    return false;
  }
  const bool loaded = attempt(p, "load", [&] {
    e.memory.push_back(p.engine->memory("started"));
    if (p.spec.altered.keepalive)
      p.load = std::make_unique<KeepAlive>(e.device, o_.places, o_.timeouts, &interrupted_);
    if (o_.model.empty()) return;
    tell_(concat("loading ", e.label));
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
  });
  if (!loaded) {
    p.out = true;
    if (p.engine) p.engine->bye(), p.engine.reset();
  }
  return loaded;
}

void Turns::rest(double s) const {
  const auto end = Clock::now() + std::chrono::duration<double>(s);
  while (Clock::now() < end) {
    if (interrupted_) throw Interrupted();
    std::this_thread::sleep_for(std::min(std::chrono::duration<double>(0.05),
                                         std::chrono::duration<double>(end - Clock::now())));
  }
}

const Repetition& Turns::execute(Participant& p, int job, int round, bool streamed, bool warmup) {
  EngineResult& e = of(p);
  Job what = result_.jobs[size_t(job)];
  if (p.spec.altered.batch > 0) what.batch = p.spec.altered.batch;
  if (!warmup) rest(p.spec.altered.pause_s);
  Repetition r = p.engine->run(what, streamed, p.calls, origin_);
  r.job = job;
  r.round = round;
  r.warmup = warmup;
  const int wanted = result_.jobs[size_t(job)].new_tokens;
  if (p.ids.empty()) p.ids = r.ids;
  if (!r.ids.empty() && r.ids != p.ids)
    note_once(e, concat("job ", job + 1, ": its ids changed from one repetition to another"));
  if (!warmup && !streamed) p.sampled_s += r.total_s;
  e.repetitions.push_back(std::move(r));
  const Repetition& kept = e.repetitions.back();
  bool all = kept.new_tokens == wanted;
  for (const auto& row : kept.ids) all &= int(row.size()) == wanted;
  if (!all)
    throw EngineRefusal(
        concat("E_TOKENS: stopped early: ", kept.new_tokens, " of ", wanted, " tokens"));
  return kept;
}

void Turns::warm_up(Participant& p, int job) {
  EngineResult& e = of(p);
  const Job& what = result_.jobs[size_t(job)];
  tell_(concat("warming up ", e.label));
  begin_job(p, e, job);
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
        note_once(e, concat("job ", job + 1, ": its result was not checked: ", refusal.what()));
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
      note_once(e, concat("job ", job + 1, ": still drifting when the warm-up ended"));
  });
  if (p.engine) p.engine->pause();
}

void Turns::turn(Participant& p, int job, int round) {
  EngineResult& e = of(p);
  tell_(concat("round ", round + 1, ", ", e.label));
  attempt(p, concat("round ", round + 1), [&] {
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
    } while (++repeats < kMostRepeats && p.sampled_s < share);
    if (streams(round)) execute(p, job, round, true, false);
    if (sampler) append(e.telemetry, sampler->stop());
    if (p.load)
      if (const std::string why = p.load->stop(); !why.empty())
        throw EngineRefusal("the load beside it: " + why);
  });
  if (p.load) p.load->stop();
  if (p.engine) p.engine->pause();
}

void Turns::gauges(Participant& p, const char* moment) {
  if (p.out || !p.engine) return;
  attempt(p, concat("memory ", moment), [&] {
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
