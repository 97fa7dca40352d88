// Each block owns some rows of every weight and streams them, in chunks of 2 KiB, through a ring in
// shared memory that each warp keeps for itself (no barrier while streaming). The ring runs ahead
// of the tasks: while the blocks wait for each other's results, attend or normalise, the weights of
// what comes next arrive.
#include "hearth/backend/cuda/task_kernel.cuh"

namespace hearth::cuda {

namespace {

__device__ inline float activated(float x, fast::Activation a) {
  switch (a) {
    case fast::Activation::none: return x;
    case fast::Activation::relu: return fmaxf(x, 0.0f);
    case fast::Activation::silu: return x / (1.0f + __expf(-x));
    case fast::Activation::gelu_approx:
      return 0.5f * x * (1.0f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
    case fast::Activation::gelu: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
  }
  return x;
}

__device__ inline void copy_async(void* shared, const void* global) {
  const unsigned to = unsigned(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16;" ::"r"(to), "l"(global)
               : "memory");
}
__device__ inline void commit_async() { asm volatile("cp.async.commit_group;"); }
// Waits for all but the newest groups; groups end in order.
__device__ inline void wait_async(int newest) {
  switch (newest) {
    case 1: asm volatile("cp.async.wait_group 1;" ::: "memory"); break;
    case 2: asm volatile("cp.async.wait_group 2;" ::: "memory"); break;
    case 3: asm volatile("cp.async.wait_group 3;" ::: "memory"); break;
    case 4: asm volatile("cp.async.wait_group 4;" ::: "memory"); break;
    default: asm volatile("cp.async.wait_group 5;" ::: "memory");
  }
}
static_assert(kMaxStages == 6 && kMinStages == 2);

__device__ inline float warp_sum(float v) {
  for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
  return v;
}

template <class T>
struct Vector {  // 16 bytes of T
  static constexpr int kSize = 16 / sizeof(T);
  uint4 raw;
  __device__ void to_float(float (&f)[kSize]) const {
    const T* t = reinterpret_cast<const T*>(&raw);
    for (int i = 0; i < kSize; ++i) f[i] = float(widen(t[i]));
  }
};
template <>
__device__ inline void Vector<__half>::to_float(float (&f)[8]) const {
  const __half2* t = reinterpret_cast<const __half2*>(&raw);
  for (int i = 0; i < 4; ++i) {
    const float2 p = __half22float2(t[i]);
    f[2 * i] = p.x, f[2 * i + 1] = p.y;
  }
}
template <>
__device__ inline void Vector<__nv_bfloat16>::to_float(float (&f)[8]) const {
  const uint32_t w[4] = {raw.x, raw.y, raw.z, raw.w};
  for (int i = 0; i < 4; ++i)
    f[2 * i] = __uint_as_float(w[i] << 16), f[2 * i + 1] = __uint_as_float(w[i] & 0xffff0000u);
}

// Rows of a task that are the block's: all blocks together read on one front, which the memory
// likes best. Blocks and tasks turn against each other: rows left over go to other blocks each
// time.
struct BlockRows {
  int first, count;
  __device__ int operator[](int i) const { return first + i * int(gridDim.x); }
};
__device__ inline BlockRows rows_of_block(const LinearTask& l, int task) {
  const int first = int((blockIdx.x + unsigned(task)) % gridDim.x), grid = int(gridDim.x);
  return {first, max(0, (l.rows - first + grid - 1) / grid)};
}

// What a chunk is of a task's x: the term, the first byte in its row, how many.
struct Rows {
  int bytes, more, first_chunks;  // of a row: the first term's, the second's; chunks of the first

  template <class T>
  __device__ static Rows of(const LinearTask& l) {
    const int bytes = l.k[0] * int(sizeof(T));
    return {bytes, l.terms > 1 ? l.k[1] * int(sizeof(T)) : 0, (bytes + kChunk - 1) / kChunk};
  }
  struct Place {
    bool second;
    int start, bytes;
  };
  __device__ Place place(int chunk) const {
    const bool second = chunk >= first_chunks;
    const int start = (chunk - (second ? first_chunks : 0)) * kChunk;
    return {second, start, min(kChunk, (second ? more : bytes) - start)};
  }
};

// The chunks of a block, numbered through its tasks, one row after the other. Warps take the next
// one when they have room; who takes it does not change what comes out.
template <class T>
class Ahead {
 public:
  static constexpr unsigned kNone = ~0u;
  __device__ Ahead(const TaskList& list, unsigned* taken, int lane)
      : list_(list), taken_(taken), lane_(lane) {}

  // Takes a chunk and starts its way into `to`. Its number; kNone when all are taken.
  __device__ unsigned fetch(std::byte* to) {
    unsigned n = 0;
    if (lane_ == 0) n = atomicAdd(taken_, 1u);
    n = __shfl_sync(~0u, n, 0);
    if (!find(n)) return kNone;
    const unsigned unit = n - begin_, i = unit / unsigned(per_row_);
    const int row = mine_[int(i)], chunk = int(unit - i * unsigned(per_row_));
    while (row >= part_end_) enter_part();
    const auto place = rows_.place(chunk);
    const std::byte* const from =
        (place.second ? second_ + int64_t(row) * rows_.more : first_ + int64_t(row) * rows_.bytes) +
        place.start;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int at = v * 512 + lane_ * 16;
      if (at < place.bytes) copy_async(to + at, from + at);
    }
    return n;
  }

 private:
  // To the task that chunk n is of.
  __device__ bool find(unsigned n) {
    while (n >= end_) {
      do
        if (++task_ >= list_.count) return false;
      while (list_.task[task_].kind != Task::linear_task);
      const LinearTask& l = list_.task[task_].linear;
      mine_ = rows_of_block(l, task_), rows_ = Rows::of<T>(l), per_row_ = l.per_row;
      begin_ = end_, end_ += unsigned(mine_.count * per_row_);
      part_ = -1, part_end_ = 0;
    }
    return true;
  }
  // To the next part.
  __device__ void enter_part() {
    const LinearTask::Part& p = list_.task[task_].linear.part[++part_];
    first_ = static_cast<const std::byte*>(p.weight[0]) - int64_t(part_end_) * rows_.bytes;
    second_ = static_cast<const std::byte*>(p.weight[1]) - int64_t(part_end_) * rows_.more;
    part_end_ += p.rows;
  }

  const TaskList& list_;
  unsigned* const taken_;
  const int lane_;
  BlockRows mine_ = {};
  Rows rows_;
  int task_ = -1, per_row_ = 1, part_ = -1, part_end_ = 0;
  unsigned begin_ = 0, end_ = 0;
  const std::byte *first_, *second_;  // each term's weight, as if the part began at row 0
};

// Barriers of a block: of the workers; of all, before and after the blocks meet. Teams have 1 to 5.
enum Barrier { workers = 6, done = 7, go = 8 };
template <Barrier B>
__device__ inline void sync_block() {
  asm volatile("bar.sync %0, %1;" ::"n"(int(B)), "n"(B == workers ? kThreads : kBlock) : "memory");
}

__device__ inline void bring(const Task& from, Task& to, int thread, int threads) {
  static_assert(sizeof(Task) % 8 == 0);
  for (int i = thread; i < int(sizeof(Task) / 8); i += threads)
    reinterpret_cast<uint64_t*>(&to)[i] = reinterpret_cast<const uint64_t*>(&from)[i];
}

// The last warp meets the other blocks after each task, for its workers: they have loads on their
// way, which a fence of theirs would wait for.
// It also brings the next task nearer.
__device__ inline void meet_blocks(const TaskList& list, Task (&near)[2]) {
  unsigned* const arrived = list.arrived;
  const int meetings = list.count - 1;
  for (int i = 1; i <= meetings; ++i) {
    bring(list.task[i], near[i % 2], threadIdx.x % 32, 32);
    sync_block<done>();
    if (threadIdx.x == kThreads) {
      asm volatile("fence.acq_rel.gpu;\nred.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrived)
                   : "memory");
      unsigned seen;
      do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(arrived) : "memory");
      while (seen < unsigned(i) * gridDim.x);
    }
    __syncwarp();
    sync_block<go>();
  }
  // The last block to leave sets the counters back.
  if (meetings > 0 && threadIdx.x == kThreads && atomicAdd(arrived + 1, 1u) == gridDim.x - 1)
    arrived[0] = arrived[1] = 0;
}

template <class T, int M>
__global__ void __launch_bounds__(kBlock, 1) task_kernel(const __grid_constant__ TaskList list) {
  extern __shared__ __align__(16) std::byte shared[];
  __shared__ __align__(16) float sums[2][kWarps];
  __shared__ __align__(16) std::byte near_bytes[2][sizeof(Task)];
  __shared__ unsigned taken, in_slot[kWarps][kMaxStages];
  Task(&near)[2] = reinterpret_cast<Task(&)[2]>(near_bytes);
  constexpr int kSize = Vector<T>::kSize;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, stages = list.stages;
  std::byte* const ring = shared + warp * stages * kChunk;
  std::byte* const of_task = shared + stages * kStageBytes;
  if (threadIdx.x == 0) taken = 0;
  bring(list.task[0], near[0], threadIdx.x, kBlock);
  __syncthreads();
  if (warp == kWarps) return meet_blocks(list, near);

  Ahead<T> ahead(list, &taken, lane);
  const auto fetch = [&](int slot) {
    const unsigned n = ahead.fetch(ring + slot * kChunk);
    commit_async();
    if (lane == 0) in_slot[warp][slot] = n;
    __syncwarp();
  };
  for (int s = 0; s < stages; ++s) fetch(s);
  int slot = 0;
  unsigned begin = 0;  // the number of the task's first chunk

  const auto linear = [&](const LinearTask& l, int t) {
    const BlockRows rows = rows_of_block(l, t);
    const Rows of_row = Rows::of<T>(l);
    const unsigned end = begin + unsigned(rows.count * l.per_row);
    std::byte* const xs = of_task;  // (terms, M, k)
    const int total_k = l.k[0] + (l.terms > 1 ? l.k[1] : 0);
    float* const partial = reinterpret_cast<float*>(xs + size_t(M) * total_k * sizeof(T));

    // What the ends of the rows need: bias now, the residual as soon as it is there.
    const auto out_of = [&](int i, int& p, int64_t& at) {  // of output i of this block
      int row = rows[i / M];
      p = 0;
      while (p + 1 < l.parts && row >= l.part[p].rows) row -= l.part[p++].rows;
      at = int64_t(i % M) * l.part[p].rows + row;
      return row;
    };
    const auto bias_of = [&](int p, int row) {
      float bias = 0;
      for (int i = 0; i < l.terms; ++i)
        if (l.part[p].bias[i]) bias += widen(static_cast<const T*>(l.part[p].bias[i])[row]);
      return bias;
    };
    const int outputs = rows.count * M, mine = threadIdx.x;
    float bias = 0, residual = 0;
    int part = 0;
    int64_t at = 0;
    const int my_row = mine < outputs ? out_of(mine, part, at) : 0;
    if (mine < outputs) bias = bias_of(part, my_row);
    // The norm's weights, of the elements that this thread will have of x: constants too.
    Vector<T> norm_weight[kNormVectors] = {}, norm_bias[kNormVectors] = {};
    const auto norm_at = [&](int i) { return (i * kThreads + int(threadIdx.x)) * kSize; };
    const auto vector = [&](const void* p, int at) {
      return reinterpret_cast<const uint4*>(static_cast<const T*>(p) + at);
    };
#pragma unroll
    for (int i = 0; i < kNormVectors; ++i) {
      if (!l.norm || norm_at(i) >= l.k[0]) break;
      if (l.norm_weight) norm_weight[i].raw = *vector(l.norm_weight, norm_at(i));
      if (l.norm_bias) norm_bias[i].raw = *vector(l.norm_bias, norm_at(i));
    }

    if (t + 1 < list.count && list.task[t + 1].kind == Task::attention_task)
      Attend<T>(list.task[t + 1].attention, list.rates, of_task).prefetch();
    if (t > 0) sync_block<go>();
    if (mine < outputs && l.residual)
      residual = widen(__ldcg(static_cast<const T*>(l.residual) + at));
    // x, and its norm.
    if (l.norm) {
      const auto block_sum = [&](float v, float(&to)[kWarps]) {
        v = warp_sum(v);
        if (lane == 0) to[warp] = v;
        sync_block<workers>();
        float all = 0;
#pragma unroll
        for (int w = 0; w < kWarps; ++w) all += to[w];
        return all;
      };
      const float per_k = 1.0f / float(l.k[0]);
      for (int m = 0; m < M; ++m) {
        float f[kNormVectors][kSize] = {}, mean = 0, sum = 0;
#pragma unroll
        for (int i = 0; i < kNormVectors; ++i)
          if (norm_at(i) < l.k[0])
            Vector<T>{__ldcg(vector(l.x[0], m * l.k[0] + norm_at(i)))}.to_float(f[i]);
        if (!l.rms) {
#pragma unroll
          for (int i = 0; i < kNormVectors; ++i)
            for (int j = 0; j < kSize; ++j) sum += f[i][j];
          mean = block_sum(sum, sums[0]) * per_k;
        }
        float square = 0;
#pragma unroll
        for (int i = 0; i < kNormVectors; ++i)
          if (norm_at(i) < l.k[0])
            for (int j = 0; j < kSize; ++j) square += (f[i][j] - mean) * (f[i][j] - mean);
        if (m > 0) sync_block<workers>();  // sums[1] was read
        square = block_sum(square, sums[1]);
        const float scale = rsqrtf(square * per_k + l.eps);
#pragma unroll
        for (int i = 0; i < kNormVectors; ++i) {
          if (norm_at(i) >= l.k[0]) break;
          float w[kSize], b[kSize];
          norm_weight[i].to_float(w);
          norm_bias[i].to_float(b);
          alignas(16) T y[kSize];
          for (int j = 0; j < kSize; ++j) {
            float v = (f[i][j] - mean) * scale;
            if (l.norm_weight) v *= w[j];
            if (l.norm_bias) v += b[j];
            y[j] = narrow<T>(v);
          }
          *reinterpret_cast<uint4*>(xs + (size_t(m) * l.k[0] + norm_at(i)) * sizeof(T)) =
              *reinterpret_cast<const uint4*>(y);
        }
      }
    } else {
      for (int i = 0, before = 0; i < l.terms; before += M * l.k[i++]) {
        const int vectors = M * l.k[i] * int(sizeof(T)) / 16;
        uint4* to = reinterpret_cast<uint4*>(xs + size_t(before) * sizeof(T));
        for (int v = threadIdx.x; v < vectors; v += kThreads)
          to[v] = __ldcg(static_cast<const uint4*>(l.x[i]) + v);
      }
    }
    sync_block<workers>();

    for (unsigned n; (n = in_slot[warp][slot]) < end;) {
      wait_async(stages - 1);
      const int unit = int(n - begin);
      const auto place = of_row.place(unit % l.per_row);
      float sum[M] = {}, more[M] = {};  // two chains of additions
      const int x_row = place.second ? of_row.more : of_row.bytes;
      const std::byte* x = xs + (place.second ? M * of_row.bytes : 0) + place.start + lane * 16;
      const std::byte* w_at = ring + slot * kChunk + lane * 16;
      const auto add = [&](int v) {
        float w[kSize];
        Vector<T>{*reinterpret_cast<const uint4*>(w_at + v * 512)}.to_float(w);
#pragma unroll
        for (int m = 0; m < M; ++m) {
          float f[kSize];
          Vector<T>{*reinterpret_cast<const uint4*>(x + m * x_row + v * 512)}.to_float(f);
#pragma unroll
          for (int i = 0; i < kSize; i += 2) {
            sum[m] = fmaf(w[i], f[i], sum[m]);
            more[m] = fmaf(w[i + 1], f[i + 1], more[m]);
          }
        }
      };
      if (place.bytes == kChunk) {
#pragma unroll
        for (int v = 0; v < kVectors; ++v) add(v);
      } else {
#pragma unroll
        for (int v = 0; v < kVectors; ++v)
          if (v * 512 + lane * 16 < place.bytes) add(v);
      }
      fetch(slot);
      slot = slot + 1 == stages ? 0 : slot + 1;
#pragma unroll
      for (int m = 0; m < M; ++m) {
        const float s = warp_sum(sum[m] + more[m]);
        if (lane == 0) partial[unit * M + m] = s;
      }
    }
    begin = end;
    sync_block<workers>();

    for (int i = mine; i < outputs; i += kThreads) {
      if (i != mine) {
        const int row = out_of(i, part, at);
        bias = bias_of(part, row);
        residual = l.residual ? widen(__ldcg(static_cast<const T*>(l.residual) + at)) : 0.0f;
      }
      float y = bias;
      for (int c = 0; c < l.per_row; ++c) y += partial[(i / M * l.per_row + c) * M + i % M];
      y = activated(y, l.part[part].activation) + residual;
      static_cast<T*>(l.part[part].y)[at] = narrow<T>(y);
    }
  };
  const auto attention = [&](const AttentionTask& a, int t) {
    Attend<T> attend(a, list.rates, of_task);
    int item = attend.first_item();
    const bool begun = item < attend.items() && attend.begin(item);
    if (t > 0) sync_block<go>();
    if (begun) attend.finish();
    while ((item += attend.step()) < attend.items())
      if (attend.begin(item)) attend.finish();
  };

  for (int t = 0; t < list.count; ++t) {
    const Task& task = near[t % 2];
    if (task.kind == Task::linear_task)
      linear(task.linear, t);
    else
      attention(task.attention, t);
    if (t + 1 < list.count) sync_block<done>();
  }
}

template <class T>
void start_as(const TaskList& list, int m, unsigned blocks, size_t shared, cudaStream_t stream) {
  constexpr std::array kernels = {task_kernel<T, 1>, task_kernel<T, 2>, task_kernel<T, 3>,
                                  task_kernel<T, 4>};
  static_assert(kernels.size() == kMaxRows);
  const auto kernel = kernels[size_t(m - 1)];
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared)),
             "shared memory");
  cudaLaunchAttribute together = {};  // the blocks wait for each other
  together.id = cudaLaunchAttributeCooperative;
  together.val.cooperative = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks, config.blockDim = kBlock;
  config.dynamicSmemBytes = shared, config.stream = stream;
  config.attrs = &together, config.numAttrs = 1;
  check_cuda(cudaLaunchKernelEx(&config, kernel, list), "kernel launch");
}

}  // namespace

void start_task_kernel(Dtype dtype, const TaskList& list, int m, unsigned blocks, size_t shared,
                       cudaStream_t stream) {
  switch (dtype) {
    case float16: return start_as<__half>(list, m, blocks, shared, stream);
    case bfloat16: return start_as<__nv_bfloat16>(list, m, blocks, shared, stream);
    default: return start_as<float>(list, m, blocks, shared, stream);
  }
}

}  // namespace hearth::cuda
