// idx files made here byte by byte, plain and compressed; what is wrong with a file is said.
#include "hearth/io/idx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <random>

#include "hearth/ops/ops.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using testing::error_of;
using ::testing::HasSubstr;

std::string number(uint32_t n) { return {char(n >> 24), char(n >> 16), char(n >> 8), char(n)}; }
std::string idx(int type, std::vector<uint32_t> sizes, const std::string& values) {
  std::string file{'\0', '\0', char(type), char(sizes.size())};
  for (const uint32_t n : sizes) file += number(n);
  return file + values;
}
std::string gzip(const std::string& from) {
  z_stream s{};
  EXPECT_EQ(deflateInit2(&s, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string to(deflateBound(&s, from.size()) + 32, '\0');
  s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(from.data()));
  s.avail_in = uInt(from.size());
  s.next_out = reinterpret_cast<Bytef*>(to.data());
  s.avail_out = uInt(to.size());
  EXPECT_EQ(deflate(&s, Z_FINISH), Z_STREAM_END);
  to.resize(s.total_out);
  deflateEnd(&s);
  return to;
}

struct Idx : ::testing::Test {
  testing::TempFolder folder;
  array read(const std::string& content) { return load_idx(folder.write("a.idx", content)); }
  std::string error(const std::string& content) {
    return error_of([&] { read(content); });
  }
};

TEST_F(Idx, HoldsEveryTypePlainAndCompressed) {
  const std::pair<std::string, array> files[] = {
      {idx(8, {2, 3}, "\1\2\3\4\5\xff"), array({1, 2, 3, 4, 5, 255}, {2, 3}, uint8)},
      {idx(9, {3}, "\x7f\x80\xff"), array({127, -128, -1}, {3}, int8)},
      {idx(11, {2, 1}, std::string("\1\2\xff\xfe", 4)), array({258, -2}, {2, 1}, int16)},
      {idx(12, {1, 1, 2}, number(70000) + number(uint32_t(-5))),
       array({70000, -5}, {1, 1, 2}, int32)},
      {idx(13, {2}, number(0x3fc00000) + number(0xc1200000)), array({1.5f, -10.0f})},
      {idx(14, {1}, number(0x400921fb) + number(0x54442d18)), array({M_PI}, {1}, float64)},
      {idx(8, {}, "\7"), array(7, uint8)},
      {idx(8, {0, 28}, ""), zeros({0, 28}, uint8)},
      {idx(13, {4, 0}, ""), zeros({4, 0}, float32)},
  };
  for (const auto& [file, want] : files)
    for (const std::string& content : {file, gzip(file)}) {
      const array got = read(content);
      EXPECT_EQ(got.dtype(), want.dtype());
      EXPECT_EQ(got.shape(), want.shape());
      EXPECT_TRUE(array_equal(got, want).item<bool>()) << want.dtype();
    }
}

TEST_F(Idx, SaysWhatIsWrongWithAFile) {
  const std::string good = idx(8, {2, 3}, "abcdef"), packed = gzip(good);
  EXPECT_THAT(error("PK\3\4"), HasSubstr("a.idx: no idx file: wanted two zeros"));
  EXPECT_THAT(error(std::string("\0\0", 2)), HasSubstr("no idx file: wanted two zeros"));
  EXPECT_THAT(error(idx(10, {1}, "a")), HasSubstr("its type is 10, wanted 8, 9, 11, 12, 13 or 14"));
  EXPECT_THAT(error(good.substr(0, 9)), HasSubstr("it ends before the sizes of its 2 axes"));
  EXPECT_THAT(error(gzip(good.substr(0, 9))), HasSubstr("ends before the sizes of its 2 axes"));
  EXPECT_THAT(
      error(good.substr(0, 17)),
      HasSubstr("its header says uint8 (2, 3), more than the 17 bytes of the file can hold"));
  EXPECT_THAT(error(gzip(good.substr(0, 17))),
              HasSubstr("cut short: 5 bytes of values, its header says uint8 (2, 3), which are 6"));
  for (const std::string& file : {good + "g", gzip(good + "g"), packed + "g"})
    EXPECT_THAT(error(file), HasSubstr("longer than the 6 bytes of uint8 (2, 3)"));
  EXPECT_THAT(error(packed.substr(0, packed.size() - 3)), HasSubstr("are cut short"));
  std::string wrong = packed;
  wrong[packed.size() - 5] ^= 1;  // of the checksum
  EXPECT_THAT(error(wrong), HasSubstr("damaged: incorrect"));
  EXPECT_THROW(load_idx(folder / "none"), std::runtime_error);
}

// A file cannot make hearth take memory that it does not warrant.
TEST_F(Idx, DoesNotBelieveSizes) {
  for (const auto& sizes :
       std::vector<std::vector<uint32_t>>{{0x7fffffff},
                                          {0x7fffffff, 0x7fffffff, 0x7fffffff},
                                          {0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff, 4},
                                          {60000, 28, 28}})
    for (const std::string& file : {idx(8, sizes, "abc"), gzip(idx(14, sizes, "abc"))})
      EXPECT_THAT(error(file), HasSubstr("bytes of the file can hold"));
  EXPECT_THAT(error(idx(8, {0x80000000}, "")), HasSubstr("axis 0 has 2147483648 elements"));
  EXPECT_THROW(read(idx(8, {0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff, 0}, "")),
               std::exception);
}

// Files with a few bytes changed, cut or added are read or refused, whatever comes out.
TEST_F(Idx, MutatedFilesAreReadOrRefused) {
  std::mt19937 random(7);
  const std::string seeds[] = {idx(8, {3, 5}, "abcdefghijklmno"),
                               gzip(idx(11, {7, 2}, std::string(28, 'x'))),
                               gzip(idx(8, {40, 50}, std::string(2000, 'y')))};
  int read_well = 0, refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string file = seeds[i % 3];
    for (unsigned n = 1 + random() % 3; n > 0; --n) switch (random() % 4) {
        case 0: file[random() % file.size()] = char(random()); break;
        case 1: file[random() % file.size()] ^= char(1 << random() % 8); break;
        case 2: file.resize(1 + random() % file.size()); break;
        case 3: file.insert(random() % file.size(), 1, char(random())); break;
      }
    try {
      const array a = read(file);
      EXPECT_LE(a.nbytes(), file.size() * 1032);
      sum(a).eval();
      ++read_well;
    } catch (const std::runtime_error&) {
      ++refused;
    }
  }
  EXPECT_GT(read_well, 100);
  EXPECT_GT(refused, 1000);
}

TEST(IdxShared, MnistIsThere) {
  HEARTH_SHARED_OR_SKIP(folder, "data/mnist");
  const array images = load_idx(folder / "t10k-images-idx3-ubyte.gz"),
              labels = load_idx(folder / "t10k-labels-idx1-ubyte.gz");
  EXPECT_EQ(images.shape(), (Shape{10000, 28, 28}));
  EXPECT_EQ(labels.shape(), Shape{10000});
  EXPECT_EQ(take(labels, array({0, 1, 9999}), 0).to_vector<int>(), (std::vector<int>{7, 2, 6}));
  EXPECT_NEAR(mean(astype(images, float32)).item<float>() / 255, 0.1325, 1e-3);
}

}  // namespace
}  // namespace hearth
