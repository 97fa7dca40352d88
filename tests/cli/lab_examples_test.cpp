// The example reports in docs/, and their pictures, are those that this program makes.
#include <gmock/gmock.h>

#include "tests/cli/cli.h"
#include "tests/lab/fakes.h"

namespace hearth::testing {
namespace {

using ::testing::HasSubstr;

TEST(LabExamples, AreWhatTheProgramMakes) {
  HEARTH_PYTHON_OR_SKIP();
  const Finished f =
      run({"python3", source_path("tools/lab_examples.py"), hearth_binary(), "--check"});
  EXPECT_EQ(f.exit_code, 0) << f.err;
}

TEST(LabExamples, OneThatIsOldIsFound) {
  HEARTH_PYTHON_OR_SKIP();
  TempFolder folder;
  namespace fs = std::filesystem;
  for (const char* part : {"tools", "docs", "tests/lab/data"}) {
    fs::create_directories(folder.path() / part);
    for (const auto& entry : fs::directory_iterator(source_path(part)))
      if (const std::string name = entry.path().filename();
          name.starts_with("lab_") || std::string_view(part).starts_with("tests"))
        fs::copy(entry.path(), folder.path() / part / name);
  }
  const std::string page = folder / "docs/lab_report_post.html";
  folder.write("docs/lab_report_post.html", content_of(page) + "\n");
  fs::copy(folder.path() / "docs/lab_report_post_phone.png",
           folder.path() / "docs/lab_report_peers_phone.png", fs::copy_options::overwrite_existing);
  const Finished f = run({"python3", folder / "tools/lab_examples.py", hearth_binary(), "--check"});
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_THAT(f.err, HasSubstr("lab_report_post.html is not what the program makes"));
  EXPECT_THAT(f.err, HasSubstr("lab_report_peers_phone.png is of another page"));
}

}  // namespace
}  // namespace hearth::testing
