// What a backend's own library offers: libhearth-cuda.so, beside libhearth.
#pragma once
#include <string>

#include "hearth/core/backend.h"

namespace hearth {

/// Raised with every change of what plug-ins and libhearth share. A library with another number is
/// refused.
inline constexpr int kAbi = 2;

/// The two symbols of a plug-in.
extern "C" {
using PluginAbi = int();
/// Null, with a sentence in `why`, when the machine has no such device.
using PluginOpen = Backend*(std::string& why);
}

}  // namespace hearth
