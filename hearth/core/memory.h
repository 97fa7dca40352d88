// Bytes: buffers, allocators, the cache that recycles them, and the counters.
#pragma once
#include <exception>
#include <functional>
#include <memory>
#include <vector>

#include "hearth/base/ref.h"
#include "hearth/core/device.h"

namespace hearth {

/// Bytes of one device, at an address of that device.
struct Buffer {
  void* data = nullptr;
  size_t size = 0;  // as allocated: at least what was asked
};

class Allocator {
 public:
  virtual ~Allocator() = default;
  /// 64-byte aligned, at least `bytes`; throws std::runtime_error with the numbers when there is
  /// none.
  virtual Buffer allocate(size_t bytes) = 0;
  virtual void release(Buffer buffer) = 0;
  /// Whose memory it is; the CPU's is the host's.
  virtual Device device() const { return Device::cpu; }
  /// From this memory to the host's; returns when the bytes are there.
  virtual void read(const Buffer& from, void* host, size_t bytes) const;
  /// The other way; returns when `host` may change. What runs here later sees the bytes.
  virtual void write(const void* host, const Buffer& to, size_t bytes) const;
};

/// The memory behind one or more arrays. Filled when its operation runs; fails with it. It has one
/// home, where it was written last, and copies on other devices, made when they first read it.
struct Storage : RefCounted {
  Buffer buffer;                       // the home
  Allocator* owner = nullptr;          // null: foreign host memory, freed by deleter, never written
  std::atomic<std::byte*> host{};      // where the host finds the bytes; null: nowhere yet
  std::function<void(void*)> deleter;  // for foreign memory
  std::exception_ptr error;            // why there is no buffer
  struct Copy {
    Buffer buffer;
    Allocator* owner;
  };
  std::vector<Copy> copies;

  ~Storage() {
    for (const Copy& c : copies) c.owner->release(c.buffer);
    if (owner && buffer.data) owner->release(buffer);
    if (deleter) deleter(buffer.data);
  }
  /// Takes a buffer as its home.
  void settle(Buffer home, Allocator& at) {
    buffer = home, owner = &at;
    host = at.device() == Device::cpu ? static_cast<std::byte*>(home.data) : nullptr;
  }
  /// The address of the bytes for the work of `here`, copied there if they are not.
  void* on(Allocator& here);
  /// The same, and makes it the home, to be written to: other copies are given up.
  void* move_to(Allocator& here);
};
inline void destroy(Storage* s) { delete s; }

/// Recycles freed blocks: an allocator of a device gives it two functions and gets a cache, the
/// limits and the counters. Thread-safe.
class BufferCache : public Allocator {
 public:
  using Get = std::function<void*(size_t bytes)>;  // null: no memory
  using Give = std::function<void(void* data, size_t bytes)>;
  BufferCache(Get get, Give give, size_t memory_limit, size_t cache_limit);
  ~BufferCache() override;
  Buffer allocate(size_t bytes) override;
  void release(Buffer buffer) override;

  size_t active() const, peak() const, cached() const, limit() const;
  void reset_peak();
  size_t set_limit(size_t bytes);        // returns the one before
  size_t set_cache_limit(size_t bytes);  // returns the one before
  void clear();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Of the host's memory, in bytes. Active: held by arrays. Cached: freed, kept for reuse.
size_t get_active_memory();
size_t get_peak_memory();
void reset_peak_memory();
size_t get_cache_memory();
/// An allocation that would exceed it throws; by default what the machine has. Returns the old one.
size_t set_memory_limit(size_t bytes);
size_t get_memory_limit();
/// Freed memory above it goes back to the system. Returns the old one.
size_t set_cache_limit(size_t bytes);
void clear_cache();

/// The host's allocator.
BufferCache& host_memory();

}  // namespace hearth
