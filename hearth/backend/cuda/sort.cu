// Sorting by keys: each element becomes an unsigned integer of the same order, NaN the greatest,
// with its place below it: no two are equal, so every way of sorting is stable. Chunks are sorted
// in shared memory; longer rows are merged from them, pass by pass, all rows at once.
#include "hearth/backend/cuda/elements.cuh"
#include "hearth/backend/cuda/keys.cuh"

namespace hearth::cuda {
namespace {

/// Key and place of an element of up to 4 bytes.
using Narrow = uint64_t;
/// And of one of 8.
struct alignas(16) Broad {
  uint64_t key, place;
};
__device__ inline bool before(Narrow a, Narrow b) { return a < b; }
__device__ inline bool before(Broad a, Broad b) {
  return a.key < b.key || (a.key == b.key && a.place < b.place);
}
__device__ inline int64_t place_of(Narrow i) { return int64_t(i & 0xffffffffu); }
__device__ inline int64_t place_of(Broad i) { return int64_t(i.place); }

/// Elements and items fit each other; where they do not, nobody asks.
template <class Item>
__device__ inline Item item_of(uint64_t key, uint64_t place) {
  if constexpr (std::is_same_v<Item, Broad>)
    return {key, place};
  else
    return key << 32 | place;
}

struct SortJob {
  const void* in;
  void* out;
  Dtype dtype;
  size_t item;
  Axes<2> lines;
  int64_t rows, n, in_step, out_step;
  bool places, zeros_equal;

