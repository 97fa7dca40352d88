// The options of sampling on the command line, in a chat's /set and in --json: all from the one
// list in hearth/llm/sampling_options.h.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "hearth/cli/command.h"
#include "hearth/llm/generate.h"

namespace hearth::cli {

/// --temp, --top-k, ..., --order, --logit-bias, -s/--seed.
void add_sampling(Command& command, llm::SamplingOptions& options);

/// Throws UsageError for options that make no sense: before weights are loaded.
void check_sampling(const llm::SamplingOptions& options);

/// Sets the option of that name ("temp", "top_k" or "top-k", "order"); false if there is none.
/// Throws UsageError for a value that it does not take.
bool set_sampling(llm::SamplingOptions& options, std::string name, const std::string& value);

/// All of them by name, and the steps in their order.
nlohmann::ordered_json sampling_json(const llm::SamplingOptions& options);

/// A list for each token of what was most likely; null where it was not asked for.
nlohmann::json logprobs_json(const llm::Generated& generated);

/// "temp 0.7, top-p 0.8": the temperature, and what is not as it is without any option.
std::string sampling_text(const llm::SamplingOptions& options);

}  // namespace hearth::cli
