// The kinds of exceptions: std::out_of_range for axes and places, std::overflow_error for sizes
// that no shape can hold, std::invalid_argument for the rest.
#include <gtest/gtest.h>

#include "hearth/ops/ops.h"

namespace hearth {
namespace {

using Call = std::pair<const char*, std::function<void()>>;

template <class Error>
void expect_all(const std::vector<Call>& calls) {
  for (const auto& [name, call] : calls) {
    try {
      call();
      ADD_FAILURE() << name << " does not throw";
    } catch (const Error& e) {
      EXPECT_STRNE(e.what(), "") << name;
    } catch (const std::exception& e) {
      ADD_FAILURE() << name << " throws another kind: " << e.what();
    }
  }
}

TEST(Errors, OfAnAxisThatIsNotThere) {
  const array x = zeros({2, 3}), i = array({0, 1});
  expect_all<std::out_of_range>({
      {"shape", [&] { x.shape(2); }},
      {"sum", [&] { sum(x, 2); }},
      {"mean",
       [&] {
         mean(x, std::vector<int>{0, -3});
       }},
      {"var", [&] { var(x, 5); }},
      {"median", [&] { median(x, 5); }},
      {"argmax", [&] { argmax(x, 2); }},
      {"logsumexp", [&] { logsumexp(x, 2); }},
      {"softmax", [&] { softmax(x, -3); }},
      {"cumsum", [&] { cumsum(x, 2); }},
      {"sort", [&] { sort(x, 2); }},
      {"topk", [&] { topk(x, 1, 2); }},
      {"partition", [&] { partition(x, 1, 2); }},
      {"diff", [&] { diff(x, 1, 2); }},
      {"take", [&] { take(x, i, 2); }},
      {"take of a number", [&] { take(x, 2, 0); }},
      {"take_along_axis", [&] { take_along_axis(x, x, 2); }},
      {"gather",
       [&] {
         gather(x, i, 2, {1, 3});
       }},
      {"gather from the back",
       [&] {
         gather(x, i, -1, {1, 3});
       }},
      {"scatter from the back",
       [&] {
         scatter(x, i, zeros({2, 1, 3}), -1);
       }},
      {"squeeze", [&] { squeeze(x, 2); }},
      {"expand_dims", [&] { expand_dims(x, 4); }},
      {"swapaxes", [&] { swapaxes(x, 0, 2); }},
      {"moveaxis", [&] { moveaxis(x, 2, 0); }},
      {"concatenate",
       [&] {
         concatenate({x, x}, 2);
       }},
      {"stack",
       [&] {
         stack({x, x}, 3);
       }},
      {"split", [&] { split(x, 1, 2); }},
      {"unflatten", [&] { unflatten(x, 2, {1}); }},
      {"repeat", [&] { repeat(x, 2, 2); }},
      {"roll", [&] { roll(x, 1, 2); }},
      {"flip", [&] { flip(x, 2); }},
      {"pad", [&] { pad(x, std::vector<int>{2}, Shape{1}, Shape{1}); }},
      {"diagonal", [&] { diagonal(x, 0, 0, 2); }},
      {"trace", [&] { trace(x, 0, 0, 2); }},
      {"tensordot", [&] { tensordot(x, x, {2}, {0}); }},
      {"vecdot", [&] { vecdot(x, x, 2); }},
  });
}

TEST(Errors, OfSizesThatDoNotFit) {
  const array x = zeros({2, 3}), huge = zeros({1 << 30, 2});
  const int most = INT32_MAX;
  expect_all<std::overflow_error>({
      {"zeros",
       [&] {
         zeros({1 << 16, 1 << 16, 1 << 17});
       }},
      {"broadcast_to",
       [&] {
         broadcast_to(x, {1 << 24, 1 << 24, 2, 3});
       }},
      {"tile", [&] { tile(x, {1 << 30}); }},
      {"tile of all",
       [&] {
         tile(huge, {1 << 20, 1 << 20});
       }},
      {"repeat", [&] { repeat(x, most, 0); }},
      {"pad", [&] { pad(x, most); }},
      {"flatten", [&] { flatten(huge); }},
      {"reshape", [&] { reshape(huge, {-1}); }},
      {"concatenate",
       [&] {
         concatenate({huge, huge, huge}, 0);
       }},
      {"kron", [&] { kron(huge, huge); }},
      {"outer", [&] { outer(zeros({most}), zeros({1 << 20})); }},
      {"diag", [&] { diag(zeros({50000})); }},
      {"conv_transpose1d",
       [&] {
         conv_transpose1d(zeros({1, 1 << 16, 1}), zeros({1, 1, 1}), 1 << 16);
       }},
  });
  try {
    tile(x, {1 << 30});
  } catch (const std::overflow_error& e) {
    EXPECT_NE(std::string(e.what()).find("3221225472"), std::string::npos) << e.what();
  }
}

TEST(Errors, OfAllElse) {
  const array x = zeros({2, 3});
  expect_all<std::invalid_argument>({
      {"axes named twice",
       [&] {
         sum(x, std::vector<int>{0, -2});
       }},
      {"no permutation of the axes, as in MLX",
       [&] {
         transpose(x, {0, 2});
       }},
      {"shapes that do not broadcast", [&] { x + zeros({2}); }},
      {"reshape", [&] { reshape(x, {7}); }},
      {"negative size", [&] { zeros({-1}); }},
      {"kth", [&] { partition(x, 3, 1); }},
      {"indices of floats", [&] { take(x, x, 0); }},
      {"matmul", [&] { matmul(x, x); }},
      {"unique", [&] { unique(x, -1); }},
      {"unique of nothing", [&] { unique(zeros({0}), 1); }},
  });
}

}  // namespace
}  // namespace hearth
