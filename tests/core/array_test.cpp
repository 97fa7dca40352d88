#include "hearth/core/array.h"

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "hearth/ops/ops.h"
#include "tests/memory_before.h"

namespace hearth {
namespace {

TEST(Array, DtypesFollowMlx) {
  EXPECT_EQ(array(1).dtype(), int32);
  EXPECT_EQ(array(1.0).dtype(), float32);
  EXPECT_EQ(array(1.0f).dtype(), float32);
  EXPECT_EQ(array(true).dtype(), bool_);
  EXPECT_EQ(array(int64_t{1}).dtype(), int64);
  EXPECT_EQ(array({1.0f, 2.0f}).dtype(), float32);
  EXPECT_EQ(array({1, 2}, uint8).dtype(), uint8);
}

TEST(Array, PromotesAsMlx) {
  // The table of MLX's dtype.cpp, from the row's own place on: it is symmetric.
  const char* const table[] = {"bool u8 u16 u32 u64 i8 i16 i32 i64 f16 f32 f64 bf16 c64",
                               "u8 u16 u32 u64 i16 i16 i32 i64 f16 f32 f64 bf16 c64",
                               "u16 u32 u64 i32 i32 i32 i64 f16 f32 f64 bf16 c64",
                               "u32 u64 i64 i64 i64 i64 f16 f32 f64 bf16 c64",
                               "u64 f32 f32 f32 f32 f16 f32 f64 bf16 c64",
                               "i8 i16 i32 i64 f16 f32 f64 bf16 c64",
                               "i16 i32 i64 f16 f32 f64 bf16 c64",
                               "i32 i64 f16 f32 f64 bf16 c64",
                               "i64 f16 f32 f64 bf16 c64",
                               "f16 f32 f64 f32 c64",
                               "f32 f64 f32 c64",
                               "f64 f64 c64",
                               "bf16 c64",
                               "c64"};
  static_assert(std::size(table) == kDtypes);
  for (int a = 0; a < kDtypes; ++a) {
    std::istringstream row(table[a]);
    for (int b = a; b < kDtypes; ++b) {
      std::string want;
      row >> want;
      EXPECT_EQ(short_name(promote_types(Dtype(a), Dtype(b))), want) << Dtype(a) << " " << Dtype(b);
      EXPECT_EQ(promote_types(Dtype(a), Dtype(b)), promote_types(Dtype(b), Dtype(a)));
    }
  }
}

TEST(Array, ForeignMemoryIsNotCopiedNotWrittenAndGivenBack) {
  std::vector<float> mine{1, 2, 3};
  bool freed = false;
  {
    array x(mine.data(), {3}, float32, [&](void*) { freed = true; });
    EXPECT_EQ(x.data<float>(), mine.data());
    array y = add(std::move(x), array(1.0f));
    EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{2, 3, 4}));
  }
  EXPECT_TRUE(freed);
  EXPECT_EQ(mine, (std::vector<float>{1, 2, 3}));
}

TEST(Array, AccessIsChecked) {
  const array x({1.0f, 2.0f});
  EXPECT_THROW(x.item<float>(), std::invalid_argument);
  EXPECT_THROW(x.data<int>(), std::invalid_argument);
  EXPECT_THROW(array({1, 2, 3}, {2, 2}), std::invalid_argument);
  EXPECT_EQ(array(3).item<float>(), 3.0f);
}

TEST(Array, BuffersAreAligned) {
  for (int n : {1, 17, 1000, 100000})
    EXPECT_EQ(reinterpret_cast<uintptr_t>(add(ones({n}), array(1.0f)).data<float>()) % 64, 0u);
}

