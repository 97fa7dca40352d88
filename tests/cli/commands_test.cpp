// hearth bench, info, tokenize, logits and init.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "hearth/io/npy.h"
#include "hearth/io/safetensors.h"
#include "tests/cli/cli.h"
#include "tests/llm/tiny_checkpoint.h"

namespace hearth::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

const std::string kPhi = source_path("tests/data/models/phi").string();

// A command that is asked wrongly.
void expect_usage(const Words& args, const char* sentence) {
  const Finished f = run_hearth(args);
  EXPECT_EQ(f.exit_code, 2) << sentence;
  EXPECT_THAT(f.err, HasSubstr(sentence));
  EXPECT_THAT(f.err, MatchesRegex("hearth: .* See hearth [a-z]+ --help\\.\n"));
}
void expect_failure(const Words& args, const char* sentence, const std::string& input = "") {
  const Finished f = run_hearth(args, input);
  EXPECT_EQ(f.exit_code, 1) << sentence;
  EXPECT_THAT(f.err, HasSubstr(sentence));
}

TEST(cli, a_start_loads_nothing_that_only_pull_needs) {
#ifdef __linux__
  const Finished f = run_hearth({"version"}, "", {"LD_TRACE_LOADED_OBJECTS=1"});
  ASSERT_THAT(f.out, HasSubstr("libhearth-llm"));
  EXPECT_THAT(f.out, ::testing::Not(HasSubstr("libcurl"))) << f.out;
#endif
}

// Rows that outgrow it are read again, and decoding goes on.
TEST(cli_bench, crosses_the_first_context) {
  const TinyCheckpoint phi3("phi3");
  for (const char* rows : {"1", "3"}) {
    const json j = json_of({"bench", "--model", phi3.path(), "-p", "0", "-d", "8", "-n", "16", "-r",
                            "1", "--parallel", rows, "--dtype", "f32"});
    EXPECT_GT(j["decode"]["tokens_per_s"]["median"], 0);
  }
}

TEST(cli_bench, says_in_json_what_the_manual_lists) {
  const json j = json_of({"bench", "-p", "16", "-n", "8", "-r", "3", "--threads", "1"});
  EXPECT_EQ(j["model"], source_path("models/tiny-phi").string());
  EXPECT_EQ(j["dtype"], "f16");
  EXPECT_EQ(j["device"], "cpu");
  EXPECT_EQ(j["threads"], 1);
  EXPECT_EQ(j["random_weights"], false);
  EXPECT_EQ(j["weights_bytes"], 20040192);
  EXPECT_EQ(j["bytes_per_token"], 20040192 - 4096 * 320 * 2);
  EXPECT_GT(j["peak_memory_bytes"], j["weights_bytes"]);
  EXPECT_EQ(j["prefill"]["tokens"], 16);
  EXPECT_EQ(j["decode"]["tokens"], 8);
  for (const char* phase : {"prefill", "decode"}) {
    const json& rate = j[phase]["tokens_per_s"];
    auto samples = rate["samples"].get<std::vector<double>>();
    ASSERT_EQ(samples.size(), 3u);
    const double mean = (samples[0] + samples[1] + samples[2]) / 3;
    double squares = 0;
    for (double s : samples) squares += (s - mean) * (s - mean);
    std::sort(samples.begin(), samples.end());
    EXPECT_NEAR(rate["mean"].get<double>(), mean, 1e-9 * mean);
    EXPECT_NEAR(rate["stddev"].get<double>(), std::sqrt(squares / 2), 1e-6 * mean);
    EXPECT_EQ(rate["median"], samples[1]);
  }
  const json& d = j["decode"];
  EXPECT_NEAR(d["gb_per_s"].get<double>(),
              d["tokens_per_s"]["median"].get<double>() * j["bytes_per_token"].get<double>() / 1e9,
              1e-9);
  EXPECT_EQ(d["read_bandwidth_gb_s"].size(), 4u);
  EXPECT_EQ(d["bandwidth_fraction_samples"].size(), 3u);
  const bool none_steady = d["steady_repetitions"] == 0;
  EXPECT_EQ(d["bandwidth_fraction"].is_null(), none_steady);
}

