// A backend = memory + queues + a table of kernels. Core knows none by name.
#pragma once
#include <algorithm>
#include <deque>
#include <optional>
#include <string>

#include "hearth/core/primitive.h"

namespace hearth {

/// When a batch of work is done. Waiting throws nothing: errors travel with the storage.
struct EventState : RefCounted {
  explicit EventState(class Queue* queue) : queue(queue) {}
  std::atomic<uint32_t> started{0};  // a device has the work: what it is given later comes after
  std::atomic<uint32_t> done{0};
  class Queue* const queue;
};
inline void destroy(EventState* e) { delete e; }
using Event = Ref<EventState>;

struct Args {
  std::span<const array> in;
  std::span<const array> out;  // storage is there, row-major (or as the primitive writes into)
};
using Kernel = void (*)(const Primitive& op, const Args& args, class Queue& queue);
/// Can this kernel take these inputs? Inputs are scheduled: shapes, dtypes and strides are known.
using Fits = bool (*)(const Primitive& op, std::span<const array> in);

/// The element type is the caller's knowledge: for kernels, on arrays that are there.
template <class T>
T* ptr(const array& a) {
  return reinterpret_cast<T*>(a.node().data());
}

/// One call of a kernel.
struct Work {
  Kernel kernel;
  std::shared_ptr<const Primitive> op;
  SmallVector<array, 3> in;
  SmallVector<array, 1> out;
};
/// Work in order, after `after`, announced by `done`.
struct Batch {
  std::vector<Event> after;
  std::vector<Work> work;
  Event done;
};

/// Work that runs any number of times, on the same memory.
class Program {
 public:
  virtual ~Program() = default;
  /// Runs it, or starts it on the device.
  virtual void start(class Queue& queue) = 0;
};

/// What a stream drives. submit and flush are called by one thread at a time.
class Queue {
 public:
  virtual ~Queue() = default;
  /// Where its outputs go.
  virtual Allocator& allocator() = 0;
  virtual void submit(Batch batch) = 0;
  /// Makes sure that what was submitted will run without anyone waiting.
  virtual void flush() = 0;
  /// Returns when `event`, of this queue, is done.
  virtual void wait(const Event& event) = 0;
  /// Is `event`, of this queue, done? Asks the device, does not wait.
  virtual bool done(const EventState& event) {
    return event.done.load(std::memory_order_acquire) != 0;
  }
  /// The work as a program; the queue is idle.
  virtual std::unique_ptr<Program> program(std::vector<Work> work);
};

/// Runs, or starts on the device, one piece of work on the calling thread: the inputs brought
/// there, storage for the outputs (donated where possible), the kernel, the inputs dropped. An
/// error goes to the outputs' storage.
void run(Work& work, Queue& queue);
/// The first half of run: the inputs brought, storage for the outputs (donated only if `donate`).
void prepare(Work& work, Queue& queue, bool donate);

/// Kernels by primitive. The op and the queue type are read off the kernel's own signature:
/// void(const Op&, const Args&, QueueType&). Filled while nothing is evaluated: no
/// lock guards it.
class KernelTable {
 public:
  template <auto F>
  KernelTable& add(Fits fits = nullptr) {
    return add_(F, std::integral_constant<decltype(F), F>{}, fits);
  }
  /// Null: none for this primitive, or it declines these inputs.
  Kernel find(const Primitive& op, std::span<const array> in) const {
    if (size_t(op.id) >= table_.size()) return nullptr;
    const Entry& e = table_[op.id];
    return e.kernel && (!e.fits || e.fits(op, in)) ? e.kernel : nullptr;
  }

 private:
  struct Entry {
    Kernel kernel = nullptr;
    Fits fits = nullptr;
  };
  template <class P, class Q, class C>
  KernelTable& add_(void (*)(const P&, const Args&, Q&), C, Fits fits) {
    const size_t id = size_t(P::kernel_id());
    if (id >= table_.size()) table_.resize(id + 1);
    table_[id] = {[](const Primitive& p, const Args& a, Queue& q) {
                    C::value(static_cast<const P&>(p), a, static_cast<Q&>(q));
                  },
                  fits};
    return *this;
  }
  std::vector<Entry> table_;
};

/// Of one device's memory, in bytes, by hearth's allocator (get_active_memory and its kin are the
/// host's).
struct DeviceMemory {
  size_t active = 0, peak = 0, cached = 0;
  size_t free = 0, total = 0;  // as the driver says, all programs together
  /// What arrays may still take: what is free, or kept for reuse, within the limit. Empty where the
  /// system does not say.
  std::optional<size_t> room() const {
    if (free == 0) return {};
    return std::min(free + cached, total - std::min(active, total));
  }
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual Device::DeviceType type() const = 0;
  virtual int device_count() const = 0;
  /// A line that names the device.
  virtual std::string describe(int index) const = 0;
  virtual DeviceMemory memory(int index) const = 0;
  /// GB/s (1e9 bytes) at which the device reads these arrays and does nothing else; several
  /// samples. Empty: not measured by the backend.
  virtual std::vector<double> read_gb_per_s(std::span<const array> arrays) {
    return (void)arrays, std::vector<double>();
  }
  /// MHz of the device's clock, measured on it by a program that lasts `seconds`; several samples.
  /// Empty: not measured by the backend.
  virtual std::vector<double> clock_mhz(int index, double seconds) {
    return (void)index, (void)seconds, std::vector<double>();
  }
  virtual std::unique_ptr<Queue> queue(Stream stream) = 0;
  KernelTable kernels;
};

/// Every backend of this process; the CPU first. Defined in backend/backends.cpp.
std::span<Backend* const> backends();
/// Null: there is none of that type.
Backend* backend(Device::DeviceType type);
/// Why there is none: a sentence; empty when there is one.
std::string backend_absence(Device::DeviceType type);
/// Adds one at run time: a plug-in, or a test's. It must outlive all use; before the first eval on
/// it.
void register_backend(Backend& backend);

}  // namespace hearth
