// What starts the kernel of tasks, and its measures.
#pragma once
#include "hearth/backend/cuda/attend.cuh"

namespace hearth::cuda {

constexpr int kWarps = 15, kThreads = kWarps * 32;  // workers
// And the barrier warp, and the attention warps.
constexpr int kBlock = kThreads + 32 + kTeamThreads;
constexpr int kChunk = 2048;                   // bytes
constexpr int kVectors = kChunk / 512;         // 16-byte vectors of a lane
constexpr int kMaxRows = 4;                    // of x
constexpr int kNormVectors = 2;                // of x, in a thread
constexpr int kMinStages = 2, kMaxStages = 7;  // chunks in a warp's ring
constexpr size_t kStageBytes = size_t(kWarps) * kChunk;

/// `m`: rows of every x. `shared`: bytes of a block, the ring's among them.
void start_task_kernel(Dtype dtype, const TaskList& list, int m, unsigned blocks, size_t shared,
                       cudaStream_t stream);
/// The same for packed weights.
void start_packed_tasks(Dtype dtype, const TaskList& list, int m, unsigned blocks, size_t shared,
                        cudaStream_t stream);

/// A norm alone.
void start_norm(Dtype dtype, const NormTask& norm, cudaStream_t stream);

/// Attention alone; a team is a block. `shared`: a team's bytes.
void start_attention(Dtype dtype, const AttentionTask& task, const float* rates, size_t shared,
                     cudaStream_t stream);

}  // namespace hearth::cuda
