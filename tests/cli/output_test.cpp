// What hearth does when nobody can read what it says: standard streams that are full, closed or
// broken, in every command.
#include <chrono>
#include <csignal>

#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using ::testing::HasSubstr;

/// hearth with its streams redirected as bash writes it: "2>&-".
Finished redirected(const std::string& how, Words args, const std::string& input = "") {
  const Words bash = {"bash", "-c", "\"$@\" " + how, "bash", hearth_binary()};
  args.insert(args.begin(), bash.begin(), bash.end());
  return run(args, input);
}

struct Case {
  Words args;
  int exit_code;
};

/// Commands that succeed, fail, and are asked wrongly. `out` is a file that they may write.
std::vector<Case> cases(const TempFolder& folder) {
  const std::string story = folder.write("story", "Once upon a time there was a cat.").string();
  const std::string out = folder / "out";
  std::filesystem::remove_all(out);
  return {
      {{"generate", "-n", "2"}, 0},
      {{"generate", "-n", "2", "--stats", "--json"}, 0},
      {{"generate", "-n", "2", "--model", "/no/such/model"}, 1},
      {{"generate", "--temp", "warm"}, 2},
      {{"bench", "-p", "2", "-n", "2", "-r", "1"}, 0},
      {{"perplexity", "--file", story}, 0},
      {{"tokenize"}, 0},
      {{"tokenize", "--decode", "--model", "/no/such/model"}, 1},
      {{"logits", "--ids", "1,2", "--out", out + ".npy"}, 0},
      {{"init", "--random-weights", "--config", source_path("tests/data/models/phi"), "-o", out},
       0},
      {{"info"}, 0},
      {{"help", "lab", "run"}, 0},
      {{"nothing"}, 2},
      {{"lab", "schema"}, 0},
      {{"lab", "telemetry", "--seconds", "0.4", "--period", "0.05"}, 0},
      {{"lab", "compare", "/no/such/result"}, 1},
      {{"lab", "run", "--pairs", "x"}, 2},
  };
}

TEST(cli_output, stderr_that_is_closed_full_or_broken_changes_nothing) {
  const TempFolder folder;
  // A pipe that nobody reads: opened for both ends, then for one.
  const std::string pipe = folder / "pipe";
  for (const std::string& how : {std::string("2>&-"), std::string("2>/dev/full"),
                                 "3<>" + pipe + " 4>" + pipe + " 2>&4 3>&- 4>&-"}) {
    std::filesystem::remove(pipe);
    ASSERT_EQ(run({"mkfifo", pipe}).exit_code, 0);
    for (const Case& c : cases(folder)) {
      const std::string name = how + " " + c.args[0] + " " + (c.args.size() > 1 ? c.args[1] : "");
      EXPECT_EQ(redirected(how, c.args, "The cat").exit_code, c.exit_code) << name;
    }
  }
}

TEST(cli_output, lab_run_keeps_its_result_whatever_happens_to_stderr) {
  const TempFolder folder;
  const std::string out = folder / "r.json";
  for (const char* how : {"2>&-", "2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-"}) {
    const Finished f =
        redirected(how, {"lab",         "run",       "--engines",   "hearth",   "--no-limits",
                         "--job",       "op",        "--shape",     "8x8x8",    "--pairs",
                         "1",           "--seconds", "0",           "--warmup", "0",
                         "--telemetry", "off",       "--overwrite", "-o",       out});
    EXPECT_EQ(f.exit_code, std::string(how).find(">&- 2") == std::string::npos ? 0 : 1) << how;
    EXPECT_TRUE(nlohmann::json::parse(content_of(out), nullptr, false).is_object()) << how;
    std::filesystem::remove(out);
  }
}

TEST(cli_output, stdout_that_is_full_or_closed_is_a_sentence_and_exit_1) {
  const TempFolder folder;
  for (const auto& [how, why] : {std::pair{">/dev/full", "No space left on device"},
                                 std::pair{">&-", "standard output is closed"}}) {
    const std::string sentence = concat("hearth: cannot write the output: ", why, "\n");
    for (const Case& c : cases(folder)) {
      const Finished f = redirected(how, c.args, "The cat");
      EXPECT_EQ(f.exit_code, std::max(c.exit_code, 1)) << how << c.args[0];
      EXPECT_EQ(f.err.ends_with(sentence), c.exit_code == 0) << c.args[0] << f.err;
    }
    for (const char* option : {"--help", "--version", "-V", "generate --help", ""}) {
      const Finished f = run({"bash", "-c", hearth_binary() + " " + option + " " + how});
      EXPECT_EQ(f.exit_code, 1) << option;
      EXPECT_EQ(f.err, sentence) << option;
    }
    const Finished silent = redirected(
        how, {"embed", "-m", source_path("models/tiny-phi"), "--npy", folder / "v", "The cat"});
    EXPECT_EQ(silent.exit_code, 0) << silent.err;
  }
}

