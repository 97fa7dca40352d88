// Phi-1, Phi-1.5 and Phi-2: attention and MLP in parallel behind one LayerNorm, partial rotary
// embedding. Field names are the checkpoint's keys.
#include <cmath>

#include "hearth/core/eval.h"
#include "hearth/llm/registry.h"
#include "hearth/nn/layers.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

struct Config {
  explicit Config(const JsonObject& json)
      : hidden(json.positive("hidden_size")),
        ffn(json.positive("intermediate_size")),
        vocab(json.positive("vocab_size")),
        layers(json.positive("num_hidden_layers")),
        heads(json.positive("num_attention_heads")),
        kv_heads(json.positive("num_key_value_heads", heads)),
        context(json.positive("max_position_embeddings", 2048)),
        head_dim(hidden / heads),
        eps(float(json.positive_number("layer_norm_eps", 1e-5))),
        rope(read_rope(json, head_dim)),
        activation(read_activation(json, "gelu_new")),
        qk_layernorm(json.flag("qk_layernorm", false)),
        tied(json.flag("tie_word_embeddings", false)) {
    ensure(layers <= 1000, json.where(), ": num_hidden_layers is ", layers,
           ", wanted at most 1000");
    ensure(hidden % heads == 0 && heads % kv_heads == 0, json.where(), ": hidden_size ", hidden,
           ", num_attention_heads ", heads, " and num_key_value_heads ", kv_heads,
           " must divide each other");
  }
  int hidden, ffn, vocab, layers, heads, kv_heads, context, head_dim;
  float eps;
  RopeConfig rope;
  fast::Activation activation;
  bool qk_layernorm, tied;
};

struct Attention {
  explicit Attention(const Config& c)
      : q_proj(c.hidden, c.heads * c.head_dim),
        k_proj(c.hidden, c.kv_heads * c.head_dim),
        v_proj(c.hidden, c.kv_heads * c.head_dim),
        dense(c.heads * c.head_dim, c.hidden) {
    if (c.qk_layernorm)
      q_layernorm.emplace(c.head_dim, c.eps), k_layernorm.emplace(c.head_dim, c.eps);
  }
  nn::Linear q_proj, k_proj, v_proj, dense;
  std::optional<nn::Linear> qkv;  // the three in one, where they were joined
  std::optional<nn::LayerNorm> q_layernorm, k_layernorm;
  HEARTH_FIELDS(q_proj, k_proj, v_proj, dense, q_layernorm, k_layernorm)
};

struct Mlp {
  explicit Mlp(const Config& c) : fc1(c.hidden, c.ffn), fc2(c.ffn, c.hidden) {}
  nn::Linear fc1, fc2;
  HEARTH_FIELDS(fc1, fc2)
};

struct Block {
  explicit Block(const Config& c) : input_layernorm(c.hidden, c.eps), self_attn(c), mlp(c) {}

  array operator()(const Config& c, const array& x, const array& offsets,
                   KvCache::Layer& cache) const {
    const int B = x.shape(0), L = x.shape(1);
    const Attention& a = self_attn;
    // One pass over the normed x for everything that reads it.
    std::vector<fast::Projection> read;
    if (a.qkv)
      read = {a.qkv->projection()};
    else
      for (const nn::Linear* part : {&a.q_proj, &a.k_proj, &a.v_proj})
        read.push_back(part->projection());
    read.push_back(mlp.fc1.projection(c.activation));
    Arrays y = fast::linears(x, read, input_layernorm.norm());
    const array inner = y.back();
    const int queries = c.heads * c.head_dim, keys = c.kv_heads * c.head_dim;
    if (a.qkv) y = split(y[0], {queries, queries + keys}, -1);
    array q = reshape(y[0], {B, L, c.heads, c.head_dim});
    array k = reshape(y[1], {B, L, c.kv_heads, c.head_dim});
    const array v = reshape(y[2], {B, L, c.kv_heads, c.head_dim});
    if (a.q_layernorm) q = (*a.q_layernorm)(q), k = (*a.k_layernorm)(k);
    const auto out = fast::cached_attention(q, k, v, cache.k, cache.v, offsets,
                                            {.scale = 1 / std::sqrt(float(c.head_dim)),
                                             .rope_dims = c.rope.dims,
                                             .rope_base = c.rope.base});
    cache = {out.cache_k, out.cache_v};
    const array attended = reshape(out.y, {B, L, c.heads * c.head_dim});
    const fast::Term sum[] = {a.dense.term(attended), mlp.fc2.term(inner)};
    return fast::linear_sum(sum, x);
  }

  nn::LayerNorm input_layernorm;
  Attention self_attn;
  Mlp mlp;
  HEARTH_FIELDS(input_layernorm, self_attn, mlp)
};

struct Trunk {
  explicit Trunk(const Config& c)
      : embed_tokens(c.vocab, c.hidden),
        layers(size_t(c.layers), Block(c)),
        final_layernorm(c.hidden, c.eps) {}
  nn::Embedding embed_tokens;
  std::vector<Block> layers;
  nn::LayerNorm final_layernorm;
  HEARTH_FIELDS(embed_tokens, layers, final_layernorm)
};

class Phi : public LanguageModel {
 public:
  explicit Phi(const Config& c) : config_(c), model(c), lm_head(c.hidden, c.vocab) {
    facts.vocab_size = c.vocab, facts.context_length = c.context, facts.layers = c.layers;
    facts.kv_heads = c.kv_heads, facts.head_dim = c.head_dim;
  }
  std::vector<Joined> joined() override {
    std::vector<Joined> all;
    for (Block& block : model.layers) {
      Attention& a = block.self_attn;
      all.push_back({&a.qkv, {&a.q_proj, &a.k_proj, &a.v_proj}});
    }
    return all;
  }
  std::optional<Tied> tied() override {
    if (!config_.tied) return {};
    return Tied{"lm_head.weight", "model.embed_tokens.weight", &config_.tied};
  }
  nn::Parameters parameters() override {
    auto all = nn::parameters(*this);
    if (config_.tied) all.erase("lm_head.weight");
    return all;
  }

 protected:
  array hidden(const array& tokens, KvCache& cache) override {
    array x = model.embed_tokens(tokens);  // (B, L, hidden)
    if (watch) watch("the embedding", x);
    // A device begins with a prompt's first layers while the others are built, each time as many.
    const bool early = tokens.shape(1) > 1 && ambient_stream().device != Device(Device::cpu);
    for (int i = 0; i < config_.layers; ++i) {
      x = model.layers[i](config_, x, cache.offsets(), cache.layer(i));
      if (early && (i & (i + 1)) == 0) async_eval(x);
      if (watch) watch(concat("layer ", i), x);
    }
    return x;
  }
  array logits(const array& hidden) override {
    if (config_.tied) lm_head.weight = model.embed_tokens.weight;
    const fast::Projection read[] = {lm_head.projection()};
    return fast::linears(hidden, read, model.final_layernorm.norm())[0];
  }

 private:
  Config config_;

 public:
  Trunk model;
  nn::Linear lm_head;
  HEARTH_FIELDS(model, lm_head)
};

}  // namespace

std::unique_ptr<LanguageModel> make_phi(const JsonObject& config) {
  return std::make_unique<Phi>(Config(config));
}

}  // namespace hearth::llm
