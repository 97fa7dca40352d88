#include "hearth/cli/lab_command.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "hearth/cli/build_facts.h"
#include "hearth/cli/options.h"
#include "hearth/io/output_file.h"
#include "hearth/lab/run/execution.h"
#include "hearth/lab/show/hyperfine.h"

namespace hearth::cli {

namespace {

constexpr int kMostRuns = 100'000;

[[noreturn]] void wrong(const std::string& sentence) { throw UsageError(sentence); }

/// One for each command, or one for all; "" where there is none.
const std::string& of_command(const std::vector<std::string>& all, size_t i, size_t commands,
                              const char* option) {
  static const std::string none;
  if (all.empty()) return none;
  if (all.size() != 1 && all.size() != commands)
    wrong(fmt::format("{}: given {} times, wanted once, or once for each of the {} commands",
                      option, all.size(), commands));
  return all[all.size() == 1 ? 0 : i];
}

/// "1,3" as exit codes; empty for all.
std::set<int> exit_codes(const std::string& text) {
  std::set<int> codes;
  if (text.empty() || text == "all-non-zero") return codes;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) {
    const auto code = parse_number<int>(word);
    if (!code || *code < 1 || *code > 255)
      wrong(
          fmt::format("--ignore-failure: '{}', wanted exit codes from 1 to 255, as in "
                      "--ignore-failure=1,3, or nothing for all",
                      text));
    codes.insert(*code);
  }
  return codes;
}

}  // namespace

void CommandJob::add_to(Command& command) {
  const auto add = [&](const std::string& names, auto& value, const std::string& help,
                       const char* type) {
    auto* option = command.add_option(names, value, help)->type_name(type);
    ours_.push_back(option);
    return option;
  };
  const auto add_all = [&](const std::string& names, auto& value, const std::string& help,
                           const char* type) {
    return add(names, value, help, type)->allow_extra_args(false)->take_all();
  };
  add_all("--command", commands_, "A program to measure instead of engines; several, in turns",
          "CMD");
  add_all("--command-name", names_, "How the first, second, ... command is called (also -n)",
          "NAME");
  add("--reference", reference_, "The command that the others are held against", "CMD");
  add("--reference-name", reference_name_, "How it is called", "NAME");
  ours_.push_back(add_number(command, "-r,--runs", runs_, {1, kMostRuns},
                             "Of each command, exactly (default: as many as fill --seconds)"));
  ours_.back()->default_str("");
  ours_.push_back(
      add_number(command, "--min-runs", least_runs_, {1, kMostRuns}, "Of each command, at least"));
  ours_.push_back(
      add_number(command, "-M,--max-runs", most_runs_, {1, kMostRuns}, "Of each, at most"));
  ours_.back()->default_str("");
  add("--setup", setup_, "Runs once before each command's runs", "CMD");
  add_all("--prepare", prepare_, "Runs before each run; once for all commands, or for each", "CMD");
  add_all("-C,--conclude", conclude_, "Runs after each run; likewise", "CMD");
  add("--cleanup", cleanup_, "Runs once after each command's runs", "CMD");
  add_all("-P,--parameter-scan", scans_, "{VAR} in a command is each number from MIN to MAX",
          "VAR MIN MAX");
  add("-D,--parameter-step-size", step_, "Between the numbers of --parameter-scan (default: 1)",
      "STEP");
  add_all("-L,--parameter-list", lists_, "{VAR} in a command is each of the values a,b,c",
          "VAR VALUES");
  add("-S,--shell", shell_, "What runs the commands; none: they are run as they are", "SHELL")
      ->capture_default_str();
  ours_.push_back(command.add_flag("-N", no_shell_, "The same as --shell=none"));
  add("-i,--ignore-failure", ignored_, "Goes on after an exit code that is not 0 (or one of these)",
      "CODES")
      ->expected(0, 1);
  ours_.push_back(command.add_flag("--show-output", show_output_, "Show what the commands write"));
  add("--input", input_, "A file that each command reads; null: nothing", "F")
      ->capture_default_str();
  add_all("--metric", metrics_,
          "A number of the commands' own, e.g. 'eval rate: ([0-9.]+) tokens/s'", "REGEX");
}

bool CommandJob::wanted(const Command& command) const {
  const bool any = !commands_.empty() || !reference_.empty();
  const bool job = command.get_option("--job").text() == "command";
  if (!any) {
    if (job) wrong("--job: command wants at least one --command 'a program'");
    for (const Option* option : ours_)
      if (option->count() > 0) wrong(fmt::format("{}: belongs to --command", option->get_name()));
    return false;
  }
  if (command.get_option("--job").count() > 0 && !job) wrong("--job: with --command it is command");
  for (const char* engines : {"--model", "--random-weights", "--dtype", "--engines", "--prompt",
                              "--prompt-tokens", "--batch", "--op", "--shape", "--op-dtype",
                              "--pairs", "--starts", "--aa", "--no-limits", "--resume"})
    if (command.get_option(engines).count() > 0)
      wrong(fmt::format("{}: belongs to engines, not to --command{}", engines,
                        std::string_view(engines) == "--pairs" ? "; --runs has its number" : ""));
  return true;
}

