// What IOReport's channels mean: clocks of states, cores by their names, joules.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "hearth/lab/telemetry/ioreport_library.h"

namespace hearth::lab {

/// MHz of each state, ascending, from pairs of 32 bits (clock, voltage). The clock is in Hz up to
/// the M3 and for GPUs, in kHz for later processors: its size shows which. Entries of 0 or 1 are of
/// no state.
Reading<std::vector<double>> clock_table(std::span<const uint8_t> bytes);

/// A core by the name of its channel: "ECPU3", "PCPU140" (cluster 1, core 4), "DIE_1_PCPU1_CPU3".
struct IoCore {
  char tier = 0;  // 'E', 'M', 'P', or what is to come; 0: it is no core
  int die = 0, cluster = 0;
};
IoCore core_of(std::string_view channel);

/// Joules that a channel counted; missing for a unit that is not known, and a count below 0.
Reading<double> joules_of(const IoChannel& channel);

}  // namespace hearth::lab
