#include "hearth/io/hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>

#include "tests/temp_folder.h"

namespace hearth {
namespace {

using ::testing::AllOf;
using testing::error_of;
using ::testing::HasSubstr;

/// Sets the variables that name the cache, and puts back what was there.
class Hub : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME",
                             "HOME", "HEARTH_TEST"}) {
      const char* value = std::getenv(name);
      before_[name] = value ? std::optional<std::string>(value) : std::nullopt;
      ::unsetenv(name);
    }
    set("HF_HUB_CACHE", folder_.path());
  }
  void TearDown() override {
    for (const auto& [name, value] : before_)
      value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
  }
  void set(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); }

  testing::TempFolder folder_;

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

TEST_F(Hub, TakesAFolderAsItStands) {
  folder_.write("my/config.json", "{}");
  EXPECT_EQ(find_model((folder_ / "my").string()), folder_ / "my");
  std::filesystem::create_directories(folder_ / "other");
  EXPECT_THAT(error_of([&] { find_model((folder_ / "other").string()); }),
              HasSubstr("not the folder of a model: it has no config.json"));
  EXPECT_THAT(error_of([&] { find_model((folder_ / "my/config.json").string()); }),
              HasSubstr("a file, wanted the folder of a model"));
}

TEST_F(Hub, FollowsTheRevisionToItsSnapshot) {
  folder_.write("models--microsoft--phi-2/snapshots/abc/config.json", "{}");
  folder_.write("models--microsoft--phi-2/snapshots/def/config.json", "{}");
  folder_.write("models--microsoft--phi-2/refs/main", "abc\n");
  folder_.write("models--microsoft--phi-2/refs/v1", "def");
  const auto snapshots = folder_ / "models--microsoft--phi-2/snapshots";
  EXPECT_EQ(find_model("microsoft/phi-2"), snapshots / "abc");
  EXPECT_EQ(find_model("microsoft/phi-2@v1"), snapshots / "def");
  EXPECT_EQ(find_model("microsoft/phi-2@def"), snapshots / "def");
  EXPECT_THAT(
      error_of([] { find_model("microsoft/phi-2@v9"); }),
      AllOf(HasSubstr("no whole snapshot of v9"), HasSubstr("hearth pull microsoft/phi-2@v9")));
}

TEST_F(Hub, FallsBackToTheNewestWholeSnapshot) {
  const auto old = folder_.write("models--gpt2/snapshots/old/config.json", "{}").parent_path();
  const auto recent = folder_.write("models--gpt2/snapshots/new/config.json", "{}").parent_path();
  std::filesystem::create_directories(folder_ / "models--gpt2/snapshots/partial");
  folder_.write("models--gpt2/refs/main", "gone");
  const auto now = std::filesystem::file_time_type::clock::now();
  std::filesystem::last_write_time(old, now - std::chrono::hours(2));
  std::filesystem::last_write_time(recent, now - std::chrono::hours(1));
  EXPECT_EQ(find_model("gpt2"), recent);
  std::filesystem::last_write_time(old, now);
  EXPECT_EQ(find_model("gpt2"), old);
}

TEST_F(Hub, SaysWhereItLookedAndHowToGetIt) {
  EXPECT_THAT(error_of([] { find_model("microsoft/phi-2"); }),
              AllOf(HasSubstr("microsoft/phi-2: no such folder"),
                    HasSubstr((folder_ / "models--microsoft--phi-2").string()),
                    HasSubstr("hearth pull microsoft/phi-2")));
  std::filesystem::create_directories(folder_ / "models--a--b/snapshots/c");
  EXPECT_THAT(error_of([] { find_model("a/b"); }), HasSubstr("no whole snapshot of main"));
}

TEST_F(Hub, RefusesNamesThatAreNone) {
  for (const char* name : {"/no/such/folder", "a/b/c", "../no-such-model", "a/..", "a b",
                           "a/b@../../x", "a/", "~/nothing"})
    EXPECT_THAT(error_of([&] { find_model(name); }), HasSubstr("not a name as on the Hub")) << name;
  EXPECT_THAT(error_of([] { find_model(""); }), HasSubstr("the name is empty"));
  // a revision file that points out of the snapshots is not followed
  folder_.write("models--a--b/refs/main", "../..");
  folder_.write("config.json", "{}");
  EXPECT_THROW(find_model("a/b"), std::runtime_error);
}

