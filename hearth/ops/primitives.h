// All primitives but the fused ones: their structs, parameters only. How they run is a backend's
// business. The list: op.h.
#pragma once
#include "hearth/ops/primitives_index.h"
#include "hearth/ops/primitives_map.h"
#include "hearth/ops/primitives_movement.h"
#include "hearth/ops/primitives_reduce.h"
