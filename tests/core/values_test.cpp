// Arrays from values, and what programs ask about arrays, dtypes and streams.
#include <gtest/gtest.h>

#include <array>
#include <cfloat>
#include <sstream>

#include "hearth/core/utils.h"
#include "hearth/ops/ops.h"
#include "hearth/transforms/grad.h"

namespace hearth {
namespace {

using Ints = std::vector<int>;
using Floats = std::vector<float>;

TEST(Values, OfABracedListHaveTheTypeOfItsNumbers) {
  EXPECT_EQ(array({1, 2, 3}).dtype(), int32);
  EXPECT_EQ(array({1u, 2u}).dtype(), uint32);
  EXPECT_EQ(array({true, false}).dtype(), bool_);
  EXPECT_EQ(array({uint64_t(1) << 63}).to_vector<uint64_t>()[0], uint64_t(1) << 63);
  EXPECT_EQ(array({int64_t(-1) << 62}).to_vector<int64_t>()[0], int64_t(-1) << 62);
  EXPECT_EQ(array({int8_t(1)}).dtype(), int8);
  EXPECT_EQ(array({complex64_t(1, 2)}).item<complex64_t>(), complex64_t(1, 2));
  EXPECT_EQ(array({0.25, 0.5}).dtype(), float32);
  EXPECT_EQ(array({0.25f}).dtype(), float32);
  EXPECT_EQ(array({float16_t(1.0f)}).dtype(), float16);
  EXPECT_EQ(array({1, 2.5f, true}).to_vector<float>(), (Floats{1, 2.5f, 1}));  // of several types
  EXPECT_EQ(array({}).dtype(), float32);
  EXPECT_EQ(array({}).shape(), (Shape{0}));
  EXPECT_EQ(array({}, int32).dtype(), int32);
}

TEST(Values, OfABracedListTakeADtype) {
  for (Dtype d : {float16, bfloat16, float64, complex64}) {
    const array x({0.25, 0.5}, d);
    EXPECT_EQ(x.dtype(), d);
    EXPECT_EQ(x.to_vector<float>(), (Floats{0.25f, 0.5f}));
  }
  EXPECT_EQ(array({1, 0, 2}, bool_).to_vector<int>(), (Ints{1, 0, 1}));
  EXPECT_EQ(array({1, 2, 3, 4}, {2, 2}, uint8).shape(), (Shape{2, 2}));
  EXPECT_EQ(take(array({10, 20, 30}), array({2, 0}), 0).to_vector<int>(), (Ints{30, 10}));
}

TEST(Values, OfNestedBracesAreRows) {
  const array x({{1, 2, 3}, {4, 5, 6}});
  EXPECT_EQ(x.dtype(), int32);
  EXPECT_EQ(x.shape(), (Shape{2, 3}));
  EXPECT_EQ(x.to_vector<int>(), (Ints{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(array({{1.0f}, {2.0f}}).shape(), (Shape{2, 1}));
  EXPECT_EQ(array({{0.5, 1.0}}, float16).dtype(), float16);
  const array y({{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}, {{9, 10}, {11, 12}}});
  EXPECT_EQ(y.shape(), (Shape{3, 2, 2}));
  EXPECT_EQ(y.to_vector<int>()[6], 7);
  EXPECT_THROW(array({{1, 2}, {3}}), std::invalid_argument);
  EXPECT_THROW(array({{{1, 2}}, {{3}}}), std::invalid_argument);
}

TEST(Values, OfContainers) {
  const std::vector<double> v{1, 2, 3, 4};
  const std::span<const double> part(v.data() + 1, 2);
  EXPECT_EQ(array(v).dtype(), float32);
  EXPECT_EQ(array(v, float64).to_vector<double>(), v);
  EXPECT_EQ(array(v, {2, 2}).shape(), (Shape{2, 2}));
  EXPECT_EQ(array(part).to_vector<float>(), (Floats{2, 3}));
  EXPECT_EQ(array(std::array{5, 6}).dtype(), int32);
  EXPECT_EQ(array(std::vector<bool>{true, false}).dtype(), bool_);
  EXPECT_EQ(array(std::vector<int>{}).shape(), (Shape{0}));
  EXPECT_THROW(array(v, {3}), std::invalid_argument);
  const float plain[] = {1, 2, 3, 4};
  EXPECT_EQ(array(plain, {2, 2}).shape(), (Shape{2, 2}));
}

TEST(Values, KnowHowTheyLie) {
  const array x = copy(reshape(arange(6), {2, 3}));
  EXPECT_TRUE(x.flags().row_contiguous && x.flags().contiguous && !x.flags().col_contiguous);
  const array t = transpose(x);
  EXPECT_TRUE(!t.flags().row_contiguous && t.flags().contiguous && t.flags().col_contiguous);
  const array column = slice(x, {0, 1}, {2, 2});
  EXPECT_TRUE(!column.flags().contiguous);
  EXPECT_EQ(column.data_size(), 4u);
  EXPECT_EQ(column.strides(0), 3);
  EXPECT_THROW(column.strides(2), std::out_of_range);
  const array many = broadcast_to(array(1.0f), {4, 5});
  EXPECT_EQ(many.data_size(), 1u);
  // As MLX 0.32 has it: what is repeated leaves no gaps.
  EXPECT_TRUE(many.flags().contiguous && !many.flags().row_contiguous);
  EXPECT_EQ(zeros({0, 3}).data_size(), 0u);
}

TEST(Values, KnowHowFarTheyAre) {
  array x = arange(4) + 1;
  EXPECT_EQ(x.status(), array::Status::unscheduled);
  EXPECT_TRUE(x.has_primitive());
  EXPECT_EQ(x.primitive().name(), "add");
  EXPECT_EQ(x.inputs().size(), 1u);
  x.wait();  // nothing was asked for
  EXPECT_EQ(x.status(), array::Status::unscheduled);
  x.eval();
  EXPECT_EQ(x.status(), array::Status::available);
  EXPECT_FALSE(x.has_primitive());
  EXPECT_THROW(x.primitive(), std::invalid_argument);
  const array same = x, other = arange(4);
  EXPECT_EQ(x.id(), same.id());
  EXPECT_NE(x.id(), other.id());
}

TEST(Values, DetachedHaveNoGradient) {
  const auto f = [](bool detached) {
    return grad([detached](const array& x) {
      array y = x * 3.0f;
      if (detached) y.detach();
      return sum(x * y);
    })(array({1.0f, 2.0f}));
  };
  EXPECT_EQ(f(false).to_vector<float>(), (Floats{6, 12}));
  EXPECT_EQ(f(true).to_vector<float>(), (Floats{3, 6}));
}

TEST(Values, AreWalkedOverByTheFirstAxis) {
  Ints sums;
  for (const array& row : reshape(arange(6), {3, 2})) sums.push_back(sum(row).item<int>());
  EXPECT_EQ(sums, (Ints{1, 5, 9}));
  for (const array& row : zeros({0, 2})) ADD_FAILURE() << row;
  EXPECT_THROW(array(1).begin(), std::invalid_argument);
}

TEST(Values, ArePrintedWithTheDigitsAskedFor) {
  set_printoptions({3});
  EXPECT_EQ(to_string(array({3.14159f})), "array([3.14], dtype=float32)");
  set_printoptions({});
  EXPECT_EQ(to_string(array({3.14159f})), "array([3.14159], dtype=float32)");
  EXPECT_THROW(set_printoptions({99}), std::invalid_argument);
}

TEST(Dtypes, FormATree) {
  EXPECT_TRUE(issubdtype(float16, floating) && issubdtype(float16, inexact));
  EXPECT_TRUE(issubdtype(complex64, inexact) && !issubdtype(complex64, floating));
  EXPECT_TRUE(issubdtype(uint8, integer) && !issubdtype(uint8, signedinteger));
  EXPECT_TRUE(issubdtype(bool_, generic) && !issubdtype(bool_, number));
  EXPECT_TRUE(issubdtype(int32, int32) && !issubdtype(int32, int64));
  EXPECT_TRUE(issubdtype(inexact, number) && !issubdtype(number, inexact));
  EXPECT_TRUE(issubdtype(generic, generic) && !issubdtype(floating, float32));
}

TEST(Dtypes, HaveLimits) {
  for (auto [d, most, eps, least] :
       {std::tuple{float16, 65504.0, 0x1p-10, 0x1p-14},
        {bfloat16, 0x1.fep127, 0x1p-7, 0x1p-126},
        {float32, double(FLT_MAX), double(FLT_EPSILON), double(FLT_MIN)},
        {float64, DBL_MAX, DBL_EPSILON, DBL_MIN}}) {
    const finfo about(d);
    EXPECT_EQ(about.max, most) << d;
    EXPECT_EQ(about.min, -most) << d;
    EXPECT_EQ(about.eps, eps) << d;
    EXPECT_EQ(about.smallest_normal, least) << d;
    EXPECT_EQ(about.bits, int(size_of(d)) * 8) << d;
  }
  EXPECT_EQ(finfo(complex64).bits, 32);
  EXPECT_EQ(iinfo(int8).min, -128);
  EXPECT_EQ(iinfo(uint64).max, UINT64_MAX);
  EXPECT_EQ(iinfo(uint64).min, 0);
  EXPECT_THROW(finfo{int32}, std::invalid_argument);
  EXPECT_THROW(iinfo{bool_}, std::invalid_argument);
}

TEST(Dtypes, OfSeveralArrays) {
  EXPECT_EQ(result_type(array(1), array(1.0f)), float32);
  EXPECT_EQ(result_type({array(true), array({1}, int8), array({1}, uint8)}), int16);
  EXPECT_EQ(result_type({}), bool_);
}

TEST(Utilities, SayWhatIsAsked) {
  EXPECT_EQ(next_power_of_2(0), 1);
  EXPECT_EQ(next_power_of_2(5), 8);
  EXPECT_EQ(next_power_of_2(1 << 30), 1 << 30);
  EXPECT_THROW(next_power_of_2((1 << 30) + 1), std::overflow_error);
  EXPECT_TRUE(is_power_of_2(64) && !is_power_of_2(0) && !is_power_of_2(-4) && !is_power_of_2(6));
  EXPECT_EQ(safe_cast(int64_t(7)), 7);
  EXPECT_THROW(safe_cast(int64_t(1) << 31, "mine"), std::overflow_error);
  EXPECT_TRUE(is_main_thread());
  bool other = true;
  std::thread([&] { other = is_main_thread(); }).join();
  EXPECT_FALSE(other);
  EXPECT_NE(std::string(version()).find('.'), std::string::npos);
  EXPECT_TRUE(device_info(Device::cpu).contains("device_name"));
  EXPECT_THROW(device_info(Device(Device::cpu, 7)), std::invalid_argument);
}

TEST(Utilities, CountSharedMemoryOnce) {
  const array x = copy(arange(1000)), half = slice(x, {0}, {500});
  EXPECT_THROW(get_array_buffer_size({x}), std::invalid_argument);
  eval(x, half);
  const size_t one = get_array_buffer_size({x});
  EXPECT_GE(one, 4000u);
  EXPECT_EQ(get_array_buffer_size({x, half}), one);
}

TEST(Streams, OfAThreadAreItsOwn) {
  const ThreadLocalStream local = new_thread_local_stream(Device::cpu);
  const Stream here = stream_from_thread_local_stream(local);
  EXPECT_EQ(to_stream(local), here);
  Stream there = here;
  std::thread([&] { there = to_stream(local); }).join();
  EXPECT_FALSE(there == here);
  const array x = add(array(1), array(2), local);
  EXPECT_EQ(x.node().stream, here);
  synchronize(local);
  const auto all = get_streams();
  EXPECT_NE(std::find(all.begin(), all.end(), there), all.end());
}

}  // namespace
}  // namespace hearth
