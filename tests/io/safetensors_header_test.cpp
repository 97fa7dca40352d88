#include "hearth/io/safetensors_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "hearth/base/error.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

SafetensorsHeader parse(const std::string& file) {
  return parse_safetensors_header(std::as_bytes(std::span(file)), "w.safetensors");
}
std::string file_of(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header +
         std::string(data_bytes, '\0');
}
std::string error_in(const std::string& header, size_t data_bytes = 0) {
  return error_of([&] { parse(file_of(header, data_bytes)); });
}
std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return '"' + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
         offsets + '}';
}

TEST(SafetensorsHeader, ListsTensorsByOffset) {
  const auto header = parse(file_of(
      "{" + tensor("b", "BF16", "[2,3]", "[4,16]") + "," + tensor("a", "F32", "[]", "[0,4]") + "," +
          tensor("none", "I64", "[0,5]", "[4,4]") + R"(,"__metadata__":{"format":"pt"}}   )",
      16));
  ASSERT_EQ(header.tensors.size(), 3u);
  const auto& [a, none, b] = std::tie(header.tensors[0], header.tensors[1], header.tensors[2]);
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.bytes, 4u);
  EXPECT_EQ(none.name, "none");
  EXPECT_EQ(none.bytes, 0u);
  EXPECT_EQ(b.name, "b");
  EXPECT_EQ(b.dtype, bfloat16);
  EXPECT_THAT(b.shape, ElementsAre(2, 3));
  EXPECT_EQ(b.offset, a.offset + 4);
  EXPECT_EQ(b.bytes, 12u);
  EXPECT_EQ(header.metadata.at("format"), "pt");
}

TEST(SafetensorsHeader, RefusesWhatIsNoHeader) {
  EXPECT_THAT(error_of([] { parse("1234567"); }), HasSubstr("w.safetensors: 7 bytes are too few"));
  EXPECT_THAT(error_of([] { parse(std::string(8, '\xff')); }),
              HasSubstr("header would have 18446744073709551615 bytes, at most 100000000"));
  EXPECT_THAT(error_of([] { parse(file_of("{}", 0).replace(0, 1, "\x09")); }),
              HasSubstr("the header has 9 bytes, but only 2 follow"));
  EXPECT_THAT(error_in(""), HasSubstr("no { begins"));
  EXPECT_THAT(error_in("  "), HasSubstr("no { begins"));
  EXPECT_THAT(error_in("\xef\xbb\xbf{}"), HasSubstr("no { begins"));  // a byte order mark
  EXPECT_THAT(error_in("[]"), HasSubstr("no { begins"));
  EXPECT_THAT(error_in("{\"a\""), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_in(std::string("{}\0\0", 4)), HasSubstr("not valid JSON"));
  EXPECT_TRUE(parse(file_of("{}", 0)).tensors.empty());
}

// What the reference's own reader (safetensors 0.8.0) takes and refuses.
TEST(SafetensorsHeader, IsAsStrictAsTheReference) {
  const std::string x = tensor("x", "F32", "[1]", "[0,4]");
  for (const std::string& header :
       {"{" + x + "}    ", "{" + x + "}\n\t ", "  {" + x + "}", "\n{" + x + "}",
        R"({"__metadata__":null,)" + x + "}", R"({"__metadata__":{},)" + x + "}",
        std::string(R"({"x":{"data_offsets":[0,4],"more":[{}],"shape":[1],"dtype":"F32"}})"),
        std::string(R"({"\u0061\ud83d\ude00":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})"),
        std::string(R"({"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})"),
        "{" + x + "," + tensor("z", "F32", "[0]", "[0,0]") + "," +
            tensor("w", "F32", "[0]", "[4,4]") + "}"})
    EXPECT_NO_THROW(parse(file_of(header, 4))) << header;
  EXPECT_TRUE(parse(file_of(R"({"__metadata__":null})", 0)).metadata.empty());
  for (const std::string& header :
       {R"({"__metadata__":{"a":null},)" + x + "}",
        R"({"__metadata__":{},"__metadata__":{},)" + x + "}",
        "{" + tensor("x", "f32", "[1]", "[0,4]") + "}",
        "{" + tensor("x", "F32", "[1e0]", "[0,4]") + "}",
        "{" + tensor("x", "F32", "[1]", "[-0,4]") + "}",
        "{" + tensor("x", "F32", "[1]", "[0,4,8]") + "}",
        "{" + x + "," + tensor("z", "F32", "[0]", "[2,2]") + "}", "{" + x + "}x",
        "{" + x + "}" + std::string(1, '\0'), std::string(R"({"x":null})"), std::string("   "),
        std::string(R"({"x":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})"),
        "{\"a\xff\":" + x.substr(4) + "}", "{\"a\nb\":" + x.substr(4) + "}",
        std::string(R"({"\ud83d":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})")})
    EXPECT_THROW(parse(file_of(header, 4)), std::runtime_error) << header;
}

