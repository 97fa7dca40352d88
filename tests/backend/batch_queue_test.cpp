// The queue of batches: their order, who runs them, and what is left when it ends.
#include "hearth/backend/batch_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "hearth/core/eval.h"

namespace hearth {
namespace {

// Writes down which batches it ran, by their number of events to wait for, and on which thread.
class Listed : public BatchQueue {
 public:
  ~Listed() override { close(); }
  Allocator& allocator() override { return host_memory(); }
  /// A batch that is known by `number`.
  Event add(int number) {
    Batch batch{{}, {}, Event(new EventState(this))};
    batch.after.resize(size_t(number));
    const Event done = batch.done;
    submit(std::move(batch));
    return done;
  }
  std::vector<int> ran;
  std::vector<std::thread::id> by;
  std::atomic<int> at_once{0}, most_at_once{0};

 protected:
  void execute(Batch& batch) override {
    most_at_once = std::max(most_at_once.load(), ++at_once);
    std::this_thread::yield();
    ran.push_back(int(batch.after.size()));
    by.push_back(std::this_thread::get_id());
    --at_once;
    batch.done->done = 1;
  }
  void finish(const Event&) override {}
};

TEST(BatchQueue, WhoeverWaitsRunsWhatCameBeforeAndNoMore) {
  Listed queue;
  const Event first = queue.add(1), second = queue.add(2), third = queue.add(3);
  EXPECT_TRUE(queue.ran.empty());
  queue.wait(second);
  EXPECT_EQ(queue.ran, (std::vector<int>{1, 2}));
  EXPECT_EQ(queue.by[0], std::this_thread::get_id());
  EXPECT_TRUE(first->started && second->started && !third->started);
  queue.wait(first);  // long done
  queue.wait(third);
  EXPECT_EQ(queue.ran, (std::vector<int>{1, 2, 3}));
}

TEST(BatchQueue, ItsOwnThreadWorksAfterFlushOnly) {
  Listed queue;
  for (int round = 0; round < 100; ++round) {
    const Event own = queue.add(1);
    queue.flush();
    while (!own->done) std::this_thread::yield();
    queue.wait(own);
    EXPECT_NE(queue.by.back(), std::this_thread::get_id());
    // What comes later waits again for somebody to wait.
    const Event next = queue.add(2), last = queue.add(2);
    queue.wait(next);
    for (int i = 0; i < 10; ++i) std::this_thread::yield();
    ASSERT_FALSE(last->started) << round;
    for (int i = 0; i < 7; ++i) queue.add(2);
    queue.wait(queue.add(3));
    for (size_t i = queue.by.size() - 10; i < queue.by.size(); ++i)
      ASSERT_EQ(queue.by[i], std::this_thread::get_id()) << round;
  }
}

TEST(BatchQueue, ManyWaitersRunEachBatchOnce) {
  Listed queue;
  std::vector<Event> events;
  for (int i = 0; i < 200; ++i) events.push_back(queue.add(i));
  std::vector<std::thread> waiters;
  for (int t = 0; t < 4; ++t)
    waiters.emplace_back([&, t] {
      if (t == 0) queue.flush();
      for (size_t i = size_t(t); i < events.size(); i += 4) {
        queue.wait(events[i]);
        EXPECT_TRUE(events[i]->done);
      }
    });
  for (auto& w : waiters) w.join();
  ASSERT_EQ(queue.ran.size(), 200u);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(queue.ran[size_t(i)], i);
  EXPECT_EQ(queue.most_at_once, 1);
}

TEST(BatchQueue, WhatWasFlushedRunsBeforeTheQueueEnds) {
  std::vector<Event> events;
  {
    Listed queue;
    for (int i = 0; i < 50; ++i) events.push_back(queue.add(i));
    queue.flush();
  }
  for (const Event& e : events) EXPECT_TRUE(e->done);
}

}  // namespace
}  // namespace hearth
