#include "hearth/lab/measure/limits.h"

#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "hearth/base/error.h"
#include "hearth/core/backend.h"
#include "hearth/lab/measure/loops.h"
#include "hearth/lab/measure/team.h"

namespace hearth::lab {
namespace {

constexpr size_t kBlock = 1 << 20;  // what a thread claims at a time: long for a prefetcher, short
                                    // enough that threads end together

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<Bytes> blocks_of(std::span<const Bytes> memory) {
  std::vector<Bytes> blocks;
  for (Bytes part : memory)
    for (size_t at = 0; at < part.size(); at += kBlock)
      blocks.push_back(part.subspan(at, std::min(kBlock, part.size() - at)));
  return blocks;
}

// Samples until `seconds` are over, at least `fewest` of them.
template <class Sample>
std::vector<double> repeat(double seconds, size_t fewest, const Sample& sample) {
  std::vector<double> all;
  double end = seconds_now() + seconds;
  while (all.size() < fewest || seconds_now() < end) all.push_back(sample());
  return all;
}

// GFLOP/s of a loop (rounds -> operations done) on every thread at once, in samples of about 2 ms.
Reading<Samples> measure_arithmetic(int threads, double seconds, int64_t (*loop)(int64_t),
                                    const char* reason) {
  if (loop(1) == 0) return Reading<Samples>::missing(reason);
  Team team(threads);
  constexpr int64_t kRounds = 500'000;
  auto sample = [&] {
    std::atomic<int64_t> done = 0;
    double took = team.time([&](int) { done += loop(kRounds); });
    return double(done) / took / 1e9;
  };
  for (double end = seconds_now() + seconds / 2; seconds_now() < end;) sample();  // wakes the clock
  return summarize(repeat(seconds / 2, 5, sample));
}

}  // namespace

Samples summarize(std::vector<double> all) {
  check(!all.empty(), "summarize: got no samples, wants at least one");
  std::vector<double> sorted = all;
  std::ranges::sort(sorted);
  size_t half = sorted.size() / 2;
  double median = sorted.size() % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  return {std::move(all), median, sorted.front(), sorted.back()};
}

std::string_view to_string(Walk walk) {
  static constexpr std::string_view kNames[] = {"forward", "prefetch", "four_streams"};
  return kNames[size_t(walk)];
}

Bandwidth measure_read_bandwidth(std::span<const Bytes> memory, int threads, double seconds,
                                 std::optional<Walk> walk, Share share) {
  const std::vector<Bytes> blocks = blocks_of(memory);
  check(!blocks.empty(), "measure_read_bandwidth: got no memory, wants at least a byte");
  check(share == Share::blocks || blocks.size() >= size_t(std::max(threads, 1)),
        "measure_read_bandwidth: got ", blocks.size(), " blocks, wants one for each of ", threads,
        " threads");
  Team team(threads);

  // A sample reads at least 64 MiB a thread, a few milliseconds, wherever the last one stopped;
  // memory smaller than that is read several times.
  size_t at = 0;
  std::atomic<uint64_t> sink = 0;
  auto sample = [&](Walk way) {
    size_t first = at, bytes = 0;
    while (bytes < (size_t(64) << 20) * threads) bytes += blocks[at++ % blocks.size()].size();
    std::atomic<size_t> next = first;
    double took = team.time([&](int thread) {
      uint64_t sum = 0;
      const auto read = [&](size_t i) {
        Bytes block = blocks[i % blocks.size()];
        sum ^= read_memory(block.data(), block.size(), way);
      };
      if (share == Share::own) {
        const size_t n = blocks.size(), mine = n * thread / threads;
        const size_t size = n * (thread + 1) / threads - mine;
        for (size_t i = first / threads; i < at / threads; i++) read(mine + i % size);
      } else {
        for (size_t i; (i = next.fetch_add(1)) < at;) read(i);
      }
      sink ^= sum;
    });
    return double(bytes) / took / 1e9;
  };

  if (!walk) {
    // Walks take turns, since the machine's state changes; the winner's samples are taken anew, so
    // that luck in the choice does not become the result.
    constexpr Walk kWalks[] = {Walk::forward, Walk::prefetch, Walk::four_streams};
    std::vector<double> tried[std::size(kWalks)];
    size_t turn = 0;
    repeat(seconds / 3, 3 * std::size(kWalks), [&] {
      size_t kind = turn++ % std::size(kWalks);
      tried[kind].push_back(sample(kWalks[kind]));
      return 0.0;
    });
    double best = 0;
    for (size_t kind = 0; kind < std::size(kWalks); kind++)
      if (double median = summarize(tried[kind]).median; median > best) {
        best = median;
        walk = kWalks[kind];
      }
    seconds *= 2. / 3;
  }
  return {summarize(repeat(seconds, 5, [&] { return sample(*walk); })), threads, *walk};
}

size_t ReadBuffer::usual_bytes() {
  Facts facts = read_facts();
  int64_t size = std::max<int64_t>(int64_t{1} << 30, 4 * cache_bytes(facts).value.value_or(0));
  if (facts.memory_available_bytes.value)
    size = std::min(size, *facts.memory_available_bytes.value / 4);
  return size_t(std::max<int64_t>(size, kBlock));
}

ReadBuffer::ReadBuffer(Pages pages) : ReadBuffer(pages, usual_bytes()) {}

ReadBuffer::ReadBuffer(size_t bytes) : size_(bytes) {
  void* got = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ensure(got != MAP_FAILED, "ReadBuffer: no memory for ", size_, " bytes");
  data_ = static_cast<std::byte*>(got);
}

ReadBuffer::ReadBuffer([[maybe_unused]] Pages pages, size_t bytes,
                       const std::function<void()>& between)
    : ReadBuffer(bytes) {
#ifdef MADV_HUGEPAGE
  if (pages == Pages::huge) madvise(data_, size_, MADV_HUGEPAGE);  // a wish; Facts has the policy
#endif
  constexpr size_t kPiece = 64 << 20;
  for (size_t at = 0; at < size_; at += kPiece) {
    // Unwritten pages would all be the one zero page.
    std::memset(data_ + at, 1, std::min(kPiece, size_ - at));
    if (between) between();
  }
}

ReadBuffer::~ReadBuffer() { munmap(data_, size_); }

namespace {

struct UnitRow {
  std::string_view name, label;
  int64_t (*loop)(int64_t);
  const char* missing;
};
constexpr UnitRow kUnitRows[] = {
    {"f32", "f32 multiply-add peak, GFLOP/s", fma_f32, "no vector instruction set is in use"},
    {"bf16", "bf16 dot product peak, GFLOP/s", dot_bf16,
     "no bfloat16 dot product (AVX512-BF16) is in use"},
    {"bf16_tile", "bf16 tile product peak, GFLOP/s", tile_bf16,
     "no tile product (AMX-BF16) is in use"},
    {"int8", "int8 dot product peak, GOP/s", dot_int8,
     "no int8 dot product (AVX512-VNNI) is in use"},
    {"int8_tile", "int8 tile product peak, GOP/s", tile_int8,
     "no tile product (AMX-INT8) is in use"},
};
static_assert(std::size(kUnitRows) == std::size(kUnits));

}  // namespace

std::string_view to_string(Unit unit) { return kUnitRows[size_t(unit)].name; }
std::string_view label(Unit unit) { return kUnitRows[size_t(unit)].label; }

Reading<Samples> measure_peak(Unit unit, int threads, double seconds) {
  const UnitRow& row = kUnitRows[size_t(unit)];
  return measure_arithmetic(threads, seconds, row.loop, row.missing);
}

Reading<Samples> measure_peak_bf16(int threads) {
  Reading<Samples> dot = measure_peak(Unit::bf16, threads);
  Reading<Samples> tile = measure_peak(Unit::bf16_tile, threads);
  if (!tile.value || !dot.value) return tile.value ? tile : dot;
  return tile.value->median > dot.value->median ? tile : dot;
}

Reading<Samples> steady_clock_of(std::vector<double> samples) {
  check(!samples.empty(), "steady_clock_of: got no samples, wants at least one");
  const size_t all = samples.size();
  const double best = *std::ranges::max_element(samples);
  std::erase_if(samples, [&](double mhz) { return mhz < 0.7 * best; });
  if (2 * samples.size() < all)
    return Reading<Samples>::missing(concat("the machine was not idle: ", all - samples.size(),
                                            " of ", all, " samples of the clock were interrupted"));
  return summarize(std::move(samples));
}

Reading<Samples> measure_clock_mhz(Device device, double seconds) {
  if (device.type != Device::cpu) {
    Backend* of = backend(device.type);
    if (!of) return Reading<Samples>::missing(backend_absence(device.type));
    of->clock_mhz(device.index, seconds / 2);
    std::vector<double> samples = of->clock_mhz(device.index, seconds / 2);
    if (samples.empty())
      return Reading<Samples>::missing(concat("the backend of ", device, " measures no clock"));
    return summarize(std::move(samples));
  }
  constexpr int64_t kAdds = 1 << 18;  // about 0.1 ms: shorter than a time slice
  if (!chain_of_adds(64))
    return Reading<Samples>::missing("no chain of additions is written for this processor");
  // By the time that this thread had: what others ran meanwhile is no part of the clock.
  auto own_now = [] {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
  };
  auto sample = [&] {
    double start = own_now();
    chain_of_adds(kAdds);
    return double(kAdds) / (own_now() - start) / 1e6;
  };
  repeat(seconds / 2, 1, sample);
  return steady_clock_of(repeat(seconds / 2, 11, sample));
}

Reading<double> measure_counter_mhz() {
  if (ticks() == 0) return Reading<double>::missing("no constant counter that a program may read");
  double start = seconds_now();
  uint64_t first = ticks();
  while (seconds_now() < start + 0.02) continue;
  uint64_t last = ticks();
  return double(last - first) / (seconds_now() - start) / 1e6;
}

}  // namespace hearth::lab
