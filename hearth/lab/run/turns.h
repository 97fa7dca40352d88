// One engine of a run: started, warmed up, given its turns. What it does is kept; what goes wrong
// is written down.
#pragma once
#include <functional>
#include <memory>
#include <set>

#include "hearth/lab/run/keep_alive.h"
#include "hearth/lab/run/runner.h"
#include "hearth/lab/run/watch.h"

namespace hearth::lab {

/// One engine of the run: its process, as long as it lives, and what is known of it.
struct Participant {
  EngineSpec spec;
  size_t index;  // into Result::engines
  std::unique_ptr<Engine> engine = nullptr;
  std::unique_ptr<Watch> watch = nullptr;
  std::unique_ptr<KeepAlive> load = nullptr;
  bool out = false;  // failed, or not here
  bool counts_launches = false, tells_logits = false;

  struct OfJob {
    int calls = 1;                      // of an operation, in one execution
    bool refused = false;               // it cannot do it
    bool checked = false;               // of an operation, its result
    std::vector<std::vector<int>> ids;  // of its first execution that has some
    std::vector<double> steady;         // the last totals that were
    std::set<int> rounds;               // that it has counted executions of
  };
  std::vector<OfJob> jobs;

  bool lacks(int job, int round) const {
    const OfJob& j = jobs[size_t(job)];
    return !out && !j.refused && !j.rounds.contains(round);
  }
};

class Turns {
 public:
  /// Says what is being done; throws Interrupted when it should stop.
  using Tell = std::function<void(std::string doing)>;

  Turns(const RunOptions& options, const std::atomic<bool>& interrupted, Result& result,
        const Clock::time_point& origin, Tell tell)
      : o_(options),
        interrupted_(interrupted),
        result_(result),
        origin_(origin),
        tell_(std::move(tell)) {}

  /// One that takes part, with what a run that is resumed has of it already.
  Participant join(const EngineSpec& spec, size_t index) const;
  /// Starts and loads it, anew each time; false if that failed.
  bool start(Participant& p);
  /// The first time until its times go neither up nor down; in later processes until one is as they
  /// were.
  void warm_up(Participant& p, int job);
  /// Its part of a round. It begins in its steady state: the first execution, and others before one
  /// that is steady, are kept and not counted.
  void turn(Participant& p, int job, int round);
  /// Whether executions of the round also stream.
  bool streams(int round) const;
  /// Its memory at that moment; at "cleared", without its caches.
  void gauges(Participant& p, const char* moment);
  /// Asks for the launches of a decoding step: no repetition, and after all of them, since what
  /// counts may disturb. An engine that fails at it keeps what was measured.
  void count_launches(Participant& p);
  /// Asks for its logits where its ids part from another engine's; likewise after all.
  void ask_margins(Participant& p);
  void look_for_leak(EngineResult& e);
  /// What became of it.
  void settle(Participant& p);
  /// Seconds of an execution in its steady state; 0 where none is known.
  double usual(const Participant& p, int job) const;
  /// Seconds of executions that a turn lasts at least.
  double share() const { return o_.least_seconds / o_.pairs; }
  /// Writes down what has changed beside the lists that grow.
  void keep_state();

 private:
  EngineResult& of(const Participant& p) { return result_.engines[p.index]; }
  /// f(), or a fault that is written down; false then. A job that is refused is not asked again.
  template <class F>
  bool attempt(Participant& p, const std::string& doing, Participant::OfJob* job, F&& f);
  enum class As : uint8_t { warmup, settling, counted };
  /// One execution, kept whatever it is worth.
  const Repetition& execute(Participant& p, int job, int round, bool streamed, As as);
  void keep(const Participant& p, Addition addition) const;
  void rest(double s) const;

  const RunOptions& o_;
  const std::atomic<bool>& interrupted_;
  Result& result_;
  const Clock::time_point& origin_;
  const Tell tell_;
};

}  // namespace hearth::lab
