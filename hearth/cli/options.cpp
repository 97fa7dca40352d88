#include "hearth/cli/options.h"

#include "hearth/backend/pool.h"
#include "hearth/base/system.h"

namespace hearth::cli {

std::string trimmed(const std::string& text) {
  constexpr const char* kSpace = " \t\n\v\f\r";
  const size_t first = text.find_first_not_of(kSpace);
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
}

void add_threads(Command& command) {
  add_number<int>(command, "-t,--threads", cpu::set_threads,
                  {1, usable_processors(), ", the processors that there are to use"},
                  "Threads to compute with (default: HEARTH_THREADS, else the processors)");
}

void add_seed(Command& command, uint64_t& seed, const char* of_what) {
  add_number(command, "-s,--seed", seed, {}, of_what);
}

}  // namespace hearth::cli
