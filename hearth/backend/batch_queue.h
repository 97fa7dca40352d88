// A queue of batches, each run by the thread that waits for it or, after flush, by the queue's own.
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "hearth/core/backend.h"

namespace hearth {

class BatchQueue : public Queue {
 public:
  void submit(Batch batch) override;
  void flush() override;
  void wait(const Event& event) override;

 protected:
  /// Returns when the event's batch was executed.
  void wait_started(const Event& event);
  /// Runs the batch, or starts it on a device; batches come in order, one at a time.
  virtual void execute(Batch& batch) = 0;
  /// Returns when what was executed is done; the event says so then.
  virtual void finish(const Event& event) = 0;
  /// Ends the queue's thread; for the destructors of those that override execute.
  void close();

 private:
  void run_front(std::unique_lock<std::mutex>& lock);
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;  // a batch came, was executed, or the queue closes
  std::deque<Batch> pending_;
  bool busy_ = false;     // some thread is executing the front batch
  bool flushed_ = false;  // the own thread may take work
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace hearth
