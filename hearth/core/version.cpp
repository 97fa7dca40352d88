// The version that CMakeLists.txt names.
#include "hearth/core/utils.h"

namespace hearth {

const char* version() { return HEARTH_VERSION; }

}  // namespace hearth
