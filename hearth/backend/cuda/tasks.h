// The work of a decode step that one persistent kernel does: its blocks go from task to task, and
// prefetch the next task's weights while they wait at the grid barrier, so that the memory never
// rests. task_kernel.cu draws its time.
#pragma once
#include "hearth/backend/cuda/cuda.h"

namespace hearth::cuda {

/// y = activation(sum over terms of x_t W_t^T + b_t) + residual, for a few rows of x. Either one
/// term and several parts (outputs of one x), or several terms and one part.
struct LinearTask {
  static constexpr int kMaxParts = 4, kMaxTerms = 2;
  struct Part {
    const void* weight[kMaxTerms];  // (rows, k of the term)
    const void* bias[kMaxTerms];    // (rows), or null
    void* y;                        // (m, rows)
    int rows;
    fast::Activation activation;
  };
  Part part[kMaxParts];
  const void* x[kMaxTerms];  // (m, k)
  int k[kMaxTerms];
  const void* residual;  // (m, rows) of part 0, or null
  // The norm that x goes through first; of one term.
  const void* norm_weight;  // (k), or null
  const void* norm_bias;    // (k), or null
  float eps;
  bool norm, rms;
  int8_t parts, terms;
  int rows, per_row;  // of all parts; chunks of a row, of all terms
  int early;          // the first rows, that the attention after this task reads
  bool late;          // x of the second term comes from the attention before this task
};

/// Attention of one new row to a cache, into which the row is written.
struct AttentionTask {
  const void *q, *k, *v;                          // (B, 1, H, D), (B, 1, Hkv, D)
  int q_row, k_row, v_row;                        // where they begin in the rows of the task before
  void *cache_k, *cache_v;                        // (B, Hkv, capacity, D)
  void* y;                                        // (B, 1, H, D)
  const int* offsets;                             // (B): rows in the cache
  const float* freqs;                             // (dims / 2), or null
  int64_t q_stride[2], k_stride[2], v_stride[2];  // of B and heads; D is contiguous
  int B, H, Hkv, D, capacity, splits;
  int rope_dims;
  float rope_scale, scale;
  int team;  // threads that share a head's keys
  bool traditional;
};

struct Task {
  enum Kind { linear_task, attention_task } kind;
  union {
    LinearTask linear;
    AttentionTask attention;
  };
};

constexpr int kMaxHeadDim = 256;
using Rates = std::array<float, kMaxHeadDim / 2>;  // of rotation, radians a position

/// What the kernel gets.
struct TaskList {
  static constexpr int kMax = 112;  // a kernel's arguments may have 32,764 bytes
  // The grid barrier's counters, a cache line each: blocks that have met, have left. Zero before
  // and after.
  static constexpr int kLine = 32;
  enum Counter { met = 0, left = kLine };
  static constexpr int kCounters = 2 * kLine;
  int count, stages;
  int linear_bytes;  // of shared memory, after the ring; then attention's
  unsigned* counters;
  // What blocks exchange without the grid barrier, by tagged stores and polling loads: the rows
  // that attention reads, what its teams found, what it gives. Its first word counts the kernels;
  // null without attention.
  uint64_t* tagged;
  int found, given;  // where these begin
  float rates[kMaxHeadDim / 2];
  Task task[kMax];
};
static_assert(sizeof(TaskList) < 32764);

/// Tasks of a queue that wait to be started as one kernel.
class Tasks {
 public:
  bool empty() const { return list_.count == 0; }
  /// Those before are started first where one kernel could not do both.
  void add(CudaQueue& queue, const LinearTask& task, Dtype dtype, int m, const Args& args);
  void add(CudaQueue& queue, const AttentionTask& task, Dtype dtype, const Rates& rates,
           const Args& args);
  void start(CudaQueue& queue, cudaStream_t stream);

 private:
  struct Range {
    const std::byte *from, *to;
  };
  Task& next(CudaQueue& queue, Dtype dtype, int m, size_t linear, size_t attention,
             std::initializer_list<const void*> early, const Args& args);
  bool written(const void* p) const;
  void find_late(LinearTask& task) const;
  bool find_early(AttentionTask& task, Dtype dtype);

  TaskList list_ = {};
  Dtype dtype_ = float32;
  int m_ = 0;                                 // rows of x; 0: no linear task yet
  size_t linear_ = 0, attention_ = 0;         // bytes of shared memory, beside the ring
  size_t early_ = 0, found_ = 0, given_ = 0;  // tagged words
  unsigned blocks_ = 0;
  bool rotates_ = false;  // list_.rates are in use
  std::vector<Range> writes_;
  std::vector<Ref<Storage>> held_;  // nobody else gets the memory before the start
};

/// Sets what follows from the rest; false when the kernel does not take it: many rows, weights or
/// rows that are not 16-byte aligned, an x beyond shared memory.
bool complete(LinearTask& task, Dtype dtype, int m, const Card& card);

}  // namespace hearth::cuda
