#include "hearth/io/mapped_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "hearth/io/output_file.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using testing::content_of;
using testing::error_of;
using ::testing::HasSubstr;

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.size()};
}

TEST(MappedFile, ShowsTheBytesAndOutlivesTheName) {
  testing::TempFolder folder;
  const auto path = folder.write("a.bin", "some bytes");
  const auto file = MappedFile::open(path);
  file->advise(MappedFile::Advice::will_need);
  file->advise(MappedFile::Advice::sequential, 3, 2);
  file->advise(MappedFile::Advice::normal, 100);
  std::filesystem::remove(path);
  EXPECT_EQ(text_of(*file), "some bytes");
  EXPECT_EQ(file->path(), path);
}

TEST(MappedFile, SaysWhyItCannotOpen) {
  testing::TempFolder folder;
  const auto why = [](const std::filesystem::path& path) {
    const auto text = error_of([&] { MappedFile::open(path); });
    EXPECT_THAT(text, HasSubstr(path.string()));
    return text;
  };
  EXPECT_THAT(why(folder / "missing"), HasSubstr("no such file"));
  EXPECT_THAT(why(folder.path()), HasSubstr("is a folder"));
  EXPECT_THAT(why(folder.write("empty", "")), HasSubstr("is empty"));
  std::filesystem::create_symlink("loop", folder / "loop");
  EXPECT_THAT(why(folder / "loop"), HasSubstr("cannot be opened: Too many"));
  ::mkfifo((folder / "pipe").c_str(), 0600);
  EXPECT_THAT(why(folder / "pipe"), HasSubstr("not a regular file"));
}

TEST(OutputFile, ReplacesInOneStepOrNotAtAll) {
  testing::TempFolder folder;
  const auto path = folder.write("a.bin", "old");
  const auto mapped = MappedFile::open(path);
  {
    OutputFile abandoned(path);
    abandoned.write("half of the n");
  }
  EXPECT_EQ(content_of(path), "old");
  OutputFile file(path);
  file.write("new ");
  file.write("bytes");
  EXPECT_EQ(content_of(path), "old");
  file.commit();
  EXPECT_EQ(content_of(path), "new bytes");
  EXPECT_EQ(text_of(*mapped), "old");
  const auto files = std::filesystem::directory_iterator(folder.path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);  // nothing temporary stays
}

TEST(OutputFile, SaysWhyItCannotWrite) {
  testing::TempFolder folder;
  EXPECT_THAT(error_of([&] { OutputFile file(folder.path()); }), HasSubstr("is a folder"));
  EXPECT_THAT(error_of([&] { OutputFile file(folder / "no/such/folder/a"); }),
              HasSubstr("cannot be written: No such file"));
}

// Replaced, a pipe would reach no one and /dev/null would be gone.
TEST(OutputFile, WritesIntoWhatIsNoFile) {
  testing::TempFolder folder;
  const auto pipe = folder / "pipe";
  ::mkfifo(pipe.c_str(), 0600);
  { const OutputFile tried(pipe); }  // waits for no reader
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  OutputFile file(pipe);
  file.write("some ");
  file.write("bytes");
  file.commit();
  char got[20];
  EXPECT_EQ(std::string(got, size_t(::read(reader, got, sizeof got))), "some bytes");
  ::close(reader);
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  OutputFile null("/dev/null");
  null.write("lost");
  null.commit();
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST(OutputFile, WritesWhatALinkPointsTo) {
  testing::TempFolder folder;
  const auto path = folder.write("a.bin", "old"), link = folder / "link";
  std::filesystem::create_symlink("a.bin", link);
  OutputFile file(link);
  file.write("new");
  file.commit();
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(content_of(path), "new");
}

}  // namespace
}  // namespace hearth
