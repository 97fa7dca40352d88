// Integers stay integers: no way through floats that loses bits.
#include "hearth/ops/ops.h"
#include "tests/close.h"

namespace hearth::testing {
namespace {

TEST(Integers, KeepAllTheirBits) {
  const int64_t big = (int64_t{1} << 60) + 12345;
  const array x({big, big + 1, -big}, {3}, int64), u(~uint64_t{0} - 54);
  const auto same = [](const array& got, const std::vector<int64_t>& want) {
    EXPECT_EQ(got.to_vector<int64_t>(), want);
  };
  same(x + 1, {big + 1, big + 2, -big + 1});
  same(x * 3 - x * 2, {big, big + 1, -big});
  same(floor_divide(x, array(7)), {big / 7, (big + 1) / 7, -(big / 7) - 1});
  same(x % 1000, {big % 1000, (big + 1) % 1000, 1000 - big % 1000});
  same(maximum(x, array(int64_t{big + 1})), {big + 1, big + 1, big + 1});
  same(cumsum(x), {big, 2 * big + 1, big + 1});
  same(sort(x), {-big, big, big + 1});
  same(array({max(x).item<int64_t>(), min(x).item<int64_t>(), sum(x).item<int64_t>()}, {3}, int64),
       {big + 1, -big, big + 1});
  const auto hundreds = [](int64_t v) { return (v + 50) / 100 * 100; };  // none is in the middle
  same(round(x, -2), {hundreds(big), hundreds(big + 1), -hundreds(big)});
  same(round(array({250, 350, -250, -251, 149, 150}, {6}, int64), -2),
       {200, 400, -200, -300, 100, 200});
  same(round(array({big}, {1}, int64), -19), {0});
  EXPECT_EQ(round(u, -2).item<uint64_t>(), ~uint64_t{0} - 54 - (~uint64_t{0} - 54) % 100 + 100);
  EXPECT_EQ(round(array(uint8_t{250}), -2).item<int>(), 200);  // half to even
  EXPECT_EQ(argmax(x).item<int>(), 1);
  EXPECT_TRUE((x == array({big, big, -big}, {3}, int64)).to_vector<bool>()[0]);
  EXPECT_FALSE((x == array({big, big, -big}, {3}, int64)).to_vector<bool>()[1]);
  same(power(array(int64_t{3}), array(int64_t{39})), {4052555153018976267});
  same(arange(0x1p60, 0x1p60 + 4096, 1024.0, int64),
       {int64_t{1} << 60, (int64_t{1} << 60) + 1024, (int64_t{1} << 60) + 2048,
        (int64_t{1} << 60) + 3072});
  same(prod(array({int64_t{3000000019}, int64_t{3}}, {2}, int64)), {9000000057});
  EXPECT_EQ(prod(array({70000, 70000}, {2}, int32)).item<int>(),
            int(4900000000 - (int64_t{1} << 32)));
  EXPECT_EQ(mean(array({16777217, 16777219}, int32)).item<float>(), 16777218.0f);
}

}  // namespace
}  // namespace hearth::testing
