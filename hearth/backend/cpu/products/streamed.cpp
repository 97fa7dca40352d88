// Products of few rows: the rows of b stream through registers, once, and meet all of x.
#include <algorithm>

#include "hearth/backend/cpu/products/jobs.h"
#include "hearth/backend/cpu/rows.h"
#include "hearth/backend/pool.h"

namespace hearth::cpu {
namespace {

constexpr int64_t kMostRows = 512;            // of b, of a block
constexpr int64_t kUnpackedBytes = 64 << 10;  // of packed rows as floats, before x meets them
constexpr int64_t kCodeBytes = 256 << 10;     // of codes that are read again for more rows of x
constexpr int kMaxRows = std::max(kernels::kMaxRows, kernels::kCodeRows);

/// How the rows of b are read: as they lie, as floats, or as codes that x is laid for, as it is or
/// in eight bits.
enum class Way : uint8_t { dense, floats, codes, int8 };
Way way_of(Dtype dtype, const RawMatrix& b) {
  if (!b.packed()) return Way::dense;
  if (b.int8 && kernels::meets_int8(b.packing)) return Way::int8;
  return kernels::meets_codes(dtype, b.packing) ? Way::codes : Way::floats;
}
/// Do m rows of x meet the weights of b as floats in memory? One reads the codes themselves.
bool unpacks(Dtype dtype, const RawMatrix& b, int64_t m) {
  return way_of(dtype, b) == Way::floats && (m > 1 || !kernels::dots_packed(b.packing));
}

/// Conversions limit what is read from the caches, so x is converted once; a long x would leave
/// the first level no room for the weights on their way (6 % slower at K = 10240 from memory).
bool worth_widening(Dtype dtype, const Left& a) {
  constexpr int64_t kWideBytes = 8 << 10;
  return kernels::widens(dtype) && a.m * a.k * 4 <= kWideBytes;
}

/// Rows of x as a matrix reads them.
struct Input {
  const std::byte* data;
  int64_t row;
  bool wide;  // of the sums' dtype
};

/// The forms of x that products read, each made once.
class Inputs {
 public:
  explicit Inputs(Dtype dtype) : dtype_(dtype) {}

  /// The number of the form in which b reads a.
  int find(const Left& a, const RawMatrix& b) {
    const Way way = way_of(dtype_, b);
    const bool wide =
        way == Way::floats ? dtype_ != float32 : way == Way::dense && worth_widening(dtype_, a);
    const bool laid = way == Way::codes || way == Way::int8;
    const Form form{a, laid ? b.packing : Packing::dense, wide, way == Way::int8, bytes_};
    // Neighbours share one; there may be many groups.
    for (size_t i = forms_.size(); i-- > 0 && i + 4 >= forms_.size();)
      if (forms_[i].same(form)) return int(i);
    bytes_ += round_up(a.m * form.row_bytes(), 64);
    forms_.push_back(form);
    return int(forms_.size()) - 1;
  }

  void make() {
    thread_local Scratch scratch;
    memory_ = scratch.get(size_t(bytes_));
    for (const Form& f : forms_) {
      if (f.row_bytes() == 0) continue;
      const auto row = [&](int64_t i) {
        const std::byte* const from = f.a.data + i * f.a.row;
        std::byte* const to = memory_ + f.at + i * f.row_bytes();
        if (f.wide)
          kernels::widen(dtype_, from, f.a.k, to);
        else if (f.int8)
          kernels::lay_int8(dtype_, f.laid, from, f.a.k, to);
        else
          kernels::lay(f.laid, from, f.a.k, to);
      };
      if (f.a.m * f.a.k > (64 << 10))
        parallel_for(f.a.m, row);
      else
        for (int64_t i = 0; i < f.a.m; ++i) row(i);
    }
  }

  Input operator[](int i) const {
    const Form& f = forms_[size_t(i)];
    if (const int64_t row = f.row_bytes()) return {memory_ + f.at, row, f.wide};
    return {f.a.data, f.a.row, false};
  }

