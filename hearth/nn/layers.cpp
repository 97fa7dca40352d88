#include "hearth/nn/layers.h"

#include <cmath>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/random.h"

namespace hearth::nn {
namespace {

// Between -1 / sqrt(in) and 1 / sqrt(in).
array spread(const Shape& shape, int in) {
  const float most = in > 0 ? 1 / std::sqrt(float(in)) : 0.0f;
  return random::uniform(-most, most, shape);
}

}  // namespace

Linear::Linear(int in, int out, bool bias) : weight{spread({out, in}, in)} {
  if (bias) this->bias = spread({out}, in);
}
array Linear::operator()(const array& x, fast::Activation activation,
                         const std::optional<array>& residual) const {
  Dtype dtype = promote_types(x.dtype(), weight.dense.dtype());
  if (bias) dtype = promote_types(dtype, bias->dtype());
  if (residual) dtype = promote_types(dtype, residual->dtype());
  const auto cast = [&](const std::optional<array>& a) {
    return a ? std::optional(astype(*a, dtype)) : std::nullopt;
  };
  return fast::linear(astype(x, dtype), astype(weight.dense, dtype), cast(bias), activation,
                      cast(residual));
}

Embedding::Embedding(int number, int dims)
    : weight{random::normal({number, dims}, 0.0f, 1 / std::sqrt(float(dims)))} {}
array Embedding::operator()(const array& ids) const { return take(weight.dense, ids, 0); }
array Embedding::as_linear(const array& x) const {
  const Dtype dtype = promote_types(x.dtype(), weight.dense.dtype());
  return fast::linear(astype(x, dtype), astype(weight.dense, dtype));
}

LayerNorm::LayerNorm(int dims, float eps, bool affine, bool bias) : eps(eps) {
  if (affine) weight = ones({dims});
  if (affine && bias) this->bias = zeros({dims});
}
array LayerNorm::operator()(const array& x) const { return fast::layer_norm(x, weight, bias, eps); }

RMSNorm::RMSNorm(int dims, float eps) : weight(ones({dims})), eps(eps) {}
array RMSNorm::operator()(const array& x) const { return fast::rms_norm(x, weight, eps); }

}  // namespace hearth::nn
