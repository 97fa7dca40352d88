// The kernel of tasks with packed weights.
#include "hearth/backend/cuda/run_tasks.cuh"

namespace hearth::cuda {
namespace {

template <class T>
void start_as(const TaskList& list, int m, unsigned blocks, size_t shared, cudaStream_t stream) {
  const auto start = [&](auto kernel) { launch_tasks(kernel, list, blocks, shared, stream); };
  constexpr auto packed = Kind::packed;
  if (m == 1) return start(task_kernel<T, 1, packed>);
  if constexpr (sizeof(T) == 2) {
    if (m == 2) return start(task_kernel<T, 2, packed>);
    if (m == 3) return start(task_kernel<T, 3, packed>);
    start(task_kernel<T, 4, packed>);
    static_assert(kMaxRows == 4);
  }
}

}  // namespace

void start_packed_tasks(Dtype dtype, const TaskList& list, int m, unsigned blocks, size_t shared,
                        cudaStream_t stream) {
  switch (dtype) {
    case float16: return start_as<__half>(list, m, blocks, shared, stream);
    case bfloat16: return start_as<__nv_bfloat16>(list, m, blocks, shared, stream);
    default: return start_as<float>(list, m, blocks, shared, stream);
  }
}

}  // namespace hearth::cuda
