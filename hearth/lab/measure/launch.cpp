#include "hearth/lab/measure/launch.h"

#include <chrono>
#include <functional>

#include "hearth/base/error.h"
#include "hearth/core/eval.h"
#include "hearth/ops/movement.h"

namespace hearth::lab {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kChain = 500;  // waiting for the last one is little beside it

double us_since(Clock::time_point from) {
  return std::chrono::duration<double, std::micro>(Clock::now() - from).count();
}

array chain(array x) {
  for (int i = 0; i < kChain; ++i) x = copy(x);
  return x;
}

// us a kernel of `run`, which starts `kernels` of them and waits.
Reading<Samples> repeat(double seconds, double kernels, const std::function<double()>& run) {
  std::vector<double> all;
  run(), run();  // the first ones find their memory, and load what is loaded at first use
  const auto begin = Clock::now();
  while (all.size() < 5 || us_since(begin) < seconds * 1e6) all.push_back(run() / kernels);
  return summarize(std::move(all));
}

}  // namespace

Launch measure_launch(Device device, double seconds) {
  Launch launch;
  try {
    const StreamScope scope(device);
    const array start = copy(array(1.0f));
    start.eval();
    const auto before = eval_counters();
    chain(start).eval();
    const auto after = eval_counters();
    // Those that are merged, or run elsewhere, are not what is measured.
    ensure(after.kernels - before.kernels == kChain && after.fallbacks == before.fallbacks,
           to_string(device), " does not run a chain of ", kChain, " copies as it is");
    launch.evaluated_us = repeat(seconds / 2, kChain, [&] {
      const array last = chain(start);
      const auto begin = Clock::now();
      last.eval();
      return us_since(begin);
    });
    const array last = chain(start);
    Recording recording({last});
    launch.replayed_us = repeat(seconds / 2, kChain, [&] {
      const auto begin = Clock::now();
      recording.run();
      synchronize(default_stream(device));
      return us_since(begin);
    });
  } catch (const std::exception& error) {
    for (auto* missing : {&launch.evaluated_us, &launch.replayed_us})
      if (!missing->value) *missing = Reading<Samples>::missing(error.what());
  }
  return launch;
}

}  // namespace hearth::lab
