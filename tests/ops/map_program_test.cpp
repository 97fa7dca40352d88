// Map: programs of several elementwise steps, with one result and with several.
#include <gtest/gtest.h>

#include "hearth/backend/cpu/cpu.h"
#include "hearth/core/eval.h"
#include "hearth/ops/ops.h"
#include "hearth/transforms/grad.h"
#include "tests/memory_before.h"
#include "tests/ops/layouts.h"

namespace hearth {
namespace {

Map program(std::initializer_list<Dtype> inputs, std::initializer_list<Map::Constant> constants,
            std::initializer_list<Map::Step> steps) {
  Map map;
  for (Dtype d : inputs) map.inputs.push_back(d);
  for (const Map::Constant& c : constants) map.constants.push_back(c);
  for (const Map::Step& s : steps) map.steps.push_back(s);
  map.results.push_back(uint8_t(map.registers() - 1));
  return map;
}

// A joined program gives the bits of its steps one by one, for every dtype: it rounds after each.
TEST(MapProgram, JoinedEqualsSeparate) {
  for (Dtype d : {float16, bfloat16, float32, float64, int8, uint8, int32, bool_}) {
    const array x = astype(arange(2000) % 100 - 50, d), y = astype(arange(2000) % 7 + 1, d);
    const Map joined = program({d, d}, {Map::Constant(3, d)},
                               {{ElementOp::multiply, d, {0, 2}},
                                {ElementOp::add, d, {3, 1}},
                                {ElementOp::square, d, {4}},
                                {ElementOp::remainder, d, {5, 1}},
                                {ElementOp::less, bool_, {6, 0}},
                                {ElementOp::where, d, {7, 4, 6}}});
    const array whole = hearth::apply(std::make_shared<Map>(joined), {x, y});
    const auto parts = joined.decompose({x, y});
    ASSERT_TRUE(parts);
    EXPECT_TRUE(array_equal(whole, (*parts)[0], true).item<bool>()) << to_string(d);
    const array three(3, d), first = square(x * three + y), rest = remainder(first, y);
    EXPECT_TRUE(array_equal(whole, where(rest < x, x * three + y, rest), true).item<bool>());
  }
}

TEST(MapProgram, CastsAreSteps) {
  const Map cast = program({float32}, {},
                           {{ElementOp::astype, float16, {0}},
                            {ElementOp::astype, float32, {1}},
                            {ElementOp::astype, int8, {2}},
                            {ElementOp::astype, float64, {3}}});
  const array x({2049.3f, 0.99999f, -3.7f});
  EXPECT_EQ(hearth::apply(std::make_shared<Map>(cast), {x}).to_vector<double>(),
            (std::vector<double>{2, 1, -3}));  // 2050 in f16, 2 in i8
}

TEST(MapProgram, ParametersTellProgramsApart) {
  const Map a = program({float32}, {Map::Constant(1.0f)}, {{ElementOp::add, float32, {0, 1}}});
  const Map b = program({float32}, {Map::Constant(2.0f)}, {{ElementOp::add, float32, {0, 1}}});
  EXPECT_EQ(a.parameters(),
            "inputs=[float32], constants=[{dtype=float32, value=0x000000003f800000}], "
            "steps=[{op=add, dtype=float32, from=[0, 1, 0]}], results=[2]");
  EXPECT_FALSE(a.same_as(b));
}

TEST(MapProgram, ReusesTheStorageOfDeadOperands) {
  array x = arange(1 << 16) * 1.0f;
  x.eval();
  reset_peak_memory();
  const size_t before = memory_before();
  x = sqrt(exp(x * 1e-5f) + 1.0f);
  x.eval();
  EXPECT_LE(get_peak_memory() - before, size_t{2} << 18);
}

// ---- Several results ----------------------------------------------------------------------------

// y = 3 x0 + x1 and more of its registers: steps in the middle, an input, a constant, one twice.
Map several(Dtype d) {
  Map map = program({d, d}, {Map::Constant(3, d)},
                    {{ElementOp::multiply, d, {0, 2}},
                     {ElementOp::add, d, {3, 1}},
                     {ElementOp::less, bool_, {4, 0}}});
  map.results = {4, 0, 5, 2, 4, 3};
  return map;
}
Arrays separate(const array& x, const array& y) {
  const array three(3, x.dtype()), sum = x * three + y;
  const array like_sum = broadcast_to(x, sum.shape());
  return {sum, like_sum, sum < x, broadcast_to(three, sum.shape()), sum, like_sum * three};
}
void expect_equal(const Arrays& got, const Arrays& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].dtype(), want[i].dtype()) << what << ", result " << i;
    EXPECT_EQ(got[i].shape(), want[i].shape()) << what << ", result " << i;
    EXPECT_TRUE(array_equal(got[i], want[i], true).item<bool>()) << what << ", result " << i;
  }
}