// Whatever becomes of stdout, what was asked for besides is made, and whole.
TEST(cli_output, files_that_were_asked_for_are_written_though_nobody_reads) {
  const TempFolder folder;
  const auto state_of = [&](const std::string& how, const Words& args) {
    const std::string file = folder / "state";
    std::filesystem::remove(file);
    Words words = args;
    words.insert(words.end(), {"--save-state", file});
    redirected(how, words);
    return content_of(file);
  };
  for (const Words& args : {Words{"generate", "-p", "The cat", "-n", "40"},
                            Words{"generate", "-p", "The cat", "-n", "40", "--json"},
                            Words{"chat", "-p", "The cat", "-n", "40", "--temp", "0"}}) {
    const std::string whole = state_of(">/dev/null", args);
    EXPECT_GT(whole.size(), 10000u);
    for (const char* how : {"| head -c 1", "| true", ">&-", ">/dev/full"})
      EXPECT_EQ(state_of(how, args), whole) << args[0] << " " << how;
  }
  const std::string result = folder / "r.json", page = folder / "r.html";
  for (const char* how : {"| true", ">/dev/full"}) {
    redirected(how, {"lab",         "run",       "--engines",   "hearth",   "--no-limits",
                     "--job",       "op",        "--shape",     "8x8x8",    "--pairs",
                     "1",           "--seconds", "0",           "--warmup", "0",
                     "--telemetry", "off",       "--overwrite", "-o",       result});
    EXPECT_TRUE(std::filesystem::remove(result)) << how;
    EXPECT_TRUE(std::filesystem::remove(page)) << how;
  }
}

