#include "hearth/nn/functional.h"

#include <cmath>

#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/wide.h"

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

// Each is computed in f32 for halves and rounded once: see ops/wide.h.

array gelu_fast_approx(const array& of) {
  return in_wide([](const array& x) { return multiply(x, sigmoid(multiply(like(1.702, x), x))); },
                 of);
}
array leaky_relu(const array& of, float negative_slope) {
  return in_wide([&](const array& x) { return maximum(multiply(like(negative_slope, x), x), x); },
                 of);
}
array prelu(const array& of, const array& alphas) {
  return in_wide(
      [](const array& x, const array& alpha) {
        return add(positive_part(x), multiply(alpha, negative_part(x)));
      },
      of, alphas);
}
array relu6(const array& x) { return minimum(positive_part(x), like(6, x)); }
array relu2(const array& x) { return square(positive_part(x)); }
array elu(const array& of, float alpha) {
  return in_wide(
      [&](const array& x) {
        return where(greater(x, like(0, x)), x, multiply(like(alpha, x), expm1(negative_part(x))));
      },
      of);
}
array celu(const array& of, float alpha) {
  return in_wide(
      [&](const array& x) {
        const array tail = expm1(divide(negative_part(x), like(alpha, x)));
        return add(positive_part(x), multiply(like(alpha, x), tail));
      },
      of);
}
array selu(const array& of) {
  return in_wide([](const array& x) { return multiply(elu(x, 1.67326f), like(1.0507, x)); }, of);
}
array softmin(const array& x, int axis) { return softmax(negative(x), axis); }
array log_sigmoid(const array& x) { return negative(softplus(negative(x))); }
array softsign(const array& of) {
  return in_wide([](const array& x) { return divide(x, add(like(1, x), abs(x))); }, of);
}
array softshrink(const array& of, float lambda) {
  return in_wide(
      [&](const array& x) {
        const array moved = subtract(x, multiply(sign(x), like(lambda, x)));
        return where(greater(abs(x), like(lambda, x)), moved, like(0, x));
      },
      of);
}
array hard_shrink(const array& of, float lambda) {
  return in_wide(
      [&](const array& x) { return where(greater(abs(x), like(lambda, x)), x, like(0, x)); }, of);
}
array hard_tanh(const array& x, float min_val, float max_val) {
  return minimum(maximum(x, like(min_val, x)), like(max_val, x));
}
array hardswish(const array& of) {
  return in_wide(
      [](const array& x) { return multiply(x, divide(relu6(add(x, like(3, x))), like(6, x))); },
      of);
}
array mish(const array& of) {
  return in_wide([](const array& x) { return multiply(x, tanh(softplus(x))); }, of);
}
array step(const array& of, float threshold) {
  const array x = widen(of);
  return where(greater(x, like(threshold, x)), array(1), array(0));
}
array glu(const array& x, int axis) {
  const Arrays halves = split(x, 2, axis);
  return in_wide([](const array& a, const array& b) { return multiply(a, sigmoid(b)); }, halves[0],
                 halves[1]);
}

array cross_entropy(const array& logits, const array& targets, const std::optional<array>& weights,
                    int axis, float label_smoothing, Reduction reduction) {
  check(label_smoothing >= 0 && label_smoothing < 1,
        "cross_entropy: wanted label_smoothing in [0, 1), got ", label_smoothing);
  const bool probabilities = targets.ndim() == logits.ndim();
  check(probabilities ? targets.shape() == logits.shape() : targets.ndim() == logits.ndim() - 1,
        "cross_entropy: logits are ", logits.shape(), ", targets ", targets.shape(),
        ": wanted probabilities of the same shape, or indices of classes without the axis ", axis);
  const auto loss_of = [&](const array& x, const array& p, const array& weight) {
    array score(0);
    if (probabilities) {  // a logit of -infinity has no share where its probability is 0
      score = sum(multiply(where(equal(p, like(0, p)), like(0, x), x), p), axis);
    } else {
      score = pick("cross_entropy", x, targets, axis);
    }
    const array whole = logsumexp(x, axis);
    array loss = subtract(whole, score);
    if (label_smoothing > 0) {
      const array even = subtract(whole, mean(x, axis));
      loss = add(multiply(like(1 - label_smoothing, loss), loss),
                 multiply(like(label_smoothing, loss), even));
    }
    if (weights) {
      check(weight.shape() == loss.shape(), "cross_entropy: wanted weights of shape ", loss.shape(),
            ", got ", weight.shape());
      loss = multiply(loss, weight);
    }
    return reduce(loss, reduction);
  };
  return in_wide(loss_of, logits, probabilities ? targets : logits, weights ? *weights : logits);
}

