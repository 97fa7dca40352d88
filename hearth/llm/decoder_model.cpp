#include "hearth/llm/decoder_model.h"

#include <algorithm>

#include "hearth/core/eval.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

/// f(part) for those that are there.
template <class F, class... Part>
void for_each(const F& f, Part&... part) {
  (void(part ? (f(*part), 0) : 0), ...);
}
template <class L, class F>
void for_mixer(L& l, const F& f) {
  for_each(f, l.self_attn, l.mla, l.linear_attn, l.mamba, l.conv);
}
template <class L, class F>
void for_feed_forwards(L& l, const F& f) {
  for_each(f, l.mlp, l.moe, l.beside);
}

/// Does what the mixer makes of several positions at once differ from what it makes of one after
/// the other: by a state to keep after each, by a rope that depends on the length?
template <class Mixer>
bool differs_by_position(const Mixer& mixer, const LayerState& state) {
  if constexpr (requires { mixer.traits.rope; })
    return mixer.traits.rope.beyond != nullptr;
  else
    return state.fixed;
}

/// One position after the other.
template <class Mixer>
Output by_position(const Mixer& mixer, const Input& in, LayerState& state) {
  std::vector<Output> all;
  for (int l = 0; l < in.length(); ++l) {
    const auto at = [&](const array& x) {
      return slice(x, {0, l, 0}, {x.shape(0), l + 1, x.shape(2)});
    };
    const array x = at(in.x);
    Arrays read;
    for (const array& y : in.read) read.push_back(at(y));
    if (l > 0 && state.fixed) state.each.push_back(state.parts);
    all.push_back(mixer({x, read, in.step.each[size_t(l)]}, state));
  }
  Output out = all[0];
  for (size_t t = 0; t < out.terms.size(); ++t) {
    Arrays xs;
    for (const Output& one : all) xs.push_back(one.terms[t].x);
    out.terms[t].x = concatenate(xs, 1);
  }
  if (out.sum) {
    Arrays sums;
    for (const Output& one : all) sums.push_back(*one.sum);
    out.sum = concatenate(sums, 1);
  }
  return out;
}

/// In f32, rounded once: 0.22 as a half is off by a thousandth.
array scaled(const array& x, float factor) {
  if (factor == 1) return x;
  return astype(multiply(astype(x, float32), array(factor)), x.dtype());
}

}  // namespace

Layer::Layer(const LayerTraits& t, const Traits& model)
    : placement(t.placement), residual_scale(model.residual_scale) {
  const Shape width{model.hidden};
  const bool before = placement != Placement::post;
  const bool after = placement == Placement::post || placement == Placement::sandwich;
  const bool mixes = !std::holds_alternative<std::monostate>(t.mixer);
  const bool feeds = t.mlp || t.moe || t.beside;
  if (before && mixes) input_layernorm.emplace(t.norm, width);
  if (before && feeds && placement != Placement::parallel && !t.beside)  // it has its own
    post_attention_layernorm.emplace(t.norm, width);
  if (after && mixes) mixer_norm.emplace(t.norm, width);
  if (after && feeds) feed_forward_norm.emplace(t.norm, width);
  const auto mixer = [&](auto& part, const auto* traits) {
    if (traits) part.emplace(*traits, model.hidden);
  };
  mixer(self_attn, std::get_if<AttentionTraits>(&t.mixer));
  mixer(mla, std::get_if<MlaTraits>(&t.mixer));
  mixer(linear_attn, std::get_if<GatedDeltaTraits>(&t.mixer));
  mixer(mamba, std::get_if<Mamba2Traits>(&t.mixer));
  mixer(conv, std::get_if<ShortConvTraits>(&t.mixer));
  if (t.mlp) mlp.emplace(*t.mlp, model.hidden);
  if (t.moe) moe.emplace(*t.moe, model.hidden);
  if (t.beside) beside.emplace(*t.beside, model.hidden);
  if (model.per_layer) per_layer.emplace(*model.per_layer, model.hidden);
  if (t.scalar) layer_scalar = ones({1});
}

StateShape Layer::state() const {
  StateShape shape;
  for_mixer(*this, [&](const auto& mixer) { shape = mixer.state(); });
  return shape;
}

