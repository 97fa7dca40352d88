#include "hearth/lab/run/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "hearth/base/error.h"
#include "hearth/io/json.h"
#include "hearth/lab/judge/compare.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/run/environment.h"
#include "hearth/lab/run/execution.h"
#include "hearth/lab/run/metric.h"
#include "hearth/lab/run/watch.h"
#include "hearth/lab/telemetry/samples.h"
#include "hearth/lab/telemetry/sources.h"

namespace hearth::lab {

namespace {

constexpr int kShellRuns = 50;        // at least, of the shell alone
constexpr int kMostRounds = 100'000;  // of times too short for the clock
constexpr double kShortest = 1e-6;    // what is left of a command that is as short as its shell
constexpr size_t kMostPadding = 4096;
constexpr int kMostUnquiet = 3;  // times the rounds that were planned, where others disturb
constexpr const char* kRaw = "the run was ended: the start of the shell is still in its times";

/// Energy between two moments, from counters: of the processors, of the GPUs.
class Energy {
 public:
  Energy() { sources_.push_back(rapl_telemetry()), sources_.push_back(nvml_telemetry()); }

  void begin() { read(); }
  void end(double seconds, std::map<std::string, double>& own) {
    for (const auto& [name, watts] : read()) {
      if (name == "cpu_power_w") own["energy_j"] = watts * seconds;
      if (name.starts_with("gpu_counted_power_w")) own["gpu_energy_j"] += watts * seconds;
    }
  }

 private:
  std::vector<std::pair<std::string, double>> read() {
    const double now = std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
    std::vector<std::pair<std::string, double>> all;
    for (const auto& source : sources_) {
      const auto values = source->sample(now);
      for (size_t i = 0; i < values.size(); ++i)
        if (values[i].value) all.emplace_back(source->fields()[i].name, *values[i].value);
    }
    return all;
  }
  TelemetryList sources_;
};

std::string how_it_ended(int code) {
  if (code <= 128) return concat("ended with exit code ", code);
  const char* name = strsignal(code - 128);
  return concat("was ended by signal ", code - 128, name ? concat(" (", name, ")") : "");
}

/// What is taken off of each execution by a shell.
struct Shell {
  std::vector<double> total_s, user_s, system_s;
};

void take_off(EngineResult& e, const Shell& shell) {
  if (shell.total_s.empty()) return;
  const double total = median(shell.total_s), user = median(shell.user_s),
               system = median(shell.system_s);
  for (Repetition& r : e.repetitions) {
    r.own["shell_s"] = total;
    r.total_s = std::max(r.total_s - total, kShortest);
    for (const auto& [key, part] : {std::pair("user_s", user), {"system_s", system}})
      r.own[key] = std::max(r.own[key] - part, 0.0);
  }
}

class CommandRun {
 public:
  CommandRun(const CommandOptions& options, const std::atomic<bool>& interrupted,
             const OnProgress& progress)
      : o_(options), interrupted_(interrupted), progress_(progress) {
    for (const std::string& pattern : o_.metrics) metrics_.emplace_back(pattern);
    for (const Command& command : o_.commands)
      for (const std::string* text :
           {&command.text, &command.setup, &command.prepare, &command.conclude, &command.cleanup})
        words_of(*text);  // a quote that is not closed is found before anything runs
  }

  Result all() {
    const Descendants descendants;
    try {
      begin();
      measure();
      result_.plan.finished = true;
    } catch (const Interrupted&) {
    } catch (const EngineFault& fault) {
      result_.engines[current_].faults.push_back(fault.what());
    }
    if (sampler_) sampler_->stop();
    for (EngineResult& e : result_.engines) {
      take_off(e, shell_);
      const bool any = std::ranges::any_of(e.repetitions, [](const auto& r) { return !r.warmup; });
      e.status = !e.faults.empty() ? any ? EngineStatus::partial : EngineStatus::failed
                 : any             ? EngineStatus::ok
                                   : EngineStatus::partial;
    }
    if (!shell_.total_s.empty())
      result_.notes.push_back(fmt::format(
          "the start of the shell alone, {:.3g} ms (median of {}), is taken off of all times",
          1e3 * median(shell_.total_s), shell_.total_s.size()));
    return std::move(result_);
  }

