// Commands and their options. CLI11 does the work, and command.cpp alone includes it: what its
// header defines takes two seconds to compile in every file. Functions have CLI11's names.
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace hearth::cli {

/// It was asked wrongly: exit 2. Thrown by what a command runs; Program::run adds where help is.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// An option of a command, or a positional argument.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}

  Option* required();
  Option* type_name(const std::string& name);    // what stands for its value in the help
  Option* default_str(const std::string& text);  // the help's default
  Option* capture_default_str();                 // the variable's value is the default
  Option* expected(int least, int most);         // values at once
  Option* allow_extra_args(bool allow);          // false: one value each time it is given
  Option* take_all();                            // of each time it is given
  Option* delimiter(char between);               // several values in one word
  Option* excludes(const Option* other);
  /// `fault` says what is wrong with a value, "" for a good one.
  Option* check(std::function<std::string(const std::string&)> fault);
  Option* one_of(const std::vector<std::string>& values);

  // What was given.
  size_t count() const;
  const std::vector<std::string>& results() const;
  std::string text() const;  // the default's where it was not given

  // What it says of itself.
  std::string get_name() const;                  // "--model"
  std::vector<std::string> short_names() const;  // without hyphens, as the long ones
  std::vector<std::string> long_names() const;
  std::string get_description() const;
  std::string get_default_str() const;
  std::string value_name() const;            // "N", "MODEL"
  std::vector<std::string> choices() const;  // those of one_of()
  bool takes_value() const;                  // no flag

 private:
  CLI::Option* option_;
};

/// A command with its options and subcommands. These stay where they are as long as it lives.
class Command {
 public:
  explicit Command(std::shared_ptr<CLI::App> app) : app_(std::move(app)) {}
  Command(const Command&) = delete;

  Command* add_subcommand(const std::string& name, const std::string& description);
  Command* require_subcommand(size_t least, size_t most);
  Command* hide();  // it works, but no help shows it
  /// Runs once everything is parsed. It prints its result to stdout and returns; it throws
  /// UsageError, or any other exception for failure (exit 1).
  void callback(std::function<void()> run);

  // `names` are "-m,--model", or without hyphens those of a positional argument.
  Option* add_flag(const std::string& names, bool& value, const std::string& help);
  Option* add_option(const std::string& names, std::string& value, const std::string& help);
  Option* add_option(const std::string& names, std::optional<std::string>& value,
                     const std::string& help);
  Option* add_option(const std::string& names, std::vector<std::string>& values,
                     const std::string& help);
  Option* add_option(const std::string& names,
                     std::vector<std::pair<std::string, std::string>>& values,
                     const std::string& help);
  Option* add_option(const std::string& names,
                     std::vector<std::tuple<std::string, std::string, std::string>>& values,
                     const std::string& help);
  Option* add_option_function(const std::string& names, std::function<void(const std::string&)> set,
                              const std::string& help);
  Option* add_options_function(const std::string& names,
                               std::function<void(const std::vector<std::string>&)> set,
                               const std::string& help);

  Option get_option(const std::string& name) const;
  const std::string& get_name() const;
  std::string get_description() const;
  /// Those that help shows.
  std::vector<Option> get_options() const;
  std::vector<Option> get_positionals() const;
  std::vector<const Command*> get_subcommands() const;
  const Command* find_subcommand(const std::string& name) const;  // hidden ones too, else nullptr
  /// What --help prints; `path` is how it was called, "hearth lab run".
  std::string help(const std::string& path) const;

 protected:
  std::shared_ptr<CLI::App> app_;

 private:
  Option* keep(CLI::Option* option);
  std::list<Option> options_;
  std::list<Command> subcommands_;
};

/// The command that has all others.
class Program : public Command {
 public:
  Program(const std::string& name, const std::string& description, const std::string& version);
  /// Parses, and runs what is asked for. Throws UsageError with a whole sentence.
  void run(int argc, char** argv);
};

}  // namespace hearth::cli
