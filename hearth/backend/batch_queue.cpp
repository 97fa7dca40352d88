#include "hearth/backend/batch_queue.h"

namespace hearth {

void BatchQueue::close() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void BatchQueue::submit(Batch batch) {
  std::lock_guard lock(mutex_);
  pending_.push_back(std::move(batch));
}

void BatchQueue::flush() {
  {
    std::lock_guard lock(mutex_);
    flushed_ = true;
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  }
  changed_.notify_all();
}

// The lock is held on entry and exit, not while the batch runs.
void BatchQueue::run_front(std::unique_lock<std::mutex>& lock) {
  busy_ = true;
  Batch batch = std::move(pending_.front());
  pending_.pop_front();
  lock.unlock();
  execute(batch);
  batch.work.clear();
  lock.lock();
  busy_ = false;
  batch.done->started.store(1, std::memory_order_release);
  changed_.notify_all();
}

void BatchQueue::wait_started(const Event& event) {
  const auto started = [&] { return event->started.load(std::memory_order_acquire) != 0; };
  std::unique_lock lock(mutex_);
  while (!started()) {
    changed_.wait(lock, [&] { return started() || (!busy_ && !pending_.empty()); });
    if (!started()) run_front(lock);
  }
}

void BatchQueue::wait(const Event& event) {
  wait_started(event);
  finish(event);
}

void BatchQueue::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return closing_ || (flushed_ && !busy_ && !pending_.empty()); });
    if (pending_.empty() && closing_) return;
    run_front(lock);
    if (pending_.empty()) flushed_ = false;
  }
}

}  // namespace hearth
