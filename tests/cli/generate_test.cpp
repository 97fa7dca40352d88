// hearth generate: each option and each key of --json.
#include <algorithm>
#include <chrono>
#include <set>

#include "hearth/lab/measure/machine.h"
#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

json generate(Words options, const std::string& input = "") {
  options.insert(options.begin(), "generate");
  return json_of(options, input);
}
json ids(const Words& options) { return generate(options)["ids"]; }

/// tiny-phi's first golden: a prompt and what transformers generates greedily.
json golden() {
  return json::parse(content_of(source_path("tests/data/models/tiny-phi/golden.json")))
      .at("prompts")[0];
}
std::string commas(const json& ids) {
  std::string text = ids.dump();
  return text.substr(1, text.size() - 2);
}

TEST(cli_generate, says_in_json_what_the_manual_lists) {
  const json j = generate({"--max-tokens", "8", "--threads", "1", "--stats"});
  for (const char* key : {"model", "dtype", "device", "text", "stopped_by"})
    EXPECT_TRUE(j[key].is_string()) << key;
  EXPECT_EQ(j["dtype"], "f16");
  EXPECT_EQ(j["device"], "cpu");
  EXPECT_EQ(j["stopped_by"], "length");
  EXPECT_EQ(j["ids"].size(), 8u);
  EXPECT_EQ(j["generated_tokens"], 8);
  EXPECT_EQ(j["prompt_tokens"], 4);
  EXPECT_EQ(j["prefill"]["tokens"], 4);
  EXPECT_EQ(j["decode"]["tokens"], 7);
  EXPECT_EQ(j["weights_bytes"], 20040192);
  for (const char* key : {"/time_to_first_token_s", "/prefill/tokens_per_s", "/decode/tokens_per_s",
                          "/decode/gb_per_s", "/decode/bandwidth_fraction", "/read_bandwidth_gb_s",
                          "/peak_memory_bytes"})
    EXPECT_GT(j.at(json::json_pointer(key)).get<double>(), 0) << key;
  EXPECT_NEAR(j["decode"]["gb_per_s"].get<double>() / j["read_bandwidth_gb_s"].get<double>(),
              j["decode"]["bandwidth_fraction"].get<double>(), 1e-9);
  EXPECT_GT(j["peak_memory_bytes"], j["weights_bytes"]);
  EXPECT_EQ(j["decode"]["limit_disturbed"], j["decode"]["bandwidth_fraction"] > 1.005);
}

TEST(cli_generate, drafted_tokens_are_those_that_come_without) {
  const std::string own = source_path("models/tiny-phi").string();
  for (const Words& sampling : {Words{}, Words{"--temp", "0.9", "--top-p", "0.9", "--seed", "4"}}) {
    Words plain{"-n", "60", "--stop", "Never"};
    plain.insert(plain.end(), sampling.begin(), sampling.end());
    Words drafted = plain;
    drafted.insert(drafted.end(),
                   {"--draft-ngram", "2", "--draft-model", own, "--draft-max", "6", "--stats"});
    const json without = generate(plain), with = generate(drafted);
    EXPECT_EQ(with["ids"], without["ids"]);
    EXPECT_EQ(with["text"], without["text"]);
    EXPECT_TRUE(without["draft"].is_null());
    EXPECT_GT(with["draft"]["accepted"], 0);
    EXPECT_GE(with["draft"]["drafted"], with["draft"]["accepted"]);
    EXPECT_GT(with["draft"]["steps"], 0);
    EXPECT_GT(with["decode"]["tokens_per_s"], 0);
    EXPECT_TRUE(with["decode"]["bandwidth_fraction"].is_null());
  }
  const auto told = run_hearth({"generate", "-n", "40", "--draft-model", own, "--stats"});
  EXPECT_THAT(told.err, HasSubstr("accepted (100 %)"));
}

