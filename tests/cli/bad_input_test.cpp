// What hearth says of files that are broken, absent or not what they should be: one sentence on
// stderr, exit 1, and no huge allocation on the way.
#include <csignal>
#include <cstring>
#include <functional>

#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// A command that fails: what it says, less "hearth: ". Nothing may come on stdout.
std::string complaint(const Words& args, const std::string& input = "") {
  const Finished f = run_limited(args, input);
  EXPECT_EQ(f.exit_code, 1) << f.err;
  EXPECT_EQ(f.out, "");
  EXPECT_THAT(f.err, StartsWith("hearth: "));
  EXPECT_EQ(f.err.find("json.exception"), std::string::npos) << f.err;
  return f.err.substr(std::min<size_t>(f.err.size(), 8));
}
std::string complaint_about(const TempFolder& model) {
  return complaint({"generate", "--max-tokens", "1", "--model", model.path().string()});
}
std::string complaint_with(const ModelFolder::Files& files) {
  return complaint_about(ModelFolder(files));
}

std::string tiny_file(const char* name) {
  return content_of(source_path("models/tiny-phi") / name);
}

// tiny-phi's weights with their header changed.
std::string weights(const std::function<void(json&)>& change) {
  const std::string file = tiny_file("model.safetensors");
  uint64_t length;
  std::memcpy(&length, file.data(), 8);
  json header = json::parse(file.substr(8, length));
  change(header);
  const std::string text = header.dump();
  const uint64_t now = text.size();
  return std::string(reinterpret_cast<const char*>(&now), 8) + text + file.substr(8 + length);
}
std::string complaint_of_weights(const std::function<void(json&)>& change) {
  return complaint_with({{"model.safetensors", weights(change)}});
}
// tiny-phi's config.json with `from` replaced.
std::string complaint_of_config(const std::string& from, const std::string& to) {
  std::string config = tiny_file("config.json");
  config.replace(config.find(from), from.size(), to);
  return complaint_with({{"config.json", config}});
}

TEST(cli_bad_input, safetensors_cut_short) {
  const std::string file = tiny_file("model.safetensors");
  const auto cut = [&](size_t n) {
    return complaint_with({{"model.safetensors", file.substr(0, n)}});
  };
  EXPECT_THAT(cut(0), HasSubstr("model.safetensors: the file is empty"));
  EXPECT_THAT(cut(5), HasSubstr("5 bytes are too few for a safetensors file"));
  EXPECT_THAT(cut(100), HasSubstr("the header has 9160 bytes, but only 92 follow; it may be cut "
                                  "short: fetch it again"));
  EXPECT_THAT(cut(file.size() / 2),
              AllOf(HasSubstr("tensor \"model."), HasSubstr("reach beyond the file, whose data is"),
                    HasSubstr("fetch it again")));
  EXPECT_THAT(cut(file.size() - 1), HasSubstr("fetch it again"));
}

TEST(cli_bad_input, safetensors_with_a_header_beyond_the_file) {
  std::string file = tiny_file("model.safetensors");
  const auto with_length = [&](uint64_t length) {
    std::memcpy(file.data(), &length, 8);
    return complaint_with({{"model.safetensors", file}});
  };
  EXPECT_THAT(with_length(file.size()), HasSubstr("but only"));
  for (uint64_t length : {uint64_t(1) << 31, uint64_t(1) << 62, UINT64_MAX})
    EXPECT_THAT(with_length(length),
                AllOf(HasSubstr("not a safetensors file"), HasSubstr(std::to_string(length)),
                      HasSubstr("at most 100000000")));
}

TEST(cli_bad_input, safetensors_whose_tensors_overlap_or_leave_a_gap) {
  const char *bias = "model.final_layernorm.bias", *weight = "model.final_layernorm.weight";
  EXPECT_THAT(
      complaint_of_weights([&](json& h) { h[weight]["data_offsets"] = h[bias]["data_offsets"]; }),
      HasSubstr("tensors \"model.final_layernorm.bias\" and "
                "\"model.final_layernorm.weight\" overlap"));
  EXPECT_THAT(complaint_of_weights([&](json& h) { h.erase(bias); }),
              HasSubstr("640 bytes before tensor \"model.final_layernorm.weight\" belong to none"));
}

