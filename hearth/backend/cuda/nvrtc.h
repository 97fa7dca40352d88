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

}  // namespace hearth::cuda::nvrtc
