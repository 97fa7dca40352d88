// Read bandwidth as hearth probe measures it, alone, for tools/compare_bandwidth.py.
// Usage: bench_read_bandwidth THREADS plain|huge SECONDS MEGABYTES; prints the median in GB/s.
#include <fmt/format.h>

#include <cstdlib>
#include <string_view>

#include "hearth/lab/measure/limits.h"

int main(int argc, char** argv) {
  using namespace hearth::lab;
  if (argc != 5) return 2;
  const bool huge = std::string_view(argv[2]) == "huge";
  const ReadBuffer buffer(huge ? Pages::huge : Pages::plain, size_t(std::atoi(argv[4])) * 1000000);
  const Bytes memory[] = {buffer.bytes()};
  fmt::print("{:.2f}\n", measure_read_bandwidth(memory, std::atoi(argv[1]), std::atof(argv[3]),
                                                Walk::forward, Share::own)
                             .gb_s.median);
}
