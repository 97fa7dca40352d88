// The subcommands of hearth: each adds itself to the application and lives in a file of its own.
#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace hearth::cli {

// A command's callback runs once everything is parsed. It prints its result to stdout and returns;
// it throws CLI::ValidationError for bad usage (exit 2), any other exception for failure (exit 1).
void add_generate(CLI::App& app);
void add_chat(CLI::App& app);
void add_bench(CLI::App& app);
void add_probe(CLI::App& app);
void add_info(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_render(CLI::App& app);
void add_logits(CLI::App& app);
void add_perplexity(CLI::App& app);
void add_init(CLI::App& app);
void add_pull(CLI::App& app);
void add_embed(CLI::App& app);
void add_models(CLI::App& app);
void add_lab(CLI::App& app);

void add_help(CLI::App& app);

/// -t, --threads N: the pool's threads, set before the command runs.
void add_threads(CLI::App& command);

/// -s, --seed N.
void add_seed(CLI::App& command, uint64_t& seed, const char* of_what);

}  // namespace hearth::cli
