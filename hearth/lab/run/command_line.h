// Commands to compare: what the user wrote, its parameters put in.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::lab {

/// A parameter and its values, in their order.
struct Parameter {
  std::string name;
  std::vector<std::string> values;
};

/// "a,b,c"; \, is a comma and \\ a backslash. Throws std::invalid_argument for a name that is no
/// word.
Parameter parameter_list(const std::string& name, std::string_view values);
/// From `first` to `last` by `step`: decimal numbers, computed exactly and written with as many
/// digits as the most precise of the three has. Throws std::invalid_argument for what is no range.
Parameter parameter_scan(const std::string& name, std::string_view first, std::string_view last,
                         std::string_view step = "1");

/// A command, and what runs around it; empty texts are nothing.
struct Command {
  std::string name;  // how it is called in the result; empty: its text
  std::string text;
  std::string setup, prepare, conclude, cleanup;
  std::string output;  // "", "null", "pipe", "inherit", or a file
  std::map<std::string, std::string> parameters;
};

/// Each command with each combination of values: {name} in any of its texts is the value.
std::vector<Command> expand(const std::vector<Command>& commands,
                            const std::vector<Parameter>& parameters);

}  // namespace hearth::lab
