// How kernels of a decode step overlap (programmatic dependent launch, from sm_90 on): a kernel may
// start while the one before it in the stream still runs, fetch what that one does not write, and
// wait. Every kernel that is launched so must call wait_for_previous() in all its blocks.
#pragma once
#include "hearth/backend/cuda/device.cuh"

namespace hearth::cuda {

/// The kernel after this one may start its own beginning.
__device__ inline void let_next_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
/// Returns when all that came before in the stream is done and visible.
__device__ inline void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// launch() for kernels that call wait_for_previous.
template <class... Parameters, class... Arguments>
void launch_early(CudaQueue& queue, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                  size_t shared, Arguments&&... arguments) {
  cudaLaunchAttribute early = {};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = grid, config.blockDim = block;
  config.dynamicSmemBytes = shared, config.stream = queue.stream();
  config.attrs = &early, config.numAttrs = queue.card().capability >= 90 ? 1 : 0;
  check_cuda(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...),
             "kernel launch");
}

/// Raises a kernel's limit of dynamic shared memory, once.
template <class K>
void allow_shared(K* kernel, size_t bytes, size_t& allowed) {
  if (bytes <= allowed) return;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)),
             "shared memory");
  allowed = bytes;
}

}  // namespace hearth::cuda
