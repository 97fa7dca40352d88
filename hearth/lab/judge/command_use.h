// What commands took beside time: of processors, of memory; and what differs between two of them.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "hearth/lab/judge/stats.h"
#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// What the system accounted to each counted repetition under a key; empty where it did not.
std::vector<double> accounted(const EngineResult& engine, int job, std::string_view key);

/// The means of a command's repetitions.
struct CommandUse {
  double total_s = 0;
  std::optional<double> user_s, system_s, faults, major_faults, voluntary, involuntary;
  std::optional<double> peak_bytes;  // the most of any repetition
  std::optional<double> energy_j, shell_s;
};
CommandUse use_of(const EngineResult& engine, int job);

/// "it is lost in the 0.9 ms that its shell takes ..."; "" unless so little is left of the command
/// without its shell that the two cannot be told apart.
std::string lost_in_shell(const EngineResult& engine, int job);

/// The keys of the metrics that a command's repetitions have: texts with a group in brackets.
std::vector<std::string> metrics_of(const EngineResult& engine, int job);
/// A metric of `b` over that of `a`, of the rounds in which both have it, above 0; nothing where no
/// round has both.
std::optional<PairedRatio> metric_ratio(const EngineResult& a, const EngineResult& b, int job,
                                        const std::string& metric);

/// A part of the time of two commands, in seconds of a run.
struct TimePart {
  std::string name;  // "user time", "system time", "waiting"
  double a_s = 0, b_s = 0;
  double more_s() const { return a_s - b_s; }
};
/// Empty where the system did not account for both.
std::vector<TimePart> time_parts(const EngineResult& a, const EngineResult& b, int job);

/// Why the slower one takes longer, in a clause: "2.1 times the user time (1.2 s, not 570 ms)"; ""
/// where nothing that is accounted makes up for half of it.
std::string why_slower(const EngineResult& slow, const EngineResult& fast, int job);

}  // namespace hearth::lab