// What nobody reads is not computed on and on.
TEST(cli_output, nothing_is_generated_for_nobody) {
  const auto start = std::chrono::steady_clock::now();
  auto config = nlohmann::json::parse(content_of(source_path("models/tiny-phi/config.json")));
  config["max_position_embeddings"] = 1000000;
  const ModelFolder model({{"config.json", config.dump()}});
  for (const char* how : {"| head -c 1; exit ${PIPESTATUS[0]}", ">/dev/full"}) {
    const Finished f =
        redirected(how, {"generate", "-m", model.path(), "-n", "900000", "--ignore-eos"});
    EXPECT_THAT(f.exit_code, ::testing::AnyOf(1, 128 + SIGPIPE)) << how;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

// A limit of file sizes is an error like a full disk, and leaves nothing behind.
TEST(cli_output, a_file_that_may_not_grow_leaves_nothing) {
  const TempFolder folder;
  const std::string file = folder / "out";
  for (const Words& args : {Words{"logits", "--ids", "1,2,3", "--out", file},
                            Words{"generate", "-n", "9", "--save-state", file},
                            Words{"embed", "-m", source_path("models/tiny-phi"), "a", "b", "c", "d",
                                  "e", "f", "g", "h", "--npy", file}}) {
    Words words = {"bash", "-c", "ulimit -f 8; \"$@\" 2>&1 | cat; exit ${PIPESTATUS[0]}", "bash",
                   hearth_binary()};
    words.insert(words.end(), args.begin(), args.end());
    const Finished f = run(words);
    EXPECT_EQ(f.exit_code, 1) << args[0];
    EXPECT_THAT(f.out, HasSubstr(file + ": cannot be written: File too large")) << args[0];
    EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << args[0];
  }
}

TEST(cli_output, stdout_that_nobody_reads_ends_it_quietly) {
  const TempFolder folder;
  for (const Case& c : cases(folder)) {
    if (c.exit_code != 0) continue;
    const Finished head = redirected("| head -c 1; exit ${PIPESTATUS[0]}", c.args, "The cat");
    EXPECT_THAT(head.exit_code, ::testing::AnyOf(0, 128 + SIGPIPE)) << c.args[0];
    EXPECT_THAT(head.err, ::testing::Not(HasSubstr("hearth:"))) << c.args[0];
  }
}

// A closed stream's number would be given to the next file, and what is printed written into it.
TEST(cli_output, no_file_takes_the_place_of_a_closed_stream) {
  const TempFolder folder;
  const auto write = [&](const std::string& how, const std::string& name) {
    const std::string out = folder / name;
    const bool closed = how.find(">&-") == 0 || how.find(" >&-") != how.npos;
    EXPECT_EQ(redirected(how, {"logits", "--ids", "1,2,3", "--out", out}).exit_code, closed) << how;
    return content_of(out);
  };
  const std::string usual = write("", "a.npy");
  int n = 0;
  for (const char* how : {"<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"})
    EXPECT_EQ(write(how, concat(n++, ".npy")), usual) << how;
}

TEST(cli_output, a_stream_that_does_not_block_is_waited_for) {
  // The reader sleeps until the pipe is full; Python makes its end one that does not block.
  if (run({"python3", "-c", ""}).exit_code != 0) GTEST_SKIP() << "no python3";
  const Finished f = run({"bash", "-c",
                          "python3 -c 'import fcntl,os; "
                          "fcntl.fcntl(1, fcntl.F_SETFL, os.O_NONBLOCK); "
                          "os.execv(\"" +
                              hearth_binary() +
                              "\", [\"hearth\", \"lab\", \"schema\"])' "
                              "| (sleep 0.5; cat) | wc -c; exit ${PIPESTATUS[0]}"});
  EXPECT_EQ(f.exit_code, 0) << f.err;
  EXPECT_EQ(std::stoul(f.out), run_hearth({"lab", "schema"}).out.size());
}

TEST(cli_output, colours_and_rewritten_lines_are_for_terminals_that_have_them) {
  if (run({"script", "--version"}).exit_code != 0) GTEST_SKIP() << "no script(1) for a terminal";
  const auto on_terminal = [](const std::string& environment, const std::string& command) {
    return run({"script", "-qec", environment + " " + hearth_binary() + " " + command, "/dev/null"})
        .out;
  };
  EXPECT_THAT(on_terminal("TERM=xterm NO_COLOR=", "nothing"), HasSubstr("\x1b[31mhearth:"));
  EXPECT_THAT(on_terminal("TERM=xterm NO_COLOR=1", "nothing"), ::testing::Not(HasSubstr("\x1b")));
  EXPECT_THAT(on_terminal("TERM=dumb", "nothing"), ::testing::Not(HasSubstr("\x1b")));
  EXPECT_THAT(on_terminal("TERM=dumb", "nothing"), HasSubstr("hearth: there is no command"));
}

TEST(cli_output, help_and_bars_are_as_wide_as_the_terminal) {
  const auto longest = [](const std::string& text) {
    size_t most = 0, start = 0;
    for (size_t at = 0; at <= text.size(); ++at)
      if (at == text.size() || text[at] == '\n') most = std::max(most, at - start), start = at + 1;
    return most;
  };
  for (const Words& what :
       {Words{"--help"}, Words{"help", "generate"}, Words{"help", "lab", "run"}}) {
    size_t before = 0;
    for (int columns : {60, 80, 120}) {
      const std::string text = run_hearth(what, "", {concat("COLUMNS=", columns)}).out;
      EXPECT_LE(longest(text), size_t(columns)) << text;
      EXPECT_GT(longest(text), before) << columns;
      before = longest(text);
    }
    EXPECT_EQ(run_hearth(what, "", {"COLUMNS="}).out, run_hearth(what, "", {"COLUMNS=80"}).out);
  }
  if (run({"script", "--version"}).exit_code != 0) return;
  const std::string story = source_path("tests/data/llm/story.txt").string();
  for (int columns : {30, 50, 80}) {
    const Finished f = run({"script", "-qec",
                            concat("stty cols ", columns, "; exec ", hearth_binary(),
                                   " perplexity -f ", story, " 2>&1 >/dev/null"),
                            "/dev/null"},
                           "", {"TERM=xterm", "COLUMNS="});
    EXPECT_THAT(f.out, HasSubstr("1190 of 1190 tokens")) << columns;
    std::istringstream lines(f.out);
    for (std::string line; std::getline(lines, line, '\r');)
      EXPECT_LE(line.size(), size_t(columns)) << line;
  }
}

// Names of files are bytes; JSON is UTF-8.
TEST(cli_output, json_of_files_whose_names_are_not_utf8) {
  const TempFolder folder;
  const std::string model = folder / "caf\xe9", out = folder / "new\xff";
  std::filesystem::create_directory_symlink(source_path("models/tiny-phi"), model);
  const std::string story = source_path("tests/data/llm/story.txt").string();
  for (const Words& args : {Words{"generate", "-n", "1"},
                            {"bench", "-p", "2", "-n", "2", "-r", "1"},
                            {"perplexity", "-f", story, "--window", "64"},
                            {"perplexity", "-f", story, "--kl-divergence-base", out + ".base"},
                            {"imatrix", "-f", story, "-o", out + ".imatrix"},
                            {"quantize", "--to", "q8_0", "-o", out + ".gguf"},
                            {"info"}}) {
    SCOPED_TRACE(args[0]);
    Words all = args;
    all.insert(all.end(), {"--model", model});
    EXPECT_FALSE(json_of(all).empty());
  }
}

}  // namespace
}  // namespace hearth::testing
