// What the scheduler shares with recorded programs and transforms.
#pragma once
#include "hearth/core/backend.h"

namespace hearth {

/// The first error of these; null when there is none.
std::exception_ptr error_of(std::span<const array> arrays);
/// Has its bytes where a queue works, which reads them there.
void bring(const array& input, Allocator& here);
/// Has its home there, to be written; other copies are given up.
void bring_home(const array& output, Allocator& here);

/// Drops the edges of what this thread computed inside TracingScopes, now that none is left.
void forget_traced();

}  // namespace hearth
