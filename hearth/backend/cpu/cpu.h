// The CPU backend: its queue, and the declarations of its kernels.
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "hearth/core/backend.h"
#include "hearth/ops/primitives.h"
#include "hearth/ops/primitives_fast.h"

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

// Matrix products and fused operations.
void matmul_arrays(const hearth::Matmul& op, const Args& args, CpuQueue& queue);
void linear_arrays(const fast::Linear& op, const Args& args, CpuQueue& queue);
void layer_norm(const fast::LayerNorm& op, const Args& args, CpuQueue& queue);
void rms_norm(const fast::RMSNorm& op, const Args& args, CpuQueue& queue);
void rope(const fast::RoPE& op, const Args& args, CpuQueue& queue);
void scaled_dot_product_attention(const fast::Attention& op, const Args& args, CpuQueue& queue);
void cached_attention(const fast::CachedAttention& op, const Args& args, CpuQueue& queue);
bool attention_fits(const Primitive& op, std::span<const array> in);  // f64 is decomposed

}  // namespace hearth::cpu
