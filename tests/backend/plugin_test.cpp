// Libraries of backends: one of another hearth is refused by name, before anything of it runs.
#include "hearth/backend/plugin.h"

#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// What `hearth info` says of cuda when `plugin` lies beside libhearth as its library.
class Plugin : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto program = std::filesystem::canonical(hearth_binary()).parent_path();
    for (const char* place : {"libhearth.so.0", "../lib/libhearth.so.0"})
      if (std::filesystem::exists(program / place)) ours_ = program / place;
    ASSERT_FALSE(ours_.empty()) << "no libhearth.so.0 beside " << program;
    ASSERT_TRUE(std::filesystem::exists(fake_library("plugin")));
  }
  std::string info(const std::filesystem::path& plugin, const std::string& which = "") {
    const TempFolder folder;
    std::filesystem::create_symlink(ours_, folder / "libhearth.so.0");
    std::filesystem::create_symlink(plugin, folder / "libhearth-cuda.so");
    const Finished f = run_hearth({"info"}, "",
                                  {"LD_PRELOAD=" + (folder / "libhearth.so.0").string(),
                                   "HEARTH_DEVICE=", "FAKE_PLUGIN=" + which});
    EXPECT_EQ(f.exit_code, 0) << f.err;
    EXPECT_THAT(f.out, HasSubstr("device   cpu: "));
    return f.out;
  }

 private:
  std::filesystem::path ours_;
};

TEST_F(Plugin, OfThisHearthIsOpened) {
  EXPECT_THAT(info(fake_library("plugin"), "ours"),
              HasSubstr("no cuda  the made-up plug-in was opened\n"));
}

TEST_F(Plugin, OfAnotherHearthIsRefusedWithBothNumbers) {
  const std::string said = info(fake_library("plugin"), "another");
  EXPECT_THAT(said, HasSubstr(concat("no cuda  libhearth-cuda.so is of another version of hearth: "
                                     "its interface is ",
                                     kAbi + 1, ", wanted ", kAbi, "; build both from one source")));
  EXPECT_THAT(said, Not(HasSubstr("was opened")));
}

TEST_F(Plugin, WithoutANumberIsRefused) {
  EXPECT_THAT(info(fake_library("nvml")),
              HasSubstr(concat("its interface is unknown, wanted ", kAbi)));
}

TEST_F(Plugin, ThatIsNoLibraryIsNamedWithTheReason) {
  const TempFolder folder;
  EXPECT_THAT(info(folder.write("text", "no library")), HasSubstr("no cuda  libhearth-cuda.so: "));
}

}  // namespace
}  // namespace hearth::testing
