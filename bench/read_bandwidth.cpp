// Read bandwidth as hearth probe measures it, alone, for tools/compare_bandwidth.py.
// Usage: bench_read_bandwidth THREADS [best]; prints the median in GB/s.
#include <fmt/format.h>

#include <cstdlib>

#include "hearth/lab/limits.h"

int main(int argc, char** argv) {
  using namespace hearth::lab;
  if (argc < 2) return 2;
  const bool best = argc > 2;
  const ReadBuffer buffer(best ? Pages::huge : Pages::plain);
  const Bytes memory[] = {buffer.bytes()};
  const auto walk = best ? std::nullopt : std::optional(Walk::forward);
  fmt::print("{:.2f}\n", measure_read_bandwidth(memory, std::atoi(argv[1]), 0.4, walk).gb_s.median);
}
