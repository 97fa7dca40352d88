// Numbers at the edges of what other programs' results may hold.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "hearth/lab/result/imports.h"
#include "hearth/lab/result/llama_bench.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(LabImportEdges, CountsOfTokensAreWholeNumbersThatFit) {
  const auto of = [](const json& in, const json& out) {
    return json{{"completed", 1},
                {"ttfts", json::array({1})},
                {"itls", json::array({json::array()})},
                {"input_lens", json::array({in})},
                {"output_lens", json::array({out})}}
        .dump();
  };
  const json bad[] = {4294967301, int64_t(1) << 31, 3.5, "7", -1, nullptr, true};
  for (const json& one : bad) {
    EXPECT_THAT(testing::error_of([&] { import_result(of(one, 1), "v.json"); }),
                HasSubstr("input_lens[0]: wanted a number of tokens, got"))
        << one;
    EXPECT_THAT(testing::error_of([&] { import_result(of(1, one), "v.json"); }),
                HasSubstr("output_lens[0]: wanted a number of tokens, got"))
        << one;
  }
}

TEST(LabImportEdges, AModelWithoutASizeHasNoBytesOfAWeight) {
  json test = {{"n_prompt", 8}, {"n_gen", 0}, {"avg_ns", 1e6}, {"model_n_params", 1000}};
  const auto bytes = [&](double size) {
    test["model_size"] = size;
    return import_llama_bench(json::array({test}).dump(), "b.json").engines.at(0);
  };
  EXPECT_FALSE(bytes(0).bytes_per_weight.value);
  EXPECT_FALSE(bytes(0).weights_bytes.value);
  EXPECT_EQ(bytes(500).bytes_per_weight.value, 0.5);
  EXPECT_EQ(bytes(500).weights_bytes.value, 500);
  EXPECT_FALSE(bytes(1e19).weights_bytes.value);
}

}  // namespace
}  // namespace hearth::lab
