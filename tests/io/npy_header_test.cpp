#include "hearth/io/npy_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

NpyHeader parse(const std::string& file) {
  return parse_npy_header(std::as_bytes(std::span(file)), "a.npy");
}
NpyHeader parse_golden(const std::string& name) {
  return parse(testing::content_of(testing::source_path(("tests/data/io/" + name).c_str())));
}
std::string file_of(const std::string& text, size_t data_bytes = 64) {
  return std::string("\x93NUMPY\1\0", 8) + char(text.size() & 255) + char(text.size() >> 8) + text +
         std::string(data_bytes, '\0');
}
std::string error_in(const std::string& text, size_t data_bytes = 64) {
  return error_of([&] { parse(file_of(text, data_bytes)); });
}
std::string error_with(const std::string& descr, const std::string& shape) {
  return error_in("{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + ", }\n");
}

TEST(NpyHeader, ReadsWhatNumPyWrites) {
  for (const char* name : {"version1.npy", "version2.npy", "version3.npy"}) {
    const auto header = parse_golden(name);
    EXPECT_EQ(header.dtype, int32);
    EXPECT_FALSE(header.fortran);
    EXPECT_FALSE(header.swapped);
    EXPECT_THAT(header.shape, ElementsAre(2, 3));
    EXPECT_EQ(header.bytes, 24u);
  }
  EXPECT_TRUE(parse_golden("fortran.npy").fortran);
  EXPECT_TRUE(parse_golden("big_endian_f4.npy").swapped);
  EXPECT_THAT(parse_golden("scalar.npy").shape, ElementsAre());
  EXPECT_THAT(parse_golden("empty.npy").shape, ElementsAre(3, 0, 2));
}

TEST(NpyHeader, WritesNumPysBytes) {
  const auto golden = [](const char* name) {
    const auto file =
        testing::content_of(testing::source_path((std::string("tests/data/io/") + name).c_str()));
    return file.substr(0, parse(file).offset);
  };
  EXPECT_EQ(make_npy_header(float64, {}), golden("scalar.npy"));
  const int32_t empty[] = {3, 0, 2};
  EXPECT_EQ(make_npy_header(float32, empty), golden("empty.npy"));
  const int32_t one[] = {5};
  EXPECT_THAT(parse(make_npy_header(bool_, one) + "12345").shape, ElementsAre(5));
  EXPECT_THAT(error_of<std::invalid_argument>([] { make_npy_header(bfloat16, {}); }),
              HasSubstr("NumPy has no bfloat16; save astype"));
}

TEST(NpyHeader, NamesTypesItLacksAndTheNextStep) {
  const auto error = [](const char* name) { return error_of([&] { parse_golden(name); }); };
  EXPECT_THAT(error("complex128.npy"), HasSubstr("type \"<c16\" is none hearth has; save it as"));
  EXPECT_THAT(error("object.npy"), HasSubstr("Python objects"));
  EXPECT_THAT(error("structured.npy"), HasSubstr("structured type"));
  EXPECT_THAT(error("void.npy"), HasSubstr("if it is bfloat16"));
  EXPECT_THAT(error_with("'!f4'", "()"), HasSubstr("type \"!f4\" is none"));
  EXPECT_THAT(error_with("''", "()"), HasSubstr("type \"\" is none"));
}

// Each was tried with NumPy 2.4.
TEST(NpyHeader, TakesWhatNumPyTakes) {
  const auto shape_of = [](const std::string& text) { return parse(file_of(text)).shape; };
  for (const char* text : {
           "{'descr':'<f4','fortran_order':False,'shape':(2,3)}\n",
           "{\"descr\": \"<f4\", \"fortran_order\": False, \"shape\": (2, 3)}\n",
           "{'shape': (2, 3), 'fortran_order': False, 'descr': '<f4'}\n",
           "{\t'descr':\t'<f4',\t'fortran_order':\tFalse, 'shape': (2,\t3)\t}\n",
           "{'descr': '<f4',\n 'fortran_order': False,\n 'shape': (2, 3)}\r\n",
           "  {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3,), }",
           "{u'descr': u'<f4', 'fortran_order': False, 'shape': (2L, 3L)}\n",
           "{r'descr': r'<f4',\f 'fortran_order': False, 'shape': (2, 3)}\n",
       })
    EXPECT_THAT(shape_of(text), ElementsAre(2, 3)) << text;
  EXPECT_THAT(shape_of("{'descr': '<f4', 'fortran_order': True, 'shape': (0,)}"), ElementsAre(0));
  EXPECT_THAT(error_with("'<f4'", "(3)"), HasSubstr("wanted (3,), for (3) is a number"));
  EXPECT_THAT(error_with("'<f4'", "(02, 3)"), HasSubstr("without a 0 before"));
  for (const char* shape : {"[2, 3]", "(2., 3)", "(,)", "(-1, 3)", "2", "(2,, 3)"})
    EXPECT_THAT(error_with("'<f4'", shape), HasSubstr("wanted")) << shape;
  EXPECT_THAT(error_in("{b'descr': '<f4'}"), HasSubstr("wanted"));
}