TEST(cli_generate, a_draft_model_of_other_tokens_is_refused) {
  const auto other = run_hearth({"generate", "-n", "4", "--random-weights", "--draft-model",
                                 source_path("tests/data/models/llama").string()});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("draft-model: it has a vocabulary of"));
  for (const char* number : {"9", "-1", "x"}) {
    const auto refused = run_hearth({"generate", "--draft-ngram", number});
    EXPECT_EQ(refused.exit_code, 2) << number;
    EXPECT_THAT(refused.err, HasSubstr("wanted a whole number from 0 to 8"));
  }
}

// Measuring the limit takes a second, after the answer is there: only who asks for it waits.
TEST(cli_generate, the_limit_is_measured_only_if_asked) {
  const json j = generate({"--max-tokens", "8"});
  for (const char* key : {"/decode/bandwidth_fraction", "/decode/limit_disturbed",
                          "/read_bandwidth_gb_s", "/weights_fit_in_caches"})
    EXPECT_TRUE(j.at(json::json_pointer(key)).is_null()) << key;
  EXPECT_GT(j["decode"]["gb_per_s"], 0);
  using Clock = std::chrono::steady_clock;
  const auto took = [](Words args) {
    auto least = Clock::duration::max();
    for (int i = 0; i < 3; ++i) {
      const auto start = Clock::now();
      EXPECT_EQ(run_hearth(args).exit_code, 0);
      least = std::min(least, Clock::now() - start);
    }
    return std::chrono::duration<double>(least).count();
  };
  EXPECT_LT(took({"generate", "-n", "1"}) + 0.2, took({"generate", "-n", "1", "--stats"}));
}

TEST(cli_generate, a_rate_that_was_not_measured_is_null) {
  const json j = generate({"--max-tokens", "1", "--stats"});
  EXPECT_EQ(j["decode"]["tokens"], 0);
  for (const char* key : {"tokens_per_s", "gb_per_s", "bandwidth_fraction"})
    EXPECT_TRUE(j["decode"][key].is_null()) << key;
  const Finished f = run_hearth({"generate", "--max-tokens", "1", "--stats"});
  EXPECT_EQ(f.err.find("decode"), std::string::npos) << f.err;
}

TEST(cli_generate, streams_the_text_and_then_tells_the_figures) {
  const Finished f = run_hearth({"generate", "--max-tokens", "8"});
  EXPECT_EQ(f.exit_code, 0);
  EXPECT_EQ(f.out, generate({"--max-tokens", "8"})["text"].get<std::string>() + "\n");
  const std::string line = "8 tokens, [0-9.]+ tokens/s, first after [0-9.]+ ms";
  EXPECT_THAT(f.err, MatchesRegex(line + "\n"));
  EXPECT_THAT(run_hearth({"generate", "--max-tokens", "8", "--stats"}).err,
              MatchesRegex(line + "\nprefill 4 at [0-9.]+ tokens/s; peak memory [0-9.]+ GB\n"
                                  "decode [0-9.]+ GB/s, [0-9]+ % of the read bandwidth \\([0-9.]+ "
                                  "GB/s[^)]*\\)\n"));
}

// tiny-phi has 20 MB; a vocabulary of 250,000 makes 340 MB of it.
TEST(cli_generate, says_whether_the_weights_fit_in_the_caches) {
  const auto caches = lab::cache_bytes(lab::read_facts());
  const char* sentence = "GB/s; the weights fit in the caches, so memory's bandwidth is no limit";
  const json fit = generate({"--max-tokens", "4", "--stats"})["weights_fit_in_caches"];
  EXPECT_EQ(fit, caches.value ? json(*caches.value >= 20040192) : json());
  const std::string said = run_hearth({"generate", "--max-tokens", "4", "--stats"}).err;
  EXPECT_EQ(said.find(sentence) != said.npos, fit == true) << said;
  const json bench = json_of({"bench", "-p", "0", "-n", "4", "-r", "2"});
  EXPECT_EQ(bench["weights_fit_in_caches"], fit);

  json config = json::parse(content_of(source_path("models/tiny-phi/config.json")));
  config["vocab_size"] = 250000;
  const ModelFolder wide({{"config.json", config.dump()}});
  const json big = generate({"--model", wide.path(), "--random-weights", "--ids", "1",
                             "--max-tokens", "2", "--ignore-eos", "--stats"});
  EXPECT_EQ(big["weights_fit_in_caches"],
            caches.value ? json(*caches.value >= big["weights_bytes"]) : json());
}

