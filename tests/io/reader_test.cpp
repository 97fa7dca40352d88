// Arrays through readers and writers of a program's own.
#include "hearth/io/reader.h"

#include <gtest/gtest.h>

#include <cstring>

#include "hearth/hearth.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

// Bytes in memory, read and written; it can be told to end early.
struct Memory : io::Reader, io::Writer {
  std::string bytes;
  size_t at = 0;
  bool ok = true;
  bool is_open() const override { return true; }
  bool good() const override { return ok; }
  size_t tell() override { return at; }
  void seek(int64_t off, std::ios_base::seekdir way) override {
    at = size_t(off + int64_t(way == std::ios_base::end   ? bytes.size()
                              : way == std::ios_base::cur ? at
                                                          : 0));
  }
  void read(char* data, size_t n) override {
    ok = ok && at + n <= bytes.size();
    if (ok) std::memcpy(data, bytes.data() + at, n), at += n;
  }
  void read(char* data, size_t n, size_t offset) override { at = offset, read(data, n); }
  void write(const char* data, size_t n) override {
    bytes.resize(std::max(bytes.size(), at + n));
    std::memcpy(bytes.data() + at, data, n);
    at += n;
  }
  std::string label() const override { return "memory"; }
};

TEST(Reader, BringsBackWhatAWriterTook) {
  const array x = reshape(arange(12), {3, 4});
  const auto memory = std::make_shared<Memory>();
  save(std::static_pointer_cast<io::Writer>(memory), transpose(x));
  memory->at = 0;
  const array y = load(std::static_pointer_cast<io::Reader>(memory));
  EXPECT_TRUE(array_equal(y, transpose(x)).item<bool>());

  const auto second = std::make_shared<Memory>();
  second->bytes = "before", second->at = 6;
  save_safetensors(std::static_pointer_cast<io::Writer>(second), {{"x", x}, {"y", array(1.5f)}},
                   {{"made", "here"}});
  second->at = 6;
  const auto [tensors, metadata] = load_safetensors(std::static_pointer_cast<io::Reader>(second));
  EXPECT_TRUE(array_equal(tensors.at("x"), x).item<bool>());
  EXPECT_EQ(tensors.at("y").item<float>(), 1.5f);
  EXPECT_EQ(metadata.at("made"), "here");
}

TEST(Reader, ReadsFiles) {
  const testing::TempFolder folder;
  const std::string file = (folder.path() / "a.npy").string();
  save(std::make_shared<io::FileWriter>(file), array({1, 2, 3}));
  EXPECT_EQ(load(std::make_shared<io::FileReader>(file)).to_vector<int>(),
            (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(load(file).to_vector<int>(), (std::vector<int>{1, 2, 3}));
}

TEST(Reader, RefusesWhatIsDamaged) {
  const auto memory = std::make_shared<Memory>();
  save(std::static_pointer_cast<io::Writer>(memory), arange(100));
  const std::string whole = memory->bytes;
  const auto refuses = [&](const std::string& bytes) {
    memory->bytes = bytes, memory->at = 0, memory->ok = true;
    EXPECT_THROW(load(std::static_pointer_cast<io::Reader>(memory)), std::runtime_error);
    memory->at = 0, memory->ok = true;
    EXPECT_THROW(load_safetensors(std::static_pointer_cast<io::Reader>(memory)),
                 std::runtime_error);
  };
  refuses("");
  refuses(whole.substr(0, 50));
  refuses(whole.substr(0, whole.size() - 1));
  memory->bytes = whole, memory->at = 0, memory->ok = false;
  EXPECT_THROW(load(std::static_pointer_cast<io::Reader>(memory)), std::runtime_error);
  EXPECT_THROW(load(std::make_shared<io::FileReader>("/nowhere/at/all")), std::runtime_error);
  EXPECT_THROW(save(std::make_shared<io::FileWriter>("/nowhere/at/all"), array(1)),
               std::runtime_error);
  EXPECT_THROW(load(std::shared_ptr<io::Reader>()), std::invalid_argument);
}

}  // namespace
}  // namespace hearth
