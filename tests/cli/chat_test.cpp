// hearth chat through a pipe and on a terminal.
#include "tests/cli/cli.h"
#include "tests/cli/terminal.h"

namespace hearth::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// tiny-phi with a chat template, which it knows nothing of.
const ModelFolder::Files kTalking = {
    {"tokenizer_config.json",
     R"({"chat_template": "{% if messages[0].role == 'system' %}{{ messages[0].content }}\n{% endif %}{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}\n{% endif %}{% endfor %}", "eos_token": "<|endoftext|>"})"},
    {"generation_config.json", R"({"temperature": 0.5, "top_k": 20, "eos_token_id": 0})"}};

TEST(cli_chat, AnswersWhatComesThroughAPipe) {
  const ModelFolder model(kTalking);
  const Words base = {"chat", "--model", model.path(), "-n", "12", "--temp", "0"};
  const Finished f = run_hearth(base, "Once upon a time\n");
  EXPECT_EQ(f.exit_code, 0) << f.err;
  EXPECT_FALSE(f.out.empty());
  EXPECT_THAT(f.err, HasSubstr("context of"));
  EXPECT_THAT(f.err, HasSubstr("(generation_config.json)"));
  EXPECT_THAT(f.err, HasSubstr("temp 0.0"));
  Words prompt = base;
  prompt.insert(prompt.end(), {"--prompt", "Once upon a time"});
  EXPECT_EQ(run_hearth(prompt).out, f.out);
  EXPECT_EQ(run_hearth({"chat", "--model", model.path()}, "").exit_code, 2);
}

TEST(cli_chat, JsonHasAnswerSamplingAndMessages) {
  const ModelFolder model(kTalking);
  const auto json =
      json_of({"chat", "--model", model.path(), "-n", "8", "--system", "Tell.", "--top-p", "0.9"},
              "Once upon a time");
  EXPECT_EQ(json["generated_tokens"], json["ids"].size());
  EXPECT_EQ(json["stopped_by"], "length");
  EXPECT_EQ(json["sampling_from"], "generation_config.json");
  EXPECT_EQ(json["sampling"]["temp"], 0.5);
  EXPECT_EQ(json["sampling"]["top_k"], 20);
  EXPECT_EQ(json["sampling"]["top_p"], 0.9);
  EXPECT_EQ(json["sampling"]["order"][0], "logit-bias");
  ASSERT_EQ(json["messages"].size(), 3u);
  EXPECT_EQ(json["messages"][0]["role"], "system");
  EXPECT_EQ(json["messages"][2]["content"], json["content"]);
  EXPECT_THAT(json["chat_template"].get<std::string>(), HasSubstr("tokenizer_config.json"));
}

TEST(cli_chat, AModelWithoutATemplateContinues) {
  const Finished f = run_hearth({"chat", "-n", "20", "--temp", "0"}, "Once upon a time");
  EXPECT_EQ(f.exit_code, 0) << f.err;
  EXPECT_THAT(f.err, HasSubstr("has no chat template"));
  const Finished plain = run_hearth({"generate", "-n", "20", "--json"}, "Once upon a time");
  EXPECT_EQ(f.out, nlohmann::json::parse(plain.out)["text"].get<std::string>() + "\n");
}

TEST(cli_chat, ATextOfTheUserIsNoSpecialToken) {
  const ModelFolder model(kTalking);
  const auto ids = [&](const std::string& text) {
    return json_of({"chat", "--model", model.path(), "-n", "1"}, text)["prompt_tokens"].get<int>();
  };
  EXPECT_GT(ids("a<|endoftext|>"), ids("a") + 1);
}

