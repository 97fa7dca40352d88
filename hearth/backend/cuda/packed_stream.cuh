// How a block streams packed weights: tiles of 16 rows, whose codes meet columns of x on the tensor
// cores. Sums of codes are whole numbers times x; scales meet them where their group ends.
#pragma once
#include "hearth/backend/cuda/linear_task.cuh"
#include "hearth/backend/cuda/packed_formats.cuh"
#include "hearth/backend/cuda/packed_layout.cuh"

namespace hearth::cuda {

__constant__ const BlockShape kBlockShapes[kPackings] = {
#define PACKING(name, ...) block_shape(kPackingInfo[int(Packing::name)]),
#include "hearth/ops/packings.inc"
};

/// What a chunk is of a task: first come all tiles of the first term, then all of the second.
struct TileChunks {
  int tiles, per_row, first_chunks, first;  // first: of all tiles, of the first term
  unsigned per[2];                          // 2^32 over the chunks of a row of each term, rounded up

  __device__ static TileChunks of(const LinearTask& l, const BlockRows<kTile>& rows) {
    const int shift = l.spans == 2 ? 9 : 8, chunks = (l.k[0] + (1 << shift) - 1) >> shift;
    static_assert(kSpan == 1 << 8);
    const int tiles = rows.count / kTile, more = l.per_row - chunks;
    const auto over = [](int n) { return n > 1 ? ~0u / unsigned(n) + 1 : 0; };
    return {tiles, l.per_row, chunks, tiles * chunks, {over(chunks), over(more)}};
  }
  struct Place {
    int term, tile, chunk;
    int sum;  // which of a row's sums
  };
  __device__ Place place(int unit) const {
    const int term = unit >= first, at = term ? unit - first : unit;
    const int chunks = term ? per_row - first_chunks : first_chunks;
    // Exact where units are few, as a block's are.
    const int tile = chunks > 1 ? int(__umulhi(unsigned(at), term ? per[1] : per[0])) : at;
    const int chunk = at - tile * chunks;
    return {term, tile, chunk, (term ? first_chunks : 0) + chunk};
  }
};

/// Bytes of a row in a plane of the matrix, of a chunk's part of it, and in shared memory.
struct PlaneRows {
  int row, bytes, pitch;
  __device__ static PlaneRows of(const PlaneShape& plane, int k, int spans) {
    const int bytes = plane.of(spans * kSpan);
    return {plane.of(k), bytes, pitch_of(bytes, plane.bytes)};
  }
};

/// The order of prefetch, as Ahead has it for dense weights. It lies in shared memory, one for a
/// warp, whose lanes all write the same: registers are the product's, and what is spilled goes to
/// the second level, since shared memory leaves the first no room.
class TilesAhead {
 public:
  static constexpr unsigned kNone = ~0u;
  __device__ void begin() { *this = {}; }

