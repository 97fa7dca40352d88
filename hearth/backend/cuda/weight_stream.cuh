// How a block streams weights: which rows and chunks are its own, and the ring in shared memory
// that they are prefetched into.
#pragma once
#include "hearth/backend/cuda/task_kernel.cuh"

namespace hearth::cuda {

// A warp's ring: chunks arrive in the order in which they were started.
class Ring {
 public:
  __device__ Ring(std::byte* memory, int warp, int stages, int bytes = kChunk)
      : chunks_(memory + warp * stages * bytes), stages_(stages), bytes_(bytes) {
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(read_once_));
  }
  __device__ int slot() const { return slot_; }
  __device__ std::byte* chunk() const { return chunks_ + slot_ * bytes_; }

  /// Prefetches a chunk into the slot (cp.async): each lane what it will read.
  __device__ void start(const std::byte* from, int bytes) const {
    const int lane = int(threadIdx.x % 32) * 16;
    const unsigned to = unsigned(__cvta_generic_to_shared(chunk()));
#pragma unroll
    for (int at = lane; at < kChunk; at += 512)
      if (at < bytes)
        asm volatile("cp.async.cg.shared.global.L2::cache_hint.L2::256B [%0], [%1], 16, %2;" ::"r"(
                         to + unsigned(at)),
                     "l"(from + at), "l"(read_once_)
                     : "memory");
    asm volatile("cp.async.commit_group;");
  }
  /// Waits until the slot's chunk has arrived: all prefetches but the newest.
  __device__ void wait() const {
    switch (stages_ - 1) {
      case 1: asm volatile("cp.async.wait_group 1;" ::: "memory"); break;
      case 2: asm volatile("cp.async.wait_group 2;" ::: "memory"); break;
      case 3: asm volatile("cp.async.wait_group 3;" ::: "memory"); break;
      case 4: asm volatile("cp.async.wait_group 4;" ::: "memory"); break;
      case 5: asm volatile("cp.async.wait_group 5;" ::: "memory"); break;
      default: asm volatile("cp.async.wait_group 6;" ::: "memory");
    }
    static_assert(kMaxStages == 7 && kMinStages == 2);
  }
  __device__ void advance() {
    if (++slot_ == stages_) slot_ = 0;
  }

 private:
  std::byte* const chunks_;
  const int stages_, bytes_;  // bytes of a chunk
  uint64_t read_once_;  // leaves the second-level cache to what is read again
  int slot_ = 0;
};

// Rows of a task that are the block's: all blocks together read on one front, which the memory
// likes best. Blocks and tasks turn against each other: rows left over go to other blocks each
// time. Packed weights: tiles of rows, of which the last may have rows that are none.
template <int kTile>
struct BlockRows {
  int first, count;  // the first tile, and how many rows
  __device__ int operator[](int i) const {
    return (first + i / kTile * int(gridDim.x)) * kTile + i % kTile;
  }
  __device__ int before(int row) const {  // how many
    const int tile = (row + kTile - 1) / kTile;
    return max(0, (tile - first + int(gridDim.x) - 1) / int(gridDim.x)) * kTile;
  }
};
template <int kTile>
__device__ inline BlockRows<kTile> rows_of_block(const LinearTask& l, int task) {
  BlockRows<kTile> rows = {int((blockIdx.x + unsigned(task)) % gridDim.x), 0};
  rows.count = rows.before(l.rows);
  return rows;
}

// What a chunk is of a task: first come all rows of the first term, then all of the second.
struct Chunks {
  int bytes, more;            // of a row: the first term's, the second's
  int first_chunks, per_row;  // of a row: the first term's, of both
  int first;                  // of all rows, of the first term

  template <class T>
  __device__ static Chunks of(const LinearTask& l, const BlockRows<1>& rows) {
    const int bytes = l.k[0] * int(sizeof(T)), first = (bytes + kChunk - 1) / kChunk;
    return {bytes, l.terms > 1 ? l.k[1] * int(sizeof(T)) : 0, first, l.per_row, first * rows.count};
  }
  struct Place {
    bool second;
    int row;           // of the block's
    int start, bytes;  // in the term's row
    int sum;           // which of the block's sums
  };
  __device__ Place place(int unit) const {
    const bool second = unit >= first;
    const int at = second ? unit - first : unit,
              per = second ? per_row - first_chunks : first_chunks;
    const int row = int(unsigned(at) / unsigned(per)), chunk = at - row * per;
    return {second, row, chunk * kChunk, min(kChunk, (second ? more : bytes) - chunk * kChunk),
            row * per_row + (second ? first_chunks : 0) + chunk};
  }
};

// The order of prefetch: the chunks of a block, numbered through its tasks. A warp takes the next
// one when its ring has room; who takes it does not change what comes out.
template <class T, bool kExperts>
class Ahead {
 public:
  static constexpr unsigned kNone = ~0u;
  struct Chunk {
    unsigned number;  // kNone when all are taken
    const std::byte* from;
    int bytes;
  };
  __device__ Ahead(const TaskList& list, unsigned* taken, int lane)
      : list_(list), taken_(taken), lane_(lane) {}

  __device__ Chunk take() {
    unsigned n = 0;
    if (lane_ == 0) n = atomicAdd(taken_, 1u);
    n = __shfl_sync(~0u, n, 0);
    if (!find(n)) return {kNone, nullptr, 0};
    const auto place = chunks_.place(int(n - begin_));
    int64_t row = mine_[place.row];
    while (row >= part_end_) enter_part();
    if (kExperts && experts_) row = list_.task[task_].linear.row_of_weight(int(row));
    const std::byte* const from =
        (place.second ? second_ + row * chunks_.more : first_ + row * chunks_.bytes) + place.start;
    return {n, from, place.bytes};
  }

 private:
  // Goes to the task that chunk n belongs to.
  __device__ bool find(unsigned n) {
    while (n >= end_) {
      do
        if (++task_ >= list_.count) return false;
      while (list_.task[task_].kind != Task::linear_task);
      const LinearTask& l = list_.task[task_].linear;
      mine_ = rows_of_block<1>(l, task_), chunks_ = Chunks::of<T>(l, mine_);
      experts_ = l.ids;
      begin_ = end_, end_ += unsigned(mine_.count * l.per_row);
      part_ = -1, part_end_ = 0;
    }
    return true;
  }
  // Goes to the task's next part.
  __device__ void enter_part() {
    const LinearTask& l = list_.task[task_].linear;
    const auto weight = [&](int w) { return static_cast<const std::byte*>(l.weights[w].planes[0]); };
    ++part_;
    first_ = weight(part_) - int64_t(part_end_) * chunks_.bytes;
    if (l.terms > 1) second_ = weight(1) - int64_t(part_end_) * chunks_.more;
    part_end_ += l.part[part_].rows;
  }

  const TaskList& list_;
  unsigned* const taken_;
  const int lane_;
  bool experts_ = false;
  BlockRows<1> mine_ = {};
  Chunks chunks_;
  int task_ = -1, part_ = -1, part_end_ = 0;
  unsigned begin_ = 0, end_ = 0;
  const std::byte *first_, *second_;  // each term's weight, as if the part began at row 0
};

}  // namespace hearth::cuda