 private:
  struct Form {
    Left a;
    Packing laid;  // dense: not laid
    bool wide, int8;
    int64_t at;  // bytes into the memory

    /// 0: as it is.
    int64_t row_bytes() const {
      if (int8) return kernels::laid_int8_bytes(a.k);
      if (laid != Packing::dense) return kernels::laid_bytes(a.k);
      return wide ? a.k * 4 : 0;
    }
    bool same(const Form& o) const {
      return a.data == o.a.data && a.m == o.a.m && a.row == o.a.row && laid == o.laid &&
             wide == o.wide && int8 == o.int8;
    }
  };
  Dtype dtype_;
  SmallVector<Form, 8> forms_;
  int64_t bytes_ = 0;
  std::byte* memory_ = nullptr;
};

/// A product and what is read and how.
struct Stream {
  const Product& p;
  int64_t m, k;
  int b_input, times_input;
  int64_t row;   // bytes that are read for a column
  int64_t most;  // columns at a time
};

/// Bytes of a row of b.
int64_t bytes_of_row(Dtype dtype, const RawMatrix& b, int64_t k) {
  if (!b.packed()) return k * int64_t(size_of(dtype));
  int64_t bytes = 0;
  for (int i = 0; i < packing_info(b.packing).planes; ++i) {
    const Plane plane = plane_of(b.packing, i, k);
    bytes += plane.row * int64_t(size_of(plane.dtype.value_or(b.scales)));
  }
  return bytes;
}

Stream stream_of(Dtype dtype, const StreamedProduct& s, Inputs& inputs) {
  const Product& p = s.p;
  const int64_t k = s.a.k, m = s.a.m;
  Stream out{p, m, k, inputs.find(s.a, p.b), 0, bytes_of_row(dtype, p.b, k), kMostRows};
  if (p.has_times()) {
    out.times_input = inputs.find(s.a, p.times);
    out.row += bytes_of_row(dtype, p.times, k);
  }
  out.row = std::max<int64_t>(1, out.row);
  const auto at_most = [&](int64_t bytes, int64_t row) {
    out.most = std::min(out.most, std::clamp<int64_t>(bytes / row, 4, kMostRows));
  };
  if (unpacks(dtype, p.b, m) || (p.has_times() && unpacks(dtype, p.times, m)))
    at_most(kUnpackedBytes, std::max<int64_t>(1, k * 4));
  if (m > kernels::kMaxRows) at_most(kCodeBytes, out.row);
  return out;
}

/// Columns [j, j + count) of a product. `next` is read after them.
void stream_rows(Dtype dtype, const Stream& s, const Inputs& inputs, int64_t j, int64_t count,
                 const std::byte* next) {
  const Product& p = s.p;
  const bool more = p.has_times();
  const auto most_of = [&](const RawMatrix& b) {
    return way_of(dtype, b) == Way::codes ? kernels::kCodeRows : kernels::kMaxRows;
  };
  const int64_t most = more ? std::min(most_of(p.b), most_of(p.times)) : most_of(p.b);
  const int64_t each = ceil_div(s.m, ceil_div(s.m, most));
  const int64_t sum_size = int64_t(kernels::sum_size(dtype));
  alignas(64) double sums[kMaxRows * kMostRows], times[kMaxRows * kMostRows];
  const auto at = [&](const RawMatrix& b) { return bytes(b.planes[0]) + j * p.b_n; };
  // Rows of codes that several rows of x meet.
  const auto unpacked = [&](const RawMatrix& b, Scratch& room) -> const std::byte* {
    if (!unpacks(dtype, b, s.m)) return nullptr;
    float* const to = room.get<float>(size_t(count * s.k));
    kernels::unpack({count, s.k, 0, s.k, b.from_row(j, s.k), to, s.k});
    return bytes(to);
  };
  thread_local Scratch b_room, times_room;
  const std::byte *const b_floats = unpacked(p.b, b_room), *const times_floats =
                                                               unpacked(p.times, times_room);
  for (int64_t i = 0, m; i < s.m; i += m) {  // the rows of b stay in the second level
    m = std::min(each, s.m - i);
    const auto dot = [&](const RawMatrix& b, const Input& x, const std::byte* as_floats, double* to,
                         const std::byte* then) {
      auto* const out = reinterpret_cast<float*>(to);
      const std::byte* const rows = x.data + i * x.row;
      switch (way_of(dtype, b)) {
        case Way::codes:
          return kernels::dot_codes(
              {int(m), count, s.k, rows, x.row, b.from_row(j, s.k), out, count});
        case Way::int8:
          return kernels::dot_int8(
              {int(m), count, s.k, rows, x.row, b.from_row(j, s.k), out, count});
        case Way::floats:
          if (unpacks(dtype, b, s.m))  // as_floats is null where there is nothing
            return kernels::dot_floats(
                {int(m), count, s.k, rows, x.row, true, as_floats, s.k * 4, out, count});
          return kernels::dot_packed(
              {count, s.k, reinterpret_cast<const float*>(rows), b.from_row(j, s.k), out});
        case Way::dense:
          return kernels::dot_rows(
              dtype, {int(m), count, s.k, rows, x.row, x.wide, at(b), p.b_n, out, count, then});
      }
    };
    const std::byte* const after = i + m == s.m ? next : nullptr;
    dot(p.b, inputs[s.b_input], b_floats, sums,
        more && !p.times.packed() ? at(p.times)
        : more                    ? nullptr
                                  : after);
    if (more) dot(p.times, inputs[s.times_input], times_floats, times, after);
    for (int64_t r = 0; r < m; ++r)
      p.finish(dtype, i + r, j, count, bytes(sums) + r * count * sum_size,
               bytes(times) + r * count * sum_size);
  }
}

}  // namespace

/// End to end, in blocks of equal bytes of which each thread has as many: so threads end together.
/// A block may begin in one product and end in another.
void streamed(Dtype dtype, std::span<const StreamedProduct> products) {
  Inputs inputs(dtype);
  SmallVector<Stream, 8> streams;
  int64_t all = 0, most = 1;
  for (const StreamedProduct& s : products) {
    streams.push_back(stream_of(dtype, s, inputs));
    all += streams.back().row * s.p.n;
    most = std::max<int64_t>(most, s.p.has_times() ? 2 : 1);
  }
  if (all == 0) return;
  inputs.make();
  // Runs of 128 KB; shorter ones where there are few, but none so small that starting costs more.
  const int64_t block_bytes =
      std::clamp<int64_t>(all / (16 * threads()), 32 << 10, most * 512 << 10);
  int64_t blocks = ceil_div(all, block_bytes);
  if (blocks > threads()) blocks = round_up(blocks, threads());
  constexpr int64_t whole = kernels::kStreamsDivide;
  parallel_for(blocks, [&](int64_t block) {
    const auto border = [&](int64_t i) { return all / blocks * i + all % blocks * i / blocks; };
    int64_t from = border(block), to = border(block + 1);
    for (size_t i = 0; i < streams.size() && to > 0; ++i) {
      const Stream& s = streams[i];
      const int64_t n = s.p.n;
      // Every border lies in one column, that of whichever block.
      const auto column = [&](int64_t at) {
        return at <= 0 ? 0 : at >= s.row * n ? n : at / s.row / whole * whole;
      };
      const int64_t end = column(to);
      for (int64_t j = column(from), count; j < end; j += count) {
        count = std::min(s.most, end - j);
        const bool more = i + 1 < streams.size();
        const RawMatrix* const then = j + count < n ? &s.p.b : more ? &streams[i + 1].p.b : nullptr;
        const std::byte* const next =
            !then || then->packed()
                ? nullptr
                : bytes(then->planes[0]) + (j + count < n ? (j + count) * s.p.b_n : 0);
        stream_rows(dtype, s, inputs, j, count, next);
      }
      from -= s.row * n, to -= s.row * n;
    }
  });
}

}  // namespace hearth::cpu
