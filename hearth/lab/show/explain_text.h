// The two forms of an explanation: one screen of plain words, and JSON.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "hearth/lab/judge/explain.h"

namespace hearth::lab {

/// One screen of plain words, of a plain() result in lines of at most `width` columns.
std::string to_text(const Explanation& explanation, const Result& result,
                    size_t width = std::string::npos);
nlohmann::json to_json(const Explanation& explanation);

}  // namespace hearth::lab
