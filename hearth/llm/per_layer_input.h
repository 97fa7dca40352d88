// Gemma 4's input of each layer: a second embedding of the tokens, one part for each layer, which a
// gate lets into the stream after the layer's feed-forward.
#pragma once
#include "hearth/llm/norm.h"
#include "hearth/nn/layers.h"

namespace hearth::llm {

struct PerLayerTraits {
  int vocab, dims;  // of the embedding; of a layer's part
  fast::Activation activation;
  NormForm norm;
};

/// The parts of all layers.
struct PerLayerTable {
  PerLayerTable(const PerLayerTraits& traits, int hidden, int layers);
  /// tokens (B, L), embedded x (B, L, hidden) -> (B, L, dims) for each layer.
  Arrays operator()(const array& tokens, const array& x) const;

  PerLayerTraits traits;
  int hidden, layers;
  nn::Embedding embedding;
  nn::Linear projection;
  Norm norm;
  HEARTH_FIELDS(embedding, projection, norm)
};

/// A layer's gate.
struct PerLayerInput {
  PerLayerInput(const PerLayerTraits& traits, int hidden);
  /// x (B, L, hidden) with the layer's part (B, L, dims) let in.
  array operator()(const array& x, const array& part) const;

  fast::Activation activation;
  nn::Linear gate, projection;
  Norm norm;
  HEARTH_FIELDS(gate, projection, norm)
};

}  // namespace hearth::llm
