// What a run ends with: each engine against the first, a line each, sorted; and why, in a clause.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

enum class Tone : uint8_t { plain, good, bad, doubtful };

struct VerdictLine {
  std::string label;
  double time_s = 0;                 // per unit
  std::string ratio;                 // "2.31 times (2.20 to 2.43)": of the first one's time
  std::string verdict;               // "slower"; "" of the first
  std::string why;                   // a clause, or ""
  std::vector<std::string> metrics;  // how its own figures stand to the first one's
  Tone tone = Tone::plain;
};
/// The fastest first. Engines without times are left out.
std::vector<VerdictLine> verdict_lines(const Result& result, int job);

/// The lines for a terminal, none wider than `width`; with `colour` the verdicts have one each.
std::string verdict_text(const Result& result, int job, bool colour, int width = 80);

/// Lines of at most `width`, broken at blanks; what goes on is indented by two more than the line.
std::string folded(std::string_view text, size_t width = 80);

/// A label that fits: its middle is left out where it is longer.
std::string shortened(const std::string& label, size_t width);

/// A command as hyperfine shows it: mean, deviation, user and system time, range, runs; and its
/// memory, faults and switches.
std::string command_text(const Result& result, const EngineResult& engine, int job);

}  // namespace hearth::lab
