// Names of others in all that hearth lab shows: nothing is obeyed, no line is forged, no table
// breaks, and no line is wider than the terminal.
#include <sstream>

#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/text.h"
#include "tests/cli/cli.h"
#include "tests/lab/results.h"

namespace hearth::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A forged line, a row of a table, a title of the terminal, C1's CSI, text turned round, elements.
const std::string kHostile =
    "x\nFORGED is 9 times faster\r| a | b |\x1b]0;title\x07\x1b[31m\xc2\x9b"
    "2J\xe2\x80\xae`rev` \\| <b>&amp;</b> $(reboot) [l](http://l) \"'";

lab::Result hostile() {
  lab::Result r = gpu_result({.active = 0.32, .clock_mhz = 1980});
  for (lab::EngineResult& e : r.engines) {
    e.label = kHostile + e.label;
    e.version = e.dtype = e.program = kHostile;
    e.notes = e.faults = {kHostile};
    e.options[kHostile] = kHostile;
  }
  r.engines[1].dtype = "f32";
  r.environment.push_back({kHostile, kHostile});
  r.environment.push_back({"os", lab::Reading<std::string>::missing(kHostile)});
  r.ceilings.push_back({kHostile, "cuda", kHostile, kHostile, 1.0});
  r.notes = {kHostile};
  r.jobs[0].model = r.jobs[0].prompt = kHostile;
  r.created = r.made_by = r.source = kHostile;
  return r;
}

/// The lines, without the blanks they begin with.
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    all.push_back(line.substr(std::min(line.size(), line.find_first_not_of(' '))));
  return all;
}

void expect_harmless(const std::string& text, const std::string& of) {
  EXPECT_EQ(text, lab::printable(text)) << of;
  for (const std::string& line : lines_of(text)) EXPECT_FALSE(line.starts_with("FORGED")) << of;
}

/// The cells of a row of Markdown, as GitHub splits it.
size_t cells_of(const std::string& row) {
  size_t bars = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    if (row[i] == '\\')
      ++i;
    else
      bars += row[i] == '|';
  }
  return bars;
}

TEST(LabHostile, NamesForgeNoLineAndAreNotObeyed) {
  TempFolder folder;
  const std::string file = folder / "r.json", db = folder / "h.db", md = folder / "summary.md";
  lab::write_result(hostile(), file);
  for (const Words& words :
       std::vector<Words>{{"compare", file},
                          {"explain", file},
                          {"explain", file, hostile().engines[0].label},
                          {"compare", file, "x", "y"},
                          {"export", file, "-f", "md"},
                          {"export", file, "-f", "hyperfine-md"},
                          {"report", file, "-o", folder / "r.html", "--svg", folder / "svg"},
                          {"history", "--add", file, "--file", db},
                          {"history", "--file", db},
                          {"trend", hostile().engines[0].label, "--file", db},
                          {"trend", "nobody", "--file", db},
                          {"compare", file, "--against", "history", "--file", db, "--summary", md},
                          {"intervene", file, "x"}}) {
    Words all = {"lab"};
    all.insert(all.end(), words.begin(), words.end());
    const Finished f = run_hearth(all);
    expect_harmless(f.out, words[0] + " " + words.back());
    expect_harmless(f.err, words[0] + ", the error");
    EXPECT_FALSE((f.out + f.err).empty()) << words[0];
  }
  EXPECT_EQ(run_hearth({"lab", "compare", file}).exit_code, 0);
  expect_harmless(content_of(md), "the summary");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path()))
    if (const std::string kind = entry.path().extension(); kind == ".html" || kind == ".svg")
      expect_harmless(content_of(entry.path()), entry.path());
}

TEST(LabHostile, AFailureOfARunIsOneLine) {
  TempFolder folder;
  const Finished f = run_hearth({"lab", "run", "--runs", "1", "--command",
                                 "exit 3 # \x1b[2J\nFORGED is faster", "-o", folder / "r.json"});
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_THAT(f.err, HasSubstr("exit 3 #  [2J FORGED is faster: ended with exit code 3"));
  expect_harmless(f.out + f.err, "a run that failed");
}

TEST(LabHostile, TablesOfMarkdownKeepTheirColumns) {
  TempFolder folder;
  const std::string file = folder / "r.json", db = folder / "h.db", md = folder / "summary.md";
  lab::write_result(hostile(), file);
  run_hearth({"lab", "history", "--add", file, "--file", db});
  run_hearth({"lab", "compare", file, "--against", "history", "--file", db, "--summary", md});
  for (const std::string& text :
       {run_hearth({"lab", "export", file, "-f", "md"}).out,
        run_hearth({"lab", "export", file, "-f", "hyperfine-md"}).out, content_of(md)}) {
    size_t rows = 0, columns = 0;
    for (const std::string& line : lines_of(text)) {
      if (!line.starts_with('|')) continue;
      if (rows++ == 0) columns = cells_of(line);
      EXPECT_EQ(cells_of(line), columns) << line;
    }
    EXPECT_EQ(rows, 4u) << text;
    EXPECT_THAT(text, Not(HasSubstr("<b>")));
  }
}

