#include "hearth/cli/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "hearth/cli/build_facts.h"
#include "hearth/cli/commands.h"
#include "hearth/cli/manual.h"
#include "hearth/cli/output.h"

namespace hearth::cli {

namespace {

std::vector<std::string> names_of_subcommands(const Command& parent) {
  std::vector<std::string> names;
  for (const Command* sub : parent.get_subcommands()) names.push_back(sub->get_name());
  return names;
}

void add_help_command(Command& app) {
  auto* help = app.add_subcommand("help", "Show what a command does and its options");
  auto words = std::make_shared<std::vector<std::string>>();
  help->add_option("command", *words, "The command, e.g. generate, or lab run")->type_name("WORD");
  help->callback([&app, words] {
    const Command* command = &app;
    std::string path = app.get_name();
    for (const std::string& word : *words) {
      const Command* named = command->find_subcommand(word);
      if (!named) throw UsageError(no_such_command(word, names_of_subcommands(*command)));
      command = named;
      path += " " + word;
    }
    print_out(command->help(path));
  });
}

}  // namespace

std::string wrapped(const std::string& text, size_t columns, size_t indent) {
  std::istringstream words(text);
  std::string all;
  size_t used = 0;
  for (std::string word; words >> word;) {
    if (used > 0 && used + 1 + word.size() > columns) {
      all += "\n" + std::string(indent, ' ');
      used = 0;
    } else if (used > 0) {
      all += " ", used += 1;
    }
    all += word, used += word.size();
  }
  return all;
}

// help, version, and the hidden completions and man.
void add_help(Command& app) {
  add_help_command(app);
  app.add_subcommand("version", "Print the version")->callback([] {
    print_out(fmt::format("hearth {}\n", kVersion));
  });
  auto* completions =
      app.add_subcommand("completions", "Print what a shell needs to complete this command line")
          ->hide();
  auto shell = std::make_shared<std::string>();
  completions->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->one_of({"bash", "zsh", "fish"})
      ->type_name("SHELL");
  completions->callback([&app, shell] { print_out(completions_for(*shell, app)); });
  app.add_subcommand("man", "Print the manual page")->hide()->callback([&app] {
    print_out(manual_page(app));
  });
}

std::string closest(const std::string& word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t fewest = word.size() / 3 + 1;  // "prob" may mean "probe"; "x" means nothing
  for (const auto& candidate : candidates) {
    // Levenshtein's distance, one row at a time; above-left is kept in `corner`.
    std::vector<size_t> row(candidate.size() + 1);
    for (size_t j = 0; j < row.size(); j++) row[j] = j;
    for (size_t i = 1; i <= word.size(); i++) {
      size_t corner = row[0];
      row[0] = i;
      for (size_t j = 1; j < row.size(); j++) {
        size_t change = corner + (word[i - 1] != candidate[j - 1]);
        corner = row[j];
        row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
      }
    }
    if (row.back() < fewest || (row.back() == fewest && best.empty())) {
      fewest = row.back();
      best = candidate;
    }
  }
  return best;
}

std::string no_such_command(const std::string& word, const std::vector<std::string>& there) {
  const std::string near = closest(word, there);
  return fmt::format("there is no command '{}'{}", word,
                     near.empty() ? "" : fmt::format(", did you mean '{}'?", near));
}

}  // namespace hearth::cli
