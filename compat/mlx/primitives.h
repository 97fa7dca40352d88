// MLX's primitives.h, in front of hearth: an elementwise operation alone has a type of its own;
// what compile joins is hearth's Map. They are immutable, and their parameters are hearth's.
#pragma once
#include "hearth/ops/primitives.h"
#include "mlx.h"

namespace hearth {

using Compiled = const Map;
#define HEARTH_MLX(name, op) using name = Elementwise<ElementOp::op>;
// clang-format off
HEARTH_MLX(Abs, abs) HEARTH_MLX(Add, add) HEARTH_MLX(ArcCos, arccos) HEARTH_MLX(ArcCosh, arccosh)
HEARTH_MLX(ArcSin, arcsin) HEARTH_MLX(ArcSinh, arcsinh) HEARTH_MLX(ArcTan, arctan)
HEARTH_MLX(ArcTan2, arctan2) HEARTH_MLX(ArcTanh, arctanh) HEARTH_MLX(AsType, astype)
HEARTH_MLX(BitwiseInvert, bitwise_invert) HEARTH_MLX(Ceil, ceil) HEARTH_MLX(Conjugate, conjugate)
HEARTH_MLX(Cos, cos) HEARTH_MLX(Cosh, cosh) HEARTH_MLX(Divide, divide) HEARTH_MLX(Select, where)
HEARTH_MLX(Remainder, remainder) HEARTH_MLX(Equal, equal) HEARTH_MLX(Erf, erf)
HEARTH_MLX(ErfInv, erfinv) HEARTH_MLX(Exp, exp) HEARTH_MLX(Expm1, expm1) HEARTH_MLX(Floor, floor)
HEARTH_MLX(FloorDivide, floor_divide) HEARTH_MLX(Greater, greater)
HEARTH_MLX(GreaterEqual, greater_equal) HEARTH_MLX(Imag, imag) HEARTH_MLX(Less, less)
HEARTH_MLX(LessEqual, less_equal) HEARTH_MLX(Log, log) HEARTH_MLX(Log1p, log1p)
HEARTH_MLX(LogicalNot, logical_not) HEARTH_MLX(LogicalAnd, logical_and)
HEARTH_MLX(LogicalOr, logical_or) HEARTH_MLX(LogAddExp, logaddexp) HEARTH_MLX(Maximum, maximum)
HEARTH_MLX(Minimum, minimum) HEARTH_MLX(Multiply, multiply) HEARTH_MLX(Negative, negative)
HEARTH_MLX(NotEqual, not_equal) HEARTH_MLX(Power, power) HEARTH_MLX(Real, real)
HEARTH_MLX(Round, round) HEARTH_MLX(Sigmoid, sigmoid) HEARTH_MLX(Sign, sign) HEARTH_MLX(Sin, sin)
HEARTH_MLX(Sinh, sinh) HEARTH_MLX(Square, square) HEARTH_MLX(Sqrt, sqrt)
HEARTH_MLX(Subtract, subtract) HEARTH_MLX(Tan, tan) HEARTH_MLX(Tanh, tanh)
// clang-format on
#undef HEARTH_MLX

}  // namespace hearth
