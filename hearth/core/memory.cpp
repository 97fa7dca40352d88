#include "hearth/core/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "hearth/base/error.h"

namespace hearth {

namespace {

constexpr size_t kAlign = 64;
constexpr size_t kHuge = size_t{2} << 20;  // from here on, blocks are mapped with huge pages
constexpr size_t kPage = 4096;
constexpr size_t kSmall = 4096;  // up to here, blocks are recycled by exact size class

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

void* host_get(size_t bytes) {
  if (bytes < kHuge) return std::aligned_alloc(kAlign, bytes);
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  madvise(p, bytes, MADV_HUGEPAGE);  // advice: a kernel without them serves plain pages
  return p;
}

void host_give(void* p, size_t bytes) {
  if (bytes < kHuge)
    std::free(p);
  else
    munmap(p, bytes);
}

size_t machine_memory() {
  const size_t physical = size_t(sysconf(_SC_PHYS_PAGES)) * size_t(sysconf(_SC_PAGE_SIZE));
  size_t limit = physical;
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    size_t bytes = 0;
    if (std::ifstream(path) >> bytes && bytes > 0) limit = std::min(limit, bytes);
  }
  return limit;
}

std::mutex copies_mutex;  // of every storage's copies: they are made once and seldom

}  // namespace

void Allocator::read(const Buffer& from, void* host, size_t bytes) const {
  std::memcpy(host, from.data, bytes);
}
void Allocator::write(const void* host, const Buffer& to, size_t bytes) const {
  std::memcpy(to.data, host, bytes);
}

void* Storage::on(Allocator& here) {
  const Device device = here.device();
  if (device == Device::cpu && host) return host;
  if (owner && owner->device() == device) return buffer.data;
  if (!owner && !host) return buffer.data;  // donated: the kernel that writes over it reads it too
  std::lock_guard lock(copies_mutex);
  for (const Copy& c : copies)
    if (c.owner->device() == device) return c.buffer.data;
  if (!host) {
    const Buffer b = host_memory().allocate(buffer.size);
    copies.push_back({b, &host_memory()});
    owner->read(buffer, b.data, buffer.size);
    host = static_cast<std::byte*>(b.data);
  }
  if (device == Device::cpu) return host;
  const Buffer b = here.allocate(buffer.size);
  copies.push_back({b, &here});
  here.write(host, b, buffer.size);
  return b.data;
}

void* Storage::move_to(Allocator& here) {
  void* data = on(here);
  if (owner && owner->device() == here.device()) {  // it is home: only the others are stale
    for (const Copy& c : copies) c.owner->release(c.buffer);
    copies.clear();
  } else {
    const auto mine = std::find_if(copies.begin(), copies.end(),
                                   [&](const Copy& c) { return c.buffer.data == data; });
    ensure(owner && mine != copies.end(), "write in place: the memory is foreign; copy it first");
    const Copy home = *mine;
    copies.erase(mine);
    for (const Copy& c : copies) c.owner->release(c.buffer);
    copies.clear();
    owner->release(buffer);
    settle(home.buffer, *home.owner);
  }
  if (here.device() != Device::cpu) host = nullptr;
  return data;
}

struct BufferCache::Impl {
  Get get;
  Give give;
  mutable std::mutex mutex;
  size_t limit, cache_limit;
  size_t active = 0, peak = 0, cached = 0;
  std::vector<void*> small[kSmall / kAlign + 1];  // by size / kAlign
  std::multimap<size_t, void*> large;             // by size

