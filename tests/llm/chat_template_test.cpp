// Chat templates against Jinja2: tools/template_goldens.py made the expected values.
#include "hearth/llm/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "tests/instrumented.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::llm {
namespace {

using hearth::testing::content_of;
using hearth::testing::error_of;
using hearth::testing::source_path;
using hearth::testing::TempFolder;
using nlohmann::ordered_json;
using ::testing::HasSubstr;

// 2025-03-09T08:07:06, a Sunday.
std::tm fixed_time() {
  std::tm time{};
  time.tm_year = 125, time.tm_mon = 2, time.tm_mday = 9;
  time.tm_hour = 8, time.tm_min = 7, time.tm_sec = 6;
  timegm(&time);
  return time;
}

Conversation conversation_of(const ordered_json& json) {
  Conversation c;
  c.messages = json.at("messages").dump();
  if (json.contains("tools")) c.tools = json["tools"].dump();
  c.now = fixed_time();
  c.variables = {{"bos_token", "\"<s>\""}, {"eos_token", "\"</s>\""}};
  const ordered_json variables = json.value("variables", ordered_json::object());
  for (const auto& [name, value] : variables.items()) c.variables.emplace_back(name, value.dump());
  return c;
}

Conversation plain(const std::string& text = "Hello") {
  Conversation c;
  c.messages = ordered_json::array({{{"role", "user"}, {"content", text}}}).dump();
  c.now = fixed_time();
  return c;
}

std::string render(const std::string& source, const Conversation& c = plain()) {
  return ChatTemplate::parse(source, "template").render(c).text();
}

// The output, or the error as Jinja2's is written down.
void expect_as_jinja2(const std::string& source, const Conversation& c,
                      const nlohmann::json& expected) {
  SCOPED_TRACE(source.substr(0, 400));
  try {
    const std::string output = ChatTemplate::parse(source, "template").render(c).text();
    ASSERT_TRUE(expected.contains("output"))
        << "rendered, Jinja2 says " << expected["error"] << "\n"
        << output;
    EXPECT_EQ(output, expected["output"].get<std::string>());
  } catch (const TemplateError& error) {
    ASSERT_TRUE(expected.contains("error")) << error.what();
    EXPECT_EQ(error.refused, expected["kind"] == "refused") << error.what();
    const bool same_words = error.refused || expected["kind"] == "UndefinedError" ||
                            expected["kind"] == "SecurityError";
    const std::string words = expected["error"];
    EXPECT_TRUE(!same_words || std::string(error.what()).find(words) != std::string::npos)
        << error.what() << "\nJinja2: " << words;
  }
}

nlohmann::json read(const std::filesystem::path& file) {
  return nlohmann::json::parse(content_of(file));
}

ordered_json conversations() {
  return ordered_json::parse(content_of(source_path("tests/data/templates/conversations.json")));
}

void expect_folder_as_jinja2(const std::filesystem::path& folder) {
  const auto expected = read(folder / "expected.json");
  const auto all = conversations();
  ASSERT_FALSE(expected.empty());
  for (const auto& [file, results] : expected.items())
    for (const auto& [name, result] : results.items()) {
      SCOPED_TRACE(file + ", " + name);
      expect_as_jinja2(content_of(folder / file), conversation_of(all.at(name)), result);
    }
}

TEST(ChatTemplate, ExpressionsAreThoseOfJinja2) {
  Conversation c = conversation_of(conversations().at("plain"));
  for (const auto& one : read(source_path("tests/data/templates/expressions.json")))
    expect_as_jinja2(one["template"], c, one);
}

TEST(ChatTemplate, TemplatesGiveWhatJinja2Gives) {
  expect_folder_as_jinja2(source_path("tests/data/templates"));
}

// Templates of others are not ours to publish: a folder of *.jinja, and the expected.json that
// tools/template_goldens.py FOLDER wrote.
TEST(ChatTemplate, TemplatesOfOthersGiveWhatJinja2Gives) {
  const char* named = std::getenv("HEARTH_TEMPLATES");
  const auto folder = named ? std::optional<std::filesystem::path>(named)
                            : hearth::testing::shared_path("templates");
  if (!folder || !std::filesystem::exists(*folder / "expected.json"))
    GTEST_SKIP() << "needs a folder of templates with an expected.json in $HEARTH_TEMPLATES or "
                    "../shared/templates";
  expect_folder_as_jinja2(*folder);
}

TEST(ChatTemplate, ErrorsSayTheLine) {
  const auto error = [](const std::string& source) {
    return error_of<TemplateError>([&] { render(source); });
  };
  EXPECT_THAT(error("a\n{% set x = 1 %}\n{{ x.y.z }}"), HasSubstr("template: line 3: "));
  EXPECT_THAT(error("a\n\n{% if %}"), HasSubstr("line 3"));
  EXPECT_THAT(error("\n{% for x in [1] %}\n{{ x }}"), HasSubstr("endfor"));
  EXPECT_THAT(error("{#\n\n#}{{ raise_exception('no\nthanks') }}"),
              HasSubstr("line 3: the template refuses this conversation: no\nthanks"));
  EXPECT_THAT(error(std::string("{{ '\xFF' }}")), HasSubstr("UTF-8"));
}

// What the text of a template can do to the program: nothing.
TEST(ChatTemplate, HostileTemplatesEndSoon) {
  std::string deep_lists, sum = "{{ 1", elifs = "{% if 0 %}", nested_for;
  for (int i = 0; i < 100000; ++i) deep_lists += '[';
  for (int i = 0; i < 100000; ++i) sum += "+1";
  for (int i = 0; i < 100000; ++i) elifs += "{% elif 0 %}";
  for (int i = 0; i < 5000; ++i) nested_for += "{% for x in [1] %}";
  const std::string endless =
      "{% set n = namespace(x=[]) %}{% for a in range(100000) %}"
      "{% for b in range(100000) %}";
  const std::vector<std::string> sources = {
      endless + "{% endfor %}{% endfor %}",
      endless + "{% set n.x = [n.x] %}{% endfor %}{% endfor %}",
      endless + "{% set n.x = n.x|map('upper') %}{% endfor %}{% endfor %}",
      endless + "{% set n.x = {'a': n.x, 'b': n.x} %}{% endfor %}{% endfor %}{{ n.x }}",
      endless + "{% set n.x = namespace(y=n.x) %}{% endfor %}{% endfor %}",
      endless + "{% macro m() %}{{ n.x }}{% endmacro %}{% set n.x = m %}{% endfor %}{% endfor %}",
      endless + "{% set n.x = n.x.copy %}{% endfor %}{% endfor %}",
      endless + "text {% endfor %}{% endfor %}",
      endless + "{% set n.x = loop %}{% endfor %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{% set n = namespace() %}{% set n.n = n %}{{ n }}{{ n|tojson }}",
      "{{ 'x' * 1000000000 }}",
      "{{ ('x' * 100000) * 100000 }}",
      "{{ [0] * 1000000000 }}",
      "{{ ('x' * 1000000)|replace('', 'y' * 1000000) }}",
      "{{ ('x' * 1000000)|replace('x', 'y' * 1000000) }}",
      "{{ 'x'.center(10000000000) }}",
      "{{ 'x'.zfill(10000000000) }}",
      "{{ '\t'.expandtabs(10000000000) }}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '%.1000000000f' % 1 }}",
      "{{ '%*d' % (2000000000, 1) }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ '{:.1000000000f}'.format(1.0) }}",
      "{{ [[]]|tojson(indent=1000000000) }}",
      "{{ 'a\nb'|indent(10000000000) }}",
      "{{ 10 ** (10 ** 10) }}",
      "{{ range(100000)|map('string')|batch(1000000000, 0)|list }}",
      "{{ [1]|slice(1000000000)|list }}",
      "{{ strftime_now('%1000000000Y') }}",
      "{% set n = namespace(s='x') %}{% for i in range(100) %}{% set n.s = n.s + n.s %}{% endfor "
      "%}",
      "{% set n = namespace(s='x') %}{% for i in range(100) %}{% set n.s = n.s ~ n.s %}{% endfor "
      "%}",
      "{% set n = namespace(s=[1]) %}{% for i in range(100) %}{% set n.s = n.s + n.s %}{% endfor "
      "%}",
      "{% set n = namespace(s='x') %}{% for i in range(100) %}{% set n.s = '%s%s' % (n.s, n.s) %}"
      "{% endfor %}",
      "{% set n = namespace(s='x') %}{% for i in range(100) %}{% set n.s = '{0}{0}'.format(n.s) %}"
      "{% endfor %}",
      "{% set n = namespace(s='x') %}{% for i in range(100) %}{% set n.s = [n.s, n.s]|join %}"
      "{% endfor %}",
      "{% set n = namespace(s='x') %}{% for i in range(100) %}{% set n.s %}{{ n.s }}{{ n.s }}"
      "{% endset %}{% endfor %}",
      "{{ " + deep_lists,
      "{{ " + sum + " }}",
      "{{ " + deep_lists + " }}",
      elifs + "{% endif %}",
      nested_for,
      "{{ " + std::string(100000, '-') + "1 }}",
      "{{ not " + std::string(100000, '(') + "1 }}",
      "{{ x" + std::string(400000, '.') + " }}",
  };
  for (size_t i = 0; i < std::size(sources); i += testing::kInstrumented ? 4 : 1) {
    const std::string source = sources[i];
    SCOPED_TRACE(source.substr(0, 160));
    const std::clock_t start = std::clock();
    EXPECT_THROW(render(source), TemplateError);
    EXPECT_LT(std::clock() - start, (testing::kInstrumented ? 200 : 20) * CLOCKS_PER_SEC);
  }
}

TEST(ChatTemplate, WhatIsNotJinjaIsTextOrAnError) {
  EXPECT_EQ(render("just { text } % #"), "just { text } % #");
  for (const char* source : {"{{", "{%", "{#", "{{ }}", "{% %}", "{{ '", "{% if x", "}} %}{{ ]}}",
                             "{{ \x01 }}", "{{ 1e }}{{", "{%- -%}", "{{ '\\ud800' }}"})
    EXPECT_THROW(render(source), TemplateError) << source;
  EXPECT_THROW(ChatTemplate::parse(std::string(5 << 20, 'x'), "t"), TemplateError);
}

// Whatever a template does with them, texts of the input stay marked, and no others are.
TEST(ChatTemplate, TextOfTheInputStaysMarked) {
  const auto marked = [](const std::string& source, const std::string& text) {
    std::string input, others;
    const auto rendered = ChatTemplate::parse(source, "t").render(plain(text));
    for (const auto& piece : rendered.pieces) (piece.from_input ? input : others) += piece.text;
    return std::pair(input, others);
  };
  using Pair = std::pair<std::string, std::string>;
  const std::string m = "messages[0].content";
  EXPECT_EQ(marked("<{{ " + m + " }}>", "hi"), Pair("hi", "<>"));
  EXPECT_EQ(marked("{{ '<|' + messages[0].role + '|>' + " + m + " + '<|end|>' }}", "<|end|>"),
            Pair("<|end|>", "<|user|><|end|>"));
  for (const std::string& how : std::vector<std::string>{m + "|trim",
                                                         m + "|upper|lower",
                                                         m + "|list|join",
                                                         m + "[::-1][::-1]",
                                                         m + "[0:3] + " + m + "[3:]",
                                                         "'%s' % " + m,
                                                         "'{}'.format(" + m + ")",
                                                         m + "|replace('zz', 'y')",
                                                         m + "|string",
                                                         m + " ~ ''",
                                                         "[" + m + "]|first",
                                                         "{'k': " + m + "}.k",
                                                         m + ".strip().lower()",
                                                         m + "|safe",
                                                         m + "|indent",
                                                         m + "|reverse|reverse",
                                                         "''.join([" + m + "])",
                                                         m + "|default('x')",
                                                         m + "|center(1)",
                                                         m + "|truncate(99)",
                                                         "namespace(x=" + m + ").x",

                                                         m + ".splitlines()[0]",
                                                         m + ".swapcase().swapcase()",
                                                         m + ".zfill(2)",
                                                         m + ".ljust(2)"}) {
    EXPECT_EQ(marked("{{ " + how + " }}", "<|a-b|>"), Pair("<|a-b|>", "")) << how;
  }
  // What the template puts between is the template's.
  EXPECT_EQ(marked("{{ " + m + ".split('-')|join('-') }}", "a-b"), Pair("ab", "-"));
  EXPECT_EQ(marked("{{ " + m + ".partition('-')|join }}", "a-b"), Pair("ab", "-"));
  EXPECT_EQ(marked("{{ " + m + "|tojson }}", "a\"b"), Pair("a\\\"b", "\"\""));
  EXPECT_EQ(marked("{{ [" + m + "] }}", "ab"), Pair("ab", "['']"));
  EXPECT_EQ(marked("{{ " + m + "|e }}", "<"), Pair("&lt;", ""));
  EXPECT_EQ(marked("{{ " + m + "|replace('b', '<s>') }}", "abc"), Pair("ac", "<s>"));
  EXPECT_EQ(marked("{% set x %}[{{ " + m + " }}]{% endset %}{{ x|replace('[', '(') }}", "q"),
            Pair("q", "(]"));
  EXPECT_EQ(marked("{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(" + m + ") }}", "q"),
            Pair("q", "<>"));
  // A role that is none of the usual ones is the input's too.
  Conversation odd = plain();
  odd.messages = R"([{"role": "im_start", "content": ""}])";
  const auto rendered =
      ChatTemplate::parse("{{ '<|' ~ messages[0].role ~ '|>' }}", "t").render(odd);
  ASSERT_EQ(rendered.pieces.size(), 3u);
  EXPECT_TRUE(rendered.pieces[1].from_input);
}

TEST(ChatTemplate, MessagesKeepTheirOrderAndDigits) {
  Conversation c = plain();
  c.messages = R"([{"role": "user", "zebra": 1, "apple": 123456789012345678901234567890,
                    "mango": 1.10, "e": 1E3, "n": -0.0, "u": "\ud83d\ude00", "role2": null}])";
  EXPECT_EQ(render("{{ messages[0]|tojson }}", c),
            R"({"role": "user", "zebra": 1, "apple": 123456789012345678901234567890, )"
            "\"mango\": 1.1, \"e\": 1000.0, \"n\": -0.0, \"u\": \"\xF0\x9F\x98\x80\", "
            "\"role2\": null}");
}

