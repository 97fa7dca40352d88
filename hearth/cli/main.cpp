// hearth: the command line. Exit codes: failure.h, docs/cli.md.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/pool.h"
#include "hearth/cli/build_facts.h"
#include "hearth/cli/commands.h"
#include "hearth/cli/failure.h"
#include "hearth/cli/help.h"
#include "hearth/cli/interrupt.h"
#include "hearth/cli/output.h"

namespace hearth::cli {
namespace {

int fail(int code, std::string_view sentence) {
  complain(sentence);
  return code;
}

// CLI11 says "--temp: At Most 1 required but received 2".
std::string in_words(const CLI::ParseError& error) {
  const std::string what = error.what();
  const std::string most = ": At Most 1 required but received ";
  if (const size_t at = what.find(most); at != what.npos)
    return fmt::format("{}: given {} times, wanted once", what.substr(0, at),
                       what.substr(at + most.size()));
  return what;
}

// What CLI11 knows of a parse error, and what the user may have meant by the first unknown word.
std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* command = &app;
  std::string help = "hearth";
  for (auto used = app.get_subcommands(); !used.empty(); used = command->get_subcommands()) {
    command = used.front();
    help += " " + command->get_name();
  }
  help += " --help";
  // An unknown option comes first: its value may be what the error is about.
  const auto unknown = app.remaining(true);
  const auto found = std::find_if(unknown.begin(), unknown.end(),
                                  [](const std::string& word) { return word.starts_with('-'); });
  const bool option = found != unknown.end();
  const bool extra =
      dynamic_cast<const CLI::ExtrasError*>(&error) || !command->get_subcommands({}).empty();
  if (!option && (!extra || unknown.empty()))
    return fmt::format("{}. See {}.", in_words(error), help);

  const std::string& word = option ? *found : unknown.front();
  if (!option && !command->get_subcommands({}).empty()) {
    const std::string none = no_such_command(*command, word);
    return fmt::format("{}{} See {}.", none, none.ends_with('?') ? "" : ".", help);
  }
  if (!option) return fmt::format("'{}' is one argument too many. See {}.", word, help);
  std::vector<std::string> candidates;
  for (auto* o : command->get_options())
    for (auto& name : o->get_lnames()) candidates.push_back("--" + name);
  const std::string near = closest(word.substr(0, word.find('=')), candidates);
  return fmt::format("there is no option '{}'{} See {}.", word,
                     near.empty() ? "." : fmt::format(", did you mean '{}'?", near), help);
}

constexpr struct {
  std::string_view name;
  void (*add)(CLI::App&);
} kCommands[] = {
    {"generate", add_generate},
    {"chat", add_chat},
    {"bench", add_bench},
    {"probe", add_probe},
    {"info", add_info},
    {"tokenize", add_tokenize},
    {"render", add_render},
    {"logits", add_logits},
    {"perplexity", add_perplexity},
    {"init", add_init},
    {"pull", add_pull},
    {"embed", add_embed},
    {"models", add_models},
    {"lab", add_lab},
    {"", add_help},  // help, version, completions, man
};

// The command that is asked for alone, since options take a millisecond to make; all, if none is.
void add_commands(CLI::App& app, std::string_view asked) {
  for (const auto& [name, add] : kCommands)
    if (!asked.empty() && name == asked) add(app);
  if (!app.get_subcommands({}).empty()) return;
  for (const auto& [name, add] : kCommands) add(app);
}

int run(int argc, char** argv) {
  open_standard_streams();
  CLI::App app{"hearth: run, train and measure neural networks on the machine you own", "hearth"};
  app.set_version_flag("-V,--version", fmt::format("hearth {}", kVersion),
                       "Print the version and exit");
  app.require_subcommand(0, 1);
  app.formatter(help_formatter());
  add_commands(app, argc > 1 ? argv[1] : "");
  try {
    cpu::isa(), cpu::threads();  // complain of a HEARTH_ISA or HEARTH_THREADS that makes no sense
  } catch (const std::invalid_argument& error) {
    return fail(2, error.what());
  }
  try {
    try {
      app.parse(argc, argv);
      if (app.get_subcommands().empty()) print_out(app.help());
    } catch (const CLI::CallForVersion& asked) {
      print_out(fmt::format("{}\n", asked.what()));
    } catch (const CLI::CallForHelp&) {
      print_out(app.help());
    }
  } catch (const CLI::ParseError& error) {
    return fail(2, explain(app, error));
  } catch (const Failure& failure) {
    return fail(failure.exit_code, failure.what());
  } catch (const std::bad_alloc&) {
    return fail(1, "out of memory");
  } catch (const std::filesystem::filesystem_error& error) {
    return fail(1, fmt::format("{}: {}", error.path1().string(), error.code().message()));
  } catch (const std::exception& error) {
    return fail(CatchInterrupt::exit_code(1), error.what());  // what Ctrl-C ended
  }
  return 0;
}

}  // namespace
}  // namespace hearth::cli

int main(int argc, char** argv) { return hearth::cli::run(argc, argv); }
