// Encoders as BERT is: every position sees every other. Field names are the checkpoint's keys.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hearth/io/json.h"
#include "hearth/llm/model.h"
#include "hearth/nn/layers.h"

namespace hearth::llm {

class Encoder {
 public:
  /// The known values of model_type: "bert", "roberta", ...
  static std::vector<std::string> known();
  static bool knows(const JsonObject& config);

  /// The encoder in `folder`, its weights as `dtype` on the default device. Throws
  /// std::runtime_error for what config.json has and hearth lacks, and for missing or mis-shaped
  /// tensors by name.
  static Encoder load(const ModelFiles& folder, Dtype dtype = float32);

  /// tokens (batch, length), int32, all of which count -> (batch, length, hidden).
  array operator()(const array& tokens) const;

  int hidden() const { return hidden_; }
  int vocab_size() const { return vocab_; }
  /// The most tokens of a text, special ones included.
  int context_length() const { return positions_ - first_position_; }
  nn::Parameters parameters();

 private:
  explicit Encoder(const JsonObject& config);

  struct Embeddings {
    nn::Embedding word_embeddings, position_embeddings;
    std::optional<nn::Embedding> token_type_embeddings;
    nn::LayerNorm LayerNorm;
    HEARTH_FIELDS(word_embeddings, position_embeddings, token_type_embeddings, LayerNorm)
  };
  struct Projections {
    nn::Linear query, key, value;
    HEARTH_FIELDS(query, key, value)
  };
  /// A product, and the norm of what it gives plus what came in.
  struct Sublayer {
    nn::Linear dense;
    nn::LayerNorm LayerNorm;
    HEARTH_FIELDS(dense, LayerNorm)
  };
  struct Attention {
    Projections self;
    Sublayer output;
    HEARTH_FIELDS(self, output)
  };
  struct Inner {
    nn::Linear dense;
    HEARTH_FIELDS(dense)
  };
  struct Layer {
    Attention attention;
    Inner intermediate;
    Sublayer output;
    HEARTH_FIELDS(attention, intermediate, output)
  };
  struct Stack {
    std::vector<Layer> layer;
    HEARTH_FIELDS(layer)
  };

  int hidden_, heads_, vocab_, positions_;
  int first_position_;  // the row of the first token's position
  fast::Activation activation_;

 public:
  Embeddings embeddings;
  Stack encoder;
  HEARTH_FIELDS(embeddings, encoder)
};

}  // namespace hearth::llm
