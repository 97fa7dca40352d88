#include "hearth/lab/run/keep_alive.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>

namespace hearth::lab {

namespace {
constexpr auto kBetweenProducts = std::chrono::milliseconds(2);
}

KeepAlive::KeepAlive(const std::string& device, const EnginePlaces& places,
                     const Timeouts& timeouts, const std::atomic<bool>* interrupted) {
  if (device.starts_with("cpu")) return;
  gpu_ = std::make_unique<Engine>(parse_engine("hearth:" + device), places, timeouts, interrupted);
  gpu_->hello();
}

KeepAlive::~KeepAlive() {
  stop();
  if (gpu_) gpu_->bye();
}

void KeepAlive::start() {
  stop_ = false;
  if (gpu_) {
    threads_.emplace_back([this] { multiply(); });
    return;
  }
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i)
    threads_.emplace_back([this] { spin(); });
}

std::string KeepAlive::stop() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  return failure_;
}

void KeepAlive::spin() {
#ifdef SCHED_IDLE
  const sched_param none{};
  pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
#endif
  for (volatile unsigned n = 0; !stop_;) n = n + 1;
}

void KeepAlive::multiply() {
  Job job;
  job.kind = JobKind::op;
  job.op = "matmul", job.dtype = "f32", job.shape = {256, 256, 256};
  try {
    do {
      gpu_->run(job, false, 1, Clock::now());
      std::this_thread::sleep_for(kBetweenProducts);
    } while (!stop_);
  } catch (const std::exception& error) {
    failure_ = error.what();
  }
}

}  // namespace hearth::lab
