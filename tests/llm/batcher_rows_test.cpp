// Rows that come, go and are decoded together: each is, bit for bit, what a plain loop over the
// model makes of it alone.
#include "hearth/llm/batcher.h"

#include <gtest/gtest.h>

#include <map>

#include "hearth/backend/pool.h"
#include "hearth/llm/prefill.h"
#include "hearth/llm/row_samplers.h"
#include "hearth/ops/ops.h"
#include "tests/llm/tiny_checkpoint.h"
#include "tests/on_device.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::llm {
namespace {

using End = Batcher::End;

constexpr int kChunk = 64;

/// A row, and what happens to it.
struct Case {
  Batcher::Request request;
  int joins = 0;         // at this step
  int cancelled = -1;    // after so many tokens
  int caller_ends = -1;  // the same, by `until`
};

struct Answer {
  std::vector<int> ids;
  std::vector<std::vector<std::pair<int, float>>> likely;
  End end = End::none;
  bool operator==(const Answer&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Answer& a) {
  out << "end " << int(a.end) << ", ids";
  for (const int id : a.ids) out << ' ' << id;
  return out;
}

std::vector<std::pair<int, float>> pairs(const std::vector<Likely>& likely) {
  std::vector<std::pair<int, float>> all;
  for (const auto& [id, logprob] : likely) all.emplace_back(id, logprob);
  return all;
}

/// The token and the n most likely ones, by their names alone.
std::vector<std::pair<int, float>> most_likely(const array& logits, int id, int n) {
  if (n == 0) return {};
  const array x = astype(logits, float32);
  const auto all = subtract(x, logsumexp(x, 1, true)).to_vector<float>();
  std::vector<int> order(all.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = int(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return all[size_t(a)] > all[size_t(b)]; });
  std::vector<std::pair<int, float>> likely{{id, all[size_t(id)]}};
  for (size_t i = 0; i < size_t(n); ++i) likely.emplace_back(order[i], all[size_t(order[i])]);
  return likely;
}

/// What a loop without a batcher makes of it: one row, nothing recorded.
Answer alone(LanguageModel& model, const Case& c) {
  const auto& [prompt, sampling, stop_ids, max_tokens, until, begun, keep, draft] = c.request;
  std::vector<int> text = prompt;
  KvCache cache = model.make_cache();
  Sampler sampler(sampling, model.facts.vocab_size, {prompt}, stop_ids);
  const auto feed = [&](int from, int to) {
    const array tokens(text.begin() + from, Shape{1, to - from}, int32);
    const array logits = model.forward({tokens, {}, true}, cache);
    logits.eval();
    return reshape(logits, {1, model.facts.vocab_size});
  };
  const auto read = [&] {
    const int total = int(text.size());
    cache.clear();
    cache.expect(0, total);
    for (int at = 0;;) {
      const int end = piece_end(at, total, kChunk);
      const array logits = feed(at, end);
      if (end == total) return logits;
      at = end;
    }
  };
  Answer answer;
  for (array logits = read();;) {
    const int id = sampler(logits).item<int>();
    if (std::ranges::find(stop_ids, id) != stop_ids.end()) {
      answer.end = End::stop_id;
      return answer;
    }
    text.push_back(id);
    answer.ids.push_back(id);
    answer.likely.push_back(most_likely(logits, id, sampling.logprobs));
    const int count = int(answer.ids.size());
    if (count == c.cancelled) return answer;
    if (count == c.caller_ends)
      answer.end = End::caller;
    else if (count == max_tokens || int(text.size()) > model.facts.context_length)
      answer.end = End::length;
    if (answer.end != End::none) return answer;
    const int length = cache.length(0);
    logits = length == model.facts.first_context ? read() : feed(length, length + 1);
  }
}

std::vector<Answer> together(LanguageModel& model, const std::vector<Case>& cases,
                             const BatcherOptions& options) {
  Batcher batcher(model, options);
  std::vector<Answer> answers(cases.size());
  std::map<Batcher::Id, size_t> rows;
  size_t left = cases.size();
  for (int step = 0; left > 0 && step < 5000; ++step) {
    for (size_t i = 0; i < cases.size(); ++i) {
      if (cases[i].joins != step) continue;
      Batcher::Request request = cases[i].request;
      if (const int n = cases[i].caller_ends; n >= 0)
        request.until = [count = 0, n](const NewToken&) mutable { return ++count == n; };
      rows[batcher.add(std::move(request))] = i;
    }
    for (const auto& event : batcher.step()) {
      const size_t row = rows.at(event.row);
      Answer& answer = answers[row];
      const int cancelled = cases[row].cancelled;
      if (event.error) std::rethrow_exception(event.error);
      if (int(answer.ids.size()) == cancelled) continue;  // of the step after which it was
      EXPECT_EQ(answer.end, End::none) << "a token after the end of row " << row;
      if (event.end != End::stop_id) {
        answer.ids.push_back(event.token.id);
        answer.likely.push_back(pairs(event.token.likely));
      }
      if (int(answer.ids.size()) == cancelled) {
        batcher.cancel(event.row);
        EXPECT_FALSE(batcher.cancel(event.row));
        --left;
      } else {
        answer.end = event.end;
        left -= event.end != End::none;
      }
    }
  }
  EXPECT_TRUE(batcher.idle());
  return answers;
}

/// Numbers that only look random.
struct Lots {
  uint32_t state;
  int below(int n) {
    state = state * 1664525u + 1013904223u;
    return int(uint64_t(state) * uint64_t(n) >> 32);
  }
};

const std::vector<SamplingOptions>& ways_to_choose() {
  static const std::vector<SamplingOptions> all{
      {},
      {.temperature = 0.8f},
      {.temperature = 1, .top_k = 20, .top_p = 0.9f},
      {.logprobs = 3},
      {.temperature = 0.7f, .min_p = 0.05f, .repetition_penalty = 1.2f},
      {.frequency_penalty = 0.5f, .presence_penalty = 0.3f},
      {.temperature = 1, .mirostat_tau = 3},
      {.temperature = 0.9f, .xtc_probability = 0.5f, .min_tokens = 5, .logprobs = 1},
      {.dry_multiplier = 0.8f, .no_repeat_ngram = 3},
      {.temperature = 1.1f, .typical_p = 0.9f, .order = "llama.cpp"},
      {.temperature = 1, .top_n_sigma = 1.5f, .logit_bias = {{3, 2.0f}, {5, -INFINITY}}},
      {.temperature = 0.8f, .logprobs = 2},
  };
  return all;
}

std::vector<Case> make_cases(int rows, const LanguageModel::Facts& facts, uint32_t seed) {
  Lots lots{seed};
  std::vector<Case> cases;
  for (int i = 0; i < rows; ++i) {
    Case c;
    const int kinds[] = {1, 5, 33, 64, 65, 96, 97, 110};
    const int n = std::min(kinds[lots.below(8)] + lots.below(4), facts.context_length - 3);
    for (int k = 0; k < n; ++k) c.request.prompt.push_back(lots.below(facts.vocab_size));
    c.request.sampling = ways_to_choose()[size_t(lots.below(int(ways_to_choose().size())))];
    c.request.sampling.seed = uint64_t(lots.below(1000));
    c.request.max_tokens = 1 + lots.below(24);
    for (int k = lots.below(3); k > 0; --k)
      c.request.stop_ids.push_back(lots.below(facts.vocab_size));
    c.joins = lots.below(2) ? 0 : lots.below(20);
    if (lots.below(6) == 0) c.cancelled = 1 + lots.below(8);
    if (lots.below(6) == 0) c.caller_ends = 1 + lots.below(8);
    cases.push_back(std::move(c));
  }
  return cases;
}

void expect_as_alone(LanguageModel& model, int rows, uint32_t seed, const std::string& what) {
  const auto cases = make_cases(rows, model.facts, seed);
  const auto answers =
      together(model, cases, {.most_rows = std::max(rows, 32), .prefill_chunk = kChunk});
  for (size_t i = 0; i < cases.size(); ++i)
    EXPECT_EQ(answers[i], alone(model, cases[i])) << what << ", row " << i << " of " << rows;
}

TEST(Batcher, RowsAreWhatTheyAreAlone) {
  HEARTH_CPU_ONLY(testing::kBits);
  const int before = cpu::threads();
  for (const Dtype dtype : {float32, float16, bfloat16}) {
    const auto model = load_model(testing::source_path("models/tiny-phi"), {.dtype = dtype});
    uint32_t seed = dtype == float32 ? 1 : dtype == float16 ? 2 : 3;
    for (const int rows : {1, 2, 7, 32, 40}) {
      const int threads = 1 + int(++seed % 2);
      cpu::set_threads(threads);
      expect_as_alone(*model, rows, seed, concat(dtype, ", ", threads, " threads"));
    }
  }
  cpu::set_threads(before);
}

/// Every family: windows and rings, recurrent states, latents, experts, ropes that grow.
class BatcherOfFamilies : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Tiny, BatcherOfFamilies,
                         ::testing::ValuesIn(testing::TinyCheckpoint::names()),
                         [](const auto& info) { return info.param; });

TEST_P(BatcherOfFamilies, RowsAreWhatTheyAreAlone) {
  HEARTH_CPU_ONLY(testing::kBits);
  const testing::TinyCheckpoint checkpoint(GetParam());
  const Dtype half = GetParam().size() % 2 ? float16 : bfloat16;
  for (const Dtype dtype : {float32, half}) {
    const auto model = load_model(checkpoint.path(), {.dtype = dtype});
    expect_as_alone(*model, 8, 77, concat(dtype));
  }
}

// Rings that go around, of another capacity than alone, and a cache that grows midway.
TEST(Batcher, RowsKeepTheirBitsWhereMemoryIsLaidOutOtherwise) {
  HEARTH_CPU_ONLY(testing::kBits);
  testing::TempFolder folder;
  folder.write("config.json", R"({"model_type": "mistral", "hidden_size": 32,
      "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
      "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 61, "sliding_window": 100,
      "max_position_embeddings": 4096})");
  for (const Dtype dtype : {float32, bfloat16}) {
    const auto model = load_model(folder.path(), {.dtype = dtype, .random_weights = true});
    for (auto& [name, p] : model->parameters())
      if (name.ends_with("proj.weight")) *p = multiply(*p, array(8.0f, dtype));
    std::vector<Case> cases;
    Lots lots{5};
    for (const int n : {1400, 30, 700, 508, 250, 3}) {
      Case c;
      for (int k = 0; k < n; ++k) c.request.prompt.push_back(1 + lots.below(60));
      c.request.max_tokens = n == 30 ? 600 : 40;
      c.request.sampling = {.temperature = 1, .seed = uint64_t(n)};
      c.joins = n == 250 ? 6 : n == 508 ? 25 : 0;
      cases.push_back(std::move(c));
    }
    const auto answers = together(*model, cases, {.prefill_chunk = kChunk});
    for (size_t i = 0; i < cases.size(); ++i)
      EXPECT_EQ(answers[i], alone(*model, cases[i])) << dtype << ", row " << i;
  }
}

