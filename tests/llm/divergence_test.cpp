// The divergence of a model from another: against sums made one by one, through a file, and of a
// model from itself.
#include "hearth/llm/divergence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "hearth/llm/gguf_out.h"
#include "hearth/ops/ops.h"
#include "tests/llm/tiny_checkpoint.h"

namespace hearth::llm {
namespace {

using ::testing::AllOf;
using testing::content_of;
using testing::error_of;
using ::testing::HasSubstr;
using testing::TempFolder;
using testing::TinyCheckpoint;

struct Two {
  TinyCheckpoint tiny{"llama"};
  TempFolder folder;
  std::unique_ptr<LanguageModel> base = load_model(tiny.path(), {.dtype = float32}), model;
  Windows windows;

  Two() {
    write_gguf(folder / "m.gguf", read_gguf_model(tiny.path()), *find_gguf_mixture("q4_0"));
    model = load_model(folder / "m.gguf", {.dtype = float32});
    for (int i = 0; i < 70; ++i) windows.ids.push_back((i * 37 + i * i) % base->facts.vocab_size);
    windows.length = 21, windows.first = 1;
  }
};

std::vector<double> log_softmax(const float* x, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += std::exp(double(x[i]));
  std::vector<double> all;
  for (int i = 0; i < n; ++i) all.push_back(double(x[i]) - std::log(sum));
  return all;
}

TEST(Divergence, IsWhatTheLogitsSay) {
  Two two;
  const Divergence got = divergence(*two.base, *two.model, two.windows);
  const int vocab = two.base->facts.vocab_size;
  double kl = 0, nll = 0, nll_base = 0;
  int same = 0, count = 0;
  for (int w = 0; w < 3; ++w) {
    std::vector<int> ids(two.windows.ids.begin() + w * 21, two.windows.ids.begin() + (w + 1) * 21);
    ids[0] = 1;
    const auto logits = [&](LanguageModel& m) {
      auto cache = m.make_cache();
      return m.forward({array(ids.begin(), Shape{1, 21}, int32), {}, false}, cache)
          .to_vector<float>();
    };
    const auto a = logits(*two.base), b = logits(*two.model);
    for (int i = 10; i < 20; ++i, ++count) {
      const auto p = log_softmax(a.data() + i * vocab, vocab),
                 q = log_softmax(b.data() + i * vocab, vocab);
      for (int v = 0; v < vocab; ++v) kl += std::exp(p[v]) * (p[v] - q[v]);
      nll_base -= p[ids[i + 1]], nll -= q[ids[i + 1]];
      same += std::ranges::max_element(p) - p.begin() == std::ranges::max_element(q) - q.begin();
    }
  }
  EXPECT_EQ(got.model.tokens, size_t(count));
  EXPECT_NEAR(got.mean, kl / count, 1e-5);
  EXPECT_GT(got.mean, 0);
  EXPECT_NEAR(got.model.mean_nll, nll / count, 1e-4);
  EXPECT_NEAR(got.base.mean_nll, nll_base / count, 1e-4);
  EXPECT_NEAR(got.log_ratio, (nll - nll_base) / count, 1e-4);
  EXPECT_NEAR(got.same, double(same) / count, 1e-9);
  EXPECT_GE(got.most, got.median);
}

TEST(Divergence, OfAModelFromItselfIsNone) {
  Two two;
  const Divergence d = divergence(*two.base, *two.base, two.windows);
  EXPECT_EQ(d.mean, 0);
  EXPECT_EQ(d.same, 1);
  EXPECT_EQ(d.log_ratio, 0);
}

TEST(Divergence, OfAFileIsThatOfTheModelItIsOf) {
  Two two;
  const auto file = two.folder / "base";
  const Perplexity p = write_base(file, *two.base, two.windows);
  EXPECT_EQ(p.tokens, 30u);
  const Divergence direct = divergence(*two.base, *two.model, two.windows),
                   stored = divergence_from(file, *two.model, two.windows.first);
  EXPECT_NEAR(stored.mean, direct.mean, 2e-4);
  EXPECT_NEAR(stored.base.mean_nll, p.mean_nll, 2e-4);
  EXPECT_EQ(stored.model.mean_nll, direct.model.mean_nll);
  EXPECT_LT(divergence_from(file, *two.base, two.windows.first).mean, 1e-4);
}

TEST(Divergence, RefusesFilesThatDoNotFit) {
  Two two;
  const auto file = two.folder / "base";
  write_base(file, *two.base, two.windows);
  const std::string good = content_of(file);
  const auto error = [&](const std::string& bytes) {
    return error_of(
        [&] { divergence_from(two.folder.write("bad", bytes), *two.model, std::nullopt); });
  };
  EXPECT_THAT(error("GGUF" + good.substr(4)), HasSubstr("not what --kl-divergence-base writes"));
  EXPECT_THAT(error(good.substr(0, good.size() - 1)), HasSubstr("cut short"));
  EXPECT_THAT(error(good.substr(0, 20)), HasSubstr("cut short"));
  EXPECT_THAT(error(good.substr(0, 5)), HasSubstr("bad: not what"));
  std::string other = good;
  other[12] = char(other[12] + 1);
  EXPECT_THAT(error(other), HasSubstr("of a vocabulary of"));
  other = good, other[20] = '\xFF', other[23] = '\x7F';  // a token's id
  EXPECT_THAT(error(other), HasSubstr("is not one of the model's"));
  other = good, other[8] = '\xFF', other[11] = '\x7F', other[19] = '\x7F';
  EXPECT_THAT(error(other), HasSubstr("cut short"));
  two.windows.length = 71;
  EXPECT_THAT(error_of([&] { write_base(file, *two.base, two.windows); }),
              HasSubstr("70 tokens are less than a window of 71"));
  two.windows.length = 21;
  EXPECT_EQ(
      write_base(two.folder / "none", *two.base, two.windows, [](size_t, size_t) { return false; })
          .tokens,
      0u);
  EXPECT_FALSE(std::filesystem::exists(two.folder / "none"));
}

}  // namespace
}  // namespace hearth::llm
