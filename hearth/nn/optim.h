// Optimizers: given parameters and their gradients by name, they put new values in the parameters.
// MLX's rules and defaults. State is made on the first update, one entry a parameter. Parameters
// that are halves are moved in f32 and rounded once; their state is f32.
#pragma once
#include "hearth/nn/module.h"

namespace hearth::optim {

using nn::Parameters;

/// v' = momentum v + (1 - dampening) g; w' = w - learning_rate v', with g + weight_decay w for g.
struct SGD {
  float learning_rate;
  float momentum = 0.0f, weight_decay = 0.0f, dampening = 0.0f;
  bool nesterov = false;
  Tensors velocity = {};

  /// Gradients may name some of the parameters; a name that is no parameter throws.
  void update(const Parameters& parameters, const Tensors& gradients);
};

/// m' = b1 m + (1 - b1) g; v' = b2 v + (1 - b2) g^2; w' = w - learning_rate m' / (sqrt(v') + eps).
/// With bias_correction m' and v' are divided by 1 - b^step.
struct Adam {
  float learning_rate;
  float b1 = 0.9f, b2 = 0.999f, eps = 1e-8f;
  bool bias_correction = false;
  float weight_decay = 0.0f;  // of AdamW: w shrinks by learning_rate weight_decay first
  int step = 0;
  Tensors m = {}, v = {};

  void update(const Parameters& parameters, const Tensors& gradients);
};
/// Adam with decoupled weight decay.
inline Adam AdamW(float learning_rate, float b1 = 0.9f, float b2 = 0.999f, float eps = 1e-8f,
                  float weight_decay = 0.01f, bool bias_correction = false) {
  return {learning_rate, b1, b2, eps, bias_correction, weight_decay};
}

/// v' = rho v + (1 - rho) g^2; d = g sqrt(u + eps) / sqrt(v' + eps); u' = rho u + (1 - rho) d^2;
/// w' = w - learning_rate d.
struct AdaDelta {
  float learning_rate;
  float rho = 0.9f, eps = 1e-6f;
  Tensors v = {}, u = {};

  /// Throws std::invalid_argument unless 0 <= rho and 0 <= eps.
  void update(const Parameters& parameters, const Tensors& gradients);
};

/// The gradients times max_norm / norm if their norm is above max_norm; and the norm, a scalar.
std::pair<Tensors, array> clip_grad_norm(const Tensors& gradients, float max_norm);

}  // namespace hearth::optim
