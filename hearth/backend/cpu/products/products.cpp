#include "hearth/backend/cpu/products/products.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "hearth/backend/cpu/products/jobs.h"
#include "hearth/backend/cpu/rows.h"
#include "hearth/backend/pool.h"

namespace hearth::cpu {
namespace {

using kernels::BlockedKernels;

/// Calls body(which product, which of its blocks) for all blocks of all products, in parallel.
template <class P, class Count, class Body>
void for_blocks(std::span<P> products, const Count& count, const Body& body) {
  int64_t total = 0;
  for (const auto& p : products) total += count(p);
  parallel_for(total, [&](int64_t i) {
    auto* p = products.data();
    for (int64_t n; i >= (n = count(*p)); ++p) i -= n;
    body(*p, i);
  });
}

int64_t total_n(std::span<const Product> products) {
  int64_t n = 0;
  for (const Product& p : products) n += p.has_times() ? 2 * p.n : p.n;
  return n;
}

/// At most kMaxRows rows, b contiguous along n: its rows stream through sums in the first level.
void summed(Dtype dtype, const Left& a, std::span<const Product> products) {
  constexpr int64_t kMost = 2048, kLeast = 64;  // columns of a block
  const int64_t columns = std::clamp(round_up(total_n(products) / (2 * threads()), kLeast), kLeast,
                                     a.m == 1 ? kMost : kMost / 4);
  for_blocks(
      products, [&](const Product& p) { return ceil_div(p.n, columns); },
      [&](const Product& p, int64_t block) {
        alignas(64) double sums[kernels::kMaxRows * kMost / 4];
        const int64_t j = block * columns, count = std::min(columns, p.n - j);
        kernels::add_rows(dtype, {int(a.m), count, a.k, a.data, a.row,
                                  bytes(p.b.planes[0]) + j * int64_t(size_of(dtype)), p.b_k,
                                  reinterpret_cast<float*>(sums), count});
        for (int64_t i = 0; i < a.m; ++i)
          p.finish(dtype, i, j, count, bytes(sums) + i * count * int64_t(kernels::sum_size(dtype)),
                   nullptr);
      });
}

/// The blocked product: all of a (kChunk rows of it) is packed; then each task packs a block of b
/// that fits in L2 and runs all of a over it, so that b is read from memory once. The order in
/// which a sum is added up depends on kKBytes alone.
constexpr int64_t kChunk = 768;    // at most so many rows of a
constexpr int64_t kKBytes = 1536;  // of a packed row in a block: 384 in f32, 768 in bf16
constexpr int64_t kMostColumns = 256, kLeastPanels = 8;

struct BlockedProduct {
  Dtype dtype;
  const BlockedKernels& parts;
  Left a;
  int64_t m0, m;  // the chunk of a
  const std::byte* packed_a;
  int64_t nc;       // columns of a task
  int64_t m_parts;  // tasks that share a block of b
  int64_t packed = int64_t(parts.packed), mr = parts.mr, nr = parts.nr;
  int64_t kc = kKBytes / packed, k_blocks = ceil_div(a.k, kc);
  int64_t panels = ceil_div(m, mr);

  int64_t k_of(int64_t kb) const { return std::min(kc, a.k - kb * kc); }
  int64_t packed_k(int64_t kb) const { return round_up(k_of(kb), parts.k_step); }
  /// Where panel i of k block kb starts in packed a: the blocks before it are whole.
  int64_t a_at(int64_t kb, int64_t i) const {
    return (kb * kc * panels * mr + i * mr * packed_k(kb)) * packed;
  }
  int64_t a_bytes() const { return panels * mr * round_up(a.k, parts.k_step) * packed; }

  void pack_a(std::byte* to) const {
    parallel_for(k_blocks * panels, [&](int64_t task) {
      const int64_t kb = task / panels, i = task % panels;
      parts.pack_a(a.data + (m0 + i * mr) * a.row + kb * kc * a.col, a.row, a.col,
                   std::min(mr, m - i * mr), k_of(kb), mr, to + a_at(kb, i));
    });
  }

  int64_t tasks(const Product& p) const { return ceil_div(p.n, nc) * m_parts; }

