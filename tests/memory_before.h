// What tests of memory begin with.
#pragma once
#include "hearth/core/memory.h"

namespace hearth {

/// Bytes of host memory in use, with nothing cached: a block from the cache may be an eighth larger
/// than asked, and would count so.
inline size_t memory_before() {
  clear_cache();
  return get_active_memory();
}

}  // namespace hearth