 private:
  void begin() {
    result_.created = now_utc();
    result_.made_by = o_.made_by;
    result_.source = "measured";
    Job job;
    job.kind = JobKind::command;
    result_.jobs = {job};
    Plan& plan = result_.plan;
    plan.target_ci = o_.target_ci;
    plan.least_seconds = o_.least_seconds;
    plan.side_by_side = !o_.take_turns;
    plan.order = plan.side_by_side ? "ABBA" : "ABBA, in two blocks";
    plan.telemetry_period_s = o_.telemetry_period_s > 0
                                  ? Reading<double>(o_.telemetry_period_s)
                                  : Reading<double>::missing("telemetry was off");
    for (const Command& command : o_.commands) {
      EngineResult e;
      const std::string name = command.name.empty() ? command.text : command.name;
      e.label = name;
      for (int n = 2; result_.engine(e.label); ++n) e.label = concat(name, "#", n);
      e.name = "command";
      e.program = command.text;
      e.device = "cpu";
      for (const auto& [key, value] : command.parameters) e.options["{" + key + "}"] = value;
      for (const auto& [key, text] : {std::pair("setup", &command.setup),
                                      {"prepare", &command.prepare},
                                      {"conclude", &command.conclude},
                                      {"cleanup", &command.cleanup}})
        if (!text->empty()) e.options[key] = *text;
      result_.engines.push_back(std::move(e));
    }
    tell("looking at the machine");
    RunOptions machine;
    machine.limits = false;
    describe_machine(result_, machine, interrupted_);
    if (o_.telemetry_period_s > 0)
      sampler_.emplace(find_telemetry(), o_.telemetry_period_s, origin_);
  }

  void measure() {
    const size_t n = o_.commands.size();
    if (o_.take_turns) {
      rounds_of_ = int(n) * o_.least_runs;
      const int half = (o_.least_runs + 1) / 2;
      for (size_t i = 0; i < n; ++i) block(i, 0, half);
      for (size_t i = n; i-- > 0;) block(i, half, o_.least_runs);
      result_.plan.pairs = result_.plan.starts = o_.least_runs;
      return;
    }
    for (size_t i = 0; i < n; ++i) hook(i, "set-up", o_.commands[i].setup);
    for (size_t i = 0; i < n; ++i) warm_up(i);
    // How many runs each needs follows from its first; rounds are as many as the one that needs
    // the fewest, and in each the others have several.
    for (size_t i = 0; i < n; ++i) run_once(i, 0, false);
    std::vector<int> runs, turns;
    for (size_t i = 0; i < n; ++i) runs.push_back(runs_wanted(i));
    const int rounds = rounds_of_ = *std::ranges::min_element(runs);
    for (const int r : runs) turns.push_back(int(std::lround(double(r) / rounds)));
    result_.plan.pairs = result_.plan.starts = rounds;
    for (size_t i = 0; i < n; ++i)
      for (int k = 1; k < turns[i]; ++k) run_once(i, 0, false);
    run_shell(rounds);
    const auto goes_on = [&](int round) {
      return round < rounds || (round < kMostUnquiet * rounds && quiet_rounds() < rounds) ||
             (round < 10 * rounds && !narrow(round));
    };
    for (int round = 1; goes_on(round); ++round) {
      rounds_of_ = std::max(rounds_of_, round + 1);
      for (size_t k = 0; k < n; ++k) {
        const size_t i = round % 2 == 1 ? n - 1 - k : k;
        for (int t = 0; t < turns[i]; ++t) run_once(i, round, false);
      }
      run_shell(rounds);
      ++rounds_;
    }
    if (o_.target_ci && !narrow(0))
      result_.notes.push_back(concat("after ", 10 * rounds,
                                     " rounds an interval is still wider than the ",
                                     100 * *o_.target_ci, " % that were asked for"));
    for (size_t i = 0; i < n; ++i) hook(i, "clean-up", o_.commands[i].cleanup);
  }

  /// Rounds [from, to) of one command, set up before and cleaned up after.
  void block(size_t i, int from, int to) {
    hook(i, "set-up", o_.commands[i].setup);
    warm_up(i);
    if (from < to) run_once(i, from, false);
    const int turns = int(std::lround(double(runs_wanted(i)) / o_.least_runs));
    for (int round = from; round < to; ++round, ++rounds_) {
      for (int t = round == from; t < turns; ++t) run_once(i, round, false);
      run_shell(o_.least_runs);
    }
    hook(i, "clean-up", o_.commands[i].cleanup);
  }

  void warm_up(size_t i) {
    for (int k = 0; k < o_.warmups; ++k) run_once(i, 0, true);
  }

  /// As many as bring it to its seconds, what runs before and after each counted too.
  int runs_wanted(size_t i) const {
    double wanted = o_.least_runs;
    const double each = std::max(cycle_s_[i], kShortest);
    wanted = std::max(wanted, std::min(std::ceil(o_.least_seconds / each), double(kMostRounds)));
    return o_.most_runs ? std::min(int(wanted), *o_.most_runs) : int(wanted);
  }

