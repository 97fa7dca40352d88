// hearth models, and hearth info of what costs what.
#include "hearth/io/safetensors.h"
#include "hearth/ops/create.h"
#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// A cache with tiny-phi under three names, and a folder to stand in.
class cli_models : public ::testing::Test {
 protected:
  cli_models() {
    for (const char* snapshot :
         {"models--owner--tiny/snapshots/aaa", "models--owner--tiny/snapshots/bbb",
          "models--owner--tiny/snapshots/ccc"})
      copy_tiny(cache_ / snapshot);
    cache_.write("models--owner--tiny/refs/main", "aaa");
    cache_.write("models--owner--tiny/refs/refs/pr/1", "bbb");
    cache_.write("models--other/snapshots/ddd/config.json", R"({"model_type": "strange"})");
    cache_.write("models--other/refs/main", "ddd");
    cache_.write("datasets--a--b/snapshots/eee/config.json", "{}");
    cache_.write("models--gone/refs/main", "fff");
    cache_.write("version.txt", "1");
    copy_tiny(here_ / "mine");
    here_.write("notes/a.txt", "no model");
  }
  static void copy_tiny(const fs::path& to) {
    fs::create_directories(to);
    for (const auto& entry : fs::directory_iterator(source_path("models/tiny-phi")))
      fs::create_symlink(entry.path(), to / entry.path().filename());
  }
  Finished models(const std::string& more = "") const {
    return run(
        {"sh", "-c", "cd \"$1\" && \"$0\" models " + more, hearth_binary(), here_.path().string()},
        "", {"HF_HUB_CACHE=" + cache_.path().string()});
  }
  TempFolder cache_, here_;
};

TEST_F(cli_models, lists_the_cache_and_the_folder) {
  const Finished f = models("--json");
  ASSERT_EQ(f.exit_code, 0) << f.err;
  const json all = json::parse(f.out);
  std::vector<std::string> names;
  for (const json& model : all) {
    names.push_back(model["name"]);
    if (model["name"] == "other") {
      EXPECT_EQ(model["type"], "strange");
      EXPECT_TRUE(model["use"].is_null());
      EXPECT_THAT(model["reason"].get<std::string>(), HasSubstr("strange"));
      EXPECT_TRUE(model["parameters"].is_null());
      continue;
    }
    EXPECT_EQ(model["type"], "phi");
    EXPECT_EQ(model["parameters"], 10020096);
    EXPECT_EQ(model["dtype"], "f16");
    EXPECT_EQ(model["use"], "generate");
    EXPECT_GT(model["bytes"], 20040192);
    EXPECT_TRUE(fs::exists(model["path"].get<std::string>()));
  }
  EXPECT_EQ(names, (std::vector<std::string>{"other", "owner/tiny", "owner/tiny@refs/pr/1",
                                             "owner/tiny@ccc", "./mine"}));
  // Each name is one that --model takes.
  for (const std::string& name : names) {
    if (name == "other") continue;
    const Finished g = run({"sh", "-c", "cd \"$1\" && \"$0\" info --json \"$2\"", hearth_binary(),
                            here_.path().string(), name},
                           "", {"HF_HUB_CACHE=" + cache_.path().string()});
    EXPECT_EQ(g.exit_code, 0) << name << g.err;
  }
}

TEST_F(cli_models, shows_a_table) {
  const Finished f = models();
  EXPECT_EQ(f.exit_code, 0);
  EXPECT_THAT(f.out,
              AllOf(HasSubstr("name "), HasSubstr("owner/tiny "), HasSubstr("10.0 M"),
                    HasSubstr("0.02 GB"), HasSubstr("cannot be run"), Not(HasSubstr("notes"))));
}