// As os.path.expandvars(os.path.expanduser(...)) does.
TEST_F(Hub, ExpandsVariablesInTheCachesName) {
  set("HOME", "/home/me");
  set("HEARTH_TEST", "x");
  for (const auto& [name, path] :
       {std::pair("~", "/home/me"), std::pair("~/a", "/home/me/a"),
        std::pair("~other/a", "~other/a"), std::pair("/a/~/b", "/a/~/b"),
        std::pair("$HOME/hub", "/home/me/hub"),
        std::pair("/a/${HEARTH_TEST}y/$HEARTH_TEST", "/a/xy/x"),
        std::pair("/$HEARTH_TESTY", "/$HEARTH_TESTY"),
        std::pair("/${HEARTH_TEST", "/${HEARTH_TEST"), std::pair("/$/$", "/$/$")}) {
    set("HF_HUB_CACHE", name);
    EXPECT_EQ(hub_cache(), path) << name;
  }
}

TEST_F(Hub, NeverAdvisesToFetchWhatMightBeRefused) {
  for (const char* name : {"meta-llama/Llama-3.2-1B", "microsoft/phi-2@v9"})
    EXPECT_THAT(error_of([&] { find_model(name); }),
                AllOf(HasSubstr(" --include config.json && hearth info "),
                      HasSubstr(std::string("; then hearth pull ") + name)))
        << name;
}

TEST_F(Hub, SaysWhatAFileIs) {
  const auto file = folder_.write("m.npy", "\x93NUMPY\1");
  EXPECT_THAT(error_of([&] { find_model(file.string()); }),
              AllOf(HasSubstr("m.npy is a NumPy file"), HasSubstr("a file, wanted the folder")));
  const auto model = folder_.write("m.gguf", "GGUF\3");  // a model of its own
  EXPECT_EQ(find_model(model.string()), model);
}

TEST_F(Hub, KnowsWhatEveryToolCallsAModel) {
  for (const char* id : {"gpt2", "microsoft/phi-2", "a.b/c_d-e"})
    EXPECT_EQ(hub_name_of_entry(hub_entry(id)), id);
  EXPECT_EQ(hub_entry("microsoft/phi-2"), "models--microsoft--phi-2");
  for (const char* entry : {"datasets--a--b", "models--", "models--..--b", "version.txt"})
    EXPECT_EQ(hub_name_of_entry(entry), "") << entry;
  const HubName name = parse_hub_name("owner/model@refs/pr/1");
  EXPECT_EQ(name.id, "owner/model");
  EXPECT_EQ(name.revision, "refs/pr/1");
  folder_.write("models--owner--model/refs/refs/pr/1", "abc");
  folder_.write("models--owner--model/snapshots/abc/config.json", "{}");
  EXPECT_EQ(find_model("owner/model@refs/pr/1").filename(), "abc");
}

TEST_F(Hub, FindsTheCacheAsHuggingFaceDoes) {
  set("HOME", "/home/me");
  EXPECT_EQ(hub_cache(), folder_.path());
  ::unsetenv("HF_HUB_CACHE");
  EXPECT_EQ(hub_cache(), "/home/me/.cache/huggingface/hub");
  set("XDG_CACHE_HOME", "/xdg");
  EXPECT_EQ(hub_cache(), "/xdg/huggingface/hub");
  set("HF_HOME", "~/hf");
  EXPECT_EQ(hub_cache(), "/home/me/hf/hub");
  set("HUGGINGFACE_HUB_CACHE", "/older");
  EXPECT_EQ(hub_cache(), "/older");
  set("HF_HUB_CACHE", "/cache");
  EXPECT_EQ(hub_cache(), "/cache");
}

}  // namespace
}  // namespace hearth
