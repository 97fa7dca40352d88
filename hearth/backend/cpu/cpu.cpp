#include "hearth/backend/cpu/cpu.h"

#include "hearth/backend/cpu/movement.h"

namespace hearth::cpu {

CpuQueue::~CpuQueue() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void CpuQueue::submit(Batch batch) {
  std::lock_guard lock(mutex_);
  pending_.push_back(std::move(batch));
}

void CpuQueue::flush() {
  {
    std::lock_guard lock(mutex_);
    flushed_ = true;
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  }
  changed_.notify_all();
}

// The lock is held on entry and exit, not while the batch runs.
void CpuQueue::run_front(std::unique_lock<std::mutex>& lock) {
  busy_ = true;
  Batch batch = std::move(pending_.front());
  pending_.pop_front();
  lock.unlock();
  for (const Event& e : batch.after)
    if (!e->done.load(std::memory_order_acquire)) e->queue->wait(e);
  for (Work& w : batch.work) run(w, host_memory(), *this);
  batch.work.clear();
  lock.lock();
  busy_ = false;
  batch.done->done.store(1, std::memory_order_release);
  changed_.notify_all();
}

void CpuQueue::wait(const Event& event) {
  std::unique_lock lock(mutex_);
  while (!event->done.load(std::memory_order_acquire)) {
    changed_.wait(lock, [&] {
      return event->done.load(std::memory_order_acquire) || (!busy_ && !pending_.empty());
    });
    if (!event->done.load(std::memory_order_acquire)) run_front(lock);
  }
}

void CpuQueue::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return closing_ || (flushed_ && !busy_ && !pending_.empty()); });
    if (pending_.empty() && closing_) return;
    run_front(lock);
    if (pending_.empty()) flushed_ = false;
  }
}

namespace {

class Cpu : public Backend {
 public:
  Cpu() {
    kernels.add<&map>();
    kernels.add<&reduce>().add<&arg_reduce>().add<&scan>().add<&sort>();
    kernels.add<&softmax>().add<&log_sum_exp>();
    kernels.add<&copy>().add<&contiguous>().add<&reshape>().add<&reinterpret>();
    kernels.add<&concatenate>().add<&slice_update>().add<&arange>();
    kernels.add<&dynamic_slice>().add<&dynamic_slice_update>().add<&random_bits>();
    kernels.add<&gather>().add<&scatter>().add<&gather_axis>().add<&scatter_axis>();
    kernels.add<&masked_scatter>().add<&search_sorted>();
    kernels.add<&matmul_arrays>().add<&linear_arrays>();
    kernels.add<&layer_norm>().add<&rms_norm>();
    kernels.add<&rope>(attention_fits)
        .add<&scaled_dot_product_attention>(attention_fits)
        .add<&cached_attention>(attention_fits);
  }
  Device::DeviceType type() const override { return Device::cpu; }
  int device_count() const override { return 1; }
  Allocator& allocator(Device) override { return host_memory(); }
  std::unique_ptr<Queue> queue(Stream) override { return std::make_unique<CpuQueue>(); }
};

}  // namespace

Backend& backend() {
  static Cpu& cpu = *new Cpu;
  return cpu;
}

}  // namespace hearth::cpu
