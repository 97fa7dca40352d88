// Indices from outside: out of range they throw, and never touch memory that is not theirs.
#include "hearth/ops/index.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "hearth/backend/pool.h"
#include "hearth/core/eval.h"
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/random.h"
#include "tests/ops/layouts.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

std::string error_of(const array& a) {
  try {
    a.eval();
    return "no error";
  } catch (const std::runtime_error& e) {
    return e.what();
  }
}
array index(std::initializer_list<int64_t> values) {
  return array(values, {int(values.size())}, int64);
}

TEST(Index, OutOfRangeThrowsWhenEvaluated) {
  const array a = reshape(arange(15), {5, 3});
  EXPECT_EQ(error_of(take(a, index({0, 7}), 0)),
            "take: index 7 is out of range for axis 0 of size 5");
  EXPECT_EQ(error_of(take(a, index({-6}), 0)),
            "take: index -6 is out of range for axis 0 of size 5");
  EXPECT_EQ(error_of(take(a, array({uint64_t(1) << 63}, {1}, uint64), 1)),
            "take: index 9223372036854775808 is out of range for axis 1 of size 3");
  EXPECT_EQ(error_of(take_along_axis(a, reshape(index({3}), {1, 1}), 1)),
            "take_along_axis: index 3 is out of range for axis 1 of size 3");
  EXPECT_EQ(error_of(put_along_axis(a, reshape(index({-4}), {1, 1}), array(1), 1)),
            "put_along_axis: index -4 is out of range for axis 1 of size 3");
  EXPECT_EQ(error_of(gather(a, index({4}), 0, {2, 3})),
            "gather: index 4 is out of range for axis 0 of size 5 with blocks of 2");
  EXPECT_EQ(error_of(scatter(a, index({4}), ones({1, 2, 3}, int32), 0)),
            "scatter: index 4 is out of range for axis 0 of size 5 with blocks of 2");
  EXPECT_EQ(error_of(slice(a, index({4}), {0}, {2, 3})),
            "slice: start 4 with size 2 is out of range for axis 0 of size 5");
  EXPECT_EQ(error_of(slice(a, index({std::numeric_limits<int64_t>::min()}), {0}, {2, 3})),
            "slice: start -9223372036854775808 with size 2 is out of range for axis 0 of size 5");
  EXPECT_EQ(error_of(slice_update(a, ones({2, 3}), index({-1}), {0})),
            "slice_update: start -1 with size 2 is out of range for axis 0 of size 5");
  EXPECT_EQ(error_of(masked_scatter(a, ones({5, 3}, bool_), arange(14))),
            "masked_scatter: the mask takes more than the 14 elements of the source");
  EXPECT_THROW(take(a, 5, 0), std::out_of_range);
  EXPECT_EQ(take(a, -1, 0).to_vector<int>(), (std::vector<int>{12, 13, 14}));
}