  template <class Item>
  __device__ Item load(int64_t from, int64_t place) const {
    const int64_t i = from + place * in_step;
    const auto of = [&]<class T>(const T* data) {
      return item_of<Item>(order_key(data[i], zeros_equal), uint64_t(place));
    };
    switch (dtype) {
      case bool_:
      case uint8: return of(static_cast<const uint8_t*>(in));
      case uint16: return of(static_cast<const uint16_t*>(in));
      case uint32: return of(static_cast<const uint32_t*>(in));
      case uint64: return of(static_cast<const uint64_t*>(in));
      case int8: return of(static_cast<const int8_t*>(in));
      case int16: return of(static_cast<const int16_t*>(in));
      case int32: return of(static_cast<const int32_t*>(in));
      case int64: return of(static_cast<const int64_t*>(in));
      case float16: return of(static_cast<const __half*>(in));
      case bfloat16: return of(static_cast<const __nv_bfloat16*>(in));
      case float32: return of(static_cast<const float*>(in));
      case float64: return of(static_cast<const double*>(in));
      default: return of(static_cast<const Complex*>(in));
    }
  }
  /// The element of the row at `at` that stands at `rank`.
  __device__ void give(const int64_t (&at)[2], int64_t rank, int64_t place) const {
    const int64_t from = at[0] + place * in_step, to = at[1] + rank * out_step;
    if (places) {
      static_cast<uint32_t*>(out)[to] = uint32_t(place);
      return;
    }
    switch (item) {
      case 1: static_cast<uint8_t*>(out)[to] = static_cast<const uint8_t*>(in)[from]; break;
      case 2: static_cast<uint16_t*>(out)[to] = static_cast<const uint16_t*>(in)[from]; break;
      case 4: static_cast<uint32_t*>(out)[to] = static_cast<const uint32_t*>(in)[from]; break;
      default: static_cast<uint64_t*>(out)[to] = static_cast<const uint64_t*>(in)[from];
    }
  }
};

constexpr int kShared = 32 << 10;  // bytes of items in shared memory
template <class Item>
constexpr int kChunk = kShared / int(sizeof(Item));
constexpr int kSortThreads = 512;

/// Sorts chunks of `span` elements, a power of 2, as many as the block holds at once: whole rows
/// into the output, or chunks of long rows into `items`, (rows, n).
template <class Item>
__global__ void __launch_bounds__(kSortThreads)
    sort_chunks(SortJob j, int span, int64_t chunks, Item* items) {
  __shared__ Item shared[kChunk<Item>];
  const int t = int(threadIdx.x), here = kChunk<Item> / span;
  const int64_t units = j.rows * chunks;
  for (int64_t base = int64_t(blockIdx.x) * here; base < units; base += int64_t(gridDim.x) * here) {
    const int held = int(min(int64_t(here), units - base)), size = held * span;
    for (int i = t; i < size; i += kSortThreads) {
      const int64_t unit = base + i / span, row = quotient(unit, chunks);
      const int64_t place = (unit - row * chunks) * span + i % span;
      int64_t at[2];
      j.lines.offsets(row, at);
      if (place < j.n) {
        shared[i] = j.load<Item>(at[0], place);
      } else {  // after all that are there
        memset(&shared[i], 0xff, sizeof(Item));
      }
    }
    __syncthreads();
    for (int width = 2; width <= span; width *= 2)
      for (int step = width / 2; step > 0; step /= 2) {
        for (int p = t; p < size / 2; p += kSortThreads) {
          const int a = 2 * p - (p & (step - 1)), b = a + step;
          const bool up = (a & (span - 1) & width) == 0;
          const Item x = shared[a], y = shared[b];
          if (before(y, x) == up) shared[a] = y, shared[b] = x;
        }
        __syncthreads();
      }
    for (int i = t; i < size; i += kSortThreads) {
      const int64_t unit = base + i / span, row = quotient(unit, chunks);
      const int64_t rank = (unit - row * chunks) * span + i % span;
      if (rank >= j.n) continue;
      if (items) {
        items[row * j.n + rank] = shared[i];
      } else {
        int64_t at[2];
        j.lines.offsets(row, at);
        j.give(at, rank, place_of(shared[i]));
      }
    }
    __syncthreads();
  }
}

/// How many of the first d items of the merge of a (na) and b (nb) are a's.
template <class Item>
__device__ inline int64_t split(const Item* a, int64_t na, const Item* b, int64_t nb, int64_t d) {
  int64_t low = max(int64_t{0}, d - nb), high = min(d, na);
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (before(a[middle], b[d - 1 - middle]))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

constexpr int kMergeThreads = 256;
template <class Item>
constexpr int kTile = kChunk<Item> / 2;

/// Merges neighbouring runs of `width` items, from `from` to `to`, or into the output if there is
/// no `to`. A block makes a tile of the result.
template <class Item>
__global__ void __launch_bounds__(kMergeThreads)
    merge_runs(SortJob j, int64_t width, const Item* from, Item* to) {
  constexpr int kEach = kTile<Item> / kMergeThreads;
  __shared__ Item shared[kTile<Item>];
  __shared__ int64_t ends[2];
  const int t = int(threadIdx.x);
  const int64_t tiles = (j.n + kTile<Item> - 1) / kTile<Item>;
  for (int64_t unit = blockIdx.x; unit < j.rows * tiles; unit += gridDim.x) {
    const int64_t row = quotient(unit, tiles), first = (unit - row * tiles) * kTile<Item>;
    const int64_t start = first / (2 * width) * (2 * width);
    const Item* a = from + row * j.n + start;
    const int64_t na = min(width, j.n - start);
    const Item* b = a + na;
    const int64_t nb = min(width, j.n - start - na);
    const int64_t d = first - start, last = min(d + kTile<Item>, na + nb);
    if (t < 2) ends[t] = split(a, na, b, nb, t == 0 ? d : last);
    __syncthreads();
    const int64_t a0 = ends[0], b0 = d - a0;
    const int count = int(last - d), from_a = int(ends[1] - a0), from_b = count - from_a;
    for (int i = t; i < count; i += kMergeThreads)
      shared[i] = i < from_a ? a[a0 + i] : b[b0 + i - from_a];
    __syncthreads();
    const int mine = min(t * kEach, count);
    int x = int(split(shared, from_a, shared + from_a, from_b, mine)), y = mine - x;
    Item merged[kEach];
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      if (mine + e >= count) break;
      const bool take_a = x < from_a && (y >= from_b || before(shared[x], shared[from_a + y]));
      merged[e] = take_a ? shared[x++] : shared[from_a + y++];
    }
    __syncthreads();
#pragma unroll
    for (int e = 0; e < kEach; ++e)
      if (mine + e < count) shared[mine + e] = merged[e];
    __syncthreads();
    if (to) {
      for (int i = t; i < count; i += kMergeThreads) to[row * j.n + first + i] = shared[i];
    } else {
      int64_t at[2];
      j.lines.offsets(row, at);
      for (int i = t; i < count; i += kMergeThreads) j.give(at, first + i, place_of(shared[i]));
    }
    __syncthreads();
  }
}

template <class Item>
void run_sort(CudaQueue& queue, const SortJob& j) {
  int span = 1;
  while (span < j.n && span < kChunk<Item>) span *= 2;
  const int64_t chunks = (j.n + span - 1) / span, here = kChunk<Item> / span;
  Item* items = nullptr;
  if (chunks > 1) items = queue.scratch<Item>(size_t(2 * j.rows * j.n));
  launch(queue, sort_chunks<Item>, blocks_for(j.rows * chunks, here), kSortThreads, 0, j, span,
         chunks, items);
  Item* other = items + (items ? j.rows * j.n : 0);
  const int64_t tiles = (j.n + kTile<Item> - 1) / kTile<Item>;
  for (int64_t width = span; width < j.n; width *= 2) {
    launch(queue, merge_runs<Item>, blocks_for(j.rows * tiles, 1), kMergeThreads, 0, j, width,
           static_cast<const Item*>(items), 2 * width < j.n ? other : nullptr);
    std::swap(items, other);
  }
}

}  // namespace

void sort(const Sort& op, const Args& args, CudaQueue& queue) {
  const array &in = args.in[0], &out = args.out[0];
  if (in.size() == 0) return;
  const Strides &from = in.node().strides, to = row_major(in.shape());
  Shape others;
  std::array<Strides, 2> strides;
  for (int i = 0; i < in.ndim(); ++i) {
    if (i == op.axis) continue;
    others.push_back(in.shape()[i]);
    strides[0].push_back(from[i]), strides[1].push_back(to[i]);
  }
  const int64_t n = in.shape()[size_t(op.axis)];
  // A partition is a whole sort: on the device that is no dearer.
  const SortJob job{queue.ptr<void>(in),
                    queue.ptr<void>(out),
                    in.dtype(),
                    in.itemsize(),
                    Axes<2>(others, strides),
                    int64_t(in.size()) / n,
                    n,
                    from[op.axis],
                    to[op.axis],
                    op.places,
                    op.places || op.kth >= 0};
  in.itemsize() == 8 ? run_sort<Broad>(queue, job) : run_sort<Narrow>(queue, job);
}

}  // namespace hearth::cuda
