// hearth as an engine, asked as the lab asks.
#include "hearth/lab/engines/hearth_engine.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "hearth/core/device.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

struct HearthAsEngine : ::testing::Test {
  HearthEngine engine{"1.2", "abc"};
  std::vector<json> lines;

  json ask(json request) {
    lines.clear();
    request["id"] = 7;
    EXPECT_TRUE(engine.answer(request.dump(), [&](std::string_view line) {
      EXPECT_TRUE(line.ends_with('\n'));
      lines.push_back(json::parse(line));
    }));
    for (const json& line : lines) EXPECT_EQ(line.at("id"), 7);
    return lines.back();
  }
  void load() {
    ask({{"do", "hello"}, {"device", "cpu"}, {"options", json::object()}});
    const json done =
        ask({{"do", "load"}, {"model", testing::source_path("models/tiny-phi").string()}})["done"];
    ASSERT_EQ(done["sampling"], "greedy");
  }
  using Prompts = std::vector<std::vector<int>>;
  json generate(const Prompts& prompts, int tokens, bool stream = false) {
    return ask({{"do", "run"},
                {"kind", "generate"},
                {"prompts", prompts},
                {"new_tokens", tokens},
                {"stream", stream}});
  }
};

TEST_F(HearthAsEngine, SaysWhoItIs) {
  const json done = ask({{"do", "hello"}, {"device", "cpu"}, {"options", json::object()}})["done"];
  EXPECT_EQ(done["name"], "hearth");
  EXPECT_EQ(done["version"], "1.2");
  EXPECT_EQ(done["commit"], "abc");
  EXPECT_EQ(done["device"], "cpu");
  EXPECT_EQ(done["devices"][0], "cpu");
  EXPECT_TRUE(HearthEngine("1", "").answer(
      R"({"id": 1, "do": "hello", "device": null, "options": {}})",
      [](std::string_view line) { EXPECT_TRUE(json::parse(line)["done"]["commit"].is_null()); }));
}

TEST_F(HearthAsEngine, RowsOfABatchAreThoseOfEachAlone) {
  load();
  const Prompts prompts = {{1, 2, 3}, {2, 3, 1}, {500, 4, 9}};
  const json together = generate(prompts, 40)["done"];
  EXPECT_EQ(together["prompt_tokens"], 3);
  for (size_t row = 0; row < prompts.size(); ++row) {
    const json alone = generate({prompts[row]}, 40)["done"];
    EXPECT_EQ(alone["ids"][0].size(), 40u);
    EXPECT_EQ(alone["ids"][0], together["ids"][row]) << row;
    EXPECT_GT(alone["own"]["prefill_s"], 0);
    EXPECT_GE(alone["own"]["time_to_first_token_s"], alone["own"]["prefill_s"]);
    EXPECT_GT(alone["own"]["decode_s"], 0);
  }
}

TEST_F(HearthAsEngine, StreamsAStepOfAllRowsAtATime) {
  load();
  const json done = generate({{1, 2, 3}, {2, 3, 1}}, 5, true)["done"];
  ASSERT_EQ(lines.size(), 6u);
  for (size_t step = 0; step < 5; ++step)
    EXPECT_EQ(lines[step]["token"], json({done["ids"][0][step], done["ids"][1][step]}));
}

TEST_F(HearthAsEngine, RefusesInASentenceAndGoesOn) {
  EXPECT_THAT(std::string(generate({{1}}, 1)["error"]), HasSubstr("no model is loaded"));
  load();
  EXPECT_THAT(std::string(generate({}, 1)["error"]), HasSubstr("there is no prompt"));
  EXPECT_THAT(std::string(generate({{1}, {2, 3}}, 1)["error"]),
              HasSubstr("rows of 1 and 2 tokens; wanted one length"));
  EXPECT_THAT(std::string(generate({{1, 2}}, 512)["error"]),
              HasSubstr("2 tokens and 512 new ones do not fit in the model's context of 512"));
  EXPECT_EQ(generate({{1, 2}}, 511)["done"]["ids"][0].size(), 511u);
  EXPECT_THAT(std::string(ask({{"do", "dance"}})["error"]), HasSubstr("no request dance"));
  EXPECT_THAT(std::string(ask({{"do", "check"}})["error"]), HasSubstr("nothing was computed"));
  EXPECT_THAT(testing::error_of([&] { engine.answer("[", [](std::string_view) {}); }),
              HasSubstr("standard input"));
  EXPECT_FALSE(engine.answer(R"({"do": "bye"})", [](std::string_view) {}));
}

TEST_F(HearthAsEngine, ComputesOperationsAndTheirChecksums) {
  const auto run = [&](const char* op, const json& shape, const char* dtype = "f32") {
    return ask({{"do", "run"},
                {"kind", "op"},
                {"op", op},
                {"dtype", dtype},
                {"shape", shape},
                {"calls", 2}});
  };
  EXPECT_EQ(run("softmax", {8, 64})["done"], json::object());
  EXPECT_NEAR(ask({{"do", "check"}})["done"]["checksum"], 1 / 64., 1e-6);
  for (const auto& [op, shape] : {std::pair<const char*, json>{"matmul", {4, 8, 6}},
                                  {"matvec", {4, 8}},
                                  {"conv2d", {1, 6, 6, 2, 3, 3}},
                                  {"layer_norm", {4, 8}},
                                  {"gelu", {16}},
                                  {"sum", {16}},
                                  {"sort", {16}},
                                  {"train_mnist", {2}}}) {
    EXPECT_EQ(run(op, shape)["done"], json::object()) << op;
    EXPECT_GT(ask({{"do", "check"}})["done"]["checksum"], 0) << op;
  }
  EXPECT_THAT(std::string(run("matmul", {4, 8})["error"]), HasSubstr("takes 3 sizes, got 2"));
  EXPECT_THAT(std::string(run("gelu", {0})["error"]), HasSubstr("a size of 0"));
  EXPECT_THAT(std::string(run("fly", {1})["error"]), HasSubstr("no operation fly"));
}

}  // namespace
}  // namespace hearth::lab
