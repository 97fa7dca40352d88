// Computing the graph.
#pragma once
#include <functional>
#include <span>
#include <string>

#include "hearth/core/array.h"

namespace hearth {

/// Computes them and all they need; returns when they are there. Throws the first of their errors.
void eval(std::span<const array> outputs);
void eval(const Arrays& outputs);
template <class... More>
requires(std::same_as<More, array>&&...) void eval(const array& first, const More&... more) {
  const array all[] = {first, more...};
  eval(std::span<const array>(all));
}

/// Starts computing them and returns at once; errors reach whoever waits.
void async_eval(std::span<const array> outputs);
void async_eval(const Arrays& outputs);
template <class... More>
requires(std::same_as<More, array>&&...) void async_eval(const array& first, const More&... more) {
  const array all[] = {first, more...};
  async_eval(std::span<const array>(all));
}

/// Brings them, computed, to the device's memory now; host memory of hearth's own is given up, a
/// mapped file stays. Without it they are copied when an operation there first reads them.
void place(std::span<const array> arrays, Device device);

/// Waits for all that was started, on the default stream, a stream, or everywhere on a device.
void synchronize();
void synchronize(Stream stream);
inline void synchronize(ThreadLocalStream stream) {
  synchronize(stream_from_thread_local_stream(stream));
}

/// Runs `task`, which must not throw, on a thread of a CPU's stream, after what the stream was
/// given before.
void enqueue(Stream stream, std::function<void()> task);

/// A computation that is scheduled once and run many times on the same memory, for steps that
/// repeat: it costs no graph and no allocation, and on CUDA one launch. What it reads is read anew
/// at each run; what it writes in place (assign, fast::cached_attention) is its state.
class Recording {
 public:
  /// `outputs` are not computed yet; their values are those of the latest run. Waits for what they
  /// need. Throws when operations of it are on several streams.
  explicit Recording(const Arrays& outputs);
  /// Starts it once more, after what its stream was given before.
  void run();

 private:
  class Queue* queue_ = nullptr;
  std::shared_ptr<class Program> program_;
  Arrays outputs_;
};

/// What the scheduler did since the process began; for tests and `hearth info`.
struct EvalCounters {
  uint64_t kernels = 0;    // kernels started
  uint64_t fallbacks = 0;  // of them, on the CPU because the device had no kernel
  uint64_t missed_donations =
      0;  // outputs that got new memory although the op may reuse an input's
};
EvalCounters eval_counters();
/// "cumsum on vulkan: 3" for each fallback, one per line; empty when there was none.
std::string fallback_report();

}  // namespace hearth
