#include "hearth/lab/result/weights_hash.h"

#include <gmock/gmock.h>

#include "tests/process.h"
#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

using ::testing::HasSubstr;

// The examples of FIPS 180-2.
TEST(WeightsHash, IsSha256) {
  testing::TempFolder folder;
  folder.write("model.safetensors", "abc");
  folder.write("config.json", "not hashed");
  EXPECT_EQ(weights_sha256(folder.path()).value,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  folder.write("model.safetensors", std::string(1'000'000, 'a'));
  EXPECT_EQ(weights_sha256(folder.path()).value,
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(WeightsHash, OfAGgufModelIsThatOfAllItsFiles) {
  testing::TempFolder folder;
  const auto first = folder.write("m-00001-of-00002.gguf", "GGUF first");
  EXPECT_THAT(weights_sha256(first).reason, HasSubstr("m-00002-of-00002.gguf"));
  folder.write("m-00002-of-00002.gguf", "GGUF second");
  const auto text = weights_sha256(first).value.value_or("");
  EXPECT_THAT(text, HasSubstr("m-00001-of-00002.gguf "));
  EXPECT_THAT(text, HasSubstr(", m-00002-of-00002.gguf "));
  EXPECT_EQ(weights_sha256(folder.path()).value, text);  // as a folder
  folder.write("m-00002-of-00002.gguf", "GGUF others");
  EXPECT_NE(weights_sha256(first).value, text);
}

TEST(WeightsHash, OfSeveralFilesTheyHaveTheirNamesAndProgressIsTold) {
  testing::TempFolder folder;
  folder.write("b.safetensors", "");
  folder.write("a.safetensors", std::string(9 << 20, 'x'));
  std::vector<double> parts;
  const auto text = weights_sha256(folder.path(), [&](double part) { parts.push_back(part); });
  const auto other = testing::run({"sha256sum", folder / "a.safetensors"});
  ASSERT_TRUE(text.value) << text.reason;
  if (other.exit_code == 0) {
    EXPECT_EQ(text.value->substr(0, 14 + 64), "a.safetensors " + other.out.substr(0, 64));
  }
  EXPECT_THAT(
      *text.value,
      HasSubstr(", b.safetensors e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7"));
  EXPECT_GE(parts.size(), 3u);
  EXPECT_TRUE(std::is_sorted(parts.begin(), parts.end()));
  EXPECT_EQ(parts.back(), 1);
  struct Stop {};
  EXPECT_THROW(weights_sha256(folder.path(), [](double) { throw Stop(); }), Stop);
}

TEST(WeightsHash, SaysWhatCannotBeRead) {
  testing::TempFolder folder;
  EXPECT_THAT(weights_sha256(folder.path()).reason, HasSubstr("has no .safetensors"));
  EXPECT_THAT(weights_sha256(folder / "no").reason, HasSubstr("has no .safetensors"));
  std::filesystem::create_symlink("/nowhere", folder / "x.safetensors");
  EXPECT_THAT(weights_sha256(folder.path()).reason, HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace hearth::lab
