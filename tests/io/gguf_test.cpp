// GGUF files: what a right one holds, and that a wrong one is one clear error that names the key or
// the tensor.
#include "hearth/io/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <random>

#include "tests/gguf_file.h"
#include "tests/paths.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using testing::GgufFile;
using ::testing::HasSubstr;
using testing::TempFolder;

template <class T>
std::string raw(T value) {
  return GgufFile::raw(value);
}

std::string parse_error(const std::string& bytes) {
  const std::string error =
      error_of([&] { parse_gguf(std::as_bytes(std::span(bytes)), "m.gguf"); });
  EXPECT_THAT(error, ::testing::StartsWith("m.gguf"));
  return error;
}
std::string parse_error(const GgufFile& file) { return parse_error(file.bytes()); }

GgufFile valid() {
  GgufFile file;
  file.string("general.architecture", "llama").number("llama.block_count", 2);
  file.tensor("a.weight", {32, 2}, 8, std::string(68, 'x'));
  return file;
}

TEST(Gguf, HoldsValuesOfAllKinds) {
  GgufFile file;
  file.key("u8", 0, raw(uint8_t(200))).key("i8", 1, raw(int8_t(-3)));
  file.key("u16", 2, raw(uint16_t(60000))).key("i16", 3, raw(int16_t(-300)));
  file.key("u32", 4, raw(uint32_t(4000000000))).key("i32", 5, raw(int32_t(-70000)));
  file.key("f32", 6, raw(0.5f)).key("bool", 7, raw(uint8_t(1))).string("text", "\xC3\xA9");
  file.key("u64", 10, raw(uint64_t(1) << 63)).key("i64", 11, raw(int64_t(-1) << 40));
  file.key("f64", 12, raw(1e300));
  file.strings("texts", {"a", "", "ccc"}).numbers<int32_t>("list", 5, {3, -4});
  const TempFolder folder;
  const Gguf gguf = Gguf::open(folder.write("m.gguf", file.bytes()));
  EXPECT_EQ(gguf.integer("u8"), 200);
  EXPECT_EQ(gguf.integer("i8"), -3);
  EXPECT_EQ(gguf.integer("u16"), 60000);
  EXPECT_EQ(gguf.integer("i16"), -300);
  EXPECT_EQ(gguf.integer("u32"), 4000000000);
  EXPECT_EQ(gguf.integer("i32"), -70000);
  EXPECT_EQ(gguf.number("f32"), 0.5);
  EXPECT_EQ(gguf.flag("bool"), true);
  EXPECT_EQ(gguf.text("text"), "\xC3\xA9");
  EXPECT_EQ(gguf.number("u64"), 9223372036854775808.0);
  EXPECT_EQ(gguf.integer("i64"), int64_t(-1) << 40);
  EXPECT_EQ(gguf.number("f64"), 1e300);
  EXPECT_THAT(gguf.texts("texts"), ElementsAre("a", "", "ccc"));
  EXPECT_THAT(gguf.numbers("list"), ElementsAre(3, -4));
  EXPECT_EQ(gguf.integer("absent"), std::nullopt);
  EXPECT_THAT(error_of([&] { gguf.integer("text"); }), HasSubstr("text: wanted an integer"));
  EXPECT_THAT(error_of([&] { gguf.integer("u64"); }), HasSubstr("u64: wanted an integer"));
  EXPECT_THAT(error_of([&] { gguf.text("list"); }), HasSubstr("wanted a text, got a list"));
  EXPECT_THAT(error_of([&] { gguf.texts("list"); }), HasSubstr("wanted texts, got numbers"));
}

TEST(Gguf, TensorsAreSeenWhereTheFileIsMapped) {
  GgufFile file = valid();
  file.tensor("b", {3}, 0, raw(1.5f) + raw(2.5f) + raw(3.5f));
  const TempFolder folder;
  for (const uint32_t version : {2u, 3u}) {
    file.version = version;
    const Gguf gguf = Gguf::open(folder.write("m.gguf", file.bytes()));
    ASSERT_EQ(gguf.tensors().size(), 2u);
    EXPECT_THAT(gguf.tensors()[0].shape, ElementsAre(2, 32));  // slowest first
    EXPECT_EQ(gguf.bytes(gguf.tensors()[0]).size(), 68u);
    const auto bytes = gguf.bytes(*gguf.find_tensor("b"));
    float values[3];
    std::memcpy(values, bytes.data(), sizeof values);
    EXPECT_THAT(values, ElementsAre(1.5f, 2.5f, 3.5f));
    EXPECT_EQ(gguf.find_tensor("c"), nullptr);
  }
}