TEST(cli_chat, SaysWhatIsWrong) {
  const TempFolder folder;
  const auto bad = folder.write("bad.json", "{}"), wrong = folder.write("w.jinja", "{% if %}"),
             refuses = folder.write("r.jinja", "{{ raise_exception('no talk') }}");
  const auto error = [&](int code, Words more, const std::string& input) {
    more.insert(more.begin(), "chat");
    const Finished f = run_hearth(more, input);
    EXPECT_EQ(f.exit_code, code) << f.out << f.err;
    return f.err;
  };
  EXPECT_THAT(error(1, {"--load", bad}, "x"), HasSubstr("wanted a list of messages"));
  EXPECT_THAT(error(1, {"--template", wrong}, "x"), HasSubstr("w.jinja: line 1"));
  EXPECT_THAT(error(1, {"--template", refuses}, "x"), HasSubstr("no talk"));
  EXPECT_THAT(error(2, {"--top-p", "2"}, "x"), HasSubstr("--top-p"));
  EXPECT_THAT(error(2, {"--order", "x"}, "x"), HasSubstr("--order"));
  EXPECT_THAT(error(2, {"--set", "x"}, "x"), HasSubstr("NAME=JSON"));
  EXPECT_THAT(error(1, {"-n", "5"}, std::string(30000, 'x')), HasSubstr("the model's context is"));
}

TEST(cli_chat, AConversationOnATerminal) {
  const TempFolder folder;
  const std::string saved = folder / "talk.json";
  Terminal t({"chat", "-n", "15", "--seed", "3"});
  ASSERT_TRUE(t.see("/help lists the commands"));
  ASSERT_TRUE(t.see("has no chat template"));
  ASSERT_TRUE(t.see("you> "));
  t.type("/help\r");
  ASSERT_TRUE(t.see("/system TEXT"));
  ASSERT_TRUE(t.see("you> "));
  t.type("Once upon a time\r");
  ASSERT_TRUE(t.see("tokens of context"));
  ASSERT_TRUE(t.see("you> "));
  t.type("/set temp 0.3\r");
  ASSERT_TRUE(t.see("temp is 0.3"));
  t.type("/set temp x\r");
  ASSERT_TRUE(t.see("wanted a number"));
  t.type("/set colour 1\r");
  ASSERT_TRUE(t.see("there is no option colour"));
  t.type("/nonsense\r");
  ASSERT_TRUE(t.see("there is no command /nonsense"));
  t.type("/retry\r");
  ASSERT_TRUE(t.see("tokens of context"));
  t.type("/stats\r");
  ASSERT_TRUE(t.see("sampling: temp 0.3"));
  t.type("one \\\r");
  ASSERT_TRUE(t.see("... "));
  t.type("two\r");
  ASSERT_TRUE(t.see("tokens of context"));
  t.type("/save " + saved + "\r");
  ASSERT_TRUE(t.see("4 messages in"));
  t.type("/undo\r");
  ASSERT_TRUE(t.see("taken back: one"));
  t.type("/load " + saved + "\r");
  ASSERT_TRUE(t.see("4 messages from"));
  t.type("/load nowhere.json\r");
  ASSERT_TRUE(t.see("nowhere.json"));
  t.type("thrown away\x03");  // typed while the command before still runs, perhaps
  ASSERT_TRUE(t.see("you> "));
  t.type("/system Be brief.\r");
  ASSERT_TRUE(t.see("it holds"));
  t.type("/bye\r");
  EXPECT_EQ(t.end(), 0);
  const auto messages = nlohmann::json::parse(content_of(saved));
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[0]["content"], "Once upon a time");
  EXPECT_EQ(messages[2]["content"], "one \ntwo");
}

TEST(cli_chat, CtrlCStopsTheAnswerAndCtrlDTheProgram) {
  Terminal t({"chat", "--temp", "0.9", "--logit-bias", "0=-inf"});
  ASSERT_TRUE(t.see("you> "));
  t.type("Once upon a time\r");
  ASSERT_TRUE(t.see("time"));
  ASSERT_TRUE(t.see(" "));
  usleep(200000);
  t.type("\x03");
  ASSERT_TRUE(t.see("tokens of context"));
  ASSERT_TRUE(t.see("you> "));
  usleep(300000);  // in between the terminal is not yet the editor's, which reads a key
  t.type("\x04");
  EXPECT_EQ(t.end(), 0);
}