TEST(ChatTemplate, MessagesThatAreNoneAreErrors) {
  const auto error = [](const std::string& messages, const std::string& tools = "") {
    Conversation c = plain();
    c.messages = messages, c.tools = tools;
    c.messages_name = "m.json", c.tools_name = "t.json";
    return error_of([&] { render("{{ messages }}", c); });
  };
  EXPECT_THAT(error("{}"), HasSubstr("m.json: wanted a list of messages"));
  EXPECT_THAT(error("[]"), HasSubstr("m.json: the list of messages is empty"));
  EXPECT_THAT(error("[1]"), HasSubstr("m.json: message 0: wanted an object, got int"));
  EXPECT_THAT(error("[{\"role\": \"user\",}]"), HasSubstr("m.json: not valid JSON"));
  EXPECT_THAT(error("[{\"a\": 1, \"a\": 2}]"), HasSubstr("stands twice"));
  EXPECT_THAT(error("[{}]", "{}"), HasSubstr("t.json: wanted a list of tools, got dict"));
  EXPECT_THAT(error("[{\"a\": 1" + std::string(5000, '0') + "}]"), HasSubstr("number overflow"));
  EXPECT_THAT(error(std::string(100000, '[')), HasSubstr("deeper than"));
}

TEST(ChatTemplate, IsFoundInAModelsFolder) {
  const auto loaded = [](const TempFolder& folder, const std::string& which = "",
                         bool tools = false) {
    const auto found = ChatTemplate::load(folder.path(), which, tools);
    return found ? found->render(plain()).text() : "none";
  };
  const TempFolder none, config, jinja, named, old;
  EXPECT_EQ(loaded(none), "none");
  config.write("tokenizer_config.json",
               R"({"chat_template": "config {{ bos_token }}{{ eos_token }}", "bos_token": "<s>",
                   "eos_token": {"content": "</s>", "special": true}, "unk_token": null})");
  EXPECT_EQ(loaded(config), "config <s></s>");
  jinja.write("tokenizer_config.json", R"({"chat_template": "config", "bos_token": "<b>"})");
  jinja.write("chat_template.jinja", "file {{ bos_token }}");
  EXPECT_EQ(loaded(jinja), "file <b>");
  named.write("tokenizer_config.json",
              R"({"chat_template": [{"name": "default", "template": "plain"},
                                    {"name": "tool_use", "template": "tools"},
                                    {"name": "rag", "template": "documents"}]})");
  EXPECT_EQ(loaded(named), "plain");
  EXPECT_EQ(loaded(named, "", true), "tools");
  EXPECT_EQ(loaded(named, "rag"), "documents");
  EXPECT_THAT(error_of([&] { loaded(named, "x"); }), HasSubstr("default, rag, tool_use"));
  old.write("chat_template.json", R"({"chat_template": "of a processor"})");
  EXPECT_EQ(loaded(old), "of a processor");
  const TempFolder bad, damaged;
  bad.write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_THAT(error_of([&] { loaded(bad); }), HasSubstr("chat_template: wanted a text"));
  damaged.write("tokenizer_config.json", R"({"chat_template": "{% if %}"})");
  EXPECT_THAT(error_of([&] { loaded(damaged); }), HasSubstr("tokenizer_config.json: line 1"));
}

}  // namespace
}  // namespace hearth::llm
