// The work of a decode step that one persistent kernel does: its blocks go from task to task, and
// prefetch the next task's weights while they wait at the grid barrier, so that the memory never
// rests. task_kernel.cu draws its time.
#pragma once
#include "hearth/backend/cuda/cuda.h"

namespace hearth::cuda {

/// y = rms_norm(x) weight of each row, and sum = residual + y where it is asked for. A kernel of
/// its own, or done by the task that reads what it gives.
struct NormTask {
  const void *x, *weight;  // (rows, n): its rows, batch after batch of heads; (n) or null
  void* y;                 // (rows, n)
  const void* residual;    // (rows, n), or null: y is all
  void* sum;
  int B, heads, n;    // B * heads rows
  int64_t stride[2];  // of x: B, heads
  float eps;
  const void* given() const { return sum ? sum : y; }
};

/// y = activation(sum over terms of x_t W_t^T + b_t) + residual, for a few rows of x. Either one
/// term and several parts (outputs of one x), or several terms and one part. `gated`: of one part,
/// whose two terms have the same x: y = activation(x W_0^T + b_0) (x W_1^T + b_1).
/// Weights are all dense or all packed.
struct LinearTask {
  static constexpr int kMaxParts = 4, kMaxTerms = 2;
  struct Weight {
    const void* planes[kMostPlanes];  // (rows, k of the term), as its packing has them
    const void* bias;                 // (rows), or null
  };
  struct Part {
    void* y;  // (m, rows)
    int rows;
    fast::Activation activation;
    Packing packing;  // of the weight of the same number, as is
    Dtype scales;
  };
  Weight weights[kMaxParts];  // of the part and the term that their numbers add up to
  Part part[kMaxParts];
  __host__ __device__ const Weight& weight(int p, int t) const { return weights[p + t]; }
  __host__ __device__ bool packed() const { return part[0].packing != Packing::dense; }
  const void* x[kMaxTerms];  // (m, k)
  int k[kMaxTerms];
  const void* residual;  // (m, rows) of part 0, or null
  // The norm that x goes through first; of one term.
  const void* norm_weight;  // (k), or null
  const void* norm_bias;    // (k), or null
  float eps;
  bool norm, rms, gated;
  int8_t parts, terms;
  int8_t spans;  // of packed weights: times 256 weights of a row are a chunk
  // The norm before: x is what it gives, which one block writes.
  NormTask before;  // before.x null: none
  // Of experts: row r is row r % each of the expert ids[r / each], and meets row r / each / per_x
  // of x. Null: not.
  const int* ids;
  int each, per_x, experts;
  int x_rows, x_stride;  // rows of x that are staged, elements between them
  __host__ __device__ int inputs() const { return gated ? 1 : terms; }
  __host__ __device__ int64_t row_of_weight(int row) const {
    if (!ids) return row;
    const int choice = row / each, id = ids[choice];
    return int64_t(id < 0 ? 0 : id < experts ? id : experts - 1) * each + (row - choice * each);
  }
  int rows, per_row;  // of all parts; chunks of a row, of all terms
  int early;          // the first rows, that the attention after this task reads
  bool late;          // x of the second term comes from the attention before this task
};

/// Attention of one new row to a cache, into which the row is written if `writes`.
struct AttentionTask {
  struct Norm {          // rms_norm of each head's row, before all else
    const void* weight;  // (D), or null
    void* y;             // what it gives, (B, heads, D); null: no norm
    float eps;
  };
  Norm norm[3];                                   // of q, k and v
  const void *q, *k, *v;                          // (B, 1, H, D), (B, 1, Hkv, D)
  int q_row, k_row, v_row;                        // where they begin in the rows of the task before
  void *cache_k, *cache_v;                        // (B, Hkv, capacity, D)
  void* y;                                        // (B, 1, H, D)
  const int* offsets;                             // (B): rows in the cache
  const float* freqs;                             // (dims / 2), or null
  int64_t q_stride[2], k_stride[2], v_stride[2];  // of B and heads; D is contiguous
  int B, H, Hkv, D, capacity, splits;
  int rope_dims, window;  // window: keys that are seen, 0: all
  float rope_scale, amplitude, scale, softcap;
  const void* sinks;  // (H), or null
  Dtype sinks_dtype;
  int64_t sinks_stride;
  int freqs_row;  // elements between the frequencies of rows
  int table;      // without them: of the list's rates
  int team;       // threads that share a head's keys
  bool traditional, writes;
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
  static constexpr int kMax = 80;  // a kernel's arguments may have 32,764 bytes
  // The grid barrier's counters, a cache line each: blocks that have met, have left. Zero before
  // and after.
  static constexpr int kLine = 32;
  enum Counter { met = 0, left = kLine };
  static constexpr int kCounters = 2 * kLine;
  int count, stages;
  int slot;          // bytes of a warp's stage, where weights are packed
  int linear_bytes;  // of shared memory, after the ring; then attention's
  unsigned* counters;
  // What blocks exchange without the grid barrier, by tagged stores and polling loads: the rows
  // that attention reads, what its teams found, what it gives. Its first word counts the kernels;
  // null without attention.
  uint64_t* tagged;
  int found, given;                  // where these begin
  static constexpr int kTables = 2;  // of rates: models have one, or one for each kind of layer
  float rates[kTables][kMaxHeadDim / 2];
  Task task[kMax];
};
static_assert(sizeof(TaskList) < 32764);

/// Tasks of a queue that wait to be started as one kernel.
class Tasks {
 public:
  bool empty() const { return list_.count == 0 && norms_.empty(); }
  /// Those before are started first where one kernel could not do both.
  void add(CudaQueue& queue, const LinearTask& task, Dtype dtype, int m, const Args& args);
  void add(CudaQueue& queue, const AttentionTask& task, Dtype dtype, const Rates& rates,
           const Args& args);
  /// Keeps a norm of what waits until it is known who reads it; false where nothing of it waits.
  bool add(const NormTask& norm, Dtype dtype, const Args& args);
  /// The sum of what the latest norm gives and `residual`; false if it is not the latest's.
  bool add_sum(const void* normed, const void* residual, void* sum, Dtype dtype, size_t size,
               const Args& args);
  void start(CudaQueue& queue, cudaStream_t stream);

