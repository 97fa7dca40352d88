// MLX's device.h, in front of hearth.
#pragma once
#include "mlx/mlx.h"