TEST(MapResults, EqualSeparateOperationsOfEveryDtypeAndLayout) {
  for (int i = 0; i < kDtypes; ++i) {
    const Dtype d = Dtype(i);
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{0, 3}, Shape{37, 61}, Shape{3, 700}}) {
      const int n = int(element_count(shape));
      const array x = astype(reshape(arange(n) % 101 - 50, shape), d);
      const array y = astype(reshape(arange(n) % 7 + 1, shape), d);
      const auto op = std::make_shared<Map>(several(d));
      for (const auto& [name, laid] : testing::layouts(x)) {
        const std::string what = concat(to_string(d), " ", shape, " ", name);
        expect_equal(apply_all(op, {laid, y}), separate(x, y), what);
        expect_equal(*op->decompose({laid, y}), separate(x, y), what + ", taken apart");
      }
      const array one(2, d);
      expect_equal(apply_all(op, {one, y}), separate(one, y), concat(to_string(d), " scalar"));
      expect_equal(apply_all(op, {x, one}), separate(x, one), concat(to_string(d), " scalar"));
    }
    const array row = astype(arange(300), d), column = reshape(row, {300, 1});
    const auto op = std::make_shared<Map>(several(d));
    expect_equal(apply_all(op, {row, column}), separate(row, column), "broadcast");
    expect_equal(apply_all(op, {column, row}), separate(column, row), "broadcast");
  }
}

// -x is written over x, which the second result still is (as it stands, and through a cast that
// changes nothing).
TEST(MapResults, AnOperandThatIsWrittenOverIsGivenOutBefore) {
  Map map = program({float32}, {},
                    {{ElementOp::negative, float32, {0}}, {ElementOp::astype, float32, {0}}});
  map.results = {1, 0, 2};
  const array x = arange(5000) * 1.0f;
  const Arrays got = apply_all(std::make_shared<Map>(map), {arange(5000) * 1.0f});
  expect_equal(got, {-x, x, x}, "donated");
}

// A step of an optimizer: the momentum and the parameter, each over the old one.
TEST(MapResults, AreWrittenOverDeadOperands) {
  Map map = program({float32, float32, float32}, {Map::Constant(0.9f), Map::Constant(-0.1f)},
                    {{ElementOp::multiply, float32, {1, 3}},
                     {ElementOp::add, float32, {5, 2}},
                     {ElementOp::multiply, float32, {6, 4}},
                     {ElementOp::add, float32, {7, 0}}});
  map.results = {8, 6};
  const auto op = std::make_shared<Map>(map);
  const array g = arange(1 << 16) * 1e-3f;
  Arrays state{g * 2.0f, g * 3.0f};
  eval(state);
  const array velocity = state[1] * 0.9f + g, moved = velocity * -0.1f + state[0];
  eval(velocity, moved);
  reset_peak_memory();
  const size_t before = memory_before();
  state = apply_all(op, {std::move(state[0]), std::move(state[1]), g});
  eval(state);
  EXPECT_LT(get_peak_memory() - before, size_t{1} << 12);
  expect_equal(state, {moved, velocity}, "step");
}