  void run(const Product& p, int64_t task) const {
    const int64_t j0 = task / m_parts * nc, n = std::min(nc, p.n - j0);
    const int64_t first = panels * (task % m_parts) / m_parts;
    const int64_t last = panels * (task % m_parts + 1) / m_parts;
    const int64_t b_panels = ceil_div(n, nr), padded_n = b_panels * nr;
    const int64_t rows = std::min(m, last * mr) - first * mr;
    const int64_t sum_size = int64_t(kernels::sum_size(dtype));
    thread_local Scratch b_scratch, sum_scratch, times_scratch;
    std::byte* const packed_b = b_scratch.get(size_t(padded_n * kc * packed));
    const size_t sum_bytes = size_t(rows * padded_n * sum_size);
    std::byte* const sums = sum_scratch.get(sum_bytes);
    const auto multiply = [&](const RawMatrix& b, std::byte* to) {
      if (k_blocks == 0) std::memset(to, 0, sum_bytes);
      for (int64_t kb = 0; kb < k_blocks; ++kb)
        add_block(p, b, kb, j0, n, first, last, packed_b, to);
    };
    multiply(p.b, sums);
    std::byte* const times = p.has_times() ? times_scratch.get(sum_bytes) : nullptr;
    if (times) multiply(p.times, times);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t at = i * padded_n * sum_size;
      p.finish(dtype, m0 + first * mr + i, j0, n, sums + at, times ? times + at : nullptr);
    }
  }

  // The panel of packed rows: their floats are packed as those of f32, or, rounded, of bf16.
  void pack_packed(const RawMatrix& b, int64_t first, int64_t rows, int64_t kb,
                   std::byte* panel) const {
    const int64_t whole = packing_info(b.packing).weights, begin = kb * kc / whole * whole;
    const int64_t width = round_up(kb * kc + k_of(kb), whole) - begin, before = kb * kc - begin;
    thread_local Scratch scratch;
    float* const floats = scratch.get<float>(size_t(rows * width));
    kernels::unpack({rows, a.k, begin, width, b.from_row(first, a.k), floats, width});
    if (packed == 4)
      return kernels::blocked_kernels(float32).pack_b(bytes(floats + before), width * 4, 4, rows,
                                                      k_of(kb), nr, panel);
    kernels::narrow(bfloat16, floats, rows * width, bytes(floats));
    parts.pack_b(bytes(floats) + before * 2, width * 2, 2, rows, k_of(kb), nr, panel);
  }

  // sums = or += the panels of a from `first` to `last` x columns [j0, j0 + n) of b, block kb of k.
  void add_block(const Product& p, const RawMatrix& b, int64_t kb, int64_t j0, int64_t n,
                 int64_t first, int64_t last, std::byte* packed_b, std::byte* sums) const {
    const int64_t k = packed_k(kb), b_panels = ceil_div(n, nr), padded_n = b_panels * nr;
    const int64_t sum_size = int64_t(kernels::sum_size(dtype));
    for (int64_t j = 0; j < b_panels; ++j) {
      std::byte* const panel = packed_b + j * nr * k * packed;
      const int64_t first = j0 + j * nr, rows = std::min(nr, n - j * nr);
      if (b.packed())
        pack_packed(b, first, rows, kb, panel);
      else
        parts.pack_b(bytes(b.planes[0]) + first * p.b_n + kb * kc * p.b_k, p.b_n, p.b_k, rows,
                     k_of(kb), nr, panel);
    }
    for (int64_t i = first; i < last; ++i)
      parts.tiles({std::min(mr, m - i * mr), k / parts.k_step, b_panels, packed_a + a_at(kb, i),
                   packed_b, sums + (i - first) * mr * padded_n * sum_size, padded_n, kb > 0});
  }
};

void blocked(Dtype dtype, const Left& a, std::span<const Product> products) {
  const BlockedKernels& parts = kernels::blocked_kernels(dtype);
  const int64_t all_n = total_n(products);
  // Enough tasks that threads end together: narrower blocks first, then a divided too.
  const int64_t wanted = 8 * threads();
  const int64_t nc = std::clamp(round_up(ceil_div(all_n, wanted), parts.nr), round_up(64, parts.nr),
                                round_up(kMostColumns, parts.nr));
  const int64_t chunk = round_up(ceil_div(a.m, ceil_div(a.m, kChunk)), parts.mr);
  for (int64_t m0 = 0; m0 < a.m; m0 += chunk) {
    const int64_t m = std::min(chunk, a.m - m0);
    const int64_t m_parts =
        std::clamp<int64_t>(wanted / 2 / std::max<int64_t>(1, ceil_div(all_n, nc)), 1,
                            std::max<int64_t>(1, ceil_div(m, parts.mr) / kLeastPanels));
    BlockedProduct job{dtype, parts, a, m0, m, nullptr, nc, m_parts};
    thread_local Scratch a_scratch;
    std::byte* const packed_a = a_scratch.get(size_t(job.a_bytes()));
    job.pack_a(packed_a);
    job.packed_a = packed_a;
    for_blocks(
        products, [&](const Product& p) { return job.tasks(p); },
        [&](const Product& p, int64_t task) { job.run(p, task); });
  }
}

void multiply(Dtype dtype, Left a, std::span<const Product> products) {
  if (a.m <= 0) return;
  const int64_t size = int64_t(size_of(dtype));
  const auto all = [&](auto contiguous) { return std::ranges::all_of(products, contiguous); };
  const bool dots =
      all([&](const Product& p) { return p.b.packed() || p.b_k == size || a.k <= 1; });
  if (a.m > (dots ? kStreamed : kernels::kMaxRows)) return blocked(dtype, a, products);
  if (!dots && !all([&](const Product& p) { return p.b_n == size || p.n <= 1; }))
    return blocked(dtype, a, products);
  if (a.col != size && a.k > 1) {
    thread_local Scratch scratch;
    std::byte* const to = scratch.get(size_t(a.m * a.k * size));
    for (int64_t i = 0; i < a.m * a.k; ++i)
      std::memcpy(to + i * size, a.data + i / a.k * a.row + i % a.k * a.col, size_t(size));
    a.data = to, a.row = a.k * size;
  }
  if (!dots) return summed(dtype, a, products);
  SmallVector<StreamedProduct, 8> few;
  for (const Product& p : products) few.push_back({a, p});
  streamed(dtype, {few.data(), few.size()});
}

}  // namespace

