#include "hearth/lab/measure/probe.h"

#include <chrono>

#include "hearth/backend/cpu/products/products.h"
#include "hearth/backend/pool.h"
#include "hearth/base/error.h"

namespace hearth::lab {
namespace {

template <class T>
Samples measure_product(double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t m = 512, k = 2560, n = 2560;
  std::vector<T> x(m * k, T(0.5f)), w(n * k, T(0.25f)), y(m * n);
  cpu::LinearJob layer{.weight = w.data(), .n = n, .y = y.data(), .y_stride = n};
  auto sample = [&] {
    auto start = Clock::now();
    cpu::linear(dtype_of<T>, m, k, x.data(), k, {&layer, 1});
    return 2.0 * m * n * k / std::chrono::duration<double>(Clock::now() - start).count() / 1e9;
  };
  sample();  // the first one finds its memory and wakes the pool
  std::vector<double> all;
  for (auto end = Clock::now() + std::chrono::duration<double>(seconds);
       all.size() < 3 || Clock::now() < end;)
    all.push_back(sample());
  return summarize(std::move(all));
}

}  // namespace

MatmulRates measure_matmul(double seconds_each) {
  return {.f32 = measure_product<float>(seconds_each),
          .f16 = measure_product<float16_t>(seconds_each),
          .bf16 = measure_product<bfloat16_t>(seconds_each)};
}

namespace {

Scaling<Bandwidth> measure_pages(Pages pages, int threads, std::optional<Walk> walk, Share share) {
  const ReadBuffer buffer(pages);
  const Bytes memory[] = {buffer.bytes()};
  return {measure_read_bandwidth(memory, 1, 0.4, walk, share),
          measure_read_bandwidth(memory, threads, 0.4, walk, share)};
}

}  // namespace

std::vector<std::string> contradictions(const Machine& machine) {
  std::vector<std::string> all;
  const auto look = [&](const char* what, const char* unit, const Samples& one,
                        const Samples& together) {
    // All threads are one more than none: they reach what one does, but for what is in the way.
    if (machine.threads > 1 && together.median < 0.9 * one.median)
      all.push_back(concat(machine.threads, " threads ", what, " ", int(together.median), " ", unit,
                           ", one alone ", int(one.median)));
    // Loops that do nothing else have one speed.
    else if (unit == std::string_view("GFLOP/s") && together.min < 0.5 * together.median)
      all.push_back(concat(machine.threads, " threads ", what, " ", int(together.median), " ", unit,
                           ", at times only ", int(together.min)));
  };
  look("read", "GB/s", machine.read_bandwidth.one_thread.gb_s,
       machine.read_bandwidth.all_threads.gb_s);
  for (const auto& [one, together] : machine.peaks)
    if (one.value && together.value) look("compute", "GFLOP/s", *one.value, *together.value);
  return all;
}

Machine probe_machine(std::span<const Device> devices) {
  const int threads = cpu::threads();
  Machine machine{
      .facts = read_facts(),
      .threads = threads,
      .clock_mhz = measure_clock_mhz(),
      .counter_mhz = measure_counter_mhz(),
      .read_bandwidth = measure_pages(Pages::plain, threads, Walk::forward, Share::own),
      .read_bandwidth_best = measure_pages(Pages::huge, threads, std::nullopt, Share::blocks),
      .peaks = {},
      .matmul = measure_matmul(),
      .devices = {}};
  for (const Unit unit : kUnits)
    machine.peaks[size_t(unit)] = {measure_peak(unit, 1), measure_peak(unit, threads)};
  for (const Device device : devices)
    machine.devices.push_back(
        {device, device == Device::cpu ? machine.clock_mhz : measure_clock_mhz(device),
         measure_launch(device)});
  return machine;
}

}  // namespace hearth::lab
