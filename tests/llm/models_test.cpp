// Models against transformers: logits and greedy continuations, in every dtype, and the ways of
// feeding the same tokens (whole, cached, chunked, batched) against each other.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "hearth/backend/pool.h"
#include "hearth/core/eval.h"
#include "hearth/io/safetensors.h"
#include "hearth/llm/decoder.h"
#include "hearth/llm/generate.h"
#include "hearth/llm/prefill.h"
#include "hearth/ops/ops.h"
#include "tests/on_device.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::llm {
namespace {

namespace fs = std::filesystem;
const fs::path kRoot = testing::source_dir();

struct Prompt {
  std::vector<int> ids, greedy;
  std::vector<float> logits;  // (length, vocab), by transformers in float32
};
struct Golden {
  fs::path model;
  std::vector<Prompt> prompts;
};

Golden golden(const std::string& name) {
  const fs::path folder = kRoot / "tests/data/models" / name;
  Golden g{name == "tiny-phi" ? kRoot / "models/tiny-phi" : folder, {}};
  const auto tensors = load_safetensors((folder / "golden.safetensors").string()).first;
  const auto json = nlohmann::json::parse(std::ifstream(folder / "golden.json"));
  for (size_t k = 0; k < json["prompts"].size(); ++k)
    g.prompts.push_back({json["prompts"][k]["ids"], json["prompts"][k]["greedy"],
                         tensors.at("prompt" + std::to_string(k) + ".logits").to_vector<float>()});
  return g;
}

std::unique_ptr<LanguageModel> load(const Golden& g, Dtype dtype) {
  LoadOptions options;
  options.dtype = dtype;
  return load_model(g.model, options);
}

std::vector<float> whole(LanguageModel& model, const std::vector<int>& ids) {
  auto cache = model.make_cache();
  const array tokens(ids.begin(), Shape{1, int(ids.size())}, int32);
  return model.forward({tokens, {}, false}, cache).to_vector<float>();
}

// The largest difference, relative to the largest of `wanted`.
float error(const std::vector<float>& got, const std::vector<float>& wanted) {
  EXPECT_EQ(got.size(), wanted.size());
  float difference = 0, largest = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    difference = std::max(difference, std::abs(got[i] - wanted[i]));
    largest = std::max(largest, std::abs(wanted[i]));
    if (std::isnan(got[i])) return INFINITY;
  }
  return difference / largest;
}

std::vector<float> last_rows(const std::vector<float>& logits, int vocab) {
  return {logits.end() - vocab, logits.end()};
}

