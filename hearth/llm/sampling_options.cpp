#include "hearth/llm/sampling_options.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "hearth/base/error.h"

namespace hearth::llm {

namespace {

using enum SamplingStep;

struct Named {
  SamplingStep step;
  std::string_view name;
};
constexpr Named kSteps[] = {
    {min_tokens, "min-tokens"},
    {bias, "logit-bias"},
    {repetition, "repetition"},
    {frequency, "frequency"},
    {dry, "dry"},
    {ngram, "no-repeat-ngram"},
    {temperature, "temp"},
    {top_k, "top-k"},
    {top_p, "top-p"},
    {min_p, "min-p"},
    {typical, "typical-p"},
    {top_n_sigma, "top-n-sigma"},
    {xtc, "xtc"},
};

struct Preset {
  std::string_view name;
  SamplingOrder order;
};
// As each of them has it; steps that one lacks stand where another has them.
const Preset kPresets[] = {
    {"hf",
     {{bias, repetition, frequency, dry, ngram, min_tokens, temperature, top_k, top_p, min_p,
       typical, top_n_sigma, xtc},
      0,
      false}},
    {"llama.cpp",
     {{min_tokens, bias, ngram, repetition, frequency, dry, top_n_sigma, top_k, typical, top_p,
       min_p, xtc, temperature},
      64,
      true}},
    {"mlx",
     {{min_tokens, bias, ngram, repetition, frequency, dry, top_n_sigma, typical, top_p, min_p, xtc,
       top_k, temperature},
      20,
      true}},
    {"vllm",
     {{min_tokens, bias, repetition, frequency, dry, ngram, temperature, min_p, top_k, top_p,
       typical, top_n_sigma, xtc},
      0,
      false}},
};

}  // namespace

std::string_view to_string(SamplingStep step) {
  return std::find_if(std::begin(kSteps), std::end(kSteps),
                      [&](const Named& n) { return n.step == step; })
      ->name;
}

SamplingOrder sampling_order(std::string_view name) {
  for (const Preset& preset : kPresets)
    if (preset.name == name) return preset.order;
  SamplingOrder order{{}, 0, false};
  for (size_t at = 0; at <= name.size();) {
    const size_t comma = std::min(name.find(',', at), name.size());
    const std::string_view word = name.substr(at, comma - at);
    const auto* known = std::find_if(std::begin(kSteps), std::end(kSteps),
                                     [&](const Named& n) { return n.name == word; });
    if (known == std::end(kSteps)) {
      std::string all;
      for (const Named& n : kSteps) all += concat(all.empty() ? "" : ", ", n.name);
      check(false, "order: '", word, "', wanted hf, llama.cpp, mlx or vllm, or steps of: ", all);
    }
    check(std::find(order.steps.begin(), order.steps.end(), known->step) == order.steps.end(),
          "order: '", word, "' stands twice");
    order.steps.push_back(known->step);
    at = comma + 1;
  }
  return order;
}

void check_options(const SamplingOptions& o) {
  constexpr float kMost = 1e6f;  // of penalties, which multiply and divide
  const auto between = [](const char* name, float value, float least, float most) {
    check(value >= least && value <= most, name, ": ", value, ", wanted ", least, " to ", most);
  };
  const auto or_more = [](const char* name, float value, float least) {
    check(value >= least && std::isfinite(value), name, ": ", value, ", wanted ", least,
          " or more");
  };
  or_more("temp", o.temperature, 0);
  check(o.top_k >= 0, "top-k: ", o.top_k, ", wanted 0 (all) or more");
  check(o.top_p > 0 && o.top_p <= 1, "top-p: ", o.top_p, ", wanted above 0, at most 1");
  between("min-p", o.min_p, 0, 1);
  check(o.typical_p > 0 && o.typical_p <= 1, "typical-p: ", o.typical_p,
        ", wanted above 0, at most 1");
  or_more("top-n-sigma", o.top_n_sigma, 0);
  between("xtc-probability", o.xtc_probability, 0, 1);
  between("xtc-threshold", o.xtc_threshold, 0, 1);
  check(o.repetition_penalty >= 1 / kMost && o.repetition_penalty <= kMost,
        "repetition-penalty: ", o.repetition_penalty, ", wanted above 0, from ", 1 / kMost, " to ",
        kMost);
  between("frequency-penalty", o.frequency_penalty, -kMost, kMost);
  between("presence-penalty", o.presence_penalty, -kMost, kMost);
  check(o.penalty_window >= -1, "penalty-window: ", o.penalty_window, ", wanted -1 or more");
  between("dry-multiplier", o.dry_multiplier, 0, kMost);
  between("dry-base", o.dry_base, 1, kMost);
  check(o.dry_allowed_length >= 1 && o.dry_allowed_length <= 1024,
        "dry-allowed-length: ", o.dry_allowed_length, ", wanted 1 to 1024");
  for (const std::string& text : o.dry_sequence_breakers)
    check(!text.empty() && text.size() <= 40, "dry-sequence-breaker: a text of ", text.size(),
          " bytes, wanted 1 to 40");
  check(o.dry_window >= 0, "dry-window: ", o.dry_window, ", wanted 0 (all) or more");
  check(o.no_repeat_ngram >= 0 && o.no_repeat_ngram <= 1024, "no-repeat-ngram: ", o.no_repeat_ngram,
        ", wanted 0 (off) to 1024");
  check(o.penalty_window <= 1 << 20, "penalty-window: ", o.penalty_window, ", wanted at most ",
        1 << 20, "; 0 is all");
  or_more("mirostat-tau", o.mirostat_tau, 0);
  between("mirostat-eta", o.mirostat_eta, 0, 1);
  check(o.min_tokens >= 0, "min-tokens: ", o.min_tokens, ", wanted 0 or more");
  check(o.logprobs >= 0 && o.logprobs <= 100, "logprobs: ", o.logprobs, ", wanted 0 to 100");
  for (const auto& [id, bias] : o.logit_bias) {
    check(id >= 0, "logit-bias: there is no token ", id);
    check(!std::isnan(bias) && bias <= kMost, "logit-bias: ", bias, " for token ", id,
          ", wanted a number up to ", kMost, "; -inf forbids the token");
  }
  sampling_order(o.order);
}

}  // namespace hearth::llm
