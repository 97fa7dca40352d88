#include "hearth/ops/cross_entropy.h"

#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/movement_detail.h"
#include "hearth/ops/reduce.h"
#include "hearth/ops/wide.h"

namespace hearth::fast {

array cross_entropy(const array& logits, const array& targets, StreamOrDevice s) {
  StreamScope scope(s);
  check(logits.ndim() >= 1, "cross_entropy: logits have no axis of classes");
  detail::check_indices(targets, "cross_entropy");
  const Shape wanted(logits.shape().begin(), logits.shape().end() - 1);
  check(targets.shape() == wanted, "cross_entropy: targets of shape ", targets.shape(),
        " for logits of shape ", logits.shape(), ", wanted ", wanted);
  const array x = widen(astype(logits, at_least_float(logits.dtype())));
  const array chosen = squeeze(take_along_axis(x, expand_dims(targets, -1), -1), -1);
  return astype(logsumexp(x, -1) - chosen, float32);
}

}  // namespace hearth::fast
