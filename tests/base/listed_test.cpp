// Names in a sentence.
#include "hearth/base/listed.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace hearth {
namespace {

TEST(listed, shows_the_first_twenty_and_how_many_more) {
  EXPECT_EQ(listed(std::vector<int>{}), "");
  EXPECT_EQ(listed(std::set<std::string>{"b", "a"}), "a, b");
  EXPECT_EQ(listed(std::vector<int>{1, 2, 3}, "; ", 3), "1; 2; 3");
  EXPECT_EQ(listed(std::vector<int>{1, 2, 3, 4}, "; ", 3), "1; 2; 3; and 1 more");
  const std::string all = listed(std::vector<int>(20, 7));
  EXPECT_EQ(all.find("more"), all.npos);
  EXPECT_TRUE(listed(std::vector<int>(21, 7)).ends_with("7, 7, and 1 more"));
  EXPECT_TRUE(listed(std::vector<int>(100'000, 7)).ends_with(", and 99980 more"));
}

}  // namespace
}  // namespace hearth
