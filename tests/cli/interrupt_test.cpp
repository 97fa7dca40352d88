// Ctrl-C: what was measured until then is shown, and the exit code is 130.
#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

/// Whether the process catches the signal by now; false once it has ended.
bool catches(pid_t process, int number) {
  std::istringstream status(content_of(concat("/proc/", process, "/status")));
  for (std::string key, value; status >> key;)
    if (key == "SigCgt:" && status >> value)
      return std::stoull(value, nullptr, 16) >> (number - 1) & 1;
  return false;
}

/// hearth, interrupted a while after it began to catch the signal.
Finished interrupted(Words args, double seconds = 1, int number = SIGINT,
                     const std::string& input = "",
                     const std::vector<std::string>& environment = {}) {
  const TempFolder folder;
  const std::string id = folder / "id";
  const Words bash = {"bash", "-c", "echo $$ >\"$0\"; exec \"$@\"", id, hearth_binary()};
  args.insert(args.begin(), bash.begin(), bash.end());
  std::atomic<bool> ended = false;
  std::thread user([&] {
    using namespace std::chrono;
    pid_t process = 0;
    while (!ended && !catches(process, number)) {
      std::this_thread::sleep_for(5ms);
      std::ifstream(id) >> process;
    }
    for (auto waited = 0.0; !ended && waited < seconds; waited += 0.01)
      std::this_thread::sleep_for(10ms);
    if (!ended) kill(process, number);
  });
  const Finished f = run(args, input, environment);
  ended = true;
  user.join();
  return f;
}

/// tiny-phi's config with 600 MB of weights, which take a while to make.
ModelFolder large_model() {
  auto config = nlohmann::json::parse(content_of(source_path("models/tiny-phi/config.json")));
  config["vocab_size"] = 150000;
  config["hidden_size"] = 1024, config["num_attention_heads"] = 16;
  config["num_key_value_heads"] = 16;
  return ModelFolder({{"config.json", config.dump()}});
}

/// tiny-phi with a context that is not full before a minute is over.
ModelFolder long_model() {
  auto config = nlohmann::json::parse(content_of(source_path("models/tiny-phi/config.json")));
  config["max_position_embeddings"] = 1000000;
  return ModelFolder({{"config.json", config.dump()}});
}

TEST(cli_interrupt, generate_tells_its_figures) {
  const ModelFolder model = long_model();
  const Words generate = {"generate", "-m", model.path().string(), "-n", "900000", "--ignore-eos"};
  const Finished f = interrupted(generate, 0.5);
  EXPECT_EQ(f.exit_code, 130);
  EXPECT_THAT(f.out, HasSubstr("there was"));
  EXPECT_EQ(f.out.back(), '\n');
  EXPECT_THAT(f.err, MatchesRegex("[0-9]+ tokens, [0-9.]+ tokens/s, first after [0-9.]+ ms\n"
                                  "hearth: interrupted\n"));
  Words as_json = generate;
  as_json.push_back("--json");
  const Finished g = interrupted(as_json, 0.3, SIGTERM);
  EXPECT_EQ(g.exit_code, 143);
  const auto json = nlohmann::json::parse(g.out);
  EXPECT_EQ(json["stopped_by"], "interrupt");
  EXPECT_EQ(json["ids"].size(), json["generated_tokens"]);
}

TEST(cli_interrupt, bench_tells_the_repetitions_that_ended) {
  const ModelFolder model = long_model();
  const Finished f =
      interrupted({"bench", "-p", "500", "-n", "0", "-r", "1000", "-m", model.path().string()}, 2);
  EXPECT_EQ(f.exit_code, 130) << f.err;
  EXPECT_THAT(f.out, HasSubstr("prefill   500 tokens: "));
  EXPECT_THAT(f.out, ::testing::Not(HasSubstr("decode")));
  // In the middle of its first decode: that of the prefill is there.
  const Finished g = interrupted(
      {"bench", "-p", "1", "-n", "800000", "-r", "1", "--json", "-m", model.path().string()}, 4);
  EXPECT_EQ(g.exit_code, 130) << g.err;
  const auto json = nlohmann::json::parse(g.out);
  EXPECT_EQ(json["prefill"]["tokens_per_s"]["samples"].size(), 1u);
  EXPECT_TRUE(json["decode"].is_null());
}

TEST(cli_interrupt, perplexity_tells_that_of_the_text_so_far) {
  const std::string story = content_of(source_path("tests/data/llm/story.txt"));
  std::string text;
  for (int i = 0; i < 500; ++i) text += story;
  const Finished f = interrupted({"perplexity", "--file", "-"}, 3, SIGINT, text);
  EXPECT_EQ(f.exit_code, 130);
  EXPECT_THAT(f.out, MatchesRegex("perplexity [0-9.]+ \\+- [0-9.]+ \\([0-9]+ tokens in windows of "
                                  "512\\)\n"));
}

TEST(cli_interrupt, nothing_is_left_of_random_weights) {
  const ModelFolder model = large_model();
  const TempFolder folder;
  const Words init = {"init", "--config", model.path().string(), "--random-weights", "-o"};
  for (const char* name : {"new", "empty"}) {
    if (std::string(name) == "empty") std::filesystem::create_directory(folder.path() / name);
    Words words = init;
    words.push_back(folder / name);
    const Finished f = interrupted(words, 0.1);
    EXPECT_EQ(f.exit_code, 130) << f.err;
    EXPECT_EQ(f.err, "hearth: interrupted\n");
    EXPECT_FALSE(std::filesystem::exists(folder.path() / name));
  }
  const Finished f = interrupted({"lab", "run", "--engines", "hearth", "-m", model.path().string(),
                                  "--random-weights", "--no-limits", "-o", folder / "r.json"},
                                 0.1, SIGTERM, "", {"TMPDIR=" + folder.path().string()});
  EXPECT_EQ(f.exit_code, 143) << f.err;
  EXPECT_EQ(f.err, "hearth: interrupted\n");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// Before there is anything to keep, too.
TEST(cli_interrupt, lab_run_ends_with_130_wherever_it_is) {
  const TempFolder folder;
  const Finished f = interrupted({"lab", "run", "--engines", "hearth", "--pairs", "1000",
                                  "--seconds", "600", "-o", folder / "r.json"},
                                 0);
  EXPECT_EQ(f.exit_code, 130) << f.err;
  EXPECT_THAT(f.err, HasSubstr("interrupted"));
}

TEST(cli_interrupt, telemetry_tells_the_samples_so_far) {
  const auto start = std::chrono::steady_clock::now();
  const Finished f = interrupted({"lab", "telemetry", "--seconds", "300"}, 1);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
  EXPECT_EQ(f.exit_code, 130);
  EXPECT_THAT(f.out, HasSubstr(" samples; sampling took "));
}

}  // namespace
}  // namespace hearth::testing
