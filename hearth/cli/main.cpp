// hearth: the command line. Exit codes: 0 done, 1 it failed, 2 it was asked wrongly.
#include <fmt/color.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "hearth/cli/commands.h"

namespace hearth::cli {
namespace {

int complain(int code, const std::string& sentence) {
  bool colour = isatty(STDERR_FILENO) && !std::getenv("NO_COLOR");
  fmt::print(stderr, colour ? fg(fmt::terminal_color::red) : fmt::text_style{}, "hearth:");
  fmt::print(stderr, " {}\n", sentence);
  return code;
}

// What CLI11 knows of a parse error, and what the user may have meant by the first unknown word.
std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* command = &app;
  if (auto used = app.get_subcommands(); !used.empty()) command = used.front();
  std::string help =
      command == &app ? "hearth --help" : "hearth " + command->get_name() + " --help";
  auto unknown = app.remaining(true);
  if (!dynamic_cast<const CLI::ExtrasError*>(&error) || unknown.empty())
    return fmt::format("{}. See {}.", error.what(), help);

  const std::string& word = unknown.front();
  bool option = word.starts_with('-');
  std::vector<std::string> candidates;
  if (option) {
    for (auto* o : command->get_options())
      for (auto& name : o->get_lnames()) candidates.push_back("--" + name);
  } else {
    for (auto* c : command->get_subcommands({})) candidates.push_back(c->get_name());
  }
  if (!option && command != &app)
    return fmt::format("'{}' is one argument too many. See {}.", word, help);
  std::string near = closest(word.substr(0, word.find('=')), candidates);
  return fmt::format("there is no {} '{}'{} See {}.", option ? "option" : "command", word,
                     near.empty() ? "." : fmt::format(", did you mean '{}'?", near), help);
}

int run(int argc, char** argv) {
  CLI::App app{"hearth: run, train and measure neural networks on the machine you own", "hearth"};
  app.set_version_flag("--version", "hearth " HEARTH_VERSION, "Print the version and exit");
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(34);
  for (auto add : {add_generate, add_bench, add_probe, add_info, add_tokenize, add_logits,
                   add_perplexity, add_init})
    add(app);
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) fmt::print("{}", app.help());
  } catch (const CLI::Success& asked) {  // --help, --version: printed as asked
    app.exit(asked);
  } catch (const CLI::ParseError& error) {
    return complain(2, explain(app, error));
  } catch (const std::bad_alloc&) {
    return complain(1, "out of memory");
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
