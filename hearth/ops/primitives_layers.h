// The structs of products by experts and of layers with a running state.
#pragma once
#include "hearth/ops/primitives_fast.h"

namespace hearth::fast {

/// x (..., K or 1, k), ids (..., K), then weight (E, n, k), as the planes of its packing, and bias
/// (E, n) of each part -> (..., K, n) of each part
struct ExpertLinear : Op<ExpertLinear, primitive_id::ExpertLinear> {
  std::vector<Linear::Part> parts;
  explicit ExpertLinear(std::vector<Linear::Part> parts) : parts(std::move(parts)) {}
  HEARTH_FIELDS(parts)
  std::string_view name() const override { return "expert_linears"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Arrays> decompose(const Arrays& in) const override;
};

/// x (B, L, C), weight (C, K), state (B, K - 1, C), bias (C) if it has one, lengths (B) if it has
/// them -> y (B, L, C) and the state after
struct CausalConv : Op<CausalConv, primitive_id::CausalConv> {
  Activation activation;
  bool bias, has_lengths;
  CausalConv(Activation activation, bool bias, bool has_lengths)
      : activation(activation), bias(bias), has_lengths(has_lengths) {}
  HEARTH_FIELDS(activation, bias, has_lengths)
  std::string_view name() const override { return "causal_conv"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Arrays> decompose(const Arrays& in) const override;
};

/// q and k (B, L, Hk, Dk), v (B, L, H, Dv), decay (B, L, H), state (B, H, Dk, Dv), beta (B, L, H)
/// if delta -> y (B, L, H, Dv) and the state after
struct GatedDelta : Op<GatedDelta, primitive_id::GatedDelta> {
  bool delta;
  explicit GatedDelta(bool delta) : delta(delta) {}
  HEARTH_FIELDS(delta)
  std::string_view name() const override { return "gated_delta"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Arrays> decompose(const Arrays& in) const override;
};

}  // namespace hearth::fast
