// MLX's random.h, in front of hearth.
#pragma once
#include "mlx/mlx.h"