class Models : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Goldens, Models, ::testing::Values("phi", "tiny-phi"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(Models, LogitsAreThoseOfTransformers) {
  const Golden g = golden(GetParam());
  const std::pair<Dtype, float> cases[] = {{float32, 1e-4f}, {float16, 2e-2f}, {bfloat16, 5e-2f}};
  for (auto [dtype, tolerance] : cases) {
    const auto model = load(g, dtype);
    for (const Prompt& p : g.prompts)
      EXPECT_LT(error(whole(*model, p.ids), p.logits), tolerance) << to_string(dtype);
  }
}

TEST_P(Models, GreedyContinuationsAreThoseOfTransformers) {
  const Golden g = golden(GetParam());
  const auto model = load(g, float32);
  for (const Prompt& p : g.prompts) {
    GenerateOptions options;
    options.max_tokens = int(p.greedy.size());
    EXPECT_EQ(generate(*model, p.ids, options).ids, p.greedy);
  }
}

TEST_P(Models, CachedChunkedAndWholeAgree) {
  const Golden g = golden(GetParam());
  const auto model = load(g, float32);
  const int vocab = model->facts.vocab_size;
  for (const Prompt& p : g.prompts) {
    const auto reference = last_rows(whole(*model, p.ids), vocab);
    for (int chunk : {1, 3, 512}) {
      auto cache = model->make_cache();
      EXPECT_LT(error(prefill(*model, cache, p.ids, chunk).to_vector<float>(), reference), 1e-5f)
          << chunk;
      EXPECT_EQ(cache.length(0), int(p.ids.size()));
    }
  }
}

TEST_P(Models, ABatchOfUnequalPromptsEqualsOneByOne) {
  const Golden g = golden(GetParam());
  const auto model = load(g, float32);
  const int vocab = model->facts.vocab_size, rows = int(g.prompts.size());
  int longest = 0;
  std::vector<int> lengths;
  for (const Prompt& p : g.prompts) {
    lengths.push_back(int(p.ids.size()));
    longest = std::max(longest, lengths.back());
  }
  std::vector<int> padded;
  for (const Prompt& p : g.prompts) {
    padded.insert(padded.end(), p.ids.begin(), p.ids.end());
    padded.resize(padded.size() + size_t(longest) - p.ids.size(), 0);
  }
  auto cache = model->make_cache(rows);
  auto logits =
      model->forward({array(padded.begin(), Shape{rows, longest}, int32), lengths, true}, cache);
  for (int step = 0; step < 8; ++step) {
    const auto all = logits.to_vector<float>();
    std::vector<int> next;
    for (int b = 0; b < rows; ++b) {
      const std::vector<float> row(all.begin() + b * vocab, all.begin() + (b + 1) * vocab);
      std::vector<int> ids = g.prompts[b].ids;
      ids.insert(ids.end(), g.prompts[b].greedy.begin(), g.prompts[b].greedy.begin() + step);
      EXPECT_LT(error(row, last_rows(whole(*model, ids), vocab)), 1e-5f)
          << "row " << b << ", step " << step;
      next.push_back(int(std::max_element(row.begin(), row.end()) - row.begin()));
      EXPECT_EQ(next.back(), g.prompts[b].greedy[step]);
    }
    logits = model->forward({array(next.begin(), Shape{rows, 1}, int32), {}, true}, cache);
  }
}

TEST_P(Models, SameBitsForAnyNumberOfThreads) {
  const Golden g = golden(GetParam());
  const int before = cpu::threads();
  for (Dtype dtype : {float16, bfloat16, float32}) {
    const auto model = load(g, dtype);
    std::vector<float> first;
    for (int n : {1, 2, 3, 5}) {
      cpu::set_threads(n);
      auto logits = whole(*model, g.prompts[1].ids);
      if (first.empty()) first = logits;
      EXPECT_EQ(logits, first) << n << " threads, " << to_string(dtype);
    }
  }
  cpu::set_threads(before);
}

// What speculation and shared beginnings stand on: up to 32 rows of products, however they arrive.
TEST_P(Models, AFewTokensAtOnceGiveTheBitsOfOneAtATime) {
  HEARTH_CPU_ONLY(testing::kBits);
  const Golden g = golden(GetParam());
  for (Dtype dtype : {float16, bfloat16, float32}) {
    const auto model = load(g, dtype);
    const std::vector<int>& ids = g.prompts.back().ids;
    const auto read = [&](int step) {
      auto cache = model->make_cache();
      std::vector<float> all;
      for (size_t at = 0, n; at < ids.size(); at += n) {
        n = std::min(ids.size() - at, size_t(step));
        const array tokens(ids.begin() + long(at), Shape{1, int(n)}, int32);
        const auto logits = model->forward({tokens, {}, false}, cache).to_vector<float>();
        all.insert(all.end(), logits.begin(), logits.end());
      }
      return all;
    };
    const auto one = read(1);
    for (int step : {2, 5, 32}) EXPECT_EQ(read(step), one) << step << " " << to_string(dtype);
  }
}

TEST(LanguageModel, JoinedLayersGiveTheSameWithoutMoreKernels) {
  const std::vector<int> ids{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  std::vector<float> logits[2];
  uint64_t kernels[2];
  size_t bytes[2];
  for (bool join : {false, true}) {
    const auto model = load_model(kRoot / "models/tiny-phi", {.dtype = float32, .join = join});
    bytes[join] = model->facts.weights_bytes;
    auto cache = model->make_cache();
    const auto before = eval_counters().kernels;
    prefill(*model, cache, std::span(ids).first(11)).eval();
    logits[join] = model->forward({array({12}, {1, 1}, int32), {}, true}, cache).to_vector<float>();
    kernels[join] = eval_counters().kernels - before;
    EXPECT_EQ(model->joined()[0].whole->has_value(), join);
  }
  EXPECT_LE(error(logits[true], logits[false]), 1e-5f);
  EXPECT_EQ(kernels[true], kernels[false]);
  EXPECT_EQ(bytes[true], bytes[false]);
}

TEST(LanguageModel, DecodeDonatesAllItCanAndFallsBackNowhere) {
  const auto model = load_model(kRoot / "models/tiny-phi");
  auto cache = model->make_cache();
  prefill(*model, cache, std::vector<int>{1, 2, 3});
  RowSamplers greedy(std::make_unique<Sampler>(SamplingOptions{}, model->facts.vocab_size,
                                               std::vector<std::vector<int>>{{}}));
  Decoder steps(*model, cache, greedy, array({4}, {1}, int32));
  const auto before = eval_counters();
  steps.step().eval();
  EXPECT_EQ(eval_counters().missed_donations, before.missed_donations);
  EXPECT_EQ(eval_counters().fallbacks, before.fallbacks);
  EXPECT_LE(eval_counters().kernels - before.kernels, uint64_t(5 * model->facts.layers + 13));
  steps.step().eval();  // recorded
  const auto recorded = eval_counters();
  for (int i = 0; i < 4; ++i) steps.step().eval();
  EXPECT_EQ(eval_counters().kernels - recorded.kernels, 4u);  // the copies of the ids
}

TEST(LanguageModel, RecordedStepsGiveTheLogitsOfAPrefill) {
  const auto model = load_model(kRoot / "models/tiny-phi", {.dtype = float32});
  auto cache = model->make_cache();
  std::vector<int> ids{1, 2, 3, 4};
  prefill(*model, cache, std::span(ids).first(3));
  RowSamplers greedy(std::make_unique<Sampler>(SamplingOptions{}, model->facts.vocab_size,
                                               std::vector<std::vector<int>>{{}}));
  Decoder steps(*model, cache, greedy, array({4}, {1}, int32));
  for (int i = 0; i < 300; ++i) {  // past a growth of the cache
    const int next = steps.step().item<int>();
    if (i % 50 == 0 || i > 250) {
      auto whole = model->make_cache();
      const auto wanted = prefill(*model, whole, ids).to_vector<float>();
      const auto got = copy(steps.logits()).to_vector<float>();
      float most = 0, off = 0;
      for (size_t k = 0; k < wanted.size(); ++k)
        most = std::max(most, std::abs(wanted[k])),
        off = std::max(off, std::abs(wanted[k] - got[k]));
      ASSERT_LE(off, 1e-4f * most) << "step " << i;
    }
    ids.push_back(next);
  }
}

// The cache grows while rows have different lengths, the shorter one first.
TEST(LanguageModel, ACacheThatGrowsKeepsTheLongerRows) {
  const auto model = load_model(kRoot / "models/tiny-phi", {.dtype = float32});
  std::vector<std::vector<int>> rows(2);
  for (int i = 0; i < 253; ++i) rows[1].push_back(1 + (i * 37) % 4000);
  rows[0] = {7, 8, 9};
  std::vector<int> padded = rows[0];
  padded.resize(253, 0);
  padded.insert(padded.end(), rows[1].begin(), rows[1].end());
  auto cache = model->make_cache(2);
  model->forward({array(padded.begin(), Shape{2, 253}, int32), {3, 253}, true}, cache).eval();
  const int before = cache.capacity();
  array logits(0.0f);
  for (int step = 0; step < 8; ++step) {
    const std::vector<int> next{100 + step, 200 + step};
    for (size_t b : {0, 1}) rows[b].push_back(next[b]);
    logits = model->forward({array(next.begin(), Shape{2, 1}, int32), {}, true}, cache);
  }
  EXPECT_GT(cache.capacity(), before);
  EXPECT_EQ(cache.length(0), 11);
  EXPECT_EQ(cache.length(1), 261);
  const int vocab = model->facts.vocab_size;
  const auto got = logits.to_vector<float>();
  for (size_t b : {0, 1})
    EXPECT_LT(error({got.begin() + long(b) * vocab, got.begin() + long(b + 1) * vocab},
                    last_rows(whole(*model, rows[b]), vocab)),
              1e-5f)
        << "row " << b;
}

TEST(KvCache, CountsChecksAndForgets) {
  const StateShape layer{.kind = StateShape::positions, .parts = {{3, 4}, {3, 4}}};
  KvCache cache({{layer, layer}, 600, float32}, 2);
  EXPECT_EQ(cache.batch(), 2);
  EXPECT_EQ(cache.capacity(), 0);
  cache.reserve(10);
  EXPECT_EQ(cache.capacity(), 256);
  EXPECT_EQ(cache.layer(1).parts[0].shape(), (Shape{2, 3, 256, 4}));
  EXPECT_EQ(cache.nbytes(), size_t(2 * 2 * 2 * 3 * 256 * 4 * 4));
  const int counts[] = {1, 10};
  cache.advance(counts);
  EXPECT_EQ(cache.offsets().to_vector<int>(), (std::vector<int>{1, 10}));
  cache.reserve(246);  // just fits
  EXPECT_EQ(cache.capacity(), 256);
  cache.reserve(247);
  EXPECT_EQ(cache.capacity(), 512);
  cache.reserve(590);  // the context, which is no multiple of the step
  EXPECT_EQ(cache.capacity(), 600);
  EXPECT_THROW(cache.reserve(591), std::invalid_argument);
  EXPECT_THROW(cache.advance(std::span(counts, 1)), std::invalid_argument);
  cache.clear();
  EXPECT_EQ(cache.length(1), 0);
  EXPECT_EQ(cache.offsets().to_vector<int>(), (std::vector<int>{0, 0}));
  EXPECT_EQ(cache.capacity(), 600);
  EXPECT_THROW(KvCache({{layer}, 1, float32}, 0), std::invalid_argument);
}

TEST(LanguageModel, TheEndOfTextIsWhatGenerationConfigSaysElseConfig) {
  const auto eos = [](const std::optional<std::string>& generation, const std::string& config) {
    testing::TempFolder folder;
    auto json = nlohmann::json::parse(testing::content_of(kRoot / "models/tiny-phi/config.json"));
    json.erase("eos_token_id"), json.erase("bos_token_id");
    json.update(nlohmann::json::parse(config));
    folder.write("config.json", json.dump());
    if (generation) folder.write("generation_config.json", *generation);
    LoadOptions options;
    options.random_weights = true;
    return load_model(folder.path(), options)->facts.eos;
  };
  using Ids = std::vector<int>;
  EXPECT_EQ(eos(R"({"eos_token_id": 7})", "{}"), Ids{7});  // alone
  EXPECT_EQ(eos(R"({"eos_token_id": [7, 9]})", R"({"eos_token_id": 3})"), (Ids{7, 9}));
  EXPECT_EQ(eos(R"({"bos_token_id": 7})", R"({"eos_token_id": 3})"), Ids{3});
  EXPECT_EQ(eos(std::nullopt, R"({"eos_token_id": [3, 4]})"), (Ids{3, 4}));
  EXPECT_EQ(eos(std::nullopt, "{}"), Ids{});
}

TEST(LanguageModel, RandomWeightsAreTheSameForASeedOnAnyNumberOfThreads) {
  LoadOptions options;
  options.random_weights = true;
  const int before = cpu::threads();
  std::vector<float> first;
  for (int n : {1, 3}) {
    cpu::set_threads(n);
    const auto model = load_model(kRoot / "tests/data/models/phi", options);
    const auto w = model->parameters().at("model.layers.1.mlp.up_proj.weight")->to_vector<float>();
    if (first.empty()) first = w;
    EXPECT_EQ(w, first);
    const auto logits = whole(*model, {1, 2, 3});
    for (float v : logits) EXPECT_TRUE(std::isfinite(v));
  }
  cpu::set_threads(before);
  double sum = 0, squares = 0;
  for (float v : first) sum += v, squares += double(v) * v;
  EXPECT_NEAR(sum / double(first.size()), 0, 2e-3);
  EXPECT_NEAR(std::sqrt(squares / double(first.size())), 0.02, 2e-3);
}

TEST(LanguageModel, RefusesWhatDoesNotFit) {
  const auto model = load_model(kRoot / "models/tiny-phi");
  auto cache = model->make_cache();
  const std::vector<int> long_prompt(513, 1);
  try {
    generate(*model, long_prompt, {});
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_STREQ(
        e.what(),
        "generate: the prompt has 513 tokens, the model's context is 512; shorten the prompt");
  }
  EXPECT_THROW(generate(*model, std::vector<int>{}, {}), std::invalid_argument);
  EXPECT_THROW(generate(*model, std::vector<int>{4096}, {}), std::invalid_argument);
  EXPECT_THROW(generate(*model, std::vector<int>{-1}, {}), std::invalid_argument);
  GenerateOptions none;
  none.max_tokens = 0;
  EXPECT_THROW(generate(*model, std::vector<int>{1}, none), std::invalid_argument);
  EXPECT_THROW(model->forward({array({1, 2}, int32), {}, false}, cache), std::invalid_argument);
}

TEST(LanguageModel, FillsItsContextToTheLastPosition) {
  const auto model = load_model(kRoot / "models/tiny-phi");
  GenerateOptions options;
  options.max_tokens = 1000;
  const auto out = generate(*model, std::vector<int>(500, 7), options);
  EXPECT_EQ(out.ids.size(), 13u);  // 500 + 12 fill the context; the 13th is never fed
  EXPECT_EQ(out.stopped_by, "length");
}

}  // namespace
}  // namespace hearth::llm
