// CUDA kernels from source: what is refused everywhere, and on a card what they compute.
#include "hearth/ops/custom_kernel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hearth/ops/ops.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

// On the CUDA device that there is, or skipped.
class CustomKernel : public ::testing::Test {
 protected:
  void SetUp() override {
    if (device_count(Device::cuda) == 0) GTEST_SKIP() << "there is no CUDA device";
  }
  /// Of one output.
  array run(const fast::CustomKernelFunction& kernel, const std::vector<array>& in,
            const Shape& shape, Dtype dtype, int threads,
            const std::vector<std::pair<std::string, fast::TemplateArg>>& arguments = {},
            std::optional<float> init = {}) {
    return kernel(in, {shape}, {dtype}, {threads, 1, 1}, {64, 1, 1}, arguments, init, false,
                  Device::cuda)[0];
  }
};

TEST_F(CustomKernel, ComputesInEveryDtype) {
  const auto kernel = fast::cuda_kernel("doubled", {"x"}, {"y"}, R"(
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < N) y[i] = x[i] + x[i];)");
  for (const Dtype dtype : {uint8, int32, int64, uint32, float16, bfloat16, float32, float64}) {
    const array x = astype(arange(0, 100, 1), dtype);
    const array y = run(kernel, {x}, {100}, dtype, 100, {{"N", 100}});
    EXPECT_TRUE(array_equal(y, add(x, x)).item<bool>()) << dtype;
  }
}

TEST_F(CustomKernel, SeesTemplateArgumentsAndItsHeader) {
  const auto kernel =
      fast::cuda_kernel("mixed", {"x"}, {"y"}, R"(
    const int i = threadIdx.x;
    T value = twice<T>(T(x[i]));
    y[i] = kNegative ? -value : value;)",
                        "template <class T> __device__ T twice(T x) { return x + x; }");
  const array x({1, 2, 3});
  for (const bool negative : {false, true})
    EXPECT_EQ(run(kernel, {x}, {3}, float32, 3, {{"T", float32}, {"kNegative", negative}})
                  .to_vector<float>(),
              negative ? (std::vector<float>{-2, -4, -6}) : (std::vector<float>{2, 4, 6}));
}

TEST_F(CustomKernel, IsToldOfLayouts) {
  const char* source = R"(
    const int i = threadIdx.x;
    const int row = i / x_shape[1], column = i % x_shape[1];
    y[i] = x[row * x_strides[0] + column * x_strides[1]] + 100 * x_ndim;)";
  const array x = transpose(reshape(arange(0, 6, 1), {2, 3}));  // (3, 2)
  for (const bool contiguous : {true, false}) {
    const auto kernel = fast::cuda_kernel("laid", {"x"}, {"y"}, source, "", contiguous);
    EXPECT_EQ(run(kernel, {x}, {3, 2}, int32, 6).to_vector<int>(),
              (std::vector<int>{200, 203, 201, 204, 202, 205}));
  }
}

TEST_F(CustomKernel, AddsToWhatOutputsHold) {
  const auto kernel =
      fast::cuda_kernel("counted", {"x"}, {"y"}, "atomicAdd(&y[x[threadIdx.x] % 2], 1.0f);");
  const array y = run(kernel, {array({0, 1, 3, 5, 4})}, {2}, float32, 5, {}, 10.0f);
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{12, 13}));
}

TEST_F(CustomKernel, UsesSharedMemory) {
  const auto kernel = fast::cuda_kernel("reversed", {"x"}, {"y"}, R"(
    extern __shared__ int kept[];
    kept[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = kept[63 - threadIdx.x];)",
                                        "", true, 64 << 10);
  const array x = arange(0, 64, 1);
  EXPECT_EQ(run(kernel, {x}, {64}, int32, 64).to_vector<int>(), flip(x).to_vector<int>());
}

TEST_F(CustomKernel, SaysWhatTheCompilerSays) {
  const auto kernel = fast::cuda_kernel("wrong", {"x"}, {"y"}, "y[0] = no_such_thing;");
  const array y = run(kernel, {array({1.0f})}, {1}, float32, 1);
  EXPECT_THAT(testing::error_of<std::runtime_error>([&] { array(y).eval(); }),
              HasSubstr("no_such_thing"));
}

TEST_F(CustomKernel, RunsWhatIsCompiled) {
  const char* ptx = R"(
.version 8.0
.target sm_80
.address_size 64
.visible .entry scaled(.param .u64 x, .param .u64 y, .param .f32 f, .param .u32 n) {
  .reg .pred %p<2>;
  .reg .f32 %f<4>;
  .reg .b32 %r<6>;
  .reg .b64 %rd<8>;
  ld.param.u64 %rd1, [x];
  ld.param.u64 %rd2, [y];
  ld.param.f32 %f1, [f];
  ld.param.u32 %r2, [n];
  mov.u32 %r3, %ctaid.x;
  mov.u32 %r4, %ntid.x;
  mov.u32 %r5, %tid.x;
  mad.lo.s32 %r1, %r3, %r4, %r5;
  setp.ge.s32 %p1, %r1, %r2;
  @%p1 bra done;
  cvta.to.global.u64 %rd3, %rd1;
  mul.wide.s32 %rd4, %r1, 4;
  add.s64 %rd5, %rd3, %rd4;
  ld.global.f32 %f2, [%rd5];
  mul.f32 %f3, %f2, %f1;
  cvta.to.global.u64 %rd6, %rd2;
  add.s64 %rd7, %rd6, %rd4;
  st.global.f32 [%rd7], %f3;
done:
  ret;
}
)";
  const array y =
      fast::precompiled_cuda_kernel("scaled", ptx, {array({1.0f, 2.0f, 3.0f})}, {{3}}, {float32},
                                    {2.5f, 3}, {3, 1, 1}, {32, 1, 1}, 0, {}, true, Device::cuda)[0];
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{2.5f, 5, 7.5f}));
}

TEST(CustomKernelArguments, AreChecked) {
  const auto refused = [](const auto& f) { return testing::error_of<std::invalid_argument>(f); };
  const auto make = [](const char* name, const char* in, const char* out) {
    return [=] { fast::cuda_kernel(name, {in}, {out}, ""); };
  };
  EXPECT_THAT(refused(make("a b", "x", "y")), HasSubstr("'a b' is no name of a function"));
  EXPECT_THAT(refused(make("f", "x); evil(", "y")), HasSubstr("is no name of an argument"));
  EXPECT_THAT(refused(make("f", "x", "1y")), HasSubstr("'1y' is no name"));
  const auto kernel = fast::cuda_kernel("f", {"x"}, {"y"}, "y[0] = x[0];");
  const auto call = [&](const std::vector<array>& in, const std::vector<Dtype>& dtypes,
                        StreamOrDevice s) {
    return [=] { kernel(in, {{1}}, dtypes, {1, 1, 1}, {1, 1, 1}, {}, {}, false, s); };
  };
  const array x({1.0f});
  EXPECT_THAT(refused(call({x, x}, {float32}, {})), HasSubstr("f got 2 inputs and 1 dtypes"));
  EXPECT_THAT(refused(call({x}, {float32}, Device::cpu)),
              HasSubstr("is for a CUDA device, got cpu"));
}

}  // namespace
}  // namespace hearth
