// The subcommands of hearth: each adds itself to the application and lives in a file of its own.
#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace hearth::cli {

// A command's callback runs once everything is parsed. It prints its result to stdout and returns;
// it throws CLI::ValidationError for bad usage (exit 2), any other exception for failure (exit 1).
void add_generate(CLI::App& app);
void add_bench(CLI::App& app);
void add_probe(CLI::App& app);
void add_info(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_logits(CLI::App& app);
void add_perplexity(CLI::App& app);
void add_init(CLI::App& app);
void add_lab(CLI::App& app);

/// --threads N: the pool's threads, set before the command runs.
void add_threads(CLI::App& command);

/// --seed S: a whole number that is not negative.
void add_seed(CLI::App& command, uint64_t& seed, const char* of_what);

/// The word with the fewest edits from `word`, or "" if none is near enough to be meant.
std::string closest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace hearth::cli
