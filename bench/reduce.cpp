// Reductions, softmax and sorting: GB/s of the input (compare `hearth probe`'s read bandwidth), or
// elements a second.
#include <benchmark/benchmark.h>

#include "hearth/ops/ops.h"

namespace {

using namespace hearth;

/// Pseudo-random floats in [-8, 8).
array values(const Shape& shape, Dtype dtype) {
  std::vector<float> v(element_count(shape));
  uint32_t state = 1;
  for (auto& x : v) state = state * 1664525u + 1013904223u, x = float(state >> 8) * 0x1p-20f - 8.0f;
  array a = astype(array(v.begin(), shape), dtype);
  a.eval();
  return a;
}

template <class F>
void run(benchmark::State& state, const Shape& shape, Dtype dtype, const F& f) {
  const array x = values(shape, dtype);
  f(x).eval();
  for (auto _ : state) f(x).eval();
  state.SetBytesProcessed(int64_t(state.iterations()) * int64_t(x.nbytes()));
  state.SetItemsProcessed(int64_t(state.iterations()) * int64_t(x.size()));
}

#define CASE(name, shape, dtype, expression)                                   \
  void name(benchmark::State& state) {                                         \
    run(state, Shape shape, dtype, [](const array& x) { return expression; }); \
  }                                                                            \
  BENCHMARK(name)->UseRealTime()->Unit(benchmark::kMicrosecond)->MinTime(0.3)

CASE(sum_all_f32, ({1 << 26}), float32, sum(x));
CASE(sum_all_bf16, ({1 << 27}), bfloat16, sum(x));
CASE(sum_all_f16, ({1 << 27}), float16, sum(x));
CASE(sum_all_i8, ({1 << 28}), int8, sum(x));
CASE(sum_rows_f32, ({8192, 8192}), float32, sum(x, 1));
CASE(sum_short_rows_f32, ({1 << 20, 64}), float32, sum(x, 1));
CASE(sum_rows_of_3_f32, ({1 << 24, 3}), float32, sum(x, 1));
CASE(sum_columns_f32, ({8192, 8192}), float32, sum(x, 0));
CASE(sum_columns_bf16, ({8192, 8192}), bfloat16, sum(x, 0));
CASE(sum_3_columns_f32, ({1 << 24, 3}), float32, sum(x, 0));
CASE(max_all_f32, ({1 << 26}), float32, max(x));
CASE(max_rows_f32, ({8192, 8192}), float32, max(x, 1));
CASE(argmax_all_f32, ({1 << 26}), float32, argmax(x));
CASE(argmax_row_of_logits, ({1, 51200}), float32, argmax(x, -1));
CASE(argmax_columns_f32, ({8192, 8192}), float32, argmax(x, 0));
CASE(any_bool, ({1 << 28}), bool_, any(x));
CASE(softmax_rows_f32, ({8192, 2048}), float32, softmax(x, -1));
CASE(softmax_rows_f16, ({8192, 2048}), float16, softmax(x, -1));
CASE(softmax_row_of_logits, ({1, 51200}), float32, softmax(x, -1));
CASE(logsumexp_rows_f32, ({8192, 2048}), float32, logsumexp(x, -1));
CASE(cumsum_f32, ({1 << 24}), float32, cumsum(x));
CASE(cumsum_columns_f32, ({4096, 4096}), float32, cumsum(x, 0));
CASE(sort_1m_f32, ({1000000}), float32, sort(x));
CASE(sort_1m_f64, ({1000000}), float64, sort(x));
CASE(sort_rows_of_1000_f32, ({1000, 1000}), float32, sort(x, -1));
CASE(sort_columns_of_1000_f32, ({1000, 1000}), float32, sort(x, 0));
CASE(argsort_1m_f32, ({1000000}), float32, argsort(x));
CASE(topk_40_of_logits, ({51200}), float32, topk(x, 40));

}  // namespace

BENCHMARK_MAIN();
