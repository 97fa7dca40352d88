// The CPU's thread pool: several callers may be in parallel_for at once; the caller always works too.
#pragma once
#include <cstdint>
#include <type_traits>

namespace hearth::cpu {

/// Threads that parallel_for uses, the caller included: HEARTH_THREADS, else the cores of the process.
int threads();
/// Changes it, for --threads; at least 1. Waits for running loops to end.
void set_threads(int n);

namespace detail {
void parallel_for(int64_t n, void (*call)(const void*, int64_t), const void* body);
}

/// Calls body(i) for every i in [0, n), in any order, on any of the pool's threads, and returns when
/// all are done. The split must not depend on threads(), so that results have the same bits.
/// An exception in a body is rethrown here. Calls may nest: an inner loop runs on its own thread.
template <class Body>
void parallel_for(int64_t n, const Body& body) {
  if (n == 1) return body(int64_t{0});
  detail::parallel_for(
      n, [](const void* b, int64_t i) { (*static_cast<const Body*>(b))(i); }, &body);
}

}  // namespace hearth::cpu
