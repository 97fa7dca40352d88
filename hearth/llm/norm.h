// A norm of any kind that decoders have, as data.
#pragma once
#include <optional>

#include "hearth/base/fields.h"
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/fast.h"

namespace hearth::llm {

/// RMSNorm with a weight unless said otherwise. Weights that the checkpoint keeps as w of 1 + w are
/// made so by the loader (Rewrite::plus_one).
struct NormForm {
  float eps = 1e-5f;
  bool rms = true;
  bool weight = true, bias = false;
};

/// Over the last axis.
struct Norm {
  /// `shape`: of the weight, (n), or (heads, n) where every head has one of its own.
  Norm(const NormForm& form, const Shape& shape) : form(form) {
    if (form.weight) weight = ones(shape);
    if (form.bias) bias = zeros(shape);
  }
  array operator()(const array& x) const {
    if (weight && weight->ndim() > 1) {
      array y = form.rms ? fast::rms_norm(x, {}, form.eps) : fast::layer_norm(x, {}, {}, form.eps);
      y = multiply(y, *weight);
      return bias ? add(y, *bias) : y;
    }
    return form.rms ? fast::rms_norm(x, weight, form.eps)
                    : fast::layer_norm(x, weight, bias, form.eps);
  }
  /// For fast::linears; of a weight of one axis.
  fast::Norm norm() const { return {weight, bias, form.eps, form.rms}; }

  NormForm form;
  std::optional<array> weight, bias;
  HEARTH_FIELDS(weight, bias)
};

}  // namespace hearth::llm
