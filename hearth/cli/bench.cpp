// hearth bench: prefill and decode rates, with the limit measured in the same run.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cmath>
#include <ctime>
#include <tuple>

#include "hearth/backend/pool.h"
#include "hearth/cli/bench_tests.h"
#include "hearth/cli/build_facts.h"
#include "hearth/cli/interrupt.h"
#include "hearth/cli/json_out.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/llm/batcher.h"
#include "hearth/llm/finite.h"
#include "hearth/llm/prefill.h"
#include "hearth/llm/recognize.h"
#include "hearth/llm/registry.h"

namespace hearth::cli {

namespace {

struct Options : ModelOptions {
  std::vector<int> prompts{512}, decodes{128}, depths{0}, batches{512}, parallels{1};
  int repetitions = 5;
  bool json = false;
  std::string format;  // of a table; empty: text for people
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

std::vector<int> random_ids(int n, int vocab, uint32_t seed = 1) {
  std::vector<int> ids;
  uint32_t state = seed;
  for (int i = 0; i < n; ++i) {
    state = state * 1664525u + 1013904223u;  // Numerical Recipes' generator
    ids.push_back(int((uint64_t(state) * uint64_t(vocab)) >> 32));
  }
  return ids;
}

double prefill_rate(llm::LanguageModel& model, const BenchTest& test) {
  auto cache = model.make_cache();
  const int vocab = model.facts.vocab_size;
  if (test.depth > 0) llm::prefill(model, cache, random_ids(test.depth, vocab));
  const auto prompt = random_ids(test.prompt, vocab);
  const auto start = std::chrono::steady_clock::now();
  const array logits = llm::prefill(model, cache, prompt, test.batch);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  llm::check_finite(model, logits, prompt, "bench");
  return double(prompt.size()) / took.count();
}

// Of all rows together, from the first token of all to the last; 0 if it was interrupted.
double decode_rate(llm::LanguageModel& model, int tokens, const BenchTest& test) {
  using Clock = std::chrono::steady_clock;
  const int rows = test.parallel;
  llm::Batcher batcher(model, {.most_rows = rows, .chunks_per_step = INT_MAX});
  int given = 0;
  Clock::time_point first, last;
  for (int row = 0; row < rows; ++row)
    batcher.add(
        {.prompt = random_ids(std::max(test.depth, 1), model.facts.vocab_size, uint32_t(row) + 1),
         .max_tokens = tokens,
         .until = [&](const llm::NewToken&) {
           last = Clock::now();
           if (++given == rows) first = last;
           return CatchInterrupt::flag().load();
         }});
  for (bool begun = false; !batcher.idle(); begun = true) {
    for (const auto& event : batcher.step())
      if (event.error) std::rethrow_exception(event.error);
    ensure(begun || batcher.waiting() == 0, "bench: memory has room for the state of ",
           size_t(rows) - batcher.waiting(), " of ", rows, " rows; give --parallel fewer");
  }
  const std::chrono::duration<double> took = last - first;
  return CatchInterrupt::flag() ? 0 : double(rows) * (tokens - 1) / took.count();
}

struct Measured {
  BenchTest test;
  Rates rates;
  std::vector<double> limits = {};  // GB/s: one before and one after each decode
  // Of the limit; how far those before and after differ.
  std::vector<double> fractions = {}, spreads = {};

