// Trends, and results against the history: for a terminal, as JSON, as a job's summary in Markdown.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "hearth/lab/judge/trend.h"

namespace hearth::lab {

/// A line for each run: its time, its interval, and both on one axis; changes between them. No line
/// is wider than `width`.
std::string to_text(const Trend& trend, int width = 80);
nlohmann::json to_json(const Trend& trend);

std::string to_text(std::span<const AgainstHistory> all, int width = 80);
nlohmann::json to_json(std::span<const AgainstHistory> all);
std::string to_markdown(std::span<const AgainstHistory> all);

}  // namespace hearth::lab