TEST(cli_bench, leaves_out_what_is_not_asked) {
  json j =
      json_of({"bench", "-p", "0", "-n", "4", "-r", "1", "--random-weights", "--dtype", "bf16"});
  EXPECT_TRUE(j["prefill"].is_null());
  EXPECT_EQ(j["random_weights"], true);
  EXPECT_EQ(j["dtype"], "bf16");
  EXPECT_EQ(j["decode"]["tokens_per_s"]["stddev"], 0);
  j = json_of({"bench", "-p", "4", "-n", "0", "-r", "1"});
  EXPECT_TRUE(j["decode"].is_null());
  const Finished f = run_hearth({"bench", "-p", "4", "-n", "4", "-r", "1"});
  EXPECT_EQ(f.exit_code, 0);
  EXPECT_THAT(f.out, HasSubstr("prefill     4 tokens: "));
  EXPECT_THAT(f.out, HasSubstr("decode      4 tokens: "));
}

TEST(cli_bench, bad_usage_is_a_sentence_and_exit_2) {
  expect_usage({"bench", "-p", "0", "-n", "0"}, "nothing to measure");
  expect_usage({"bench", "-p", "-1"}, "--prefill");
  expect_usage({"bench", "-n", "1"}, "a rate needs at least 2 tokens");
  expect_usage({"bench", "-r", "0"}, "--repetitions");
  expect_usage({"bench", "-p", "513"}, "must fit in the model's context of 512");
  expect_usage({"bench", "--dtype", "f64"}, "dtype 'f64' is not one of f16, bf16, f32");
  expect_usage({"bench", "--activations", "int4"}, "'int4' is not int8");
  expect_failure({"bench", "--activations", "int8"},
                 "packed weights, of which this model has none");
}

/// Runs a small bench of these options, and reads its rows.
std::vector<json> rows(Words more) {
  Words args{"bench", "-r", "2", "-o", "jsonl"};
  args.insert(args.end(), more.begin(), more.end());
  const Finished f = run_hearth(args);
  EXPECT_EQ(f.exit_code, 0) << f.err;
  std::vector<json> all;
  std::istringstream lines(f.out);
  for (std::string line; std::getline(lines, line);) all.push_back(json::parse(line));
  return all;
}

TEST(cli_bench, takes_lists_and_ranges_as_llama_bench_does) {
  std::vector<std::string> tests;
  for (const json& row :
       rows({"-p", "4,8-16*2", "-p", "3", "-n", "0,2-4+2", "-d", "0,5", "-b", "2,512"})) {
    tests.push_back(
        fmt::format("{} {}", row["test"].get<std::string>(), row["n_batch"].get<int>()));
    EXPECT_EQ(row["samples_ts"].size(), 2u);
    const double tokens =
        row["n_prompt"].get<int>() ? row["n_prompt"].get<int>() : row["n_gen"].get<int>() - 1;
    EXPECT_NEAR(row["samples_ts"][1].get<double>() * row["samples_ns"][1].get<double>(),
                1e9 * tokens, 1e3 * tokens);
    EXPECT_EQ(row["model_n_params"], 10020096);
    EXPECT_EQ(row["gb_per_s"].is_null(), row["n_gen"] == 0);
  }
  std::vector<std::string> wanted;
  for (const char* depth : {"", " @ d5"}) {
    for (const char* batch : {"2", "512"})
      for (const char* test : {"pp4", "pp8", "pp16", "pp3"})
        wanted.push_back(fmt::format("{}{} {}", test, depth, batch));
    for (const char* test : {"tg2", "tg4"}) wanted.push_back(fmt::format("{}{} 2", test, depth));
  }
  EXPECT_EQ(tests, wanted);
}

