// What README.md and docs/ show is true: programs are examples that are built, commands have these
// options, output is what comes.
#include <algorithm>
#include <cstring>
#include <regex>
#include <set>

#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

namespace fs = std::filesystem;

struct Block {
  std::string file, language, text;
};

std::vector<fs::path> documents() {
  std::vector<fs::path> all{source_path("README.md"), source_path("CONTRIBUTING.md")};
  for (const auto& entry : fs::directory_iterator(source_path("docs")))
    if (entry.path().extension() == ".md") all.push_back(entry.path());
  return all;
}

std::vector<Block> blocks() {
  std::vector<Block> all;
  for (const fs::path& file : documents()) {
    std::istringstream lines(content_of(file));
    bool inside = false;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("```")) {
        inside = !inside;
        if (inside) all.push_back({file.filename(), line.substr(3), ""});
      } else if (inside) {
        all.back().text += line + "\n";
      }
    }
  }
  return all;
}

/// All sources below a folder of the repository, one after another.
std::string sources(const char* folder) {
  std::string all;
  for (const auto& entry : fs::recursive_directory_iterator(source_path(folder)))
    if (const auto end = entry.path().extension(); end == ".cpp" || end == ".h" || end == ".inc")
      all += content_of(entry.path());
  return all;
}

std::string trimmed(const std::string& line) {
  const size_t first = line.find_first_not_of(" "), last = line.find_last_not_of(" ");
  return first == line.npos ? "" : line.substr(first, last - first + 1);
}

TEST(docs, programs_are_those_of_the_examples) {
  const std::string examples = sources("examples"), ours = sources("hearth");
  int programs = 0;
  for (const Block& block : blocks()) {
    if (block.language != "cpp") continue;
    ++programs;
    if (examples.find(block.text) != examples.npos) continue;
    // An excerpt, shortened with "...": each line stands in a source file.
    EXPECT_NE(block.text.find("..."), block.text.npos) << block.file << ":\n" << block.text;
    std::istringstream lines(block.text);
    for (std::string line; std::getline(lines, line);) {
      line = trimmed(line.substr(0, line.find("//")));
      if (line == "...") continue;
      EXPECT_NE(ours.find(line), ours.npos) << block.file << ": " << line;
    }
  }
  EXPECT_GE(programs, 4);
}

/// The options of a command, long and short.
std::set<std::string> options_of(Words command) {
  command.push_back("--help");
  const Finished f = run_hearth(command, "", {"COLUMNS=200"});
  EXPECT_EQ(f.exit_code, 0) << command[0];
  std::set<std::string> all;
  const std::regex name("(?:^|[ ,\n])(--?[a-zA-Z][a-z-]*)");
  for (std::sregex_iterator at(f.out.begin(), f.out.end(), name), end; at != end; ++at)
    all.insert((*at)[1]);
  return all;
}

/// The commands in a text, "hearth lab run -n 3", up to the end of a line or of a code span.
std::vector<Words> commands_in(const std::string& text) {
  std::vector<Words> all;
  const std::regex command("(?:^|[\n`$ ])(?:build/release/)?hearth ((?:lab )?[a-z]+)([^`\n#]*)");
  for (std::sregex_iterator at(text.begin(), text.end(), command), end; at != end; ++at) {
    Words words{(*at)[1]};
    // What stands in quotes is one word, whatever is in it.
    std::istringstream in(std::regex_replace((*at)[2].str(), std::regex("'[^']*'"), "TEXT"));
    for (std::string word; in >> word;) words.push_back(word);
    all.push_back(words);
  }
  return all;
}