TEST(cli_bad_input, safetensors_of_a_dtype_that_is_not_known) {
  EXPECT_THAT(complaint_of_weights([](json& h) { h["lm_head.bias"]["dtype"] = "F4"; }),
              HasSubstr("tensor \"lm_head.bias\": dtype \"F4\" is not one of U64, I64, F64"));
}

TEST(cli_bad_input, safetensors_with_a_shape_too_large) {
  const auto shaped = [](const json& shape) {
    return complaint_of_weights([&](json& h) { h["lm_head.bias"]["shape"] = shape; });
  };
  const int64_t most = INT32_MAX;
  EXPECT_THAT(shaped({most, most, most, most}),
              HasSubstr("[2147483647,2147483647,2147483647,2147483647] is more than 2^63 bytes"));
  // 2^64 bytes: wraps to the 8192 that are there.
  EXPECT_THAT(shaped({1 << 30, 1 << 30, 16}), HasSubstr("is more than 2^63 bytes"));
  EXPECT_THAT(shaped({most, 2}), HasSubstr("data_offsets span 8192 bytes, but shape "
                                           "[2147483647,2] of F16 needs 8589934588"));
  EXPECT_THAT(shaped({-4096}), HasSubstr("shape: wanted an integer from 0 to 2147483647, got "
                                         "-4096"));
}

TEST(cli_bad_input, tensors_missing_left_over_or_of_another_shape_in_one_error) {
  const std::string said = complaint_of_weights([](json& h) {
    h["lm_head.bias"]["shape"] = {64, 64};
    h["something.else"] = h["model.final_layernorm.bias"];
    h.erase("model.final_layernorm.bias");
  });
  EXPECT_THAT(said, AllOf(HasSubstr("model.final_layernorm.bias"), HasSubstr("something.else"),
                          HasSubstr("lm_head.bias"), HasSubstr("(64, 64)"), HasSubstr("(4096)")));
}

TEST(cli_bad_input, a_checkpoint_without_weights_or_without_a_shard) {
  EXPECT_THAT(complaint_with({{"model.safetensors", std::nullopt}}),
              HasSubstr("no weights: neither model.safetensors nor model.safetensors.index.json"));
  const json index = {{"weight_map", {{"lm_head.bias", "model-00001-of-00002.safetensors"}}}};
  const auto sharded = [](const std::string& index) {
    return complaint_with(
        {{"model.safetensors", std::nullopt}, {"model.safetensors.index.json", index}});
  };
  EXPECT_THAT(sharded(index.dump()),
              HasSubstr("1 of 1 shards is missing: \"model-00001-of-00002.safetensors\""));
  EXPECT_THAT(sharded("{"), HasSubstr("model.safetensors.index.json: not valid JSON: byte 1"));
  EXPECT_THAT(sharded(R"({"weight_map": {"a": "../../secret"}})"), HasSubstr("outside the folder"));
}

TEST(cli_bad_input, config_values_that_cannot_be) {
  for (const char* bad : {"NaN", "Infinity", "-Infinity"})
    EXPECT_THAT(complaint_of_config("1e-05", bad),
                AllOf(HasSubstr("config.json: byte 29"),
                      HasSubstr(std::string(": ") + bad + " is not a value JSON knows")));
  EXPECT_THAT(complaint_of_config("1e-05", "1e999"), HasSubstr("config.json: not valid JSON"));
  EXPECT_THAT(complaint_of_config("1e-05", "0"),
              HasSubstr("layer_norm_eps: wanted a positive number, got 0"));
  EXPECT_THAT(complaint_of_config("320", "-320"),
              HasSubstr("hidden_size: wanted a positive integer below 2^31, got -320"));
  EXPECT_THAT(complaint_of_config("320", "0"), HasSubstr("got 0"));
  EXPECT_THAT(complaint_of_config("320", "\"320\""), HasSubstr("got \"320\""));
  EXPECT_THAT(complaint_of_config("320", "321"), HasSubstr("must divide each other"));
  EXPECT_THAT(complaint_of_config("\"partial_rotary_factor\": 0.5,\n    \"rope_theta\"",
                                  "\"partial_rotary_factor\": 1e300,\n    \"rope_theta\""),
              HasSubstr("wanted an even number of at most all"));
  EXPECT_THAT(complaint_of_config("gelu_new", "gelu_old"),
              HasSubstr("hidden_act \"gelu_old\" is not known; known: gelu, "));
  EXPECT_THAT(complaint_of_config("float16", "float8"), HasSubstr("'float8' is not one of f16"));
}

