// MLX's graph_utils.h, in front of hearth.
#pragma once
#include "mlx/mlx.h"
