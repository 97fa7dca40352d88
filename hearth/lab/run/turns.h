// One engine of a run: started, warmed up, given its turns. What it does is kept; what goes wrong
// is written down.
#pragma once
#include <functional>
#include <memory>

#include "hearth/lab/run/keep_alive.h"
#include "hearth/lab/run/runner.h"

namespace hearth::lab {

/// One engine of the run: its process, as long as it lives, and its results.
struct Participant {
  EngineSpec spec;
  size_t index;  // into Result::engines
  std::unique_ptr<Engine> engine;
  std::unique_ptr<KeepAlive> load = nullptr;
  bool out = false;     // failed, or not here
  bool passes = false;  // the current job
  bool counts_launches = false, tells_logits = false;
  int calls = 1;
  // Of the current job: seconds that count, and the ids of its first repetition that has some.
  double sampled_s = 0;
  std::vector<std::vector<int>> ids = {};
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

  /// Starts and loads it; false if that failed.
  bool start(Participant& p);
  /// Until its times go neither up nor down.
  void warm_up(Participant& p, int job);
  /// Its part of a round.
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

 private:
  EngineResult& of(const Participant& p) { return result_.engines[p.index]; }
  /// f(), or a fault that is written down; false then.
  template <class F>
  bool attempt(Participant& p, const std::string& doing, F&& f);
  /// One execution, kept whatever it is worth.
  const Repetition& execute(Participant& p, int job, int round, bool streamed, bool warmup);
  void rest(double s) const;

  const RunOptions& o_;
  const std::atomic<bool>& interrupted_;
  Result& result_;
  const Clock::time_point& origin_;
  const Tell tell_;
};

}  // namespace hearth::lab
