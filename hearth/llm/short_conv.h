// Mixers that look at few positions or keep a running state: a gated short convolution (LFM2), and
// what padding means to a state.
#pragma once
#include "hearth/llm/part.h"
#include "hearth/nn/layers.h"

namespace hearth::llm {

/// A depthwise convolution's parameters, as checkpoints have them.
struct DepthwiseConv {
  DepthwiseConv(int channels, int taps, bool bias);
  array weight;               // (channels, 1, taps)
  std::optional<array> bias;  // (channels)
  HEARTH_FIELDS(weight, bias)

  /// Over time; `state` (B, taps - 1, channels) is replaced. Padding leaves it alone.
  array operator()(const array& x, array& state, const StepInfo& step,
                   fast::Activation activation) const;
};

/// f32 (B, L, 1): 1 for positions that count, 0 for padding; nothing where all count.
std::optional<array> counted(const StepInfo& step, int length);

struct ShortConvTraits {
  int taps;
  bool bias = false;  // of both products and the convolution
};

/// out(C conv(B x)), where in_proj gives B, C and x.
struct ShortConv {
  ShortConv(const ShortConvTraits& traits, int hidden);

  static constexpr bool kUsesInput = false;
  void reads(std::vector<fast::Projection>& all) const { all.push_back(in_proj.projection()); }
  Output operator()(const Input& in, LayerState& state) const;
  StateShape state() const;

  ShortConvTraits traits;
  nn::Linear in_proj, out_proj;
  DepthwiseConv conv;
  HEARTH_FIELDS(in_proj, out_proj, conv)
};

}  // namespace hearth::llm
