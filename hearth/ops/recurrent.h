// Layers that keep a running state instead of every position: a short convolution over time, and a
// matrix that forgets and is corrected.
#pragma once
#include "hearth/ops/fast.h"

namespace hearth::fast {

struct Recurrent {
  array y;
  array state;  // after the last position that counts
};

/// Each channel's convolution with its last K inputs: y_t = activation(bias + sum over j of
/// weight[c, j] x_{t - K + 1 + j}). x (B, L, C), weight (C, K), bias (C); state (B, K - 1, C), the
/// inputs before. `lengths`, int32 (B): positions of each row that count, from 0 to L; absent: all.
Recurrent causal_conv(const array& x, const array& weight, const array& state,
                      const std::optional<array>& bias = {},
                      Activation activation = Activation::none,
                      const std::optional<array>& lengths = {}, StreamOrDevice s = {});

/// A matrix S (Dk, Dv) of each head, position by position: S *= exp(decay);
/// S += k (beta (v - k^T S))^T; y = q^T S. q and k (B, L, Hk, Dk), v (B, L, H, Dv), where H is a
/// multiple of Hk and neighbouring heads share; decay and beta (B, L, H); state (B, H, Dk, Dv).
/// Without beta nothing is taken back: S += k v^T. decay, beta and state are
/// float32, or float64 where q is. A position with decay 0
/// and beta 0 (or k = 0) leaves S as it is.
Recurrent gated_delta(const array& q, const array& k, const array& v, const array& decay,
                      const std::optional<array>& beta, const array& state, StreamOrDevice s = {});

}  // namespace hearth::fast
