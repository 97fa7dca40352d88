#include "hearth/cli/options.h"

#include <algorithm>

#include "hearth/backend/pool.h"
#include "hearth/base/system.h"

namespace hearth::cli {

void add_threads(CLI::App& command) {
  add_number<int>(command, "-t,--threads", cpu::set_threads,
                  {1, usable_processors(), ", the processors that there are to use"},
                  "Threads to compute with (default: HEARTH_THREADS, else the processors)");
}

void add_seed(CLI::App& command, uint64_t& seed, const char* of_what) {
  add_number(command, "-s,--seed", seed, {}, of_what);
}

}  // namespace hearth::cli
