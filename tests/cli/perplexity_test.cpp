// hearth perplexity against transformers (tools/perplexity_transformers.py).
#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using ::testing::HasSubstr;

const std::string kStory = source_path("tests/data/llm/story.txt").string();

TEST(cli_perplexity, equals_that_of_transformers) {
  std::ifstream wanted(source_path("tests/data/llm/story_perplexity.jsonl"));
  int lines = 0;
  for (std::string line; std::getline(wanted, line); ++lines) {
    const auto want = nlohmann::json::parse(line);
    const std::string window = std::to_string(want["window_tokens"].get<int>());
    // f32 differs by the order of sums; the halves by their rounding, f16 less than is asked.
    for (const auto& [dtype, tolerance] :
         {std::pair{"f32", 1e-5}, std::pair{"f16", 1e-3}, std::pair{"bf16", 1e-2}}) {
      SCOPED_TRACE(std::string(dtype) + " in windows of " + window);
      const auto got =
          json_of({"perplexity", "--file", kStory, "--window", window, "--dtype", dtype});
      EXPECT_EQ(got["tokens"], want["tokens"]);
      EXPECT_EQ(got["window_tokens"], want["window_tokens"]);
      EXPECT_EQ(got["dtype"], dtype);
      for (const char* key : {"perplexity", "mean_nll_nats", "standard_error"})
        EXPECT_NEAR(got[key].get<double>() / want[key].get<double>(), 1, tolerance) << key;
    }
  }
  EXPECT_EQ(lines, 2);
}

TEST(cli_perplexity, reads_standard_input_and_takes_the_context_as_its_window) {
  const auto from_file = json_of({"perplexity", "--file", kStory});
  EXPECT_EQ(from_file["window_tokens"], 512);
  EXPECT_EQ(from_file["dtype"], "f16");
  EXPECT_EQ(json_of({"perplexity", "--file", "-"}, content_of(kStory)), from_file);
  const Finished f = run_hearth({"perplexity", "--file", kStory});
  EXPECT_EQ(f.exit_code, 0);
  EXPECT_THAT(f.out, ::testing::MatchesRegex("perplexity [0-9.]+ \\+- [0-9.]+ \\(1187 tokens in "
                                             "windows of 512\\)\n"));
  EXPECT_EQ(f.err, "");  // the progress bar is for terminals
}

TEST(cli_perplexity, says_what_it_cannot_measure) {
  Finished f = run_hearth({"perplexity", "--file", "-"}, "");
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_THAT(f.err, HasSubstr("0 tokens; wanted at least 2"));
  f = run_hearth({"perplexity", "--file", kStory, "--window", "513"});
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_THAT(f.err, HasSubstr("window of 513 tokens; wanted 2 to the model's context, 512"));
  f = run_hearth({"perplexity", "--file", kStory, "--window", "1"});
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_THAT(f.err, HasSubstr("--window"));
  f = run_hearth({"perplexity", "--file", "/no/such/file"});
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_THAT(f.err, HasSubstr("/no/such/file: cannot be read: No such file"));
  f = run_hearth({"perplexity"});
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_THAT(f.err, HasSubstr("--file is required"));
}

}  // namespace
}  // namespace hearth::testing
