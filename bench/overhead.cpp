// What a small operation costs beyond its arithmetic: chains of 1,000, built and evaluated.
#include <benchmark/benchmark.h>

#include "hearth/core/eval.h"
#include "hearth/ops/elementwise.h"

namespace hearth {
namespace {

constexpr int kChain = 1000;

void per_op(benchmark::State& state) {
  state.counters["s_per_op"] = benchmark::Counter(
      double(kChain), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

// x = x + y, one element each.
void add_arrays(benchmark::State& state) {
  const array one(1.0f);
  for (auto _ : state) {
    array x(0.0f);
    for (int i = 0; i < kChain; ++i) x = x + one;
    x.eval();
  }
  per_op(state);
}
BENCHMARK(add_arrays);

// x = x + 1.0f: a constant of the program.
void add_scalar(benchmark::State& state) {
  for (auto _ : state) {
    array x(0.0f);
    for (int i = 0; i < kChain; ++i) x = x + 1.0f;
    x.eval();
  }
  per_op(state);
}
BENCHMARK(add_scalar);

// A row of 64 values through an activation.
void tanh_of_rows(benchmark::State& state) {
  const std::vector<float> values(64, 0.0f);
  const array start(values.begin(), {1, 64});
  for (auto _ : state) {
    array x = start;
    for (int i = 0; i < kChain; ++i) x = tanh(x);
    x.eval();
  }
  per_op(state);
}
BENCHMARK(tanh_of_rows);

// Building alone, never evaluated.
void build_only(benchmark::State& state) {
  const array one(1.0f);
  for (auto _ : state) {
    array x(0.0f);
    for (int i = 0; i < kChain; ++i) x = x + one;
  }
  per_op(state);
}
BENCHMARK(build_only);

}  // namespace
}  // namespace hearth

BENCHMARK_MAIN();