// What programs read has the names as they are, and a terminal that shows it obeys nothing.
TEST(LabHostile, OtherProgramsGetTheNamesAsTheyAre) {
  TempFolder folder;
  const std::string file = folder / "r.json", label = hostile().engines[0].label;
  lab::write_result(hostile(), file);
  const auto ascii = [](const std::string& text) {
    for (const char c : text) EXPECT_TRUE(c == '\n' || (c >= ' ' && c < 0x7f)) << text;
    return nlohmann::json::parse(text, nullptr, false);
  };
  const auto exported = [&](const Words& more) {
    Words all = {"lab", "export", file};
    all.insert(all.end(), more.begin(), more.end());
    const Finished f = run_hearth(all);
    EXPECT_EQ(f.exit_code, 0) << f.err;
    return f.out;
  };
  EXPECT_EQ(ascii(exported({"-f", "json"}))["engines"][0]["label"], label);
  EXPECT_EQ(ascii(exported({"-f", "hyperfine"}))["results"][0]["command"], label);
  const std::string line = exported({"-f", "jsonl", "--table", "engines"});
  EXPECT_EQ(ascii(line.substr(0, line.find('\n')))["engine"], label);
  for (const char* command : {"explain", "compare"})
    ascii(run_hearth({"lab", command, file, "--json"}).out);
  const std::string sql = exported({"-f", "sql"});
  EXPECT_THAT(sql, HasSubstr("'||char(27)||'[31m'||char(155)||'2J"));
  EXPECT_EQ(sql.find('\x1b'), sql.npos);
  for (const char* form : {"csv", "hyperfine-csv"}) {
    const std::string csv = exported({"-f", form});
    EXPECT_EQ(csv.find_first_of("\x1b\x07"), csv.npos);
    EXPECT_EQ(csv.find("\xc2\x9b"), csv.npos);
    EXPECT_THAT(csv, HasSubstr("\r\n\"x\nFORGED is 9 times faster\r| a | b | ]0;title  [31m 2J"));
  }
}

TEST(LabHostile, LabelsThatLookAlikeStayTwo) {
  lab::Result r = gpu_result({});
  r.engines[0].label = "a\nb", r.engines[1].label = "a\tb";
  TempFolder folder;
  lab::write_result(r, folder / "r.json");
  const Finished f = run_hearth({"lab", "compare", folder / "r.json"});
  EXPECT_EQ(f.exit_code, 0) << f.err;
  EXPECT_THAT(f.out, ::testing::StartsWith("a b is 2.00"));
  EXPECT_THAT(f.out, HasSubstr("than a b (2) per"));
}

/// All results that are stored, what is imported too, and one whose names are long.
std::vector<std::string> results_in(const TempFolder& folder) {
  std::vector<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator(source_path("tests/lab/data"))) {
    const std::string kind = entry.path().extension();
    if (kind != ".json" && kind != ".txt") continue;
    const std::string out = folder / (entry.path().stem().string() + ".out.json");
    const bool foreign =
        run_hearth({"lab", "import", entry.path().string(), "-o", out}).exit_code == 0;
    all.push_back(foreign ? out : entry.path().string());
  }
  lab::Result r = hostile();
  for (lab::EngineResult& e : r.engines) e.label += std::string(200, 'w');
  lab::write_result(r, folder / "long.json");
  all.push_back(folder / "long.json");
  return all;
}

TEST(LabWidth, NoLineIsWiderThanTheTerminal) {
  TempFolder folder;
  const auto all = results_in(folder);
  EXPECT_GE(all.size(), 10u);
  int shown = 0;
  for (const std::string& file : all)
    for (const char* command : {"explain", "compare"})
      for (const size_t columns : {80, 60}) {
        const Finished f = run_hearth({"lab", command, file}, "", {concat("COLUMNS=", columns)});
        shown += f.exit_code == 0;
        std::istringstream lines(f.out);
        for (std::string line; std::getline(lines, line);)
          EXPECT_LE(lab::columns_of(line), columns) << command << " " << file << ": " << line;
      }
  EXPECT_GE(shown, 32);
}

}  // namespace
}  // namespace hearth::testing
