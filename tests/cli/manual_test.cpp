// Completions and the manual page: each has every command and every option that the help has.
#include <regex>

#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

Words words_of(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

/// What bash offers after these words, the last of which is being typed.
Words offered(const Words& typed) {
  std::string script = run_hearth({"completions", "bash"}).out + "COMP_WORDS=(";
  for (const std::string& word : typed) script += "'" + word + "' ";
  script += concat(")\nCOMP_CWORD=", typed.size() - 1, "\n_hearth; echo \"${COMPREPLY[@]}\"\n");
  const Finished f = run({"bash", "-c", script});
  EXPECT_EQ(f.exit_code, 0) << f.err;
  EXPECT_EQ(f.err, "");
  return words_of(f.out);
}

TEST(cli_manual, bash_completes_commands_options_and_values) {
  EXPECT_THAT(offered({"hearth", ""}),
              AllOf(Contains("generate"), Contains("lab"), Contains("help"), Contains("--version"),
                    Not(Contains("completions")), Not(Contains("man"))));
  EXPECT_EQ(offered({"hearth", "ge"}), Words{"generate"});
  EXPECT_THAT(offered({"hearth", "lab", "r"}), Words({"run", "report"}));
  EXPECT_THAT(offered({"hearth", "generate", "--"}),
              AllOf(Contains("--prompt"), Contains("--max-tokens"), Contains("--help")));
  EXPECT_THAT(offered({"hearth", "lab", "run", "-"}), AllOf(Contains("--pairs"), Contains("-m")));
  EXPECT_EQ(offered({"hearth", "lab", "run", "--job", ""}),
            Words({"generate", "prefill", "batch", "op", "command"}));
  EXPECT_EQ(offered({"hearth", "lab", "run", "--op", "ma"}), Words({"matmul", "matvec"}));
  EXPECT_EQ(offered({"hearth", "generate", "--prompt", "--"}), Words());  // any text: none of ours
  // The text of another option is no command.
  EXPECT_THAT(offered({"hearth", "generate", "--prompt", "lab", "--te"}), Words{"--temp"});
}

TEST(cli_manual, nothing_of_the_help_is_missing) {
  std::map<std::string, std::string> made;
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Finished f = run_hearth({"completions", shell});
    EXPECT_EQ(f.exit_code, 0);
    made[shell] = f.out;
  }
  made["man"] = std::regex_replace(run_hearth({"man"}).out, std::regex("\\\\-"), "-");
  int options = 0;
  for (const Words& command :
       {Words{"generate"}, Words{"bench"}, Words{"lab"}, Words{"lab", "run"}, Words{"init"}}) {
    Words help = command;
    help.push_back("--help");
    const std::string text = run_hearth(help, "", {"COLUMNS=200"}).out;
    const std::regex name("\n  (?:-[a-zA-Z],)?--([a-z-]+)");
    for (std::sregex_iterator at(text.begin(), text.end(), name), end; at != end; ++at) {
      const std::string option = (*at)[1];
      ++options;
      for (const char* kind : {"bash", "zsh", "man"})
        EXPECT_THAT(made[kind], HasSubstr("--" + option)) << kind;
      EXPECT_THAT(made["fish"], HasSubstr(" -l " + option + " "));
    }
    for (const auto& [kind, script] : made) {
      std::string path = "hearth";
      for (const std::string& word : command) path += " " + word;
      EXPECT_THAT(script, HasSubstr(path)) << kind;
    }
  }
  EXPECT_GT(options, 45);
}

TEST(cli_manual, shells_and_man_accept_what_is_made) {
  const TempFolder folder;
  const std::pair<const char*, Words> programs[] = {
      {"bash", {"bash", "-n"}},
      {"zsh", {"zsh", "-n"}},
      {"fish", {"fish", "--no-execute"}},
      {"man", {"groff", "-man", "-Tascii", "-ww", "-z"}},
  };
  int tried = 0;
  for (auto [kind, program] : programs) {
    if (run({"sh", "-c", concat("command -v ", program[0])}).exit_code != 0) continue;
    const std::string text =
        run_hearth(kind == std::string("man") ? Words{"man"} : Words{"completions", kind}).out;
    program.push_back(folder.write(kind, text).string());
    const Finished f = run(program);
    EXPECT_EQ(f.exit_code, 0) << kind;
    EXPECT_EQ(f.err, "") << kind;
    ++tried;
  }
  EXPECT_GE(tried, 1);
  if (run({"sh", "-c", "command -v fish"}).exit_code == 0) {
    const auto offers = [&](const std::string& typed) {
      return run({"fish", "--no-config", "-c",
                  "source " + (folder / "fish").string() + "; complete -C '" + typed + "'"})
          .out;
    };
    EXPECT_THAT(offers("hearth ge"), HasSubstr("generate\tContinue a text"));
    EXPECT_THAT(offers("hearth lab run --job "), HasSubstr("prefill"));
    EXPECT_THAT(offers("hearth lab run --pai"), HasSubstr("--pairs"));
  }
  EXPECT_EQ(run_hearth({"completions", "tcsh"}).exit_code, 2);
  EXPECT_EQ(run_hearth({"completions"}).exit_code, 2);
}

TEST(cli_manual, the_page_tells_the_exit_codes_and_escapes_what_roff_reads) {
  const std::string page = run_hearth({"man"}).out;
  EXPECT_THAT(page, ::testing::StartsWith(".TH HEARTH 1"));
  for (const char* part : {".SH NAME", ".SH SYNOPSIS", ".SH COMMANDS", ".SS hearth generate",
                           ".SS hearth lab run", ".SH EXIT STATUS", "\n130\n"})
    EXPECT_THAT(page, HasSubstr(part));
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_FALSE(line.starts_with("'")) << line;
    const bool request = line.starts_with('.');
    EXPECT_TRUE(!request || std::regex_search(line, std::regex("^\\.(TH|SH|SS|TP)"))) << line;
  }
}

}  // namespace
}  // namespace hearth::testing
