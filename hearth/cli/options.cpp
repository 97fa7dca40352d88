#include <algorithm>

#include "hearth/backend/pool.h"
#include "hearth/cli/commands.h"

namespace hearth::cli {

void add_threads(CLI::App& command) {
  command
      .add_option_function<int>(
          "--threads", [](int n) { cpu::set_threads(n); },
          "Threads to compute with (default: HEARTH_THREADS, else the cores)")
      ->check(CLI::Range(1, cpu::kMaxThreads))
      ->type_name("N");
}

void add_seed(CLI::App& command, uint64_t& seed, const char* of_what) {
  command.add_option("--seed", seed, of_what)
      ->check([](const std::string& text) {  // else -1 would wrap round
        return text.starts_with('-') ? "'" + text + "', wanted 0 or more" : std::string();
      })
      ->capture_default_str();
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

}  // namespace hearth::cli