  void drop_to(size_t bytes) {  // gives cached blocks back until at most `bytes` are cached
    while (cached > bytes && !large.empty()) {
      auto biggest = std::prev(large.end());
      give(biggest->second, biggest->first);
      cached -= biggest->first;
      large.erase(biggest);
    }
    for (size_t i = 0; i <= kSmall / kAlign; ++i)
      while (cached > bytes && !small[i].empty()) {
        give(small[i].back(), i * kAlign);
        cached -= i * kAlign;
        small[i].pop_back();
      }
  }
  void* reuse(size_t& size) {  // may enlarge size to the block's
    if (size <= kSmall) {
      auto& list = small[size / kAlign];
      if (list.empty()) return nullptr;
      void* p = list.back();
      list.pop_back();
      return p;
    }
    auto it = large.lower_bound(size);
    if (it == large.end() || it->first > size + size / 8) return nullptr;
    void* p = it->second;
    size = it->first;
    large.erase(it);
    return p;
  }
};

BufferCache::BufferCache(Get get, Give give, size_t memory_limit, size_t cache_limit)
    : impl_(new Impl{
          std::move(get), std::move(give), {}, memory_limit, cache_limit, 0, 0, 0, {}, {}}) {}
BufferCache::~BufferCache() { clear(); }

Buffer BufferCache::allocate(size_t bytes) {
  Impl& m = *impl_;
  std::lock_guard lock(m.mutex);
  ensure(bytes <= m.limit && m.active + bytes <= m.limit, "allocate: ", bytes, " bytes asked, ",
         m.active, " in use, the limit is ", m.limit,
         "; use a smaller batch, context or dtype, or set_memory_limit");
  size_t size = std::max(bytes, kAlign);
  size = round_up(size, size < kHuge ? kAlign : kPage);
  void* p = m.reuse(size);
  if (p) {
    m.cached -= size;
  } else {
    if (m.active + m.cached + size > m.limit) m.drop_to(0);
    p = m.get(size);
    if (!p) {
      m.drop_to(0);
      p = m.get(size);
    }
    ensure(p, "allocate: the system has no ", bytes, " bytes left, ", m.active, " are in use");
  }
  m.active += size;
  m.peak = std::max(m.peak, m.active);
  return {p, size};
}

void BufferCache::release(Buffer buffer) {
  Impl& m = *impl_;
  std::lock_guard lock(m.mutex);
  m.active -= buffer.size;
  m.cached += buffer.size;
  if (buffer.size <= kSmall)
    m.small[buffer.size / kAlign].push_back(buffer.data);
  else
    m.large.emplace(buffer.size, buffer.data);
  if (m.cached > m.cache_limit) m.drop_to(m.cache_limit);
}

size_t BufferCache::active() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->active;
}
size_t BufferCache::peak() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->peak;
}
size_t BufferCache::cached() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->cached;
}
size_t BufferCache::limit() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->limit;
}
void BufferCache::reset_peak() {
  std::lock_guard lock(impl_->mutex);
  impl_->peak = impl_->active;
}
size_t BufferCache::set_limit(size_t bytes) {
  std::lock_guard lock(impl_->mutex);
  return std::exchange(impl_->limit, bytes);
}
size_t BufferCache::set_cache_limit(size_t bytes) {
  std::lock_guard lock(impl_->mutex);
  const size_t before = std::exchange(impl_->cache_limit, bytes);
  impl_->drop_to(bytes);
  return before;
}
void BufferCache::clear() {
  std::lock_guard lock(impl_->mutex);
  impl_->drop_to(0);
}

BufferCache& host_memory() {
  // Never destroyed: arrays with static lifetime may release after main.
  static BufferCache& cache = *new BufferCache(host_get, host_give, machine_memory(),
                                               std::min(machine_memory() / 8, size_t{1} << 30));
  return cache;
}
size_t get_active_memory() { return host_memory().active(); }
size_t get_peak_memory() { return host_memory().peak(); }
void reset_peak_memory() { host_memory().reset_peak(); }
size_t get_cache_memory() { return host_memory().cached(); }
size_t set_memory_limit(size_t bytes) { return host_memory().set_limit(bytes); }
size_t get_memory_limit() { return host_memory().limit(); }
size_t set_cache_limit(size_t bytes) { return host_memory().set_cache_limit(bytes); }
}  // namespace hearth