  /// Rounds in which nothing disturbed the first command and another; all, where as many runs are
  /// wanted and no more, or nothing is looked at.
  int quiet_rounds() const {
    int quiet = kMostRounds;
    const bool exactly = o_.most_runs && *o_.most_runs == o_.least_runs;
    for (size_t i = 1; o_.watch && !exactly && i < result_.engines.size(); ++i)
      quiet = std::min(
          quiet, int(std::ranges::count(pairs_of(result_.engines[0], result_.engines[i], 0), true,
                                        &Pair::quiet)));
    return quiet;
  }

  /// Whether every interval is as narrow as was asked; looked at each time there is 1 % more.
  bool narrow(int round) const {
    if (!o_.target_ci) return true;
    if (round % std::max(1, round / 100) != 0) return false;
    std::optional<EngineResult> first;
    for (const EngineResult& e : result_.engines) {
      EngineResult times;
      times.repetitions = e.repetitions;
      take_off(times, shell_);
      if (!first) {
        first = std::move(times);
        continue;
      }
      const auto so_far = estimate(*first, times, 0);
      if (!so_far || so_far->time.starts < kFewestStarts) return false;
      if (std::log(so_far->time.high / so_far->time.low) / 2 > *o_.target_ci) return false;
    }
    return true;
  }

  // --- one execution

  std::vector<std::string> words_of(const std::string& text) const {
    if (o_.shell.empty()) return split_words(text);
    std::vector<std::string> words = o_.shell;
    words.insert(words.end(), {"-c", text});
    return words;
  }

  Program program(const std::string& text, const std::string& iteration) {
    Program p;
    p.args = words_of(text);
    // Where the stack begins follows from the environment's size, and some programs' speed from
    // that (Mytkowicz and others, 2009): it is another each time.
    p.environment = {"HEARTH_ITERATION=" + iteration,
                     "HEARTH_PADDING=" + std::string(random_() % kMostPadding, 'x')};
    p.input = o_.input;
    p.timeout_s = o_.timeout_s;
    return p;
  }

  void set_output(Program& p, const std::string& where) const {
    if (!metrics_.empty()) {
      p.output = Output::keep;
    } else if (where == "pipe") {
      p.output = Output::discard;
    } else if (where == "inherit") {
      p.output = Output::show;
    } else if (!where.empty() && where != "null") {
      p.output = Output::file;
      p.file = where;
    }
  }

  void hook(size_t i, const char* what, const std::string& text, const std::string& at = "0") {
    if (text.empty()) return;
    current_ = i;
    tell(fmt::format("{} of {}", what, result_.engines[i].label));
    Program p = program(text, at);
    if (o_.commands[i].output == "inherit") p.output = Output::show;
    int code = 0;
    try {
      code = execute(p, &interrupted_).exit_code;
    } catch (const EngineFault& fault) {
      throw EngineFault(concat("its ", what, " ", in_quotes(text), ": ", fault.what()));
    }
    if (code != 0)
      throw EngineFault(concat("its ", what, " ", in_quotes(text), " ", how_it_ended(code),
                               "; append || true where that may be"));
  }

  void run_once(size_t i, int round, bool warmup) {
    const Command& command = o_.commands[i];
    EngineResult& e = result_.engines[i];
    const auto begin = Clock::now();
    const auto count = std::ranges::count(e.repetitions, warmup, &Repetition::warmup);
    const std::string at = warmup ? concat("warmup-", count) : std::to_string(count);
    hook(i, "preparation", command.prepare, at);
    current_ = i;
    tell(fmt::format("{} {}", warmup ? "warming up" : concat("round ", round + 1, ","), e.label));
    Program p = program(command.text, at);
    set_output(p, command.output);
    p.watch_memory = true;
    Repetition r;
    r.round = round;
    // Every run is a process; those of one round are one start, which the other commands' stand by.
    r.start = warmup ? 0 : round;
    if (int(e.starts.size()) <= r.start) e.starts.resize(size_t(r.start + 1));
    r.warmup = warmup;
    if (sampler_) sampler_->take();
    energy_.begin();
    if (o_.watch) watch_.begin();
    const Execution x = execute(p, &interrupted_);
    if (o_.watch) {
      r.disturbance = watch_.end();
      e.unseen = watch_.unseen();
    }
    energy_.end(x.seconds(), r.own);
    if (sampler_ && !warmup) append(e.telemetry, sampler_->take());
    r.start_s = std::chrono::duration<double>(x.begin - origin_).count();
    r.total_s = std::max(x.seconds(), 1e-9);
    r.own["user_s"] = x.user_s;
    r.own["system_s"] = x.system_s;
    r.own["minor_faults"] = double(x.minor_faults);
    r.own["major_faults"] = double(x.major_faults);
    r.own["voluntary_switches"] = double(x.voluntary_switches);
    r.own["involuntary_switches"] = double(x.involuntary_switches);
    r.own["exit_code"] = x.exit_code;
    if (x.peak_bytes.value) r.own["peak_memory_bytes"] = double(*x.peak_bytes.value);
    const bool ignored =
        o_.ignore_failure && (o_.ignored.empty() || o_.ignored.contains(x.exit_code));
    if (x.exit_code != 0 && !ignored)
      throw EngineFault(concat(how_it_ended(x.exit_code),
                               "; --ignore-failure goes on all the same, --show-output shows what "
                               "it says"));
    for (const Metric& metric : metrics_) r.own[metric.pattern()] = metric.find(x.text);
    keep(i, r);
    e.repetitions.push_back(std::move(r));
    hook(i, "conclusion", command.conclude, at);
    cycle_s_.resize(o_.commands.size(), HUGE_VAL);
    cycle_s_[i] =
        std::min(cycle_s_[i], std::chrono::duration<double>(Clock::now() - begin).count());
  }