  /// Takes the next chunk and prefetches it to `slot`; its number, kNone when all are taken.
  __device__ unsigned take(const TaskList& list, unsigned* taken, std::byte* slot) {
    const int lane = int(threadIdx.x) % 32;
    unsigned n = 0;
    if (lane == 0) n = atomicAdd(taken, 1u);
    n = __shfl_sync(~0u, n, 0);
    bool there = true;
    replace(n >= end_, [&](TilesAhead& next) { there = next.find(list, n); });
    if (!there) {
      asm volatile("cp.async.commit_group;");
      return kNone;
    }
    const LinearTask& l = list.task[task_].linear;
    const auto place = chunks_.place(int(n - begin_));
    int row = mine_[place.tile * kTile];
    replace(row >= part_end_ || weight_ != part_ + place.term, [&](TilesAhead& next) {
      while (row >= next.part_end_)
        next.part_begin_ = next.part_end_, next.part_end_ += l.part[++next.part_].rows;
      next.enter_weight(l, place.term);
    });
    // Rows after the last are its copies.
    int64_t at[2], last = rows_ - 1;
    row -= part_begin_;
    if (experts_) {
      at[0] = l.row_of_weight(row) + lane / 4;
      last = int64_t(l.experts) * l.each - 1;
    } else {
      at[0] = row + lane / 4;
    }
    at[1] = min(at[0] + 8, last), at[0] = min(at[0], last);
    unsigned to = unsigned(__cvta_generic_to_shared(slot));
    const auto start_plane = [&](const std::byte* base, const PlaneRows& plane) {
#pragma unroll
      for (int half = 0; half < 2; ++half)
        start(base + at[half] * plane.row, place.chunk * plane.bytes, plane,
              to + unsigned(lane / 4 + 8 * half) * unsigned(plane.pitch));
      to += unsigned(kTile * plane.pitch);
    };
    start_plane(planes_[0], codes_);
    if (planes_[1]) start_plane(planes_[1], scales_);
    if (planes_[2]) start_plane(planes_[2], scales_);
    asm volatile("cp.async.commit_group;");
    return n;
  }

 private:
  // Changes it, by f of a copy, for all lanes at once.
  template <class F>
  __device__ void replace(bool changes, const F& f) {
    __syncwarp();  // all lanes have read what says so
    if (!changes) return;
    TilesAhead next = *this;
    f(next);
    __syncwarp();
    *this = next;
    __syncwarp();
  }
  // Prefetches a quarter of the chunk's part of a row: whole vectors, 0 after the row's end.
  __device__ void start(const std::byte* row, int begin, const PlaneRows& plane,
                        unsigned to) const {
    const std::byte* from = row + begin;
    const int before = int(reinterpret_cast<uintptr_t>(from) % 16);
    from -= before;
    const int left = plane.row - begin + before, end = plane.bytes + before;
    uint64_t read_once;  // leaves the second-level cache to what is read again
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(read_once));
    for (int i = int(threadIdx.x) % 4 * 16; i < end; i += 64) {
      const int bytes = max(0, min(16, left - i));
      asm volatile(
          "cp.async.cg.shared.global.L2::cache_hint.L2::256B [%0], [%1], 16, %2, %3;" ::"r"(
              to + unsigned(i)),
          "l"(bytes > 0 ? from + i : from), "r"(bytes), "l"(read_once)
          : "memory");
    }
  }
  // Goes to the task that chunk n belongs to.
  __device__ bool find(const TaskList& list, unsigned n) {
    while (n >= end_) {
      do
        if (++task_ >= list.count) return false;
      while (list.task[task_].kind != Task::linear_task);
      const LinearTask& l = list.task[task_].linear;
      mine_ = rows_of_block<kTile>(l, task_), chunks_ = TileChunks::of(l, mine_);
      begin_ = end_, end_ += unsigned(chunks_.tiles * l.per_row);
      experts_ = l.ids;
      part_ = -1, part_begin_ = 0, part_end_ = 0, weight_ = -1;
    }
    return true;
  }
  // Goes to the weight of the part and a term.
  __device__ void enter_weight(const LinearTask& l, int term) {
    weight_ = part_ + term, rows_ = l.part[part_].rows;
    const Dtype scales = l.part[weight_].scales;
    const BlockShape shape = kBlockShapes[int(l.part[weight_].packing)];
    const int k = l.k[l.gated ? 0 : term];
    codes_ = PlaneRows::of(shape.plane(0, scales), k, l.spans);
    scales_ = PlaneRows::of(shape.plane(1, scales), k, l.spans);
    for (int p = 0; p < kMostPlanes; ++p)
      planes_[p] = static_cast<const std::byte*>(l.weights[weight_].planes[p]);
  }

