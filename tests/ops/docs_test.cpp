// docs/add_an_op.md shows code that is compiled and run: it stands in examples/own_op.cpp.
#include <gtest/gtest.h>

#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

TEST(AddAnOpDocs, TheirCodeIsTheExamples) {
  const std::string docs = testing::content_of(testing::source_path("docs/add_an_op.md")),
                    example = testing::content_of(testing::source_path("examples/own_op.cpp"));
  const std::string fence = "```", begin = fence + "cpp\n";
  int blocks = 0;
  for (size_t at = docs.find(begin); at != docs.npos; at = docs.find(begin, at)) {
    at += begin.size();
    const std::string code = docs.substr(at, docs.find(fence, at) - at);
    EXPECT_NE(example.find(code), example.npos) << "not in examples/own_op.cpp:\n" << code;
    ++blocks;
  }
  EXPECT_EQ(blocks, 1);
}

}  // namespace
}  // namespace hearth
