// A computation recorded once and run again: state in place, new inputs seen, errors told.
#include <gtest/gtest.h>

#include <cmath>

#include "hearth/core/eval.h"
#include "hearth/ops/ops.h"
#include "tests/on_device.h"

namespace hearth {
namespace {

TEST(Recording, RunsAgainOnItsState) {
  const array state = copy(array({1.0f, 2.0f})), step = copy(array({10.0f, 20.0f}));
  eval(state, step);
  const array doubled = multiply(state, array(2.0f));
  const array after = assign(state, add(state, step));
  Recording r({doubled, after});
  r.run();
  EXPECT_EQ(copy(doubled).to_vector<float>(), (std::vector<float>{2, 4}));
  EXPECT_EQ(copy(after).to_vector<float>(), (std::vector<float>{11, 22}));
  r.run();
  r.run();
  EXPECT_EQ(copy(after).to_vector<float>(), (std::vector<float>{31, 62}));
  EXPECT_EQ(copy(doubled).to_vector<float>(), (std::vector<float>{42, 84}));
}

TEST(Recording, AssignWritesWhatOtherHandlesSee) {
  const array state = copy(zeros({2, 3}));
  const array column = slice(state, {0, 1}, {2, 2});
  eval(state, column);
  assign(column, array({5.0f, 6.0f}, {2, 1})).eval();
  EXPECT_EQ(state.to_vector<float>(), (std::vector<float>{0, 5, 0, 0, 6, 0}));
  EXPECT_THROW(assign(state, zeros({3, 2})), std::invalid_argument);
  EXPECT_THROW(assign(state, zeros({2, 3}, int32)), std::invalid_argument);
}

TEST(Recording, RefusesSeveralStreams) {
  const Stream other = new_stream(Device::cpu);
  const array x = copy(array({1.0f}));
  const array far = add(x, array(1.0f), other);
  const array here = add(far, array(1.0f));
  EXPECT_THROW(Recording({here}), std::runtime_error);
  EXPECT_EQ(here.item<float>(), 3);  // it was computed all the same
}

TEST(Recording, WaitsForWhatItNeeds) {
  const Stream other = new_stream(Device::cpu);
  for (Stream before : {other, default_stream(Device::cpu)}) {
    const array x = full({1 << 22}, array(1.0f), float32, before);
    const array slow = exp(exp(sin(x, before), before), before);
    async_eval(slow);
    const array y = add(slow, array(1.0f));
    Recording r({y});
    r.run();
    EXPECT_FLOAT_EQ(copy(y).to_vector<float>()[5], std::exp(std::exp(std::sin(1.0f))) + 1);
  }
}

// masked_scatter fails when the mask takes more than there is: an input decides, at each run.
TEST(Recording, AnErrorIsThatOfTheLatestRun) {
  HEARTH_CPU_ONLY(testing::kThrows);
  const array mask = copy(array({false, true, false}, {3}));
  const array state = copy(zeros({3})), other = copy(zeros({3}));
  eval(mask, state, other);
  const array taken = masked_scatter(zeros({3}), mask, array({5.0f}));
  const array after = assign(state, taken), last = add(after, array(1.0f));
  const array apart = assign(other, add(other, array(1.0f)));
  Recording r({last, apart});
  for (int time : {1, 2, 3}) {
    assign(mask, array({true, time == 2, false}, {3})).eval();
    r.run();
    synchronize();
    if (time == 2) {
      EXPECT_THROW(copy(taken).eval(), std::runtime_error);
      EXPECT_THROW(copy(last).eval(), std::runtime_error);
    } else {
      EXPECT_EQ(copy(last).to_vector<float>(), (std::vector<float>{6, 1, 1}));
    }
    EXPECT_EQ(copy(apart).to_vector<float>()[0], float(time));  // needs none of it
  }
}

TEST(Recording, OfWhatFailedSaysSo) {
  HEARTH_CPU_ONLY(testing::kThrows);
  const array bad = masked_scatter(zeros({3}), array({true, true, true}, {3}), array({5.0f}));
  EXPECT_THROW(bad.eval(), std::runtime_error);
  const array y = add(bad, array(1.0f));
  EXPECT_THROW(Recording({y}), std::runtime_error);
  EXPECT_THROW(y.eval(), std::runtime_error);
}

TEST(Recording, OfNothingRuns) {
  const array none = add(zeros({0, 3}), array(1.0f)), state = copy(ones({2}));
  state.eval();
  const array after = assign(state, add(state, state));
  Recording r({none, after});
  r.run();
  r.run();
  EXPECT_EQ(copy(after).to_vector<float>(), (std::vector<float>{4, 4}));
  EXPECT_EQ(none.size(), 0u);
  none.eval();
}

}  // namespace
}  // namespace hearth
