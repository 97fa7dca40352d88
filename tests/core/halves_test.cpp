// Halves in programs' own code.
#include "hearth/core/halves.h"

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

namespace hearth {
namespace {

template <class H>
class HostHalves : public ::testing::Test {};
using Both = ::testing::Types<float16_t, bfloat16_t>;
TYPED_TEST_SUITE(HostHalves, Both);

TYPED_TEST(HostHalves, ComputeAsFloats) {
  using H = TypeParam;
  const H a(1.5f), b(2.0f);
  static_assert(std::is_same_v<decltype(a + b), H>);
  static_assert(std::is_same_v<decltype(a + 1.0f), float>);
  static_assert(std::is_same_v<decltype(a + 1), H> && std::is_same_v<decltype(2u / a), H>);
  static_assert(std::is_same_v<decltype(a * 1.0), double>);
  static_assert(std::is_same_v<decltype(a * float16_t(1.0f) + bfloat16_t(1.0f)), float>);
  EXPECT_EQ(float(a + b), 3.5f);
  EXPECT_EQ(float(a - b), -0.5f);
  EXPECT_EQ(a * 2, 3.0f);
  EXPECT_EQ(float(b / a), float(H(2.0f / 1.5f)));
  EXPECT_EQ(float(-a), -1.5f);
  H c = a;
  c += b;
  c *= 2.0f;
  EXPECT_EQ(c, 7);
}

TYPED_TEST(HostHalves, CompareAsFloats) {
  using H = TypeParam;
  const H a(1.5f), b(2.0f), nan(NAN), zero(0.0f), minus(-0.0f);
  EXPECT_TRUE(a < b && b >= a && a != b && a == 1.5 && 1 < a);
  EXPECT_TRUE(zero == minus);
  EXPECT_FALSE(nan == nan || nan < a || nan >= a);
  std::ostringstream out;
  out << a;
  EXPECT_EQ(out.str(), "1.5");
}

}  // namespace
}  // namespace hearth
