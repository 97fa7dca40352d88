// Integers stay integers: one rule from floats to them, and no way through floats that loses bits.
#include "hearth/backend/cpu/isa.h"
#include "hearth/ops/ops.h"
#include "tests/close.h"

namespace hearth::testing {
namespace {

constexpr Dtype kIntegers[] = {uint8, uint16, uint32, uint64, int8, int16, int32, int64};

// Floats towards zero, NaN 0; saturated at 32 bits for signed ones up to i32, at 64 for others, and
// then wrapped.
__int128 as_integer(double x, Dtype d) {
  if (std::isnan(x)) return 0;
  const bool is_signed = kind_of(d) == Kind::i;
  const int bits = is_signed && size_of(d) <= 4 ? 32 : 64;
  const __int128 one = 1, low = -(one << (bits - 1)), high = (one << (bits - 1)) - 1;
  const __int128 most = d == uint64 ? (one << 64) - 1 : high;
  __int128 v = x >= 0x1p65 ? most : x <= -0x1p65 ? low : __int128(x);
  v = std::clamp(v, low, most);
  const __int128 range = one << (8 * size_of(d));
  v = (v % range + range) % range;
  return is_signed && v >= range / 2 ? v - range : v;
}

// A scalar, `full`, a list, a range, a cast, item and to_vector: all say the same.
TEST(Integers, FloatsBecomeThemByOneRule) {
  const double values[] = {0,      -0.0,   0.9,     -0.9,     1.5,         127.6, 128,    255.9,
                           256,    300,    -1,      -128,     -129,        32768, 65536,  2e9,
                           3e9,    -3e9,   5e9,     1e10,     -1e10,       9e18,  1e19,   2e19,
                           -1e19,  1e30,   -1e30,   INFINITY, -INFINITY,   NAN,   0x1p31, 0x1p32,
                           0x1p63, 0x1p64, -0x1p31, -0x1p63,  2147483647.0};
  for (const double value : values)
    for (const Dtype d : kIntegers)
      for (const Dtype from : {float32, float64}) {
        const double x = from == float32 ? double(float(value)) : value;
        const __int128 want = as_integer(x, d);
        const auto check = [&](const array& a, const char* what) {
          ASSERT_EQ(a.dtype(), d);
          const __int128 got =
              kind_of(d) == Kind::u ? __int128(a.item<uint64_t>()) : __int128(a.item<int64_t>());
          EXPECT_TRUE(got == want) << what << " of " << from << " " << x << " as " << d << ": "
                                   << double(got) << " is not " << double(want);
        };
        const array wide(x, from);
        check(astype(wide, d), "astype");
        const array many = copy(broadcast_to(wide, {37}));
        check(slice(astype(many, d), {36}, {37}), "astype of many");
        if (from == float32) {
          check(array(float(x), d), "array");
          check(full({1}, float(x), d), "full");
          check(array({float(x)}, {1}, d), "list");
        } else {
          check(array(x, d), "array");
          check(full({1}, x, d), "full");
          std::vector<double> one{x};
          check(array(one.begin(), {1}, d), "range");
        }
        visit(Integers{}, d, "item", [&]<class T>() {
          check(array(wide.item<T>(), d), "item");
          check(array(wide.to_vector<T>()[0], d), "to_vector");
        });
      }
  EXPECT_EQ(astype(array({NAN, 300.0f}, {2}, float16), uint8).to_vector<int>(),
            (std::vector<int>{0, 44}));
}

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