  BlockRows<kTile> mine_ = {};
  TileChunks chunks_ = {};
  const std::byte* planes_[kMostPlanes] = {};
  PlaneRows codes_ = {}, scales_ = {};
  bool experts_ = false;
  int weight_ = -1, rows_ = 0;
  int task_ = -1, part_ = -1, part_begin_ = 0, part_end_ = 0;
  unsigned begin_ = 0, end_ = 0;
};

/// c += a b: a (16 rows, 16), b (16, 8 columns).
__device__ inline void multiply_add(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                    uint32_t a3, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/// Where a chunk and what it meets begin in shared memory.
struct ChunkAt {
  int slot, pitch, scale_pitch;
  // The last four bits of where a row begins in the codes and in the planes of scales, and of what
  // lies from row to row.
  int begin, step, scale_begin, scale_step;
  int column, zeros;  // of x: the lane's, and 16 bytes of 0
  int sums[2];        // of its two columns of the sums
  int spans;
  packed::Scales scales;
};

/// Rows g and g + 8 of a tile times the columns of x, of which a group's codes meet one after the
/// other: of the eight columns that the tensor cores multiply, each kColumns belong to one of
/// 8 / kColumns groups, and are 0 for the codes of the others. So a lane's four sums are of those
/// scales that it alone computes. It has the sums of columns (2 t) % kColumns and the next of these
/// rows, of its groups.
template <class F, int kColumns>
__device__ __forceinline__ float4 multiply_chunk(const ChunkAt& at) {
  using namespace packed;
  extern __shared__ __align__(128) std::byte shared[];
  const int lane = int(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  constexpr int kSlots = 8 / kColumns, kGroups = kSpan / F::kGroup, kEach = F::kGroup / 16;
  const auto* const bytes = reinterpret_cast<const uint8_t*>(shared);
  Pieces rows[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int row = g + 8 * r;
    const auto shift = [&](int begin, int step) { return begin + row * step & 15; };
    const uint8_t* const codes = bytes + at.slot + row * at.pitch;
    rows[r].codes = codes + (F::kAlign == 16 ? 0 : shift(at.begin, at.step));
    if constexpr (F::kPlanes > 1) {
      const uint8_t* const scales = bytes + at.slot + kTile * at.pitch + row * at.scale_pitch +
                                    shift(at.scale_begin, at.scale_step);
      rows[r].scales = scales, rows[r].biases = scales + kTile * at.scale_pitch;
    }
  }
  const int my_slot = at.column < 0 ? -1 : g / kColumns;
  float sum[2][2] = {};
#pragma unroll 1
  for (int span = 0; span < at.spans; ++span) {
    const auto set_of_groups = [&]<int kSet>() {
      float chains[2][4] = {};  // of additions
      const auto group = [&]<int kSlot>() {
        constexpr int kFirst = (kSet * kSlots + kSlot) * kEach;  // of 16 weights
        // Eight halves of 32 weights lie side by side, four of 16.
        const int x_at = my_slot == kSlot
                          ? at.column + span * kSpan * 2 + kFirst / 2 * 64 + t * 16
                          : at.zeros;
        uint32_t b[2 * kEach];
        if constexpr (kEach == 2) {
          const uint4 v = *reinterpret_cast<const uint4*>(shared + x_at);
          b[0] = v.x, b[1] = v.y, b[2] = v.z, b[3] = v.w;
        } else {
          const uint2 v = *reinterpret_cast<const uint2*>(
              shared + x_at + (my_slot == kSlot ? kFirst % 2 * 8 : 0));
          b[0] = v.x, b[1] = v.y;
        }
        const auto sixteen = [&]<int kAt>() {
          constexpr int kWeight = (kFirst + kAt) * 16, kBlock = kWeight / F::kWeights;
          const int block = span * (kSpan / F::kWeights) + kBlock;
          const auto codes = [&](int r) {
            return F::template codes<kWeight % F::kWeights / 16>(rows[r].codes + block * F::kBytes,
                                                                 t);
          };
          const Codes first = codes(0), second = codes(1);
          multiply_add(chains[kSlot % 2], first.even, second.even, first.odd, second.odd, b[2 * kAt],
                       b[2 * kAt + 1]);
        };
        sixteen.template operator()<0>();
        if constexpr (kEach == 2) sixteen.template operator()<1>();
      };
      [&]<int... slot>(std::integer_sequence<int, slot...>) {
        (group.template operator()<slot>(), ...);
      }
      (std::make_integer_sequence<int, kSlots>());
      float c[4];
      for (int i = 0; i < 4; ++i) c[i] = kSlots > 1 ? chains[0][i] + chains[1][i] : chains[0][i];
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int of_span = kSet * kSlots + (2 * t + h) / kColumns;
        const int weight = span * kSpan + of_span * F::kGroup;
        [[maybe_unused]] float x = 0;
        if constexpr (F::kOffset) {
          const auto* const sums = reinterpret_cast<const float*>(shared + at.sums[h]) + weight / 16;
          x = kEach == 2 ? sums[0] + sums[1] : sums[0];
        }
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const Scale s = F::scale(rows[r], at.scales, weight / F::kWeights,
                                   weight % F::kWeights / F::kGroup);
          float& to = sum[r][kColumns == 1 ? 0 : h];
          to = fmaf(s.scale, c[2 * r + h], to);
          if constexpr (F::kOffset) to = fmaf(s.offset, x, to);
        }
      }
    };
    [&]<int... set>(std::integer_sequence<int, set...>) {
      (set_of_groups.template operator()<set>(), ...);
    }
    (std::make_integer_sequence<int, kGroups / kSlots>());
  }
  return {sum[0][0], sum[0][1], sum[1][0], sum[1][1]};
}

