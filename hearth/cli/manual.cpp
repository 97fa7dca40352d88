#include "hearth/cli/manual.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

#include "hearth/cli/build_facts.h"
#include "hearth/cli/failure.h"

namespace hearth::cli {

namespace {

/// A command that is shown, with its whole name: "hearth lab run".
struct Shown {
  std::string path;
  const Command* command;
};

void collect(const Command& command, const std::string& path, std::vector<Shown>& all) {
  all.push_back({path, &command});
  for (const Command* sub : command.get_subcommands())
    collect(*sub, path + " " + sub->get_name(), all);
}
/// The program itself first.
std::vector<Shown> all_of(const Command& program) {
  std::vector<Shown> all;
  collect(program, program.get_name(), all);
  return all;
}

/// {"-n", "--max-tokens"}
std::vector<std::string> names_of(const Option& option) {
  std::vector<std::string> all;
  for (const auto& name : option.short_names()) all.push_back("-" + name);
  for (const auto& name : option.long_names()) all.push_back("--" + name);
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
std::string all_paths(std::span<const Shown> commands, const char* between) {
  std::vector<std::string> paths;
  for (const Shown& c : commands.subspan(1)) paths.push_back(quoted(c.path));
  return joined(paths, between);
}

std::string bash(const std::vector<Shown>& commands) {
  std::string values, words;
  for (const Shown& c : commands) {
    std::vector<std::string> all;
    for (const Command* sub : c.command->get_subcommands()) all.push_back(sub->get_name());
    for (const Option& p : c.command->get_positionals())
      for (const auto& choice : p.choices()) all.push_back(choice);
    for (const Option& o : c.command->get_options()) {
      for (const std::string& name : names_of(o)) {
        all.push_back(name);
        if (o.takes_value())
          values += fmt::format("    {}) offer={}; found=1 ;;\n", quoted(c.path + " " + name),
                                quoted(joined(o.choices(), " ")));
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

std::string zsh(const std::vector<Shown>& commands) {
  // "name:what it does"; a colon in the name or the text would end it.
  const auto pair = [](const std::string& name, std::string what) {
    std::replace(what.begin(), what.end(), ':', ';');
    return quoted(name + ":" + what);
  };
  std::string values, words;
  for (const Shown& c : commands) {
    std::vector<std::string> subs, options;
    for (const Command* sub : c.command->get_subcommands())
      subs.push_back(pair(sub->get_name(), sub->get_description()));
    for (const Option& o : c.command->get_options())
      for (const std::string& name : names_of(o)) {
        options.push_back(pair(name, o.get_description()));
        if (o.takes_value())
          values += fmt::format(
              "    {}) {}; return ;;\n", quoted(c.path + " " + name),
              o.choices().empty() ? "_files" : "compadd -- " + joined(o.choices(), " "));
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

std::string fish(const std::vector<Shown>& commands) {
  std::string lines;
  for (const Shown& c : commands) {
    const std::string here =
        fmt::format("complete -c hearth -n {}", quoted("__hearth_at '" + c.path + "'"));
    for (const Command* sub : c.command->get_subcommands())
      lines +=
          fmt::format("{} -f -a {} -d {}\n", here, sub->get_name(), quoted(sub->get_description()));
    for (const Option& o : c.command->get_options()) {
      lines += here;
      for (const auto& name : o.short_names()) lines += " -s " + name;
      for (const auto& name : o.long_names()) lines += " -l " + name;
      const auto choices = o.choices();
      if (o.takes_value())
        lines += choices.empty() ? " -r" : " -x -a " + quoted(joined(choices, " "));
      lines += " -d " + quoted(o.get_description()) + "\n";
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

std::string roff_of(const Option& option, bool positional) {
  std::string names;
  for (const std::string& name : names_of(option))
    names += (names.empty() ? "\\fB" : ", \\fB") + roff(name) + "\\fR";
  std::string line = positional ? "\\fI" + roff(option.value_name()) + "\\fR" : names;
  if (!positional && option.takes_value()) line += " \\fI" + roff(option.value_name()) + "\\fR";
  std::string text = roff(option.get_description());
  if (!option.get_default_str().empty())
    text += (text.empty() ? "" : " ") + roff(fmt::format("[{}]", option.get_default_str()));
  return ".TP\n" + line + "\n" + text + "\n";
}

}  // namespace

std::string completions_for(const std::string& shell, const Command& program) {
  const auto commands = all_of(program);
  return shell == "bash" ? bash(commands) : shell == "zsh" ? zsh(commands) : fish(commands);
}

std::string manual_page(const Command& program) {
  std::string page = fmt::format(
      ".TH HEARTH 1 \"\" \"hearth {}\" \"hearth\"\n.SH NAME\nhearth \\- {}\n.SH SYNOPSIS\n"
      "\\fBhearth\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n.SH COMMANDS\n",
      kVersion, roff(program.get_description().substr(program.get_description().find(": ") + 2)));
  const auto commands = all_of(program);
  for (const Shown& c : std::span(commands).subspan(1)) {
    page += fmt::format(".SS {}\n{}\n", roff(c.path), roff(c.command->get_description() + "."));
    for (const Option& o : c.command->get_positionals()) page += roff_of(o, true);
    for (const Option& o : c.command->get_options()) page += roff_of(o, false);
  }
  page += ".SH EXIT STATUS\n";
  for (const auto& [code, meaning] : kExitCodes)
    page += fmt::format(".TP\n{}\n{}\n", code, roff(meaning));
  return page;
}

}  // namespace hearth::cli
