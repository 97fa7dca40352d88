// Servers as engines: started, waited for, measured by each API, and ended with all that is theirs.
#include <gmock/gmock.h>
#include <signal.h>

#include <thread>

#include "hearth/base/error.h"
#include "hearth/lab/run/engine.h"
#include "tests/lab/fakes.h"
#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

TEST(ServerSpec, IsACommandOrAnAddress) {
  const auto plain = parse_engine("server:llama-server -m a,b.gguf --port {port}");
  EXPECT_EQ(plain.name, "server");
  EXPECT_EQ(plain.device, "");
  EXPECT_EQ(
      plain.options,
      (std::map<std::string, std::string>{{"command", "llama-server -m a,b.gguf --port {port}"}}));
  const auto full = parse_engine("server:model=x:7b url=http://h:1/v1 FAST=1 serve a=b");
  EXPECT_EQ(full.options.at("model"), "x:7b");
  EXPECT_EQ(full.options.at("url"), "http://h:1/v1");
  EXPECT_EQ(full.options.at("command"), "FAST=1 serve a=b");  // a setting is of the command
  const auto there = parse_engine("server:api=ollama http://127.0.0.1:11434");
  EXPECT_EQ(there.device, "http://127.0.0.1:11434");
  EXPECT_FALSE(there.options.contains("command"));
  EXPECT_THAT(error_of<std::invalid_argument>([] { parse_engine("server:"); }),
              HasSubstr("wanted server:COMMAND or server:http://"));
  EXPECT_THAT(error_of<std::invalid_argument>([] { parse_engine("server:model=a model=b x"); }),
              HasSubstr("the option model stands twice"));
}

TEST(ServerSpec, StandsLastInAList) {
  std::vector<std::string> names;
  for (const auto& s : parse_engines("hearth,torch:cpu:x=1,y=2,server:serve a,b --x=1,2"))
    names.push_back(s.text);
  EXPECT_THAT(names, ElementsAre("hearth", "torch:cpu:x=1,y=2", "server:serve a,b --x=1,2"));
  EXPECT_EQ(parse_engines("server:a,hearth").size(), 1);
}

TEST(ServerSpec, ALabelsNumberIsItsTwins) {
  EXPECT_EQ(spec_of_label("hearth:cpu#2"), "hearth:cpu");
  EXPECT_EQ(spec_of_label("server:sh -c 'x # y' #12"), "server:sh -c 'x # y' ");
  for (const char* same : {"server:a#b", "server:a#", "a"}) EXPECT_EQ(spec_of_label(same), same);
}

class Servers : public ::testing::Test {
 protected:
  void SetUp() override {
    HEARTH_PYTHON_OR_SKIP();
    places_.adapters = std::filesystem::absolute(testing::source_path("hearth/lab/engines"));
    places_.python = "python3";
  }
  static std::string command(const std::string& rest) {
    return "exec python3 " +
           std::filesystem::absolute(testing::source_path("tests/lab/fake_server.py")).string() +
           " " + rest;
  }
  Engine start(const std::string& spec) {
    return Engine(parse_engine("server:" + spec), places_, {20, 20, 20, 3});
  }
  static Job job() {
    Job j;
    j.prompt = "a prompt of five words";
    j.prompt_ids = {1, 2, 3};
    j.new_tokens = 6;
    return j;
  }
  EnginePlaces places_;
};

TEST_F(Servers, EachApiIsFoundAndMeasured) {
  for (const auto& [api, version] : {std::pair("openai", ", a-model"),
                                     {"llama.cpp", "b1234, a-model"},
                                     {"ollama", "ollama 0.9, a-model"}}) {
    Engine engine = start(command("{port} ") + api);
    const EngineHello hello = engine.hello();
    EXPECT_THAT(hello.version, HasSubstr(version));
    EXPECT_THAT(hello.device, HasSubstr("http://127.0.0.1:"));
    EXPECT_EQ(engine.load("").same_prompt_ids.value, false);
    for (const bool streamed : {false, true}) {
      const Repetition r = engine.run(job(), streamed, 1, Clock::now());
      EXPECT_EQ(r.new_tokens, 6) << api;
      EXPECT_EQ(r.prompt_tokens, 5) << api;
      EXPECT_EQ(r.token_s.size(), streamed ? 6 : 0) << api;
      if (std::string(api) == "llama.cpp") {
        EXPECT_EQ(r.own.at("predicted_ms"), 2.5);
      }
      if (std::string(api) == "ollama") {
        EXPECT_EQ(r.own.at("eval_s"), 0.002);
      }
    }
    EXPECT_GT(engine.memory("started").resident_bytes.value.value_or(0), 1 << 20);
    engine.bye();
  }
}

TEST_F(Servers, TheModelIsChosenByName) {
  Engine engine = start("model=b-model " + command("{port} openai"));
  EXPECT_THAT(engine.hello().version, HasSubstr(", b-model"));
  Engine none = start("model=c " + command("{port} ollama"));
  EXPECT_THAT(error_of<EngineRefusal>([&] { none.hello(); }),
              HasSubstr("has no model c; it has a-model, b-model"));
}

