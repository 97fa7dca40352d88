#include "hearth/llm/embedder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "hearth/base/listed.h"
#include "hearth/core/eval.h"
#include "hearth/io/safetensors.h"
#include "hearth/llm/encoder.h"
#include "hearth/llm/recognize.h"
#include "hearth/llm/registry.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace fs = std::filesystem;

namespace {

constexpr int kMostTokens = 4096, kMostRows = 64;  // of a batch

struct PoolingName {
  Pooling pooling;
  std::string_view name, key;  // the option; 1_Pooling/config.json
};
constexpr PoolingName kPoolings[] = {
    {Pooling::cls, "cls", "pooling_mode_cls_token"},
    {Pooling::max, "max", "pooling_mode_max_tokens"},
    {Pooling::mean, "mean", "pooling_mode_mean_tokens"},
    {Pooling::mean_sqrt_len, "mean-sqrt-len", "pooling_mode_mean_sqrt_len_tokens"},
    {Pooling::weighted_mean, "weighted-mean", "pooling_mode_weightedmean_tokens"},
    {Pooling::last, "last", "pooling_mode_lasttoken"},
};

/// states (B, L, hidden) -> (B, hidden)
array pooled(const array& states, Pooling pooling) {
  const int L = states.shape(1);
  switch (pooling) {
    case Pooling::cls: return take(states, 0, 1);
    case Pooling::max: return max(states, 1);
    case Pooling::mean: return mean(states, 1);
    case Pooling::mean_sqrt_len: return multiply(sum(states, 1), array(1 / std::sqrt(float(L))));
    case Pooling::weighted_mean: {
      const array weights = reshape(astype(arange(1, L + 1), float32), {1, L, 1});
      return multiply(sum(multiply(states, weights), 1), array(2 / (float(L) * float(L + 1))));
    }
    case Pooling::last: return take(states, L - 1, 1);
  }
  return states;
}

array normalized(const array& x) {
  return divide(x, maximum(sqrt(sum(square(x), -1, true)), array(1e-12f)));
}

/// sentence-transformers' Dense: a product that comes after the pooling.
struct Dense {
  array weight;
  std::optional<array> bias;
  bool tanh;
  array operator()(const array& x) const {
    const array y = fast::linear(x, weight, bias);
    return tanh ? hearth::tanh(y) : y;
  }
};

/// "Pooling" of "sentence_transformers.models.Pooling".
std::string kind_of(const std::string& type) { return type.substr(type.rfind('.') + 1); }

/// A module's own folder, which lies below the model's.
fs::path module_folder(const fs::path& folder, const JsonObject& module) {
  const fs::path path = module.text("path", "");
  const bool inside = path.is_relative() && std::none_of(path.begin(), path.end(),
                                                         [](auto& part) { return part == ".."; });
  ensure(inside, module.where(), ": the path ", in_quotes(path.string()), " is outside the folder");
  return folder / path;
}

}  // namespace

std::string_view to_string(Pooling pooling) {
  for (const auto& p : kPoolings)
    if (p.pooling == pooling) return p.name;
  return "";
}

Pooling parse_pooling(std::string_view text) {
  std::vector<std::string_view> names;
  for (const auto& p : kPoolings) {
    if (p.name == text) return p.pooling;
    names.push_back(p.name);
  }
  check(false, "pooling '", text, "' is not one of ", listed(names));
  return {};
}

struct Embedder::Impl {
  Impl(Tokenizer tokenizer) : tokenizer(std::move(tokenizer)) {}

  Tokenizer tokenizer;
  std::function<array(const array&)> states;  // tokens (B, L) -> (B, L, hidden)
  int hidden = 0, vocab = 0, most = 0;
  std::vector<Pooling> pooling;
  std::vector<std::function<array(const array&)>> after;  // the pooling
  bool normalizes = false;
  int dimensions = 0;
  std::string prompt;

  void read_modules(const fs::path& folder);
  void read_pooling(const JsonObject& config);
  void add_dense(const fs::path& folder);
  void read_prompts(const fs::path& folder, const EmbedOptions& options);
};

void Embedder::Impl::read_pooling(const JsonObject& config) {
  for (const auto& p : kPoolings)
    if (config.flag(p.key, false)) pooling.push_back(p.pooling);
  for (const std::string& key : config.keys())
    if (key.starts_with("pooling_mode_") && config.flag(key))
      ensure(std::any_of(std::begin(kPoolings), std::end(kPoolings),
                         [&](const auto& p) { return p.key == key; }),
             config.where(), ": ", in_quotes(key), " is not known");
  if (pooling.empty() && config.has("pooling_mode"))
    pooling.push_back(parse_pooling(config.text("pooling_mode")));
  ensure(!pooling.empty(), config.where(), ": no kind of pooling is switched on");
  ensure(config.flag("include_prompt", true), config.where(),
         ": include_prompt is false: pooling without the prompt is not known");
}

