// What may follow a product, element by element: one list for the public API and every backend.
#pragma once
#include <cstdint>
#include <string_view>

namespace hearth::fast {

// Operations of elementwise.inc: max(x, 0), x sigmoid(x), gelu by tanh ("gelu_new"), gelu by erf.
#define HEARTH_ACTIVATIONS(X) X(relu) X(silu) X(gelu_approx) X(gelu)

enum class Activation : uint8_t {
  none,  // x itself
#define X(name) name,
  HEARTH_ACTIVATIONS(X)
#undef X
};
inline constexpr Activation kActivations[] = {Activation::none,
#define X(name) Activation::name,
                                              HEARTH_ACTIVATIONS(X)
#undef X
};

constexpr std::string_view to_string(Activation a) {
  switch (a) {
    case Activation::none: return "none";
#define X(name) \
  case Activation::name: return #name;
      HEARTH_ACTIVATIONS(X)
#undef X
  }
  return "?";
}

}  // namespace hearth::fast
