// Activations and losses: MLX's nn functions, as compositions of operations. Halves are computed in
// f32 and rounded once.
#pragma once
#include <optional>

#include "hearth/core/array.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/reduce.h"

namespace hearth::nn {

using hearth::gelu;         // by erf
using hearth::gelu_approx;  // by tanh
using hearth::log_softmax;
using hearth::relu;
using hearth::sigmoid;
using hearth::silu;
using hearth::softmax;
using hearth::softplus;
using hearth::tanh;

/// x sigmoid(1.702 x)
array gelu_fast_approx(const array& x);
/// max(slope x, x)
array leaky_relu(const array& x, float negative_slope = 0.01f);
/// max(x, 0) + alpha min(x, 0)
array prelu(const array& x, const array& alpha);
/// min(max(x, 0), 6)
array relu6(const array& x);
/// max(x, 0)^2
array relu2(const array& x);
/// x above 0, else alpha (exp(x) - 1)
array elu(const array& x, float alpha = 1.0f);
/// max(x, 0) + alpha (exp(min(x, 0) / alpha) - 1)
array celu(const array& x, float alpha = 1.0f);
/// 1.0507 elu(x, 1.67326)
array selu(const array& x);
/// e^-x / sum(e^-x) along the axis
array softmin(const array& x, int axis = -1);
/// -softplus(-x)
array log_sigmoid(const array& x);
/// x / (1 + |x|)
array softsign(const array& x);
/// x moved towards 0 by lambda, at most to it
array softshrink(const array& x, float lambda = 0.5f);
/// x where |x| > lambda, else 0
array hard_shrink(const array& x, float lambda = 0.5f);
/// x limited to [min, max]
array hard_tanh(const array& x, float min_val = -1.0f, float max_val = 1.0f);
/// x min(max(x + 3, 0), 6) / 6
array hardswish(const array& x);
/// x tanh(softplus(x))
array mish(const array& x);
/// 1 where x > threshold, else 0 (int32)
array step(const array& x, float threshold = 0.0f);
/// a sigmoid(b) for the two halves of the axis
array glu(const array& x, int axis = -1);

/// What becomes of the losses of the elements.
enum class Reduction { none, mean, sum };

/// logsumexp(logits) - logits[target] along `axis`. Targets are indices, or probabilities of the
/// logits' shape. weights multiply the losses; label_smoothing in [0, 1) spreads that share evenly.
array cross_entropy(const array& logits, const array& targets,
                    const std::optional<array>& weights = {}, int axis = -1,
                    float label_smoothing = 0.0f, Reduction reduction = Reduction::none);
/// Of logits (or of probabilities) against targets in [0, 1]. The logarithm of a probability is at
/// least -100, and has no slope where it is that.
array binary_cross_entropy(const array& inputs, const array& targets,
                           const std::optional<array>& weights = {}, bool with_logits = true,
                           Reduction reduction = Reduction::mean);
/// |prediction - target|
array l1_loss(const array& predictions, const array& targets,
              Reduction reduction = Reduction::mean);
/// (prediction - target)^2
array mse_loss(const array& predictions, const array& targets,
               Reduction reduction = Reduction::mean);
/// -inputs[target] along the axis: inputs are log probabilities, targets indices.
array nll_loss(const array& inputs, const array& targets, int axis = -1,
               Reduction reduction = Reduction::none);
/// sum of exp(targets) (targets - inputs) along the axis: both are log probabilities. A target of
/// -infinity adds 0.
array kl_div_loss(const array& inputs, const array& targets, int axis = -1,
                  Reduction reduction = Reduction::none);
/// Half a square within beta, then linear; with a beta of 0 it is l1_loss.
array smooth_l1_loss(const array& predictions, const array& targets, float beta = 1.0f,
                     Reduction reduction = Reduction::mean);
array huber_loss(const array& inputs, const array& targets, float delta = 1.0f,
                 Reduction reduction = Reduction::none);
/// max(1 - inputs targets, 0)
array hinge_loss(const array& inputs, const array& targets, Reduction reduction = Reduction::none);
/// log(cosh(inputs - targets))
array log_cosh_loss(const array& inputs, const array& targets,
                    Reduction reduction = Reduction::none);

}  // namespace hearth::nn