TEST(Index, HostileIndicesOfEveryTypeAndAmount) {
  const array a = reshape(arange(1000), {100, 10});
  for (Dtype d : {int8, int16, int32, int64, uint8, uint16, uint32, uint64})
    for (int n : {1, 100, 100'000}) {
      const array bad = full({n}, array(kind_of(d) == Kind::i ? -101 : 100, d));
      EXPECT_NE(error_of(take(a, bad, 0)), "no error");
      EXPECT_NE(error_of(scatter_add(a, bad, ones({n, 1, 10}, int32), 0)), "no error");
      EXPECT_NE(error_of(take_along_axis(a, broadcast_to(reshape(bad, {n, 1}), {n, 10}), 0)),
                "no error");
      EXPECT_NE(
          error_of(scatter_add_axis(a, broadcast_to(reshape(bad, {n, 1}), {n, 10}), array(1), 0)),
          "no error");
    }
}

TEST(Index, ArgumentsAreCheckedWhenBuilt) {
  const array a = reshape(arange(15), {5, 3});
  EXPECT_THROW(take(a, array({0.5f}), 0), std::invalid_argument);
  EXPECT_THROW(take(a, array({true}, {1}), 0), std::invalid_argument);
  EXPECT_THROW(take(a, index({0}), 2), std::out_of_range);
  EXPECT_THROW(take(zeros({0, 3}), index({0}), 0), std::invalid_argument);
  EXPECT_THROW(take_along_axis(a, index({0}), 0), std::invalid_argument);
  EXPECT_THROW(gather(a, index({0}), 0, {6, 3}), std::invalid_argument);
  EXPECT_THROW(gather(a, index({0}), 0, {1}), std::invalid_argument);
  EXPECT_THROW(gather(a, {index({0}), index({0, 1, 2})}, {0, 0}, {1, 1}), std::invalid_argument);
  EXPECT_THROW(scatter(a, index({0}), ones({2, 1, 3}), 0), std::invalid_argument);
  EXPECT_THROW(scatter(a, index({0}), ones({1, 1, 4}), 0), std::invalid_argument);
  EXPECT_THROW(slice(a, index({0}), {0}, {6, 3}), std::invalid_argument);
  EXPECT_THROW(slice(a, array(0.5f), {0}, {1, 3}), std::invalid_argument);
  EXPECT_THROW(slice(a, index({0, 1}), {0, 0}, {1, 3}), std::invalid_argument);
  EXPECT_THROW(as_strided(a, {4, 4}, {4, 1}, 0), std::invalid_argument);
  EXPECT_THROW(as_strided(a, {2, 2}, {-1, 1}, 0), std::invalid_argument);
  EXPECT_THROW(as_strided(a, {3}, {INT64_MAX / 2}, 0), std::invalid_argument);
  EXPECT_THROW(as_strided(a, {1}, {1}, SIZE_MAX), std::invalid_argument);
  EXPECT_EQ(as_strided(a, {2, 0}, {1, -9}, 99).to_vector<int>(), std::vector<int>());
  EXPECT_EQ(as_strided(a, {2}, {14}, 0).to_vector<int>(), (std::vector<int>{0, 14}));
  EXPECT_THROW(as_strided(a, {2}, {15}, 0), std::invalid_argument);
  EXPECT_EQ(as_strided(a, {2}, {-14}, 14).to_vector<int>(), (std::vector<int>{14, 0}));
  EXPECT_THROW(as_strided(a, {2}, {-14}, 13), std::invalid_argument);
}

// Also where one is made of the other.
TEST(Index, FloatsAsIndicesAreRefusedByTheNameThatWasCalled) {
  const array a = astype(reshape(arange(15), {5, 3}), float16), at = array({0.5f}),
              row = ones({1, 1, 3});
  const array along = zeros({1, 3});
  const std::pair<const char*, std::function<void()>> calls[] = {
      {"take", [&] { take(a, at, 0); }},
      {"take", [&] { take(a, at); }},
      {"take",
       [&] {
         take(zeros({0, 3}), at, 0);
       }},
      {"gather",
       [&] {
         gather(a, at, 0, {1, 3});
       }},
      {"scatter", [&] { scatter(a, at, row, 0); }},
      {"scatter_add", [&] { scatter_add(a, at, row, 0); }},
      {"scatter_prod", [&] { scatter_prod(a, at, row, 0); }},
      {"scatter_max", [&] { scatter_max(a, at, row, 0); }},
      {"take_along_axis", [&] { take_along_axis(a, along, 0); }},
      {"put_along_axis", [&] { put_along_axis(a, along, row, 0); }},
      {"scatter_add_axis", [&] { scatter_add_axis(a, along, row, 0); }},
  };
  for (const auto& [name, call] : calls)
    EXPECT_EQ(testing::error_of<std::invalid_argument>(call),
              std::string(name) + ": indices are float32, wanted integers");
}

TEST(Index, ScatterAddHasTheSameBitsForAnyNumberOfThreads) {
  const array key = random::key(3);
  const array updates = random::normal({5000, 1, 300}, key);
  const array places = random::randint(0, 50, {5000}, int32, key);
  const array flat = random::normal({100'000}, key);
  const array flat_places = random::randint(0, 7, {100'000}, int32, key);
  eval(updates, places, flat, flat_places);
  const int threads = cpu::threads();
  std::string first[2];
  for (int n : {1, 2, 5}) {
    cpu::set_threads(n);
    const std::string rows =
        testing::row_major_bytes(scatter_add(zeros({50, 300}), places, updates, 0));
    const std::string one =
        testing::row_major_bytes(scatter_add_axis(zeros({7}), flat_places, flat, 0));
    if (n == 1) first[0] = rows, first[1] = one;
    EXPECT_EQ(rows, first[0]);
    EXPECT_EQ(one, first[1]);
  }
  cpu::set_threads(threads);
}

TEST(Index, SumsOfHalvesAreRoundedOnce) {
  // One by one in f16, 2048 + 1 stays 2048.
  const array places = zeros({8192}, int32);
  EXPECT_EQ(scatter_add(zeros({1}, float16), places, ones({8192, 1}, float16), 0).item<float>(),
            8192);
  EXPECT_EQ(scatter_add_axis(zeros({1}, bfloat16), places, ones({8192}, bfloat16), 0).item<float>(),
            8192);
}

// Not the memory of an operand that is read elsewhere too, though nobody else holds it.
TEST(Index, AnArrayUpdatedByItselfIsReadAsItWas) {
  const array back = index({3, 2, 1, 0});
  using Update = std::function<array(const array&)>;
  const std::pair<Update, std::vector<int>> updates[] = {
      {[&](const array& x) { return put_along_axis(x, back, x, 0); }, {0, 3, 1, 2}},
      {[&](const array& x) { return scatter_add_axis(x, back, x, 0); }, {2, 4, 4, 2}},
      {[&](const array& x) { return put_along_axis(x, x, back, 0); }, {0, 2, 3, 1}},
      {[&](const array& x) {
         return scatter_add(x, x, ones({4, 1}, int32), 0);
       },
       {3, 2, 4, 1}},
      {[&](const array& x) {
         return masked_scatter(x, array({false, true, true, true}), x);
       },
       {2, 2, 1, 3}}};
  for (const auto& [update, wanted] : updates) {
    array y = copy(array({2, 1, 3, 0}));
    y = update(y);
    EXPECT_EQ(y.to_vector<int>(), wanted);
  }
}

TEST(Index, NoPlacesChangeNothing) {
  const array x = reshape(arange(6.0, float32), {3, 2});
  // Of no layout that joins to one axis.
  const array none = broadcast_to(reshape(arange(3), {3, 1}), {3, 0});
  EXPECT_TRUE(array_equal(scatter_add(x, none, zeros({3, 0, 1, 2}), 0), x).item<bool>());
  EXPECT_TRUE(array_equal(scatter(x, none, zeros({3, 0, 1, 2}), 0), x).item<bool>());
  EXPECT_EQ(gather(x, none, 0, {1, 2}).shape(), (Shape{3, 0, 1, 2}));
}

TEST(Index, LargeTakesAndCopiesInParallel) {
  const array table = reshape(arange(3'000'000), {3000, 1000});
  const array rows = random::randint(-3000, 3000, {2000}, int32, random::key(1));
  const auto at = rows.to_vector<int>();
  for (const array& from : {table, transpose(contiguous(transpose(table)))}) {
    const auto got = take(from, rows, 0).to_vector<int>();
    for (size_t i = 0; i < at.size(); i += 97)
      for (int j : {0, 1, 500, 999})
        ASSERT_EQ(got[i * 1000 + size_t(j)], (at[i] + 3000) % 3000 * 1000 + j);
  }
  const auto one = take(table, rows).to_vector<int>();  // single elements of the flat array
  for (size_t i = 0; i < at.size(); ++i) ASSERT_EQ(one[i], (at[i] + 3'000'000) % 3'000'000);
  const auto block = gather(table, index({1}), 0, {2999, 1000}).to_vector<int>();
  ASSERT_EQ(block.size(), 2'999'000u);
  for (size_t i = 0; i < block.size(); i += 1009) ASSERT_EQ(block[i], int(i) + 1000);
}

}  // namespace
}  // namespace hearth
