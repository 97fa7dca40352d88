// The CPU's thread pool: several callers may be in parallel_for at once; the caller always works
// too.
#pragma once
#include <cstdint>

namespace hearth::cpu {

/// Threads that parallel_for uses, the caller included: HEARTH_THREADS, else the cores of the
/// process. Throws std::invalid_argument if HEARTH_THREADS is no number from 1 to as many.
int threads();
/// Changes it, for --threads; at least 1, and not from inside a parallel_for. Loops that run
/// meanwhile end on their callers' threads.
void set_threads(int n);

namespace detail {
void parallel_for(int64_t n, void (*call)(const void*, int64_t), const void* body);
}

/// Calls body(i) for every i in [0, n), in any order, on any of the pool's threads, and returns
/// when all are done. Indices are handed out one at a time (in runs when there are very many), so
/// each should be worth a microsecond or more. What a body computes must not depend on threads(),
/// so that results have the same bits. The first exception of a body is rethrown here, and the
/// indices not yet begun are dropped. Calls may nest: an inner loop runs on the thread that calls
/// it.
template <class Body>
void parallel_for(int64_t n, const Body& body) {
  if (n == 1) return body(int64_t{0});
  detail::parallel_for(
      n, [](const void* b, int64_t i) { (*static_cast<const Body*>(b))(i); }, &body);
}

}  // namespace hearth::cpu