TEST(cli_bench, decodes_rows_together) {
  const auto all = rows({"-p", "0", "-n", "5", "-d", "3", "--parallel", "1,4-40*10"});
  ASSERT_EQ(all.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const int rows = i == 0 ? 1 : i == 1 ? 4 : 40;
    EXPECT_EQ(all[i]["n_parallel"], rows);
    EXPECT_EQ(all[i]["test"], i == 0 ? "tg5 @ d3" : fmt::format("tg5 x {} @ d3", rows));
    EXPECT_NEAR(all[i]["samples_ts"][1].get<double>() * all[i]["samples_ns"][1].get<double>(),
                4e9 * rows, 4e6 * rows);
  }
  const json one = json::parse(
      run_hearth({"bench", "-p", "0", "-n", "4", "-r", "1", "--parallel", "2", "--json"}).out);
  EXPECT_EQ(one["decode"]["parallel"], 2);
  EXPECT_NEAR(one["decode"]["gb_per_s"].get<double>(),
              one["decode"]["tokens_per_s"]["median"].get<double>() / 2 *
                  one["bytes_per_token"].get<double>() / 1e9,
              1e-9);
}

TEST(cli_bench, writes_tables_that_others_read) {
  const auto of = [](const char* format) {
    return run_hearth({"bench", "-p", "2,3", "-n", "0", "-r", "1", "-o", format}).out;
  };
  const json all = json::parse(of("json"));
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1]["n_prompt"], 3);
  EXPECT_THAT(
      of("md"),
      MatchesRegex(
          "\\| model \\| .* t/s \\| \\+- \\|\n\\| --- .*\n\\| phi .* pp2 .*\n\\| phi .* pp3 .*\n"));
  const std::string csv = of("csv");
  std::istringstream lines(csv);
  std::string head, row;
  std::getline(lines, head), std::getline(lines, row);
  EXPECT_EQ(std::count(head.begin(), head.end(), ','), std::count(row.begin(), row.end(), ','));
  EXPECT_THAT(head,
              AllOf(HasSubstr("n_prompt,n_gen,n_depth"), ::testing::Not(HasSubstr("samples"))));
  const TempFolder folder;
  const Finished sql = run(
      {"python3", "-c",
       "import sqlite3,sys; c=sqlite3.connect(':memory:'); c.executescript(sys.stdin.read()); "
       "print(c.execute('select n_prompt, avg_ts > 0, gb_per_s from hearth_bench').fetchall())"},
      of("sql"));
  EXPECT_EQ(sql.out, "[(2, 1, None), (3, 1, None)]\n") << sql.err;
}

TEST(cli_bench, a_list_that_is_none_is_a_sentence) {
  for (const char* list : {"", ",", "1,", "x", "1-", "1-2+", "1-2*1", "1-4+0", "2-1", "1.5", "1--2",
                           "0x10", "1-1000000", "99999999999", "-5", "1-2-3", "1 2"})
    expect_usage({"bench", "-n", list}, "--decode");
  expect_usage({"bench", "-b", "0"}, "--batch");
  expect_usage({"bench", "--parallel", "0"}, "--parallel");
  expect_usage({"bench", "-p", "1,2", "--json"}, "for several: -o json");
  expect_usage({"bench", "-o", "xml"}, "--output");
  expect_usage({"bench", "-p", "4", "-d", "509"},
               "after -d, must fit in the model's context of 512");
}

TEST(cli_info, shows_the_machine_or_a_model) {
  Finished f = run_hearth({"info"});
  EXPECT_EQ(f.exit_code, 0);
  for (const char* what :
       {"hearth ", "device   cpu: ", " threads", "memory   ", "models   ", ", phi, "})
    EXPECT_THAT(f.out, HasSubstr(what));
  f = run_hearth({"info", source_path("models/configs/phi-2").string()});
  EXPECT_EQ(f.exit_code, 0);
  EXPECT_THAT(f.out, HasSubstr("parameters  2779.7 M in 453 tensors\n"));
  EXPECT_THAT(f.out, HasSubstr("weights     none are here; --random-weights runs the shape\n"));
  EXPECT_THAT(f.out, HasSubstr("layers      32\n"));
  EXPECT_THAT(f.out, HasSubstr("vocabulary  51200\n"));
  EXPECT_THAT(f.out, HasSubstr("context     2048\n"));
  EXPECT_THAT(f.out, HasSubstr("memory      5.56 GB as f16 or bf16, 11.12 GB as f32\n"));
  expect_usage({"info", "a", "b"}, "'b' is one argument too many");
}

