// All public operations, and eval.
#pragma once
#include "hearth/core/eval.h"
#include "hearth/ops/conv.h"
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/experts.h"
#include "hearth/ops/fast.h"
#include "hearth/ops/index.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/random.h"
#include "hearth/ops/recurrent.h"
#include "hearth/ops/reduce.h"
