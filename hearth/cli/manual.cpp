#include "hearth/cli/manual.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hearth/cli/build_facts.h"
#include "hearth/cli/failure.h"

namespace hearth::cli {

namespace {

/// A command that is shown, with its whole name: "hearth lab run".
struct Command {
  std::string path;
  const CLI::App* app;
};

void collect(const CLI::App& app, const std::string& path, std::vector<Command>& all) {
  all.push_back({path, &app});
  for (const CLI::App* sub : shown_commands(app)) collect(*sub, path + " " + sub->get_name(), all);
}
std::vector<Command> commands_of(const CLI::App& app) {
  std::vector<Command> all;
  collect(app, app.get_name(), all);
  return all;
}

std::vector<const CLI::Option*> options_of(const CLI::App& command) {
  return command.get_options(
      [](const CLI::Option* o) { return o->nonpositional() && !o->get_group().empty(); });
}
std::vector<const CLI::Option*> positionals_of(const CLI::App& command) {
  return command.get_options([](const CLI::Option* o) { return o->get_positional(); });
}

/// {"-n", "--max-tokens"}
std::vector<std::string> names_of(const CLI::Option& option) {
  std::vector<std::string> all;
  for (const auto& name : option.get_snames()) all.push_back("-" + name);
  for (const auto& name : option.get_lnames()) all.push_back("--" + name);
  return all;
}
bool takes_value(const CLI::Option& option) { return option.get_type_size() != 0; }

/// The values that an option is limited to, as CLI11 describes them: "JOB:{generate,op}".
std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string text = option.get_type_name();
  const size_t open = text.find('{'), close = text.find('}');
  std::vector<std::string> all;
  if (open == text.npos || close == text.npos) return all;
  std::istringstream words(text.substr(open + 1, close - open - 1));
  for (std::string word; std::getline(words, word, ',');) all.push_back(word);
  return all;
}

/// For single quotes of a shell.
std::string quoted(std::string text) {
  for (size_t at = 0; (at = text.find('\'', at)) != text.npos; at += 4)
    text.replace(at, 1, "'\\''");
  return "'" + text + "'";
}
std::string joined(const std::vector<std::string>& words, const char* between) {
  return fmt::format("{}", fmt::join(words, between));
}

/// 'hearth generate'|'hearth lab'|...: every command but the program itself.
std::string all_paths(const std::vector<Command>& commands, const char* between) {
  std::vector<std::string> paths;
  for (const Command& c : commands)
    if (c.app->get_parent()) paths.push_back(quoted(c.path));
  return joined(paths, between);
}

std::string bash(const std::vector<Command>& commands) {
  std::string values, words;
  for (const Command& c : commands) {
    std::vector<std::string> all;
    for (const CLI::App* sub : shown_commands(*c.app)) all.push_back(sub->get_name());
    for (const CLI::Option* p : positionals_of(*c.app))
      for (const auto& choice : choices_of(*p)) all.push_back(choice);
    for (const CLI::Option* o : options_of(*c.app)) {
      for (const std::string& name : names_of(*o)) {
        all.push_back(name);
        if (takes_value(*o))
          values += fmt::format("    {}) offer={}; found=1 ;;\n", quoted(c.path + " " + name),
                                quoted(joined(choices_of(*o), " ")));
      }
    }
    words += fmt::format("    {}) offer={} ;;\n", quoted(c.path), quoted(joined(all, " ")));
  }
  // Where nothing is offered, bash completes the names of files (-o default).
  return fmt::format(R"(# bash completion for hearth, made by `hearth completions bash`.
_hearth() {{
  local at=hearth word offer= found=
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$at $word" in
    {}) at="$at $word" ;;
    esac
  done
  case "$at ${{COMP_WORDS[COMP_CWORD-1]}}" in
{}  esac
  [ "$found" ] || case "$at" in
{}  esac
  COMPREPLY=($(compgen -W "$offer" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _hearth hearth
)",
                     all_paths(commands, "|"), values, words);
}

std::string zsh(const std::vector<Command>& commands) {
  // "name:what it does"; a colon in the name or the text would end it.
  const auto pair = [](const std::string& name, std::string what) {
    std::replace(what.begin(), what.end(), ':', ';');
    return quoted(name + ":" + what);
  };
  std::string values, words;
  for (const Command& c : commands) {
    std::vector<std::string> subs, options;
    for (const CLI::App* sub : shown_commands(*c.app))
      subs.push_back(pair(sub->get_name(), sub->get_description()));
    for (const CLI::Option* o : options_of(*c.app))
      for (const std::string& name : names_of(*o)) {
        options.push_back(pair(name, o->get_description()));
        if (takes_value(*o))
          values += fmt::format(
              "    {}) {}; return ;;\n", quoted(c.path + " " + name),
              choices_of(*o).empty() ? "_files" : "compadd -- " + joined(choices_of(*o), " "));
      }
    words += fmt::format("    {}) subs=({}); options=({}) ;;\n", quoted(c.path), joined(subs, " "),
                         joined(options, " "));
  }
  return fmt::format(R"(#compdef hearth
# zsh completion for hearth, made by `hearth completions zsh`.
_hearth() {{
  local at=hearth word
  local -a subs options
  for word in "${{(@)words[2,CURRENT-1]}}"; do
    case "$at $word" in
    {}) at="$at $word" ;;
    esac
  done
  case "$at ${{words[CURRENT-1]}}" in
{}  esac
  case "$at" in
{}  esac
  if [[ "${{words[CURRENT]}}" == -* ]]; then
    _describe -o option options
  elif (( $#subs )); then
    _describe command subs
  else
    _files
  fi
}}
if [ "$funcstack[1]" = _hearth ]; then _hearth; else compdef _hearth hearth; fi
)",
                     all_paths(commands, "|"), values, words);
}

std::string fish(const std::vector<Command>& commands) {
  std::string lines;
  for (const Command& c : commands) {
    const std::string here =
        fmt::format("complete -c hearth -n {}", quoted("__hearth_at '" + c.path + "'"));
    for (const CLI::App* sub : shown_commands(*c.app))
      lines +=
          fmt::format("{} -f -a {} -d {}\n", here, sub->get_name(), quoted(sub->get_description()));
    for (const CLI::Option* o : options_of(*c.app)) {
      lines += here;
      for (const auto& name : o->get_snames()) lines += " -s " + name;
      for (const auto& name : o->get_lnames()) lines += " -l " + name;
      const auto choices = choices_of(*o);
      if (takes_value(*o))
        lines += choices.empty() ? " -r" : " -x -a " + quoted(joined(choices, " "));
      lines += " -d " + quoted(o->get_description()) + "\n";
    }
  }
  return fmt::format(R"(# fish completion for hearth, made by `hearth completions fish`.
function __hearth_at
    set -l at hearth
    for word in (commandline -opc)[2..-1]
        if contains -- "$at $word" {}
            set at "$at $word"
        end
    end
    test "$at" = "$argv[1]"
end
{})",
                     all_paths(commands, " "), lines);
}

/// Text as roff has it: no escapes, no requests, hyphens that can be copied.
std::string roff(const std::string& text) {
  std::string out;
  for (char c : text)
    out += c == '\\' ? "\\e" : c == '-' ? "\\-" : c == '\'' ? "\\(aq" : std::string(1, c);
  return out.starts_with('.') ? "\\&" + out : out;
}

std::string roff_of(const CLI::Option& option, bool positional) {
  std::string names;
  for (const std::string& name : names_of(option))
    names += (names.empty() ? "\\fB" : ", \\fB") + roff(name) + "\\fR";
  std::string line = positional ? "\\fI" + roff(value_name(option)) + "\\fR" : names;
  if (!positional && takes_value(option)) line += " \\fI" + roff(value_name(option)) + "\\fR";
  std::string text = roff(option.get_description());
  if (!option.get_default_str().empty())
    text += (text.empty() ? "" : " ") + roff(fmt::format("[{}]", option.get_default_str()));
  return ".TP\n" + line + "\n" + text + "\n";
}

}  // namespace

std::vector<const CLI::App*> shown_commands(const CLI::App& parent) {
  return parent.get_subcommands([](const CLI::App* sub) { return !sub->get_group().empty(); });
}

std::string value_name(const CLI::Option& option) {
  const std::string whole = option.get_type_name();  // with what it is checked for, after a colon
  return whole.substr(0, whole.find(':'));
}

std::string completions_for(const std::string& shell, const CLI::App& app) {
  const auto commands = commands_of(app);
  return shell == "bash" ? bash(commands) : shell == "zsh" ? zsh(commands) : fish(commands);
}

std::string manual_page(const CLI::App& app) {
  std::string page = fmt::format(
      ".TH HEARTH 1 \"\" \"hearth {}\" \"hearth\"\n.SH NAME\nhearth \\- {}\n.SH SYNOPSIS\n"
      "\\fBhearth\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n.SH COMMANDS\n",
      kVersion, roff(app.get_description().substr(app.get_description().find(": ") + 2)));
  for (const Command& c : commands_of(app)) {
    if (!c.app->get_parent()) continue;
    page += fmt::format(".SS {}\n{}\n", roff(c.path), roff(c.app->get_description() + "."));
    for (const CLI::Option* o : positionals_of(*c.app)) page += roff_of(*o, true);
    for (const CLI::Option* o : options_of(*c.app)) page += roff_of(*o, false);
  }
  page += ".SH EXIT STATUS\n";
  for (const auto& [code, meaning] : kExitCodes)
    page += fmt::format(".TP\n{}\n{}\n", code, roff(meaning));
  return page;
}

}  // namespace hearth::cli
