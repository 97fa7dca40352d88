// Importance matrices: measured against sums that are made one by one, and files of both forms.
#include "hearth/llm/importance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "hearth/io/gguf.h"
#include "hearth/llm/gguf/names.h"
#include "hearth/llm/model.h"
#include "hearth/ops/ops.h"
#include "tests/gguf_file.h"
#include "tests/llm/tiny_checkpoint.h"

namespace hearth::llm {
namespace {

using ::testing::AllOf;
using testing::error_of;
using testing::GgufFile;
using ::testing::HasSubstr;
using testing::TempFolder;
using testing::TinyCheckpoint;

template <class T>
std::string raw(T value) {
  return GgufFile::raw(value);
}
std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * 4};
}
std::string text(const std::string& t) { return raw(int32_t(t.size())) + t; }

TEST(Importance, ComesBackFromItsFile) {
  const TempFolder folder;
  Importance all;
  all.texts = {"a.txt"};
  all.chunks = 3, all.chunk_tokens = 512;
  all.tensors["blk.0.attn_q.weight"] = {{1, 2, 3, 4}, {2}};
  all.tensors["blk.0.ffn_up_exps.weight"] = {{1, 2, 3, 4, 5, 6}, {2, 0, 1}};
  write_importance(folder / "i.gguf", all);
  const Importance got = read_importance(folder / "i.gguf");
  EXPECT_EQ(got.chunks, 3u);
  EXPECT_EQ(got.chunk_tokens, 512u);
  EXPECT_EQ(got.texts, all.texts);
  ASSERT_EQ(got.tensors.size(), 2u);
  EXPECT_THAT(got.tensors.at("blk.0.attn_q.weight").means(),
              ::testing::ElementsAre(0.5f, 1, 1.5f, 2));
  EXPECT_THAT(got.tensors.at("blk.0.ffn_up_exps.weight").means(),
              ::testing::ElementsAre(0.5f, 1, 1, 1, 5, 6));
  const Gguf file = Gguf::open(folder / "i.gguf");
  EXPECT_EQ(file.text("general.type"), "imatrix");
  EXPECT_THAT(file.find_tensor("blk.0.ffn_up_exps.weight.in_sum2")->shape,
              ::testing::ElementsAre(3, 2));
  EXPECT_THAT(file.find_tensor("blk.0.ffn_up_exps.weight.counts")->shape,
              ::testing::ElementsAre(3, 1));
}

TEST(Importance, IsReadFromTheFormBeforeGguf) {
  const TempFolder folder;
  const std::string good = raw(int32_t(2)) + text("blk.0.attn_q.weight") + raw(int32_t(4)) +
                           raw(int32_t(2)) + floats({8, 12}) + text("b") + raw(int32_t(0)) +
                           raw(int32_t(1)) + floats({5}) + raw(int32_t(7)) + text("a.txt");
  const Importance got = read_importance(folder.write("i.dat", good));
  EXPECT_THAT(got.tensors.at("blk.0.attn_q.weight").means(), ::testing::ElementsAre(2, 3));
  EXPECT_THAT(got.tensors.at("b").means(), ::testing::ElementsAre(5));
  EXPECT_EQ(got.chunks, 7u);
  EXPECT_THAT(got.texts, ::testing::ElementsAre("a.txt"));
  const std::string whole = good.substr(0, good.size() - 13);  // an older one ends here
  EXPECT_EQ(read_importance(folder.write("i.dat", whole)).tensors.size(), 2u);
  for (size_t n = 0; n < whole.size(); ++n)
    EXPECT_THAT(error_of([&] { read_importance(folder.write("i.dat", whole.substr(0, n))); }),
                HasSubstr("i.dat"))
        << n;
}

TEST(Importance, RefusesWhatIsNone) {
  const TempFolder folder;
  const auto error = [&](const std::string& bytes) {
    return error_of([&] { read_importance(folder.write("i", bytes)); });
  };
  EXPECT_THAT(error(raw(int32_t(1)) + text("a") + raw(int32_t(1)) + raw(int32_t(-1))),
              HasSubstr("cut short"));
  EXPECT_THAT(
      error(raw(int32_t(1)) + text("a") + raw(int32_t(1)) + raw(int32_t(1)) + floats({NAN})),
      HasSubstr("a: a sum of squares is nan"));
  EXPECT_THAT(error(raw(int32_t(1)) + text("a") + raw(int32_t(1)) + raw(int32_t(1)) + floats({-1})),
              HasSubstr("a: a sum of squares is -1"));
  EXPECT_THAT(error(raw(int32_t(1) << 30) + "x"), HasSubstr("cut short"));
  GgufFile file;
  file.string("general.type", "model").tensor("a.weight", {1}, 0, floats({1}));
  EXPECT_THAT(error(file.bytes()), HasSubstr("of another kind (model)"));
  GgufFile lonely;
  lonely.tensor("a.in_sum2", {1}, 0, floats({1}));
  EXPECT_THAT(error(lonely.bytes()), HasSubstr("a: 1 sums and 0 counts"));
  GgufFile uneven;
  uneven.tensor("a.in_sum2", {3}, 0, floats({1, 2, 3})).tensor("a.counts", {2}, 0, floats({1, 1}));
  EXPECT_THAT(error(uneven.bytes()), HasSubstr("a: 3 sums and 2 counts"));
  EXPECT_THAT(error(GgufFile().tensor("a.weight", {1}, 0, floats({1})).bytes()),
              HasSubstr("is it an importance matrix?"));
}

