// Packed weights at the speed of memory: bytes of weights a second of a product with few rows,
// beside the read bandwidth of the same memory, turn by turn.
// bench_packed [PACKING...] [--dtype f32|bf16|f16] [--threads N] [--rows M] [--rounds N]
//              [--megabytes N] [--shape N,K] [--activations int8]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/cpu/products/products.h"
#include "hearth/backend/pool.h"
#include "hearth/lab/measure/limits.h"

using namespace hearth;
using namespace hearth::cpu;

namespace {

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

int64_t row_bytes_of(Packing p, int64_t k) {
  int64_t bytes = 0;
  for (int i = 0; i < packing_info(p).planes; ++i) {
    const Plane plane = plane_of(p, i, k);
    bytes += plane.row * int64_t(size_of(plane.dtype.value_or(bfloat16)));
  }
  return bytes;
}

void run(Packing packing, Dtype dtype, int64_t m, int64_t n, int64_t k, int rounds, bool int8,
         lab::Bytes all) {
  // Matrices one after the other, each with its planes.
  const int64_t matrix = (n * row_bytes_of(packing, k) + 63) / 64 * 64;
  std::vector<RawMatrix> weights;
  for (int64_t at = 0; at + matrix <= int64_t(all.size()); at += matrix) {
    RawMatrix w(packing, {}, bfloat16);
    w.int8 = int8;
    const std::byte* from = all.data() + at;
    for (int i = 0; i < packing_info(packing).planes; ++i) {
      const Plane plane = plane_of(packing, i, k);
      w.planes[size_t(i)] = from;
      from += n * plane.row * int64_t(size_of(plane.dtype.value_or(bfloat16)));
    }
    weights.push_back(w);
  }
  std::vector<std::byte> x(size_t(m * k) * size_of(dtype)), y(size_t(m * n) * size_of(dtype));
  const double gigabytes = double(weights.size()) * double(n * row_bytes_of(packing, k)) * 1e-9;
  std::vector<double> shares, speeds;
  double before = 0;
  for (int round = -1; round < rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (const RawMatrix& w : weights) {
      const LinearJob layer{.weight = w, .n = n, .y = y.data(), .y_stride = n};
      linear(dtype, m, k, x.data(), k, {&layer, 1});
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double after =
        lab::measure_read_bandwidth({&all, 1}, threads(), 0.1, lab::Walk::forward, lab::Share::own)
            .gb_s.median;
    if (round >= 0) {
      speeds.push_back(gigabytes / seconds);
      shares.push_back(speeds.back() / ((before + after) / 2));
    }
    before = after;
  }
  fmt::print(
      "{:14} {:5} {} threads {:3} rows  {:6.1f} GB/s  {:5.1f} % of a plain read "
      "({:.1f} to {:.1f})\n",
      to_string(packing), int8 ? "int8" : short_name(dtype), threads(), m, median(speeds),
      median(shares) * 100, *std::ranges::min_element(shares) * 100,
      *std::ranges::max_element(shares) * 100);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Packing> packings;
  std::vector<Dtype> dtypes;
  int64_t m = 1, n = 14336, k = 4096, megabytes = 400;
  int rounds = 5;
  bool int8 = false;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    const auto value = [&] { return std::string(i + 1 < argc ? argv[++i] : "0"); };
    if (arg == "--threads")
      set_threads(std::stoi(value()));
    else if (arg == "--rows")
      m = std::stoll(value());
    else if (arg == "--rounds")
      rounds = std::stoi(value());
    else if (arg == "--megabytes")
      megabytes = std::stoll(value());
    else if (arg == "--activations")
      int8 = value() == "int8";
    else if (arg == "--shape")
      std::sscanf(value().c_str(), "%ld,%ld", &n, &k);
    else if (arg == "--dtype") {
      const std::string name = value();
      for (const Dtype d : {float32, bfloat16, float16})
        if (name == short_name(d)) dtypes.push_back(d);
    } else if (const auto p = find_packing(arg))
      packings.push_back(*p);
    else
      return fmt::print(stderr, "bench_packed: unknown option {}\n", arg), 2;
  }
  if (dtypes.empty()) dtypes = {float32, bfloat16};
  if (packings.empty())
    packings = {Packing::q8_0, Packing::q4_0, Packing::q4_k, Packing::q6_k, Packing::affine_4_64};
  // Whatever is read as a scale should be a number of moderate size: denormals take their time.
  std::vector<std::byte> memory(size_t(megabytes) * 1000000);
  std::mt19937 random(1);
  for (size_t i = 0; i < memory.size(); ++i)
    memory[i] = i < 1 << 20 ? std::byte(random() & 0x3b) : memory[i - (1 << 20)];
  for (const Packing p : packings)
    for (const Dtype d : dtypes) run(p, d, m, n, k, rounds, int8, memory);
}