/// The same, not inline: each format in each kernel would be compiled for minutes. All arguments are
/// in registers, since a struct's would lie in memory.
template <class F, int kColumns>
__device__ __noinline__ float4 call_multiply(int slot, int pitches, int begins, int steps,
                                             int column, int zeros, int sums, int more_sums,
                                             int spans, int shift, int dtype) {
  ChunkAt at;
  at.slot = slot, at.pitch = pitches & 0xffff, at.scale_pitch = pitches >> 16;
  at.begin = begins & 15, at.scale_begin = begins >> 4;
  at.step = steps & 15, at.scale_step = steps >> 4;
  at.column = column, at.zeros = zeros, at.sums[0] = sums, at.sums[1] = more_sums;
  at.spans = spans, at.scales = {shift, Dtype(dtype)};
  return multiply_chunk<F, kColumns>(at);
}

template <int kColumns>
__device__ __forceinline__ float4 multiply_chunk(Packing packing, const ChunkAt& at) {
  const int pitches = at.pitch | at.scale_pitch << 16,
            begins = (at.begin & 15) | (at.scale_begin & 15) << 4,
            steps = (at.step & 15) | (at.scale_step & 15) << 4;
  switch (packing) {
#define PACKING(name, ...) \
  case Packing::name:      \
    return call_multiply<typename packed::FormatOf<Packing::name>::type, kColumns>(          \
        at.slot, pitches, begins, steps, at.column, at.zeros, at.sums[0], at.sums[1], at.spans, \
        at.scales.shift, int(at.scales.dtype));
#define DENSE(...)
#include "hearth/ops/packings.inc"
    default: return {};
  }
}

/// Multiplies the chunks of a task. It lies in shared memory, as TilesAhead does.
template <class T, int M>
class Tiles {
  using Layout = ColumnsLayout<T>;
  static constexpr int kUsed = M * Layout::kEach, kColumns = kUsed > 2 ? 4 : kUsed;
  static_assert(kUsed <= 4);

