// NVIDIA's run-time compiler, if it is installed, behind a cache of what it compiled.
#pragma once
#include <string>

#include "hearth/backend/cuda/cuda.h"

namespace hearth::cuda::nvrtc {

/// Is the library there?
bool available();
/// The kernel `name` of a text, which may include "math.cuh", for cards of this capability (90 for
/// 9.0). From the cache on disk ($XDG_CACHE_HOME or ~/.cache, then /hearth) if it is there.
cudaKernel_t load(const std::string& text, const char* name, int capability);
/// That of a text of somebody else, which may include CUDA's own headers; throws what the compiler
/// says. Kept on disk, too.
cudaKernel_t load_own(const std::string& text, const char* name, int capability);
/// That of PTX or a cubin.
cudaKernel_t load_compiled(const std::string& code, const char* name);

}  // namespace hearth::cuda::nvrtc
