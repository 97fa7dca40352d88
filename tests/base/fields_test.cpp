// HEARTH_FIELDS: visiting, and what a compiler says of a struct that lists too much or nothing.
#include "hearth/base/fields.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "hearth/base/error.h"
#include "hearth/base/values.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

struct Three {
  int a = 1;
  float b = 2;
  std::optional<std::vector<bool>> c = std::vector<bool>{true, false};
  HEARTH_FIELDS(a, b, c)
};
struct Nothing {
  HEARTH_FIELDS()
};

TEST(Fields, AreVisitedInOrder) {
  std::string names;
  Three three;
  three.fields([&](const char* name, auto&) { names += name; });
  EXPECT_EQ(names, "abc");
  Nothing().fields([&](const char*, auto&) { names += "?"; });
  EXPECT_EQ(names, "abc");
}

TEST(Fields, AreValues) {
  Three x, y;
  EXPECT_EQ(fields_text(x), "a=1, b=2, c=[true, false]");
  EXPECT_TRUE(same(x, y));
  y.c->back() = true;
  EXPECT_FALSE(same(x, y));
  EXPECT_NE(hash_of(x), hash_of(y));
  y.c.reset();
  EXPECT_EQ(fields_text(y), "a=1, b=2, c=none");
  EXPECT_EQ(fields_text(Nothing()), "");
}

#define SUM(x) +x
TEST(Each, AppliesAMacro) {
  EXPECT_EQ(0 HEARTH_EACH(SUM, 1, 2, 3), 6);
  EXPECT_EQ(0 HEARTH_EACH(SUM), 0);
}
#undef SUM

// The compiler's words on a program.
std::string compiled(const std::string& text) {
  const testing::TempFolder folder;
  const auto source = folder / "program.cpp", log = folder / "log";
  std::ofstream(source) << text;
  const std::string command =
      concat("c++ -std=c++20 -fsyntax-only -I", testing::source_dir().string(), " -I",
             testing::generated_dir().string(), " ", source.string(), " >", log.string(), " 2>&1");
  const int status = std::system(command.c_str());
  return status == 0 ? "" : testing::content_of(log);
}
int errors(const std::string& said) {
  int n = 0;
  for (size_t at = 0; (at = said.find("error:", at)) != said.npos; ++at) ++n;
  return n;
}

TEST(Fields, WhatDoesNotBelongThereIsOneSentence) {
  if (std::system("c++ --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "there is no compiler";
  if (!std::filesystem::exists(testing::source_path("hearth/nn/layers.h")) ||
      !std::filesystem::exists(testing::generated_dir()))
    GTEST_SKIP() << "the tests were carried here without the headers";
  const std::string module =
      "#include \"hearth/nn/layers.h\"\n"
      "struct M { hearth::nn::Linear a{2, 2}; MEMBER HEARTH_FIELDS(a, b) };\n"
      "int main() { M m; return int(hearth::nn::parameters(m).size()); }\n";
  const auto with = [&](const char* member) {
    std::string text = module;
    return compiled(text.replace(text.find("MEMBER"), 6, member));
  };
  EXPECT_EQ(with("hearth::nn::Linear b{2, 2};"), "");
  for (const char* member :
       {"int b = 3;", "std::vector<int> b;", "std::optional<float> b;", "std::string b;"}) {
    const std::string said = with(member);
    EXPECT_NE(said.find("HEARTH_FIELDS lists a member that is no parameter"), said.npos) << said;
    EXPECT_EQ(errors(said), 1) << said;
  }
  const std::string said = compiled(
      "#include \"hearth/ops/primitives.h\"\nusing namespace hearth;\n"
      "struct P : OwnOp<P> { int axis = 0; std::string_view name() const override { return {}; }\n"
      "  Specs infer(std::span<const array>) const override { return {}; } };\nP p;\n");
  EXPECT_NE(said.find("a primitive lists its parameters: HEARTH_FIELDS"), said.npos) << said;
}

}  // namespace
}  // namespace hearth