void Embedder::Impl::add_dense(const fs::path& folder) {
  const JsonObject config = JsonObject::read(folder / "config.json");
  const std::string activation = kind_of(config.text("activation_function", "Tanh"));
  ensure(activation == "Tanh" || activation == "Identity", config.where(), ": activation_function ",
         in_quotes(activation), " is not known; known: Tanh, Identity");
  Tensors tensors = load_safetensors((folder / "model.safetensors").string()).first;
  const Shape wanted{config.positive("out_features"), config.positive("in_features")};
  const auto weight = tensors.find("linear.weight"), bias = tensors.find("linear.bias");
  ensure(weight != tensors.end() && weight->second.shape() == wanted && wanted[1] == dimensions,
         folder.string(), ": wanted linear.weight of ", wanted, ", for vectors of ", dimensions);
  const bool has_bias = config.flag("bias", true);
  ensure((bias != tensors.end() && bias->second.shape() == Shape{wanted[0]}) == has_bias,
         folder.string(), ": linear.bias is not as config.json says");
  Dense dense{astype(weight->second, float32), {}, activation == "Tanh"};
  if (has_bias) dense.bias = astype(bias->second, float32);
  after.push_back(dense);
  dimensions = wanted[0];
}

void Embedder::Impl::read_modules(const fs::path& folder) {
  const fs::path file = folder / "modules.json";
  const nlohmann::json modules = read_json(file);
  ensure(modules.is_array(), file.string(), ": wanted a list of modules");
  bool first = true;
  for (const auto& entry : modules) {
    const JsonObject module = JsonObject::parse(entry.dump(), file.string());
    const std::string kind = kind_of(module.text("type"));
    const fs::path own = module_folder(folder, module);
    if (kind == "Transformer") {
      ensure(first, file.string(), ": a Transformer that is not the first module is not known");
    } else if (kind == "Pooling") {
      ensure(pooling.empty(), file.string(), ": more than one Pooling is not known");
      read_pooling(JsonObject::read(own / "config.json"));
      dimensions = hidden * int(pooling.size());
    } else {
      ensure(!pooling.empty(), file.string(), ": ", in_quotes(kind),
             " before a Pooling is not known");
      if (kind == "Dense")
        add_dense(own);
      else if (kind == "Normalize")
        after.push_back(normalized), normalizes = true;
      else
        ensure(false, file.string(), ": the module ", in_quotes(kind),
               " is not known; known: Transformer, Pooling, Dense, Normalize");
    }
    first = false;
  }
  ensure(!pooling.empty(), file.string(), ": there is no Pooling: these are no vectors of texts");
}

void Embedder::Impl::read_prompts(const fs::path& folder, const EmbedOptions& options) {
  const fs::path file = folder / "config_sentence_transformers.json";
  std::string name = options.prompt_name.value_or("");
  std::error_code none;
  if (fs::exists(file, none)) {
    const JsonObject config = JsonObject::read(file);
    if (!options.prompt_name) name = config.text("default_prompt_name", "");
    const JsonObject prompts = config.object("prompts");
    ensure(name.empty() || prompts.has(name), file.string(), ": there is no prompt ",
           in_quotes(name), "; there are: ", listed(prompts.keys()));
    if (!name.empty()) prompt = prompts.text(name);
  } else {
    ensure(name.empty(), folder.string(), ": has no prompt ", in_quotes(name),
           ", since it has no config_sentence_transformers.json");
  }
  if (options.prompt) prompt = *options.prompt;
}

Embedder Embedder::load(const ModelFiles& files, const EmbedOptions& options) {
  const fs::path& folder = files.path();
  const JsonObject config = read_config(files);
  auto impl = std::make_shared<Impl>(Tokenizer::load(files));
  const bool encodes = Encoder::knows(config);
  if (encodes) {
    const auto encoder =
        std::make_shared<Encoder>(Encoder::load(files, options.dtype.value_or(float32)));
    impl->hidden = encoder->hidden();
    impl->vocab = encoder->vocab_size();
    impl->most = encoder->context_length();
    impl->states = [encoder](const array& tokens) { return (*encoder)(tokens); };
  } else {
    LoadOptions load;
    load.dtype = options.dtype;
    const std::shared_ptr<LanguageModel> decoder = load_model(files, load);
    impl->hidden = language_config(config).positive("hidden_size");
    impl->vocab = decoder->facts.vocab_size;
    impl->most = decoder->facts.context_length;
    impl->states = [decoder](const array& tokens) { return decoder->features(tokens); };
  }
  impl->dimensions = impl->hidden;
  for (const char* name : {"sentence_bert_config.json", "sentence_roberta_config.json",
                           "sentence_camembert_config.json", "sentence_xlm-roberta_config.json"}) {
    std::error_code none;
    if (!fs::exists(folder / name, none)) continue;
    impl->most = std::min(impl->most,
                          JsonObject::read(folder / name).positive("max_seq_length", impl->most));
  }
  std::error_code none;
  const bool told = fs::exists(folder / "modules.json", none);
  if (told) impl->read_modules(folder);
  if (options.pooling || !told) {
    ensure(impl->after.size() == size_t(impl->normalizes), folder.string(),
           ": another pooling than its own would not fit its Dense module");
    impl->pooling = {options.pooling.value_or(encodes ? Pooling::mean : Pooling::last)};
    impl->dimensions = impl->hidden;
  }
  if (const bool wanted = options.normalize.value_or(!told || impl->normalizes);
      wanted != impl->normalizes) {
    ensure(wanted || impl->after.size() == 1, folder.string(),
           ": its Normalize module cannot be left out: others come after it");
    impl->after = wanted ? std::move(impl->after) : decltype(impl->after)();
    if (wanted) impl->after.push_back(normalized);
    impl->normalizes = wanted;
  }
  impl->read_prompts(folder, options);
  return Embedder(impl);
}

