// All public operations.
#pragma once
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/fast.h"
#include "hearth/ops/index.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/random.h"
#include "hearth/ops/reduce.h"