// Whichever question is the first that it answers.
TEST_F(Servers, AreWaitedForWhileTheyLoad) {
  for (const auto& [api, version] : {std::pair("openai", ", a-model"),
                                     {"llama.cpp", "b1234, a-model"},
                                     {"ollama", "ollama 0.9, a-model"}})
    for (int refused = 1; refused <= 5; ++refused) {
      Engine engine = start(command("{port} ") + api + " slow" + std::to_string(refused));
      EXPECT_THAT(engine.hello().version, HasSubstr(version)) << "after " << refused;
    }
}

TEST_F(Servers, OneThatListsNoModelsIsAskedForATokenInstead) {
  Engine engine = start(command("{port} openai listless"));
  EXPECT_THAT(engine.hello().version, HasSubstr(", its model"));
  engine.load("");
  EXPECT_EQ(engine.run(job(), true, 1, Clock::now()).new_tokens, 6);
}

TEST_F(Servers, OneThatWantsNoOtherFieldsGetsNone) {
  Engine engine = start(command("{port} openai strict"));
  engine.hello(), engine.load("");
  EXPECT_EQ(engine.run(job(), false, 1, Clock::now()).new_tokens, 6);
}

/// Whether it is a process that is no corpse.
bool running(pid_t pid) {
  const std::string stat = testing::content_of(concat("/proc/", pid, "/stat"));
  const size_t name = stat.rfind(") ");
  return name != stat.npos && stat[name + 2] != 'Z' && stat[name + 2] != 'X';
}

TEST_F(Servers, EndWithTheirEngine) {
  pid_t server = 0;
  {
    Engine engine = start(command("{port} openai"));
    engine.hello();
    server = engine.pid();
    ASSERT_TRUE(running(server));
    engine.pause();  // an engine that waits takes no processor
  }
  const auto deadline = Clock::now() + std::chrono::seconds(5);
  while (running(server) && Clock::now() < deadline) std::this_thread::yield();
  EXPECT_FALSE(running(server));
}

TEST_F(Servers, WhatGoesWrongIsSaid) {
  const std::pair<std::string, const char*> starts[] = {
      {command("{port} openai silent"),
       "the server ended with exit code 1; its last words: no such model"},
      {"no-such-server --port {port}", "the server ended with exit code 127"},
      {"sleep 100", "where does it listen? Write {port}"},
      {"url=127.0.0.1 sleep 100", "127.0.0.1 is no address"},
      {"http://127.0.0.1:1", "no answer that lists models from http://127.0.0.1:1"},
      {"api=tgi " + command("{port}"), "no API tgi; there are ollama, llama.cpp, openai"}};
  for (const auto& [spec, says] : starts) {
    Engine engine = start(spec);
    EXPECT_THAT(error_of<EngineRefusal>([&] { engine.hello(); }), HasSubstr(says)) << spec;
  }
  const std::pair<const char*, const char*> runs[] = {
      {"dies", "the server ended with exit code 3; its last words: out of memory"},
      {"broken", "JSONDecodeError"}};
  for (const auto& [fault, says] : runs) {
    Engine engine = start(command("{port} openai ") + fault);
    engine.hello(), engine.load("");
    EXPECT_THAT(error_of<EngineRefusal>([&] { engine.run(job(), false, 1, Clock::now()); }),
                HasSubstr(says));
  }
  Engine early = start(command("{port} ollama early"));
  early.hello(), early.load("");
  EXPECT_EQ(early.run(job(), true, 1, Clock::now()).new_tokens, 4);
}

// Another one that listens there would be measured in its place.
TEST_F(Servers, APortThatIsTakenIsSaid) {
  Engine first = start(command("{port} openai"));
  const std::string url = first.hello().device, port = url.substr(url.rfind(':') + 1);
  Engine second = start(command(port + " openai --port " + port));
  EXPECT_THAT(error_of<EngineRefusal>([&] { second.hello(); }),
              HasSubstr(url + " is taken before the server is started"));
  // As an address it is one.
  Engine third = start(url);
  EXPECT_THAT(third.hello().version, HasSubstr("a-model"));
}

TEST_F(Servers, AProcessOfAnotherGroupIsNotTheEngines) {
  testing::TempFolder folder;
  const auto script =
      folder.write("e.py",
                   "#!/usr/bin/env python3\nimport json, sys\nfor line in sys.stdin:\n"
                   "    r = json.loads(line)\n    if r['do'] == 'bye': break\n"
                   "    print(json.dumps({'id': r['id'], 'done': {'pid': 1}}), flush=True)\n");
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  Engine engine(parse_engine("mine@" + script.string()), {}, {10, 10, 10, 1});
  engine.hello();
  EXPECT_NE(engine.pid(), 1);
}

}  // namespace
}  // namespace hearth::lab
