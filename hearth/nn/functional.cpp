#include "hearth/nn/functional.h"

#include <cmath>

#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"

namespace hearth::nn {
namespace {

// A number as a scalar of x's dtype.
array like(double value, const array& x) {
  return array(value, is_inexact(x.dtype()) ? x.dtype() : float32);
}
array reduce(const array& loss, Reduction reduction) {
  switch (reduction) {
    case Reduction::none: return loss;
    case Reduction::mean: return mean(loss);
    case Reduction::sum: return sum(loss);
  }
  return loss;
}
// x at the index of a class along the axis, which is dropped. `op` is what the user called.
array pick(std::string_view op, const array& x, const array& classes, int axis) {
  check(axis >= -x.ndim() && axis < x.ndim(), op, ": there is no axis ", axis, " in ", x.shape());
  Shape wanted = x.shape();
  wanted.erase(wanted.begin() + (axis < 0 ? axis + x.ndim() : axis));
  check(is_integer(classes.dtype()) && classes.shape() == wanted, op, ": targets are ",
        classes.dtype(), " ", classes.shape(), ", wanted indices of classes: integers of shape ",
        wanted);
  return squeeze(take_along_axis(x, expand_dims(classes, axis), axis), axis);
}
array positive_part(const array& x) { return maximum(x, like(0, x)); }
array negative_part(const array& x) { return minimum(x, like(0, x)); }

}  // namespace

array gelu_fast_approx(const array& x) { return multiply(x, sigmoid(multiply(like(1.702, x), x))); }
array leaky_relu(const array& x, float negative_slope) {
  return maximum(multiply(like(negative_slope, x), x), x);
}
array prelu(const array& x, const array& alpha) {
  return add(positive_part(x), multiply(alpha, negative_part(x)));
}
array relu6(const array& x) { return minimum(positive_part(x), like(6, x)); }
array relu2(const array& x) { return square(positive_part(x)); }
array elu(const array& x, float alpha) {
  return where(greater(x, like(0, x)), x,
               multiply(like(alpha, x), subtract(exp(negative_part(x)), like(1, x))));
}
array celu(const array& x, float alpha) {
  const array tail = expm1(divide(negative_part(x), like(alpha, x)));
  return add(positive_part(x), multiply(like(alpha, x), tail));
}
array selu(const array& x) { return multiply(elu(x, 1.67326f), like(1.0507, x)); }
array softmin(const array& x, int axis) { return softmax(negative(x), axis); }
array log_sigmoid(const array& x) { return negative(softplus(negative(x))); }
array softsign(const array& x) { return divide(x, add(like(1, x), abs(x))); }
array softshrink(const array& x, float lambda) {
  const array moved = subtract(x, multiply(sign(x), like(lambda, x)));
  return where(greater(abs(x), like(lambda, x)), moved, like(0, x));
}
array hard_shrink(const array& x, float lambda) {
  return where(greater(abs(x), like(lambda, x)), x, like(0, x));
}
array hard_tanh(const array& x, float min_val, float max_val) {
  return minimum(maximum(x, like(min_val, x)), like(max_val, x));
}
array hardswish(const array& x) {
  return divide(multiply(x, relu6(add(x, like(3, x)))), like(6, x));
}
array mish(const array& x) { return multiply(x, tanh(softplus(x))); }
array step(const array& x, float threshold) {
  return where(greater(x, like(threshold, x)), array(1), array(0));
}
array glu(const array& x, int axis) {
  const Arrays halves = split(x, 2, axis);
  return multiply(halves[0], sigmoid(halves[1]));
}

array cross_entropy(const array& logits, const array& targets, const std::optional<array>& weights,
                    int axis, float label_smoothing, Reduction reduction) {
  check(label_smoothing >= 0 && label_smoothing < 1,
        "cross_entropy: wanted label_smoothing in [0, 1), got ", label_smoothing);
  const bool probabilities = targets.ndim() == logits.ndim();
  check(probabilities ? targets.shape() == logits.shape() : targets.ndim() == logits.ndim() - 1,
        "cross_entropy: logits are ", logits.shape(), ", targets ", targets.shape(),
        ": wanted probabilities of the same shape, or indices of classes without the axis ", axis);
  const array score = probabilities ? sum(multiply(logits, targets), axis)
                                    : pick("cross_entropy", logits, targets, axis);
  const array whole = logsumexp(logits, axis);
  array loss = subtract(whole, score);
  if (label_smoothing > 0) {
    const array even = subtract(whole, mean(logits, axis));
    loss = add(multiply(like(1 - label_smoothing, loss), loss),
               multiply(like(label_smoothing, loss), even));
  }
  if (weights) {
    check(weights->shape() == loss.shape(), "cross_entropy: wanted weights of shape ", loss.shape(),
          ", got ", weights->shape());
    loss = multiply(loss, *weights);
  }
  return reduce(loss, reduction);
}

array binary_cross_entropy(const array& inputs, const array& targets,
                           const std::optional<array>& weights, bool with_logits,
                           Reduction reduction) {
  check(inputs.shape() == targets.shape(), "binary_cross_entropy: inputs are ", inputs.shape(),
        ", targets ", targets.shape());
  const auto clipped_log = [](const array& p) { return maximum(log(p), like(-100, p)); };
  array loss = with_logits
                   ? subtract(softplus(inputs), multiply(inputs, targets))
                   : negative(add(multiply(targets, clipped_log(inputs)),
                                  multiply(subtract(like(1, targets), targets),
                                           clipped_log(subtract(like(1, inputs), inputs)))));
  if (weights) loss = multiply(loss, *weights);
  return reduce(loss, reduction);
}

array l1_loss(const array& predictions, const array& targets, Reduction reduction) {
  check(predictions.shape() == targets.shape(), "l1_loss: predictions are ", predictions.shape(),
        ", targets ", targets.shape());
  return reduce(abs(subtract(predictions, targets)), reduction);
}
array mse_loss(const array& predictions, const array& targets, Reduction reduction) {
  check(predictions.shape() == targets.shape(), "mse_loss: predictions are ", predictions.shape(),
        ", targets ", targets.shape());
  return reduce(square(subtract(predictions, targets)), reduction);
}
array nll_loss(const array& inputs, const array& targets, int axis, Reduction reduction) {
  return reduce(negative(pick("nll_loss", inputs, targets, axis)), reduction);
}
array kl_div_loss(const array& inputs, const array& targets, int axis, Reduction reduction) {
  return reduce(sum(multiply(exp(targets), subtract(targets, inputs)), axis), reduction);
}
array smooth_l1_loss(const array& predictions, const array& targets, float beta,
                     Reduction reduction) {
  check(predictions.shape() == targets.shape(), "smooth_l1_loss: predictions are ",
        predictions.shape(), ", targets ", targets.shape());
  const array far = abs(subtract(predictions, targets));
  const array inside = divide(square(far), like(2.0 * beta, far));
  return reduce(where(less(far, like(beta, far)), inside, subtract(far, like(0.5 * beta, far))),
                reduction);
}
array huber_loss(const array& inputs, const array& targets, float delta, Reduction reduction) {
  const array far = abs(subtract(inputs, targets));
  const array inside = multiply(like(0.5, far), square(far));
  const array outside = multiply(like(delta, far), subtract(far, like(0.5 * delta, far)));
  return reduce(where(less_equal(far, like(delta, far)), inside, outside), reduction);
}
array hinge_loss(const array& inputs, const array& targets, Reduction reduction) {
  return reduce(positive_part(subtract(like(1, inputs), multiply(inputs, targets))), reduction);
}
array log_cosh_loss(const array& inputs, const array& targets, Reduction reduction) {
  const array e = subtract(inputs, targets);
  return reduce(subtract(logaddexp(e, negative(e)), like(std::log(2.0), e)), reduction);
}

}  // namespace hearth::nn
