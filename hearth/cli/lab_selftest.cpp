// hearth lab selftest: are the verdicts right as often as they claim? By simulation, and on this
// machine.
#include <fmt/format.h>

#include "hearth/cli/build_facts.h"
#include "hearth/cli/lab.h"
#include "hearth/cli/lab_runs.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/lab/judge/compare.h"
#include "hearth/lab/run/runner.h"

namespace hearth::cli {

namespace {

constexpr double kFalse = 0.05;    // of verdicts, where there is no difference
constexpr double kBadLuck = 0.01;  // of selftests fail by chance

struct Options {
  int runs = 1000, real = 40;
};

/// One line; whether it is as it should be.
bool say(const std::string& what, double share, double least, double most) {
  const bool good = share >= least && share <= most;
  const std::string wanted = most >= 1 ? fmt::format("at least {:.0f} %", 100 * least)
                                       : fmt::format("{:.0f} to {:.0f} %", 100 * least, 100 * most);
  print_out(fmt::format("{:4} {:62} {:5.1f} %  wanted {}\n", good ? "ok" : "BAD", what, 100 * share,
                        wanted));
  return good;
}

bool simulated(int runs) {
  lab::Simulation s;
  s.runs = runs;
  const auto same = lab::simulate(s);
  bool good =
      say("A against A, 12 starts, 2 % noise, drift: called different", same.verdicts, 0.02, 0.07);
  good &= say("  its interval holds the truth", same.covered, 0.93, 0.97);
  s.true_ratio = 1.03;
  const auto slower = lab::simulate(s);
  good &= say("3 % slower: found", slower.right, 0.85, 1);
  good &= say("  its interval holds the truth", slower.covered, 0.93, 0.97);
  s.true_ratio = 1, s.layout = 0.02, s.pairs = 4;
  const auto layout = lab::simulate(s);
  good &= say("A against A, processes differ by 2 %, 4 pairs each: called different",
              layout.verdicts, 0.02, 0.07);
  s = {};
  s.runs = runs, s.true_ratio = 1.03;
  s.outliers = 0.05;
  print_out(fmt::format("     3 % slower, 5 % of runs 5 to 50 % too slow: found {:15.1f} %\n",
                        100 * lab::simulate(s).right));
  s.true_ratio = 1;
  print_out(fmt::format("     A against A, the same outliers: called different {:15.1f} %\n",
                        100 * lab::simulate(s).verdicts));
  return good;
}

/// hearth against itself, again and again, with processes of its own each time.
bool measured(int times) {
  lab::RunOptions options;
  options.places = engine_places();
  options.made_by = std::string("hearth ") + kVersion;
  options.engines = lab::parse_engines("hearth:cpu,hearth:cpu");
  options.model = shipped_model();
  options.starts = options.pairs;
  options.least_seconds = 0.5;
  options.warmup_s = 1;
  options.telemetry_period_s = 0;
  options.limits = options.launches = options.hash_weights = false;
  lab::Job job;
  job.model = options.model.string();
  job.prompt = "Once upon a time";
  job.prompt_ids = llm::Tokenizer::load(options.model).encode(job.prompt);
  job.prompt_tokens = int(job.prompt_ids.size());
  job.new_tokens = 16;
  options.jobs = {job};
  CatchInterrupt ctrl_c;
  std::optional<ProgressLine> line(std::in_place);
  int verdicts = 0, equivalent = 0, busy = 0;
  double seconds = 0;
  for (int i = 0; i < times && !output_failed(); ++i) {
    const auto begin = lab::Clock::now();
    const lab::Result result =
        lab::run(options, CatchInterrupt::flag(), [&](const lab::Progress& p) {
          (*line)({fmt::format("hearth against itself, {} verdicts so far; {}", verdicts, p.doing),
                   i, times, i ? seconds / i * (times - i) : 0});
        });
    ensure(result.plan.finished, "interrupted");
    seconds += std::chrono::duration<double>(lab::Clock::now() - begin).count();
    const auto c = lab::compare(result, result.engines[0].label, result.engines[1].label, 0);
    ensure(c.time.has_value(), "hearth against itself gave no pairs: ",
           result.engines[0].faults.empty() ? "" : result.engines[0].faults[0]);
    const std::string verdict = c.verdict();
    verdicts += verdict == "faster" || verdict == "slower";
    equivalent += verdict == "equivalent";
    busy += !c.time->busy.empty();
  }
  line.reset();
  const int most = lab::most_by_chance(times, kFalse, kBadLuck);
  print_out(fmt::format(
      "{:4} hearth against itself on this machine, {} times: {} verdicts, {} "
      "equivalent, {} undecided{}; at most {} verdicts wanted\n",
      verdicts <= most ? "ok" : "BAD", times, verdicts, equivalent, times - verdicts - equivalent,
      busy ? fmt::format(" ({} as the machine was busy)", busy) : "", most));
  return verdicts <= most;
}

}  // namespace

void add_lab_selftest(Command& lab) {
  auto* command = lab.add_subcommand("selftest", "Check how often the lab's verdicts are right");
  auto o = std::make_shared<Options>();
  add_number(*command, "--runs", o->runs, {100, 1000000}, "Simulated comparisons of each kind");
  add_number(*command, "--real", o->real, {0, 1000},
             "Comparisons of hearth with itself, here; 0: none");
  command->callback([o] {
    bool good = simulated(o->runs);
    if (o->real > 0) good &= measured(o->real);
    ensure(good, "the selftest failed");
  });
}

}  // namespace hearth::cli
