// hearth probe: the machine's facts and its measured limits.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "hearth/lab/measure/launch.h"
#include "hearth/lab/measure/limits.h"
#include "hearth/lab/measure/machine.h"

namespace hearth::lab {

/// What one thread reaches, and what all of them reach together.
template <class T>
struct Scaling {
  T one_thread, all_threads;
};

struct MatmulRates {
  Samples f32, f16, bf16;  // GFLOP/s
};

struct Machine {
  Facts facts;
  int threads;                 // "all threads": those of the CPU backend
  Reading<Samples> clock_mhz;  // of a core
  Reading<double> counter_mhz;
  // Forward, each thread its own part, over pages as the system gives them: what other programs
  // measure too.
  Scaling<Bandwidth> read_bandwidth;
  // The fastest walk, over huge pages if there are any.
  Scaling<Bandwidth> read_bandwidth_best;
  Scaling<Reading<Samples>> peaks[std::size(kUnits)];  // f32's limits f16 products too
  MatmulRates matmul;                                  // hearth's own, all threads
  struct OfDevice {
    Device device;
    Reading<Samples> clock_mhz;
    Launch launch;
  };
  std::vector<OfDevice> devices;
};

/// GFLOP/s of hearth's product of a (512, 2560) with the transpose of a (2560, 2560): Phi-2's
/// shapes.
MatmulRates measure_matmul(double seconds_each = 0.2);

/// Reads and measures all of it, in about four seconds, with cpu::threads() as "all threads"; the
/// clock of each of `devices`, which stay in use by this process, and the time of a launch there.
Machine probe_machine(std::span<const Device> devices);

/// What shows that others ran meanwhile, so that the limits are not the machine's: "2 threads read
/// 9.1 GB/s, one alone 12.3". Empty where nothing does.
std::vector<std::string> contradictions(const Machine& machine);

}  // namespace hearth::lab
