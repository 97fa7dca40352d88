#include "hearth/cli/options.h"

#include "hearth/backend/pool.h"
#include "hearth/base/system.h"
#include "hearth/base/trimmed.h"

namespace hearth::cli {

std::string trimmed(const std::string& text) {
  return std::string(hearth::trimmed(text, " \t\n\v\f\r"));
}

void add_threads(Command& command) {
  static const int processors = usable_processors();  // several commands ask
  add_number<int>(command, "-t,--threads", cpu::set_threads,
                  {1, processors, ", the processors that there are to use"},
                  "Threads to compute with (default: HEARTH_THREADS, else the processors)");
}

void add_seed(Command& command, uint64_t& seed, const char* of_what) {
  add_number(command, "-s,--seed", seed, {}, of_what);
}

Option* add_texts(Command& command, const std::string& names, std::vector<std::string>& texts,
                  const std::string& help) {
  return command.add_option(names, texts, help + " (may be given several times)")
      ->type_name("TEXT")
      ->allow_extra_args(false);
}

void needs_one_of(Command& command, const std::string& option,
                  const std::vector<std::string>& others) {
  command.get_option(option).check([&command, others](const std::string&) -> std::string {
    std::string names;
    for (const std::string& other : others) {
      if (command.get_option(other).count() > 0) return "";
      names += concat(names.empty() ? "" : " or ", other);
    }
    return concat("means nothing without ", names);
  });
}

}  // namespace hearth::cli