TEST(RowSamplers, RowsDrawOnWhereTheyAreMovedTo) {
  constexpr int kVocab = 50;
  const auto logits_of = [](int row, int step) {
    std::vector<float> all;
    Lots lots{uint32_t(row * 131 + step * 7 + 1)};
    for (int i = 0; i < kVocab; ++i) all.push_back(float(lots.below(1000)) / 200);
    return array(all.begin(), Shape{1, kVocab}, float32);
  };
  constexpr int kRows = 24, kSteps = 30;
  const auto fresh = [&](int row) {
    SamplingOptions options = ways_to_choose()[size_t(row) % ways_to_choose().size()];
    options.seed = uint64_t(row);
    return std::make_unique<Sampler>(options, kVocab, std::vector<std::vector<int>>{{row, 3, row}});
  };
  std::vector<std::vector<int>> wanted(kRows), got(kRows);
  for (int row = 0; row < kRows; ++row) {
    const auto sampler = fresh(row);
    for (int step = 0; step < kSteps; ++step)
      wanted[size_t(row)].push_back((*sampler)(logits_of(row, step)).item<int>());
  }
  // Each alone for some steps, then all together, in another order every third step.
  std::vector<std::unique_ptr<RowSamplers>> owners;
  std::vector<RowSamplers::Row> places;
  std::vector<int> order;
  for (int row = 0; row < kRows; ++row) {
    owners.push_back(std::make_unique<RowSamplers>(fresh(row)));
    places.push_back({owners.back().get(), 0});
    order.push_back(row);
    for (int step = 0; step < 3; ++step)
      got[size_t(row)].push_back((*owners.back())(logits_of(row, step)).item<int>());
  }
  Lots lots{9};
  for (int step = 3; step < kSteps; ++step) {
    if (step % 3 == 0) {
      for (int i = kRows - 1; i > 0; --i) {
        const auto other = size_t(lots.below(i + 1));
        std::swap(places[size_t(i)], places[other]), std::swap(order[size_t(i)], order[other]);
      }
      auto joined = std::make_unique<RowSamplers>(places);
      for (int i = 0; i < kRows; ++i) places[size_t(i)] = {joined.get(), i};
      owners.clear();
      owners.push_back(std::move(joined));
    }
    Arrays logits;
    for (const int row : order) logits.push_back(logits_of(row, step));
    const auto ids = (*owners[0])(concatenate(logits, 0)).to_vector<int>();
    for (size_t i = 0; i < kRows; ++i) got[size_t(order[i])].push_back(ids[i]);
  }
  EXPECT_EQ(got, wanted);
}

}  // namespace
}  // namespace hearth::llm
