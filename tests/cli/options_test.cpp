// Every number that any command takes: what is none, or is beyond its type or its range, is an
// error that names the option, what it got and what it wanted.
#include <regex>
#include <set>

#include "hearth/base/system.h"
#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

/// The commands that the help lists, each as the words that name it.
void collect_commands(const Words& path, std::vector<Words>& all) {
  all.push_back(path);
  Words help = path;
  help.insert(help.begin(), "help");
  std::istringstream lines(run_hearth(help, "", {"COLUMNS=200"}).out);
  bool subcommands = false;
  for (std::string line; std::getline(lines, line);) {
    std::smatch name;
    if (line == "Subcommands:") subcommands = true;
    if (subcommands && std::regex_search(line, name, std::regex("^  ([a-z]+)"))) {
      Words sub = path;
      sub.push_back(name[1]);
      collect_commands(sub, all);
    }
  }
}
std::vector<Words> all_commands() {
  std::vector<Words> all;
  collect_commands({}, all);
  return all;
}

TEST(cli_options, numbers_that_are_none_or_beyond_their_type) {
  int options = 0;
  for (const Words& command : all_commands()) {
    Words help = command;
    help.push_back("--help");
    const std::string text = run_hearth(help, "", {"COLUMNS=200"}).out;
    const std::regex number("(--[a-z-]+) N[= \n]");
    for (std::sregex_iterator at(text.begin(), text.end(), number), end; at != end; ++at) {
      const std::string option = (*at)[1];
      // Lists of numbers have a grammar of their own.
      if (command == Words{"lab", "run"} &&
          std::set<std::string>{"--prompt-tokens", "--tokens", "--batch"}.contains(option))
        continue;
      ++options;
      for (const std::string bad : {"nan", "inf", "-inf", "1e400", "-1e400", "1x", "0x10", "",
                                    "1 2", "99999999999999999999999999999999999999999999999999"}) {
        Words args = command;
        args.insert(args.end(), {option, bad});
        const Finished f = run_hearth(args);
        EXPECT_EQ(f.exit_code, 2) << option << " " << bad;
        EXPECT_EQ(f.out, "");
        EXPECT_THAT(f.err, AllOf(HasSubstr("hearth: " + option + ": '" + bad + "', wanted a "),
                                 HasSubstr("See hearth ")));
      }
    }
  }
  EXPECT_GE(options, 25);
}

TEST(cli_options, numbers_at_the_edges_of_their_types) {
  const auto said = [](Words args) {
    const Finished f = run_hearth(args);
    EXPECT_EQ(f.exit_code, 2);
    return f.err;
  };
  EXPECT_THAT(said({"generate", "--seed", "18446744073709551616"}),
              HasSubstr("--seed: '18446744073709551616', wanted a whole number from 0 to "
                        "18446744073709551615"));
  EXPECT_THAT(said({"generate", "--seed", "-1"}), HasSubstr("--seed: '-1', wanted a whole number"));
  EXPECT_THAT(said({"generate", "-n", "2147483648"}), HasSubstr("from 1 to 2147483647"));
  EXPECT_THAT(said({"lab", "run", "--timeout", "nan"}),
              HasSubstr("--timeout: 'nan', wanted a number from 0.1 to 86400"));
  EXPECT_EQ(run_hearth({"generate", "-n", "1", "--seed", "18446744073709551615"}).exit_code, 0);
  EXPECT_EQ(run_hearth({"generate", "-n", "+1", "--temp", "1e-38", "-s", "0"}).exit_code, 0);
  // The largest seed is not taken for another one.
  const auto drawn = [](const char* seed) {
    return json_of({"generate", "-n", "24", "--temp", "2", "--seed", seed})["ids"];
  };
  EXPECT_NE(drawn("18446744073709551615"), drawn("9223372036854775807"));
}

TEST(cli_options, numbers_within_texts) {
  for (const std::string bad : {"nan", "0%", "100%", "-1%", "1e400%", "3%%", "", "%", "3 %"}) {
    const Finished f = run_hearth({"lab", "run", "--target-ci", bad, "-o", "/no/such/folder/r"});
    EXPECT_NE(f.exit_code, 0) << bad;
    if (bad.empty()) continue;
    EXPECT_THAT(f.err, HasSubstr("--target-ci: '" + bad + "', wanted a share above 0")) << bad;
  }
  for (const std::string bad :
       {"nans", "infs", "0s", "1e400s", "5", "5m", "s", "ms", "-1s", "1x"}) {
    const Finished f = run_hearth({"lab", "run", "--telemetry", bad});
    EXPECT_EQ(f.exit_code, 2) << bad;
    EXPECT_THAT(f.err, HasSubstr("--telemetry: '" + bad + "', wanted e.g. 100ms"));
  }
  for (const std::string bad : {"0", "-1", "1.5", "nan", "99999999999", "1-", "1+2", "x"}) {
    const Finished f = run_hearth({"lab", "run", "--tokens", bad, "-o", "/tmp/no/such/folder/r"});
    EXPECT_NE(f.exit_code, 0) << bad;
  }
  for (const std::string bad :
       {"1x,2", "1,2x", "1,,2", ",", "1;2", "0x1", "1.0", "-1", "2147483648"}) {
    const Finished f = run_hearth({"generate", "--ids", bad});
    EXPECT_EQ(f.exit_code, 2) << bad;
    EXPECT_THAT(f.err, HasSubstr("is not a token id; wanted e.g. 1,2,3")) << bad;
  }
  EXPECT_EQ(run_hearth({"generate", "-n", "1", "--ids", "1, 2,3"}).exit_code, 0);
}

