// Device memory: a pool for each stream, and copies to and from the host at the speed of the bus.
#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "hearth/backend/cuda/cuda.h"
#include "hearth/backend/pool.h"

namespace hearth::cuda {

namespace {

constexpr size_t kPiece = size_t{4} << 20;  // of a staged copy
constexpr int kPieces = 4;                  // in flight

// Pinned host memory through which pageable memory travels: cudaMemcpyAsync from pageable memory
// copies with one thread, which is slower than the bus.
class Staging {
 public:
  explicit Staging(int card) {
    check_cuda(cudaSetDevice(card), "staging");
    for (Slot& s : slots_) {
      check_cuda(cudaHostAlloc(reinterpret_cast<void**>(&s.data), kPiece, cudaHostAllocDefault),
                 "pinned memory for copies");
      check_cuda(cudaEventCreateWithFlags(&s.sent, cudaEventDisableTiming), "event");
    }
  }
  void send(const std::byte* from, std::byte* to, size_t bytes, cudaStream_t stream) {
    std::lock_guard lock(mutex_);
    for (size_t at = 0; at < bytes; at += kPiece) {
      const size_t n = std::min(kPiece, bytes - at);
      Slot& s = slots_[next_++ % kPieces];
      check_cuda(cudaEventSynchronize(s.sent), "copy to the device");
      constexpr size_t kPart = size_t{256} << 10;
      cpu::parallel_for(int64_t((n + kPart - 1) / kPart), [&](int64_t i) {
        const size_t start = size_t(i) * kPart;
        std::memcpy(s.data + start, from + at + start, std::min(kPart, n - start));
      });
      check_cuda(cudaMemcpyAsync(to + at, s.data, n, cudaMemcpyHostToDevice, stream),
                 "copy to the device");
      check_cuda(cudaEventRecord(s.sent, stream), "copy to the device");
    }
  }

 private:
  struct Slot {
    std::byte* data = nullptr;
    cudaEvent_t sent = nullptr;
  };
  std::mutex mutex_;
  Slot slots_[kPieces];
  size_t next_ = 0;
};

Staging& staging(int card) {  // one a card, never freed: copies may run until the process ends
  static std::mutex mutex;
  static std::vector<std::unique_ptr<Staging>>& all = *new std::vector<std::unique_ptr<Staging>>;
  std::lock_guard lock(mutex);
  if (all.size() <= size_t(card)) all.resize(size_t(card) + 1);
  if (!all[size_t(card)]) all[size_t(card)] = std::make_unique<Staging>(card);
  return *all[size_t(card)];
}

std::mutex pools_mutex;
std::vector<const Memory*>& pools() {
  static std::vector<const Memory*>& all = *new std::vector<const Memory*>;
  return all;
}

}  // namespace

DeviceMemory memory_of(int card) {
  DeviceMemory m;
  check_cuda(cudaSetDevice(card), "memory");
  check_cuda(cudaMemGetInfo(&m.free, &m.total), "memory");
  std::lock_guard lock(pools_mutex);
  for (const Memory* pool : pools())
    if (pool->device().index == card) {
      const BufferCache& c = pool->cache();
      m.active += c.active(), m.peak += c.peak(), m.cached += c.cached();
    }
  return m;
}

Memory::Memory(int card, cudaStream_t stream)
    : card_(card),
      stream_(stream),
      cache_([this](size_t bytes) { return get(bytes); },
             [this](void* data, size_t) {
               cudaSetDevice(card_);
               cudaFree(data);
             },
             cuda::card(card).memory, cuda::card(card).memory) {
  std::lock_guard lock(pools_mutex);
  pools().push_back(this);
}
Memory::~Memory() {
  std::lock_guard lock(pools_mutex);
  std::erase(pools(), this);
}

void* Memory::get(size_t bytes) {
  check_cuda(cudaSetDevice(card_), "allocate");
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, bytes);
  // The cache gives up what it holds and asks again: refused twice, there is no more.
  thread_local size_t refused = 0;
  const bool again = std::exchange(refused, status == cudaSuccess ? 0 : bytes) == bytes;
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // this error is not sticky: cleared
    if (!again) return nullptr;
    refused = 0;
    size_t free = 0, total = 0;
    check_cuda(cudaMemGetInfo(&free, &total), "allocate");
    ensure(false, "allocate: ", bytes >> 20, " MiB asked on ", Device(Device::cuda, card_), ", ",
           (total - free) >> 20, " of ", total >> 20, " MiB in use by all programs, ", free >> 20,
           " free; use a smaller batch, context or dtype, or end another program on the card");
  }
  check_cuda(status, "allocate");
  return data;
}

void Memory::read(const Buffer& from, void* host, size_t bytes) const {
  check_cuda(cudaSetDevice(card_), "copy to the host");
  check_cuda(cudaMemcpyAsync(host, from.data, bytes, cudaMemcpyDeviceToHost, stream_),
             "copy to the host");
  check_cuda(cudaStreamSynchronize(stream_), "copy to the host");
}

void Memory::write(const void* host, const Buffer& to, size_t bytes) const {
  check_cuda(cudaSetDevice(card_), "copy to the device");
  if (bytes <= (size_t{64} << 10)) {  // the driver takes small copies in at once
    check_cuda(cudaMemcpyAsync(to.data, host, bytes, cudaMemcpyHostToDevice, stream_),
               "copy to the device");
    return;
  }
  staging(card_).send(static_cast<const std::byte*>(host), static_cast<std::byte*>(to.data), bytes,
                      stream_);
}

}  // namespace hearth::cuda
