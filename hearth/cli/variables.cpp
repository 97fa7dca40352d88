#include "hearth/cli/variables.h"

#include "hearth/base/error.h"

namespace hearth::cli {

void add_variables(Command& command, std::vector<std::string>& given) {
  command
      .add_option("--set", given,
                  "A variable of the template: enable_thinking=false, bos_token='\"<s>\"' (may be "
                  "given several times)")
      ->type_name("NAME=JSON")
      ->allow_extra_args(false);
}

std::vector<std::pair<std::string, std::string>> parse_variables(
    const std::vector<std::string>& given) {
  std::vector<std::pair<std::string, std::string>> variables;
  for (const std::string& one : given) {
    const size_t equals = one.find('=');
    if (equals == one.npos || equals == 0)
      throw UsageError(
          concat("--set: '", one, "', wanted NAME=JSON, such as enable_thinking=false"));
    variables.emplace_back(one.substr(0, equals), one.substr(equals + 1));
  }
  return variables;
}

}  // namespace hearth::cli
