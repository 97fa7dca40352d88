// A model whose logits are no numbers: an error that says since where, in every command.
#include <cstring>

#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint16_t kNan = 0x7e00, kInfinity = 0x7c00, kLargest = 0x7bff;  // f16

/// tiny-phi's weights with every value of some tensors replaced.
std::string with_values(const Words& tensors, uint16_t value, bool all = true) {
  std::string file = content_of(source_path("models/tiny-phi/model.safetensors"));
  uint64_t length;
  std::memcpy(&length, file.data(), 8);
  const auto header = nlohmann::json::parse(file.substr(8, length));
  for (const std::string& name : tensors) {
    const size_t first = header.at(name).at("data_offsets")[0],
                 last = header.at(name).at("data_offsets")[1];
    for (size_t at = first; at < (all ? last : first + 2); at += 2)
      std::memcpy(file.data() + 8 + length + at, &value, 2);
  }
  return file;
}

struct Broken {
  std::string weights;
  const char *where, *why;
};

std::vector<Broken> broken_models() {
  const char* fc1 = "model.layers.3.mlp.fc1.weight";
  return {
      {with_values({fc1}, kNan, /*all=*/false), "since layer 3 of 6 layers",
       "its weight model.layers.3.mlp.fc1.weight holds such values"},
      {with_values({"model.layers.5.input_layernorm.bias"}, kInfinity), "since layer 5",
       "its weight model.layers.5.input_layernorm.bias holds"},
      {with_values({"model.embed_tokens.weight"}, kNan), "since the embedding",
       "its weight model.embed_tokens.weight holds"},
      {with_values({"lm_head.bias"}, kNan, /*all=*/false), "since the last layer, in the logits",
       "its weight lm_head.bias holds"},
      {with_values({"model.layers.2.self_attn.dense.bias", "model.layers.2.mlp.fc2.bias"},
                   kLargest),
       "since layer 2", "its weights are finite, so f16 overflows; try --dtype bf16 or f32"},
  };
}

TEST(cli_finite, every_command_says_since_where_the_logits_are_no_numbers) {
  const TempFolder out;
  const std::string story = out.write("story", "Once upon a time there was a little cat.").string();
  for (const Broken& broken : broken_models()) {
    const ModelFolder folder({{"model.safetensors", broken.weights}});
    const std::string model = folder.path().string();
    const std::vector<Words> commands = {
        {"generate", "-n", "8", "-m", model},
        {"generate", "-n", "8", "-m", model, "--temp", "1", "--top-p", "0.9", "--json"},
        {"generate", "-n", "8", "-m", model, "--repetition-penalty", "1.2"},
        {"perplexity", "-f", story, "-m", model},
        {"perplexity", "-f", story, "-m", model, "--json"},
        {"logits", "--ids", "1,2,3", "--out", out / "x.npy", "-m", model},
        {"bench", "-p", "4", "-n", "4", "-r", "1", "-m", model},
        {"bench", "-p", "4", "-n", "0", "-r", "1", "-m", model},
    };
    for (const Words& command : commands) {
      const Finished f = run_hearth(command);
      EXPECT_EQ(f.exit_code, 1) << command[0];
      EXPECT_EQ(f.out, "") << command[0];
      EXPECT_THAT(f.err, AllOf(HasSubstr("are not finite (NaN or infinity)"),
                               HasSubstr(broken.where), HasSubstr(broken.why)))
          << command[0];
    }
  }
}

TEST(cli_finite, an_engine_of_the_lab_says_so) {
  const ModelFolder folder({{"model.safetensors", broken_models()[0].weights}});
  const TempFolder out;
  for (const char* job : {"generate", "prefill", "batch"}) {
    const Finished f =
        run_hearth({"lab",         "run",         "--engines", "hearth",
                    "--job",       job,           "-m",        folder.path().string(),
                    "--no-limits", "--telemetry", "off",       "--pairs",
                    "1",           "--seconds",   "0",         "--warmup",
                    "0",           "--tokens",    "4",         "--overwrite",
                    "-o",          out / "r.json"});
    EXPECT_EQ(f.exit_code, 1) << job;
    EXPECT_THAT(f.out + f.err, HasSubstr("since layer 3 of 6 layers")) << job;
  }
}

// One row of the vocabulary that is no number is never chosen: the rest still are not logits.
TEST(cli_finite, one_logit_is_enough_and_a_model_in_order_says_nothing) {
  const ModelFolder folder({{"model.safetensors", with_values({"lm_head.bias"}, kNan, false)}});
  EXPECT_EQ(run_hearth({"generate", "-n", "2", "-m", folder.path().string()}).exit_code, 1);
  EXPECT_EQ(run_hearth({"generate", "-n", "2", "-m", folder.path().string(), "--temp", "0.5",
                        "--top-k", "5"})
                .exit_code,
            1);
  for (const char* dtype : {"f16", "bf16", "f32"})
    EXPECT_EQ(run_hearth({"generate", "-n", "20", "--dtype", dtype}).exit_code, 0);
}

}  // namespace
}  // namespace hearth::testing