 private:
  struct Range {
    const std::byte *from, *to;
  };
  bool joins(const Card& card, Dtype dtype, int m, size_t linear, size_t attention, size_t slot,
             bool packed, std::initializer_list<const void*> early) const;
  Task& next(Dtype dtype, int m, size_t linear, size_t attention, const Args& args);
  bool takes(const LinearTask& task, int m) const;
  bool take_norms(AttentionTask& task) const;
  int table_of(const Rates& rates);
  bool written(const void* p) const;
  void writes(const void* p, size_t bytes);
  void find_late(LinearTask& task) const;
  bool find_early(AttentionTask& task, Dtype dtype);
  void hold(const Args& args);

  TaskList list_ = {};
  Dtype dtype_ = float32;
  int m_ = 0;                                 // rows of x; 0: no linear task yet
  size_t linear_ = 0, attention_ = 0;         // bytes of shared memory, beside the ring
  size_t early_ = 0, found_ = 0, given_ = 0;  // tagged words
  unsigned blocks_ = 0;
  int tables_ = 0;               // of list_.rates, that are in use
  std::vector<NormTask> norms_;  // come after the list
  std::vector<Range> writes_;
  std::vector<Ref<Storage>> held_;  // nobody else gets the memory before the start
  size_t slot_ = 0;                 // bytes of a warp's stage; 0: no linear task yet
  bool packed_ = false;             // all weights are, or none
};

/// Sets what follows from the rest; false when the kernel does not take it: many rows, weights or
/// rows that are not 16-byte aligned, an x beyond shared memory, dense weights beside packed ones.
bool complete(LinearTask& task, Dtype dtype, int m, const Card& card);

}  // namespace hearth::cuda