TEST_F(cli_models, says_where_it_looked_when_there_are_none) {
  const TempFolder empty;
  const Finished f =
      run({"sh", "-c", "cd \"$1\" && \"$0\" models", hearth_binary(), empty.path().string()}, "",
          {"HF_HUB_CACHE=" + empty.path().string()});
  EXPECT_EQ(f.exit_code, 0);
  EXPECT_THAT(f.out,
              AllOf(HasSubstr("no models in " + empty.path().string()), HasSubstr("hearth pull")));
}

TEST(cli_info, says_what_a_token_costs) {
  const json j = json_of({"info", source_path("models/tiny-phi").string()});
  EXPECT_EQ(j["use"], "generate");
  EXPECT_EQ(j["active_parameters"], 10020096);
  // As bench has it, from the headers alone.
  EXPECT_EQ(j["bytes_per_token"], 20040192 - 4096 * 320 * 2);
  EXPECT_EQ(j["state_bytes_per_token"], 6 * 2 * 320 * 2);
  EXPECT_EQ(j["state_bytes_at_context"], 512 * 6 * 2 * 320 * 2);
  EXPECT_EQ(j["context_that_fits"], 512);
  EXPECT_THAT(j["tokenizer"].get<std::string>(), HasSubstr("BPE, 4096 tokens"));
  EXPECT_TRUE(j["template"].is_null());
  const double rate = j["expected_tokens_per_s"], bandwidth = j["read_bandwidth_gb_s"];
  EXPECT_NEAR(rate * j["bytes_per_token"].get<double>(), 1e9 * bandwidth, 1e6 * bandwidth);
}

// The same words, whoever holds the weights.
TEST(cli_model_options, weights_may_be_copied_or_locked) {
  const Words generate = {"generate", "-p", "Once upon a time", "-n", "10"};
  const auto with = [&](const char* option) {
    Words args = generate;
    args.push_back(option);
    return args;
  };
  const Finished mapped = run_hearth(generate), copied = run_hearth(with("--no-mmap"));
  EXPECT_EQ(copied.exit_code, 0) << copied.err;
  EXPECT_EQ(copied.out, mapped.out);
  const Finished locked = run_hearth(with("--mlock"));
  if (locked.exit_code == 0)
    EXPECT_EQ(locked.out, mapped.out);
  else
    EXPECT_THAT(locked.err, AllOf(HasSubstr("cannot be locked in memory"), HasSubstr("ulimit -l")));
}

TEST(cli_model_options, a_context_is_a_limit_whose_memory_must_be_there) {
  const auto error = [](Words args) {
    const Finished f = run_hearth(args);
    EXPECT_EQ(f.exit_code, 1);
    return f.err;
  };
  EXPECT_EQ(run_hearth({"generate", "--ids", "1,2,3", "-n", "1", "--context", "3"}).exit_code, 0);
  EXPECT_THAT(error({"generate", "--ids", "1,2,3,4", "--context", "3"}), HasSubstr("context is 3"));
  EXPECT_THAT(error({"generate", "--ids", "1", "--context", "513"}),
              HasSubstr("load: a context of 513, the model's is 512"));
  auto config = json::parse(content_of(source_path("models/configs/phi-2/config.json")));
  config["max_position_embeddings"] = 100000000;
  const TempFolder folder;
  folder.write("config.json", config.dump());
  const Words shape = {"--random-weights", "--model", folder.path().string()};
  Words args = {"generate", "--ids", "1", "--context", "100000000", "--dtype", "f16"};
  args.insert(args.end(), shape.begin(), shape.end());
  EXPECT_THAT(
      error(args),
      AllOf(
          HasSubstr("the weights need 5.56 GB as f16, the state of 100000000 tokens 32768.00 GB; "),
          HasSubstr("are free on cpu. ")));
  // bench knows what it needs, and says so before anything is loaded.
  args = {"bench", "-p", "1000000", "-n", "0", "-d", "1000000"};
  args.insert(args.end(), shape.begin(), shape.end());
  EXPECT_THAT(error(args), HasSubstr("the state of 2000000 tokens 655.36 GB"));
}

}  // namespace
}  // namespace hearth::testing