  /// Written down at once: from the first that counts on.
  void keep(size_t i, const Repetition& r) {
    if (!o_.keep || (!kept_ && r.warmup)) return;
    Addition added;
    if (!kept_) {
      added = state_of(result_);
      if (!o_.shell.empty()) added.state[0].notes.push_back(kRaw);
      o_.keep(added);
      kept_ = true;
    }
    added = Addition();
    added.engine = int(i);
    added.starts.resize(size_t(r.start + 1) - std::min(kept_starts_[i], size_t(r.start + 1)));
    kept_starts_[i] += added.starts.size();
    added.repetitions = {r};
    o_.keep(added);
  }

  /// The shell alone, so often in each of as many rounds that it is measured well.
  void run_shell(int rounds) {
    if (o_.shell.empty()) return;
    for (int k = 0; k < (kShellRuns + rounds - 1) / rounds; ++k) {
      Program p = program("", "0");
      p.input = "/dev/null";
      const Execution x = execute(p, &interrupted_);
      if (x.exit_code != 0)
        throw EngineFault(concat("the shell ", in_quotes(o_.shell[0]), " ",
                                 how_it_ended(x.exit_code),
                                 " when it had nothing to do; -N goes without one"));
      shell_.total_s.push_back(x.seconds());
      shell_.user_s.push_back(x.user_s);
      shell_.system_s.push_back(x.system_s);
    }
  }

  void tell(std::string doing) const {
    if (interrupted_) throw Interrupted();
    if (!progress_) return;
    Progress at{std::move(doing), rounds_, rounds_of_, 0};
    if (rounds_ > 0)
      at.seconds_left = std::chrono::duration<double>(Clock::now() - origin_).count() / rounds_ *
                        std::max(0, rounds_of_ - rounds_);
    try {
      progress_(at);
    } catch (const std::exception&) {  // who cannot say how far it is loses nothing else
    }
  }

  const CommandOptions& o_;
  const std::atomic<bool>& interrupted_;
  const OnProgress& progress_;
  std::vector<Metric> metrics_;
  Result result_;
  Clock::time_point origin_ = Clock::now();
  std::optional<Sampler> sampler_;
  Energy energy_;
  Shell shell_;
  std::mt19937 random_{1};
  std::vector<double> cycle_s_;  // of each command's quickest run so far, with what is around it
  size_t current_ = 0;           // the command that something is being done for
  int rounds_ = 0, rounds_of_ = 0;
  Watch watch_{0};
  bool kept_ = false;
  std::map<size_t, size_t> kept_starts_;
};

}  // namespace

Result run_commands(const CommandOptions& options, const std::atomic<bool>& interrupted,
                    const OnProgress& progress) {
  check(!options.commands.empty(), "lab: no commands");
  check(options.least_runs >= 1 && options.least_runs <= kMostRounds, "lab: ", options.least_runs,
        " runs; wanted 1 to ", kMostRounds);
  check(!options.most_runs || *options.most_runs >= options.least_runs, "lab: at most ",
        options.most_runs.value_or(0), " runs, but at least ", options.least_runs);
  check(options.warmups >= 0, "lab: ", options.warmups, " warm-ups");
  check(!options.target_ci || *options.target_ci > 0, "lab: the interval to reach must be above 0");
  for (const Command& command : options.commands) {
    check(command.text.find_first_not_of(" \t\n") != std::string::npos, "lab: an empty command");
    for (const std::string* text : {&command.text, &command.setup, &command.prepare,
                                    &command.conclude, &command.cleanup, &command.output})
      check(text->find('\0') == std::string::npos, "lab: a command with a zero byte");
  }
  return CommandRun(options, interrupted, progress).all();
}

}  // namespace hearth::lab
