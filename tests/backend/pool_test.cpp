#include "hearth/backend/pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

namespace hearth::cpu {
namespace {

struct ThreadsScope {
  int before = threads();
  explicit ThreadsScope(int n) { set_threads(n); }
  ~ThreadsScope() { set_threads(before); }
};

TEST(Pool, EveryIndexRunsOnce) {
  for (int n_threads : {1, 2, 3, 8, 20}) {  // parts for 16 at most
    ThreadsScope scope(n_threads);
    for (int64_t n : {0, 1, 2, 3, 7, 15, 16, 17, 100, 127, 128, 129, 5000}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(n));
      parallel_for(n, [&](int64_t i) { ++seen[size_t(i)]; });
      for (auto& count : seen) EXPECT_EQ(count, 1);
    }
  }
}

TEST(Pool, ThreadsReallyWorkTogether) {
  ThreadsScope scope(3);
  std::atomic<int> arrived{0};
  parallel_for(3, [&](int64_t) {  // ends only if three threads are in the loop at once
    ++arrived;
    while (arrived < 3) std::this_thread::yield();
  });
  EXPECT_EQ(arrived, 3);
}

TEST(Pool, NestedLoopsRunInline) {
  ThreadsScope scope(3);
  std::atomic<int> count{0};
  std::atomic<bool> moved{false};
  parallel_for(10, [&](int64_t) {
    const auto me = std::this_thread::get_id();
    parallel_for(10, [&](int64_t) {
      if (std::this_thread::get_id() != me) moved = true;
      ++count;
    });
  });
  EXPECT_EQ(count, 100);
  EXPECT_FALSE(moved);
}

TEST(Pool, ExceptionReachesTheCallerAndThePoolGoesOn) {
  ThreadsScope scope(3);
  for (int round = 0; round < 100; ++round) {
    EXPECT_THROW(parallel_for(50,
                              [&](int64_t i) {
                                if (i == round % 50) throw std::runtime_error("body");
                              }),
                 std::runtime_error);
    std::atomic<int> count{0};
    parallel_for(50, [&](int64_t) { ++count; });
    EXPECT_EQ(count, 50);
  }
}

TEST(Pool, ManyCallersAtOnce) {
  ThreadsScope scope(4);
  constexpr int kCallers = 24;  // more than the pool serves at once
  std::vector<int64_t> sums(kCallers);
  std::vector<std::thread> callers;
  for (int c = 0; c < kCallers; ++c)
    callers.emplace_back([&, c] {
      for (int round = 0; round < 200; ++round) {
        std::vector<int64_t> squares(64);
        parallel_for(64, [&](int64_t i) { squares[size_t(i)] = i * i; });
        sums[size_t(c)] += std::accumulate(squares.begin(), squares.end(), int64_t{0});
      }
    });
  for (auto& t : callers) t.join();
  for (int64_t sum : sums) EXPECT_EQ(sum, 200 * 85344);
}

TEST(Pool, WhatBodiesWroteIsSeenAfterTheLoop) {
  ThreadsScope scope(4);
  for (int round = 0; round < 2000; ++round) {
    auto values = std::make_unique<int[]>(16);
    parallel_for(16, [&](int64_t i) { values[size_t(i)] = round; });
    for (int i = 0; i < 16; ++i) ASSERT_EQ(values[size_t(i)], round);
  }
}

TEST(Pool, SizeChangesWhileLoopsRun) {
  ThreadsScope scope(2);
  std::atomic<bool> stop{false};
  std::thread caller([&] {
    while (!stop) {
      std::atomic<int> count{0};
      parallel_for(20, [&](int64_t) { ++count; });
      ASSERT_EQ(count, 20);
    }
  });
  for (int i = 0; i < 40; ++i) set_threads(1 + i % 4);
  stop = true;
  caller.join();
}

TEST(Pool, RejectsBadSizes) {
  EXPECT_THROW(set_threads(0), std::invalid_argument);
  ThreadsScope scope(2);
  EXPECT_THROW(parallel_for(4, [](int64_t) { set_threads(3); }), std::invalid_argument);
}

}  // namespace
}  // namespace hearth::cpu
