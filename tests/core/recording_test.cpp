// A computation recorded once and run again: state in place, new inputs seen, errors told.
#include <gtest/gtest.h>

#include "hearth/core/eval.h"
#include "hearth/ops/ops.h"

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

}  // namespace
}  // namespace hearth
