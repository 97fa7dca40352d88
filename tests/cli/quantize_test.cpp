// hearth quantize, imatrix, and perplexity --kl-divergence, as they are called.
#include "hearth/io/gguf.h"
#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kStory = source_path("tests/data/llm/story.txt").string();

TEST(cli_quantize, writes_a_file_that_is_a_model) {
  const TempFolder folder;
  const std::string to = (folder / "m.gguf").string();
  const auto said = json_of({"quantize", "--to", "q8_0", "-o", to});
  EXPECT_EQ(said["output"], to);
  EXPECT_EQ(said["type"], "q8_0");
  EXPECT_EQ(said["weights"], json_of({"info", "-m", to})["parameters"]);
  EXPECT_NEAR(said["bits_a_weight"].get<double>(), 8.5, 0.1);
  EXPECT_NEAR(said["bits_a_weight_before"].get<double>(), 16, 0.1);
  EXPECT_EQ(said["types"]["Q8_0"], 38);
  EXPECT_TRUE(said["check"].is_null());
  const auto wanted = json_of({"perplexity", "--file", kStory, "--dtype", "f32"}),
             got = json_of({"perplexity", "--file", kStory, "--dtype", "f32", "-m", to});
  EXPECT_NEAR(got["perplexity"].get<double>() / wanted["perplexity"].get<double>(), 1, 5e-3);
  const Finished f = run_hearth({"quantize", "-m", to, "--to", "q4_k_m", "-o", to + "4"});
  EXPECT_EQ(f.exit_code, 0) << f.err;
  EXPECT_THAT(f.out,
              AllOf(HasSubstr("q4_k_m"), HasSubstr("bits a weight: F32 "), HasSubstr("Q5_0")));
  EXPECT_EQ(f.err, "");
}

TEST(cli_quantize, checks_what_it_wrote) {
  const TempFolder folder;
  const auto said = json_of(
      {"quantize", "--to", "q8_0", "-o", (folder / "m.gguf").string(), "--check", kStory})["check"];
  EXPECT_GT(said["kl_divergence_nats"], 0);
  EXPECT_LT(said["kl_divergence_nats"], 0.01);
  EXPECT_GT(said["same_top_token"], 0.95);
  EXPECT_NEAR(said["log_ratio"].get<double>(), 0, 0.01);
  EXPECT_GT(said["tokens"], 200);
}

TEST(cli_quantize, writes_mlxs_folder) {
  const TempFolder folder;
  const std::string to = (folder / "mlx").string();
  const auto said = json_of({"quantize", "--to", "mlx-4bit", "-o", to});
  EXPECT_EQ(said["types"]["affine_4_64"], 38);
  const Finished f = run_hearth({"generate", "-m", to, "-p", "Once upon a time", "-n", "4"});
  EXPECT_EQ(f.exit_code, 0) << f.err;
}

TEST(cli_quantize, refuses_its_own_input_and_what_it_does_not_know) {
  const TempFolder folder;
  const std::string tiny =
      folder.write("m.gguf", content_of(source_path("tests/data/gguf/tiny.gguf")));
  std::filesystem::create_symlink(tiny, folder / "link.gguf");
  for (const char* name : {"m.gguf", "link.gguf"}) {
    const Finished f =
        run_hearth({"quantize", "-m", tiny, "--to", "q8_0", "-o", (folder / name).string()});
    EXPECT_EQ(f.exit_code, 1);
    EXPECT_THAT(f.err, HasSubstr("is what is read; name another file")) << name;
  }
  const ModelFolder model;
  Finished f = run_hearth({"quantize", "-m", model.path(), "--to", "q8_0", "-o",
                           (model / "model.safetensors").string()});
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_THAT(f.err, HasSubstr("is what is read"));
  f = run_hearth({"quantize", "-m", tiny, "--to", "q9", "-o", (folder / "o").string()});
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_THAT(f.err, AllOf(HasSubstr("--to"), HasSubstr("q4_k_m")));
  f = run_hearth({"quantize", "-m", tiny, "--to", "q8_0", "-o", "/dev/full"});
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_THAT(f.err, HasSubstr("/dev/full: cannot be written: No space left"));
  f = run_hearth(
      {"quantize", "-m", tiny, "--to", "q8_0", "-o", (folder / "o").string(), "--imatrix", kStory});
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_THAT(f.err, AllOf(HasSubstr("story.txt"), HasSubstr("no importance matrix")));
  EXPECT_FALSE(std::filesystem::exists(folder / "o"));
  f = run_hearth(
      {"quantize", "--to", "mlx-4bit", "--imatrix", kStory, "-o", (folder / "o").string()});
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_THAT(f.err, HasSubstr("--imatrix"));
}

