// Sentences of errors.
#include "hearth/base/error.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(error, numbers_are_as_short_as_they_can_be) {
  EXPECT_EQ(concat("p = ", -1.0, ", ", 0.1f, ", ", 0.1, ", ", 1e300, ", ", 3),  //
            "p = -1, 0.1, 0.1, 1e+300, 3");
  EXPECT_EQ(concat(1.0 / 0.0, " ", -1.0f / 0.0f, " ", true, 'c'), "inf -inf truec");
}

}  // namespace
}  // namespace hearth
