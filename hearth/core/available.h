// A device that is named must be there.
#pragma once
#include <string_view>

#include "hearth/core/device.h"

namespace hearth {

/// Throws std::invalid_argument naming `who` and the devices that there are, unless this is one.
void check_available(Device device, std::string_view who);

}  // namespace hearth
