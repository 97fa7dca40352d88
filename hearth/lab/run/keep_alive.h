// A light load on a device, that keeps its clock from falling asleep while something else is
// measured there.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "hearth/lab/run/engine.h"

namespace hearth::lab {

/// Of the CPU: a thread for each hardware thread, that runs only where nothing else wants to. Of a
/// GPU: small products by hearth in a process of its own, one every few milliseconds; throws
/// EngineFault or EngineRefusal where hearth has no such device. While `interrupted` is set,
/// waiting for that process ends.
class KeepAlive {
 public:
  KeepAlive(const std::string& device, const EnginePlaces& places, const Timeouts& timeouts,
            const std::atomic<bool>* interrupted = nullptr);
  ~KeepAlive();
  KeepAlive(const KeepAlive&) = delete;

  void start();
  /// Why there was no load, or none for the whole time; empty if there was.
  std::string stop();

 private:
  void spin();
  void multiply();

  std::unique_ptr<Engine> gpu_;  // null: the CPU
  std::vector<std::thread> threads_;
  std::atomic<bool> stop_{false};
  std::string failure_;  // of the thread that multiplies
};

}  // namespace hearth::lab
