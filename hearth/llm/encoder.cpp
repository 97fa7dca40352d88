#include "hearth/llm/encoder.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "hearth/base/listed.h"
#include "hearth/core/eval.h"
#include "hearth/llm/checkpoint.h"
#include "hearth/llm/models/family.h"
#include "hearth/llm/recognize.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

/// What differs between the families: the name that stands before all keys where a head was trained
/// too, and whether positions begin behind the padding token's id, as fairseq counts them.
struct Family {
  const char* prefix;
  bool after_padding;
};
const std::map<std::string, Family, std::less<>> kFamilies = {
    {"bert", {"bert.", false}},
    {"camembert", {"roberta.", true}},
    {"roberta", {"roberta.", true}},
    {"xlm-roberta", {"roberta.", true}},
};

const Family& family_of(const JsonObject& config) {
  const std::string type = config.text("model_type");
  const auto found = kFamilies.find(type);
  ensure(found != kFamilies.end(), config.where(), ": model_type ", in_quotes(type),
         " is no encoder that is known; known: ", listed(Encoder::known()));
  return found->second;
}

/// What is not the encoder itself: heads that were trained with it, a buffer of old versions.
bool passed_over(const std::string& key) {
  return key.starts_with("pooler.") || key.starts_with("cls.") || key.starts_with("lm_head.") ||
         key.starts_with("classifier.") || key == "embeddings.position_ids";
}

std::string renamed(std::string key, const std::string& prefix) {
  if (key.starts_with(prefix)) key.erase(0, prefix.size());
  if (passed_over(key)) return "";
  // As TensorFlow called them.
  for (const auto& [old, now] : {std::pair(".gamma", ".weight"), std::pair(".beta", ".bias")})
    if (key.ends_with(old)) key.replace(key.size() - std::string_view(old).size(), key.npos, now);
  return key;
}

}  // namespace

std::vector<std::string> Encoder::known() {
  std::vector<std::string> names;
  for (const auto& [name, family] : kFamilies) names.push_back(name);
  return names;
}

bool Encoder::knows(const JsonObject& config) {
  return kFamilies.contains(config.text("model_type", ""));
}

Encoder::Encoder(const JsonObject& config)
    : hidden_(config.positive("hidden_size")),
      heads_(config.positive("num_attention_heads")),
      vocab_(config.positive("vocab_size")),
      positions_(config.positive("max_position_embeddings", 512)),
      first_position_(family_of(config).after_padding ? config.natural("pad_token_id", 1) + 1 : 0),
      activation_(read_activation(config, "gelu")),
      embeddings{nn::Embedding(vocab_, hidden_),
                 nn::Embedding(positions_, hidden_),
                 {},
                 nn::LayerNorm(hidden_, float(config.positive_number("layer_norm_eps", 1e-12)))} {
  const std::string positions = config.text("position_embedding_type", "absolute");
  ensure(positions == "absolute", config.where(), ": position_embedding_type ",
         in_quotes(positions), " is not known; known: absolute");
  ensure(!config.flag("is_decoder", false), config.where(),
         ": is_decoder is set: a decoder made of this family's layers is not known");
  ensure(hidden_ % heads_ == 0, config.where(), ": hidden_size ", hidden_, " is no multiple of ",
         "num_attention_heads ", heads_);
  ensure(first_position_ < positions_, config.where(), ": max_position_embeddings ", positions_,
         " leaves no position after pad_token_id ", first_position_ - 1);
  const int layers = config.positive("num_hidden_layers"),
            inner = config.positive("intermediate_size");
  ensure(layers <= 1000, config.where(), ": num_hidden_layers is ", layers,
         ", wanted at most 1000");
  if (const int types = config.natural("type_vocab_size", 2); types > 0)
    embeddings.token_type_embeddings.emplace(types, hidden_);
  const nn::LayerNorm norm(hidden_, embeddings.LayerNorm.eps);
  const nn::Linear square(hidden_, hidden_);
  for (int i = 0; i < layers; ++i)
    encoder.layer.push_back({{{square, square, square}, {square, norm}},
                             {nn::Linear(hidden_, inner)},
                             {nn::Linear(inner, hidden_), norm}});
}

Encoder Encoder::load(const ModelFiles& files, Dtype dtype) {
  const Checkpoint checkpoint = read_checkpoint(files);
  const JsonObject& config = checkpoint.config;
  const fast::Matrices tensors = checkpoint.tensors(/*values=*/true);
  Encoder model(config);
  const std::string prefix = family_of(config).prefix;
  const auto rename = [&prefix](const std::string& key) { return renamed(key, prefix); };
  nn::Parameters parameters = model.parameters();
  nn::Shapes shapes;
  for (const auto& [key, tensor] : tensors) shapes.emplace(key, tensor.shape());
  const std::string problems = nn::mismatch(parameters, shapes, rename);
  ensure(problems.empty(), files.path().string(),
         ": the weights are not those that config.json describes: ", problems);
  fast::Matrices renamed_tensors;
  for (const auto& [key, tensor] : tensors)
    if (const std::string name = rename(key); !name.empty()) renamed_tensors.emplace(name, tensor);
  refuse_codes(files.path().string(), parameters, renamed_tensors);
  nn::load(parameters, renamed_tensors);
  Arrays changed;
  for (auto& [name, p] : parameters) {
    const bool changes = !p.packed() && p->dtype() != dtype;
    p.set(p.value().as(dtype));
    if (changes) changed.push_back(*p);
  }
  eval(changed);
  if (const Device device = default_device(); device != Device(Device::cpu))
    for (auto& [name, p] : parameters) place(p.planes(), device);
  return model;
}

nn::Parameters Encoder::parameters() { return nn::parameters(*this); }

array Encoder::operator()(const array& tokens) const {
  const int B = tokens.shape(0), L = tokens.shape(1), D = hidden_ / heads_;
  check(L <= context_length(), "encoder: a text of ", L, " tokens, at most ", context_length(),
        " are possible");
  array x = embeddings.word_embeddings(tokens);  // (B, L, hidden)
  if (first_position_ == 0) {
    x = add(x, embeddings.position_embeddings(arange(L)));
  } else {  // as fairseq counts: a padding token that stands in the text has the padding's position
    const array padding(first_position_ - 1), counts = astype(not_equal(tokens, padding), int32);
    x = add(x, embeddings.position_embeddings(add(multiply(cumsum(counts, 1), counts), padding)));
  }
  if (embeddings.token_type_embeddings)  // all are of the first text
    x = add(x, (*embeddings.token_type_embeddings)(array(0)));
  x = embeddings.LayerNorm(x);
  for (const Layer& layer : encoder.layer) {
    const Projections& p = layer.attention.self;
    const fast::Projection read[] = {p.query.projection(), p.key.projection(),
                                     p.value.projection()};
    Arrays y = fast::linears(x, read);
    for (array& part : y) part = transpose(reshape(part, {B, L, heads_, D}), {0, 2, 1, 3});
    const array seen =
        fast::scaled_dot_product_attention(y[0], y[1], y[2], 1 / std::sqrt(float(D)));
    const array joined = reshape(transpose(seen, {0, 2, 1, 3}), {B, L, hidden_});
    const Sublayer &attended = layer.attention.output, &fed = layer.output;
    x = attended.LayerNorm(attended.dense(joined, fast::Activation::none, x));
    x = fed.LayerNorm(
        fed.dense(layer.intermediate.dense(x, activation_), fast::Activation::none, x));
  }
  return x;
}

}  // namespace hearth::llm
