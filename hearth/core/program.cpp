// A recorded computation where a backend has nothing better: the kernels called again, in order.
#include "hearth/core/work.h"

namespace hearth {

std::exception_ptr error_of(std::span<const array> arrays) {
  for (const array& x : arrays)
    if (x.node().storage->error) return x.node().storage->error;
  return nullptr;
}

void bring(const array& input, Allocator& here) {
  Storage& storage = *input.node().storage;
  if (storage.owner != &here) storage.on(here);
}
void bring_home(const array& output, Allocator& here) {
  Storage& storage = *output.node().storage;
  if (storage.owner != &here || !storage.copies.empty()) storage.move_to(here);
}

namespace {

// Calls the kernels again, on storage that is kept.
class Calls : public Program {
 public:
  Calls(std::vector<Work> work, Queue& queue) : work_(std::move(work)) {
    for (Work& w : work_) prepare(w, queue, false);
  }
  void start(Queue& queue) override {
    for (const Ref<Storage>& storage : failed_) storage->error = nullptr;
    failed_.clear();
    for (const Work& w : work_) {
      std::exception_ptr error = error_of(w.in);
      if (!error) try {
          // Others may have read and written them elsewhere since.
          for (const array& x : w.in) bring(x, queue.allocator());
          for (const array& out : w.out) bring_home(out, queue.allocator());
          w.kernel(*w.op, {w.in, w.out}, queue);
          continue;
        } catch (...) {
          error = std::current_exception();
        }
      for (const array& out : w.out) {  // what was not computed says why, until the next run
        failed_.push_back(out.node().storage);
        failed_.back()->error = error;
      }
    }
  }

 private:
  std::vector<Work> work_;
  std::vector<Ref<Storage>> failed_;
};

}  // namespace

std::unique_ptr<Program> Queue::program(std::vector<Work> work) {
  return std::make_unique<Calls>(std::move(work), *this);
}

}  // namespace hearth
