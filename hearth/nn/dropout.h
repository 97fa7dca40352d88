// Dropout, and which way a module works: in training or after it. MLX's layers and rules.
#pragma once
#include "hearth/nn/module.h"

namespace hearth::nn {

/// In training each element is 0 with probability p and else divided by 1 - p; after it, x as it
/// is. Throws std::invalid_argument unless 0 <= p < 1.
struct Dropout {
  float p;
  bool training = true;
  HEARTH_FIELDS()

  explicit Dropout(float p = 0.5f);
  array operator()(const array& x) const;
};

/// The same of whole channels: (N, L..., C) or (L..., C), kAxes axes L.
template <int kAxes>
struct ChannelDropout {
  float p;
  bool training = true;
  HEARTH_FIELDS()

  explicit ChannelDropout(float p = 0.5f);
  array operator()(const array& x) const;
};
using Dropout2d = ChannelDropout<2>;
using Dropout3d = ChannelDropout<3>;

/// Sets `training` in all modules that have it.
struct Training {
  bool mode;

  template <class T>
  void operator()(const char* name, std::optional<T>& maybe) const {
    if (maybe) (*this)(name, *maybe);
  }
  template <class T>
  void operator()(const char* name, std::vector<T>& list) const {
    for (T& each : list) (*this)(name, each);
  }
  template <class T>
  void operator()(const char*, T& part) const {
    if constexpr (requires { part.training = mode; }) part.training = mode;
    if constexpr (Module<T>) part.fields(*this);
  }
};

/// The module and all that its HEARTH_FIELDS names: in training, as they begin, or after it.
template <Module M>
void train(M& module, bool mode = true) {
  Training{mode}("", module);
}

}  // namespace hearth::nn
