#include "hearth/io/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/temp_folder.h"

namespace hearth {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string parse_error(std::string_view text) {
  return error_of([&] { parse_json(text, "config.json"); });
}

TEST(Json, NamesTheFileTheByteAndTheReason) {
  EXPECT_THAT(parse_error("{\"a\": 1,}"),
              AllOf(HasSubstr("config.json: not valid JSON: byte 9"), HasSubstr("unexpected '}'")));
  EXPECT_THAT(parse_error(""), HasSubstr("unexpected end of input"));
  EXPECT_THAT(parse_error("[1, 2] x"), HasSubstr("byte 8"));
  EXPECT_THAT(parse_error("\"\xff\""), HasSubstr("invalid string"));
  EXPECT_THAT(parse_error(std::string_view("{}\0x", 4)), HasSubstr("byte 3 is zero"));
  EXPECT_THAT(parse_error("[1e999]"), HasSubstr("number overflow"));
}

TEST(Json, RefusesWhatPythonWritesButJsonLacks) {
  EXPECT_THAT(parse_error("{\"a\": NaN}"), HasSubstr("byte 7: NaN is not a value JSON knows"));
  EXPECT_THAT(parse_error("{\"a\": Infinity}"), HasSubstr(": Infinity is not"));
  EXPECT_THAT(parse_error("{\"a\": -Infinity}"), HasSubstr(": -Infinity is not"));
}

TEST(Json, RefusesRepeatedKeysInOneObjectOnly) {
  EXPECT_THAT(parse_error("{\"a\": 1, \"b\": {}, \"a\": 2}"), HasSubstr("\"a\" stands twice"));
  EXPECT_EQ(parse_json("{\"a\": {\"a\": [{\"a\": 1}, {\"a\": 2}]}, \"b\": 0}", "x").size(), 2u);
}

TEST(Json, BoundsTheDepth) {
  EXPECT_NO_THROW(parse_json(std::string(64, '[') + std::string(64, ']'), "x"));
  EXPECT_THAT(parse_error(std::string(65, '[') + std::string(65, ']')),
              HasSubstr("deeper than 64"));
  EXPECT_THAT(parse_error(std::string(1 << 20, '[')), HasSubstr("deeper than 64"));
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  EXPECT_THAT(parse_error(objects), HasSubstr("deeper than 64"));
}

TEST(Json, KeepsErrorsShortAndPrintable) {
  const std::string error = parse_error("[\"" + std::string(1 << 20, '\x01'));
  EXPECT_LT(error.size(), 400u);
  EXPECT_EQ(in_quotes("a\n\x1b[31m\xc3\xa4"), "\"a??[31m??\"");
  EXPECT_EQ(in_quotes(std::string(200, 'x')), '"' + std::string(100, 'x') + "...\"");
}

TEST(JsonObject, ReadsTypedFields) {
  const auto config = JsonObject::parse(R"({"layers": 32, "zero": 0, "eps": 1e-5, "ten": 10,
      "tie": false, "act": "gelu_new", "eos": [1, 2], "bos": 3, "nothing": null,
      "rope": {"theta": 10000.0, "deep": {"x": "y"}}})",
                                        "config.json");
  EXPECT_EQ(config.positive("layers"), 32);
  EXPECT_EQ(config.natural("zero"), 0);
  EXPECT_EQ(config.number("eps"), 1e-5);
  EXPECT_EQ(config.positive_number("ten"), 10.0);
  EXPECT_FALSE(config.flag("tie"));
  EXPECT_EQ(config.text("act"), "gelu_new");
  EXPECT_THAT(config.naturals("eos"), ElementsAre(1, 2));
  EXPECT_THAT(config.naturals("bos"), ElementsAre(3));
  EXPECT_THAT(config.naturals("pad"), IsEmpty());
  EXPECT_EQ(config.object("rope").number("theta"), 10000.0);
  EXPECT_EQ(config.object("rope").object("deep").text("x"), "y");
  EXPECT_THAT(config.object("absent").keys(), IsEmpty());
  EXPECT_THAT(config.object("rope").keys(), ElementsAre("deep", "theta"));
  EXPECT_TRUE(config.has("zero"));
  EXPECT_FALSE(config.has("nothing"));
  EXPECT_EQ(config.raw().at("eos").size(), 2u);
}

