// The list of backends: the CPU is linked in, others are libraries beside libhearth, opened when
// first asked for.
#include <dlfcn.h>

#include <array>
#include <filesystem>
#include <mutex>

#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/plugin.h"

namespace hearth {

namespace {

constexpr std::pair<Device::DeviceType, const char*> kPlugins[] = {
    {Device::cuda, "libhearth-cuda.so"},
};

struct List {
  std::mutex mutex;
  std::vector<Backend*> all{&cpu::backend()};
  std::array<std::string, std::size(kPlugins)> absence;
  std::array<std::atomic<bool>, std::size(kPlugins)> tried{};
};
List& list() {
  static List& l = *new List;
  return l;
}

// A plug-in stays open: its kernels and its memory are in use until the process ends.
Backend* open_plugin(const char* name, std::string& why) {
  Dl_info self;
  if (!dladdr(reinterpret_cast<void*>(&open_plugin), &self)) return nullptr;
  const auto path = std::filesystem::path(self.dli_fname).parent_path() / name;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* error = dlerror();
    why = std::filesystem::exists(path) ? concat(name, ": ", error)
                                        : concat("this build has no ", name);
    return nullptr;
  }
  auto* abi = reinterpret_cast<PluginAbi*>(dlsym(library, "hearth_plugin_abi"));
  auto* open = reinterpret_cast<PluginOpen*>(dlsym(library, "hearth_plugin_open"));
  if (!abi || !open || abi() != kAbi) {
    why =
        concat(name, " is of another version of hearth: its interface is ",
               abi ? concat(abi()) : "unknown", ", wanted ", kAbi, "; build both from one source");
    return nullptr;
  }
  return open(why);
}

void try_plugin(size_t i) {
  List& l = list();
  if (l.tried[i].load(std::memory_order_acquire)) return;
  std::lock_guard lock(l.mutex);
  if (l.tried[i].load(std::memory_order_relaxed)) return;
  if (Backend* b = open_plugin(kPlugins[i].second, l.absence[i])) l.all.push_back(b);
  l.tried[i].store(true, std::memory_order_release);
}

}  // namespace

std::span<Backend* const> backends() {
  for (size_t i = 0; i < std::size(kPlugins); ++i) try_plugin(i);
  return list().all;
}

Backend* backend(Device::DeviceType type) {
  for (size_t i = 0; i < std::size(kPlugins); ++i)
    if (kPlugins[i].first == type) try_plugin(i);
  for (Backend* b : list().all)
    if (b->type() == type) return b;
  return nullptr;
}

std::string backend_absence(Device::DeviceType type) {
  if (backend(type)) return {};
  for (size_t i = 0; i < std::size(kPlugins); ++i)
    if (kPlugins[i].first == type) return list().absence[i];
  return "hearth has no such backend";
}

void register_backend(Backend& b) {
  List& l = list();
  std::lock_guard lock(l.mutex);
  l.all.push_back(&b);
}

}  // namespace hearth