TEST(MapResults, GradientsAreThoseOfSeparateOperations) {
  const array row = reshape(arange(6) * 0.5f + 1.0f, {1, 6}), column = reshape(row, {6, 1});
  Map map = program({float32, float32}, {Map::Constant(3.0f)},
                    {{ElementOp::multiply, float32, {0, 2}},
                     {ElementOp::multiply, float32, {3, 1}},
                     {ElementOp::exp, float32, {0}}});
  map.results = {4, 5, 3, 0};
  const auto joined = [&](const Arrays& in) { return apply_all(std::make_shared<Map>(map), in); };
  const auto apart = [](const Arrays& in) {
    const array tripled = in[0] * 3.0f, product = tripled * in[1];
    return Arrays{product, broadcast_to(exp(in[0]), product.shape()),
                  broadcast_to(tripled, product.shape()), broadcast_to(in[0], product.shape())};
  };
  for (const Arrays& in : {Arrays{row, column}, Arrays{column, row}, Arrays{row, row}}) {
    Arrays d;
    for (const array& y : apart(in)) d.push_back(reshape(arange(int(y.size())) * 0.1f, y.shape()));
    const auto [ya, a] = vjp(Function(joined), in, d);
    const auto [yb, b] = vjp(Function(apart), in, d);
    expect_equal(ya, yb, "values");
    for (size_t i = 0; i < a.size(); ++i)
      EXPECT_TRUE(allclose(a[i], b[i], 1e-6).item<bool>()) << a[i] << b[i];
  }
  // Of one result alone, and its second gradient.
  const auto second = [](auto f) {
    const auto first = [f](const array& x) { return sum(square(f({x, x})[1])); };
    return grad(
        UnaryFunction([first](const array& x) { return sum(grad(UnaryFunction(first))(x)); }));
  };
  EXPECT_TRUE(allclose(second(joined)(row), second(apart)(row), 1e-5).item<bool>());
}

// ---- Limits -------------------------------------------------------------------------------------

TEST(MapProgram, WhatIsTooLongForTheBackendIsTakenApart) {
  Map map = program({float32}, {Map::Constant(1.0f)}, {{ElementOp::add, float32, {0, 1}}});
  for (int i = 1; i < 200; ++i) map.add({ElementOp::add, float32, {uint8_t(i + 1), 1}});
  map.results = {uint8_t(map.registers() - 1), 50};
  const array x = arange(10) * 1.0f;
  expect_equal(apply_all(std::make_shared<Map>(map), {x}), {x + 200.0f, x + 49.0f}, "long");
  // The same with many inputs, most of which no step reads.
  Map wide;
  for (int i = 0; i < 100; ++i) wide.inputs.push_back(float32);
  wide.results.push_back(wide.add({ElementOp::subtract, float32, {99, 98}}));
  Arrays in;
  for (int i = 0; i < 100; ++i) in.push_back(x * float(i * i));
  expect_equal(apply_all(std::make_shared<Map>(wide), in), {x * float(99 * 99 - 98 * 98)}, "wide");
}

std::string refused(const Map& map, const Arrays& in) {
  try {
    apply_all(std::make_shared<Map>(map), in);
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "taken";
}
TEST(MapProgram, WhatCannotBeAProgramIsAnError) {
  const array x({1.0f});
  const Map good = program({float32}, {}, {{ElementOp::negative, float32, {0}}});
  EXPECT_EQ(refused(good, {x}), "taken");
  Map none = good, beyond = good, ahead = good, large = good;
  none.results.clear();
  EXPECT_NE(refused(none, {x}).find("0 results"), std::string::npos);
  beyond.results = {2};
  EXPECT_EQ(refused(beyond, {x}), "map: result 2 of 2 registers");
  ahead.steps[0].from[0] = 1;
  EXPECT_EQ(refused(ahead, {x}), "map: step 0 reads register 1, which comes after it");
  for (int i = 0; i < 300; ++i) large.add({ElementOp::negative, float32, {0}});
  EXPECT_NE(refused(large, {x}).find("at most 256 registers"), std::string::npos);
}

}  // namespace
}  // namespace hearth