TEST(docs, commands_have_these_options) {
  const std::set<std::string> commands = {
      "generate",      "bench",       "probe",        "info",        "tokenize",      "logits",
      "perplexity",    "init",        "pull",         "embed",       "models",        "help",
      "version",       "lab run",     "lab compare",  "lab explain", "lab intervene", "lab report",
      "lab telemetry", "lab engines", "lab selftest", "lab export",  "lab import",    "lab schema",
      "lab history",   "lab trend",   "chat",         "render"};
  std::map<std::string, std::set<std::string>> known;
  for (const std::string& command : commands) {
    std::istringstream in(command);
    known[command] = options_of({std::istream_iterator<std::string>(in), {}});
  }
  int seen = 0;
  for (const fs::path& file : documents())
    for (const Words& words : commands_in(content_of(file))) {
      if (!commands.contains(words[0])) continue;  // prose
      for (size_t i = 1; i < words.size(); ++i) {
        std::smatch option;
        const std::string word = words[i];
        if (!std::regex_match(word, option, std::regex("\\[*(--?[a-zA-Z][a-z-]*).*"))) continue;
        ++seen;
        EXPECT_TRUE(known[words[0]].contains(option[1]))
            << file.filename() << ": hearth " << words[0] << " has no " << option[1];
      }
    }
  EXPECT_GT(seen, 50);
  // And the manual names every option that there is, by its long name or its short one.
  const std::string manual =
      content_of(source_path("docs/cli.md")) + content_of(source_path("docs/lab.md"));
  const std::regex names("\n  (?:(-[a-zA-Z]),)?(--[a-z-]+)");
  for (const std::string& command : commands) {
    std::istringstream in("help " + command);
    const std::string help =
        run_hearth({std::istream_iterator<std::string>(in), {}}, "", {"COLUMNS=200"}).out;
    for (std::sregex_iterator at(help.begin(), help.end(), names), end; at != end; ++at) {
      const std::string brief = (*at)[1], name = (*at)[2];
      if (name == "--help") continue;
      EXPECT_TRUE(
          manual.find(name) != manual.npos ||
          (!brief.empty() && std::regex_search(manual, std::regex("[ `\\[]" + brief + "[ `]"))))
          << command << " " << name;
    }
  }
}

TEST(docs, what_the_readme_shows_is_what_comes) {
  for (const Block& block : blocks()) {
    if (!block.text.starts_with("$ build/release/hearth ")) continue;
    const size_t end = block.text.find('\n');
    const std::string command = block.text.substr(std::strlen("$ build/release/hearth "),
                                                  end - std::strlen("$ build/release/hearth "));
    const Finished f = run({"bash", "-c", hearth_binary() + " " + command});
    EXPECT_EQ(f.exit_code, 0);
    const auto words = [](std::string text) {  // lines are broken to fit
      std::replace(text.begin(), text.end(), '\n', ' ');
      return std::regex_replace(text, std::regex(" +"), " ");
    };
    EXPECT_EQ(words(f.out), words(block.text.substr(end + 1))) << block.file;
  }
}

// Those that take no minutes, no GPU and no other model.
TEST(docs, commands_of_the_readme_run) {
  int ran = 0;
  for (const Block& block : blocks()) {
    if (block.language != "sh") continue;
    std::istringstream lines(block.text);
    for (std::string line; std::getline(lines, line);) {
      line = trimmed(line.substr(0, line.find(" #")));
      const std::string program = "build/release/hearth ";
      if (!line.starts_with(program)) continue;
      const bool slow = std::regex_search(line, std::regex("phi-2|Qwen|gguf|cuda|probe|lab run"));
      if (slow) continue;
      const Finished f = run({"bash", "-c",
                              "cd " + source_dir().string() + " && " + hearth_binary() + " " +
                                  line.substr(program.size())});
      EXPECT_EQ(f.exit_code, 0) << line << f.err;
      EXPECT_FALSE(f.out.empty()) << line;
      ++ran;
    }
  }
  EXPECT_GE(ran, 3);
}

TEST(docs, the_smallest_engine_answers) {
  if (run({"python3", "-c", ""}).exit_code != 0) GTEST_SKIP() << "no python3";
  const TempFolder folder;
  int engines = 0;
  for (const Block& block : blocks()) {
    if (block.language != "python") continue;
    ++engines;
    const auto file =
        folder.write("engine.py", "def my_model(row, n):\n    return [7] * n\n" + block.text);
    const Finished f = run({"python3", file.string()},
                           R"({"id": 1, "do": "hello", "device": null, "options": {}})"
                           "\n"
                           R"({"id": 2, "do": "run", "prompts": [[1, 2]], "new_tokens": 3})"
                           "\n"
                           R"({"id": 3, "do": "bye"})"
                           "\n");
    EXPECT_EQ(f.exit_code, 0) << f.err;
    EXPECT_NE(f.out.find(R"({"id": 2, "done": {"ids": [[7, 7, 7]], "prompt_tokens": 2}})"),
              std::string::npos)
        << f.out;
  }
  EXPECT_EQ(engines, 1);
}

}  // namespace
}  // namespace hearth::testing
