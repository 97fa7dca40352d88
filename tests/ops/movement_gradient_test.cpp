// Gradients of movement and indexing against finite differences, in f64.
#include <gtest/gtest.h>

#include <functional>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/random.h"
#include "hearth/ops/reduce.h"
#include "hearth/transforms/grad.h"

namespace hearth {
namespace {

// A (4, 6) array and an update, whose shape is the case's.
using Case = std::function<array(const array& x, const array& update)>;

array numbers(const Shape& shape, uint64_t seed) {
  return astype(random::uniform(-2.0, 2.0, shape, float32, random::key(seed)), float64);
}
array index(std::initializer_list<int> values) { return array(values, {int(values.size())}); }

// The gradient of a weighted sum of the outputs by `at`, one element moved at a time.
std::vector<double> differences(const std::function<array(const array&)>& f, const array& at) {
  constexpr double kStep = 1e-4;
  std::vector<double> values = at.to_vector<double>(), out;
  for (double& v : values) {
    const double was = v;
    auto value = [&](double now) {
      v = now;
      return f(array(values.begin(), at.shape(), float64)).item<double>();
    };
    out.push_back((value(was + kStep) - value(was - kStep)) / (2 * kStep));
    v = was;
  }
  return out;
}

void expect_gradient(const std::string& name, const Shape& update_shape, const Case& f) {
  SCOPED_TRACE(name);
  const array x = numbers({4, 6}, 1), update = numbers(update_shape, 2);
  const array weights = numbers(f(x, update).shape(), 3);
  auto loss = [&](const array& a, const array& b) { return sum(multiply(f(a, b), weights)); };
  const Arrays got = grad([&](const Arrays& in) { return loss(in[0], in[1]); },
                          std::vector<int>{0, 1})({x, update});
  const std::vector<double> want[] = {
      differences([&](const array& a) { return loss(a, update); }, x),
      differences([&](const array& b) { return loss(x, b); }, update)};
  for (int k = 0; k < 2; ++k) {
    ASSERT_EQ(got[size_t(k)].shape(), k ? update_shape : x.shape());
    const auto values = got[size_t(k)].to_vector<double>();
    for (size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(values[i], want[k][i], 1e-6) << "operand " << k << ", element " << i;
  }
}
void expect_gradient(const std::string& name, const std::function<array(const array&)>& f) {
  expect_gradient(name, {1}, [&](const array& x, const array&) { return f(x); });
}

TEST(MovementGradient, Views) {
  expect_gradient("reshape", [](auto& x) { return reshape(x, {2, 3, -1}); });
  expect_gradient("transpose", [](auto& x) { return transpose(reshape(x, {2, 3, 4}), {2, 0, 1}); });
  expect_gradient("broadcast", [](auto& x) {
    return broadcast_to(reshape(x, {4, 1, 6}), {2, 4, 3, 6});
  });
  expect_gradient("slice", [](auto& x) { return slice(x, {3, 1}, {-5, 6}, {-2, 2}); });
  expect_gradient("flip", [](auto& x) { return flip(x); });
  expect_gradient("as_strided", [](auto& x) { return as_strided(x, {3, 4}, {2, 3}, 5); });
  expect_gradient("diagonal", [](auto& x) { return diagonal(x, 1); });
  expect_gradient("copies", [](auto& x) { return contiguous(transpose(copy(x))); });
  expect_gradient("split", [](auto& x) {
    const Arrays parts = split(x, 3, 1);
    return multiply(parts[0], parts[2]);
  });
  expect_gradient("squeeze", [](auto& x) { return squeeze(expand_dims(moveaxis(x, 0, 1), 0)); });
}

TEST(MovementGradient, Copies) {
  expect_gradient("concatenate", {2, 6}, [](auto& x, auto& u) {
    return concatenate({x, u, x}, 0);
  });
  expect_gradient("stack", {4, 6}, [](auto& x, auto& u) { return stack({u, x}, 1); });
  expect_gradient("roll", [](auto& x) { return roll(x, Shape{1, -2}, std::vector<int>{0, 1}); });
  expect_gradient("tile", [](auto& x) { return tile(x, {2, 3}); });
  expect_gradient("repeat", [](auto& x) { return repeat(x, 3, 1); });
  for (const char* mode : {"constant", "edge", "reflect", "symmetric"})
    expect_gradient(mode, [&](auto& x) { return pad(x, {{1, 2}, {0, 3}}, array(0.5), mode); });
  expect_gradient("diag", {5}, [](auto&, auto& u) { return diag(u, -1); });
  expect_gradient("tril", [](auto& x) { return add(tril(x, 1), triu(x)); });
}

TEST(MovementGradient, SliceUpdates) {
  const Shape start{3, 1}, stop{-5, 6}, step{-2, 2};
  expect_gradient("assign", {2, 3},
                  [&](auto& x, auto& u) { return slice_update(x, u, start, stop, step); });
  expect_gradient("broadcast", {3},
                  [&](auto& x, auto& u) { return slice_update(x, u, start, stop, step); });
  expect_gradient("add", {2, 3},
                  [&](auto& x, auto& u) { return slice_update_add(x, u, start, stop, step); });
  expect_gradient("prod", {2, 3},
                  [&](auto& x, auto& u) { return slice_update_prod(x, u, start, stop, step); });
  expect_gradient("max", {2, 3},
                  [&](auto& x, auto& u) { return slice_update_max(x, u, start, stop, step); });
  expect_gradient("min", {2, 3},
                  [&](auto& x, auto& u) { return slice_update_min(x, u, start, stop, step); });
  expect_gradient("whole", {4, 6}, [&](auto& x, auto& u) {
    return slice_update_prod(x, u, {3, 0}, {-5, 6}, {-1, 1});
  });
  expect_gradient("dynamic", {2, 3}, [](auto& x, auto& u) {
    return slice_update(x, u, index({1, 2}), {0, 1});
  });
  expect_gradient("dynamic slice", [](auto& x) { return slice(x, index({2}), {1}, {4, 3}); });
}

TEST(MovementGradient, ReadsAtPlaces) {
  expect_gradient("take rows", [](auto& x) { return take(x, index({3, 0, -1, 3}), 0); });
  expect_gradient("take columns", [](auto& x) { return take(x, index({5, 5}), 1); });
  expect_gradient("take flat", [](auto& x) { return take(x, index({23, 0, -1})); });
  expect_gradient("take one", [](auto& x) { return take(x, -2, 1); });
  expect_gradient("gather", [](auto& x) {
    return gather(x, {index({0, 1}), index({2, 2})}, {0, 1}, {2, 3});
  });
  expect_gradient("take_along_axis", [](auto& x) {
    return take_along_axis(x, reshape(index({1, 1, 3}), {3, 1}), 0);
  });
}

TEST(MovementGradient, WritesAtPlacesThatRepeat) {
  const array rows = index({2, 0, 2}), along = reshape(index({1, 1, -2, 0}), {4, 1});
  const array twice = concatenate({along, along}, 1);
  expect_gradient("scatter", {3, 1, 5}, [&](auto& x, auto& u) { return scatter(x, rows, u, 0); });
  expect_gradient("scatter_add", {3, 2, 6},
                  [&](auto& x, auto& u) { return scatter_add(x, rows, u, 0); });
  expect_gradient("scatter_max", {3, 1, 6},
                  [&](auto& x, auto& u) { return scatter_max(x, rows, u, 0); });
  expect_gradient("scatter_min", {3, 1, 6},
                  [&](auto& x, auto& u) { return scatter_min(x, rows, u, 0); });
  expect_gradient("put_along_axis", {4, 2},
                  [&](auto& x, auto& u) { return put_along_axis(x, twice, u, 1); });
  expect_gradient("scatter_add_axis", {4, 2},
                  [&](auto& x, auto& u) { return scatter_add_axis(x, twice, u, 1); });
  const array mask = greater(numbers({4, 6}, 7), array(0.0));
  expect_gradient("masked_scatter", {30},
                  [&](auto& x, auto& u) { return masked_scatter(x, mask, u); });
  EXPECT_THROW(grad([&](const array& x) {
                 return sum(scatter_prod(x, rows, ones({3, 1, 6}), 0));
               })(ones({4, 6})),
               std::invalid_argument);
}

}  // namespace
}  // namespace hearth
