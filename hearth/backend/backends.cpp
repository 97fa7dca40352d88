// The list of backends: the CPU is linked in, others register themselves.
#include <mutex>

#include "hearth/backend/cpu/cpu.h"
#include "hearth/core/backend.h"

namespace hearth {

namespace {
std::mutex mutex;
std::vector<Backend*>& list() {
  static std::vector<Backend*>& all = *new std::vector<Backend*>{&cpu::backend()};
  return all;
}
}  // namespace

std::span<Backend* const> backends() { return list(); }

Backend* backend(Device::DeviceType type) {
  for (Backend* b : list())
    if (b->type() == type) return b;
  return nullptr;
}

void register_backend(Backend& b) {
  std::lock_guard lock(mutex);
  list().push_back(&b);
}

}  // namespace hearth