 public:
  __device__ void begin(const LinearTask& l, int of_task) {
    zeros_ = of_task + Layout(l).zeros(), spans_ = l.spans, per_row_ = l.per_row;
    weight_ = -1;
  }
  /// A chunk at `slot`; its sums to `partial`, (rows of the tile, sums of a row, M).
  __device__ void multiply(const LinearTask& l, int of_task, const TileChunks::Place& place,
                           int part, int x_row, int slot, float* partial);

 private:
  // Sets what is the same for all chunks of a weight and a row of x.
  __device__ void enter(const LinearTask& l, int of_task, int part, int term, int x_row) {
    const Layout layout(l);
    weight_ = part + term, x_row_ = x_row;
    const int input = l.gated ? 0 : term;
    const BlockShape shape = kBlockShapes[int(l.part[weight_].packing)];
    const Dtype scales = l.part[weight_].scales;
    packing_ = l.part[weight_].packing;
    codes_ = PlaneRows::of(shape.plane(0, scales), l.k[input], l.spans);
    scales_ = PlaneRows::of(shape.plane(1, scales), l.k[input], l.spans);
    shift_ = shape.planes > 1 ? shape.shift : 0, scales_dtype_ = scales;
    const int first = M == 1 ? x_row * Layout::kEach : 0;
    column_ = of_task + layout.column(input, first), sums_ = of_task + layout.sums(input, first);
    column_bytes_ = 2 * layout.padded[input];
    factor_ = of_task + layout.factor(input, M == 1 ? x_row : 0);
  }

  PlaneRows codes_, scales_;
  int weight_, x_row_, column_, column_bytes_, sums_, factor_, zeros_, spans_, per_row_, shift_;
  Packing packing_;
  Dtype scales_dtype_;
};