  /// A repetition counts when the limit before and after it agree within 10 %.
  std::vector<double> steady() const {
    std::vector<double> all;
    for (size_t i = 0; i < fractions.size(); ++i)
      if (spreads[i] <= 0.10) all.push_back(fractions[i]);
    return all;
  }
  std::optional<double> share() const {
    const auto all = steady();
    return all.empty() ? std::nullopt : std::optional(lab::summarize(all).median);
  }
};

// A step reads the weights once for each group of rows, and of experts those that its rows chose.
double gb_per_s(const BenchTest& test, double rate, llm::LanguageModel& model) {
  double bytes = 0;
  for (int left = test.parallel; left > 0; left -= llm::Batcher::kTogether)
    bytes += model.bytes_per_step(std::min(left, llm::Batcher::kTogether));
  return rate / test.parallel * bytes / 1e9;
}

// Until Ctrl-C: a repetition that it ends does not count.
Measured measure(const BenchTest& test, int repetitions, llm::LanguageModel& model) {
  Measured m{test, {}};
  if (test.prompt > 0) {
    prefill_rate(model, test);  // the first one pays for memory and clocks
    for (int i = 0; i < repetitions && !CatchInterrupt::flag(); ++i)
      m.rates.samples.push_back(prefill_rate(model, test));
    return m;
  }
  decode_rate(model, std::min(test.decode, 8), test);
  m.limits.push_back(weights_bandwidth(model).median);
  for (int i = 0; i < repetitions; ++i) {
    const double rate = decode_rate(model, test.decode, test);
    if (CatchInterrupt::flag()) return m;
    m.rates.samples.push_back(rate);
    m.limits.push_back(weights_bandwidth(model).median);
    const double before = m.limits[m.limits.size() - 2], after = m.limits.back();
    m.fractions.push_back(gb_per_s(test, rate, model) / ((before + after) / 2));
    m.spreads.push_back(std::abs(before - after) / std::max(before, after));
  }
  return m;
}

double gb_per_s(const Measured& m, llm::LanguageModel& model) {
  return gb_per_s(m.test, m.rates.median(), model);
}
/// "tg128 x 8 @ d512"
std::string name_of(const BenchTest& test) {
  return fmt::format("{}{}{}{}", test.decode ? "tg" : "pp", test.prompt + test.decode,
                     test.parallel > 1 ? fmt::format(" x {}", test.parallel) : "",
                     test.depth ? fmt::format(" @ d{}", test.depth) : "");
}
nlohmann::ordered_json or_null(const std::optional<double>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

/// A row of a table: llama-bench's names where it has the column, then ours.
nlohmann::ordered_json row_of(const Measured& m, const Options& o, llm::LanguageModel& model) {
  const auto& [test, rates] = std::tie(m.test, m.rates);
  const int tokens = test.prompt + test.decode;
  size_t parameters = 0;
  for (auto& [name, p] : model.parameters()) parameters += p.size();
  // Decoding is timed from the first token to the last.
  const double timed = test.decode ? double(test.parallel) * (tokens - 1) : tokens;
  Rates ns;
  for (const double rate : rates.samples) ns.samples.push_back(1e9 * timed / rate);
  const bool decodes = test.decode > 0;
  return {
      {"build", kVersion},
      {"model_filename", o.folder().string()},
      {"model_type", model.facts.type},
      {"model_size", model.facts.weights_bytes},
      {"model_n_params", parameters},
      {"dtype", short_name(model.facts.dtype)},
      {"kv", model.facts.state == Packing::dense ? short_name(model.facts.dtype)
                                                 : state_name(model.facts.state)},
      {"activations", model.facts.activations()},
      {"device", to_string(default_device())},
      {"random_weights", o.random_weights},
      {"n_threads", cpu::threads()},
      {"n_batch", test.batch},
      {"n_prompt", test.prompt},
      {"n_gen", test.decode},
      {"n_depth", test.depth},
      {"n_parallel", test.parallel},
      {"test", name_of(test)},
      {"test_time", fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr)))},
      {"avg_ns", ns.mean()},
      {"stddev_ns", ns.stddev()},
      {"avg_ts", rates.mean()},
      {"stddev_ts", rates.stddev()},
      {"median_ts", rates.median()},
      {"gb_per_s", decodes ? nlohmann::ordered_json(gb_per_s(m, model)) : nullptr},
      {"bandwidth_fraction", or_null(m.share())},
      {"peak_memory_bytes", peak_memory_bytes()},
      {"device_peak_memory_bytes", device_peak_bytes()},
      {"samples_ns", ns.samples},
      {"samples_ts", rates.samples},
      {"read_bandwidth_gb_s", m.limits},
  };
}

nlohmann::json report(const std::vector<Measured>& all, const Options& o,
                      llm::LanguageModel& model) {
  const auto& facts = model.facts;
  nlohmann::json json = {
      {"model", o.folder().string()},
      {"dtype", short_name(facts.dtype)},
      {"activations", facts.activations()},
      {"device", to_string(default_device())},
      {"threads", cpu::threads()},
      {"random_weights", o.random_weights},
      {"prefill", nullptr},
      {"decode", nullptr},
      {"peak_memory_bytes", peak_memory_bytes()},
      {"device_peak_memory_bytes", device_peak_bytes()},
      {"weights_bytes", facts.weights_bytes},
      {"bytes_per_token", facts.bytes_per_token},
      {"weights_fit_in_caches", json_of(fit_in_caches(model.facts.weights_bytes))},
  };
  for (const Measured& m : all) {
    if (m.test.prompt > 0) {
      json["prefill"] = {
          {"tokens", m.test.prompt}, {"depth", m.test.depth}, {"tokens_per_s", m.rates.json()}};
      continue;
    }
    const auto share = m.share();
    json["decode"] = {
        {"tokens", m.test.decode},
        {"depth", m.test.depth},
        {"parallel", m.test.parallel},
        {"tokens_per_s", m.rates.json()},
        {"gb_per_s", gb_per_s(m, model)},
        {"bandwidth_fraction", share ? nlohmann::json(*share) : nlohmann::json()},
        {"limit_disturbed", share ? nlohmann::json(disturbed(*share)) : nlohmann::json()},
        {"bandwidth_fraction_samples", m.fractions},
        {"steady_repetitions", m.steady().size()},
        {"read_bandwidth_gb_s", m.limits},
    };
  }
  return json;
}

std::string text_of(const Measured& m, llm::LanguageModel& model) {
  const auto& [test, rates] = std::tie(m.test, m.rates);
  std::string depth = test.parallel > 1 ? fmt::format(" x {}", test.parallel) : "";
  if (test.depth) depth += fmt::format(" after {:5}", test.depth);
  std::string text = fmt::format("{} {:5} tokens{}: {:9.2f} +- {:.2f} tokens/s, median {:.2f}",
                                 test.prompt ? "prefill" : "decode ", test.prompt + test.decode,
                                 depth, rates.mean(), rates.stddev(), rates.median());
  if (test.prompt) return text + "\n";
  text += fmt::format(" = {:.1f} GB/s", gb_per_s(m, model));
  const auto share = m.share();
  if (!share)
    return text +
           ", share of the bandwidth unknown: it changed by more than 10 % during every "
           "repetition\n";
  return text + fmt::format(
                    ", {:.1f} % of the read bandwidth ({} of {} repetitions steady; {:.1f} to "
                    "{:.1f} GB/s{})\n",
                    100 * *share, m.steady().size(), rates.samples.size(),
                    *std::min_element(m.limits.begin(), m.limits.end()),
                    *std::max_element(m.limits.begin(), m.limits.end()),
                    notes_on_share(*share, fit_in_caches(model.facts.weights_bytes)));
}

void run(const Options& o) {
  const auto tests = bench_tests(o.prompts, o.decodes, o.depths, o.batches, o.parallels);
  const int context =
      o.context ? *o.context : llm::make_model(llm::read_config(o.files()))->facts.context_length;
  int most = 1;
  for (const BenchTest& test : tests) {
    const int64_t tokens = int64_t(test.depth) + std::max(test.prompt, test.decode);
    if (tokens > context)
      throw UsageError(fmt::format("-p and -n{} must fit in the model's context of {}",
                                   test.depth ? ", after -d," : "", context));
    most = std::max(most, int(tokens));
  }
  Options options = o;
  if (!o.context) options.context = most;  // the memory for it must be there
  const auto model = options.load();
  CatchInterrupt ctrl_c;
  TableWriter table(o.format, "hearth_bench",
                    {{"model_type", "model"},
                     {"model_n_params", "parameters"},
                     {"dtype", "dtype"},
                     {"device", "device"},
                     {"n_threads", "threads"},
                     {"n_batch", "batch"},
                     {"test", "test"},
                     {"avg_ts", "t/s"},
                     {"stddev_ts", "+-"}});
  std::vector<Measured> all;
  for (const BenchTest& test : tests) {
    if (CatchInterrupt::flag() || output_failed()) break;
    Measured m = measure(test, o.repetitions, *model);
    if (m.rates.samples.empty()) break;
    if (!o.format.empty()) print_out(table.add(row_of(m, o, *model)));
    all.push_back(std::move(m));
  }
  if (all.empty()) CatchInterrupt::fail_if_interrupted();
  if (!o.format.empty()) {
    print_out(table.end());
  } else if (o.json) {
    print_json(report(all, o, *model));
  } else {
    std::string text = fmt::format(
        "{}  {}  {}  {} threads  {:.2f} GB of weights, {:.2f} GB peak\n", o.folder().string(),
        short_name(model->facts.dtype), to_string(default_device()), cpu::threads(),
        double(model->facts.weights_bytes) / 1e9, double(peak_memory_bytes()) / 1e9);
    for (const Measured& m : all) text += text_of(m, *model);
    print_out(text);
  }
  CatchInterrupt::fail_if_interrupted();
}

/// An option that takes parse_counts().
void add_counts(Command& command, const std::string& names, std::vector<int>& counts, int least,
                const std::string& help) {
  constexpr int kMost = 1 << 20;
  auto given = std::make_shared<bool>(false);
  const auto parse = [least](const std::string& text) { return parse_counts(text, least, kMost); };
  command
      .add_options_function(
          names,
          [&counts, parse](const std::vector<std::string>& texts) {
            counts.clear();
            for (const std::string& text : texts)
              for (const int n : parse(text)) counts.push_back(n);
          },
          help)
      ->check([parse](const std::string& text) {
        try {
          return parse(text), std::string();
        } catch (const std::invalid_argument& error) {
          return std::string(error.what());
        }
      })
      ->type_name("N,...")
      ->default_str(fmt::format("{}", fmt::join(counts, ",")))
      ->allow_extra_args(false);
}

}  // namespace

