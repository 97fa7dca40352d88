#include "hearth/io/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zip.h>

#include <numeric>

#include "hearth/ops/movement.h"
#include "tests/io/golden_values.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using testing::bytes_of_values;
using testing::content_of;
using testing::error_of;
using testing::golden_values;
using ::testing::HasSubstr;

std::string golden(const std::string& name) {
  return testing::source_path(("tests/data/io/" + name).c_str()).string();
}

template <class T>
std::vector<T> ramp(int n) {
  std::vector<T> values(n);
  for (int i = 0; i < n; ++i) values[i] = T(float(i));
  return values;
}

TEST(Npy, LoadsWhatNumPyWrites) {
  for (const char* name : {"version1.npy", "version2.npy", "version3.npy"}) {
    const array a = load(golden(name));
    EXPECT_EQ(a.shape(), (Shape{2, 3}));
    EXPECT_EQ(a.to_vector<int32_t>(), ramp<int32_t>(6));
  }
  EXPECT_EQ(load(golden("scalar.npy")).item<double>(), 2.5);
  EXPECT_EQ(load(golden("scalar.npy")).dtype(), float64);
  EXPECT_EQ(load(golden("empty.npy")).shape(), (Shape{3, 0, 2}));
}

TEST(Npy, LoadsFortranOrder) {
  const array a = load(golden("fortran.npy"));
  EXPECT_EQ(a.shape(), (Shape{2, 3, 4}));
  EXPECT_EQ(a.to_vector<float>(), ramp<float>(24));
}

TEST(Npy, LoadsBigEndian) {
  for (const char* type : {"i2", "u4", "i8", "f2", "f4", "f8", "c8"}) {
    const array a = load(golden(std::string("big_endian_") + type + ".npy"));
    visit(AllTypes{}, a.dtype(), "test", [&]<class T>() {
      const auto wanted = ramp<T>(6);
      EXPECT_EQ(bytes_of_values(a), bytes_of_values(array(wanted.begin(), Shape{2, 3}, a.dtype())))
          << type;
    });
  }
}

TEST(Npy, RoundTripsEveryDtypeButBfloat16) {
  testing::TempFolder folder;
  auto values = golden_values();
  const array bf16 = values.extract("bfloat16").mapped();
  EXPECT_THAT(error_of<std::invalid_argument>([&] { save((folder / "b").string(), bf16); }),
              HasSubstr("NumPy has no bfloat16"));
  for (const auto& [name, value] : values) {
    save((folder / name).string(), value);
    const array back = load((folder / (name + ".npy")).string());
    EXPECT_EQ(back.dtype(), value.dtype());
    EXPECT_EQ(back.shape(), value.shape());
    EXPECT_EQ(bytes_of_values(back), bytes_of_values(value)) << name;
  }
}

TEST(Npy, SavesNumPysBytesOfViewsToo) {
  testing::TempFolder folder;
  const auto file = (folder / "a.npy").string();
  const auto values = ramp<int32_t>(6);
  save(file, array(values.begin(), Shape{2, 3}, int32));
  EXPECT_EQ(content_of(file), content_of(golden("version1.npy")));
  save(file, transpose(array(std::vector{0, 3, 1, 4, 2, 5}.begin(), Shape{3, 2}, int32)));
  EXPECT_EQ(content_of(file), content_of(golden("version1.npy")));
}

TEST(Npy, NamesTheFileInErrors) {
  testing::TempFolder folder;
  EXPECT_THAT(error_of([&] { load((folder / "none.npy").string()); }), HasSubstr("no such file"));
  EXPECT_THAT(error_of([&] { load(golden("all.npz")); }), HasSubstr("use load_npz"));
  const auto cut = folder.write("cut.npy", content_of(golden("fortran.npy")).substr(0, 200));
  EXPECT_THAT(error_of([&] { load(cut.string()); }), HasSubstr(cut.string() + ": cut short"));
}

TEST(Npz, LoadsWhatNumPyWrites) {
  const auto arrays = load_npz(golden("all.npz"));
  auto wanted = golden_values();
  wanted.erase("bfloat16");
  ASSERT_EQ(arrays.size(), wanted.size());
  for (const auto& [name, value] : wanted) {
    EXPECT_EQ(arrays.at(name).shape(), value.shape()) << name;
    EXPECT_EQ(bytes_of_values(arrays.at(name)), bytes_of_values(value)) << name;
  }
  EXPECT_EQ(load_npz(golden("compressed.npz")).at("ramp").to_vector<int32_t>(),
            ramp<int32_t>(1000));
}

