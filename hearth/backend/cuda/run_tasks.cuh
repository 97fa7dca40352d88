// A decode step as one persistent kernel: one block on each multiprocessor goes through all tasks.
// One block's time over a layer of Phi (three tasks), # being the grid barrier:
//
//              linear: norm, qkv, fc1       linear: fc2, dense, residual    next layer
//   workers    [norm][ qkv ][    fc1     ]#[       fc2       ]     [dense]#[norm][ qkv
//   (15 warps)   weights: each warp's ring prefetches 2 to 7 chunks, across tasks and barriers
//   attention  [stage K, V][store][poll, attend][store y][poll y: x of dense] [stage K, V
//   (4 warps)               q k v  q k v
//   barrier    . . . . . . . . . . . . . .#. . . . . . . . . . . . . . . .#. . . . . . .
//   (1 warp)
//
// Workers own some rows of every weight and stream them in chunks of 2 KiB through shared memory;
// packed weights in chunks of 256 or 512 weights of 16 rows (packed_stream.cuh).
// store: a tagged store (value and tag in one word); poll: a polling load of such words.
#pragma once
#include "hearth/backend/cuda/packed_stream.cuh"

namespace hearth::cuda {

// The grid barrier: each block raises a counter and polls it. Whoever awaits it sees what was
// written before, by threads that had a block barrier with the one that raised it. Polling loads
// are relaxed: an acquiring load would invalidate L1 each time.
__device__ inline void raise(unsigned* counter) {
  asm volatile("fence.acq_rel.gpu;\nred.relaxed.gpu.global.add.u32 [%0], 1;" ::"l"(counter)
               : "memory");
}
__device__ inline void await(const unsigned* counter, unsigned value) {
  unsigned seen;
  do asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
  while (seen < value);
  asm volatile("fence.acq_rel.gpu;" ::: "memory");
}
// The last block to leave resets the grid barrier.
__device__ inline void leave(const TaskList& list) {
  if (list.count == 1 && !list.tagged) return;
  if (atomicAdd(list.counters + TaskList::left, 1u) < 2 * gridDim.x - 1) return;
  list.counters[TaskList::met] = list.counters[TaskList::left] = 0;
  if (list.tagged) ++*list.tagged;
}

__device__ inline void bring(const Task& from, Task& to, int thread, int threads) {
  static_assert(sizeof(Task) % 8 == 0);
  for (int i = thread; i < int(sizeof(Task) / 8); i += threads)
    reinterpret_cast<uint64_t*>(&to)[i] = reinterpret_cast<const uint64_t*>(&from)[i];
}
__device__ inline bool is_linear(const TaskList& list, int t) {
  return list.task[t].kind == Task::linear_task;
}

// The barrier warp: waits at the grid barrier before each linear task, for the workers. A fence of
// theirs would wait for all weights that they prefetch. It also stages the task in shared memory.
// It lets no task begin before attention has read what the one before it left: else, where those
// that attend are late, a barrier is passed twice and memory is replaced while it is read
// (tools/model_waits.py).
__device__ inline void meet_blocks(const TaskList& list, Task (&near)[2]) {
  const bool first_lane = threadIdx.x % 32 == 0;
  unsigned* const met = list.counters + TaskList::met;
  unsigned linears = 0, meetings = 0;
  for (int t = 0; t < list.count; ++t) {
    if (!is_linear(list, t)) continue;
    if (t > 0) {
      if (linears > 0) {
        bring(list.task[t], near[linears % 2], threadIdx.x % 32, 32);
        sync_block<done>();
      }
      if (!is_linear(list, t - 1)) sync_block<attended>();
      if (first_lane) raise(met), await(met, ++meetings * gridDim.x);
      __syncwarp();
      sync_block<go>();
    }
    ++linears;
  }
  if (first_lane) leave(list);
}

// The attention warps. Not inline: what they keep in registers is not the stream's to spill.
template <class T, int M, Kind K>
__device__ __noinline__ void attend_all(const TaskList& list, const Task (&near)[2],
                                        typename Attend<T>::Setup& setup, std::byte* of_linear,
                                        std::byte* of_attention) {
  const int thread = int(threadIdx.x) - kThreads - 32;
  const unsigned kernels = list.tagged ? unsigned(__ldcg(list.tagged)) + 1 : 0;
  unsigned linears = 0;
  for (int t = 0; t < list.count; ++t) {
    if (is_linear(list, t)) {
      ++linears;
      continue;
    }
    static_assert(TaskList::kMax <= 128);
    const unsigned tag = kernels * 128 + unsigned(t);
    uint64_t* const rows = list.tagged + TaskList::kLine;
    if (thread == 0) {
      setup.task = list.task[t].attention;
      setup.tagged = {t > 0 ? rows : nullptr, t > 0 ? list.task[t - 1].linear.early : 0,
                      list.tagged + list.found, list.tagged + list.given, tag};
      setup.memory = TeamMemory(setup.task, int(sizeof(T)));
    }
    sync_block<attends>();
    Attend<T> attend(setup, list.rates[setup.task.table], of_attention, thread);
    int item = attend.first_item();
    const bool ready = item < attend.items() && attend.begin(item);
    if (t > 0) {
      if (!list.task[t - 1].linear.late) sync_block<begun>();  // or it was waited for below
      const LinearTask& l = near[(linears - 1) % 2].linear;
      using Written = Output<T, M, K>;
      const auto mine = rows_of_block<Written::kRows>(l, t - 1);
      const float* const partial = Inputs<T, M, K>(l, of_linear).partial;
      const int outputs = mine.before(l.early) * M;
      Written output;
      if (thread < outputs) output = {l, mine, thread};
      sync_block<early>();
      for (int i = thread; i < outputs; i += kTeamThreads) {
        if (i != thread) output = {l, mine, i};
        output.read_residual(l);
        const T y = output.write(l, partial, i);
        tell(rows + int64_t(i % M) * l.early + mine[i / M], widen(y), tag);
      }
    }
    const bool to_late = t + 1 < list.count && list.task[t + 1].linear.late;
    if (to_late) pass_barrier<attended>();
    if (ready) attend.finish();
    while ((item += attend.step()) < attend.items())
      if (attend.begin(item)) attend.finish();
    if (t + 1 == list.count) break;
    if (!to_late) {
      sync_block<attended>();
      continue;
    }
    sync_block<begun>();  // the memory of x is free
    const LinearTask& next = near[linears % 2].linear;
    T* const x = reinterpret_cast<T*>(Inputs<T, M, K>(next, of_linear).xs) + M * next.k[0];
    const int values = M * next.k[1];
    const uint64_t* const given = list.tagged + list.given;
    constexpr int kAtOnce = 10;
    for (int i = thread; i < values; i += kAtOnce * kTeamThreads) {
      float value[kAtOnce];
      if (i + (kAtOnce - 1) * kTeamThreads < values) {
        hear(value, given + i, kTeamThreads, tag);
        for (int j = 0; j < kAtOnce; ++j) x[i + j * kTeamThreads] = narrow<T>(value[j]);
      } else {
        for (int j = i; j < values; j += kTeamThreads) {
          float one[1];
          hear(one, given + j, 0, tag);
          x[j] = narrow<T>(one[0]);
        }
      }
    }
    pass_barrier<late>();
  }
  if (thread == 0) leave(list);
}

template <class T, int M, Kind K>
__global__ void __launch_bounds__(kBlock, 1) task_kernel(const __grid_constant__ TaskList list) {
  constexpr bool kPacked = K == Kind::packed;
  extern __shared__ __align__(128) std::byte shared[];  // a warp's 512 bytes are four lines
  __shared__ __align__(16) float sums[2][kWarps];
  __shared__ __align__(16) std::byte near_bytes[2][sizeof(Task)];
  __shared__ typename Attend<T>::Setup setup;
  __shared__ unsigned taken, in_slot[kWarps][kMaxStages];
  __shared__ __align__(16) std::byte ahead_bytes[kPacked ? kWarps * sizeof(TilesAhead) : 1],
      tiles_bytes[kPacked ? kWarps * sizeof(Tiles<T, kPacked ? M : 1>) : 1];
  [[maybe_unused]] auto* const tiles_ahead = reinterpret_cast<TilesAhead*>(ahead_bytes);
  [[maybe_unused]] auto* const tiles = reinterpret_cast<Tiles<T, kPacked ? M : 1>*>(tiles_bytes);
  Task(&near)[2] = reinterpret_cast<Task(&)[2]>(near_bytes);
  constexpr int kSize = Vector<T>::kSize;
  constexpr bool kMore = K != Kind::dense;
  using Written = Output<T, M, K>;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, stages = list.stages;
  const int slot_bytes = kPacked ? list.slot : kChunk;
  std::byte* const of_task = shared + stages * (kPacked ? kWarps * slot_bytes : int(kStageBytes));
  if (threadIdx.x == 0) taken = 0;
  bring(list.task[list.count > 1 && !is_linear(list, 0)], near[0], threadIdx.x, kBlock);
  __syncthreads();
  if (warp == kWarps) return meet_blocks(list, near);
  if (warp > kWarps)
    return attend_all<T, M, K>(list, near, setup, of_task, of_task + list.linear_bytes);

  [[maybe_unused]] auto ahead = [&] {
    if constexpr (kPacked)
      return nullptr;
    else
      return Ahead<T, kMore>(list, &taken, lane);
  }();
  if constexpr (kPacked) tiles_ahead[warp].begin();
  Ring ring(shared, warp, stages, slot_bytes);
  const auto fetch = [&] {  // prefetch a chunk into the slot, go to the next slot
    unsigned number;
    if constexpr (kPacked) {
      number = tiles_ahead[warp].take(list, &taken, ring.chunk());
    } else {
      const auto chunk = ahead.take();
      ring.start(chunk.from, chunk.bytes);
      number = chunk.number;
    }
    if (lane == 0) in_slot[warp][ring.slot()] = number;
    __syncwarp();
    ring.advance();
  };
  for (int s = 0; s < stages; ++s) fetch();
  unsigned begin = 0;  // the number of the task's first chunk

  const auto linear = [&](const LinearTask& l, int t) {
    const auto rows = rows_of_block<Written::kRows>(l, t);
    const auto chunks = [&] {
      if constexpr (kPacked)
        return TileChunks::of(l, rows);
      else
        return Chunks::of<T>(l, rows);
    }();
    const Inputs<T, M, K> inputs(l, of_task);
    std::byte* const xs = inputs.xs;
    float* const partial = inputs.partial;
    const unsigned end = begin + unsigned(rows.count / Written::kRows * l.per_row);
    // The attention warps write the outputs that attention reads.
    bool attended = t + 1 < list.count && !is_linear(list, t + 1);
    const int first = attended ? rows.before(l.early) : 0;
    const unsigned early_end = begin + unsigned(first / Written::kRows * l.per_row);
    bool late_waits = !kPacked && l.late;
    unsigned late_begin = 0;
    int second_x = 0;  // where x of the second term begins
    if constexpr (!kPacked) {
      late_begin = begin + unsigned(chunks.first);
      second_x = kMore && l.gated ? 0 : M * chunks.bytes;
    }
    const bool normed = kMore && l.before.x;

    // Prefetch what the rows' ends need: bias now, the residual after the grid barrier.
    const int outputs = rows.count * M, mine = first * M + int(threadIdx.x);
    Written my_output;
    if (mine < outputs) my_output = {l, rows, mine};
    // Prefetch the norm's weights, of the elements of x that this thread normalises.
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

    if (t > 0) sync_block<go>();
    if (attended || late_waits) pass_barrier<begun>();
    if (mine < outputs) my_output.read_residual(l);
    // Stage x, normalised.
    if (normed) stage_before<T, M, K>(l, xs, sums[1]);
    if (l.norm) {
      const float per_k = 1.0f / float(l.k[0]);
      for (int m = 0; m < M; ++m) {
        float f[kNormVectors][kSize] = {}, mean = 0, sum = 0;
        if (normed) {
#pragma unroll
          for (int i = 0; i < kNormVectors; ++i)
            if (norm_at(i) < l.k[0])
              Vector<T>{*vector(inputs.element(l, m, norm_at(i)), 0)}.to_float(f[i]);
        } else {
#pragma unroll
          for (int i = 0; i < kNormVectors; ++i)
            if (norm_at(i) < l.k[0])
              Vector<T>{__ldcg(vector(l.x[0], m * l.k[0] + norm_at(i)))}.to_float(f[i]);
        }
        if (!l.rms) {
#pragma unroll
          for (int i = 0; i < kNormVectors; ++i)
            for (int j = 0; j < kSize; ++j) sum += f[i][j];
          mean = workers_sum(sum, sums[0]) * per_k;
        }
        float square = 0;
#pragma unroll
        for (int i = 0; i < kNormVectors; ++i)
          if (norm_at(i) < l.k[0])
            for (int j = 0; j < kSize; ++j) square += (f[i][j] - mean) * (f[i][j] - mean);
        if (m > 0 || normed) sync_block<workers>();  // sums[1] was read
        square = workers_sum(square, sums[1]);
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
          *reinterpret_cast<uint4*>(inputs.element(l, m, norm_at(i))) =
              *reinterpret_cast<const uint4*>(y);
        }
      }
    } else if (kPacked && !normed) {
      const ColumnsLayout<T> layout(l);
      for (int i = 0; i < l.inputs(); ++i) {
        const int per_row = l.k[i] * int(sizeof(T)) / 16,
                  step = (l.ids ? l.x_stride : l.k[i]) * int(sizeof(T)) / 16;
        for (int v = threadIdx.x; v < l.x_rows * per_row; v += kThreads)
          reinterpret_cast<uint4*>(xs + layout.plain(i, v / per_row))[v % per_row] =
              __ldcg(static_cast<const uint4*>(l.x[i]) + v / per_row * step + v % per_row);
      }
    } else if (kMore && l.ids) {
      uint4* const to = reinterpret_cast<uint4*>(xs);
      const int per_row = l.k[0] * int(sizeof(T)) / 16, step = l.x_stride * int(sizeof(T)) / 16;
      for (int v = threadIdx.x; v < l.x_rows * per_row; v += kThreads)
        to[v] = __ldcg(static_cast<const uint4*>(l.x[0]) + v / per_row * step + v % per_row);
    } else if (!normed) {
      for (int i = 0, before = 0; i < (l.late  ? 1
                                       : kMore ? l.inputs()
                                               : l.terms);
           before += M * l.k[i++]) {
        const int vectors = M * l.k[i] * int(sizeof(T)) / 16;
        uint4* to = reinterpret_cast<uint4*>(xs + size_t(before) * sizeof(T));
        for (int v = threadIdx.x; v < vectors; v += kThreads)
          to[v] = __ldcg(static_cast<const uint4*>(l.x[i]) + v);
      }
    }
    sync_block<workers>();

    if constexpr (kPacked) {
      make_columns<T>(l, of_task, sums);
      tiles[warp].begin(l, int(of_task - shared));
      sync_block<workers>();
    }

    for (unsigned n; (n = in_slot[warp][ring.slot()]) < end;) {
      if (attended && n >= early_end) pass_barrier<early>(), attended = false;
      if constexpr (kPacked) {
        ring.wait();
        __syncwarp();
        const auto place = chunks.place(int(n - begin));
        int row = rows[place.tile * kTile], part = 0;
        const int x_row = l.ids ? row / l.each / l.per_x : 0;
        while (row >= l.part[part].rows) row -= l.part[part++].rows;
        tiles[warp].multiply(l, int(of_task - shared), place, part, x_row,
                             int(ring.chunk() - shared),
                             partial + place.tile * kTile * l.per_row * M);
        __syncwarp();
        fetch();
        continue;
      } else {
        if (late_waits && n >= late_begin) sync_block<late>(), late_waits = false;
        ring.wait();
        const auto place = chunks.place(int(n - begin));
        float sum[M] = {}, more[M] = {};  // two chains of additions
        const int x_row = place.second ? chunks.more : chunks.bytes;
        const std::byte* x = xs + (place.second ? second_x : 0) + place.start + lane * 16;
        if (kMore && l.ids) x += rows[place.row] / l.each / l.per_x * chunks.bytes;
        const std::byte* w_at = ring.chunk() + lane * 16;
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
        fetch();
#pragma unroll
        for (int m = 0; m < M; ++m) {
          const float s = warp_sum(sum[m] + more[m]);
          if (lane == 0) partial[place.sum * M + m] = s;
        }
      }
    }
    if (attended) pass_barrier<early>();
    if (late_waits) pass_barrier<late>();
    begin = end;
    sync_block<workers>();
    if (mine < outputs) my_output.write(l, partial, mine);
    for (int i = mine + kThreads; i < outputs; i += kThreads) {
      Written output(l, rows, i);
      output.read_residual(l);
      output.write(l, partial, i);
    }
  };

  for (int t = 0, linears = 0; t < list.count; ++t) {
    if (!is_linear(list, t)) continue;
    linear(near[linears++ % 2].linear, t);
    // No two tasks of attention stand side by side.
    if (t + 2 < list.count || (t + 1 < list.count && is_linear(list, t + 1))) sync_block<done>();
  }
}

template <class Kernel>
void launch_tasks(Kernel kernel, const TaskList& list, unsigned blocks, size_t shared,
                  cudaStream_t stream) {
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

}  // namespace hearth::cuda