TEST(Gguf, AnAlignmentOfItsOwnCounts) {
  for (const uint32_t alignment : {1u, 8u, 4096u}) {
    GgufFile file;
    file.alignment = alignment;
    file.number("general.alignment", alignment)
        .tensor("a", {4}, 24, "abcd")
        .tensor("b", {2}, 24, "xy");
    const std::string bytes = file.bytes();
    const auto header = parse_gguf(std::as_bytes(std::span(bytes)), "m.gguf");
    EXPECT_EQ(bytes.substr(header.tensors[1].offset, 2), "xy") << alignment;
  }
  for (const uint32_t alignment : {0u, 3u, 33u, 1u << 31})
    EXPECT_THAT(parse_error(valid().number("general.alignment", alignment)),
                HasSubstr("general.alignment: wanted a power of two"));
  EXPECT_THAT(parse_error(valid().string("general.alignment", "32")),
              HasSubstr("general.alignment"));
}

TEST(Gguf, WhatIsWrongIsNamed) {
  EXPECT_THAT(parse_error(std::string("GGUX") + std::string(60, '\0')),
              HasSubstr("not a GGUF file"));
  EXPECT_THAT(parse_error("<html></html>"), HasSubstr("web page"));
  GgufFile other = valid();
  other.version = 1;
  EXPECT_THAT(parse_error(other), HasSubstr("version 1 of GGUF; hearth reads 2 and 3"));
  other.version = 0x03000000;
  EXPECT_THAT(parse_error(other), HasSubstr("big-endian"));
  EXPECT_THAT(parse_error(valid().number("llama.block_count", 2)),
              HasSubstr("the key \"llama.block_count\" stands twice"));
  EXPECT_THAT(parse_error(valid().key("odd", 13, "12345678")), HasSubstr("\"odd\": type 13"));
  EXPECT_THAT(
      parse_error(valid().key("odd", 9, raw(uint32_t(9)) + raw(uint64_t(1)) + raw(0) + raw(0))),
      HasSubstr("\"odd\": a list of lists"));
  EXPECT_THAT(parse_error(valid().key("odd", 7, raw(uint8_t(2)))), HasSubstr("\"odd\": a bool"));
  EXPECT_THAT(parse_error(valid().key("", 0, raw(uint8_t(2)))), HasSubstr("the name of a key"));
  EXPECT_THAT(parse_error(valid().key(std::string(70000, 'k'), 0, raw(uint8_t(2)))),
              HasSubstr("70000 bytes"));
  // Lengths and counts beyond the file, of every size.
  for (const uint64_t n : {uint64_t(1) << 20, uint64_t(1) << 40, ~uint64_t(0), ~uint64_t(0) / 8}) {
    EXPECT_THAT(parse_error(valid().key("odd", 8, raw(n))), HasSubstr("\"odd\""));
    EXPECT_THAT(parse_error(valid().key("odd", 9, raw(uint32_t(8)) + raw(n))),
                HasSubstr("\"odd\""));
    EXPECT_THAT(parse_error(valid().key("odd", 9, raw(uint32_t(12)) + raw(n))),
                HasSubstr("\"odd\""));
    for (const int counted : {8, 16}) {
      std::string bytes = valid().bytes();
      std::memcpy(bytes.data() + counted, &n, 8);
      EXPECT_THAT(parse_error(bytes), HasSubstr("keys and"));
    }
  }
}

TEST(Gguf, TensorsThatCannotBeAreNamed) {
  const auto error = [](const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset,
                        size_t bytes = 4096) {
    GgufFile file = valid();
    file.tensor_at("odd", dims, type, offset, std::string(bytes, '\0'));
    return parse_error(file);
  };
  EXPECT_THAT(error({1, 1, 1, 1, 1}, 0, 96), HasSubstr("\"odd\": 5 dimensions, at most 4"));
  EXPECT_THAT(error({uint64_t(1) << 31}, 0, 96), HasSubstr("dimension 0 is 2147483648"));
  EXPECT_THAT(error({~uint64_t(0)}, 0, 96), HasSubstr("\"odd\": dimension 0"));
  const uint64_t large = 0x7fffffff;
  EXPECT_THAT(error({large, large, large, large}, 0, 96), HasSubstr("more elements"));
  EXPECT_THAT(error({4}, 4, 96), HasSubstr("\"odd\": type 4"));
  EXPECT_THAT(error({4}, 0xffffffff, 96), HasSubstr("type 4294967295"));
  EXPECT_THAT(error({48, 2}, 8, 96), HasSubstr("no whole number of Q8_0's blocks of 32"));
  EXPECT_THAT(error({32}, 12, 96), HasSubstr("no whole number of Q4_K's blocks of 256"));
  EXPECT_THAT(error({4}, 0, 97), HasSubstr("no multiple of 32"));
  EXPECT_THAT(error({4}, 0, 64), HasSubstr("overlap"));
  EXPECT_THAT(error({4}, 0, 1 << 20), HasSubstr("\"odd\""));
  EXPECT_THAT(error({4}, 0, ~uint64_t(0) - 31), HasSubstr("beyond the file"));
  EXPECT_THAT(error({1 << 20}, 0, 96), AllOf(HasSubstr("\"odd\""), HasSubstr("cut short")));
  GgufFile twice = valid();
  twice.tensor("a.weight", {4}, 24, "abcd");
  EXPECT_THAT(parse_error(twice), HasSubstr("the tensor \"a.weight\" stands twice"));
}

