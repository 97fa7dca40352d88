// Sizes, offsets and places that are computed: what does not fit is an error before anything is
// allocated, never a number that wrapped.
#include "hearth/ops/ops.h"
#include "tests/close.h"

namespace hearth::testing {
namespace {

constexpr int kLow = std::numeric_limits<int>::min(), kHigh = std::numeric_limits<int>::max();

TEST(Sizes, ThatDoNotFitAreErrors) {
  // Views of one element, or of none: nothing is allocated by being large.
  const array none = zeros({0, 65536}), wide = zeros({65536, 65536}, int8),
              flat = zeros({kHigh}, int8), image = zeros({1, 65536, 65536, 1}, float16);
  const array kernel = zeros({1, 1, 1, 1}, float16);
  const std::pair<const char*, std::function<array()>> calls[] = {
      {"tile",
       [&] {
         return tile(none, {1, 65537});
       }},
      {"tile of many", [&] { return tile(flat, {2}); }},
      {"repeat", [&] { return repeat(none, 65537, 1); }},
      {"repeat of many", [&] { return repeat(flat, 2); }},
      {"kron",
       [&] {
         return kron(none, zeros({1, 65537}));
       }},
      {"outer", [&] { return outer(wide, array({1}, int32)); }},
      {"outer, second", [&] { return outer(array({1}, int32), wide); }},
      {"tensordot",
       [&] {
         return tensordot(zeros({65536, 65536, 1}), zeros({1, 1}), {2}, {0});
       }},
      {"flatten", [&] { return flatten(wide); }},
      {"meshgrid",
       [&] {
         return meshgrid({wide, array({1}, int32)})[0];
       }},
      {"kron of many", [&] { return kron(flat, zeros({2}, int8)); }},
      {"pad",
       [&] {
         return pad(none, {{0, 0}, {kHigh, 1}});
       }},
      {"concatenate",
       [&] {
         return concatenate({flat, flat}, 0);
       }},
      {"diag", [&] { return diag(zeros({3}), kHigh); }},
      {"diag, below", [&] { return diag(zeros({3}), kLow); }},
      {"arange", [&] { return arange(0.0, 1e10); }},
      {"arange of too large", [&] { return arange(1e30, 2e30, 1e30, int64); }},
      {"broadcast_to",
       [&] {
         return broadcast_to(zeros({1}), {kHigh, kHigh, kHigh});
       }},
      {"as_strided",
       [&] {
         return as_strided(zeros({4}), {2, 2}, {INT64_MAX, 2}, 0);
       }},
      {"full",
       [&] {
         return full({kHigh, kHigh, kHigh}, 1);
       }},
      {"roll",
       [&] {
         return roll(zeros({3}), Shape{kHigh, kHigh}, 0);
       }},
      {"view", [&] { return view(zeros({kHigh}), int8); }},
      {"bits",
       [&] {
         return random::bits({kHigh, kHigh, kHigh}, 4, random::key(1));
       }},
      {"conv, input dilation",
       [&] {
         return conv_general(image, kernel, {1}, {0}, {kHigh / 2}, {kHigh, kHigh});
       }},
      {"conv_transpose",
       [&] {
         return conv_transpose2d(zeros({1, 2, 2, 1}), zeros({1, 3, 3, 1}), {1, 1}, {0, 0},
                                 {kHigh, kHigh});
       }},
  };
  for (const auto& [name, call] : calls) {
    try {
      call();
      ADD_FAILURE() << name << " does not throw";
    } catch (const std::overflow_error&) {    // a size that is computed
    } catch (const std::invalid_argument&) {  // one that is given
    }
  }
}

TEST(Sizes, AtTheEdgesAreRight) {
  const array x = reshape(arange(1, 10), {3, 3}), zero = zeros_like(x);
  EXPECT_TRUE(array_equal(triu(x, kLow), x).item<bool>());
  EXPECT_TRUE(array_equal(triu(x, kHigh), zero).item<bool>());
  EXPECT_TRUE(array_equal(tril(x, kLow), zero).item<bool>());
  EXPECT_TRUE(array_equal(tril(x, kHigh), x).item<bool>());
  EXPECT_TRUE(array_equal(eye(3, 3, kLow), zeros({3, 3})).item<bool>());
  EXPECT_TRUE(array_equal(tri(3, 3, kHigh, int32), ones({3, 3}, int32)).item<bool>());
  EXPECT_EQ(diagonal(x, kLow).size(), 0u);
  EXPECT_EQ(diagonal(x, kHigh).size(), 0u);
  EXPECT_EQ(diagonal(zeros({1, kHigh}, int8)).to_vector<int>(), std::vector<int>{0});
  EXPECT_EQ(trace(x, kLow, 0, 1).item<int>(), 0);
  EXPECT_TRUE(array_equal(roll(x, kLow, 1), roll(x, -2, 1)).item<bool>());  // -2^31 = -2 mod 3
  EXPECT_TRUE(array_equal(roll(x, kHigh, 0), roll(x, 1, 0)).item<bool>());
  EXPECT_TRUE(array_equal(slice(x, {kLow, 0}, {kHigh, kHigh}), x).item<bool>());
  EXPECT_TRUE(array_equal(slice(x, {kHigh, 0}, {kLow, 3}, {-1, 1}), flip(x, 0)).item<bool>());
  EXPECT_EQ(slice(x, {0, 0}, {3, 3}, {kHigh, kHigh}).to_vector<int>(), std::vector<int>{1});
  EXPECT_EQ(split(x, Shape{kLow, kHigh}, 0).size(), 3u);
  EXPECT_EQ(tile(zeros({0, 65536}), {5, 1}).shape(), (Shape{0, 65536}));
  EXPECT_EQ(kron(zeros({0, 3}), zeros({2, 3})).shape(), (Shape{0, 9}));
  EXPECT_EQ(arange(kLow, kLow + 3, 1).to_vector<int>(),
            (std::vector<int>{kLow, kLow + 1, kLow + 2}));
  EXPECT_EQ(arange(kHigh, kLow, kLow).to_vector<int>(), (std::vector<int>{kHigh, -1}));
  EXPECT_EQ(linspace(0, 1, 1).size(), 1u);
  EXPECT_EQ(diff(x, kHigh).shape(), (Shape{3, 0}));
}

}  // namespace
}  // namespace hearth::testing