// Models of experts have up to 90,000 tensors: the time must grow with their number, not its
// square.
TEST(SafetensorsHeader, ReadsAHundredThousandTensorsInSeconds) {
  std::string header = "{";
  for (int i = 0; i < 100'000; ++i)
    header += concat(i ? "," : "", tensor(concat("model.layers.", i, ".weight"), "U8", "[1,1]",
                                          concat("[", i, ",", i + 1, "]")));
  const std::clock_t before = std::clock();
  EXPECT_EQ(parse(file_of(header + "}", 100'000)).tensors.size(), 100'000u);
  EXPECT_LT(std::clock() - before, 10 * CLOCKS_PER_SEC);
}

TEST(SafetensorsHeader, RefusesRepeatedNames) {
  const auto a = tensor("a", "U8", "[1]", "[0,1]");
  EXPECT_THAT(error_in("{" + a + "," + a + "}", 1), HasSubstr("\"a\" stands twice"));
}

TEST(SafetensorsHeader, NamesUnknownDtypesAndThoseItKnows) {
  EXPECT_THAT(error_in("{" + tensor("x", "F8_E5M2", "[1]", "[0,1]") + "}", 1),
              AllOf(HasSubstr("tensor \"x\": dtype \"F8_E5M2\" is not one of"), HasSubstr("BF16"),
                    HasSubstr("C64")));
  EXPECT_THAT(error_in(R"({"x":{"dtype":3,"shape":[],"data_offsets":[0,1]}})", 1),
              HasSubstr("dtype is missing or not a text"));
}

TEST(SafetensorsHeader, RefusesBadShapes) {
  const auto error = [](const std::string& shape) {
    return error_in("{" + tensor("x", "F32", shape, "[0,4]") + "}", 4);
  };
  EXPECT_THAT(error("[-1]"), HasSubstr("tensor \"x\": shape: wanted an integer from 0"));
  EXPECT_THAT(error("[1.0]"), HasSubstr("got 1.0"));
  EXPECT_THAT(error("[\"1\"]"), HasSubstr("got string"));
  EXPECT_THAT(error("[2147483648]"), HasSubstr("from 0 to 2147483647, got 2147483648"));
  EXPECT_THAT(error("[99999999999999999999]"), HasSubstr("shape: wanted an integer"));
  EXPECT_THAT(error("[2147483647,2147483647,2147483647]"), HasSubstr("more than 2^63 bytes"));
  EXPECT_THAT(error("[0,2147483647,2147483647,2147483647]"), HasSubstr("more than 2^63 bytes"));
  EXPECT_THAT(error("3"), HasSubstr("shape is missing or not a list"));
  EXPECT_THAT(error("[2]"), HasSubstr("span 4 bytes, but shape [2] of F32 needs 8"));
  std::string ones = "[1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  EXPECT_THAT(error(ones + "]"), HasSubstr("65 dimensions, at most 64"));
}

TEST(SafetensorsHeader, RefusesBadPlaces) {
  const auto error = [](const std::string& offsets, size_t data_bytes = 4) {
    return error_in("{" + tensor("x", "F32", "[1]", offsets) + "}", data_bytes);
  };
  EXPECT_THAT(error("[0]"), HasSubstr("wanted [begin, end], got 1 numbers"));
  EXPECT_THAT(error("[4,0]"), HasSubstr("end before they begin"));
  EXPECT_THAT(error("[-4,0]"), HasSubstr("data_offsets: wanted an integer"));
  EXPECT_THAT(error("[0.0,4.0]"), HasSubstr("data_offsets: wanted an integer"));
  EXPECT_THAT(error("[0,4]", 3), HasSubstr("reach beyond the file, whose data is 3 bytes"));
  EXPECT_THAT(error("[18446744073709551612,18446744073709551615]"), HasSubstr("beyond the file"));
  EXPECT_THAT(error("[0,4]", 7), HasSubstr("3 bytes after the last tensor belong to none"));
  EXPECT_THAT(error("[2,6]", 6), HasSubstr("2 bytes before tensor \"x\" belong to none"));
  const auto two = [](const char* second) {
    return "{" + tensor("x", "F32", "[1]", "[0,4]") + "," + tensor("y", "F32", "[1]", second) + "}";
  };
  EXPECT_THAT(error_in(two("[2,6]"), 6), HasSubstr("\"x\" and \"y\" overlap"));
  EXPECT_THAT(error_in(two("[0,4]"), 4), HasSubstr("overlap"));
  EXPECT_THAT(error_in(two("[5,9]"), 9), HasSubstr("1 bytes before tensor \"y\""));
}

TEST(SafetensorsHeader, RefusesBadEntries) {
  EXPECT_THAT(error_in(R"({"x":3})"), HasSubstr("tensor \"x\": wanted an object"));
  EXPECT_THAT(error_in(R"({"x":{"dtype":"U8","shape":[0]}})"),
              HasSubstr("data_offsets is missing"));
  EXPECT_THAT(error_in(R"({"__metadata__":[]})"), HasSubstr("__metadata__ is not an object"));
  EXPECT_THAT(error_in(R"({"__metadata__":{"a":1}})"), HasSubstr("\"a\" is not a text"));
}

TEST(SafetensorsHeader, EveryTruncationIsAnError) {
  const std::string file =
      testing::content_of(testing::source_path("tests/data/io/all.safetensors"));
  ASSERT_GT(file.size(), 1000u);
  for (size_t n = 0; n < file.size(); ++n)
    EXPECT_THROW(parse(file.substr(0, n)), std::runtime_error) << n;
  EXPECT_THROW(parse(file + '\0'), std::runtime_error);
  EXPECT_EQ(parse(file).tensors.size(), size_t(kDtypes) + 3);
}

TEST(SafetensorsHeader, AnyChangedByteIsParsedOrRefused) {
  const std::string file =
      testing::content_of(testing::source_path("tests/data/io/all.safetensors"));
  int refused = 0;
  for (size_t i = 0; i < 1000; ++i)
    for (char c : {'\0', '\xff', '0', '"', '{', ','}) {
      std::string changed = file;
      changed[i] = c;
      try {
        for (const auto& t : parse(changed).tensors)
          ASSERT_LE(t.offset + t.bytes, file.size()) << "byte " << i;
      } catch (const std::runtime_error&) {
        ++refused;
      }
    }
  EXPECT_GT(refused, 3000);
}

TEST(SafetensorsHeader, WritesTheReferencesBytes) {
  const std::string file =
      testing::content_of(testing::source_path("tests/data/io/all.safetensors"));
  auto header = parse(file);
  const size_t data = header.tensors[0].offset;
  std::reverse(header.tensors.begin(), header.tensors.end());
  EXPECT_EQ(make_safetensors_header(header.tensors, header.metadata), file.substr(0, data));
  EXPECT_EQ(data % 8, 0u);
}

// Whatever its length, blanks fill the header up, so that the data begins at a multiple of 8.
TEST(SafetensorsHeader, IsFilledUpToAMultipleOfEight) {
  for (size_t n = 1; n <= 9; ++n) {
    std::vector<TensorInfo> tensors{{std::string(n, 'x'), float32, {1}, 0, 4}};
    const std::string header = make_safetensors_header(tensors, {});
    EXPECT_EQ(header.size() % 8, 0u) << n;
    EXPECT_LT(header.size() - header.rfind('}'), 9u) << n;
    const auto back = parse(header + std::string(4, 'd'));
    EXPECT_EQ(back.tensors.at(0).name, tensors[0].name);
    EXPECT_EQ(back.tensors[0].offset, header.size());
  }
}

TEST(SafetensorsHeader, RefusesTheMetadatasNameForATensor) {
  std::vector<TensorInfo> tensors{{"__metadata__", uint8, {}, 0, 0}};
  EXPECT_THAT(error_of<std::invalid_argument>([&] { make_safetensors_header(tensors, {}); }),
              HasSubstr("a tensor cannot be named __metadata__"));
}

TEST(SafetensorsHeader, RefusesNamesThatAreNotUtf8) {
  std::vector<TensorInfo> tensors{{"a\xff", uint8, {}, 0, 0}};
  EXPECT_THAT(error_of<std::invalid_argument>([&] { make_safetensors_header(tensors, {}); }),
              HasSubstr("the name \"a?\" is not UTF-8"));
}

}  // namespace
}  // namespace hearth