TEST(cli_info, takes_the_model_as_other_commands_do) {
  const std::string phi_2 = source_path("models/configs/phi-2").string();
  const Finished named = run_hearth({"info", "--model", phi_2});
  EXPECT_EQ(named.exit_code, 0) << named.err;
  // What was measured, and is free, differs from time to time.
  const std::string plain = run_hearth({"info", phi_2}).out;
  EXPECT_EQ(named.out.substr(0, named.out.find("fits here")),
            plain.substr(0, plain.find("fits here")));
  expect_usage({"info", "--model", ""}, "--model: '', wanted a folder");
  EXPECT_EQ(run_hearth({"info", "--model", phi_2, phi_2}).exit_code, 2);
}

TEST(cli_info, says_in_json_what_the_manual_lists) {
  json j = json_of({"info"});
  EXPECT_THAT(j["version"].get<std::string>(), MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
  EXPECT_EQ(j["devices"][0]["device"], "cpu");
  EXPECT_THAT(j["devices"][0]["description"].get<std::string>(), HasSubstr("threads"));
  bool cuda = false;
  for (const json& d : j["devices"]) cuda |= d["device"] == "cuda";
  EXPECT_EQ(j["no_cuda_because"].is_null(), cuda) << j;
  EXPECT_GT(j["memory_limit_bytes"], 0);
  EXPECT_THAT(j["models"].get<Words>(), ::testing::Contains("phi"));
  const std::string phi_2 = source_path("models/configs/phi-2").string();
  j = json_of({"info", "--model", phi_2});
  for (const char* measured : {"memory_free_bytes", "context_that_fits", "read_bandwidth_gb_s",
                               "expected_tokens_per_s", "weights_fit_in_caches"}) {
    EXPECT_TRUE(j.contains(measured)) << measured;
    j.erase(measured);
  }
  EXPECT_EQ(j, (json{{"model", phi_2},
                     {"use", nullptr},
                     {"active_parameters", 2779683840},
                     {"gguf_architecture", nullptr},
                     {"gguf_types", nullptr},
                     {"tokenizer", nullptr},
                     {"template", nullptr},
                     {"device", "cpu"},
                     {"bytes_per_token", 5559367680 - 2 * 51200 * 2560},
                     {"state_bytes_per_token", 32 * 2 * 2560 * 2},
                     {"state_bytes_at_context", 2048 * 32 * 2 * 2560 * 2},
                     {"type", "phi"},
                     {"parameters", 2779683840},
                     {"tensors", 453},
                     {"dtype", "f16"},
                     {"layers", 32},
                     {"vocabulary", 51200},
                     {"context", 2048},
                     {"has_weights", false},
                     {"has_tokenizer", false},
                     {"memory_bytes", 5559367680},
                     {"bits_per_weight", 16.0},
                     {"weights_bytes", nullptr},
                     {"f16_bytes", 5559367680},
                     {"f32_bytes", 11118735360}}));
}

// 32 layers of keys and values of 2560 elements, 80 each: in q8 of three blocks of 34 bytes.
TEST(cli_info, counts_a_state_in_fewer_bits) {
  const std::string phi_2 = source_path("models/configs/phi-2").string();
  EXPECT_EQ(json_of({"info", phi_2, "--kv", "q8"})["state_bytes_per_token"], 32 * 2 * 32 * 3 * 34);
  EXPECT_EQ(json_of({"info", phi_2, "--kv", "q4"})["state_bytes_per_token"], 32 * 2 * 32 * 3 * 18);
  expect_usage({"info", phi_2, "--kv", "q5"}, "'q5' is not q8 or q4");
}

TEST(cli_info, counts_the_weights_that_are_there) {
  const json j = json_of({"info", source_path("models/tiny-phi").string()});
  EXPECT_EQ(j["parameters"], 10020096);
  EXPECT_EQ(j["tensors"], 89);
  EXPECT_EQ(j["dtype"], "f16");
  EXPECT_EQ(j["has_weights"], true);
  EXPECT_EQ(j["has_tokenizer"], true);
  EXPECT_EQ(j["weights_bytes"], 20040192);
  const Finished f = run_hearth({"info", source_path("models/tiny-phi").string()});
  EXPECT_THAT(f.out, HasSubstr("weights     20.0 MB of f16\n"));
  EXPECT_THAT(f.out, HasSubstr("tokenizer   BPE, 4096 tokens, in tokenizer.json\n"));
}

// What it is by its content, in one sentence, the same in every command that would load it.
TEST(cli_info, a_folder_that_hearth_cannot_run_is_an_error_that_says_why) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 20049360\n";
  json packed = json::parse(content_of(source_path("models/tiny-phi/config.json")));
  packed["quantization_config"] = {{"quant_method", "hqq"}, {"bits", 4}};
  const json index = {{"weight_map", {{"lm_head.bias", "model-00001-of-00002.safetensors"}}}};
  const std::pair<ModelFolder::Files, const char*> folders[] = {
      {{{"model.safetensors", pointer}}, "Git LFS pointer"},
      {{{"model.safetensors", "<!DOCTYPE html><html>"}}, "web page"},
      {{{"model.safetensors", std::nullopt}, {"pytorch_model.bin", "PK\3\4"}}, "pytorch_model.bin"},
      {{{"config.json", packed.dump()}}, "HQQ"},
      {{{"model.safetensors", std::nullopt}, {"model.safetensors.index.json", index.dump()}},
       "model-00001-of-00002.safetensors"},
      {{{"config.json", std::nullopt}}, "config.json"},
  };
  for (const auto& [files, what] : folders) {
    const ModelFolder folder(files);
    for (const Words& command :
         {Words{"info"}, Words{"info", "--json"}, Words{"generate", "--max-tokens", "1"},
          Words{"bench"}, Words{"logits", "--ids", "1", "--out", "/dev/null"}}) {
      Words args = command;
      args.insert(args.end(), {"--model", folder.path().string()});
      const Finished f = run_hearth(args);
      EXPECT_EQ(f.exit_code, 1) << command[0] << " " << what;
      EXPECT_EQ(f.out, "");
      EXPECT_THAT(f.err, HasSubstr(what)) << command[0];
      EXPECT_LT(f.err.size(), 600u) << f.err;
    }
  }
  const TempFolder folder;
  const std::string gguf = folder.write("m.gguf", std::string("GGUF\3\0\0\0", 8)).string();
  for (const char* command : {"info", "generate", "tokenize"}) {
    const Finished f = run_hearth({command, "--model", gguf});
    EXPECT_EQ(f.exit_code, 1);
    EXPECT_THAT(f.err, HasSubstr("GGUF"));
  }
}

