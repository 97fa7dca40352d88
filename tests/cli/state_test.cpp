// --save-state and --load-state, from one process to the next; and the turns of a chat.
#include "hearth/llm/model.h"
#include "tests/cli/cli.h"
#include "tests/llm/tiny_checkpoint.h"

namespace hearth::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

std::string commas(const json& ids) {
  const std::string text = ids.dump();
  return text.substr(1, text.size() - 2);
}

TEST(cli_state, GoesOnInAnotherProcessWithTheSameTokens) {
  const TempFolder folder;
  const std::string file = folder / "a.state";
  // A cache of each kind: all positions, windows, latent vectors, recurrent and short states.
  for (const char* name : {"", "gemma4_text", "deepseek_v3", "qwen3_5", "lfm2"}) {
    std::optional<TinyCheckpoint> checkpoint;
    Words base = {"generate", "--dtype", "f32", "-n", "8", "--ignore-eos"};
    if (*name) checkpoint.emplace(name);
    if (checkpoint) base.insert(base.end(), {"--model", checkpoint->path()});
    const auto with = [&](const json& ids, Words more) {
      Words words = base;
      words.insert(words.end(), {"--ids", commas(ids)});
      words.insert(words.end(), more.begin(), more.end());
      return json_of(words);
    };
    json ids = json::array();
    for (int i = 0; i < 30; ++i) ids.push_back(3 + i * 31 % 110);
    const json first = with(ids, {"--save-state", file});
    EXPECT_EQ(first["reused_tokens"], 0);
    EXPECT_EQ(first["ids"], with(ids, {})["ids"]) << name;
    for (const json& id : first["ids"]) ids.push_back(id);
    ids.push_back(7), ids.push_back(8);
    const json went_on = with(ids, {"--load-state", file, "--save-state", file});
    EXPECT_EQ(went_on["reused_tokens"], 37) << name;
    EXPECT_EQ(went_on["prefill"]["tokens"], 3);
    EXPECT_EQ(went_on["ids"], with(ids, {})["ids"]) << name;
    EXPECT_EQ(with(ids, {"--load-state", file, "--deterministic"})["reused_tokens"], 0);
    // The file holds the second run now.
    for (const json& id : went_on["ids"]) ids.push_back(id);
    ids.push_back(9);
    EXPECT_EQ(with(ids, {"--load-state", file})["reused_tokens"], ids.size() - 2) << name;
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(cli_state, SaysToAPersonHowMuchWasReused) {
  const TempFolder folder;
  const std::string file = folder / "a.state";
  const std::string text = "Once upon a time there was a little cat";
  const Finished saved = run_hearth({"generate", "-p", text, "-n", "1", "--save-state", file});
  EXPECT_EQ(saved.exit_code, 0) << saved.err;
  EXPECT_THAT(saved.err, HasSubstr(" tokens of state in " + file + " ("));
  EXPECT_THAT(saved.err, Not(HasSubstr("came from")));
  const Finished again =
      run_hearth({"generate", "-p", text + " who", "-n", "1", "--load-state", file});
  EXPECT_THAT(again.err, HasSubstr(" prompt tokens came from " + file));
  EXPECT_THAT(again.err, Not(HasSubstr("\n0 of ")));
  const Finished other = run_hearth({"generate", "-p", "The", "-n", "1", "--load-state", file});
  EXPECT_EQ(other.exit_code, 0);
  EXPECT_THAT(other.err, HasSubstr("\n0 of "));
}

TEST(cli_state, IsKeptWhereNobodyTakesTheText) {
  const TempFolder folder;
  const std::string file = folder / "a.state";
  for (const char* json : {"", "--json"}) {
    const Finished full = run({"bash", "-c",
                               hearth_binary() + " generate -p 'The cat' -n 5 " + json +
                                   " --save-state " + file + " >/dev/full"});
    EXPECT_EQ(full.exit_code, 1);
    EXPECT_THAT(full.err, HasSubstr("cannot write the output"));
    EXPECT_TRUE(std::filesystem::remove(file)) << json;
  }
  const Finished unnamed = run_hearth({"generate", "-p", "The cat", "--save-state", ""});
  EXPECT_EQ(unnamed.exit_code, 2);
  EXPECT_THAT(unnamed.err, HasSubstr("wanted the name of a file"));
}

TEST(cli_state, OfAnotherModelIsRefusedBeforeAnythingIsSaid) {
  const TempFolder folder;
  const std::string file = folder / "a.state";
  ASSERT_EQ(run_hearth({"generate", "-n", "2", "--save-state", file}).exit_code, 0);
  const auto refused = [&](Words more, const std::string& why) {
    Words words = {"generate", "-n", "2"};
    words.insert(words.end(), more.begin(), more.end());
    const Finished f = run_hearth(words);
    EXPECT_EQ(f.exit_code, 1) << f.err;
    EXPECT_EQ(f.out, "");
    EXPECT_THAT(f.err, HasSubstr(why));
  };
  const TinyCheckpoint llama("llama");
  refused({"--load-state", file, "--dtype", "f32"}, "give --dtype \"f16\"");
  refused({"--load-state", file, "--random-weights"}, "another phi model");
  refused({"--load-state", file, "--model", llama.path(), "--ids", "4,5"},
          "\"llama\"; give --model");
  refused({"--load-state", folder / "nowhere"}, "nowhere");
  refused({"--load-state", source_path("models/tiny-phi/model.safetensors")}, "no state");
  refused({"--save-state", folder / "no" / "state"}, "cannot be written");
  refused({"--save-state", folder.path()}, "is a folder");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

// Three turns in three processes, the conversation in one file, what the model has read in another.
TEST(cli_state, ChatsInTurnsWithTheSameTokens) {
  const TempFolder folder;
  const ModelFolder::Files talking = {
      {"tokenizer_config.json",
       R"({"chat_template": "{% for m in messages %}<{{ m.role }}> {{ m.content }}\n{% endfor %}<assistant>"})"}};
  const ModelFolder model(talking);
  const std::string state = folder / "a.state";
  json messages = json::array();
  int before = 0;  // tokens of the prompt before
  for (int turn = 0; turn < 3; ++turn) {
    const auto conversation = folder.write("messages.json", messages.dump()).string();
    Words base = {"chat",
                  "--model",
                  model.path(),
                  "--dtype",
                  "f32",
                  "--temp",
                  "0",
                  "-n",
                  "12",
                  "--prompt",
                  "Once upon a time there was a cat."};
    if (turn > 0) base.insert(base.end(), {"--load", conversation});
    const json fresh = json_of(base);
    Words kept = base;
    kept.insert(kept.end(), {"--save-state", state});
    if (turn > 0) kept.insert(kept.end(), {"--load-state", state});
    const json answer = json_of(kept);
    EXPECT_EQ(answer["ids"], fresh["ids"]) << turn;
    EXPECT_EQ(fresh["reused_tokens"], 0);
    EXPECT_GE(answer["reused_tokens"], before - 2) << turn;
    before = answer["prompt_tokens"];
    messages = answer["messages"];
  }
}

}  // namespace
}  // namespace hearth::testing
