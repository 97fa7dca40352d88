// MLX's fast.h, in front of hearth.
#pragma once
#include "mlx/mlx.h"
