// The kernels of linear algebra.
#pragma once
#include "hearth/backend/cpu/cpu.h"
#include "hearth/ops/primitives_linalg.h"

namespace hearth::cpu {

void lu(const linalg::LU& op, const Args& args, CpuQueue& queue);
void solve(const linalg::Solve& op, const Args& args, CpuQueue& queue);
void cholesky(const linalg::Cholesky& op, const Args& args, CpuQueue& queue);
void qr(const linalg::QR& op, const Args& args, CpuQueue& queue);
void svd(const linalg::SVD& op, const Args& args, CpuQueue& queue);
void eigh(const linalg::Eigh& op, const Args& args, CpuQueue& queue);
void eig(const linalg::Eig& op, const Args& args, CpuQueue& queue);
void determinant(const linalg::Determinant& op, const Args& args, CpuQueue& queue);

}  // namespace hearth::cpu