TEST(cli_bad_input, json_that_is_none) {
  EXPECT_THAT(complaint_with({{"config.json", "{\"model_type\": "}}),
              HasSubstr("config.json: not valid JSON: byte 15"));
  EXPECT_THAT(complaint_with({{"config.json", "[1]"}}), HasSubstr("wanted an object, got a list"));
  EXPECT_THAT(complaint_with({{"config.json", ""}}), HasSubstr("config.json: the file is empty"));
  EXPECT_THAT(complaint_with({{"generation_config.json", "{"}}),
              HasSubstr("generation_config.json: not valid JSON"));
  EXPECT_THAT(complaint_with({{"tokenizer.json", "{\"model\": {"}}),
              HasSubstr("tokenizer.json: not valid JSON: byte 11"));
  EXPECT_THAT(complaint_with({{"tokenizer.json", "{}"}}),
              HasSubstr("tokenizer.json: tokenizer: model: wanted an object, got nothing"));
  EXPECT_THAT(complaint_with({{"tokenizer_config.json", "{"}}), HasSubstr("tokenizer_config.json"));
}

TEST(cli_bad_input, a_folder_without_a_tokenizer) {
  const ModelFolder folder(ModelFolder::Files{{"tokenizer.json", std::nullopt}});
  EXPECT_THAT(complaint_about(folder),
              AllOf(HasSubstr("tokenizer.json"), HasSubstr("save_pretrained")));
  // With ids none is needed: ids come out.
  const Finished f = run_hearth(
      {"generate", "--max-tokens", "2", "--ids", "1,2", "--model", folder.path().string()});
  EXPECT_EQ(f.exit_code, 0);
  EXPECT_THAT(f.out, ::testing::MatchesRegex("[0-9]+ [0-9]+ \n"));
}

TEST(cli_bad_input, what_is_not_a_model) {
  const TempFolder empty;
  for (const char* command : {"generate", "bench", "info", "tokenize", "perplexity"}) {
    Words args = {command, "--model", empty.path().string()};
    if (args[0] == "info") args.erase(args.begin() + 1);
    if (args[0] == "perplexity") args.insert(args.end(), {"--file", "-"});
    if (args[0] == "tokenize")
      EXPECT_THAT(complaint(args), HasSubstr("not the folder of a model: it has no config.json"));
    else
      EXPECT_THAT(complaint(args), HasSubstr(empty.path().string())) << command;
  }
  const auto file = empty.write("file", "text");
  EXPECT_THAT(complaint({"generate", "--model", file.string()}),
              HasSubstr("a file, wanted the folder of a model"));
  EXPECT_THAT(complaint({"generate", "--model", "./no/such/folder"}),
              HasSubstr("no such folder, and not a name as on the Hub"));
  EXPECT_THAT(complaint({"generate", "--model", "no-one/no-model"}),
              AllOf(HasSubstr("not in the Hugging Face cache"),
                    HasSubstr("hearth pull no-one/no-model --include config.json")));
}

TEST(cli_bad_input, a_model_type_that_is_not_known) {
  EXPECT_THAT(complaint_of_config("\"model_type\": \"phi\"", "\"model_type\": \"mamba\""),
              HasSubstr("config.json: model_type \"mamba\" is not known; known: "));
  EXPECT_THAT(complaint_of_config("\"model_type\": \"phi\",", ""),
              HasSubstr("config.json: model_type is missing"));
}