TEST(cli_generate, continues_greedily_as_transformers_does) {
  const json g = golden();
  const std::string count = std::to_string(g["greedy"].size());
  EXPECT_EQ(
      ids({"--ids", commas(g["ids"]), "--max-tokens", count, "--ignore-eos", "--dtype", "f32"}),
      g["greedy"]);
}

TEST(cli_generate, takes_its_prompt_from_every_source) {
  const std::string text = "The little cat sat";
  const json wanted = ids({"--prompt", text, "--max-tokens", "6"});
  const TempFolder folder;
  const std::string file = folder.write("prompt", text).string();
  EXPECT_EQ(ids({"--prompt-file", file, "--max-tokens", "6"}), wanted);
  // Through a pipe, with or without the dash, and with the newline that echo adds.
  for (const Words& dash : {Words{"-"}, Words{}})
    for (const std::string& sent : {text, text + "\n"}) {
      Words options = {"--max-tokens", "6"};
      options.insert(options.end(), dash.begin(), dash.end());
      EXPECT_EQ(generate(options, sent)["ids"], wanted) << sent;
    }
  EXPECT_EQ(json::parse(run({"bash", "-c",
                             "echo '" + text + "' | " + hearth_binary() + " generate -n 6 --json"})
                            .out)["ids"],
            wanted);
  EXPECT_EQ(generate({"--prompt", text, "--max-tokens", "6"}, "not this")["ids"], wanted);
  // Nothing sent: the usual prompt, unless nothing was asked for.
  const json usual = ids({"--prompt", "Once upon a time", "--max-tokens", "6"});
  EXPECT_EQ(generate({"--max-tokens", "6"})["ids"], usual);
  EXPECT_EQ(run({"bash", "-c", hearth_binary() + " generate -n 6 </dev/null"}).out,
            run_hearth({"generate", "-n", "6"}).out);
  EXPECT_EQ(generate({"-", "--max-tokens", "6"})["ids"], ids({"--ids", "0", "--max-tokens", "6"}));
  std::string words = run_hearth({"tokenize"}, text).out;
  words.pop_back();
  std::replace(words.begin(), words.end(), ' ', ',');
  EXPECT_EQ(ids({"--ids", words, "--max-tokens", "6"}), wanted);
  // Nothing at all begins with the model's first token.
  EXPECT_EQ(ids({"--prompt", "", "--max-tokens", "6"}), ids({"--ids", "0", "--max-tokens", "6"}));
}