TEST(JsonObject, TakesIntegersThatAreWrittenAsFloats) {
  const auto config = JsonObject::parse(
      R"({"a": 2048.0, "b": -0.0, "c": [2.0, 3e2], "d": 2147483647.0, "e": 2147483648.0,
          "f": 2147483646.5, "g": 1e300, "h": -1.0})",
      "config.json");
  EXPECT_EQ(config.positive("a"), 2048);
  EXPECT_EQ(config.natural("b"), 0);
  EXPECT_THAT(config.naturals("c"), ElementsAre(2, 300));
  EXPECT_EQ(config.positive("d"), 2147483647);
  for (const char* key : {"e", "f", "g", "h"})
    EXPECT_THROW(config.natural(key), std::runtime_error) << key;
}

TEST(JsonObject, FallsBackOnlyWhenAbsentOrNull) {
  const auto config = JsonObject::parse(R"({"nothing": null, "wrong": "text"})", "config.json");
  EXPECT_EQ(config.positive("nothing", 7), 7);
  EXPECT_EQ(config.text("absent", "word"), "word");
  EXPECT_TRUE(config.flag("absent", true));
  EXPECT_THROW(config.positive("wrong", 7), std::runtime_error);
  EXPECT_THROW(config.flag("wrong", true), std::runtime_error);
}

TEST(JsonObject, SaysWhatItGotAndWanted) {
  const auto config = JsonObject::parse(R"({"a": "abc", "b": -3, "c": 0, "d": 1.5, "e": 4294967296,
      "f": [1], "g": {"h": true}, "i": [1, -1]})",
                                        "config.json");
  const auto positive = [&](const char* key) { return error_of([&] { config.positive(key); }); };
  EXPECT_EQ(positive("a"), "config.json: a: wanted a positive integer below 2^31, got \"abc\"");
  EXPECT_THAT(positive("b"), HasSubstr("got -3"));
  EXPECT_THAT(positive("c"), HasSubstr("got 0"));
  EXPECT_THAT(positive("d"), HasSubstr("got 1.5"));
  EXPECT_THAT(positive("e"), HasSubstr("got 4294967296"));
  EXPECT_THAT(positive("f"), HasSubstr("got a list"));
  EXPECT_THAT(positive("none"), HasSubstr("config.json: none is missing"));
  EXPECT_THAT(error_of([&] { config.object("g").number("h"); }),
              HasSubstr("config.json: g.h: wanted a number, got true"));
  EXPECT_THAT(error_of([&] { config.positive_number("c"); }), HasSubstr("positive number, got 0"));
  EXPECT_THAT(error_of([&] { config.naturals("i"); }), HasSubstr("i: wanted an integer from 0"));
  EXPECT_THAT(error_of([&] { config.object("a"); }), HasSubstr("a: wanted an object, got \"abc\""));
  EXPECT_THAT(error_of([&] { config.text("b"); }), HasSubstr("b: wanted a text, got -3"));
  EXPECT_THAT(error_of([&] { config.flag("c"); }), HasSubstr("c: wanted true or false, got 0"));
  EXPECT_THAT(error_of([] { JsonObject::parse("[]", "config.json"); }),
              HasSubstr("config.json: wanted an object, got a list"));
}

TEST(JsonObject, ReadsFiles) {
  testing::TempFolder folder;
  const auto path = folder.write("config.json", "{\"a\": 1}");
  EXPECT_EQ(JsonObject::read(path).positive("a"), 1);
  EXPECT_EQ(read_json(path).size(), 1u);
  EXPECT_THAT(error_of([&] { JsonObject::read(folder / "none.json"); }), HasSubstr("no such file"));
}

}  // namespace
}  // namespace hearth