namespace {

Product product_of(const LinearJob& l, int64_t k, int64_t size) {
  return {l.weight,
          k * size,
          size,
          l.n,
          bytes(l.y),
          l.y_stride * size,
          bytes(l.bias),
          l.activation,
          bytes(l.residual),
          l.residual_stride * size,
          nullptr,
          l.times,
          bytes(l.times_bias)};
}

}  // namespace

void linear(Dtype dtype, int64_t m, int64_t k, const void* x, int64_t x_stride,
            std::span<const LinearJob> layers) {
  const int64_t size = int64_t(size_of(dtype));
  constexpr size_t kFew = 8;
  Product few[kFew];
  for (size_t done = 0; done < layers.size();) {
    const size_t count = std::min(kFew, layers.size() - done);
    for (size_t i = 0; i < count; ++i) few[i] = product_of(layers[done + i], k, size);
    multiply(dtype, {bytes(x), m, k, x_stride * size, size}, std::span(few, count));
    done += count;
  }
}

void linear_groups(Dtype dtype, int64_t k, std::span<const LinearGroup> groups) {
  const int64_t size = int64_t(size_of(dtype));
  const auto left_of = [&](const LinearGroup& g) {
    return Left{bytes(g.x), g.m, k, g.x_stride * size, size};
  };
  std::vector<StreamedProduct> few;
  for (const LinearGroup& g : groups) {
    Product p = product_of(g.layer, k, size);
    p.c_rows = g.y_rows;
    if (g.m > kStreamed)
      multiply(dtype, left_of(g), {&p, 1});
    else if (g.m > 0)
      few.push_back({left_of(g), p});
  }
  streamed(dtype, few);
}

void matmul(const MatmulJob& job) {
  const int64_t size = int64_t(size_of(job.dtype));
  // A column without gaps is the row of the transposed product.
  const bool column = job.n == 1 && job.m > 1 && job.c_row == 1 && !job.bias &&
                      (!job.residual || job.residual_row == 1);
  const auto one = [&](int64_t i) {
    const auto at = [&](const int64_t* offsets) { return offsets ? offsets[i] * size : 0; };
    Left left{bytes(job.a) + at(job.a_offsets), job.m, job.k, job.a_row * size, job.a_col * size};
    Product product{bytes(job.b) + at(job.b_offsets),
                    job.b_col * size,
                    job.b_row * size,
                    job.n,
                    bytes(job.c) + at(job.c_offsets),
                    job.c_row * size,
                    bytes(job.bias),
                    job.activation,
                    job.residual ? bytes(job.residual) + at(job.residual_offsets) : nullptr,
                    job.residual_row * size};
    if (column) {
      left.data = bytes(std::exchange(product.b, RawMatrix(left.data)).planes[0]);
      std::swap(left.col, product.b_k);
      product.b_n = std::exchange(left.row, 0);
      product.n = std::exchange(left.m, 1);
    }
    multiply(job.dtype, left, {&product, 1});
  };
  if (job.batch >= threads())
    parallel_for(job.batch, one);
  else
    for (int64_t i = 0; i < job.batch; ++i) one(i);
}

}  // namespace hearth::cpu