TEST(cli_tokenize, goes_both_ways) {
  const std::string text = "The cat sat.\n  Two spaces, \u00e9\u00e8 and \U0001F600!";
  const Finished there = run_hearth({"tokenize"}, text);
  EXPECT_EQ(there.exit_code, 0);
  EXPECT_THAT(there.out, MatchesRegex("([0-9]+ )+[0-9]+\n"));
  EXPECT_EQ(run_hearth({"tokenize", "--decode"}, there.out).out, text + "\n");
  const Finished line = run_hearth({"tokenize"}, text + "\n");  // a text that ends its line
  EXPECT_EQ(run_hearth({"tokenize", "--decode"}, line.out).out, text + "\n");
  EXPECT_EQ(run_hearth({"tokenize"}, "").out, "\n");
  EXPECT_EQ(run_hearth({"tokenize", "--decode"}, "").out, "\n");
}

TEST(cli_tokenize, goes_both_ways_line_by_line) {
  const auto model = source_path("models/tiny-phi").string();
  std::string texts, ids;
  std::ifstream goldens(source_path("tests/data/tokenizer_tiny_phi.jsonl"));
  int lines = 0;
  for (std::string line; std::getline(goldens, line) && lines < 200; ++lines) {
    const json golden = json::parse(line);
    texts += json{{"text", golden["text"]}}.dump() + "\n";
    ids += json{{"ids", golden["ids"]}}.dump() + "\n";
  }
  ASSERT_GT(lines, 10);
  EXPECT_EQ(run_hearth({"tokenize", "--model", model, "--jsonl"}, texts).out, ids);
  EXPECT_EQ(run_hearth({"tokenize", "--model", model, "--jsonl", "--decode"}, ids).out, texts);
}