TEST(cli_options, no_more_threads_than_processors) {
  const int there = usable_processors();
  const std::string most = std::to_string(there), more = std::to_string(there + 1);
  for (const char* command : {"generate", "bench", "probe", "perplexity", "logits"})
    for (const std::string& n : {more, std::string("4096"), std::string("2147483647")}) {
      const Finished f = run_hearth({command, "--threads", n});
      EXPECT_EQ(f.exit_code, 2) << command;
      EXPECT_THAT(f.err, HasSubstr("--threads: '" + n + "', wanted a whole number from 1 to " +
                                   most + ", the processors"));
    }
  const Finished f = run_hearth({"info"}, "", {"HEARTH_THREADS=" + more});
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_THAT(f.err, HasSubstr("HEARTH_THREADS: '" + more + "', wanted a whole number from 1 to " +
                               most + ", the processors"));
  EXPECT_EQ(run_hearth({"generate", "-n", "1", "-t", most}).exit_code, 0);
  if (run({"taskset", "-c", "0", "true"}).exit_code != 0) return;
  const Finished one = run({"taskset", "-c", "0", hearth_binary(), "generate", "-t", "2"});
  EXPECT_EQ(one.exit_code, 2);
  EXPECT_THAT(one.err, HasSubstr("from 1 to 1, the processors"));
}

TEST(cli_options, an_empty_variable_is_one_that_is_not_set) {
  const std::string usual = run_hearth({"generate", "-n", "4"}).out;
  for (const char* name :
       {"HEARTH_THREADS", "HEARTH_ISA", "HEARTH_DEVICE", "HEARTH_STRICT_DEVICE", "HEARTH_TF32",
        "HEARTH_CUBLASLT", "HEARTH_PYTHON", "NO_COLOR", "TERM", "COLUMNS", "HF_HOME",
        "HF_HUB_CACHE", "XDG_CACHE_HOME", "XDG_DATA_HOME"}) {
    const Finished f = run_hearth({"generate", "-n", "4"}, "", {std::string(name) + "="});
    EXPECT_EQ(f.exit_code, 0) << name << f.err;
    EXPECT_EQ(f.out, usual) << name;
  }
}

TEST(cli_options, the_short_names_are_those_of_llama_cpp) {
  const std::string model = source_path("models/tiny-phi").string();
  EXPECT_EQ(run_hearth({"generate", "-m", model, "-p", "The cat", "-n", "6", "-t", "1", "-s", "7",
                        "--temp", "1"})
                .out,
            run_hearth({"generate", "--model", model, "--prompt", "The cat", "--max-tokens", "6",
                        "--threads", "1", "--seed", "7", "--temp", "1"})
                .out);
  const auto bench = json_of({"bench", "-m", model, "-p", "3", "-n", "2", "-t", "1", "-r", "1"});
  EXPECT_EQ(bench["prefill"]["tokens"], 3);
  EXPECT_EQ(bench["decode"]["tokens"], 2);
  EXPECT_EQ(bench["threads"], 1);
  // The same letter is the same thing wherever it is.
  std::map<std::string, std::set<std::string>> names;
  for (const Words& command : all_commands()) {
    Words help = command;
    help.push_back("--help");
    const std::string text = run_hearth(help, "", {"COLUMNS=200"}).out;
    const std::regex both("-([a-zA-Z]),(--[a-z-]+)");
    for (std::sregex_iterator at(text.begin(), text.end(), both), end; at != end; ++at)
      names[(*at)[1]].insert((*at)[2]);
  }
  EXPECT_EQ(names["m"], std::set<std::string>{"--model"});
  EXPECT_EQ(names["t"], std::set<std::string>{"--threads"});
  EXPECT_EQ(names["s"], std::set<std::string>{"--seed"});
  EXPECT_EQ(names["p"], (std::set<std::string>{"--prompt", "--prefill", "--prompt-tokens"}));
  EXPECT_EQ(names["n"], (std::set<std::string>{"--max-tokens", "--decode", "--tokens"}));
}

TEST(cli_options, help_and_version_are_commands_too) {
  const std::string version = run_hearth({"--version"}).out;
  EXPECT_THAT(version, MatchesRegex("hearth [0-9.]+\n"));
  EXPECT_EQ(run_hearth({"-V"}).out, version);
  EXPECT_EQ(run_hearth({"version"}).out, version);
  EXPECT_EQ(run_hearth({"help"}).out, run_hearth({"--help"}).out);
  for (Words command : all_commands()) {
    Words help = command;
    help.insert(help.begin(), "help");
    command.push_back("--help");
    const Finished f = run_hearth(command);
    EXPECT_EQ(f.exit_code, 0);
    EXPECT_EQ(run_hearth(help).out, f.out);
    EXPECT_THAT(f.out, HasSubstr("Usage: hearth"));
  }
  const Finished f = run_hearth({"help", "generat"});
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_THAT(f.err, HasSubstr("there is no command 'generat', did you mean 'generate'?"));
  EXPECT_EQ(run_hearth({"help", "generate", "x"}).exit_code, 2);
}

}  // namespace
}  // namespace hearth::testing
