// A backend without hardware: two devices whose memories are apart, from each other and from the
// host's. It writes down what it runs, and can add and assign.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "hearth/backend/batch_queue.h"
#include "hearth/core/backend.h"
#include "hearth/core/eval.h"
#include "hearth/ops/primitives.h"

namespace hearth::testing {

/// Computes nothing; leaves its name in the log.
struct Named : OwnOp<Named> {
  HEARTH_FIELDS(text)
  explicit Named(std::string text) : text(std::move(text)) {}
  std::string_view name() const override { return text; }
  Specs infer(std::span<const array> in) const override { return {{in[0].shape(), in[0].dtype()}}; }
  bool donates() const override { return true; }
  const std::string text;
};
/// The sum of its float32 inputs, element by element, and one; on every device.
struct PlusOne : OwnOp<PlusOne> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "plus_one"; }
  Specs infer(std::span<const array> in) const override { return {{in[0].shape(), float32}}; }
  bool donates() const override { return true; }
};
/// Only the CPU can run it: x + 1.
struct CpuOnly : OwnOp<CpuOnly> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "cpu_only"; }
  Specs infer(std::span<const array> in) const override { return {{in[0].shape(), in[0].dtype()}}; }
};

inline array named(const char* text, const array& x) {
  return hearth::apply(std::make_shared<Named>(text), {x});
}
inline array named(const char* text, const array& x, const array& y) {
  return hearth::apply(std::make_shared<Named>(text), {x, y});
}
inline array plus_one(StreamOrDevice where, const Arrays& in) {
  StreamScope scope(where);
  return hearth::apply(std::make_shared<PlusOne>(), SmallVector<array, 3>(in.begin(), in.end()));
}

class NullMemory : public BufferCache {
 public:
  explicit NullMemory(int index)
      : BufferCache([](size_t n) { return std::memset(std::malloc(n), 0xee, n); },
                    [](void* p, size_t n) { std::free(std::memset(p, 0xdd, n)); }, size_t(-1), 0),
        device_(Device::vulkan, index) {}
  Device device() const override { return device_; }

 private:
  const Device device_;
};
inline NullMemory& null_memory(int index) {
  static NullMemory& first = *new NullMemory(0);
  static NullMemory& second = *new NullMemory(1);
  return index == 0 ? first : second;
}

class NullQueue : public BatchQueue {
 public:
  explicit NullQueue(Stream stream) : memory_(null_memory(stream.device.index)) {}
  ~NullQueue() override { close(); }
  Allocator& allocator() override { return memory_; }
  std::vector<std::string> log;

  /// The elements where this device has them.
  float* there(const array& a) {
    return static_cast<float*>(a.node().storage->on(memory_)) + a.node().offset;
  }

 protected:
  void execute(Batch& batch) override {
    for (const Event& e : batch.after)
      if (!e->done) e->queue->wait(e);
    for (Work& w : batch.work) run(w, *this);
    batch.done->done = 1;
  }
  void finish(const Event&) override {}

 private:
  NullMemory& memory_;
};

inline void log_name(const Named& op, const Args&, NullQueue& queue) {
  queue.log.emplace_back(op.name());
}
inline void plus_one_there(const PlusOne&, const Args& args, NullQueue& queue) {
  float* y = queue.there(args.out[0]);
  for (size_t i = 0; i < args.out[0].size(); ++i) {
    float sum = 1;
    for (const array& x : args.in) sum += queue.there(x)[i];
    y[i] = sum;
  }
}
inline void assign_there(const Assign&, const Args& args, NullQueue& queue) {
  std::memcpy(queue.there(args.out[0]), queue.there(args.in[1]), args.in[1].nbytes());
}
inline void plus_one_here(const PlusOne&, const Args& args, Queue&) {
  for (size_t i = 0; i < args.out[0].size(); ++i) {
    float sum = 1;
    for (const array& x : args.in) sum += ptr<float>(x)[i];
    ptr<float>(args.out[0])[i] = sum;
  }
}
inline void cpu_only(const CpuOnly&, const Args& args, Queue&) {
  for (size_t i = 0; i < args.out[0].size(); ++i)
    ptr<float>(args.out[0])[i] = ptr<float>(args.in[0])[i] + 1;
}

class NullBackend : public Backend {
 public:
  NullBackend() { kernels.add<&log_name>().add<&plus_one_there>().add<&assign_there>(); }
  Device::DeviceType type() const override { return Device::vulkan; }
  int device_count() const override { return 2; }
  std::string describe(int) const override { return "nothing"; }
  DeviceMemory memory(int index) const override {
    const NullMemory& m = null_memory(index);
    return {m.active(), m.peak(), m.cached(), free, free};
  }
  std::unique_ptr<Queue> queue(Stream stream) override {
    auto q = std::make_unique<NullQueue>(stream);
    last = q.get();
    return q;
  }
  NullQueue* last = nullptr;
  size_t free = 0;  // bytes of memory that it says; 0: it says nothing
};

/// The one of this process.
inline NullBackend& null_backend() {
  static NullBackend& b = [&]() -> NullBackend& {
    auto* made = new NullBackend;
    register_backend(*made);
    backend(Device::cpu)->kernels.add<&cpu_only>().add<&plus_one_here>();
    return *made;
  }();
  return b;
}

}  // namespace hearth::testing
