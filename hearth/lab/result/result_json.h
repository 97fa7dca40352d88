// A result as JSON: read, written, and its schema, by three walks over the fields of its structs.
#pragma once
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "hearth/lab/result/journal.h"
#include "hearth/lab/result/result.h"

namespace hearth::lab {

nlohmann::json to_json(const Result& result);
/// Reads what to_json wrote, or others by docs/lab_result.schema.json. Lists, maps and readings may
/// be left out; all else must be there, and nothing unknown. `name` (a file) begins the errors.
Result parse_result(std::string_view text, std::string_view name);
/// Where the journal of a run that was killed stands beside it, what that holds.
Result read_result(const std::filesystem::path& path);
/// Written whole or not at all.
void write_result(const Result& result, const std::filesystem::path& path);
/// An addition on one line, and back.
std::string to_line(const Addition& addition);
Addition parse_addition(std::string_view line, std::string_view name);
/// The text of the file: one key a line, lists of numbers on one line.
std::string to_text(const Result& result);

/// JSON in ASCII, whatever its texts hold: nothing in it is obeyed by a terminal that shows it.
/// Engines may speak bad UTF-8. With -1 for `indent` in one line.
std::string json_text(const nlohmann::json& value, int indent = -1);
std::string json_text(const nlohmann::ordered_json& value, int indent = -1);

/// The JSON Schema (draft 2020-12) that every result follows: docs/lab_result.schema.json.
nlohmann::json result_schema();

}  // namespace hearth::lab
