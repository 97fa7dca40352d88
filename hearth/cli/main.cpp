// hearth: the command line. Exit codes: 0 done, 1 it failed, 2 it was asked wrongly; more in
// docs/cli.md.
#include <fmt/color.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/pool.h"
#include "hearth/cli/build_facts.h"
#include "hearth/cli/commands.h"
#include "hearth/cli/failure.h"

namespace hearth::cli {
namespace {

int complain(int code, const std::string& sentence) {
  bool colour = isatty(STDERR_FILENO) && !std::getenv("NO_COLOR");
  fmt::print(stderr, colour ? fg(fmt::terminal_color::red) : fmt::text_style{}, "hearth:");
  fmt::print(stderr, " {}\n", sentence);
  return code;
}

// CLI11 says "Could not convert: --temp = warm", "--temp: At Most 1 required but received 2".
std::string in_words(const CLI::App& command, const CLI::ParseError& error) {
  const std::string what = error.what();
  const std::string most = ": At Most 1 required but received ";
  if (const size_t at = what.find(most); at != what.npos)
    return fmt::format("{}: given {} times, wanted once", what.substr(0, at),
                       what.substr(at + most.size()));
  const std::string prefix = "Could not convert: ";
  const size_t equals = what.find(" = ");
  if (!what.starts_with(prefix) || equals == what.npos) return what;
  const std::string name = what.substr(prefix.size(), equals - prefix.size());
  const auto* option = command.get_option_no_throw(name);
  const bool any_number = option && option->get_type_name() == "FLOAT";
  return fmt::format("{}: '{}' is not {}", name, what.substr(equals + 3),
                     any_number ? "a number" : "a whole number in range");
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
    return fmt::format("{}. See {}.", in_words(*command, error), help);

  const std::string& word = option ? *found : unknown.front();
  std::vector<std::string> candidates;
  if (option) {
    for (auto* o : command->get_options())
      for (auto& name : o->get_lnames()) candidates.push_back("--" + name);
  } else {
    for (auto* c : command->get_subcommands({})) candidates.push_back(c->get_name());
  }
  if (!option && candidates.empty())
    return fmt::format("'{}' is one argument too many. See {}.", word, help);
  std::string near = closest(word.substr(0, word.find('=')), candidates);
  return fmt::format("there is no {} '{}'{} See {}.", option ? "option" : "command", word,
                     near.empty() ? "." : fmt::format(", did you mean '{}'?", near), help);
}

int run(int argc, char** argv) {
  CLI::App app{"hearth: run, train and measure neural networks on the machine you own", "hearth"};
  app.set_version_flag("--version", std::string("hearth ") + kVersion,
                       "Print the version and exit");
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(34);
  for (auto add : {add_generate, add_bench, add_probe, add_info, add_tokenize, add_logits,
                   add_perplexity, add_init, add_lab})
    add(app);
  try {
    cpu::isa(), cpu::threads();  // complain of a HEARTH_ISA or HEARTH_THREADS that makes no sense
  } catch (const std::invalid_argument& error) {
    return complain(2, error.what());
  }
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) fmt::print("{}", app.help());
  } catch (const CLI::Success& asked) {  // --help, --version: printed as asked
    app.exit(asked);
  } catch (const CLI::ParseError& error) {
    return complain(2, explain(app, error));
  } catch (const Failure& failure) {
    return complain(failure.exit_code, failure.what());
  } catch (const std::bad_alloc&) {
    return complain(1, "out of memory");
  } catch (const std::filesystem::filesystem_error& error) {
    return complain(1, fmt::format("{}: {}", error.path1().string(), error.code().message()));
  } catch (const std::exception& error) {
    return complain(1, error.what());
  }
  if (std::fflush(stdout) != 0)
    return complain(1, fmt::format("cannot write the output: {}", std::strerror(errno)));
  return 0;
}

}  // namespace
}  // namespace hearth::cli

int main(int argc, char** argv) { return hearth::cli::run(argc, argv); }
