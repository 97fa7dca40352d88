// Matrix products on Phi-2's shapes against their limits, measured in the same run, turn by turn:
//   decode: GB/s of weights beside a plain read of the same memory;
//   prefill: GFLOP/s beside OpenBLAS's sgemm.
// bench_matmul [decode|prefill|all] [f16|bf16|f32] [--threads N] [--rounds N] [--rows M]
//              [--shape N,K] [--tiny] [--huge]   (--tiny: tiny-phi's shapes; --huge: weights on
//              huge pages)
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/cpu/products/products.h"
#include "hearth/backend/pool.h"

// Not cblas.h: it has a global bfloat16 of its own.
extern "C" void openblas_set_num_threads(int);
extern "C" void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                            const float* a, int lda, const float* b, int ldb, float beta, float* c,
                            int ldc);

using namespace hearth;
using namespace hearth::cpu;

namespace {

double seconds(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

struct Memory {
  size_t size;
  std::byte* data;
  Memory(size_t n, bool huge) : size(n) {
    data = static_cast<std::byte*>(
        mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (data == MAP_FAILED) throw std::bad_alloc();
    if (huge) madvise(data, n, MADV_HUGEPAGE);
  }
  ~Memory() { munmap(data, size); }
  Memory(const Memory&) = delete;
};

/// Small values of either sign, cheap to make.
void fill(Dtype dtype, std::byte* data, int64_t n) {
  visit(Types<float, float16_t, bfloat16_t>{}, dtype, "fill", [&]<class T>() {
    std::vector<T> some;
    for (int i = 0; i < 4096; ++i) some.push_back(T(float(i * 7919 % 4099 - 2049) / 65536));
    parallel_for((n + 4095) / 4096, [&](int64_t b) {
      const int64_t count = std::min<int64_t>(4096, n - b * 4096);
      std::memcpy(data + b * 4096 * int64_t(sizeof(T)), some.data(), size_t(count) * sizeof(T));
    });
  });
}

using Wide = uint64_t __attribute__((vector_size(64), aligned(1), may_alias));

#if defined(__x86_64__)
__attribute__((target_clones("default", "avx2", "avx512f")))
#endif
uint64_t
read_all(const std::byte* p, int64_t n) {
  Wide s[4] = {};
  for (int64_t i = 0; i + 256 <= n; i += 256)
    for (int j = 0; j < 4; ++j) s[j] += *reinterpret_cast<const Wide*>(p + i + 64 * j);
  const Wide all = s[0] + s[1] + s[2] + s[3];
  return all[0] + all[1] + all[2] + all[3] + all[4] + all[5] + all[6] + all[7];
}

/// Reads all bytes once, each thread its own contiguous part.
void plain_read(const std::byte* data, int64_t n) {
  const int64_t part = n / threads() / 64 * 64;
  std::vector<uint64_t> sums(size_t(threads()) * 8);
  parallel_for(threads(),
               [&](int64_t i) { sums[size_t(i) * 8] = read_all(data + i * part, part); });
  volatile uint64_t keep = sums[0];
  (void)keep;
}

struct Layer {
  int64_t n, k;
};

struct Model {
  int64_t d, vocabulary;
  int blocks;
};

void decode(Dtype dtype, Model model, int64_t m, int rounds, bool huge) {
  // The blocks (q, k, v and fc1 share x), each its own memory, and the head.
  const int64_t d = model.d;
  const std::vector<std::vector<Layer>> steps = {
      {{d, d}, {d, d}, {d, d}, {4 * d, d}}, {{d, d}}, {{d, 4 * d}}};
  const int64_t size = int64_t(size_of(dtype));
  const int copies = model.blocks;
  int64_t block = 0, head = model.vocabulary * d;
  for (auto& step : steps)
    for (auto& l : step) block += l.n * l.k;
  const int64_t total = copies * block + head;
  Memory weights(size_t(total * size), huge);
  fill(dtype, weights.data, total);
  std::vector<std::byte> x(size_t(m * 4 * d * size)), bias(size_t(model.vocabulary * 4)),
      y(size_t(m * std::max(model.vocabulary, 8 * d) * size));
  fill(dtype, x.data(), m * 4 * d);
  fill(dtype, bias.data(), model.vocabulary);
  const auto token = [&] {
    const std::byte* w = weights.data;
    const auto run = [&](const std::vector<Layer>& step) {
      std::vector<LinearJob> layers;
      std::byte* out = y.data();
      for (const Layer& l : step) {
        layers.push_back({w, l.n, out, l.n, bias.data(),
                          l.n == 4 * d ? Activation::gelu_approx : Activation::none});
        w += l.n * l.k * size;
        out += m * l.n * size;
      }
      linear(dtype, m, step[0].k, x.data(), step[0].k, layers);
    };
    for (int i = 0; i < copies; ++i)
      for (const auto& step : steps) run(step);
    run({{model.vocabulary, d}});
  };
  const double gb = double(total * size) * 1e-9;
  std::vector<double> ours, read, ratio;
  token();
  for (int i = 0; i < rounds; ++i) {
    const double before = seconds([&] { plain_read(weights.data, total * size); });
    const double t = seconds(token);
    const double after = seconds([&] { plain_read(weights.data, total * size); });
    ours.push_back(gb / t);
    read.push_back(gb / before);
    read.push_back(gb / after);
    ratio.push_back((before + after) / 2 / t);
  }
  fmt::print(
      "decode  {:5} m {} threads {}: {:6.1f} GB/s, plain read {:6.1f} GB/s, ratio {:.3f}, "
      "{:.0f} us a token (median of {})\n",
      short_name(dtype), m, threads(), median(ours), median(read), median(ratio),
      gb / median(ours) * 1e6, rounds);
}

void prefill(Dtype dtype, int64_t m, Layer l, int rounds) {
  const int64_t size = int64_t(size_of(dtype));
  Memory w(size_t(l.n * l.k * size), false), x(size_t(m * l.k * size), false),
      y(size_t(m * l.n * size), false);
  fill(dtype, w.data, l.n * l.k);
  fill(dtype, x.data, m * l.k);
  Memory w32(size_t(l.n * l.k * 4), false), x32(size_t(m * l.k * 4), false),
      y32(size_t(m * l.n * 4), false);
  fill(float32, w32.data, l.n * l.k);
  fill(float32, x32.data, m * l.k);
  const auto f = [](const Memory& memory) { return reinterpret_cast<float*>(memory.data); };
  const auto ours = [&] {
    const LinearJob layer{w.data, l.n, y.data, l.n};
    linear(dtype, m, l.k, x.data, l.k, std::span(&layer, 1));
  };
  const auto blas = [&] {
    constexpr int kRowMajor = 101, kNoTrans = 111, kTrans = 112;
    cblas_sgemm(kRowMajor, kNoTrans, kTrans, int(m), int(l.n), int(l.k), 1, f(x32), int(l.k),
                f(w32), int(l.k), 0, f(y32), int(l.n));
  };
  ours();
  blas();
  const double gflop = 2e-9 * double(m) * double(l.n) * double(l.k);
  std::vector<double> rate, theirs, ratio;
  for (int i = 0; i < rounds; ++i) {
    const double t = seconds(ours), b = seconds(blas);
    rate.push_back(gflop / t);
    theirs.push_back(gflop / b);
    ratio.push_back(b / t);
  }
  fmt::print(
      "prefill {:5} {} x {} x {:5} threads {}: {:6.1f} GFLOP/s, sgemm {:6.1f}, ratio {:.3f} "
      "(median of {})\n",
      short_name(dtype), m, l.n, l.k, threads(), median(rate), median(theirs), median(ratio),
      rounds);
}

}  // namespace

int main(int argc, char** argv) {
  std::string what = "all";
  std::vector<int> counts;
  std::vector<Dtype> dtypes = {float16, bfloat16, float32};
  int rounds = 0;
  int64_t rows = 0;
  bool huge = false;
  Model model{2560, 51200, 4};
  std::vector<Layer> shapes = {{2560, 2560}, {10240, 2560}, {2560, 10240}, {51200, 2560}};
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    const auto value = [&] { return std::stoi(argv[++i]); };
    if (arg == "--threads")
      counts = {value()};
    else if (arg == "--rounds")
      rounds = value();
    else if (arg == "--rows")
      rows = value();
    else if (arg == "--tiny")
      model = {320, 4096, 6};
    else if (arg == "--shape") {
      const std::string shape = argv[++i];
      shapes = {{std::stoll(shape), std::stoll(shape.substr(shape.find(',') + 1))}};
    } else if (arg == "--huge")
      huge = true;
    else if (arg == "f16")
      dtypes = {float16};
    else if (arg == "bf16")
      dtypes = {bfloat16};
    else if (arg == "f32")
      dtypes = {float32};
    else
      what = arg;
  }
  const int all = threads();
  if (counts.empty()) counts = all > 1 ? std::vector{1, all} : std::vector{1};
  fmt::print("instruction set {}\n", to_string(isa()));
  for (int n : counts) {
    set_threads(n);
    openblas_set_num_threads(n);
    if (what != "prefill")
      for (Dtype d : dtypes) decode(d, model, rows ? rows : 1, rounds ? rounds : 9, huge);
    if (what != "decode")
      for (Dtype d : dtypes)
        for (Layer l : shapes)
          prefill(d, rows ? rows : 512, l, rounds ? rounds : l.n > 50000 ? 3 : 7);
  }
}