TEST(NpyHeader, TakesEveryNameOfAType) {
  const std::tuple<const char*, Dtype, bool> types[] = {
      {"|b1", bool_, false},    {"b1", bool_, false},        {"?", bool_, false},
      {"|?", bool_, false},     {"<i1", int8, false},        {">u1", uint8, false},
      {"<B", uint8, false},     {"f4", float32, false},      {"=f4", float32, false},
      {"|f4", float32, false},  {"<f", float32, false},      {">d", float64, true},
      {"<f2", float16, false},  {">f2", float16, true},      {">f4", float32, true},
      {">c8", complex64, true}, {"float32", float32, false}, {"int", int64, false},
      {"<i", int32, false},     {"<l", int64, false},        {">H", uint16, true},
      {"e", float16, false},    {">Q", uint64, true},        {"bool", bool_, false},
  };
  for (const auto& [name, dtype, swapped] : types) {
    const auto header = parse(
        file_of(std::string("{'descr': '") + name + "', 'fortran_order': False, 'shape': (2,)}"));
    EXPECT_EQ(header.dtype, dtype) << name;
    EXPECT_EQ(header.swapped, swapped) << name;
    EXPECT_EQ(header.bytes, 2 * size_of(dtype)) << name;
  }
  for (const char* name : {"'<float32'", "'<x4'", "'f'4", "'<M8[ns]'", "None", "'4f'", "'>'"})
    EXPECT_NE(error_with(name, "(2,)"), "") << name;
}

TEST(NpyHeader, RefusesBadHeaders) {
  EXPECT_THAT(error_of([] { parse("not npy at all"); }), HasSubstr("not a .npy file"));
  EXPECT_THAT(error_of([] { parse(std::string("\x93NUMPY\4\0\0\0", 10)); }),
              HasSubstr("version 4.0 is not 1.0, 2.0 or 3.0"));
  EXPECT_THAT(error_of([] { parse(std::string("\x93NUMPY\1\1\0\0", 10)); }),
              HasSubstr("version 1.1"));
  EXPECT_THAT(error_of([] { parse(std::string("\x93NUMPY\2\0\xff\xff\xff\xff", 12)); }),
              HasSubstr("header of 4294967295 bytes, at most 65536"));
  EXPECT_THAT(error_of([] { parse(std::string("\x93NUMPY\1\0\x40\0{", 11)); }),
              HasSubstr("has 64 bytes, but only 1 follow"));
  EXPECT_THAT(error_in("{'descr': '<f4', 'fortran_order': False, }"), HasSubstr("wanted descr"));
  EXPECT_THAT(error_in("{'descr': '<f4', 'descr': '<f4'}"), HasSubstr("each key once"));
  EXPECT_THAT(error_in("{'evil': 1}"), HasSubstr("key \"evil\" is not known"));
  EXPECT_THAT(error_in("{'descr': open('x')}"), HasSubstr("wanted '\"', got \"open"));
  EXPECT_THAT(error_in("{'descr': '<f4"), HasSubstr("wanted the end of a text"));
  EXPECT_THAT(error_in("{'fortran_order': 1}"), HasSubstr("wanted True or False"));
  EXPECT_THAT(error_in("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} + 1"),
              HasSubstr("wanted nothing more"));
}

TEST(NpyHeader, RefusesBadShapes) {
  EXPECT_THAT(error_with("'<f4'", "(-1,)"), HasSubstr("shape of integers"));
  EXPECT_THAT(error_with("'<f4'", "(2147483648,)"), HasSubstr("shape of integers"));
  EXPECT_THAT(error_with("'<f4'", "(1 2)"), HasSubstr("wanted ')'"));
  EXPECT_THAT(error_with("'<f4'", "(2147483647, 2147483647, 2147483647)"), HasSubstr("2^63"));
  EXPECT_THAT(error_with("'<f4'", "(17,)"), HasSubstr("need 68 bytes, but only 64 follow"));
  std::string many = "(";
  for (int i = 0; i < 65; ++i) many += "1,";
  EXPECT_THAT(error_with("'<f4'", many + ")"), HasSubstr("at most 64 dimensions"));
}

TEST(NpyHeader, EveryTruncationIsAnError) {
  for (const char* name : {"version1.npy", "version3.npy", "big_endian_c8.npy"}) {
    const auto file =
        testing::content_of(testing::source_path((std::string("tests/data/io/") + name).c_str()));
    for (size_t n = 0; n < file.size(); ++n)
      EXPECT_THROW(parse(file.substr(0, n)), std::runtime_error) << name << " cut to " << n;
    EXPECT_NO_THROW(parse(file));
  }
}

}  // namespace
}  // namespace hearth
