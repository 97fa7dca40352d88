// hearth bench: prefill and decode rates, with the limit measured in the same run.
#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "hearth/backend/pool.h"
#include "hearth/cli/interrupt.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/llm/finite.h"

namespace hearth::cli {

namespace {

struct Options : ModelOptions {
  int prefill = 512, decode = 128, repetitions = 5;
  bool json = false;
};

struct Rates {
  std::vector<double> samples;
  double mean() const {
    double sum = 0;
    for (double x : samples) sum += x;
    return sum / double(samples.size());
  }
  double stddev() const {  // of the sample; 0 for one
    if (samples.size() < 2) return 0;
    double sum = 0;
    for (double x : samples) sum += (x - mean()) * (x - mean());
    return std::sqrt(sum / double(samples.size() - 1));
  }
  double median() const { return lab::summarize(samples).median; }
  nlohmann::json json() const {
    return {{"mean", mean()}, {"stddev", stddev()}, {"median", median()}, {"samples", samples}};
  }
};

std::vector<int> random_ids(int n, int vocab) {
  std::vector<int> ids;
  uint32_t state = 1;
  for (int i = 0; i < n; ++i) {
    state = state * 1664525u + 1013904223u;  // Numerical Recipes' generator
    ids.push_back(int((uint64_t(state) * uint64_t(vocab)) >> 32));
  }
  return ids;
}

double prefill_rate(llm::LanguageModel& model, const std::vector<int>& prompt) {
  auto cache = model.make_cache();
  const auto start = std::chrono::steady_clock::now();
  const array logits = llm::prefill(model, cache, prompt);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  llm::check_finite(model, logits, prompt, "bench");
  return double(prompt.size()) / took.count();
}

// 0 if it was interrupted.
double decode_rate(llm::LanguageModel& model, int tokens) {
  llm::GenerateOptions options;
  options.max_tokens = tokens;
  const auto out = generate(model, random_ids(1, model.facts.vocab_size), options,
                            [](int, std::string_view) { return !CatchInterrupt::flag(); });
  return CatchInterrupt::flag() ? 0 : out.decode_tokens_per_s();
}

struct Measured {
  Rates prefill, decode;
  std::vector<double> limits;              // GB/s: one before and one after each decode
  std::vector<double> fractions, spreads;  // of the limit; how far those before and after differ
};

// Until Ctrl-C: a repetition that it ends does not count.
Measured measure(const Options& o, llm::LanguageModel& model) {
  const auto& facts = model.facts;
  Measured m;
  const auto prompt = random_ids(o.prefill, facts.vocab_size);
  if (o.prefill > 0) prefill_rate(model, prompt);  // the first one pays for memory and clocks
  for (int i = 0; o.prefill > 0 && i < o.repetitions && !CatchInterrupt::flag(); ++i)
    m.prefill.samples.push_back(prefill_rate(model, prompt));
  if (o.decode == 0 || CatchInterrupt::flag()) return m;
  decode_rate(model, std::min(o.decode, 8));
  m.limits.push_back(weights_bandwidth(model).median);
  for (int i = 0; i < o.repetitions; ++i) {
    const double rate = decode_rate(model, o.decode);
    if (CatchInterrupt::flag()) return m;
    m.decode.samples.push_back(rate);
    m.limits.push_back(weights_bandwidth(model).median);
    const double before = m.limits[m.limits.size() - 2], after = m.limits.back();
    m.fractions.push_back(rate * double(facts.bytes_per_token) / 1e9 / ((before + after) / 2));
    m.spreads.push_back(std::abs(before - after) / std::max(before, after));
  }
  return m;
}

void run(const Options& o) {
  const auto model = o.load();
  const auto& facts = model->facts;
  if (std::max(o.prefill, o.decode) > facts.context_length)
    throw CLI::ValidationError(
        fmt::format("-p and -n must fit in the model's context of {}", facts.context_length));
  CatchInterrupt ctrl_c;
  const auto [prefill, decode, limits, fractions, spreads] = measure(o, *model);
  if (prefill.samples.empty() && decode.samples.empty()) CatchInterrupt::fail_if_interrupted();
  const size_t peak = peak_memory_bytes();
  const auto cached = fit_in_caches(*model);
  // A repetition counts when the limit before and after it agree within 10 %.
  std::vector<double> steady;
  for (size_t i = 0; i < fractions.size(); ++i)
    if (spreads[i] <= 0.10) steady.push_back(fractions[i]);
  const bool any = !decode.samples.empty();
  const double share = steady.empty() ? 0 : lab::summarize(steady).median;
  const double gb_per_s = any ? decode.median() * double(facts.bytes_per_token) / 1e9 : 0;
  if (o.json) {
    nlohmann::json json = {
        {"model", o.folder().string()},
        {"dtype", short_name(facts.dtype)},
        {"device", to_string(default_device())},
        {"threads", cpu::threads()},
        {"random_weights", o.random_weights},
        {"prefill", nullptr},
        {"decode", nullptr},
        {"peak_memory_bytes", peak},
        {"device_peak_memory_bytes", device_peak_bytes()},
        {"weights_bytes", facts.weights_bytes},
        {"bytes_per_token", facts.bytes_per_token},
        {"weights_fit_in_caches", json_of(cached)},
    };
    if (!prefill.samples.empty())
      json["prefill"] = {{"tokens", o.prefill}, {"tokens_per_s", prefill.json()}};
    if (any)
      json["decode"] = {
          {"tokens", o.decode},
          {"tokens_per_s", decode.json()},
          {"gb_per_s", gb_per_s},
          {"bandwidth_fraction", steady.empty() ? nlohmann::json() : nlohmann::json(share)},
          {"limit_disturbed", steady.empty() ? nlohmann::json() : nlohmann::json(disturbed(share))},
          {"bandwidth_fraction_samples", fractions},
          {"steady_repetitions", steady.size()},
          {"read_bandwidth_gb_s", limits},
      };
    print_out(json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    return CatchInterrupt::fail_if_interrupted();
  }
  std::string text =
      fmt::format("{}  {}  {}  {} threads  {:.2f} GB of weights, {:.2f} GB peak\n",
                  o.folder().string(), short_name(facts.dtype), to_string(default_device()),
                  cpu::threads(), double(facts.weights_bytes) / 1e9, double(peak) / 1e9);
  if (!prefill.samples.empty())
    text += fmt::format("prefill {:5} tokens: {:9.2f} +- {:.2f} tokens/s, median {:.2f}\n",
                        o.prefill, prefill.mean(), prefill.stddev(), prefill.median());
  if (any) {
    text +=
        fmt::format("decode  {:5} tokens: {:9.2f} +- {:.2f} tokens/s, median {:.2f} = {:.1f} GB/s",
                    o.decode, decode.mean(), decode.stddev(), decode.median(), gb_per_s);
    if (steady.empty())
      text +=
          ", share of the bandwidth unknown: it changed by more than 10 % during every "
          "repetition\n";
    else
      text += fmt::format(
          ", {:.1f} % of the read bandwidth ({} of {} repetitions steady; {:.1f} to {:.1f} "
          "GB/s{})\n",
          100 * share, steady.size(), decode.samples.size(),
          *std::min_element(limits.begin(), limits.end()),
          *std::max_element(limits.begin(), limits.end()), notes_on_share(share, cached));
  }
  print_out(text);
  CatchInterrupt::fail_if_interrupted();
}

}  // namespace

void add_bench(CLI::App& app) {
  auto* command = app.add_subcommand("bench", "Measure prefill and decode rates of a model");
  auto o = std::make_shared<Options>();
  o->add_to(*command);
  add_number(*command, "-p,--prefill", o->prefill, {0, 1 << 20}, "Prompt tokens; 0: no prefill");
  add_number(*command, "-n,--decode", o->decode, {0, 1 << 20}, "Tokens to decode; 0: no decode");
  add_number(*command, "-r,--repetitions", o->repetitions, {1, 1000}, "Repetitions of each");
  command->add_flag("--json", o->json, "Print one JSON object (docs/cli.md)");
  command->callback([o] {
    if (o->prefill == 0 && o->decode == 0)
      throw CLI::ValidationError("nothing to measure: -p 0 and -n 0");
    if (o->decode == 1) throw CLI::ValidationError("-n: a rate needs at least 2 tokens");
    run(*o);
  });
}

}  // namespace hearth::cli