TEST(cli_generate, takes_several_prompts_as_one_batch) {
  const TempFolder folder;
  const Words texts = {"The little cat sat", "Once [upon]", "[a, b]"};
  const Words options = {"-n", "8", "--dtype", "f32", "--temp", "0.8", "-s", "3"};
  json wanted = json::array();
  for (const std::string& text : texts) {
    Words words = options;
    words.insert(words.end(), {"-p", text});
    wanted.push_back(generate(words));
  }
  const auto same = [&](Words more) {
    more.insert(more.begin(), "generate");
    more.insert(more.end(), options.begin(), options.end());
    more.push_back("--json");
    const Finished f = run_hearth(more);
    EXPECT_EQ(f.exit_code, 0) << f.err;
    const json list = json::parse(f.out);
    ASSERT_TRUE(list.is_array());
    ASSERT_EQ(list.size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      for (const char* key : {"ids", "text", "stopped_by", "prompt_tokens", "sampling"})
        EXPECT_EQ(list[i][key], wanted[i][key]) << i;
      for (const auto& [key, value] : wanted[i].items()) EXPECT_TRUE(list[i].contains(key)) << key;
      EXPECT_TRUE(list[i]["decode"]["gb_per_s"].is_null());
    }
  };
  same({"-p", texts[0], "--prompt", texts[1], "-p", texts[2]});
  same({"--prompts", folder.write("lines", texts[0] + "\r\n\n" + texts[1] + "\n" + texts[2])});
  same({"--prompts", folder.write("lines.jsonl", json(texts[0]).dump() + "\n\n" +
                                                     json{{"prompt", texts[1]}, {"id", 7}}.dump() +
                                                     "\n" + json{{"prompt", texts[2]}}.dump())});
  // For people each is shown under its prompt, in order.
  const Finished f = run_hearth({"generate", "-n", "4", "-p", "The\ncat", "-p", "A dog"});
  EXPECT_THAT(f.out, MatchesRegex("==> The cat <==\n(.|\n)+\n\n==> A dog <==\n(.|\n)+\n"));
  EXPECT_THAT(f.err, HasSubstr("2 prompts, 8 tokens, "));
  // Ids, without a text.
  const auto list =
      json::parse(run_hearth({"generate", "--ids", "5,6", "--ids", "7", "-n", "2", "--json"}).out);
  EXPECT_EQ(list[0]["prompt_tokens"], 2);
  EXPECT_EQ(list[1]["ids"], ids({"--ids", "7", "-n", "2"}));
}

TEST(cli_generate, a_prompt_that_fails_leaves_the_others) {
  const TempFolder folder;
  std::string lines = "The cat\n";
  for (int i = 0; i < 600; ++i) lines += "word ";
  const Words words = {"generate", "-n", "3", "--prompts", folder.write("p", lines + "\nA dog\n")};
  const Finished text = run_hearth(words);
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_THAT(text.err, HasSubstr("1 of 3 prompts failed; prompt 2: generate: the prompt has "));
  EXPECT_THAT(text.out, HasSubstr("==> A dog <=="));
  Words as_json = words;
  as_json.push_back("--json");
  const json list = json::parse(run_hearth(as_json).out);
  EXPECT_EQ(list[0]["ids"].size(), 3u);
  EXPECT_EQ(list[1]["stopped_by"], "error");
  EXPECT_THAT(list[1]["error"].get<std::string>(), HasSubstr("the model's context is 512"));
  EXPECT_EQ(list[2]["ids"].size(), 3u);
  const auto failed = [&](int code, const Words& more) {
    Words all = {"generate", "-n", "1"};
    all.insert(all.end(), more.begin(), more.end());
    const Finished f = run_hearth(all);
    EXPECT_EQ(f.exit_code, code) << f.err;
    return f.err;
  };
  EXPECT_THAT(failed(1, {"--prompts", folder.write("none", "\n\n")}), HasSubstr("has no prompt"));
  EXPECT_THAT(failed(1, {"--prompts", folder.write("x.jsonl", "\"a\"\n{\"text\": 1}")}),
              HasSubstr("x.jsonl: line 2: prompt is missing"));
  EXPECT_THAT(failed(1, {"--prompts", folder.write("y.jsonl", "\"a")}),
              HasSubstr("y.jsonl: line 1"));
  EXPECT_THAT(failed(1, {"--prompts", folder / "nowhere"}), HasSubstr("nowhere"));
  EXPECT_THAT(failed(2, {"-p", "a", "-p", "b", "--save-state", folder / "s"}),
              HasSubstr("are for one prompt"));
  EXPECT_THAT(failed(2, {"-p", "a", "--prompts", "x"}), HasSubstr("give one kind of prompt"));
}

