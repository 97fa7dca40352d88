// The subcommands of hearth: each adds itself to the application and lives in a file of its own.
#pragma once
#include <cstdint>

#include "hearth/cli/command.h"

namespace hearth::cli {

void add_generate(Command& app);
void add_chat(Command& app);
void add_bench(Command& app);
void add_probe(Command& app);
void add_info(Command& app);
void add_tokenize(Command& app);
void add_render(Command& app);
void add_logits(Command& app);
void add_perplexity(Command& app);
void add_init(Command& app);
void add_quantize(Command& app);
void add_imatrix(Command& app);
void add_pull(Command& app);
void add_embed(Command& app);
void add_models(Command& app);
void add_lab(Command& app);

void add_help(Command& app);

/// -t, --threads N: the pool's threads, set before the command runs.
void add_threads(Command& command);

/// -s, --seed N.
void add_seed(Command& command, uint64_t& seed, const char* of_what);

}  // namespace hearth::cli
