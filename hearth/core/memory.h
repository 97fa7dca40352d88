// Bytes: buffers, allocators, the cache that recycles them, and the counters.
#pragma once
#include <exception>
#include <functional>
#include <memory>

#include "hearth/base/ref.h"

namespace hearth {

/// Bytes of one device. data is a host address: every backend so far shares memory with the host.
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
};

/// The memory behind one or more arrays. Filled when its operation runs; fails with it.
struct Storage : RefCounted {
  Buffer buffer;
  Allocator* owner = nullptr;          // null: foreign memory, freed by deleter, never written
  std::function<void(void*)> deleter;  // for foreign memory
  std::exception_ptr error;            // why there is no buffer
  ~Storage() {
    if (owner && buffer.data) owner->release(buffer);
    if (deleter) deleter(buffer.data);
  }
};
inline void destroy(Storage* s) { delete s; }

/// Recycles freed blocks: an allocator of a device gives it two functions and gets a cache, the
/// limits and the counters. Thread-safe.
class BufferCache : public Allocator {
 public:
  using Get = void* (*)(size_t bytes);  // null: no memory
  using Give = void (*)(void* data, size_t bytes);
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
