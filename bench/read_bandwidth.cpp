// Read bandwidth as hearth probe measures it, alone, for tools/compare_bandwidth.py.
// Usage: bench_read_bandwidth THREADS plain|huge; prints the median in GB/s.
#include <fmt/format.h>

#include <cstdlib>
#include <string_view>

#include "hearth/lab/limits.h"

int main(int argc, char** argv) {
  using namespace hearth::lab;
  if (argc != 3) return 2;
  const ReadBuffer buffer(std::string_view(argv[2]) == "huge" ? Pages::huge : Pages::plain);
  const Bytes memory[] = {buffer.bytes()};
  fmt::print("{:.2f}\n", measure_read_bandwidth(memory, std::atoi(argv[1])).gb_s.median);
}