TEST(cli_generate, dry_has_the_breakers_of_llama_cpp) {
  const auto breakers = [](const Words& more) {
    Words words = {"generate", "-n", "1", "--dry-multiplier", "0.8"};
    words.insert(words.end(), more.begin(), more.end());
    return json_of(words)["sampling"]["dry_sequence_breakers"];
  };
  EXPECT_EQ(breakers({}), (json{"\n", ":", "\"", "*"}));
  EXPECT_EQ(breakers({"--dry-sequence-breaker", "none"}), json::array());
  EXPECT_EQ(breakers({"--dry-sequence-breaker", "\\n", "--dry-sequence-breaker", "[x]\\\\"}),
            (json{"\n", "[x]\\"}));
  const Finished f = run_hearth({"generate", "-n", "1", "--dry-multiplier", "1",
                                 "--dry-sequence-breaker", std::string(41, 'x')});
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_THAT(f.err, HasSubstr("dry-sequence-breaker: a text of 41 bytes, wanted 1 to 40"));
}

TEST(cli_generate, says_so_when_it_waits_for_a_silent_pipe) {
  const TempFolder folder;
  const std::string said = folder / "said";
  const auto behind = [&](const std::string& sender) {
    return run(
        {"bash", "-c", "(" + sender + ") | " + hearth_binary() + " generate -n 2 2>" + said});
  };
  // It sends nothing before that is said.
  EXPECT_EQ(behind("for i in $(seq 600); do grep -qs waiting " + said +
                   " && break; sleep 0.05; done; echo Once")
                .exit_code,
            0);
  EXPECT_THAT(content_of(said), StartsWith("hearth: waiting for the text on standard input"));
  EXPECT_EQ(behind("echo Once").exit_code, 0);
  EXPECT_THAT(content_of(said), Not(HasSubstr("waiting")));
}

TEST(cli_generate, stops_where_it_is_told) {
  const json whole = generate({"--max-tokens", "40"});
  const auto text = whole["text"].get<std::string>();
  const size_t at = text.find(" named");
  ASSERT_NE(at, std::string::npos) << text;
  const json cut = generate({"--max-tokens", "40", "--stop", " named", "--stop", "no such text"});
  EXPECT_EQ(cut["text"], text.substr(0, at));
  EXPECT_EQ(cut["stopped_by"], "text");
  EXPECT_LT(cut["generated_tokens"], 40);

  // tiny-phi ends its story within the context; --ignore-eos goes on to the context's end.
  const json ended = generate({"--prompt", "The end.", "--max-tokens", "600"});
  EXPECT_EQ(ended["stopped_by"], "token");
  const json on = generate({"--prompt", "The end.", "--max-tokens", "600", "--ignore-eos"});
  EXPECT_EQ(on["stopped_by"], "length");
  EXPECT_EQ(on["prompt_tokens"].get<int>() + on["generated_tokens"].get<int>(), 512 + 1);
  EXPECT_GT(on["generated_tokens"], ended["generated_tokens"]);
}

TEST(cli_generate, samples_reproducibly) {
  const Words warm = {"--temp", "1", "--max-tokens", "24"};
  const auto with = [&](Words more) {
    more.insert(more.begin(), warm.begin(), warm.end());
    return ids(more);
  };
  const json greedy = ids({"--max-tokens", "24"}), seven = with({"--seed", "7"});
  EXPECT_EQ(ids({"--max-tokens", "24", "--seed", "7"}), greedy);
  EXPECT_EQ(with({"--seed", "7", "--threads", "1"}), seven);
  EXPECT_NE(with({"--seed", "8"}), seven);
  EXPECT_NE(seven, greedy);
  // What leaves only the most likely token is greedy, whatever the seed.
  EXPECT_EQ(with({"--seed", "7", "--top-k", "1"}), greedy);
  EXPECT_EQ(with({"--seed", "7", "--top-p", "1e-6"}), greedy);
  EXPECT_EQ(with({"--seed", "7", "--min-p", "1"}), greedy);
  for (const char* cold : {"1e-4", "1e-6", "1e-20", "1e-37", "1e-38", "1e-44"})
    EXPECT_EQ(ids({"--temp", cold, "--max-tokens", "24"}), greedy) << cold;
  // What leaves all is plain sampling.
  EXPECT_EQ(with({"--seed", "7", "--top-k", "4096", "--top-p", "1", "--min-p", "0"}), seven);
}