TEST(Array, HalvesRoundToNearestEven) {
  EXPECT_EQ(float(float16_t(65519.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(float(float16_t(65520.0f))));
  EXPECT_EQ(float(float16_t(2049.0f)), 2048.0f);
  EXPECT_EQ(float(float16_t(2051.0f)), 2052.0f);
  EXPECT_EQ(float(float16_t(0x1p-24f)), 0x1p-24f);
  EXPECT_EQ(float(float16_t(0x1p-25f)), 0.0f);
  EXPECT_TRUE(std::signbit(float(float16_t(-0.0f))));
  EXPECT_TRUE(std::isnan(float(float16_t(NAN))));
  EXPECT_EQ(float(bfloat16_t(257.0f)), 256.0f);
  EXPECT_EQ(float(bfloat16_t(259.0f)), 260.0f);
  EXPECT_TRUE(std::isnan(float(bfloat16_t(NAN))));
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {  // every half survives the round trip
    float16_t h;
    h.bits = uint16_t(bits);
    if (!std::isnan(float(h))) {
      EXPECT_EQ(float16_t(float(h)).bits, bits);
    }
  }
}

TEST(Array, ShapeDtypeAndDeviceGoIntoAStream) {
  const array x = zeros({2, 3}, float16);
  std::ostringstream out;
  out << x.shape() << ' ' << x.dtype() << ' ' << Shape{} << ' ' << Device(Device::cpu);
  EXPECT_EQ(out.str(), "(2, 3) float16 () cpu");
}

TEST(Array, DtypesHaveNumPysNamesAndShortOnes) {
  std::string names, shorts;
  for (int d = 0; d < kDtypes; ++d) {
    std::ostringstream out;
    out << Dtype(d);
    EXPECT_EQ(out.str(), to_string(Dtype(d)));
    EXPECT_EQ(to_string(zeros({0}, Dtype(d))), "array([], shape=(0), dtype=" + out.str() + ")");
    names.append(to_string(Dtype(d))).append(" ");
    shorts.append(short_name(Dtype(d))).append(" ");
  }
  EXPECT_EQ(names,
            "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 "
            "float16 float32 float64 bfloat16 complex64 ");
  EXPECT_EQ(shorts, "bool u8 u16 u32 u64 i8 i16 i32 i64 f16 f32 f64 bf16 c64 ");
}

TEST(Array, PrintsLikeNumPy) {
  EXPECT_EQ(to_string(array(2.5f)), "array(2.5, dtype=float32)");
  EXPECT_EQ(to_string(array({1, 2, 3, 4}, {2, 2}, int32)),
            "array([[1, 2],\n       [3, 4]], dtype=int32)");
  EXPECT_EQ(to_string(transpose(array({1, 2, 3, 4}, {2, 2}, int32))),
            "array([[1, 3],\n       [2, 4]], dtype=int32)");
  EXPECT_EQ(to_string(zeros({0})), "array([], shape=(0), dtype=float32)");
  EXPECT_EQ(to_string(zeros({1000000, 0})), "array([], shape=(1000000, 0), dtype=float32)");
  EXPECT_EQ(to_string(arange(2000)), "array([0, 1, 2, ..., 1997, 1998, 1999], dtype=int32)");
  EXPECT_EQ(to_string(array(complex64_t(1, -2))), "array(1.0-2.0j, dtype=complex64)");
  EXPECT_EQ(to_string(array(true)), "array(True, dtype=bool)");
}

TEST(Array, PrintsFloatsWithAPointAndNanWithoutASign) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(to_string(array({1.0f, -2.0f, 0.5f, 1e20f, inf, -inf}, {6})),
            "array([1.0, -2.0, 0.5, 1e+20, inf, -inf], dtype=float32)");
  EXPECT_EQ(to_string(array({-0.0f, 1234567.0f}, {2})),
            "array([-0.0, 1.23457e+06], dtype=float32)");
  EXPECT_EQ(to_string(astype(array({1.0f, 3.0f}, {2}), float16)),
            "array([1.0, 3.0], dtype=float16)");
  for (float nan : {NAN, -NAN}) EXPECT_EQ(to_string(array(nan)), "array(nan, dtype=float32)");
  EXPECT_EQ(to_string(array(complex64_t(-NAN, -NAN))), "array(nan+nanj, dtype=complex64)");
}

TEST(Array, PrintsNoMoreThanOneCanRead) {
  Shape many;
  for (int i = 0; i < 20; ++i) many.push_back(2);
  for (const Shape& shape :
       {many, Shape{6, 6, 6, 6, 6, 6, 6}, Shape{1000000, 1}, Shape{0, 1 << 30}})
    EXPECT_LT(to_string(zeros(shape)).size(), 200000u) << to_string(shape);
}

TEST(Array, PrintsAllOfAThousandElementsAndTheEndsOfMore) {
  const auto dots = [](const array& x) {
    const std::string text = to_string(x);
    size_t count = 0;
    for (size_t at = 0; (at = text.find("...", at)) != text.npos; at += 3) ++count;
    return count;
  };
  EXPECT_EQ(dots(arange(1000)), 0u);
  EXPECT_EQ(dots(arange(1001)), 1u);
  // An axis of 6 is whole even then, and one of 7 has its third from each end.
  EXPECT_EQ(dots(zeros({6, 167})), 6u);
  EXPECT_EQ(dots(zeros({7, 143})), 7u);
  EXPECT_EQ(dots(zeros({200, 6})), 1u);
  const std::string text = to_string(reshape(arange(7 * 200), {7, 200}));
  EXPECT_NE(text.find("[400, 401, 402, ..., 597, 598, 599],\n       ...,\n       [800"), text.npos)
      << text;
  EXPECT_EQ(to_string(flip(array({1, 2, 3}, int8))), "array([3, 2, 1], dtype=int8)");
  EXPECT_EQ(to_string(broadcast_to(array(7), {2, 1, 2})),
            "array([[[7, 7]],\n       [[7, 7]]], dtype=int32)");
}

TEST(Array, ReadsViewsElementByElement) {
  const array x = reshape(arange(24), {2, 3, 4});
  EXPECT_EQ(slice(x, {0, 0, 1}, {2, 3, 4}, {1, 2, 2}).to_vector<int>(),
            (std::vector<int>{1, 3, 9, 11, 13, 15, 21, 23}));
  EXPECT_EQ(flip(slice(x, {0, 1, 2}, {2, 3, 4})).to_vector<int>(),
            (std::vector<int>{23, 22, 19, 18, 11, 10, 7, 6}));
  EXPECT_EQ(broadcast_to(slice(x, {1, 0, 0}, {2, 1, 2}), {2, 2, 2}).to_vector<int>(),
            (std::vector<int>{12, 13, 12, 13, 12, 13, 12, 13}));
  EXPECT_EQ(slice(x, {1, 2, 3}, {2, 3, 4}).item<int>(), 23);
  EXPECT_EQ(*slice(x, {1, 2, 1}, {2, 3, 4}).data<int>(), 21);
  EXPECT_EQ(x.shape(-3), 2);
  EXPECT_EQ(x.strides(), (Strides{12, 4, 1}));
}

TEST(Memory, CountersFollowArrays) {
  const size_t before = memory_before();
  {
    array x = add(zeros({1 << 20}), array(1.0f));
    x.eval();
    EXPECT_GE(get_active_memory() - before, size_t{4} << 20);
  }
  EXPECT_LE(get_active_memory(), before + (1 << 16));
  clear_cache();
  EXPECT_EQ(get_cache_memory(), 0u);
}

TEST(Memory, TheLimitIsAnErrorWithNumbers) {
  const size_t limit = set_memory_limit(get_active_memory() + (1 << 20));
  const array big = add(zeros({1 << 22}), array(1.0f));
  EXPECT_THROW(big.eval(), std::runtime_error);
  set_memory_limit(limit);
  EXPECT_THROW(add(zeros({1 << 30, 1 << 12}), array(1.0f)).eval(), std::runtime_error);
}

}  // namespace
}  // namespace hearth