// However the program ends, the terminal is as it was, and the state is kept.
TEST(cli_chat, ASignalLeavesTheTerminalAsItWas) {
  const TempFolder folder;
  const std::string state = folder / "state";
  for (const int signal : {SIGTERM, SIGHUP})
    for (const bool answering : {false, true}) {
      Terminal t({"chat", "--temp", "0", "--logit-bias", "0=-inf", "--save-state", state});
      ASSERT_TRUE(t.see("you> "));
      t.type("Once upon a time\r");
      ASSERT_TRUE(t.see("Lily"));  // it answers
      if (!answering) {
        t.type("\x03");
        ASSERT_TRUE(t.see("tokens of context"));
        ASSERT_TRUE(t.see("you> "));
        t.type("half a li");
        ASSERT_TRUE(t.see("half a li"));
        for (int i = 0; i < 500 && t.usual(); ++i)
          usleep(10'000);  // the echo may be the terminal's
        EXPECT_FALSE(t.usual());
      }
      t.send(signal);
      EXPECT_EQ(t.end(), 128 + signal) << answering;
      EXPECT_TRUE(t.usual()) << answering;
      const size_t on = t.screen().rfind("\033[?2004h"), off = t.screen().rfind("\033[?2004l");
      EXPECT_TRUE(on != std::string::npos && off != std::string::npos && off > on);
      EXPECT_TRUE(std::filesystem::remove(state)) << answering;
    }
}

// Of a file of someone else: what hearth does not know goes to the template and stays in the file.
TEST(cli_chat, MessagesKeepAllTheirFields) {
  const TempFolder folder;
  const auto messages = nlohmann::json::parse(R"([
    {"role": "system", "content": "Help.", "name": "root"},
    {"role": "user", "content": [{"type": "text", "text": "What "}, {"type": "text", "text": "now?"}]},
    {"role": "assistant", "content": null, "reasoning_content": "Hm.", "tool_calls":
      [{"id": "a1", "type": "function", "function": {"name": "now", "arguments": "{\"zone\": 1}"}}]},
    {"role": "tool", "content": "12:00", "tool_call_id": "a1", "extra": {"deep": [1, 2.5, null]}}])");
  const std::string file = folder.write("talk.json", messages.dump()).string();
  const ModelFolder model(ModelFolder::Files{
      {"tokenizer_config.json",
       R"({"chat_template": "{% for m in messages %}{{ m.name }}{{ m.tool_call_id }}{% endfor %}"})"}});
  const Words base = {"chat", "--model", model.path(), "-n", "2", "-p", "And", "--load", file};
  const auto json = json_of(base);
  ASSERT_EQ(json["messages"].size(), 6u);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(json["messages"][i], messages[i]);
  EXPECT_EQ(json["prompt_tokens"].get<size_t>(),
            json_of({"generate", "-p", "roota1", "-n", "1"})["prompt_tokens"].get<size_t>());
  Terminal t({"chat", "--load", file});
  ASSERT_TRUE(t.see("you> "));
  t.type("/save " + file + "2\r");
  ASSERT_TRUE(t.see("4 messages in"));
  t.type("/bye\r");
  EXPECT_EQ(t.end(), 0);
  EXPECT_EQ(nlohmann::json::parse(content_of(file + "2")), messages);
}

TEST(cli_chat, ReportsWhatWasLikelyToo) {
  const auto json = json_of({"chat", "-p", "Once upon", "-n", "3", "--logprobs", "2"});
  ASSERT_EQ(json["logprobs"].size(), json["ids"].size());
  EXPECT_EQ(json["logprobs"][1].size(), 3u);
  EXPECT_EQ(json["logprobs"][1][0]["id"], json["ids"][1]);
}

}  // namespace
}  // namespace hearth::testing