Output Layer::run(const array& x, const std::optional<Norm>& norm, bool mixes, bool feeds,
                  const StepInfo& step, LayerState& state) const {
  std::vector<fast::Projection> reads;
  std::vector<size_t> ends;
  bool whole = false;  // someone wants the normed x itself
  const auto ask = [&](const auto& part) {
    part.reads(reads);
    ends.push_back(size_t(std::ranges::count(reads, false, &fast::Projection::gates)));
    whole = whole || part.kUsesInput;
  };
  if (mixes) for_mixer(*this, ask);
  if (feeds) for_feed_forwards(*this, ask);
  const array in = norm && whole ? (*norm)(x) : x;
  Arrays read;
  if (!reads.empty())
    read = norm && !whole ? fast::linears(x, reads, norm->norm()) : fast::linears(in, reads);
  Output all;
  const auto add = [&](Output out) {
    all.terms.insert(all.terms.end(), out.terms.begin(), out.terms.end());
    if (out.sum) all.sum = all.sum ? hearth::add(*all.sum, *out.sum) : *out.sum;
  };
  size_t part = 0, begin = 0;
  const auto input = [&] {
    const size_t first = std::exchange(begin, ends[part++]);
    return Input{in, std::span(read).subspan(first, begin - first), step};
  };
  if (mixes)
    for_mixer(*this, [&](const auto& mixer) {
      const bool drafted = !step.each.empty() && differs_by_position(mixer, state);
      add(drafted ? by_position(mixer, input(), state) : mixer(input(), state));
    });
  if (feeds) for_feed_forwards(*this, [&](const auto& f) { add(f(input())); });
  return all;
}

array Layer::plus(const array& x, const Output& out, const std::optional<Norm>& norm) const {
  if (!norm && residual_scale == 1) {
    const array base = out.sum ? add(x, *out.sum) : x;
    return out.terms.empty() ? base : fast::linear_sum(out.terms, base);
  }
  array y = out.terms.empty() ? *out.sum : fast::linear_sum(out.terms, out.sum);
  if (norm) y = (*norm)(y);
  return add(x, scaled(y, residual_scale));
}

array Layer::operator()(const array& x, const StepInfo& step, LayerState& state,
                        const std::optional<array>& part) const {
  array y = mixed_and_fed(x, step, state);
  if (per_layer) y = (*per_layer)(y, *part);
  return layer_scalar ? multiply(y, *layer_scalar) : y;
}

array Layer::mixed_and_fed(const array& x, const StepInfo& step, LayerState& state) const {
  if (placement == Placement::parallel)
    return plus(x, run(x, input_layernorm, true, true, step, state), {});
  const Output mixed = run(x, input_layernorm, true, false, step, state);
  if (placement == Placement::parallel_two) {
    Output both = run(x, post_attention_layernorm, false, true, step, state);
    both.terms.insert(both.terms.begin(), mixed.terms.begin(), mixed.terms.end());
    if (mixed.sum) both.sum = both.sum ? add(*mixed.sum, *both.sum) : *mixed.sum;
    return plus(x, both, {});
  }
  const bool mixes = !mixed.terms.empty() || mixed.sum;
  const array h = mixes ? plus(x, mixed, mixer_norm) : x;
  if (!mlp && !moe && !beside) return h;
  return plus(h, run(h, post_attention_layernorm, false, true, step, state), feed_forward_norm);
}

DecoderModel::Trunk::Trunk(const Traits& t)
    : embed_tokens(t.vocab, t.hidden), norm(t.norm, {t.hidden}) {
  if (t.learned_positions > 0) embed_positions.emplace(t.learned_positions, t.hidden);
  if (t.per_layer) per_layer.emplace(*t.per_layer, t.hidden, int(t.layers.size()));
  layers.reserve(t.layers.size());
  for (const LayerTraits& layer : t.layers) layers.emplace_back(layer, t);
}

DecoderModel::DecoderModel(Traits traits)
    : traits_(std::move(traits)),
      model(traits_),
      lm_head(traits_.hidden, traits_.vocab, traits_.head_bias) {
  facts.vocab_size = traits_.vocab, facts.context_length = traits_.context;
  facts.layers = int(traits_.layers.size());
  const auto look = [&](const Rope& rope) {
    if (!rope.beyond) return;
    (rope.beyond->freqs ? facts.first_context : facts.dynamic_from) = rope.beyond->original;
  };
  for (const LayerTraits& layer : traits_.layers) {
    if (const auto* a = std::get_if<AttentionTraits>(&layer.mixer)) look(a->rope);
    if (const auto* m = std::get_if<MlaTraits>(&layer.mixer)) look(m->rope);
  }
}