TEST(Npz, RoundTripsStoredAndDeflated) {
  testing::TempFolder folder;
  auto values = golden_values();
  values.erase("bfloat16");
  const std::vector<float> zeros(10000);
  values.emplace("zeros", array(zeros.begin(), Shape{100, 100}, float32));
  values.emplace("empty", array(zeros.begin(), Shape{0, 2}, float32));
  values.emplace("a/b n\xc3\xa4me", array(2.5f));
  const Tensors all(values.begin(), values.end());
  for (bool compressed : {false, true}) {
    const auto file = (folder / (compressed ? "deflated" : "stored")).string();
    save_npz(file, all, compressed);
    const auto back = load_npz(file + ".npz");
    ASSERT_EQ(back.size(), all.size());
    for (const auto& [name, value] : all) {
      EXPECT_EQ(back.at(name).dtype(), value.dtype()) << name;
      EXPECT_EQ(back.at(name).shape(), value.shape()) << name;
      EXPECT_EQ(bytes_of_values(back.at(name)), bytes_of_values(value)) << name;
    }
  }
  const auto stored = content_of(folder / "stored.npz");
  EXPECT_GT(stored.size(), 40000u);
  EXPECT_LT(content_of(folder / "deflated.npz").size(), 10000u);
  save_npz((folder / "stored.npz").string(), all);
  EXPECT_EQ(content_of(folder / "stored.npz"), stored);
}

TEST(Npz, RoundTripsNoArraysAtAll) {
  testing::TempFolder folder;
  save_npz((folder / "none.npz").string(), {});
  EXPECT_TRUE(load_npz((folder / "none.npz").string()).empty());
}

TEST(Npz, EveryTruncationIsAnError) {
  testing::TempFolder folder;
  const auto file = content_of(golden("compressed.npz"));
  for (size_t n = 1; n < file.size(); ++n) {
    const auto cut = folder.write("cut.npz", file.substr(0, n));
    EXPECT_THROW(load_npz(cut.string()), std::runtime_error) << n;
  }
}

TEST(Npz, DamageIsAnErrorOrHarmless) {
  testing::TempFolder folder;
  const auto file = content_of(golden("compressed.npz"));
  int refused = 0;
  for (size_t i = 0; i < file.size(); ++i) {
    auto changed = file;
    changed[i] = char(changed[i] ^ 0x55);
    const auto path = folder.write("changed.npz", changed);
    try {
      for (const auto& [name, a] : load_npz(path.string())) bytes_of_values(a);
    } catch (const std::runtime_error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, int(file.size() * 9 / 10));  // the checksum sees all of the data
}

TEST(Npz, RefusesArchivesThatAreNone) {
  testing::TempFolder folder;
  const auto error = [](const std::string& file) { return error_of([&] { load_npz(file); }); };
  EXPECT_THAT(error(golden("version1.npy")), HasSubstr("not a .npz file: Not a zip archive"));
  EXPECT_THAT(error((folder / "none.npz").string()), HasSubstr("no such file"));
  EXPECT_THAT(error_of([&] {
                save_npz((folder / "no/such/a").string(), {{"x", array(1)}});
              }),
              HasSubstr("cannot be written"));
  EXPECT_THAT(error_of<std::invalid_argument>([&] {
                save_npz((folder / "b").string(), {{"x", array(1.0f, bfloat16)}});
              }),
              HasSubstr("NumPy has no bfloat16"));
}

/// An archive with one entry, whose sizes can then be falsified.
std::string archive_of(const testing::TempFolder& folder, const std::string& content) {
  const auto path = folder / "made.npz";
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, nullptr);
  zip_file_add(archive, "x.npy", zip_source_buffer(archive, content.data(), content.size(), 0), 0);
  zip_close(archive);
  return content_of(path);
}

TEST(Npz, PassesOverWhatIsNoArray) {
  testing::TempFolder folder;
  const auto path = folder / "mixed.npz";
  const std::string array_bytes = content_of(golden("version1.npy")), text = "made by hand";
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, nullptr);
  const auto add = [&](const char* name, const std::string& content) {
    zip_file_add(archive, name, zip_source_buffer(archive, content.data(), content.size(), 0), 0);
  };
  add("readme.txt", text), add("a.npy", array_bytes), add("bare", array_bytes);
  zip_dir_add(archive, "folder", 0);
  zip_close(archive);
  const auto arrays = load_npz(path.string());
  ASSERT_EQ(arrays.size(), 2u);
  EXPECT_EQ(arrays.at("a").to_vector<int32_t>(), ramp<int32_t>(6));
  EXPECT_EQ(arrays.at("bare").to_vector<int32_t>(), ramp<int32_t>(6));
}

TEST(Npz, RefusesSizesThatCannotBe) {
  testing::TempFolder folder;
  std::string file = archive_of(folder, std::string(100, 'x'));
  EXPECT_THAT(error_of([&] { load_npz((folder / "made.npz").string()); }),
              HasSubstr("\"x.npy\": not a .npy file"));
  const size_t central = file.find("PK\1\2");
  ASSERT_NE(central, file.npos);
  file.replace(central + 24, 4, "\xf0\xff\xff\xff");  // the uncompressed size: nearly 4 GiB
  folder.write("bomb.npz", file);
  EXPECT_THAT(error_of([&] { load_npz((folder / "bomb.npz").string()); }),
              HasSubstr("claims 4294967280 bytes"));
}

}  // namespace
}  // namespace hearth
