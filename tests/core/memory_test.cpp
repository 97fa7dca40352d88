// The cache of freed blocks, its limits and counters, over a system that says what it was asked.
#include "hearth/core/memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

namespace hearth {
namespace {

using Sizes = std::vector<size_t>;

// Gives addresses that nobody touches, up to `most` bytes at once.
struct System {
  size_t most = size_t(-1), held = 0;
  Sizes got, given;
  uintptr_t next = 1 << 20;

  BufferCache::Get get() {
    return [this](size_t bytes) -> void* {
      if (bytes > most - held) return nullptr;
      held += bytes;
      got.push_back(bytes);
      return reinterpret_cast<void*>(next += 1 << 20);
    };
  }
  BufferCache::Give give() {
    return [this](void*, size_t bytes) {
      held -= bytes;
      given.push_back(bytes);
    };
  }
};

constexpr size_t kNone = size_t(-1), MiB = size_t{1} << 20;

TEST(BufferCache, RoundsSizesUpToLinesAndPages) {
  System system;
  BufferCache cache(system.get(), system.give(), kNone, kNone);
  for (size_t bytes :
       {size_t{0}, size_t{1}, size_t{64}, size_t{65}, 2 * MiB - 1, 2 * MiB, 2 * MiB + 1}) {
    const Buffer b = cache.allocate(bytes);
    EXPECT_GE(b.size, std::max<size_t>(bytes, 1));
    EXPECT_EQ(b.size, system.got.back());
  }
  EXPECT_EQ(system.got, (Sizes{64, 64, 64, 128, 2 * MiB, 2 * MiB, 2 * MiB + 4096}));
}

TEST(BufferCache, ReusesSmallBlocksOfTheSameSizeOnly) {
  System system;
  BufferCache cache(system.get(), system.give(), kNone, kNone);
  const Buffer a = cache.allocate(4096), b = cache.allocate(128);
  cache.release(a), cache.release(b);
  EXPECT_EQ(cache.active(), 0u);
  EXPECT_EQ(cache.cached(), 4224u);
  EXPECT_NE(cache.allocate(64).data, b.data);  // 128 bytes would do, but stay what they are
  EXPECT_EQ(cache.allocate(100).data, b.data);
  EXPECT_EQ(cache.allocate(4033).data, a.data);
  EXPECT_EQ(cache.cached(), 0u);
  EXPECT_EQ(cache.active(), 64u + 128 + 4096);
}

TEST(BufferCache, ReusesLargeBlocksThatAreAtMostAnEighthTooLarge) {
  System system;
  BufferCache cache(system.get(), system.give(), kNone, kNone);
  const Buffer nine = cache.allocate(9 << 12), ten = cache.allocate(10 << 12);
  cache.release(ten), cache.release(nine);
  const Buffer eight = cache.allocate(8 << 12);
  EXPECT_EQ(eight.data, nine.data);  // the smallest that fits
  EXPECT_EQ(eight.size, nine.size);  // and it keeps its size
  EXPECT_EQ(cache.active(), nine.size);
  EXPECT_EQ(cache.cached(), ten.size);
  const Buffer other = cache.allocate(8 << 12);  // ten is a quarter too large
  EXPECT_NE(other.data, ten.data);
  EXPECT_EQ(system.got.size(), 3u);
  cache.release(eight), cache.release(other);
  EXPECT_EQ(cache.cached(), (8u + 9 + 10) << 12);
  EXPECT_EQ(cache.allocate(9 << 12).data, nine.data);  // just that size
}

TEST(BufferCache, CountsWhatIsHeldAndTheMostThatWas) {
  System system;
  BufferCache cache(system.get(), system.give(), kNone, kNone);
  const Buffer a = cache.allocate(1 << 12), b = cache.allocate(1 << 13);
  cache.release(a);
  EXPECT_EQ(cache.active(), 1u << 13);
  EXPECT_EQ(cache.peak(), 3u << 12);
  cache.reset_peak();
  EXPECT_EQ(cache.peak(), 1u << 13);  // what is held now, not nothing
  cache.release(cache.allocate(1 << 12));
  EXPECT_EQ(cache.peak(), 3u << 12);
  cache.release(b);
  EXPECT_EQ(cache.peak(), 3u << 12);
}

TEST(BufferCache, TheLimitHoldsToTheByte) {
  System system;
  BufferCache cache(system.get(), system.give(), 8192, kNone);
  EXPECT_EQ(cache.limit(), 8192u);
  const Buffer a = cache.allocate(4096);
  EXPECT_THROW(cache.allocate(4097), std::runtime_error);
  EXPECT_THROW(cache.allocate(size_t(-1)), std::runtime_error);
  EXPECT_THROW(cache.allocate(size_t(-1) - 4095), std::runtime_error);  // the sum would wrap to 0
  EXPECT_EQ(cache.active(), 4096u);
  const Buffer b = cache.allocate(4096);
  EXPECT_EQ(cache.set_limit(0), 8192u);
  EXPECT_EQ(cache.limit(), 0u);
  EXPECT_THROW(cache.allocate(1), std::runtime_error);
  cache.release(a), cache.release(b);
}

TEST(BufferCache, CachedBlocksMakeRoomBelowTheLimit) {
  System system;
  BufferCache cache(system.get(), system.give(), 16384, kNone);
  cache.release(cache.allocate(8192));
  const Buffer a = cache.allocate(6144);  // fits beside what is cached
  EXPECT_TRUE(system.given.empty());
  const Buffer b = cache.allocate(10240);
  EXPECT_EQ(system.given, (Sizes{8192}));
  EXPECT_LE(system.held, 16384u);
  cache.release(a), cache.release(b);
}

TEST(BufferCache, CachedBlocksAreGivenBackWhenTheSystemHasNoMore) {
  System system;
  system.most = 3 << 12;
  BufferCache cache(system.get(), system.give(), kNone, kNone);
  cache.release(cache.allocate(2 << 12));
  const Buffer all = cache.allocate(3 << 12);  // only without the cached block
  EXPECT_EQ(system.given, (Sizes{2 << 12}));
  EXPECT_THROW(cache.allocate(1 << 12), std::runtime_error);
  EXPECT_EQ(cache.active(), 3u << 12);
  cache.release(all);
}

TEST(BufferCache, MoreThanTheCacheMayHoldGoesBackLargestFirst) {
  System system;
  {
    BufferCache cache(system.get(), system.give(), kNone, 3 << 12);
    const Buffer a = cache.allocate(2 << 12), b = cache.allocate(5000), c = cache.allocate(256);
    cache.release(c), cache.release(b);
    EXPECT_TRUE(system.given.empty());
    cache.release(a);
    EXPECT_EQ(system.given, (Sizes{2 << 12}));
    EXPECT_EQ(cache.cached(), 5056u + 256);
    EXPECT_EQ(cache.set_cache_limit(255), size_t(3 << 12));
    EXPECT_EQ(cache.cached(), 0u);
    EXPECT_EQ(cache.set_cache_limit(256), 255u);
    cache.release(cache.allocate(256));
    EXPECT_EQ(cache.cached(), 256u);  // just as much as it may
    cache.set_cache_limit(8192);
    cache.release(cache.allocate(7936));
    EXPECT_EQ(cache.cached(), 8192u);
    cache.clear();
    const Buffer some = cache.allocate(8192), more = cache.allocate(16384);
    cache.release(some), cache.release(more);
    EXPECT_EQ(cache.cached(), 8192u);  // no more goes back than must
    cache.clear();
    EXPECT_EQ(cache.cached(), 0u);
    cache.release(cache.allocate(100));
  }
  EXPECT_EQ(system.held, 0u);  // nor does one that ends keep anything
}

TEST(Memory, HostLimitsReturnTheOneBefore) {
  const size_t limit = get_memory_limit();
  EXPECT_GT(limit, MiB);
  EXPECT_EQ(set_memory_limit(limit - 1), limit);
  EXPECT_EQ(set_memory_limit(limit), limit - 1);
  const size_t cache = set_cache_limit(0);
  host_memory().release(host_memory().allocate(3 * MiB));
  EXPECT_EQ(get_cache_memory(), 0u);
  EXPECT_EQ(set_cache_limit(cache), 0u);
  host_memory().release(host_memory().allocate(3 * MiB));
  EXPECT_GE(get_cache_memory(), 3 * MiB);
  reset_peak_memory();
  EXPECT_EQ(get_peak_memory(), get_active_memory());
}

}  // namespace
}  // namespace hearth
