// The one transformer: a list of layers, each a mixer and feed-forwards with their norms. A family
// is a function from config.json to Traits, in models/, and a line in registry.cpp.
#pragma once
#include <variant>

#include "hearth/llm/gated_delta.h"
#include "hearth/llm/mamba2.h"
#include "hearth/llm/mla.h"
#include "hearth/llm/mlp_beside_experts.h"
#include "hearth/llm/model.h"
#include "hearth/llm/per_layer_input.h"

namespace hearth::llm {

/// Where a layer's norms stand; m is the mixer, f the feed-forwards, n the norms.
enum class Placement {
  pre,           // x += m(n(x)); x += f(n'(x))
  post,          // x += n(m(x)); x += n'(f(x))
  sandwich,      // x += n2(m(n1(x))); x += n4(f(n3(x)))
  parallel,      // x += m(n(x)) + f(n(x))
  parallel_two,  // x += m(n(x)) + f(n'(x))
};

/// What a layer mixes positions by; the first: not at all.
using MixerTraits = std::variant<std::monostate, AttentionTraits, MlaTraits, GatedDeltaTraits,
                                 Mamba2Traits, ShortConvTraits>;

struct LayerTraits {
  MixerTraits mixer = {};
  std::optional<MlpTraits> mlp = {};
  Placement placement = Placement::pre;
  NormForm norm = {};
  bool scalar = false;  // the layer's result is multiplied by a number of its own
  std::optional<MoeTraits> moe = {};
  std::optional<MlpBesideExpertsTraits> beside = {};
};

struct Traits {
  int hidden, vocab, context;
  NormForm norm = {};        // the last one
  float embed_scale = 1;     // of embeddings; rounded to the model's dtype first
  float residual_scale = 1;  // of what mixers and feed-forwards add
  float logit_scale = 1;     // of logits
  float logit_softcap = 0;   // logits become c tanh(logits / c); 0: they stay
  bool tied = false;         // the head is the embedding
  bool head_bias = false;
  int learned_positions = 0;  // rows of model.embed_positions, by position; 0: none
  std::optional<PerLayerTraits> per_layer = {};
  std::vector<LayerTraits> layers = {};
  std::vector<Rewrite> rewrites = {};  // the checkpoint's names to those of the fields
};

/// Of the mixers at most one is there. `input_layernorm` stands before the mixer,
/// `post_attention_layernorm` before the feed-forwards (llama's names), `mixer_norm` and
/// `feed_forward_norm` after them; a family's rewrites lead there.
struct Layer {
  Layer(const LayerTraits& traits, const Traits& model);
  /// `part`: of per_layer, where it is there.
  array operator()(const array& x, const StepInfo& step, LayerState& state,
                   const std::optional<array>& part) const;
  StateShape state() const;

  Placement placement;
  float residual_scale;
  std::optional<Norm> input_layernorm, post_attention_layernorm, mixer_norm, feed_forward_norm;
  std::optional<Attention> self_attn;  // mixers
  std::optional<Mla> mla;
  std::optional<GatedDelta> linear_attn;
  std::optional<Mamba2> mamba;
  std::optional<ShortConv> conv;
  std::optional<Mlp> mlp;  // feed-forwards
  std::optional<Moe> moe;
  std::optional<MlpBesideExperts> beside;
  std::optional<PerLayerInput> per_layer;
  std::optional<array> layer_scalar;  // (1)
  HEARTH_FIELDS(input_layernorm, post_attention_layernorm, mixer_norm, feed_forward_norm, self_attn,
                mla, linear_attn, mamba, conv, mlp, moe, beside, per_layer, layer_scalar)

 private:
  array mixed_and_fed(const array& x, const StepInfo& step, LayerState& state) const;
  /// What the parts, all on the same norm of x, give together.
  Output run(const array& x, const std::optional<Norm>& norm, bool mixes, bool feeds,
             const StepInfo& step, LayerState& state) const;
  /// x plus it.
  array plus(const array& x, const Output& out, const std::optional<Norm>& norm) const;
};

class DecoderModel : public LanguageModel {
 public:
  explicit DecoderModel(Traits traits);

  nn::Parameters parameters() override;
  std::span<const Rewrite> rewrites() const override { return traits_.rewrites; }
  std::optional<Tied> tied() override;
  std::vector<Joined> joined() override;
  double read_share(const std::string& parameter) const override;
  bool exact(const std::string& parameter) const override;
  void spread(const OnHost& host) override;

 protected:
  std::vector<StateShape> states() const override;
  array hidden(const array& tokens, const StepInfo& step, KvCache& cache) override;
  array normed(const array& hidden) override;
  array logits(const array& hidden) override;

 private:
  struct Trunk {
    explicit Trunk(const Traits& traits);
    nn::Embedding embed_tokens;
    std::optional<nn::Embedding> embed_positions;
    std::optional<PerLayerTable> per_layer;
    std::vector<Layer> layers;
    Norm norm;
    HEARTH_FIELDS(embed_tokens, embed_positions, per_layer, layers, norm)
  };
  /// Of the layer that the parameter is of, if it has experts.
  const Router* router_of(const std::string& parameter) const;

  Traits traits_;
  Trunk model;
  nn::Linear lm_head;

 public:
  HEARTH_FIELDS(model, lm_head)
};

}  // namespace hearth::llm
