// A state in a file: the same back, and every way in which a file can be another's or damaged.
#include "hearth/llm/state_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "hearth/ops/ops.h"
#include "tests/llm/tiny_checkpoint.h"
#include "tests/shared.h"

namespace hearth::llm {
namespace {

using testing::content_of;
using testing::error_of;
using ::testing::HasSubstr;
using testing::TinyCheckpoint;
using Ids = std::vector<int>;

Ids some_ids(int count) {
  Ids ids;
  for (int i = 0; i < count; ++i) ids.push_back(3 + i * 37 % 120);
  return ids;
}
Beginning read(LanguageModel& model, const Ids& prompt, int tokens = 3) {
  Beginning held;
  GenerateOptions options;
  options.max_tokens = tokens;
  generate_after(held, false, model, prompt, options);
  return held;
}
std::string bytes_of_all(const Beginning& state) {
  std::string all;
  for (const auto* layers : {&state.row.layers, &state.row.marked})
    for (const Arrays& parts : *layers)
      for (const array& x : parts) {
        const array values = contiguous(x);
        all.append(reinterpret_cast<const char*>(values.host_bytes()), values.nbytes());
      }
  return all;
}

TEST(StateFile, HoldsEveryKindOfStateInEveryDtype) {
  const testing::TempFolder folder;
  for (const char* name : {"llama", "gemma4_text", "qwen3_5", "deepseek_v3", "lfm2", "nemotron_h"})
    for (const Dtype dtype : {float32, float16, bfloat16}) {
      const TinyCheckpoint checkpoint(name);
      const auto model = load_model(checkpoint.path(), {.dtype = dtype});
      const Beginning saved = read(*model, some_ids(30));
      const auto file = folder / "a state";  // any name, exactly this one
      save_state(file, *model, saved);
      const Beginning loaded = load_state(file, *model);
      EXPECT_EQ(loaded.ids, saved.ids) << name;
      EXPECT_EQ(loaded.prompt, saved.prompt);
      EXPECT_EQ(loaded.row.read_as, saved.row.read_as);
      EXPECT_EQ(bytes_of_all(loaded), bytes_of_all(saved)) << name << " " << dtype;
      Ids next = loaded.ids;
      next.push_back(5), next.push_back(6);
      Beginning a = saved, b = loaded;
      GenerateOptions options;
      options.max_tokens = 4;
      const Generated wanted = generate_after(a, false, *model, next, options);
      const Generated got = generate_after(b, false, *model, next, options);
      EXPECT_EQ(got.ids, wanted.ids) << name << " " << dtype;
      EXPECT_EQ(got.reused_tokens, int(saved.ids.size()));
    }
}

class StateFiles : public ::testing::Test {
 protected:
  StateFiles() { save_state(file_, *model_, state_); }
  std::string refused(LanguageModel& model, const std::filesystem::path& file) {
    return error_of([&] { load_state(file, model); });
  }
  /// What is said of the checkpoint's state by a model that the change makes of it.
  std::string refused_by(const std::function<void(nlohmann::json&)>& change,
                         LoadOptions load = {}) {
    const TinyCheckpoint other("llama");
    auto config = nlohmann::json::parse(content_of(other.path() / "config.json"));
    change(config);
    std::ofstream(other.path() / "config.json") << config;
    return refused(*load_model(other.path(), load), file_);
  }

