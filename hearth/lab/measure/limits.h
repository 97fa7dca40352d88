// What the machine can do at most, measured: reading memory, arithmetic, its clock.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "hearth/core/device.h"
#include "hearth/lab/measure/machine.h"

namespace hearth::lab {

/// One quantity measured several times.
struct Samples {
  std::vector<double> all;  // in the order they were taken
  double median = 0, min = 0, max = 0;
};
/// Throws std::invalid_argument if there are none.
Samples summarize(std::vector<double> all);

/// Ways to walk through memory; which is fastest depends on the processor and on the pages.
enum class Walk : uint8_t { forward, prefetch, four_streams };
std::string_view to_string(Walk walk);

/// Who reads what: blocks for whoever comes first, so that all end together; or each thread its own
/// part of the memory, as other programs do: the slowest core, or the part whose pages lie worst,
/// then sets the time.
enum class Share : uint8_t { blocks, own };

struct Bandwidth {
  Samples gb_s;  // 1e9 bytes a second
  int threads;
  Walk walk;
};

using Bytes = std::span<const std::byte>;

/// How fast `threads` threads of its own can read `memory` (the loaded weights, say; it is read
/// over and over and should be larger than the caches). Without a walk, the first third of
/// `seconds` finds the fastest; the rest are its samples: at least 5, so that it may take longer.
/// Shares of their own need a block of 1 MiB for each thread.
/// Cheap enough to stand just before and just after what it is the limit of.
Bandwidth measure_read_bandwidth(std::span<const Bytes> memory, int threads, double seconds = 0.4,
                                 std::optional<Walk> walk = std::nullopt,
                                 Share share = Share::blocks);

/// What a buffer asks the system for. Files, and so mapped weights, have plain (small) pages.
enum class Pages : uint8_t { plain, huge };

/// Memory of one's own to measure on: written pages.
class ReadBuffer {
 public:
  /// 1 GiB, or four times the last-level caches if that is more; at most a quarter of the free
  /// memory.
  explicit ReadBuffer(Pages pages);
  /// `between` is called after each 64 MiB that are written, and may throw.
  ReadBuffer(Pages pages, size_t bytes, const std::function<void()>& between = {});
  static size_t usual_bytes();
  ~ReadBuffer();
  ReadBuffer(const ReadBuffer&) = delete;
  Bytes bytes() const { return {data_, size_}; }

 private:
  explicit ReadBuffer(size_t bytes);
  std::byte* data_;
  size_t size_;
};

/// What multiplies in a processor.
enum class Unit : uint8_t { f32, bf16, bf16_tile, int8, int8_tile };
inline constexpr Unit kUnits[] = {Unit::f32, Unit::bf16, Unit::bf16_tile, Unit::int8,
                                  Unit::int8_tile};
std::string_view to_string(Unit unit);  // the enumerator
std::string_view label(Unit unit);      // "f32 multiply-add peak, GFLOP/s"

/// 1e9 operations a second (a multiply-add is two) of a unit whose operands never leave the
/// registers; missing where the instruction set in use has none.
Reading<Samples> measure_peak(Unit unit, int threads, double seconds = 0.1);
/// The best of the units that multiply bfloat16.
Reading<Samples> measure_peak_bf16(int threads);

/// MHz of a device's clock, now: of the core that this thread runs on by a chain of additions, each
/// of which takes a cycle; of others by the backend's program, on the device. The first half of
/// `seconds` only wakes the clock up.
Reading<Samples> measure_clock_mhz(Device device = Device::cpu, double seconds = 0.1);

/// The samples of a clock without those that something interrupted (a hypervisor, say), which are
/// far below the best; missing where these are more than half.
Reading<Samples> steady_clock_of(std::vector<double> samples);

/// MHz of the processor's constant counter (TSC): often its nominal clock, never its real one.
Reading<double> measure_counter_mhz();

}  // namespace hearth::lab
