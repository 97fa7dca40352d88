#include "hearth/base/disk_cache.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/temp_folder.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

// The cache in a folder of the test's own.
class DiskCache : public ::testing::Test {
 protected:
  DiskCache() {
    if (const char* before = std::getenv("XDG_CACHE_HOME")) before_ = before;
    setenv("XDG_CACHE_HOME", folder_.path().c_str(), 1);
  }
  ~DiskCache() override {
    before_ ? setenv("XDG_CACHE_HOME", before_->c_str(), 1) : unsetenv("XDG_CACHE_HOME");
  }
  fs::path only_file() const {
    fs::path found;
    for (const auto& entry : fs::directory_iterator(cache_folder())) {
      EXPECT_TRUE(found.empty()) << entry.path();
      found = entry.path();
    }
    return found;
  }
  static std::string content(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  testing::TempFolder folder_;

 private:
  std::optional<std::string> before_;
};

TEST_F(DiskCache, GivesBackWhatWasWrittenUnderItsKey) {
  EXPECT_EQ(read_cache("a", ".x"), std::nullopt);
  const std::string bytes("\0\xff\n", 3);
  write_cache("a", ".x", bytes);
  write_cache("b", ".x", "");
  EXPECT_EQ(read_cache("a", ".x"), bytes);
  EXPECT_EQ(read_cache("b", ".x"), "");
  EXPECT_EQ(read_cache("a", ".y"), std::nullopt);
  write_cache("a", ".x", "other");
  EXPECT_EQ(read_cache("a", ".x"), "other");
}

TEST_F(DiskCache, DamagedOrCutFilesAreNotThere) {
  CachedMap map("card", 10);
  map.put("one", "1");
  map.put("two", std::string(100, 'x'));
  const fs::path file = only_file();
  const std::string whole = content(file);
  for (size_t size = 0; size < whole.size(); ++size) {
    folder_.write(file.lexically_relative(folder_.path()).string(), whole.substr(0, size));
    EXPECT_EQ(CachedMap("card", 10).find("one"), std::nullopt) << size;
  }
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = char(damaged[i] ^ 0x40);
    folder_.write(file.lexically_relative(folder_.path()).string(), damaged);
    EXPECT_EQ(CachedMap("card", 10).find("one"), std::nullopt) << i;
  }
  CachedMap("card", 10).put("three", "3");  // written anew
  EXPECT_EQ(CachedMap("card", 10).find("three"), "3");
}

TEST_F(DiskCache, AMapMadeByHandMayHoldAnything) {
  const std::string sizes[] = {std::string("\xff\xff\xff\xff", 4), std::string("\x04\0\0\0ab", 6),
                               std::string("\x01\0\0\0a", 5), "abc", ""};
  for (const std::string& content : sizes) {
    write_cache("card", ".map", content);
    EXPECT_EQ(CachedMap("card", 10).find("a"), std::nullopt);
  }
}

TEST_F(DiskCache, MapsOfTwoProcessesKeepWhatBothFound) {
  CachedMap a("card", 10), b("card", 10);
  EXPECT_EQ(b.find("one"), std::nullopt);
  a.put("one", "1");
  b.put("two", "2");
  a.put("three", "3");
  for (CachedMap map : {CachedMap("card", 10), a}) {
    EXPECT_EQ(map.find("one"), "1");
    EXPECT_EQ(map.find("two"), "2");
    EXPECT_EQ(map.find("three"), "3");
  }
  EXPECT_EQ(CachedMap("other card", 10).find("one"), std::nullopt);
}

TEST_F(DiskCache, AFullMapStartsAnew) {
  CachedMap map("card", 2);
  for (const char* name : {"one", "two", "three"}) map.put(name, name);
  EXPECT_EQ(CachedMap("card", 2).find("one"), std::nullopt);
  EXPECT_EQ(CachedMap("card", 2).find("three"), "three");
}

TEST_F(DiskCache, AFolderThatCannotBeMadeIsNoError) {
  folder_.write("file", "");
  setenv("XDG_CACHE_HOME", (folder_ / "file").c_str(), 1);
  CachedMap map("card", 10);
  map.put("one", "1");
  EXPECT_EQ(map.find("one"), "1");
  EXPECT_EQ(CachedMap("card", 10).find("one"), std::nullopt);
}

}  // namespace
}  // namespace hearth
