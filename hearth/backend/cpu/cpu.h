// The CPU backend: its queue, and the declarations of its kernels.
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "hearth/core/backend.h"
#include "hearth/ops/primitives.h"

namespace hearth::cpu {

Backend& backend();

/// Work in order. It runs on the thread that waits for it, or, after flush, on the queue's own.
class CpuQueue : public Queue {
 public:
  ~CpuQueue() override;
  void submit(Batch batch) override;
  void flush() override;
  void wait(const Event& event) override;

 private:
  void run_front(std::unique_lock<std::mutex>& lock);
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;  // a batch came, ended, or the queue closes
  std::deque<Batch> pending_;
  bool busy_ = false;     // some thread is running the front batch
  bool flushed_ = false;  // the own thread may take work
  bool closing_ = false;
  std::thread thread_;
};

// Kernels, by file.
void map(const Map& op, const Args& args, CpuQueue& queue);  // map.cpp
void reduce(const Reduce& op, const Args& args, CpuQueue& queue);
void arg_reduce(const ArgReduce& op, const Args& args, CpuQueue& queue);
void scan(const Scan& op, const Args& args, CpuQueue& queue);
void sort(const Sort& op, const Args& args, CpuQueue& queue);
void softmax(const Softmax& op, const Args& args, CpuQueue& queue);        // softmax.cpp
void log_sum_exp(const LogSumExp& op, const Args& args, CpuQueue& queue);  // softmax.cpp

}  // namespace hearth::cpu
