// Gated DeltaNet: a mixer whose state is a matrix that forgets and is corrected, of one size
// whatever the length.
#pragma once
#include "hearth/llm/norm.h"
#include "hearth/llm/short_conv.h"

namespace hearth::llm {

struct GatedDeltaTraits {
  int key_heads, value_heads, key_dim, value_dim;
  int taps;   // of the convolution over time
  float eps;  // of the norm
  // Heads of values take turns with those of keys (k = v mod key_heads); else a key's heads are
  // side by side.
  bool in_turn = false;
};

struct GatedDelta {
  GatedDelta(const GatedDeltaTraits& traits, int hidden);

  static constexpr bool kUsesInput = false;
  void reads(std::vector<fast::Projection>& all) const;
  Output operator()(const Input& in, LayerState& state) const;
  StateShape state() const;

  GatedDeltaTraits traits;
  nn::Linear in_proj_qkv;           // queries and keys of all key heads, values of all heads
  nn::Linear in_proj_z;             // what opens the output
  nn::Linear in_proj_b, in_proj_a;  // how much is corrected, and forgotten, by each head
  DepthwiseConv conv1d;
  array dt_bias, A_log;  // (value heads)
  Norm norm;             // of each head
  nn::Linear out_proj;
  HEARTH_FIELDS(in_proj_qkv, in_proj_z, in_proj_b, in_proj_a, conv1d, dt_bias, A_log, norm,
                out_proj)
};

}  // namespace hearth::llm
