// The kernel of tasks with dense weights, and attention alone.
#include <algorithm>

#include "hearth/backend/cuda/run_tasks.cuh"

namespace hearth::cuda {

namespace {

// Attention alone: a block a team.
struct LoneAttention {
  AttentionTask task;
  float rates[kMaxHeadDim / 2];
};
template <class T>
__global__ void __launch_bounds__(kTeamThreads)
    attend_kernel(const __grid_constant__ LoneAttention a) {
  extern __shared__ __align__(128) std::byte shared[];
  __shared__ typename Attend<T>::Setup setup;
  if (threadIdx.x == 0) {
    setup.task = a.task, setup.tagged = Tagged{};
    setup.memory = TeamMemory(setup.task, int(sizeof(T)));
  }
  __syncthreads();
  Attend<T> attend(setup, a.rates, shared, threadIdx.x);
  if (attend.begin(attend.first_item())) attend.finish();
}

template <class T>
void start_as(const AttentionTask& task, const float* rates, size_t shared, cudaStream_t stream) {
  LoneAttention lone = {task, {}};
  std::copy_n(rates, std::size(lone.rates), lone.rates);
  attend_kernel<T><<<unsigned(task.B * task.H * task.splits), kTeamThreads, shared, stream>>>(lone);
  check_cuda(cudaGetLastError(), "kernel launch");
}

template <class T>
void start_as(const TaskList& list, int m, unsigned blocks, size_t shared, cudaStream_t stream) {
  constexpr auto dense = Kind::dense, with = Kind::more;
  constexpr std::array kernels = {task_kernel<T, 1, dense>, task_kernel<T, 2, dense>,
                                  task_kernel<T, 3, dense>, task_kernel<T, 4, dense>,
                                  task_kernel<T, 1, with>,  task_kernel<T, 2, with>,
                                  task_kernel<T, 3, with>,  task_kernel<T, 4, with>};
  static_assert(kernels.size() == 2 * kMaxRows);
  const bool more = std::any_of(list.task, list.task + list.count, [](const Task& t) {
    return t.kind == Task::linear_task && (t.linear.gated || t.linear.ids || t.linear.before.x);
  });
  const auto kernel = kernels[size_t(m - 1 + more * kMaxRows)];
  launch_tasks(kernel, list, blocks, shared, stream);
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

void start_attention(Dtype dtype, const AttentionTask& task, const float* rates, size_t shared,
                     cudaStream_t stream) {
  switch (dtype) {
    case float16: return start_as<__half>(task, rates, shared, stream);
    case bfloat16: return start_as<__nv_bfloat16>(task, rates, shared, stream);
    default: return start_as<float>(task, rates, shared, stream);
  }
}

}  // namespace hearth::cuda