TEST(cli_generate, a_repetition_penalty_repeats_less) {
  const auto distinct = [](const json& ids) {
    return std::set<int>(ids.begin(), ids.end()).size();
  };
  const Words options = {"--ids", "5,5,5,5,5,5", "--max-tokens", "100", "--ignore-eos"};
  Words penalized = options;
  penalized.insert(penalized.end(), {"--repetition-penalty", "1.5"});
  EXPECT_GT(distinct(ids(penalized)), distinct(ids(options)) + 10);
}

TEST(cli_generate, runs_in_every_dtype) {
  for (const auto& [dtype, bytes] :
       {std::pair{"f32", 40080384}, std::pair{"f16", 20040192}, std::pair{"bf16", 20040192}}) {
    const json j = generate({"--dtype", dtype, "--device", "cpu", "--max-tokens", "4"});
    EXPECT_EQ(j["dtype"], dtype);
    EXPECT_EQ(j["weights_bytes"], bytes);
    EXPECT_EQ(j["text"], ", there was a");
  }
}

TEST(cli_generate, random_weights_need_no_checkpoint) {
  const ModelFolder folder(ModelFolder::Files{{"model.safetensors", std::nullopt}});
  const Words options = {"--model", folder.path().string(), "--random-weights", "--max-tokens",
                         "5",       "--ignore-eos"};
  const json first = ids(options);
  EXPECT_EQ(first.size(), 5u);
  EXPECT_EQ(ids(options), first);
}

TEST(cli_generate, says_that_the_context_is_full) {
  const std::string full = "the context of 512 is full";
  EXPECT_THAT(run_hearth({"generate", "--max-tokens", "600", "--ignore-eos"}).err, HasSubstr(full));
  EXPECT_EQ(run_hearth({"generate", "--max-tokens", "5"}).err.find(full), std::string::npos);
}

TEST(cli_generate, a_device_of_the_environment_that_is_none_is_named) {
  const Finished f = run_hearth({"generate", "--max-tokens", "1"}, "", {"HEARTH_DEVICE=tpu"});
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_THAT(f.err, HasSubstr("hearth: HEARTH_DEVICE: device: there is no 'tpu'; there are: cpu"));
}

