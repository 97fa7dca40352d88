#include "hearth/cli/command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

#include "hearth/cli/help.h"
#include "hearth/cli/output.h"

namespace hearth::cli {

namespace {

/// CLI11 has the choices behind the name: "JOB:{generate,op}".
std::string value_name_of(const CLI::Option& option) {
  const std::string whole = option.get_type_name();
  return whole.substr(0, whole.find(':'));
}

bool shown(const CLI::App* command) { return !command->get_group().empty(); }

/// CLI11's help, with descriptions broken at the width of the terminal.
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
    const std::string value = value_name_of(*option);
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

/// CLI11 says "--temp: At Most 1 required but received 2".
std::string in_words(const std::string& what) {
  const std::string most = ": At Most 1 required but received ";
  if (const size_t at = what.find(most); at != what.npos)
    return fmt::format("{}: given {} times, wanted once", what.substr(0, at),
                       what.substr(at + most.size()));
  return what;
}

/// What is known of an error, and what the user may have meant by the first unknown word; `extra`:
/// the error is that there was one.
std::string explain(const CLI::App& app, const std::exception& error, bool extra) {
  const CLI::App* command = &app;
  std::string help = app.get_name();
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
  extra |= !command->get_subcommands({}).empty();
  if (!option && (!extra || unknown.empty()))
    return fmt::format("{}. See {}.", in_words(error.what()), help);

  const std::string& word = option ? *found : unknown.front();
  if (!option && !command->get_subcommands({}).empty()) {
    std::vector<std::string> names;
    for (const CLI::App* sub : command->get_subcommands(shown)) names.push_back(sub->get_name());
    const std::string none = no_such_command(word, names);
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

}  // namespace

Option* Option::required() { return option_->required(), this; }
Option* Option::type_name(const std::string& name) { return option_->type_name(name), this; }
Option* Option::default_str(const std::string& text) { return option_->default_str(text), this; }
Option* Option::capture_default_str() { return option_->capture_default_str(), this; }
Option* Option::expected(int least, int most) { return option_->expected(least, most), this; }
Option* Option::allow_extra_args(bool allow) { return option_->allow_extra_args(allow), this; }
Option* Option::take_all() { return option_->take_all(), this; }
Option* Option::delimiter(char between) { return option_->delimiter(between), this; }
Option* Option::excludes(const Option* other) { return option_->excludes(other->option_), this; }
Option* Option::check(std::function<std::string(const std::string&)> fault) {
  return option_->check(std::move(fault)), this;
}
Option* Option::one_of(const std::vector<std::string>& values) {
  return option_->check(CLI::IsMember(values)), this;
}

size_t Option::count() const { return option_->count(); }
const std::vector<std::string>& Option::results() const { return option_->results(); }
std::string Option::text() const { return option_->as<std::string>(); }

std::string Option::get_name() const { return option_->get_name(); }
std::vector<std::string> Option::short_names() const { return option_->get_snames(); }
std::vector<std::string> Option::long_names() const { return option_->get_lnames(); }
std::string Option::get_description() const { return option_->get_description(); }
std::string Option::get_default_str() const { return option_->get_default_str(); }
std::string Option::value_name() const { return value_name_of(*option_); }
bool Option::takes_value() const { return option_->get_type_size() != 0; }

std::vector<std::string> Option::choices() const {
  const std::string text = option_->get_type_name();
  const size_t open = text.find('{'), close = text.find('}');
  std::vector<std::string> all;
  if (open == text.npos || close == text.npos) return all;
  std::istringstream words(text.substr(open + 1, close - open - 1));
  for (std::string word; std::getline(words, word, ',');) all.push_back(word);
  return all;
}

Command* Command::add_subcommand(const std::string& name, const std::string& description) {
  return &subcommands_.emplace_back(
      app_->get_subcommand_ptr(app_->add_subcommand(name, description)));
}
Command* Command::require_subcommand(size_t least, size_t most) {
  return app_->require_subcommand(least, most), this;
}
Command* Command::hide() { return app_->group(""), this; }
void Command::callback(std::function<void()> run) { app_->callback(std::move(run)); }

Option* Command::keep(CLI::Option* option) { return &options_.emplace_back(option); }
Option* Command::add_flag(const std::string& names, bool& value, const std::string& help) {
  return keep(app_->add_flag(names, value, help));
}
Option* Command::add_option(const std::string& names, std::string& value, const std::string& help) {
  return keep(app_->add_option(names, value, help));
}
Option* Command::add_option(const std::string& names, std::optional<std::string>& value,
                            const std::string& help) {
  return keep(app_->add_option(names, value, help));
}
Option* Command::add_option(const std::string& names, std::vector<std::string>& values,
                            const std::string& help) {
  return keep(app_->add_option(names, values, help));
}
Option* Command::add_option(const std::string& names,
                            std::vector<std::pair<std::string, std::string>>& values,
                            const std::string& help) {
  return keep(app_->add_option(names, values, help));
}
Option* Command::add_option(const std::string& names,
                            std::vector<std::tuple<std::string, std::string, std::string>>& values,
                            const std::string& help) {
  return keep(app_->add_option(names, values, help));
}
Option* Command::add_option_function(const std::string& names,
                                     std::function<void(const std::string&)> set,
                                     const std::string& help) {
  return keep(app_->add_option_function(names, set, help));
}
Option* Command::add_options_function(const std::string& names,
                                      std::function<void(const std::vector<std::string>&)> set,
                                      const std::string& help) {
  return keep(app_->add_option_function(names, set, help));
}

Option Command::get_option(const std::string& name) const { return Option(app_->get_option(name)); }
const std::string& Command::get_name() const { return app_->get_name(); }
std::string Command::get_description() const { return app_->get_description(); }

std::vector<Option> Command::get_options() const {
  std::vector<Option> all;
  for (CLI::Option* o : app_->get_options())
    if (o->nonpositional() && !o->get_group().empty()) all.emplace_back(o);
  return all;
}
std::vector<Option> Command::get_positionals() const {
  std::vector<Option> all;
  for (CLI::Option* o : app_->get_options())
    if (o->get_positional()) all.emplace_back(o);
  return all;
}
std::vector<const Command*> Command::get_subcommands() const {
  std::vector<const Command*> all;
  for (const Command& sub : subcommands_)
    if (shown(sub.app_.get())) all.push_back(&sub);
  return all;
}
const Command* Command::find_subcommand(const std::string& name) const {
  const auto found = std::find_if(subcommands_.begin(), subcommands_.end(),
                                  [&](const Command& sub) { return sub.get_name() == name; });
  return found == subcommands_.end() ? nullptr : &*found;
}
std::string Command::help(const std::string& path) const {
  return app_->get_formatter()->make_help(app_.get(), path, CLI::AppFormatMode::Normal);
}

Program::Program(const std::string& name, const std::string& description,
                 const std::string& version)
    : Command(std::make_shared<CLI::App>(description, name)) {
  app_->set_version_flag("-V,--version", version, "Print the version and exit");
  app_->require_subcommand(0, 1);
  app_->formatter(std::make_shared<HelpFormatter>());
}

void Program::run(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
    if (app_->get_subcommands().empty()) print_out(app_->help());
  } catch (const CLI::CallForVersion& asked) {
    print_out(fmt::format("{}\n", asked.what()));
  } catch (const CLI::CallForHelp&) {
    print_out(app_->help());
  } catch (const CLI::ParseError& error) {
    const bool extra = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
    throw UsageError(explain(*app_, error, extra));
  } catch (const UsageError& error) {
    throw UsageError(explain(*app_, error, false));
  }
}

}  // namespace hearth::cli
