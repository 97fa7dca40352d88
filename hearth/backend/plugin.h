// What a backend's own library offers: libhearth-cuda.so, beside libhearth.
#pragma once
#include <string>

#include "hearth/core/backend.h"
#include "hearth/ops/primitives.h"
#include "hearth/ops/primitives_layers.h"

namespace hearth {

/// Raised when a virtual function or a member function of Backend, Queue, Allocator or Primitive
/// changes: the one thing that the number below cannot see.
inline constexpr int kInterface = 3;

/// What plug-ins and libhearth share, as a number: the lists of dtypes, operations and primitives,
/// the parameters of each primitive, and the structs that cross the border. A library with another
/// number is refused.
consteval uint64_t abi() {
  using namespace fast;
  using detail::mixed;
  uint64_t h = kInterface;
#define X(name, type, kind, text) h = mixed(mixed(h, std::string_view(text)), sizeof(type));
  HEARTH_DTYPES(X)
#undef X
#define UNARY(name, ...) h = mixed(h, std::string_view(#name));
#define BINARY(name, ...) h = mixed(h, std::string_view(#name));
#define TERNARY(name, ...) h = mixed(h, std::string_view(#name));
#include "hearth/ops/elementwise_names.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
#define X(name) h = mixed(mixed(h, std::string_view(#name)), layout_of<name>());
  HEARTH_PRIMITIVES(X)
#undef X
  for (size_t size :
       {sizeof(Node), sizeof(Storage), sizeof(EventState), sizeof(Work), sizeof(Batch),
        sizeof(Args), sizeof(KernelTable), sizeof(Backend), sizeof(DeviceMemory)})
    h = mixed(h, size);
  return h;
}
inline constexpr uint64_t kAbi = abi();

/// The two symbols of a plug-in.
extern "C" {
using PluginAbi = uint64_t();
/// Null, with a sentence in `why`, when the machine has no such device.
using PluginOpen = Backend*(std::string& why);
}

}  // namespace hearth