int Embedder::dimensions() const { return impl_->dimensions; }
int Embedder::max_tokens() const { return impl_->most; }
std::vector<Pooling> Embedder::pooling() const { return impl_->pooling; }
bool Embedder::normalizes() const { return impl_->normalizes; }
const std::string& Embedder::prompt() const { return impl_->prompt; }

std::vector<int> Embedder::tokens(const std::string& text) const {
  const Tokenizer& tokenizer = impl_->tokenizer;
  const std::string whole = impl_->prompt + text;
  std::vector<int> ids = tokenizer.encode(whole);
  const auto most = size_t(impl_->most);
  if (ids.size() > most) {
    // The text is cut, not what the post-processor puts around it.
    const std::vector<int> plain = tokenizer.encode(whole, false);
    const auto at = std::search(ids.begin(), ids.end(), plain.begin(), plain.end());
    const size_t more = ids.size() - std::min(plain.size(), ids.size());
    ensure(at != ids.end() && more <= most, "embed: a text of ", ids.size(),
           " tokens cannot be cut to ", most);
    ids.erase(at + long(most - more), at + long(plain.size()));
  }
  for (const int id : ids)
    ensure(id >= 0 && id < impl_->vocab, "embed: the tokenizer gives token ", id,
           ", the model's vocabulary has ", impl_->vocab);
  return ids;
}

array Embedder::operator()(const std::vector<std::string>& texts,
                           const std::function<bool(size_t done)>& go_on) const {
  std::vector<std::vector<int>> ids;
  for (const std::string& text : texts) {
    ids.push_back(tokens(text));
    ensure(!ids.back().empty(), "embed: text ", ids.size(), " has no tokens");
  }
  // Texts of one length make a batch: nothing is padded, so nothing has to be masked.
  std::map<size_t, std::vector<size_t>> by_length;
  for (size_t i = 0; i < ids.size(); ++i) by_length[ids[i].size()].push_back(i);
  const int n = dimensions();
  std::vector<float> vectors(texts.size() * size_t(n), std::numeric_limits<float>::quiet_NaN());
  size_t done = 0;
  for (const auto& [length, rows] : by_length) {
    const size_t most = std::clamp<size_t>(kMostTokens / length, 1, kMostRows);
    for (size_t at = 0; at < rows.size(); at += most) {
      const size_t count = std::min(most, rows.size() - at);
      std::vector<int> batch;
      for (size_t r = at; r < at + count; ++r)
        batch.insert(batch.end(), ids[rows[r]].begin(), ids[rows[r]].end());
      const array states = astype(
          impl_->states(array(batch.begin(), Shape{int(count), int(length)}, int32)), float32);
      Arrays parts;
      for (const Pooling pooling : impl_->pooling) parts.push_back(pooled(states, pooling));
      array x = parts.size() == 1 ? parts[0] : concatenate(parts, -1);
      for (const auto& module : impl_->after) x = module(x);
      const std::vector<float> values = x.to_vector<float>();
      const auto bad =
          std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
      const size_t row = bad == values.end() ? 0 : size_t(bad - values.begin()) / size_t(n);
      ensure(
          bad == values.end(), "embed: the vector of text ", rows[at + row] + 1,
          " holds NaN or infinity: the weights are damaged, or the dtype overflows (--dtype f32)");
      for (size_t r = 0; r < count; ++r)
        std::copy_n(values.begin() + long(r) * n, n, vectors.begin() + long(rows[at + r]) * n);
      done += count;
      if (go_on && !go_on(done))
        return array(vectors.begin(), Shape{int(texts.size()), n}, float32);
    }
  }
  return array(vectors.begin(), Shape{int(texts.size()), n}, float32);
}

}  // namespace hearth::llm