TEST(cli_bad_input, more_memory_than_there_is) {
  std::string config = tiny_file("config.json");
  const std::string_view width = "\"intermediate_size\": 1280";
  config.replace(config.find(width), width.size(), "\"intermediate_size\": 16000000");
  const ModelFolder large({{"config.json", config}});
  EXPECT_THAT(complaint_about(large),
              HasSubstr("18 of another shape: model.layers.0.mlp.fc1.bias"));
  EXPECT_THAT(
      complaint({"generate", "--random-weights", "--model", large.path().string()}),
      ::testing::MatchesRegex("load: the weights need [0-9.]+ GB as f16; [0-9.]+ GB are free on cpu"
                              "\\. Nothing of this model would fit: choose a smaller one\n"));
  EXPECT_THAT(complaint_of_config("\"hidden_size\": 320", "\"hidden_size\": 2000000000"),
              AllOf(HasSubstr("config.json: "), HasSubstr("wanted at most")));
  EXPECT_THAT(complaint_of_config("\"num_hidden_layers\": 6", "\"num_hidden_layers\": 2000000000"),
              HasSubstr("num_hidden_layers is 2000000000, wanted at most 1000"));
  if (kInstrumented) return;
  const std::string phi2 = source_path("models/configs/phi-2").string();
  EXPECT_THAT(complaint({"generate", "--random-weights", "--ids", "1", "--model", phi2}),
              ::testing::MatchesRegex("allocate: the system has no [0-9]+ bytes left, [0-9]+ are "
                                      "in use\n"));
}

TEST(cli_bad_input, prompts_that_do_not_fit) {
  EXPECT_THAT(
      complaint({"generate", "--prompt-file", source_path("tests/data/llm/story.txt").string()}),
      HasSubstr("the prompt has 1190 tokens, the model's context is 512; shorten"));
  EXPECT_THAT(complaint({"generate", "--ids", "1,4096"}),
              HasSubstr("token 4096 is not in the vocabulary of 4096"));
  EXPECT_THAT(complaint({"generate", "--prompt-file", "/no/such/file"}),
              HasSubstr("/no/such/file: cannot be read: No such file or directory"));
  EXPECT_THAT(complaint({"generate", "--prompt-file", "/"}), HasSubstr("Is a directory"));
}

TEST(cli_bad_input, prompts_that_are_not_utf8_are_read_as_python_reads_them) {
  // bytes.decode("utf-8", "replace"): each longest part that could have gone on becomes U+FFFD.
  const std::pair<const char*, const char*> texts[] = {
      {"a\xff\xfe"
       "b",
       "a\uFFFD\uFFFD"
       "b"},
      {"\xe2\x82 x", "\uFFFD x"},
      {"\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xf0\x9f\x98x\xf5", "\uFFFDx\uFFFD"},
      {"end \xe2\x82", "end \uFFFD"},
  };
  for (const auto& [bytes, text] : texts)
    EXPECT_EQ(run_hearth({"tokenize"}, bytes).out, run_hearth({"tokenize"}, text).out) << text;
  const auto& [bytes, text] = texts[0];
  const Words generate = {"generate", "--max-tokens", "4"};
  const auto with = [&](const Words& prompt, const std::string& input = "") {
    Words args = generate;
    args.insert(args.end(), prompt.begin(), prompt.end());
    const Finished f = run_hearth(args, input);
    EXPECT_EQ(f.exit_code, 0) << f.err;
    return f.out;
  };
  const std::string wanted = with({"--prompt", text});
  EXPECT_EQ(with({"--prompt", bytes}), wanted);
  EXPECT_EQ(with({"-"}, bytes), wanted);
}

TEST(cli_bad_input, a_closed_pipe_ends_quietly_or_with_a_sentence) {
  // By default the signal ends the writer, as everywhere; where the parent had SIGPIPE ignored, as
  // Python has, it is a failure to write. A pipe that was opened for both ends, then for one:
  const TempFolder folder;
  const std::string nobody = "mkfifo pipe && exec 3<>pipe 4>pipe 3>&- && cd / && ";
  for (const std::string how : {" generate --max-tokens 2 >&4", " --help >&4"}) {
    const auto run_in = [&](const std::string& before) {
      return run({"bash", "-c",
                  "cd " + folder.path().string() + " && rm -f pipe && " + nobody + before +
                      "exec " + hearth_binary() + how});
    };
    Finished f = run_in("");
    EXPECT_EQ(f.exit_code, 128 + SIGPIPE) << how;
    EXPECT_EQ(f.err, "") << how;
    f = run_in("trap '' PIPE && ");
    EXPECT_EQ(f.exit_code, 1) << how;
    EXPECT_EQ(f.err, "hearth: cannot write the output: Broken pipe\n") << how;
  }
}

}  // namespace
}  // namespace hearth::testing