TEST(cli_generate, bad_usage_is_a_sentence_and_exit_2) {
  const std::pair<Words, const char*> cases[] = {
      {{"--max-tokens", "0"}, "--max-tokens: '0', wanted a whole number from 1 to"},
      {{"--max-tokens", "-4"}, "--max-tokens: '-4', wanted a whole number from 1 to"},
      {{"--max-tokens", "99999999999"}, "--max-tokens: '99999999999', wanted a whole number"},
      {{"--max-tokens", "ten"}, "--max-tokens: 'ten', wanted a whole number"},
      {{"--temp", "-1"}, ", wanted 0 or more"},
      {{"--temp", "nan"}, "--temp: 'nan', wanted a number"},
      {{"--temp", "warm"}, "--temp: 'warm', wanted a number"},
      {{"--top-k", "-1"}, "--top-k: -1, wanted 0 (all) or more"},
      {{"--top-p", "0"}, "--top-p: 0"},
      {{"--top-p", "1.5"}, ", wanted above 0, at most 1"},
      {{"--min-p", "2"}, ", wanted 0 to 1"},
      {{"--repetition-penalty", "0"}, ", wanted above 0"},
      {{"--repetition-penalty", "1e-38"}, ", wanted above 0, from 1e-06 to 1e+06"},
      {{"--seed", "-1"}, "--seed: '-1', wanted a whole number from 0 to"},
      {{"--stop", ""}, "--stop: an empty text would stop everything"},
      {{"--ids", ""}, "--ids: '' is not a token id; wanted e.g. 1,2,3"},
      {{"--ids", "1,,2"}, "--ids: '' is not a token id"},
      {{"--ids", "1,-2"}, "--ids: '-2' is not a token id"},
      {{"--ids", "99999999999"}, "--ids: '99999999999' is not a token id"},
      {{"--ids", "1", "--prompt", "a"},
       "give one kind of prompt: --prompt, --prompt-file, --ids, --prompts or -"},
      {{"--ids", "1", "-"}, "give one kind of prompt"},
      {{"--dtype", "f8"}, "dtype 'f8' is not one of f16, bf16, f32"},
      {{"--device", "tpu"}, "there is no 'tpu'; there are: cpu"},
      {{"--device", "metal"}, "there is no 'metal'; there are: cpu"},
      {{"--device", "vulkan"}, "there is no device vulkan"},
      {{"--device", "cpu:1"}, "there is no device cpu:1"},
      {{"--threads", "0"}, "--threads"},
      {{"--max-tokns", "3"}, "there is no option '--max-tokns', did you mean '--max-tokens'?"},
      {{"tell"}, "'tell' is one argument too many; a text goes behind --prompt"},
      {{"--max-tokens", "1", "-n", "2"}, "--max-tokens: given 2 times, wanted once"},
      {{"--draft-max", "4"}, "--draft-max: means nothing without --draft-ngram or --draft-model"},
      {{"--xtc-threshold", "0.2"}, "--xtc-threshold: means nothing without --xtc-probability"},
      {{"--dry-base", "2"}, "--dry-base: means nothing without --dry-multiplier"},
      {{"--dry-window", "9"}, "--dry-window: means nothing without --dry-multiplier"},
      {{"--dry-allowed-length", "3"}, "means nothing without --dry-multiplier"},
      {{"--mirostat-eta", "0.2"}, "--mirostat-eta: means nothing without --mirostat-tau"},
      {{"--logprobs", "2"}, "--logprobs: means nothing without --json"},
      {{"--deterministic"}, "--deterministic: means nothing without --load-state"},
      {{"--penalty-window", "8"},
       "means nothing without --repetition-penalty or --frequency-penalty or --presence-penalty"},
      {{"--model", ""}, "--model: '', wanted a folder, a GGUF file, or a name as on the Hub"},
      {{"--prompt"}, "--prompt"},
  };
  for (const auto& [options, sentence] : cases) {
    Words args = options;
    args.insert(args.begin(), "generate");
    const Finished f = run_limited(args);
    EXPECT_EQ(f.exit_code, 2) << sentence;
    EXPECT_EQ(f.out, "") << sentence;
    EXPECT_THAT(f.err, MatchesRegex("hearth: .* See hearth generate --help\\.\n")) << sentence;
    EXPECT_THAT(f.err, HasSubstr(sentence));
  }
}

TEST(cli_generate, bad_settings_of_the_environment_are_named) {
  for (const std::string bad : {"many", "0", "-1", "2x", "99999999999"}) {
    const Finished f = run_hearth({"generate"}, "", {"HEARTH_THREADS=" + bad});
    EXPECT_EQ(f.exit_code, 2);
    EXPECT_THAT(f.err,
                HasSubstr("HEARTH_THREADS: '" + bad + "', wanted a whole number from 1 to "));
  }
  const Finished f = run_hearth({"generate"}, "", {"HEARTH_ISA=mmx"});
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_THAT(f.err, HasSubstr("HEARTH_ISA: 'mmx' is not one of portable, sse4"));
}

}  // namespace
}  // namespace hearth::testing
