// hearth embed.
#include <cmath>
#include <sstream>

#include "hearth/io/npy.h"
#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kTiny = source_path("models/tiny-phi").string();

std::vector<std::vector<float>> vectors(const std::string& text) {
  std::vector<std::vector<float>> all;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    all.emplace_back(std::istream_iterator<float>(numbers), std::istream_iterator<float>());
  }
  return all;
}

TEST(cli_embed, prints_a_vector_for_each_text) {
  const Finished f = run_hearth({"embed", "-m", kTiny, "The cat", "A dog was here"});
  EXPECT_EQ(f.exit_code, 0) << f.err;
  EXPECT_THAT(f.err, IsEmpty());
  const auto all = vectors(f.out);
  ASSERT_EQ(all.size(), 2u);
  for (const auto& v : all) {
    ASSERT_EQ(v.size(), 320u);
    double squares = 0;
    for (const float x : v) squares += double(x) * x;
    EXPECT_NEAR(squares, 1, 1e-5);
  }
  // A line is a text, however it ends.
  EXPECT_EQ(run_hearth({"embed", "-m", kTiny}, "The cat\r\nA dog was here").out, f.out);
  EXPECT_EQ(run_hearth({"embed", "-m", kTiny, "-"}, "The cat\nA dog was here\n").out, f.out);
}

TEST(cli_embed, says_in_json_what_the_manual_lists) {
  const json j = json_of({"embed", "-m", kTiny, "--pooling", "mean", "--no-normalize", "--prompt",
                          "Once ", "upon", "a time"});
  EXPECT_EQ(j["model"], kTiny);
  EXPECT_EQ(j["dimensions"], 320);
  EXPECT_EQ(j["max_tokens"], 512);
  EXPECT_EQ(j["pooling"], json({"mean"}));
  EXPECT_EQ(j["normalized"], false);
  EXPECT_EQ(j["prompt"], "Once ");
  ASSERT_EQ(j["embeddings"].size(), 2u);
  EXPECT_EQ(j["embeddings"][1]["text"], "a time");
  EXPECT_GE(j["embeddings"][1]["tokens"], 3);
  EXPECT_EQ(j["embeddings"][1]["embedding"].size(), 320u);
}

TEST(cli_embed, writes_numpys_file) {
  const TempFolder folder;
  const std::string file = (folder / "v.npy").string();
  const Words texts = {"embed", "-m", kTiny, "The cat", "A dog"};
  Words args = texts;
  args.insert(args.end(), {"--npy", file});
  const Finished f = run_hearth(args);
  EXPECT_EQ(f.exit_code, 0) << f.err;
  EXPECT_THAT(f.out, IsEmpty());
  const array saved = load(file);
  EXPECT_EQ(saved.shape(), (Shape{2, 320}));
  EXPECT_EQ(saved.dtype(), float32);
  const auto all = vectors(run_hearth(texts).out);
  const auto values = saved.to_vector<float>();
  for (size_t k = 0; k < 320; ++k) EXPECT_EQ(values[320 + k], all[1][k]);
}

TEST(cli_embed, the_file_is_the_one_that_was_named) {
  const TempFolder folder;
  const std::string file = folder / "vectors";
  const std::string embed = hearth_binary() + " embed -m " + kTiny + " 'The cat' --npy ";
  const auto bash = [&](const std::string& command) {
    const Finished f = run({"bash", "-c", command});
    EXPECT_EQ(f.exit_code, 0) << f.err;
    return f.out;
  };
  bash(embed + file);
  const std::string bytes = content_of(file);
  EXPECT_EQ(load(file).shape(), (Shape{1, 320}));
  EXPECT_EQ(bash(embed + "/dev/stdout | cat"), bytes);
  EXPECT_EQ(bash(embed + "/dev/stdout"), bytes);  // a file without a name
  bash(embed + "/dev/stdout >" + file + "2");
  EXPECT_EQ(content_of(file + "2"), bytes);
  EXPECT_EQ(bash(embed + ">(cat) | cat"), bytes);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 2);
  const Finished f = run_hearth({"embed", "-m", kTiny, "x", "--npy", folder / "no" / "v"});
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_THAT(f.err, HasSubstr("cannot be written"));
}

TEST(cli_embed, bad_usage_is_a_sentence) {
  const auto error = [](const Words& more, int code) {
    Words args = {"embed"};
    args.insert(args.end(), more.begin(), more.end());
    const Finished f = run_hearth(args);
    EXPECT_EQ(f.exit_code, code) << f.err;
    return f.err;
  };
  EXPECT_THAT(error({"x"}, 2), HasSubstr("--model"));
  EXPECT_THAT(error({"-m", kTiny, "--pooling", "median", "x"}, 2),
              HasSubstr("not one of cls, max, mean"));
  EXPECT_THAT(error({"-m", kTiny, "--normalize", "--no-normalize", "x"}, 2),
              HasSubstr("--normalize"));
  EXPECT_THAT(error({"-m", kTiny, "--prompt-name", "query", "--prompt", "q: ", "x"}, 2),
              HasSubstr("--prompt"));
  EXPECT_THAT(error({"-m", kTiny, "--prompt-name", "query", "x"}, 1),
              HasSubstr("has no prompt \"query\""));
  EXPECT_THAT(error({"-m", kTiny, ""}, 1), HasSubstr("text 1 has no tokens"));
}

}  // namespace
}  // namespace hearth::testing
