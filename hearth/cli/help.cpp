#include "hearth/cli/help.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "hearth/cli/build_facts.h"
#include "hearth/cli/commands.h"
#include "hearth/cli/manual.h"
#include "hearth/cli/output.h"

namespace hearth::cli {

namespace {

/// Words of `text` in lines of at most `columns`, all but the first indented.
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

class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_description(const CLI::App* app) const override {
    return wrapped(app->get_description(), size_t(width(STDOUT_FILENO)), 0) + "\n";
  }
  std::string make_subcommand(const CLI::App* sub) const override {
    return entry(sub->get_name(), sub->get_description());
  }
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    return entry(make_option_name(option, is_positional) + make_option_opts(option),
                 make_option_desc(option));
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0) return "";  // a flag
    const std::string value = value_name(*option);
    std::string text = value.empty() ? "" : " " + value;
    if (!option->get_default_str().empty()) text += "=" + option->get_default_str();
    if (option->get_expected_max() > 1) text += " ...";
    return option->get_required() ? text + " REQUIRED" : text;
  }

 private:
  /// Names, then what they mean in a column of its own; below them in a narrow terminal.
  static std::string entry(const std::string& names, const std::string& meaning) {
    const size_t all = size_t(width(STDOUT_FILENO)), column = all < 70 ? 6 : 34;
    std::string text = "  " + names;
    if (meaning.empty()) return text + "\n";
    if (text.size() + 1 > column)
      text += "\n" + std::string(column, ' ');
    else
      text.resize(column, ' ');
    return text + wrapped(meaning, all > column ? all - column : 1, column) + "\n";
  }
};

void add_help_command(CLI::App& app) {
  auto* help = app.add_subcommand("help", "Show what a command does and its options");
  auto words = std::make_shared<std::vector<std::string>>();
  help->add_option("command", *words, "The command, e.g. generate, or lab run")->type_name("WORD");
  help->callback([&app, words] {
    const CLI::App* command = &app;
    std::string path = app.get_name();
    for (const std::string& word : *words) {
      const auto named =
          command->get_subcommands([&](const CLI::App* sub) { return sub->get_name() == word; });
      if (named.empty()) throw CLI::ValidationError(no_such_command(*command, word));
      command = named.front();
      path += " " + word;
    }
    print_out(app.get_formatter()->make_help(command, path, CLI::AppFormatMode::Normal));
  });
}

}  // namespace

std::shared_ptr<CLI::FormatterBase> help_formatter() { return std::make_shared<HelpFormatter>(); }

// help, version, and the hidden completions and man.
void add_help(CLI::App& app) {
  add_help_command(app);
  app.add_subcommand("version", "Print the version")->callback([] {
    print_out(fmt::format("hearth {}\n", kVersion));
  });
  auto* completions =
      app.add_subcommand("completions", "Print what a shell needs to complete this command line")
          ->group("");
  auto shell = std::make_shared<std::string>();
  completions->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->type_name("SHELL");
  completions->callback([&app, shell] { print_out(completions_for(*shell, app)); });
  app.add_subcommand("man", "Print the manual page")->group("")->callback([&app] {
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

std::string no_such_command(const CLI::App& parent, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* command : shown_commands(parent)) names.push_back(command->get_name());
  const std::string near = closest(word, names);
  return fmt::format("there is no command '{}'{}", word,
                     near.empty() ? "" : fmt::format(", did you mean '{}'?", near));
}

}  // namespace hearth::cli