  const testing::TempFolder folder_;
  const TinyCheckpoint checkpoint_{"llama"};
  const std::unique_ptr<LanguageModel> model_ = load_model(checkpoint_.path());
  const Beginning state_ = read(*model_, some_ids(6), 1);
  const std::filesystem::path file_ = folder_ / "s";
};

TEST_F(StateFiles, OfAnotherModelOrDtypeAreRefused) {
  const TinyCheckpoint qwen("qwen2");
  EXPECT_THAT(refused(*load_model(qwen.path()), file_),
              HasSubstr("state of a \"llama\" model, and this is \"qwen2\"; give --model"));
  EXPECT_THAT(refused_by([](auto&) {}, {.dtype = float16}),
              HasSubstr("the state is of \"f32\", the model runs in f16; give --dtype"));
  const char* another = "state of another llama model: its config.json or its weights differ";
  EXPECT_THAT(refused_by([](auto& c) { c["rope_parameters"]["rope_theta"] = 9000.0; }),
              HasSubstr(another));
  EXPECT_THAT(refused_by([](auto&) {}, {.random_weights = true}), HasSubstr(another));
  // Laid out otherwise it is the same, and a shorter context is no other model.
  const TinyCheckpoint same("llama");
  const auto config = nlohmann::json::parse(content_of(same.path() / "config.json"));
  std::ofstream(same.path() / "config.json") << config.dump(7);
  EXPECT_EQ(load_state(file_, *load_model(same.path(), {.context = 20})).ids, state_.ids);
  EXPECT_THAT(refused_by([](auto&) {}, {.context = 5}), HasSubstr("the context is 5"));
}

// One weight of each tensor's first ones is another.
TEST_F(StateFiles, OfOtherWeightsAreRefused) {
  for (auto& [name, p] : model_->parameters()) {
    const array before = *p;
    *p = multiply(*p, array(1.5f));
    EXPECT_THAT(refused(*model_, file_), HasSubstr("another llama model")) << name;
    *p = before;
  }
  EXPECT_EQ(load_state(file_, *model_).ids, state_.ids);
}

TEST_F(StateFiles, ThatAreNoneAreRefused) {
  EXPECT_THAT(refused(*model_, folder_ / "nowhere"), HasSubstr("nowhere"));
  EXPECT_THAT(refused(*model_, folder_.path()), HasSubstr(folder_.path().string()));
  EXPECT_THAT(refused(*model_, checkpoint_.path() / "model.safetensors"),
              HasSubstr("these are tensors, but no state; wanted a file that --save-state wrote"));
  EXPECT_THAT(refused(*model_, folder_.write("text", "Once upon a time")), HasSubstr("text"));
  EXPECT_THAT(refused(*model_, folder_.write("empty", "")), HasSubstr("empty"));
  std::string later = content_of(file_);
  const std::string key = "\"hearth_state\":\"1\"";
  const size_t at = later.find(key);
  ASSERT_NE(at, later.npos);
  later[at + key.size() - 2] = '2';
  EXPECT_THAT(refused(*model_, folder_.write("later", later)),
              HasSubstr("form \"2\", this hearth reads form 1; make it again"));
}

// A damaged file is an error, or says what it said before.
TEST_F(StateFiles, ThatAreDamagedAreRefused) {
  const std::string whole = content_of(file_);
  const std::string wanted = bytes_of_all(state_);
  const auto try_it = [&](const std::string& content, const std::string& what) {
    const auto file = folder_.write("damaged", content);
    try {
      const Beginning got = load_state(file, *model_);
      EXPECT_EQ(got.ids, state_.ids) << what;
      EXPECT_EQ(got.prompt, state_.prompt) << what;
      EXPECT_EQ(got.row.read_as, state_.row.read_as) << what;
      EXPECT_EQ(bytes_of_all(got), wanted) << what;
      return false;
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), HasSubstr("damaged")) << what;  // the file's name, at least
      return true;
    }
  };
  const size_t header = size_t(uint8_t(whole[0])) + 256 * size_t(uint8_t(whole[1])) + 8;
  ASSERT_LT(header, whole.size());
  EXPECT_FALSE(try_it(whole, "whole"));
  for (size_t at = 0; at < whole.size(); at += at < header ? 7 : whole.size() / 97) {
    std::string flipped = whole;
    flipped[at] = char(flipped[at] ^ (1 << at % 8));
    EXPECT_TRUE(try_it(flipped, concat("byte ", at)) || at < header);
  }
  for (size_t size = 1; size < whole.size(); size += whole.size() / 61)
    EXPECT_TRUE(try_it(whole.substr(0, size), concat("cut to ", size)));
  EXPECT_TRUE(try_it(whole + "x", "longer"));
}

