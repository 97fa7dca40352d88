// Copies, gathers and random numbers: GB/s of what is read and written.
#include <benchmark/benchmark.h>

#include "hearth/core/eval.h"
#include "hearth/ops/ops.h"

namespace {

using namespace hearth;

array filled(const Shape& shape, Dtype dtype) {
  array x = copy(ones(shape, dtype));
  eval(x);
  return x;
}

template <class F>
void rate(benchmark::State& state, size_t bytes, F&& f) {
  for (auto _ : state) f().eval();
  state.SetBytesProcessed(int64_t(state.iterations() * bytes));
}

void copies(benchmark::State& state, Dtype dtype) {
  const array x = filled({4096, 4096}, dtype);
  rate(state, 2 * x.nbytes(), [&] { return copy(x); });
}
void transposes(benchmark::State& state, Dtype dtype) {
  const array x = filled({4096, 4096}, dtype);
  rate(state, 2 * x.nbytes(), [&] { return copy(transpose(x)); });
}
// (B, L, heads, head_dim) -> (B, heads, L, head_dim): lines of 80.
void heads(benchmark::State& state, Dtype dtype) {
  const array x = filled({1, 2048, 32, 80}, dtype);
  rate(state, 2 * x.nbytes(), [&] { return copy(transpose(x, {0, 2, 1, 3})); });
}
void joins(benchmark::State& state, Dtype dtype) {
  const array x = filled({2048, 2560}, dtype);
  rate(state, 4 * x.nbytes(), [&] { return concatenate({x, x}, 1); });
}
// Rows of an embedding table, as many as `rows`.
void rows(benchmark::State& state, Dtype dtype) {
  const array table = filled({51200, 2560}, dtype);
  const array at = random::randint(0, 51200, {int(state.range(0))}, int32, random::key(1));
  eval(at);
  rate(state, 2 * size_t(state.range(0)) * 2560 * size_of(dtype),
       [&] { return take(table, at, 0); });
}
void places(benchmark::State& state, Dtype dtype) {
  const array x = filled({1000, 4096}, dtype);
  const array at = random::randint(0, 4096, {1000, 4096}, int32, random::key(1));
  eval(at);
  rate(state, 2 * x.nbytes() + at.nbytes(), [&] { return take_along_axis(x, at, 1); });
}
void adds(benchmark::State& state, Dtype dtype) {
  const array updates = filled({4096, 1, 2560}, dtype);
  const array at = random::randint(0, 8192, {4096}, int32, random::key(1));
  const array table = filled({8192, 2560}, dtype);
  eval(at);
  rate(state, 2 * table.nbytes() + 2 * updates.nbytes(),
       [&] { return scatter_add(table, at, updates, 0); });
}
void random_bits(benchmark::State& state) {
  const array key = random::key(1);
  rate(state, 64 << 20, [&] { return random::bits({16 << 20}, key); });
}
void random_normal(benchmark::State& state, Dtype dtype) {
  const array key = random::key(1);
  rate(state, (16 << 20) * size_of(dtype), [&] { return random::normal({16 << 20}, dtype, key); });
}

#define EACH(name)                                      \
  BENCHMARK_CAPTURE(name, f32, float32)->UseRealTime(); \
  BENCHMARK_CAPTURE(name, bf16, bfloat16)->UseRealTime();
EACH(copies)
EACH(transposes)
BENCHMARK_CAPTURE(transposes, u8, uint8)->UseRealTime();
EACH(heads)
EACH(joins)
BENCHMARK_CAPTURE(rows, bf16, bfloat16)->Arg(1)->Arg(512)->UseRealTime();
EACH(places)
BENCHMARK_CAPTURE(adds, f32, float32)->UseRealTime();
BENCHMARK(random_bits)->UseRealTime();
EACH(random_normal)

}  // namespace

BENCHMARK_MAIN();