array binary_cross_entropy(const array& inputs, const array& targets,
                           const std::optional<array>& weights, bool with_logits,
                           Reduction reduction) {
  check(inputs.shape() == targets.shape(), "binary_cross_entropy: inputs are ", inputs.shape(),
        ", targets ", targets.shape());
  // At 0 the logarithm is taken of a number whose logarithm is below the limit, so that the slope,
  // which is 0 there, meets no infinity.
  const auto clipped_log = [](const array& p) {
    return maximum(log(maximum(p, like(0x1p-149, p))), like(-100, p));
  };
  const auto loss_of = [&](const array& x, const array& t, const array& weight) {
    array loss = with_logits ? subtract(softplus(x), multiply(x, t))
                             : negative(add(multiply(t, clipped_log(x)),
                                            multiply(subtract(like(1, t), t),
                                                     clipped_log(subtract(like(1, x), x)))));
    if (weights) loss = multiply(loss, weight);
    return reduce(loss, reduction);
  };
  return in_wide(loss_of, inputs, targets, weights ? *weights : inputs);
}

array l1_loss(const array& predictions, const array& targets, Reduction reduction) {
  check(predictions.shape() == targets.shape(), "l1_loss: predictions are ", predictions.shape(),
        ", targets ", targets.shape());
  return in_wide(
      [&](const array& y, const array& t) { return reduce(abs(subtract(y, t)), reduction); },
      predictions, targets);
}
array mse_loss(const array& predictions, const array& targets, Reduction reduction) {
  check(predictions.shape() == targets.shape(), "mse_loss: predictions are ", predictions.shape(),
        ", targets ", targets.shape());
  return in_wide(
      [&](const array& y, const array& t) { return reduce(square(subtract(y, t)), reduction); },
      predictions, targets);
}
array nll_loss(const array& inputs, const array& targets, int axis, Reduction reduction) {
  return in_wide(
      [&](const array& x) {
        return reduce(negative(pick("nll_loss", x, targets, axis)), reduction);
      },
      inputs);
}
array kl_div_loss(const array& inputs, const array& targets, int axis, Reduction reduction) {
  return in_wide(
      [&](const array& x, const array& t) {
        // What has no probability adds nothing: 0 times infinity would.
        const array apart = where(equal(t, like(-INFINITY, t)), like(0, t), subtract(t, x));
        return reduce(sum(multiply(exp(t), apart), axis), reduction);
      },
      inputs, targets);
}
array smooth_l1_loss(const array& predictions, const array& targets, float beta,
                     Reduction reduction) {
  check(predictions.shape() == targets.shape(), "smooth_l1_loss: predictions are ",
        predictions.shape(), ", targets ", targets.shape());
  check(beta >= 0, "smooth_l1_loss: wanted beta 0 or more, got ", beta);
  if (beta == 0) return l1_loss(predictions, targets, reduction);
  return in_wide(
      [&](const array& y, const array& t) {
        const array far = abs(subtract(y, t));
        const array inside = divide(square(far), like(2.0 * beta, far));
        return reduce(
            where(less(far, like(beta, far)), inside, subtract(far, like(0.5 * beta, far))),
            reduction);
      },
      predictions, targets);
}
array huber_loss(const array& inputs, const array& targets, float delta, Reduction reduction) {
  return in_wide(
      [&](const array& y, const array& t) {
        const array far = abs(subtract(y, t));
        const array inside = multiply(like(0.5, far), square(far));
        const array outside = multiply(like(delta, far), subtract(far, like(0.5 * delta, far)));
        return reduce(where(less_equal(far, like(delta, far)), inside, outside), reduction);
      },
      inputs, targets);
}
array hinge_loss(const array& inputs, const array& targets, Reduction reduction) {
  return in_wide(
      [&](const array& y, const array& t) {
        return reduce(positive_part(subtract(like(1, y), multiply(y, t))), reduction);
      },
      inputs, targets);
}
array log_cosh_loss(const array& inputs, const array& targets, Reduction reduction) {
  return in_wide(
      [&](const array& y, const array& t) {
        const array e = subtract(y, t);
        return reduce(subtract(logaddexp(e, negative(e)), like(std::log(2.0), e)), reduction);
      },
      inputs, targets);
}

}  // namespace hearth::nn