TEST(cli_quantize, a_folder_whose_fields_are_of_other_kinds_is_one_clear_error) {
  const TempFolder out;
  const std::string good = content_of(source_path("models/tiny-phi/config.json"));
  const auto tokenizer = content_of(source_path("models/tiny-phi/tokenizer.json"));
  const std::string to = (out / "m.gguf").string();
  const auto error = [&](const ModelFolder::Files& files) {
    const ModelFolder model(files);
    const Finished f = run_limited({"quantize", "-m", model.path(), "--to", "q8_0", "-o", to});
    EXPECT_EQ(f.exit_code, 1) << f.out;
    EXPECT_FALSE(std::filesystem::exists(to));
    return f.err;
  };
  const auto changed = [](std::string text, const std::string& from, const std::string& by) {
    const size_t at = text.find(from);
    EXPECT_NE(at, text.npos) << from;
    return text.replace(at, from.size(), by);
  };
  for (const char* rope : {"7", "{\"full_attention\": {}, \"sliding_attention\": 3}",
                           "{\"rope_type\": 4}", "{\"rope_type\": \"yarn\", \"factor\": \"x\"}"}) {
    auto json = nlohmann::json::parse(good);
    json["rope_parameters"] = nlohmann::json::parse(rope);
    EXPECT_NE(error({{"config.json", json.dump()}}), "") << rope;
  }
  EXPECT_NE(error({{"tokenizer.json", changed(tokenizer, "\"!\": 1,", "\"!\": -1,")}}), "");
  EXPECT_NE(error({{"tokenizer.json", changed(tokenizer, "\"!\": 1,", "\"!\": 4000000000,")}}), "");
  EXPECT_THAT(error({{"config.json", changed(good, "\"phi\"", "\"falcon\"")}}),
              HasSubstr("falcon"));
}

TEST(cli_imatrix, measures_what_quantize_takes) {
  const TempFolder folder;
  const std::string matrix = (folder / "i.gguf").string(), to = (folder / "m.gguf").string();
  const auto said = json_of({"imatrix", "--text", kStory, "--window", "256", "-o", matrix});
  EXPECT_EQ(said["tensors"], 36);
  EXPECT_EQ(said["windows"], 4);
  EXPECT_EQ(said["experts_without_tokens"], 0);
  const auto plain = json_of({"quantize", "--to", "q4_0", "-o", to, "--check", kStory});
  const Finished f = run_hearth({"quantize", "--to", "q4_0", "-o", to, "--imatrix", matrix});
  EXPECT_EQ(f.exit_code, 0);
  EXPECT_EQ(f.err, "");
  const auto with =
      json_of({"quantize", "--to", "q4_0", "-o", to, "--imatrix", matrix, "--check", kStory});
  EXPECT_LT(with["check"]["kl_divergence_nats"], plain["check"]["kl_divergence_nats"]);
  const Gguf file = Gguf::open(to);
  EXPECT_EQ(file.integer("quantize.imatrix.entries_count"), 36);
  EXPECT_EQ(file.text("quantize.imatrix.dataset"), kStory);
}

TEST(cli_perplexity, holds_a_model_to_a_base) {
  const TempFolder folder;
  const std::string base = (folder / "base").string(), to = (folder / "m.gguf").string();
  const auto saved = json_of({"perplexity", "--file", kStory, "--kl-divergence-base", base,
                              "--window", "256", "--dtype", "f32"});
  const auto self =
      json_of({"perplexity", "--kl-divergence-base", base, "--kl-divergence", "--dtype", "f32"});
  EXPECT_LT(self["kl_divergence_nats"], 1e-3);
  EXPECT_EQ(self["tokens"], saved["tokens"]);
  EXPECT_NEAR(self["base_perplexity"].get<double>() / saved["perplexity"].get<double>(), 1, 1e-2);
  json_of({"quantize", "--to", "q4_0", "-o", to});
  const Finished f =
      run_hearth({"perplexity", "-m", to, "--kl-divergence-base", base, "--kl-divergence"});
  EXPECT_EQ(f.exit_code, 0) << f.err;
  EXPECT_THAT(f.out, AllOf(HasSubstr("KL divergence"), HasSubstr("same top token")));
  Finished g = run_hearth({"perplexity", "--kl-divergence"});
  EXPECT_EQ(g.exit_code, 2);
  EXPECT_THAT(g.err, HasSubstr("means nothing without --kl-divergence-base"));
  g = run_hearth({"perplexity", "--file", kStory, "--kl-divergence-base", base, "--kl-divergence"});
  EXPECT_EQ(g.exit_code, 2);
  EXPECT_THAT(g.err, HasSubstr("--file"));
}

}  // namespace
}  // namespace hearth::testing
