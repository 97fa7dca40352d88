// hearth lab intervene: puts the supposed cause of a result to the test.
#include "hearth/lab/run/intervene.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "hearth/cli/lab.h"
#include "hearth/cli/lab_runs.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/lab/judge/explain.h"
#include "hearth/lab/judge/interventions.h"
#include "hearth/lab/result/journal.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/text.h"

namespace hearth::cli {

namespace {

struct Options {
  std::string file, engine;
  std::vector<std::string> changes;
  int job = 1;
  TurnOptions turns{.seconds = 3, .warmup = 5};
};

/// "40 s", "3 min".
std::string about(double seconds) {
  return seconds < 100 ? fmt::format("{:.0f} s", std::ceil(seconds))
                       : fmt::format("{:.0f} min", seconds / 60);
}

/// Those to try: what an earlier call was interrupted at, else all that can be predicted, written
/// down before anything is tried.
std::vector<size_t> to_try(lab::Result& result, const std::string& engine, const Options& o) {
  const int job = o.job - 1;
  auto predicted = lab::predict(result, engine, job, o.changes);
  std::vector<size_t> open, fresh;
  for (size_t i = 0; i < result.interventions.size(); ++i)
    if (const lab::Intervention& one = result.interventions[i];
        one.engine == engine && one.job == job && one.measured_at.empty() && one.fault.empty() &&
        std::ranges::any_of(predicted, [&](const lab::Intervention& p) {
          return p.change == one.change && p.from == one.from && p.to == one.to;
        }))
      open.push_back(i);
  if (!open.empty()) return open;
  for (lab::Intervention& one : predicted) {
    fresh.push_back(result.interventions.size());
    result.interventions.push_back(std::move(one));
  }
  return fresh;
}

void intervene(const Options& o) {
  lab::Result result = lab::read_result(o.file);
  lab::Journal journal(o.file, lab::Journal::Earlier::read);
  if (auto left = journal.found()) result = *std::move(left);
  const int at = o.job - 1;
  const std::string engine = o.engine.empty() ? lab::first_two(result, at).first : o.engine;
  const std::vector<size_t> all = to_try(result, engine, o);
  lab::RunOptions options = o.turns.run_options();
  options.telemetry_period_s = result.plan.telemetry_period_s.value.value_or(0);
  options.keep = [&](const lab::Addition& more) { journal.write(more); };
  double seconds = 0;
  std::string each;
  for (const size_t index : all) {
    const lab::Intervention& i = result.interventions[index];
    const double expected = lab::expected_seconds(i, result, options);
    seconds += expected;
    each += fmt::format("{}{} {}", each.empty() ? "" : ", ", i.change, about(expected));
    show_text(lab::one_line(fmt::format("{} {}, if {} is {}: {}", i.predicted_at, i.change,
                                        i.engine, i.cause, i.prediction)) +
              "\n");
  }
  show_text(fmt::format("To try {} takes about {}: {}. Ctrl-C keeps what was measured.\n",
                        all.size() == 1 ? "it" : "them", about(seconds), each));
  const auto keep_all = [&] {
    lab::Addition whole;
    whole.state = {result};
    journal.write(whole);
  };
  keep_all();

  const lab::Job& job = result.jobs[size_t(at)];
  const CatchInterrupt ctrl_c;  // as long as the model's folder, which goes with us
  const JobModel model(job, result.engine(engine)->dtype);
  options.model = model.folder();
  {
    ProgressLine line;
    for (const size_t i : all) {
      lab::try_out(result.interventions[i], result, options, CatchInterrupt::flag(),
                   std::ref(line));
      keep_all();
      if (CatchInterrupt::flag()) break;
    }
  }
  journal.close(result);
  for (const size_t i : all) {
    const lab::Intervention& one = result.interventions[i];
    const auto seen = lab::judge(one);
    show_text(
        lab::one_line(fmt::format(
            "{}: {}{}{}", one.change,
            seen.ratio ? fmt::format("{:.3f} times the time (95 % interval {:.3f} to {:.3f}): ",
                                     seen.ratio->ratio, seen.ratio->low, seen.ratio->high)
                       : "",
            seen.verdict, one.fault.empty() ? "" : ": " + one.fault)) +
        "\n");
  }
  ensure(!CatchInterrupt::flag(), "interrupted; what was measured is in ", o.file);
}

}  // namespace

void add_lab_intervene(Command& lab) {
  auto* command = lab.add_subcommand(
      "intervene", "Change one thing of an engine at a time: does its time do as predicted?");
  auto o = std::make_shared<Options>();
  command->add_option("result", o->file, "What `hearth lab run` wrote; it is added to")
      ->required()
      ->type_name("F");
  command->add_option("engine", o->engine, "Default: the slower of the first two")->type_name("E");
  const auto all = lab::interventions();
  command
      ->add_option(
          "--try", o->changes,
          "threads, dtype, batch, compile, keepalive, pause (default: all of which something "
          "follows)")
      ->delimiter(',')
      ->one_of(std::vector<std::string>(all.begin(), all.end()))
      ->type_name("LIST");
  add_number(*command, "--job", o->job, {1, 9999}, "The number of the job, from 1");
  o->turns.add_to(*command, lab::kFewestStarts);
  command->callback([o] {
    try {
      intervene(*o);
    } catch (const std::invalid_argument& error) {
      throw UsageError(error.what());
    }
  });
}

}  // namespace hearth::cli
