// Gradients of fused products, in the dtype that the weights are stored in: products of what lies
// in memory, summed in float32 and rounded once. No weight is widened.
#include "hearth/ops/elementwise.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives_fast.h"
#include "hearth/ops/reduce.h"

namespace hearth::fast {
namespace {

/// (..., n) -> (rows, n)
array as_rows(const array& x) {
  int rows = 1;
  for (int i = 0; i + 1 < x.ndim(); ++i) rows *= x.shape(i);
  return reshape(x, {rows, x.shape(-1)});
}

/// The gradient of x, given that of activation(x): by the table of elementwise operations, in
/// float32 or float64.
array through(Activation activation, const array& x, const array& d) {
  if (activation == Activation::none) return d;
  const Dtype wide = x.dtype() == float64 ? float64 : float32;
  const array in = astype(x, wide), y = activate(in, activation);
  return astype(*y.node().op->vjp({in}, {y}, {astype(d, wide)})->at(0), x.dtype());
}

}  // namespace

std::optional<Cotangents> Linear::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  if (norm || has_gates(parts) || has_packed(parts)) return std::nullopt;  // by parts
  const array x = as_rows(in[0]);
  Cotangents out(in.size());
  Arrays slopes, weights;
  size_t next = 1;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t weight = next++, bias = next;
    next += parts[i].bias;
    array slope = as_rows(d[i]);  // (rows, n) of x W^T + bias
    if (parts[i].activation != Activation::none) {
      const auto b = parts[i].bias ? std::optional(in[bias]) : std::nullopt;
      slope = through(parts[i].activation, linear(x, in[weight], b), slope);
    }
    out[weight] = matmul(swapaxes(slope, 0, 1), x);
    if (parts[i].bias) out[bias] = sum(slope, 0);
    slopes.push_back(std::move(slope));
    weights.push_back(in[weight]);
  }
  // Joined, so that the sum over the parts is rounded once.
  const bool one = parts.size() == 1;
  out[0] = reshape(
      one ? matmul(slopes[0], weights[0]) : matmul(concatenate(slopes, 1), concatenate(weights, 0)),
      in[0].shape());
  if (residual) out[next] = d[0];
  return out;
}

std::optional<Cotangents> LinearSum::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  if (has_packed(terms)) return std::nullopt;  // by parts
  const array slope = as_rows(d[0]);
  Cotangents out(in.size());
  size_t next = 0;
  for (const Term& term : terms) {
    const array &x = in[next], &weight = in[next + 1];
    out[next++] = reshape(matmul(slope, weight), x.shape());
    out[next++] = matmul(swapaxes(slope, 0, 1), as_rows(x));
    if (term.bias) out[next++] = sum(slope, 0);
  }
  if (residual) out[next] = d[0];
  return out;
}

}  // namespace hearth::fast