template <class T, int M>
__device__ __forceinline__ void Tiles<T, M>::multiply(const LinearTask& l, int of_task,
                                                      const TileChunks::Place& place, int part,
                                                      int x_row, int slot, float* partial) {
  const int lane = int(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const bool enters = weight_ != part + place.term || x_row_ != x_row;
  __syncwarp();
  if (enters) enter(l, of_task, part, place.term, x_row);
  __syncwarp();
  const int first = place.chunk * spans_ * kSpan, c = g % kColumns;
  ChunkAt at;
  at.slot = slot, at.pitch = codes_.pitch, at.scale_pitch = scales_.pitch;
  at.begin = place.chunk * codes_.bytes, at.step = codes_.row;
  at.scale_begin = place.chunk * scales_.bytes, at.scale_step = scales_.row;
  at.column = c < kUsed ? column_ + c * column_bytes_ + first * 2 : -1;
  for (int h = 0; h < 2; ++h)
    at.sums[h] = sums_ + min((2 * t + h) % kColumns, kUsed - 1) * column_bytes_ / 8 + first / 4;
  at.zeros = zeros_, at.spans = spans_, at.scales = {shift_, scales_dtype_};
  float4 sum = multiply_chunk<kColumns>(packing_, at);
  extern __shared__ __align__(128) std::byte shared[];
  const auto factor = [&](int row) {
    return *reinterpret_cast<const float*>(shared + factor_ + 4 * row);
  };
  const auto join = [&](int mask) {
    sum.x += __shfl_xor_sync(~0u, sum.x, mask), sum.z += __shfl_xor_sync(~0u, sum.z, mask);
    if (kColumns > 1 && Layout::kEach == 1) {
      sum.y += __shfl_xor_sync(~0u, sum.y, mask), sum.w += __shfl_xor_sync(~0u, sum.w, mask);
    }
  };
  if constexpr (Layout::kEach == 3) {  // the fourth column is none
    if (t % 2 == 0) sum.x += sum.y, sum.z += sum.w;
  }
  join(2);
  if constexpr (kColumns <= 2 || Layout::kEach == 3) join(1);
  const int m = kColumns == 4 && Layout::kEach == 1 ? 2 * t : 0;
  if (kColumns == 4 && Layout::kEach == 1 ? t > 1 : t > 0) return;
  const auto write = [&](int h, float first_row, float second_row) {
    if (m + h >= M) return;
    const float f = factor(m + h);
    partial[(g * per_row_ + place.sum) * M + m + h] = first_row * f;
    partial[((g + 8) * per_row_ + place.sum) * M + m + h] = second_row * f;
  };
  write(0, sum.x, sum.z);
  if (M > 1) write(1, sum.y, sum.w);
}

/// Makes columns of x, which was staged as it is. Not inline: its registers are not the stream's.
template <class T>
__device__ __noinline__ void make_columns(const LinearTask& l, std::byte* task,
                                          float (&sums)[2][kWarps]) {
  using Layout = ColumnsLayout<T>;
  constexpr int kEach = Layout::kEach;
  const Layout layout(l);
  const int thread = int(threadIdx.x);
  if (thread < 4) reinterpret_cast<uint32_t*>(task + layout.zeros())[thread] = 0;
  for (int input = 0; input < l.inputs(); ++input)
    for (int row = 0; row < layout.rows; ++row) {
      const int k = l.k[input], groups = layout.padded[input] / 32;
      const T* const plain = reinterpret_cast<const T*>(task + layout.plain(input, row));
      float up = 1;
      if constexpr (!std::is_same_v<T, __half>) {  // the largest becomes 2^14 or more
        float most = 0;
        for (int i = thread; i < k / 8; i += kThreads)
          Eight<T>::load_shared(plain + 8 * i).each([&](int, float v) {
            most = fmaxf(most, fabsf(v));
            if (v != v) most = __int_as_float(0x7f800000);
          });
        for (int o = 16; o > 0; o >>= 1) most = fmaxf(most, __shfl_xor_sync(~0u, most, o));
        float(&to)[kWarps] = sums[(input * layout.rows + row) % 2];
        if (thread % 32 == 0) to[thread / 32] = most;
        sync_block<workers>();
        for (int w = 0; w < kWarps; ++w) most = fmaxf(most, to[w]);
        const int exponent = max(16, __float_as_int(most) >> 23);
        up = __int_as_float((268 - exponent) << 23);
        if (thread == 0)
          *reinterpret_cast<float*>(task + layout.factor(input, row)) =
              __int_as_float((exponent - 14) << 23);
      } else if (thread == 0) {
        *reinterpret_cast<float*>(task + layout.factor(input, row)) = 1;
      }
      for (int i = thread; i < groups; i += kThreads) {
        float x[32];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const bool there = 32 * i + 16 * (j / 2) < k;
          const auto eight = Eight<T>::load_shared(there ? plain + 32 * i + 8 * j : plain);
          eight.each([&](int e, float v) { x[8 * j + e] = there ? v * up : 0.0f; });
        }
#pragma unroll
        for (int split = 0; split < kEach; ++split) {
          const int column = row * kEach + split;
          float both[2] = {};
          uint32_t pairs[16];
#pragma unroll
          for (int j = 0; j < 16; ++j) {  // thread t, its weights of 16, even or odd
            const int at = j / 2 % 2 * 16 + j / 4 * 4 + j % 2;
            const __half2 pair = __floats2half2_rn(x[at], x[at + 2]);
            const float2 back = __half22float2(pair);
            pairs[j] = packed::bits_of(pair);
            both[at / 16] += back.x + back.y;
            x[at] -= back.x, x[at + 2] -= back.y;
          }
          auto* const to = reinterpret_cast<uint4*>(task + layout.column(input, column)) + 4 * i;
#pragma unroll
          for (int t = 0; t < 4; ++t)
            to[t] = {pairs[4 * t], pairs[4 * t + 1], pairs[4 * t + 2], pairs[4 * t + 3]};
          *(reinterpret_cast<float2*>(task + layout.sums(input, column)) + i) = {both[0], both[1]};
        }
      }
    }
}

}  // namespace hearth::cuda
