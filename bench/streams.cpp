// What async_eval costs its caller, and how far two streams of one thread each overlap: chains of
// matrix products, about a second of work.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "hearth/backend/pool.h"
#include "hearth/core/eval.h"
#include "hearth/ops/ops.h"

using namespace hearth;

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

constexpr int kSize = 1024;

/// x m m m ..., `length` products, on stream s.
array chain(array x, const array& m, int length, Stream s) {
  for (int i = 0; i < length; ++i) x = matmul(x, m, s);
  return x;
}

}  // namespace

int main() {
  cpu::set_threads(1);
  const Stream a = new_stream(Device::cpu), b = new_stream(Device::cpu);
  const array m = full({kSize, kSize}, 1.0f / kSize), x = ones({kSize, kSize});
  eval(Arrays{m, x});

  auto start = std::chrono::steady_clock::now();
  eval(Arrays{chain(x, m, 20, a)});
  const int length = std::max(1, int(std::lround(20 / seconds_since(start))));

  std::vector<double> returns, one, two, overlap;
  for (int round = 0; round < 7; ++round) {
    const array job = chain(x, m, length, a);
    start = std::chrono::steady_clock::now();
    async_eval(Arrays{job});
    returns.push_back(seconds_since(start));
    eval(Arrays{job});
    one.push_back(seconds_since(start));

    const array left = chain(x, m, length, a), right = chain(x, m, length, b);
    start = std::chrono::steady_clock::now();
    async_eval(Arrays{left, right});
    eval(Arrays{left, right});
    two.push_back(seconds_since(start));
    overlap.push_back(2 * one.back() / two.back());
  }
  fmt::print("a job of {:.2f} s: async_eval returns in {:.3f} ms (at most {:.3f})\n", median(one),
             median(returns) * 1e3, *std::max_element(returns.begin(), returns.end()) * 1e3);
  fmt::print(
      "two on two streams of one thread: {:.2f} s, overlap {:.2f} times ({:.2f} to {:.2f})\n",
      median(two), median(overlap), *std::min_element(overlap.begin(), overlap.end()),
      *std::max_element(overlap.begin(), overlap.end()));
}
