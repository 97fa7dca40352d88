// MLX's io.h, in front of hearth.
#pragma once
#include "mlx/mlx.h"
