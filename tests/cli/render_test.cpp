// hearth render, as it is called.
#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using ::testing::HasSubstr;

const char* const kMessages = R"([{"role": "user", "content": "Hi <b>"}])";
const char* const kTemplate =
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    "{% if tools %}{{ tools|tojson }}{% endif %}{% if add_generation_prompt %}<|bot|>{% endif %}";

TEST(cli_render, prints_what_the_model_is_given_and_nothing_else) {
  const TempFolder folder;
  const auto messages = folder.write("m.json", kMessages),
             form = folder.write("t.jinja", kTemplate),
             tools = folder.write("tools.json", R"([{"z": 1, "a": [2.0]}])");
  const Words base = {"render", "--template", form, "--messages", messages};
  const auto out = [&](Words more, const std::string& input = "") {
    Words all = base;
    all.insert(all.end(), more.begin(), more.end());
    const Finished f = run_hearth(all, input);
    EXPECT_EQ(f.exit_code, 0) << f.err;
    EXPECT_EQ(f.err, "");
    return f.out;
  };
  EXPECT_EQ(out({}), "<|user|>Hi <b><|bot|>");
  EXPECT_EQ(out({"--no-generation-prompt"}), "<|user|>Hi <b>");
  EXPECT_EQ(out({"--set", "bos_token=\"<s>\""}), "<s><|user|>Hi <b><|bot|>");
  EXPECT_EQ(out({"--tools", tools}), "<|user|>Hi <b>[{\"z\": 1, \"a\": [2.0]}]<|bot|>");
  const auto dated = folder.write("d.jinja", "{{ strftime_now('%d %b %Y %H:%M:%S %A') }}");
  EXPECT_EQ(
      run_hearth({"render", "--template", dated, "--messages", "-", "--now", "2025-03-09T08:07:06"},
                 kMessages)
          .out,
      "09 Mar 2025 08:07:06 Sunday");
}

TEST(cli_render, takes_the_models_template_and_tokens) {
  const ModelFolder::Files files = {{"tokenizer_config.json",
                                     R"({"bos_token": "<|endoftext|>", "chat_template": [
           {"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}"},
           {"name": "tool_use", "template": "tools"}]})"}};
  const ModelFolder model(files);
  const auto messages =
      model.write("m.json", R"([{"role": "user", "content": "Once upon a time"}])");
  const Words base = {"render", "--model", model.path(), "--messages", messages};
  EXPECT_EQ(run_hearth(base).out, "<|endoftext|>Once upon a time");
  Words ids = base, named = base;
  ids.push_back("--ids");
  const Finished f = run_hearth(ids);
  EXPECT_EQ(f.exit_code, 0) << f.err;
  const Finished other = run_hearth({"tokenize"}, "<|endoftext|>Once upon a time");
  EXPECT_EQ(f.out, other.out);
  named.insert(named.end(), {"--name", "tool_use"});
  EXPECT_EQ(run_hearth(named).out, "tools");
}

TEST(cli_render, says_what_is_wrong) {
  const TempFolder folder;
  const auto messages = folder.write("m.json", kMessages);
  const auto error = [&](int code, Words more, const std::string& input = "") {
    more.insert(more.begin(), "render");
    const Finished f = run_hearth(more, input);
    EXPECT_EQ(f.exit_code, code) << f.out << f.err;
    EXPECT_EQ(f.out, "");
    return f.err;
  };
  const auto refuses = folder.write("r.jinja", "\n{{ raise_exception('roles must alternate') }}");
  EXPECT_THAT(error(1, {"--template", refuses, "--messages", messages}),
              HasSubstr("line 2: the template refuses this conversation: roles must alternate"));
  const auto wrong = folder.write("w.jinja", "{% if %}");
  EXPECT_THAT(error(1, {"--template", wrong, "--messages", messages}),
              HasSubstr("w.jinja: line 1"));
  EXPECT_THAT(error(1, {"--messages", messages}), HasSubstr("has no chat template"));
  EXPECT_THAT(error(1, {"--template", wrong, "--messages", "nowhere.json"}), HasSubstr("w.jinja"));
  EXPECT_THAT(error(2, {"--template", refuses}), HasSubstr("--messages"));
  EXPECT_THAT(error(2, {"--messages", messages, "--special-in-messages"}),
              HasSubstr("--special-in-messages: means nothing without --ids"));
  EXPECT_THAT(error(2, {"--template", wrong, "--name", "default", "--messages", messages}),
              HasSubstr("--name"));
  EXPECT_THAT(error(2, {"--template", refuses, "--messages", messages, "--set", "x"}),
              HasSubstr("NAME=JSON"));
  EXPECT_THAT(error(1, {"--template", refuses, "--messages", messages, "--set", "x=y"}),
              HasSubstr("x: not valid JSON"));
  for (const char* time : {"2025-13-09T08:07:06", "2025-02-30T08:07:06", "yesterday", "2025-3-9"})
    EXPECT_THAT(error(2, {"--template", refuses, "--messages", messages, "--now", time}),
                HasSubstr("--now"));
  EXPECT_THAT(error(1, {"--template", refuses, "--messages", "-"}, "[}"),
              HasSubstr("standard input: not valid JSON"));
}

}  // namespace
}  // namespace hearth::testing
