// Mamba-2: a mixer whose state is a matrix that forgets, of one size whatever the length.
#pragma once
#include <cmath>

#include "hearth/llm/norm.h"
#include "hearth/llm/short_conv.h"

namespace hearth::llm {

struct Mamba2Traits {
  int heads, head_dim;
  int groups, state;  // heads of a group share what writes and reads the state, `state` wide
  int taps;           // of the convolution over time
  bool conv_bias = true, bias = false;
  float eps;        // of the norm, which goes over groups
  float least = 0;  // of a time step
  float most = INFINITY;
};

struct Mamba2 {
  Mamba2(const Mamba2Traits& traits, int hidden);

  static constexpr bool kUsesInput = false;
  void reads(std::vector<fast::Projection>& all) const { all.push_back(in_proj.projection()); }
  Output operator()(const Input& in, LayerState& state) const;
  StateShape state() const;

  Mamba2Traits traits;
  nn::Linear in_proj;  // what opens the output, what is mixed (x, B, C), time steps
  DepthwiseConv conv1d;
  array dt_bias, A_log, D;  // (heads)
  Norm norm;
  nn::Linear out_proj;
  HEARTH_FIELDS(in_proj, conv1d, dt_bias, A_log, D, norm, out_proj)

 private:
  int inner() const { return traits.heads * traits.head_dim; }
  int mixed() const { return inner() + 2 * traits.groups * traits.state; }
};

}  // namespace hearth::llm