TEST(cli_tokenize, says_which_line_is_wrong) {
  expect_failure({"tokenize", "--jsonl"}, "line 2: text: wanted a text, got 1",
                 "{\"text\": \"a\"}\n{\"text\": 1}\n");
  expect_failure({"tokenize", "--jsonl"}, "line 1: text is missing", "{}\n");
  expect_failure({"tokenize", "--jsonl"}, "line 1: not valid JSON", "{\"text\": \n");
  expect_failure({"tokenize", "--jsonl", "--decode"}, "line 1: ids is missing", "{}\n");
  expect_failure({"tokenize", "--jsonl", "--decode"}, "got a list [1,-1]", "{\"ids\": [1,-1]}\n");
  expect_failure({"tokenize", "--jsonl", "--decode"}, "[1.5]", "{\"ids\": [1.5]}\n");
  for (const std::string id : {"4096", "99999", "2147483647"}) {
    const std::string sentence =
        "there is no token " + id + "; the vocabulary has 4096, from 0 to 4095";
    expect_failure({"tokenize", "--decode"}, ("standard input: " + sentence).c_str(), "5 " + id);
    expect_failure({"tokenize", "--jsonl", "--decode"}, ("line 1: " + sentence).c_str(),
                   "{\"ids\": [5, " + id + "]}\n");
  }
  const Finished f = run_hearth({"tokenize", "--decode"}, "12 x");
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_THAT(f.err, HasSubstr("standard input: 'x' is not a token id"));
}

TEST(cli_logits, writes_what_transformers_computes) {
  const auto folder = source_path("tests/data/models/phi");
  const json prompt = json::parse(content_of(folder / "golden.json"))["prompts"][0];
  const auto wanted = load_safetensors((folder / "golden.safetensors").string())
                          .first.at("prompt0.logits")
                          .to_vector<float>();
  const TempFolder temporary;
  const std::string out = (temporary / "logits.npy").string();
  std::string ids = prompt["ids"].dump();
  ids = ids.substr(1, ids.size() - 2);
  for (const auto& [dtype, tolerance] : {std::pair{"f32", 1e-4}, std::pair{"f16", 2e-2}}) {
    const Finished f =
        run_hearth({"logits", "--model", kPhi, "--ids", ids, "--dtype", dtype, "--out", out});
    ASSERT_EQ(f.exit_code, 0) << f.err;
    EXPECT_EQ(f.out + f.err,
              concat(out, ": float32 ", Shape{int(prompt["ids"].size()), 256}, "\n"));
    const array logits = load(out);
    EXPECT_EQ(logits.shape(), (Shape{int(prompt["ids"].size()), 256}));
    EXPECT_EQ(logits.dtype(), float32);
    const auto got = logits.to_vector<float>();
    ASSERT_EQ(got.size(), wanted.size());
    const float largest = std::abs(*std::max_element(
        wanted.begin(), wanted.end(), [](float a, float b) { return std::abs(a) < std::abs(b); }));
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_NEAR(got[i], wanted[i], tolerance * largest) << dtype << ", element " << i;
  }
}

// The file is the one that was named, whatever its name ends with.
TEST(cli_logits, names_the_file_that_it_wrote) {
  const TempFolder folder;
  const std::string out = (folder / "x").string();
  const Finished f = run_hearth({"logits", "--model", kPhi, "--ids", "1,2", "--out", out});
  EXPECT_EQ(f.out, out + ": float32 (2, 256)\n") << f.err;
  EXPECT_EQ(load(out).shape(), (Shape{2, 256}));
  // Through a pipe the bytes come alone.
  const Finished piped =
      run({"bash", "-c",
           hearth_binary() + " logits --model " + kPhi + " --ids 1,2 --out /dev/stdout | cat"});
  EXPECT_EQ(piped.out, content_of(out)) << piped.err;
}