nn::Parameters DecoderModel::parameters() {
  auto all = nn::parameters(*this);
  if (traits_.tied) all.erase("lm_head.weight");
  return all;
}

std::optional<LanguageModel::Tied> DecoderModel::tied() {
  if (!traits_.tied) return {};
  return Tied{"lm_head.weight", "model.embed_tokens.weight", &traits_.tied};
}

std::vector<LanguageModel::Joined> DecoderModel::joined() {
  std::vector<Joined> all;
  for (Layer& layer : model.layers)
    if (layer.self_attn)
      if (auto parts = layer.self_attn->joinable(); !parts.empty())
        all.push_back({&layer.self_attn->qkv, std::move(parts)});
  return all;
}

const Router* DecoderModel::router_of(const std::string& parameter) const {
  for (size_t i = 0; i < traits_.layers.size(); ++i) {
    if (!parameter.starts_with(concat("model.layers.", i, "."))) continue;
    const LayerTraits& layer = traits_.layers[i];
    return layer.beside ? &layer.beside->moe.router : layer.moe ? &layer.moe->router : nullptr;
  }
  return nullptr;
}

double DecoderModel::read_share(const std::string& parameter) const {
  if (parameter.find(".experts.") == parameter.npos) return 1;
  const Router* router = router_of(parameter);
  return router ? double(router->chosen) / router->experts : 1;
}

bool DecoderModel::exact(const std::string& parameter) const {
  const bool chooses = parameter.ends_with(".moe.gate.weight") ||
                       parameter.ends_with(".moe.e_score_correction_bias");
  const Router* router = chooses ? router_of(parameter) : nullptr;
  return router && router->exact;
}

void DecoderModel::spread(const OnHost& host) {
  facts.host = host;
  for (size_t i = 0; i < model.layers.size(); ++i) {
    Layer& layer = model.layers[i];
    for_each([&](Moe& moe) { moe.on_host = int(i) < host.experts; }, layer.moe);
    for_each([&](MlpBesideExperts& b) { b.moe.on_host = int(i) < host.experts; }, layer.beside);
  }
}

std::vector<StateShape> DecoderModel::states() const {
  std::vector<StateShape> all;
  for (const Layer& layer : model.layers) {
    all.push_back(layer.state());
    all.back().on_host = int(all.size()) <= facts.host.layers;
  }
  return all;
}

array DecoderModel::hidden(const array& tokens, const StepInfo& step, KvCache& cache) {
  std::optional<StreamScope> where;
  if (facts.host.layers > 0 && !traits_.tied) where.emplace(Device::cpu);
  array x = model.embed_tokens(tokens);  // (B, L, hidden)
  if (traits_.embed_scale != 1) x = multiply(x, array(traits_.embed_scale, x.dtype()));
  if (model.embed_positions) {
    const int B = tokens.shape(0), L = tokens.shape(1);
    const array at = add(reshape(step.offsets, {B, 1}), reshape(arange(0, L, 1), {1, L}));
    // Padding may stand beyond the last position.
    x = add(x, (*model.embed_positions)(minimum(at, array(traits_.learned_positions - 1))));
  }
  Arrays parts;
  if (model.per_layer) parts = (*model.per_layer)(tokens, x);
  where.reset();
  if (watch) watch("the embedding", x);
  // A device begins with a prompt's first layers while the others are built, each time as many.
  const bool early =
      tokens.shape(1) > 1 && ambient_stream().device != Device(Device::cpu) && !watch;
  for (size_t i = 0; i < model.layers.size(); ++i) {
    if (int(i) < facts.host.layers) where.emplace(Device::cpu);
    x = model.layers[i](x, step, cache.layer(int(i)),
                        parts.empty() ? std::nullopt : std::optional(parts[i]));
    where.reset();
    if (early && (i & (i + 1)) == 0) async_eval(x);
    if (watch) watch(concat("layer ", i), x);
  }
  return x;
}

array DecoderModel::normed(const array& hidden) { return model.norm(hidden); }

array DecoderModel::logits(const array& hidden) {
  if (traits_.tied) lm_head.weight = model.embed_tokens.weight;
  const fast::Projection read[] = {lm_head.projection()};
  array y = fast::linears(hidden, read, model.norm.norm())[0];
  y = scaled(y, traits_.logit_scale);
  if (traits_.logit_softcap > 0) {
    const array cap(traits_.logit_softcap, y.dtype());
    y = multiply(tanh(divide(y, cap)), cap);
  }
  return y;
}

}  // namespace hearth::llm