void add_bench(Command& app) {
  auto* command = app.add_subcommand("bench", "Measure prefill and decode rates of a model");
  auto o = std::make_shared<Options>();
  o->add_to(*command);
  add_counts(*command, "-p,--prefill", o->prompts, 0,
             "Prompt tokens: 512, 128,512, 64-512*2; 0: no prefill");
  add_counts(*command, "-n,--decode", o->decodes, 0, "Tokens to decode; 0: no decode");
  add_counts(*command, "-d,--depth", o->depths, 0, "Tokens that came before");
  add_counts(*command, "-b,--batch", o->batches, 1, "Tokens of a prompt that are computed at once");
  add_counts(*command, "--parallel", o->parallels, 1, "Rows that are decoded together");
  add_number(*command, "-r,--repetitions", o->repetitions, {1, 1000}, "Repetitions of each");
  auto* json = command->add_flag("--json", o->json, "Print one JSON object (docs/cli.md)");
  command->add_option("-o,--output", o->format, "Print a row for each test")
      ->one_of(table_formats())
      ->type_name("F")
      ->excludes(json);
  command->callback([o] {
    const auto tests = bench_tests(o->prompts, o->decodes, o->depths, o->batches, o->parallels);
    if (tests.empty()) throw UsageError("nothing to measure: -p 0 and -n 0");
    const auto of = [&](int BenchTest::*kind) {
      return std::count_if(tests.begin(), tests.end(),
                           [&](const BenchTest& t) { return t.*kind > 0; });
    };
    for (const BenchTest& test : tests)
      if (test.decode == 1) throw UsageError("-n: a rate needs at least 2 tokens");
    if (o->json && (of(&BenchTest::prompt) > 1 || of(&BenchTest::decode) > 1))
      throw UsageError("--json shows one -p and one -n; for several: -o json");
    run(*o);
  });
}

}  // namespace hearth::cli