TEST(cli_logits, refuses_what_it_cannot_do) {
  const TempFolder folder;
  const std::string out = (folder / "x.npy").string();
  expect_usage({"logits", "--ids", "1"}, "--out is required");
  expect_usage({"logits", "--out", out}, "--ids is required");
  expect_usage({"logits", "--ids", "", "--out", out}, "'' is not a token id");
  expect_failure({"logits", "--ids", "1,4096", "--out", out},
                 "4096 is not in the vocabulary of 4096");
  expect_failure({"logits", "--ids", "1", "--out", "/no/such/folder/x.npy"},
                 "/no/such/folder/x.npy: cannot be written: No such file or directory");
  std::string many = "1";
  for (int i = 0; i < 128; ++i) many += ",1";
  expect_failure({"logits", "--model", kPhi, "--ids", many, "--out", out},
                 "129 more do not fit in the model's 128");
}

TEST(cli_init, makes_a_folder_that_generates) {
  const TempFolder folder;
  for (const char* dtype : {"f16", "bf16", "f32"}) {
    const std::string out = (folder / dtype).string();
    Finished f = run_hearth({"init", "--config", source_path("models/tiny-phi").string(),
                             "--random-weights", "--dtype", dtype, "-o", out});
    ASSERT_EQ(f.exit_code, 0) << f.err;
    EXPECT_THAT(f.out, HasSubstr(out + ": phi, 0.0"));
    const json j = json_of({"generate", "--model", out, "--max-tokens", "3", "--ignore-eos"});
    EXPECT_EQ(j["dtype"], dtype);
    EXPECT_EQ(j["generated_tokens"], 3);
    // The same weights as --random-weights makes without a folder.
    EXPECT_EQ(json_of({"generate", "--random-weights", "--dtype", dtype, "--max-tokens", "3",
                       "--ignore-eos"})["ids"],
              j["ids"]);
    const json config = json::parse(content_of(std::filesystem::path(out) / "config.json"));
    EXPECT_EQ(config["dtype"], config["torch_dtype"]);
    EXPECT_EQ(config["hidden_size"], 320);
  }
  expect_failure({"init", "--config", kPhi, "--random-weights", "-o", (folder / "f16").string()},
                 "is there already; name a folder that is not, or is empty");
}

TEST(cli_init, the_seed_decides_the_weights) {
  const TempFolder folder;
  const auto weights = [&](const char* seed, const char* name) {
    const auto out = folder / name;
    const Finished f = run_hearth(
        {"init", "--config", kPhi, "--random-weights", "--seed", seed, "-o", out.string()});
    EXPECT_EQ(f.exit_code, 0) << f.err;
    return content_of(out / "model.safetensors");
  };
  const std::string first = weights("1", "a");
  EXPECT_EQ(weights("1", "b"), first);
  EXPECT_NE(weights("2", "c"), first);
}

TEST(cli_init, refuses_what_it_cannot_do) {
  const TempFolder folder;
  const std::string out = (folder / "out").string();
  expect_usage({"init", "--config", kPhi, "-o", out}, "--random-weights is required");
  expect_usage({"init", "--config", kPhi, "--random-weights"}, "--output is required");
  expect_usage({"init", "--config", kPhi, "--random-weights", "-o", out, "--dtype", "f7"},
               "dtype 'f7' is not one of");
  expect_usage({"init", "--config", kPhi, "--random-weights", "-o", out, "--seed", "-1"}, "--seed");
  expect_failure({"init", "--config", out, "--random-weights", "-o", out}, "no such folder");
  expect_failure({"init", "--config", kPhi, "--random-weights", "-o", kPhi}, "is there already");
  EXPECT_FALSE(std::filesystem::exists(out));
}

}  // namespace
}  // namespace hearth::testing