// Well-made files that say what cannot be.
TEST_F(StateFiles, ThatAreHostileAreRefused) {
  const auto hostile = [&](const std::function<void(Beginning&)>& change) {
    Beginning state = state_;
    change(state);
    save_state(folder_ / "hostile", *model_, state);
    return refused(*model_, folder_ / "hostile");
  };
  EXPECT_THAT(hostile([](Beginning& s) { s.ids[2] = 131; }), HasSubstr("token 131 of the state"));
  EXPECT_THAT(hostile([](Beginning& s) { s.ids[2] = -1; }), HasSubstr("token -1 of the state"));
  EXPECT_THAT(hostile([](Beginning& s) { s.ids.push_back(1), ++s.row.length; }),
              HasSubstr("read as 6"));
  EXPECT_THAT(hostile([](Beginning& s) { s.ids.push_back(1), ++s.row.length, ++s.row.read_as; }),
              HasSubstr("wanted from 7 to 7 positions"));
  EXPECT_THAT(hostile([](Beginning& s) { s.prompt = 7; }), HasSubstr("damaged"));
  EXPECT_THAT(hostile([](Beginning& s) { s.prompt = -7; }), HasSubstr("damaged"));
  EXPECT_THAT(hostile([](Beginning& s) { s.row.mark = 7; }), HasSubstr("marked at 7"));
  EXPECT_THAT(hostile([](Beginning& s) { s.row.layers.pop_back(); }), HasSubstr("0 parts, wanted"));
  EXPECT_THAT(hostile([](Beginning& s) { s.row.layers.push_back(s.row.layers[0]); }),
              HasSubstr("damaged"));
  EXPECT_THAT(hostile([](Beginning& s) { s.row.layers[1].pop_back(); }), HasSubstr("layer 1"));
  EXPECT_THAT(
      hostile([](Beginning& s) { s.row.layers[1][0] = astype(s.row.layers[1][0], float16); }),
      HasSubstr("layer 1 is of float16"));
  EXPECT_THAT(hostile([](Beginning& s) {
                s.row.layers[1][0] = zeros({1, 6, 1});
              }),
              HasSubstr("layer 1 has the shape"));
}

// Whatever the file says of the state besides its tensors is held by its hash, too.
TEST_F(StateFiles, WithANumberChangedAreDamaged) {
  const std::string whole = content_of(file_);
  for (const char* key : {"\"mark\":\"", "\"read_as\":\"", "\"prompt\":\""}) {
    std::string changed = whole;
    const size_t at = changed.find(key);
    ASSERT_NE(at, changed.npos) << key;
    changed[at + std::strlen(key)] ^= 1;  // another digit
    EXPECT_THAT(refused(*model_, folder_.write("changed", changed)),
                HasSubstr("the state is damaged: it is not what was saved"))
        << key;
  }
}

// Fine-tuned weights may agree in their first rows.
TEST_F(StateFiles, OfWeightsThatDifferElsewhereAreRefused) {
  for (const auto& [name, p] : model_->parameters()) {
    if (p->ndim() != 2 || p->shape(0) < 4 || p->shape(1) < 4) continue;
    const array before = *p;
    const array first = equal(reshape(arange(0, int(p->size()), 1), p->shape()), array(0));
    *p = where(first, before, add(before, array(1.0f)));
    EXPECT_THAT(refused(*model_, file_), HasSubstr("its weights differ")) << name;
    *p = before;
  }
  EXPECT_EQ(load_state(file_, *model_).ids, state_.ids);
}

TEST_F(StateFiles, ThatAreCutShortAreToBeMadeAgain) {
  const std::string whole = content_of(file_);
  std::vector<size_t> sizes = {1, 7, 8, 9, 100, whole.size() / 2, whole.size() - 1};
  for (const size_t size : sizes) {
    const auto cut = folder_.write("cut", whole.substr(0, size));
    const std::string said = error_of([&] { load_state(cut, *model_); });
    EXPECT_THAT(said, HasSubstr("make it again with --save-state")) << size;
    EXPECT_THAT(said, ::testing::Not(HasSubstr("etch"))) << size;
  }
}

TEST_F(StateFiles, ThatCannotBeWrittenLeaveTheOldOne) {
  const std::string before = content_of(file_);
  EXPECT_THAT(error_of([&] { save_state(folder_ / "no" / "s", *model_, state_); }),
              HasSubstr("cannot be written"));
  Beginning broken = state_;
  broken.ids.pop_back();
  EXPECT_THROW(save_state(file_, *model_, broken), std::invalid_argument);
  EXPECT_EQ(content_of(file_), before);
  // The one that is read may be replaced.
  const Beginning loaded = load_state(file_, *model_);
  save_state(file_, *model_, read(*model_, some_ids(9), 1));
  EXPECT_EQ(bytes_of_all(loaded), bytes_of_all(state_));
}

}  // namespace
}  // namespace hearth::llm
