// What starts the kernel of tasks, and its measures.
#pragma once
#include "hearth/backend/cuda/attend.cuh"

namespace hearth::cuda {

constexpr int kThreads = kTeamThreads, kWarps = kThreads / 32;  // that work
constexpr int kBlock = kThreads + 32;          // and a warp that meets the other blocks
constexpr int kChunk = 2048;                   // bytes
constexpr int kVectors = kChunk / 512;         // 16-byte vectors of a lane
constexpr int kMaxRows = 4;                    // of x
constexpr int kNormVectors = 2;                // of x, in a thread
constexpr int kCounters = 32;                  // of the meeting, in a line of their own
constexpr int kMinStages = 2, kMaxStages = 6;  // chunks in a warp's ring
constexpr size_t kStageBytes = size_t(kWarps) * kChunk;

/// `m`: rows of every x. `shared`: bytes of a block, the ring's among them.
void start_task_kernel(Dtype dtype, const TaskList& list, int m, unsigned blocks, size_t shared,
                       cudaStream_t stream);

}  // namespace hearth::cuda
