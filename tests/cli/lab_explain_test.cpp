// hearth lab explain and report, run as a user would.
#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using ::testing::HasSubstr;

const std::string kPost = "tests/lab/data/post_2023.json";

TEST(LabExplain, ThePostInOneScreen) {
  const Finished f = run_hearth({"lab", "explain", source_path(kPost.c_str())});
  EXPECT_EQ(f.exit_code, 0) << f.err;
  EXPECT_THAT(f.out, HasSubstr("2.64 times"));
  EXPECT_THAT(f.out, HasSubstr("2.75 times per new token"));
  EXPECT_THAT(f.out, HasSubstr("Comparable: NO"));
  EXPECT_THAT(f.out, HasSubstr("not established"));
  const auto json = json_of({"lab", "explain", source_path(kPost.c_str())});
  EXPECT_NEAR(json["attribution"]["clock"]["value"], 1.124, 0.002);
  EXPECT_NEAR(json["attribution"]["cycles"]["value"], -0.102, 0.002);
  EXPECT_NEAR(json["attribution"]["utilisation"]["value"], -0.011, 0.002);
  EXPECT_EQ(json["comparable"], false);
}

TEST(LabExplain, SaysWhatIsAskedWrongly) {
  const std::string post = source_path(kPost.c_str());
  Finished f = run_hearth({"lab", "explain", post, "torch:mps", "nobody"});
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_THAT(f.err, HasSubstr("no engine 'nobody'"));
  EXPECT_EQ(run_hearth({"lab", "explain", post, "--job", "7"}).exit_code, 2);
  EXPECT_EQ(run_hearth({"lab", "explain", "/nowhere.json"}).exit_code, 1);
}

TEST(LabReport, WritesThePageAndTheCharts) {
  TempFolder folder;
  const std::string page = folder / "post.html", svg = folder / "charts";
  const Finished f =
      run_hearth({"lab", "report", source_path(kPost.c_str()), "-o", page, "--svg", svg});
  EXPECT_EQ(f.exit_code, 0) << f.err;
  EXPECT_THAT(f.out, HasSubstr(page));
  EXPECT_THAT(content_of(page), HasSubstr("</html>"));
  EXPECT_THAT(content_of(folder / "charts/time.svg"), HasSubstr("</svg>"));
}

TEST(LabReport, RefusesWhatIsNoResult) {
  TempFolder folder;
  const std::string post = content_of(source_path(kPost.c_str()));
  for (const std::string& text :
       {std::string(), std::string("garbage"), post.substr(0, post.size() / 2), std::string("[]"),
        "{\"schema_version\": 99" + post.substr(post.find(','))}) {
    const std::string file = folder.write("result.json", text);
    for (const char* command : {"report", "explain"}) {
      const Finished f = run_hearth({"lab", command, file});
      EXPECT_EQ(f.exit_code, 1) << text.substr(0, 60);
      EXPECT_THAT(f.err, HasSubstr("result.json"));
    }
    EXPECT_FALSE(std::filesystem::exists(folder / "result.html"));
  }
}

}  // namespace
}  // namespace hearth::testing
