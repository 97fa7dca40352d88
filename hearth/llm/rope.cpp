#include "hearth/llm/rope.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>

#include "hearth/base/listed.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

// Of a kind of layers: the object with rope_type, and where what it lacks is looked up.
struct Source {
  JsonObject config, rope;
  const RopeKeys& keys;
  bool nested;  // rope is one of several
  bool said;    // it is there

  std::string type() const {
    const std::string type =
        rope.text("rope_type", rope.text("type", said ? "default" : keys.type));
    if (type == "su") return "longrope";
    if (type == "yarn" && rope.has("short_factor")) return "longrope";  // early Phi-3
    return type == "mrope" ? "default" : type;  // text has one position for all three sections
  }
  double base() const {
    return rope.positive_number("rope_theta", config.positive_number(keys.base_key, keys.base));
  }
  int max_positions() const { return config.positive("max_position_embeddings"); }
  int original() const {
    const std::string_view key = "original_max_position_embeddings";
    if (!nested && config.has(key)) return config.positive(key);
    return rope.has(key) ? rope.positive(key) : max_positions();
  }
  double factor() const {
    return rope.has("factor") ? rope.positive_number("factor")
                              : double(max_positions()) / original();
  }
};

// rope_scaling, where it is there, counts before rope_parameters, as in transformers.
Source source_of(const JsonObject& config, const RopeKeys& keys) {
  const JsonObject scaling = config.object("rope_scaling");
  const JsonObject parameters = scaling.keys().empty() ? config.object("rope_parameters") : scaling;
  if (!keys.layer_type.empty() && parameters.has(keys.layer_type))
    return {config, parameters.object(keys.layer_type), keys, true, true};
  // What is not said of these layers, where it is said of others, is the default.
  const bool of_others = !keys.layer_type.empty() &&
                         (parameters.has("full_attention") || parameters.has("sliding_attention"));
  const bool ours = keys.scaled && !of_others;
  return {config, ours ? parameters : config.object(""), keys, false,
          ours && !parameters.keys().empty()};
}

using Rates = std::vector<double>;  // radians a position

Rates plain(double base, int dims) {
  Rates rates;
  for (int i = 0; i < dims; i += 2) rates.push_back(std::pow(base, -double(i) / dims));
  return rates;
}

array freqs_of(const Rates& rates) {
  std::vector<float> freqs;
  for (const double rate : rates)
    freqs.push_back(rate == 0 ? std::numeric_limits<float>::infinity() : float(1 / rate));
  return array(freqs.begin(), Shape{int(freqs.size())}, float32);
}

// Long waves are stretched, short ones stay, with a smooth passage between.
Rates llama3(const Source& s, Rates rates) {
  const double factor = s.rope.positive_number("factor"), original = s.original();
  const double low = s.rope.positive_number("low_freq_factor");
  const double high = s.rope.positive_number("high_freq_factor");
  ensure(high != low, s.config.where(), ": low_freq_factor and high_freq_factor are both ", low);
  for (double& rate : rates) {
    const double wave = 2 * std::numbers::pi / rate;
    const double smooth = (original / wave - low) / (high - low);
    if (wave > original / low)
      rate /= factor;
    else if (wave >= original / high)
      rate *= (1 - smooth) / factor + smooth;
  }
  return rates;
}

double mscale(double factor, double m) { return factor <= 1 ? 1 : 0.1 * m * std::log(factor) + 1; }

// A number that stands for "not given" when it is 0 or null.
double optional_number(const JsonObject& rope, const char* key) {
  return rope.has(key) ? rope.number(key) : 0;
}

// Dimensions that turn often stay, those that turn seldom are stretched, a ramp between.
Rates yarn(const Source& s, const Rates& rates, int dims, float& amplitude) {
  const double factor = s.factor(), original = s.original(), base = s.base();
  const double m = optional_number(s.rope, "mscale"),
               all = optional_number(s.rope, "mscale_all_dim");
  const double given = optional_number(s.rope, "attention_factor");
  amplitude = float(given != 0           ? given
                    : m != 0 && all != 0 ? mscale(factor, m) / mscale(factor, all)
                                         : mscale(factor, 1));
  const auto place = [&](const char* key, double fallback) {  // of that many rotations
    const double rotations = optional_number(s.rope, key);
    return dims *
           std::log(original / ((rotations > 0 ? rotations : fallback) * 2 * std::numbers::pi)) /
           (2 * std::log(base));
  };
  ensure(base != 1, s.config.where(), ": yarn needs a rope_theta other than 1");
  double low = place("beta_fast", 32), high = place("beta_slow", 1);
  if (s.nested || s.rope.flag("truncate", true)) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, double(dims - 1));
  if (low == high) high += 0.001;
  Rates out;
  for (size_t i = 0; i < rates.size(); ++i) {
    const double ramp = std::clamp((double(i) - low) / (high - low), 0.0, 1.0);
    out.push_back(rates[i] / factor * ramp + rates[i] * (1 - ramp));
  }
  return out;
}

Rates divided(const Source& s, Rates rates, const char* key) {
  const nlohmann::json& raw = s.rope.raw();
  const auto list = raw.find(key);
  const bool numbers = list != raw.end() && list->is_array() && list->size() == rates.size() &&
                       std::all_of(list->begin(), list->end(), [](const auto& v) {
                         return v.is_number() && v.template get<double>() > 0;
                       });
  ensure(numbers, s.config.where(), ": ", key, ": wanted a list of ", rates.size(),
         " positive numbers, one for each pair of dimensions that is rotated");
  for (size_t i = 0; i < rates.size(); ++i) rates[i] /= (*list)[i].get<double>();
  return rates;
}