TEST(Gguf, AFileCutAnywhereIsAnError) {
  const std::string whole =
      testing::content_of(testing::source_dir() / "tests/data/gguf/tiny.gguf");
  ASSERT_GT(whole.size(), 10000u);
  for (size_t n = 1; n < whole.size(); n += n < 2000 ? 1 : 97) parse_error(whole.substr(0, n));
  parse_gguf(std::as_bytes(std::span(whole)), "m.gguf");
}

TEST(Gguf, AFileWithWrongBytesNeverCrashes) {
  std::string whole = testing::content_of(testing::source_dir() / "tests/data/gguf/tiny.gguf");
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    const size_t at = random() % 9000;
    const char before = whole[at];
    whole[at] = char(random());
    try {
      parse_gguf(std::as_bytes(std::span(whole)), "m.gguf");
    } catch (const std::runtime_error&) {
    }
    if (i % 3) whole[at] = before;
  }
}

// A million of anything takes no more than its bytes need.
TEST(Gguf, LargeHeadersAreReadInTimeThatGrowsWithThem) {
  std::vector<std::string> tokens;
  for (int i = 0; i < 1'000'000; ++i) tokens.push_back("token" + std::to_string(i));
  GgufFile file;
  file.strings("tokens", tokens);
  for (int i = 0; i < 100'000; ++i) file.number("key" + std::to_string(i), 1);
  for (int i = 0; i < 100'000; ++i)
    file.tensor_at("t" + std::to_string(i), {}, 24, 0, i ? "" : "x");
  const std::string bytes = file.bytes();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(parse_error(bytes), HasSubstr("overlap"));  // all 100,000 are compared before
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

class GgufParts : public ::testing::Test {
 protected:
  std::string part(int number, int of, const std::string& tensor, int all = 3) const {
    GgufFile file;
    file.key("split.no", 2, raw(uint16_t(number))).key("split.count", 2, raw(uint16_t(of)));
    file.key("split.tensors.count", 5, raw(int32_t(all)));
    if (number == 0) file.string("general.architecture", "llama");
    file.tensor(tensor, {4}, 24, tensor + "...");
    return file.bytes();
  }
  std::filesystem::path write(int number, const std::string& bytes) const {
    return folder_.write("m-0000" + std::to_string(number) + "-of-00003.gguf", bytes);
  }
  TempFolder folder_;
};

TEST_F(GgufParts, AreOneModel) {
  const auto first = write(1, part(0, 3, "a"));
  write(2, part(1, 3, "b"));
  const auto last = write(3, part(2, 3, "c"));
  for (const auto& named : {first, last}) {
    const Gguf gguf = Gguf::open(named);
    EXPECT_EQ(gguf.tensors().size(), 3u);
    EXPECT_EQ(gguf.text("general.architecture"), "llama");
    const auto bytes = gguf.bytes(*gguf.find_tensor("c"));
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), "c...");
  }
  EXPECT_EQ(find_gguf(folder_.path()), first);
}

TEST_F(GgufParts, ThatAreMissingOrWrongAreNamed) {
  const auto first = write(1, part(0, 3, "a"));
  const auto error = [&] { return error_of([&] { Gguf::open(first); }); };
  EXPECT_THAT(error(),
              HasSubstr("2 of the model's 3 files are missing: \"m-00002-of-00003.gguf\""));
  write(2, part(1, 3, "b"));
  write(3, part(1, 3, "c"));
  EXPECT_THAT(error(), HasSubstr("by its name it is part 3 of 3, by its content part 2 of 3"));
  write(3, part(2, 3, "b"));
  EXPECT_THAT(error(), HasSubstr("the tensor \"b\" is in another part too"));
  write(3, part(2, 3, "c", 3));
  write(1, part(0, 3, "a", 4));
  EXPECT_THAT(error(), HasSubstr("have 3 tensors, the first says 4"));
  const auto lone = folder_.write("x.gguf", part(0, 3, "a"));
  EXPECT_THAT(error_of([&] { Gguf::open(lone); }), HasSubstr("part 1 of a model in 3 files"));
}

TEST(FindGguf, InAFolder) {
  const TempFolder folder;
  EXPECT_EQ(find_gguf(folder.path()), std::nullopt);
  const auto file = folder.write("m.Q4_K_M.gguf", valid().bytes());
  EXPECT_EQ(find_gguf(file), file);
  EXPECT_EQ(find_gguf(folder.path()), file);
  folder.write("mmproj-m.gguf", valid().bytes());
  EXPECT_EQ(find_gguf(folder.path()), file);
  folder.write("m.Q8_0.gguf", valid().bytes());
  EXPECT_THAT(
      error_of([&] { find_gguf(folder.path()); }),
      AllOf(HasSubstr("has 2 GGUF files: m.Q4_K_M.gguf, m.Q8_0.gguf"), HasSubstr("name the")));
  folder.write("model.safetensors", "x");
  EXPECT_EQ(find_gguf(folder.path()), std::nullopt);
  EXPECT_EQ(find_gguf(folder.write("not.gguf", "abc")), std::nullopt);
}

}  // namespace
}  // namespace hearth
