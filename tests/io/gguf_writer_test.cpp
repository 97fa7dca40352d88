// GGUF files that are written: what they say is what was said, and nothing is there before all is.
#include "hearth/io/gguf_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/gguf_file.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using testing::content_of;
using ::testing::ElementsAre;
using testing::error_of;
using testing::GgufFile;
using ::testing::HasSubstr;
using testing::TempFolder;

std::span<const std::byte> bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(GgufWriter, WritesWhatIsRead) {
  const TempFolder folder;
  GgufMetadata metadata;
  metadata.set("text", "\xC3\xA9");
  metadata.set("number", uint32_t(7));
  metadata.set("real", 0.5f);
  metadata.set("yes", true);
  const std::vector<std::string> texts{"a", "", "ccc"};
  metadata.set("texts", texts);
  const std::vector<int32_t> whole{3, -4};
  metadata.set("whole", std::span<const int32_t>(whole));
  metadata.set("number", uint32_t(8));
  const std::vector<GgufOutput> tensors{{"a", {2, 32}, 8}, {"none", {0, 5}, 0}, {"b", {3}, 0}};
  GgufWriter out(folder / "m.gguf", metadata, tensors);
  out.write(bytes(std::string(40, 'x')));
  out.write(bytes(std::string(28, 'y')));
  EXPECT_FALSE(std::filesystem::exists(folder / "m.gguf"));
  out.write(bytes(std::string(12, 'z')));
  out.commit();
  const Gguf file = Gguf::open(folder / "m.gguf");
  EXPECT_EQ(file.text("text"), "\xC3\xA9");
  EXPECT_EQ(file.integer("number"), 8);
  EXPECT_EQ(file.number("real"), 0.5);
  EXPECT_EQ(file.flag("yes"), true);
  EXPECT_THAT(file.texts("texts"), ElementsAre("a", "", "ccc"));
  EXPECT_THAT(file.numbers("whole"), ElementsAre(3, -4));
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_THAT(file.tensors()[0].shape, ElementsAre(2, 32));
  const auto content = [&](size_t i) {
    const auto b = file.bytes(file.tensors()[i]);
    return std::string(reinterpret_cast<const char*>(b.data()), b.size());
  };
  EXPECT_EQ(content(0), std::string(40, 'x') + std::string(28, 'y'));
  EXPECT_EQ(content(1), "");
  EXPECT_EQ(content(2), std::string(12, 'z'));
  EXPECT_EQ(std::filesystem::file_size(folder / "m.gguf") % 32, 0u);
}

TEST(GgufWriter, KeepsTheKeysOfAFileInTheirOrder) {
  GgufFile from;
  from.string("z", "1").number("a", 2).string("empty", "").strings("none", {});
  from.number("split.count", 1).numbers<int64_t>("wide", 11, {1, -1}).number("m", 3);
  const std::string content = from.bytes();
  GgufMetadata all(Gguf::of_bytes(bytes(content), "m.gguf"));
  GgufFile wanted;
  wanted.string("z", "1").number("a", 2).string("empty", "").strings("none", {});
  wanted.numbers<int64_t>("wide", 11, {1, -1}).number("m", 3);
  EXPECT_EQ("GGUF" + GgufFile::raw(uint32_t(3)) + GgufFile::raw(uint64_t(0)) +
                GgufFile::raw(uint64_t(all.size())) + all.bytes(),
            wanted.bytes());
  all.set("a", uint32_t(5));  // behind all others
  wanted = GgufFile();
  wanted.string("z", "1").string("empty", "").strings("none", {});
  wanted.numbers<int64_t>("wide", 11, {1, -1}).number("m", 3).number("a", 5);
  EXPECT_TRUE(wanted.bytes().ends_with(all.bytes()));
  EXPECT_TRUE(all.contains("m"));
  EXPECT_FALSE(all.contains("split.count"));
}

TEST(GgufWriter, LeavesNothingHalfWritten) {
  const TempFolder folder;
  const auto path = folder.write("m.gguf", "before");
  const std::vector<GgufOutput> tensors{{"a", {2, 32}, 8}};
  {
    GgufWriter out(path, {}, tensors);
    out.write(bytes(std::string(40, 'x')));
    EXPECT_THAT(error_of<std::invalid_argument>([&] { out.commit(); }),
                HasSubstr("1 tensors are not complete"));
    EXPECT_THAT(error_of<std::invalid_argument>([&] { out.write(bytes(std::string(29, 'x'))); }),
                HasSubstr("29 bytes for \"a\""));
  }
  EXPECT_EQ(content_of(path), "before");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  const std::vector<GgufOutput> narrow{{"b", {2, 48}, 12}};
  EXPECT_THAT(error_of([&] { GgufWriter(path, {}, narrow); }),
              HasSubstr("\"b\": its rows are no whole blocks of Q4_K"));
  EXPECT_THAT(error_of([&] { GgufWriter("/dev/full", {}, tensors); }),
              HasSubstr("/dev/full: cannot be written: No space left"));
}

}  // namespace
}  // namespace hearth