std::vector<int> some_ids(int vocab, int n) {
  std::vector<int> ids;
  for (int i = 0; i < n; ++i) ids.push_back((i * 37 + i * i) % vocab);
  return ids;
}

// Of a dense model: the first layer's inputs are what its norm makes of the embeddings.
TEST(Importance, IsTheSumOfTheSquaresOfTheInputs) {
  const TinyCheckpoint tiny("llama");
  const auto model = load_model(tiny.path(), {.dtype = float32});
  const auto ids = some_ids(model->facts.vocab_size, 50);
  const Importance all = measure_importance(*model, gguf_names_of(tiny.path(), *model), ids,
                                            {.window = 16, .first = 1});
  EXPECT_EQ(all.chunks, 3u);
  EXPECT_EQ(all.tensors.size(), size_t(7 * model->facts.layers));
  const auto parameters = model->parameters();
  const array embedding = parameters.at("model.embed_tokens.weight").value().dense(),
              weight = parameters.at("model.layers.0.input_layernorm.weight").value().dense();
  std::vector<int> read(ids.begin(), ids.begin() + 48);
  for (const size_t i : {0, 16, 32}) read[i] = 1;
  const array x = take(embedding, array(read.begin(), Shape{48}, int32), 0);
  const array normed = fast::rms_norm(x, weight, 1e-6f);
  const auto wanted = sum(square(normed), 0).to_vector<float>();
  for (const char* name : {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight"}) {
    const auto& got = all.tensors.at(name);
    EXPECT_THAT(got.counts, ::testing::ElementsAre(48));
    ASSERT_EQ(got.sums.size(), wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i)
      EXPECT_NEAR(got.sums[i], wanted[i], 1e-4 * wanted[i]);
  }
  EXPECT_EQ(all.tensors.at("blk.1.ffn_down.weight").sums.size(),
            size_t(parameters.at("model.layers.1.mlp.down_proj.weight").value().shape(1)));
}

TEST(Importance, OfExpertsCountsTheRowsThatEachGets) {
  const TinyCheckpoint tiny("mixtral");
  const auto model = load_model(tiny.path(), {.dtype = float32});
  const auto ids = some_ids(model->facts.vocab_size, 40);
  const Importance all =
      measure_importance(*model, gguf_names_of(tiny.path(), *model), ids, {.window = 20});
  const auto& up = all.tensors.at("blk.0.ffn_up_exps.weight");
  const auto& gate = all.tensors.at("blk.0.ffn_gate_exps.weight");
  const auto& down = all.tensors.at("blk.0.ffn_down_exps.weight");
  float rows = 0;
  for (const float count : up.counts) rows += count;
  EXPECT_EQ(rows, 40 * 2);  // two experts of each token
  EXPECT_EQ(up.counts, gate.counts);
  EXPECT_EQ(up.counts, down.counts);
  EXPECT_EQ(up.sums, gate.sums);
  // What all experts are given is each token's input, as often as it has experts.
  const auto& router = all.tensors.at("blk.0.ffn_gate_inp.weight");
  const size_t in = router.sums.size(), experts = up.counts.size();
  for (size_t c = 0; c < in; ++c) {
    float sum = 0;
    for (size_t e = 0; e < experts; ++e) sum += up.sums[e * in + c];
    EXPECT_NEAR(sum, 2 * router.sums[c], 1e-4 * sum);
  }
}

TEST(Importance, WantsAWindowOfText) {
  const TinyCheckpoint tiny("llama");
  const auto model = load_model(tiny.path(), {.dtype = float32});
  const GgufNames names = gguf_names_of(tiny.path(), *model);
  const std::vector<int> ids(10, 1);
  EXPECT_THAT(error_of([&] { measure_importance(*model, names, ids, {.window = 11}); }),
              HasSubstr("10 tokens are less than a window of 11"));
  EXPECT_THAT(error_of<std::invalid_argument>(
                  [&] { measure_importance(*model, names, ids, {.window = 1 << 20}); }),
              HasSubstr("the model's context"));
}

}  // namespace
}  // namespace hearth::llm