lab::CommandOptions CommandJob::options(const Command& command, const std::string& output,
                                        const std::vector<std::string>& names) const {
  lab::CommandOptions o;
  o.made_by = std::string("hearth ") + kVersion;
  if (!step_.empty() && scans_.empty()) wrong("--parameter-step-size: belongs to --parameter-scan");
  const auto given = [&](const char* name) { return command.get_option(name).count() > 0; };
  const auto number = [&](const char* name) {
    return *parse_number<double>(command.get_option(name).text());
  };
  if (given("--runs") && (given("--min-runs") || given("--max-runs")))
    wrong("--runs: is exact; leave --min-runs and --max-runs out");
  if (given("--reference-name") && reference_.empty())
    wrong("--reference-name: belongs to --reference");
  if (given("--max-runs") && !given("--min-runs"))
    o.least_runs = std::min(o.least_runs, most_runs_);
  if (given("--min-runs")) o.least_runs = least_runs_;
  if (given("--max-runs")) o.most_runs = most_runs_;
  if (given("--runs")) o.least_runs = runs_, o.most_runs = runs_;
  if (given("--max-runs") && most_runs_ < o.least_runs)
    wrong(fmt::format("--max-runs: {} is below the {} of --min-runs", most_runs_, o.least_runs));
  if (given("--seconds")) o.least_seconds = number("--seconds");
  o.watch = !given("--ignore-others");
  if (given("--timeout")) o.timeout_s = number("--timeout");
  if (given("--warmup")) {
    const double n = number("--warmup");
    if (n != std::floor(n)) wrong(fmt::format("--warmup: {} runs, wanted a whole number", n));
    o.warmups = int(n);
  }
  o.ignore_failure = given("--ignore-failure");
  o.ignored = exit_codes(ignored_);
  if (no_shell_ || shell_ == "none") {
    o.shell.clear();
  } else if (shell_ != "default") {
    o.shell = lab::split_words(shell_);
    if (o.shell.empty()) wrong("--shell: '', wanted a shell, or none");
  }
  if (input_ != "null") {
    o.input = input_;
    if (!std::filesystem::exists(input_)) wrong(fmt::format("--input: {}: no such file", input_));
  }
  if (!metrics_.empty() && (show_output_ || !output.empty()))
    wrong("--metric: reads the output itself; leave --show-output and --output out");
  if (show_output_ && !output.empty()) wrong("give one of --show-output and --output");
  o.metrics = metrics_;

  std::vector<std::string> called = names_;
  called.insert(called.end(), names.begin(), names.end());
  if (called.size() > commands_.size())
    wrong(fmt::format("--command-name: {} names for {} commands", called.size(), commands_.size()));
  std::vector<lab::Command> all;
  for (size_t i = 0; i < commands_.size(); ++i) {
    lab::Command one;
    one.text = commands_[i];
    if (i < called.size()) one.name = called[i];
    one.setup = setup_;
    one.cleanup = cleanup_;
    one.prepare = of_command(prepare_, i, commands_.size(), "--prepare");
    one.conclude = of_command(conclude_, i, commands_.size(), "--conclude");
    one.output = show_output_ ? "inherit" : output;
    all.push_back(std::move(one));
  }
  std::vector<lab::Parameter> parameters;
  for (const auto& [name, first, last] : scans_)
    parameters.push_back(lab::parameter_scan(name, first, last, step_.empty() ? "1" : step_));
  for (const auto& [name, values] : lists_) parameters.push_back(lab::parameter_list(name, values));
  o.commands = lab::expand(all, parameters);
  if (!reference_.empty()) {
    lab::Command one;
    one.text = reference_;
    one.name = reference_name_;
    one.setup = setup_, one.cleanup = cleanup_;
    if (prepare_.size() == 1) one.prepare = prepare_[0];
    if (conclude_.size() == 1) one.conclude = conclude_[0];
    one.output = show_output_ ? "inherit" : output;
    o.commands.insert(o.commands.begin(), std::move(one));
  }
  // What differs in its set-up may not lie beside another: each has its own before its block.
  for (const lab::Command& one : o.commands)
    o.take_turns |= one.setup != o.commands[0].setup || one.cleanup != o.commands[0].cleanup;
  return o;
}

void Exports::add_to(Command& command) {
  for (const auto& [form, value] :
       {std::pair("json", &json_), {"markdown", &markdown_}, {"csv", &csv_}})
    command
        .add_option(std::string("--export-") + form, *value,
                    fmt::format("Also write the times as hyperfine's {}", form))
        ->type_name("F");
}

void Exports::check() const {
  for (const std::string* path : {&json_, &markdown_, &csv_})
    if (!path->empty()) OutputFile{*path};
}

void Exports::write(const lab::Result& result) const {
  for (const auto& [path, form] : {std::pair(&json_, &lab::hyperfine_json),
                                   {&markdown_, &lab::hyperfine_markdown},
                                   {&csv_, &lab::hyperfine_csv}}) {
    if (path->empty()) continue;
    OutputFile file(*path);
    file.write(std::string_view(form(result)));
    file.commit();
  }
}

}  // namespace hearth::cli