void longrope(const Source& s, const Rates& rates, Rope& rope) {
  const int original = s.original();
  const double factor = s.factor(), given = optional_number(s.rope, "attention_factor");
  rope.rotation.amplitude =
      float(given != 0    ? given
            : factor <= 1 ? 1
                          : std::sqrt(1 + std::log(factor) / std::log(double(original))));
  ensure(std::isfinite(rope.rotation.amplitude), s.config.where(),
         ": longrope cannot start from a context of ", original);
  rope.freqs = freqs_of(divided(s, rates, "short_factor"));
  rope.beyond = std::make_shared<Rope::Beyond>(
      Rope::Beyond{original, freqs_of(divided(s, rates, "long_factor")), 0, 0, 0});
}

}  // namespace

Rope read_rope(const JsonObject& config, int head_dim, const RopeKeys& keys) {
  const Source s = source_of(config, keys);
  const std::string type = s.type();
  const double part = s.rope.positive_number(
      "partial_rotary_factor", config.positive_number("partial_rotary_factor", keys.partial));
  const double base = s.base();
  const bool proportional = type == "proportional";  // the part is of the frequencies there
  const int dims = proportional ? head_dim : int(std::min(part, 2.0) * head_dim);
  ensure(dims <= head_dim && dims % 2 == 0, config.where(), ": partial_rotary_factor ", part,
         " rotates ", dims, " of ", head_dim, " dimensions; wanted an even number of at most all");
  Rope rope{.rotation = {.dims = dims, .base = float(base)}};
  // MLX's name: neighbours are rotated together.
  rope.rotation.traditional = config.flag("rope_traditional", false);
  if (dims == 0) return rope;
  Rates rates = plain(base, dims);
  if (type == "linear") {
    for (double& rate : rates) rate /= s.rope.positive_number("factor");
  } else if (type == "llama3") {
    rates = llama3(s, std::move(rates));
  } else if (type == "yarn") {
    rates = yarn(s, rates, dims, rope.rotation.amplitude);
  } else if (proportional) {
    const double factor = s.rope.positive_number("factor", 1);
    const size_t turning = size_t(part * head_dim / 2);
    for (size_t i = 0; i < rates.size(); ++i) rates[i] = i < turning ? rates[i] / factor : 0;
  } else if (type == "longrope") {
    longrope(s, rates, rope);
    return rope;
  } else if (type == "factors") {  // what a GGUF file has of any other
    rates = divided(s, std::move(rates), "factors");
  } else if (type == "dynamic") {
    ensure(dims > 2, config.where(), ": a dynamic rope needs more than 2 dimensions");
    rope.beyond = std::make_shared<Rope::Beyond>(Rope::Beyond{
        s.max_positions(), {}, float(base), float(s.rope.positive_number("factor")), dims});
    return rope;
  } else {
    ensure(type == "default", config.where(), ": rope type ", in_quotes(type),
           " is not known; known: default, dynamic, linear, llama3, longrope, proportional, yarn");
    return rope;
  }
  rope.freqs = freqs_of(rates);
  return rope;
}

float read_yarn_scale(const JsonObject& config) {
  const RopeKeys keys;
  const Source s = source_of(config, keys);
  if (s.type() != "yarn") return 1;
  const double m = optional_number(s.rope, "mscale_all_dim");
  return m == 0 ? 1 : float(std::pow(mscale(s.factor(), m), 2));
}

int read_context(const JsonObject& config, std::optional<int> fallback) {
  const int context = config.positive("max_position_embeddings", fallback);
  const RopeKeys keys;
  const Source s = source_of(config, keys);
  const std::string type = s.type();
  const double from = type == "dynamic" ? context : type == "yarn" ? s.original() : 0;
  const double grown = from > 0 ? from * s.rope.positive_number("factor", 1) : 0;
  return int(std::clamp(grown, double(context), double(1 << 30)));
}

std::optional<array> Rope::at(const StepInfo& step) const {
  if (!beyond) return freqs;
  for (const auto& [of, made] : step.made)
    if (of == beyond.get()) return made;
  const int rows = step.totals.shape(0);
  const array totals = reshape(step.totals, {rows, 1});
  std::optional<array> now;
  if (beyond->freqs) {
    now = where(greater(totals, array(beyond->original)), expand_dims(*beyond->freqs, 0),
                expand_dims(*freqs, 0));
  } else {
    // base (factor length / original - factor + 1)^(dims / (dims - 2))
    const float dims = float(beyond->dims), original = float(beyond->original);
    const array length = maximum(astype(totals, float32), array(original));
    const array grown =
        subtract(multiply(length, array(beyond->factor / original)), array(beyond->factor - 1));
    const array exponent = divide(arange(0, beyond->dims, 2, float32), array(dims));
    const array base = add(multiply(log(grown), array(dims / (dims - 2))),
                           array(float(std::log(double(beyond->base)))));  // its logarithm
    now = exp(multiply(base, expand_dims(exponent, 0)));
  }
  step.made.emplace_back(beyond.get(), *now);
  return now;
}

}  // namespace hearth::llm
