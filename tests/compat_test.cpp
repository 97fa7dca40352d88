// A program written for MLX, with its headers' names: what it says is what hearth does.
#include <gtest/gtest.h>

#include <future>
#include <thread>
#include <typeinfo>

#include "compat/mlx/mlx.h"
#include "compat/mlx/primitives.h"
#include "compat/mlx/scheduler.h"

namespace mx = mlx::core;
using namespace mlx::core;

namespace {

TEST(Compat, TrainsALineAsMlxsExampleDoes) {
  const int features = 10, examples = 200, steps = 200;
  const float rate = 0.1f;
  mx::random::seed(1);
  const auto w_star = mx::random::normal({features});
  const auto x = mx::random::normal({examples, features});
  const auto eps = 1e-2 * mx::random::normal({examples});
  const auto y = mx::matmul(x, w_star) + eps;
  const auto loss_fn = [&](mx::array w) {
    const auto yhat = mx::matmul(x, w);
    return (0.5f / examples) * mx::sum(mx::square(yhat - y));
  };
  mx::array w = 1e-2 * mx::random::normal({features});
  const auto grad_fn = mx::grad(loss_fn);
  for (int i = 0; i < steps; ++i) {
    w = w - rate * grad_fn(w);
    mx::eval(w);
  }
  EXPECT_LT(mx::linalg::norm(w - w_star).item<float>(), 0.05f);
}

TEST(Compat, SpeaksMlxsNames) {
  array a({1, 2, 3, 4}, {2, 2});
  EXPECT_EQ(a.dtype(), int32);
  EXPECT_TRUE(issubdtype(float32, inexact));
  const auto f =
      compile([](const std::vector<array>& in) { return std::vector<array>{in[0] * 2}; });
  EXPECT_TRUE(array_equal(f({a})[0], add(a, a, Device::cpu)).item<bool>());
  const auto [out, tangents] = jvp([](array x) { return exp(x); }, array(0.0f), array(1.0f));
  EXPECT_EQ(tangents.item<float>(), 1);
  const auto doubled = vmap([](array x) { return x + x; }, 1, 1);
  EXPECT_EQ(doubled(a).shape(), (Shape{2, 2}));
  StreamContext context(default_device());
  EXPECT_THROW(a.shape(5), std::out_of_range);
  EXPECT_FALSE(metal::is_available());
  EXPECT_EQ(fft::fft(astype(a, float32)).dtype(), complex64);
  synchronize();
}

// A buffer goes from the allocator to an array and back to it, once.
TEST(Compat, LendsBuffersToArrays) {
  auto buffer = allocator::allocator().malloc(4 * sizeof(float));
  EXPECT_GE(allocator::allocator().size(buffer), 4 * sizeof(float));
  float* at = static_cast<float*>(buffer.raw_ptr());
  for (int i = 0; i < 4; ++i) at[i] = float(i);
  int given_back = 0;
  {
    array a(allocator::Data(buffer,
                            [&](allocator::Buffer b) {
                              ++given_back;
                              allocator::allocator().free(b);
                            }),
            {2, 2}, float32);
    EXPECT_EQ(sum(exp(a)).item<float>(), sum(exp(array({0.0f, 1.0f, 2.0f, 3.0f}))).item<float>());
    EXPECT_EQ(at[3], 3);  // it is not the result's memory
    EXPECT_EQ(given_back, 0);
  }
  EXPECT_EQ(given_back, 1);
  EXPECT_THROW(allocator::Data(allocator::Buffer(nullptr), {}), std::invalid_argument);
}

TEST(Compat, RunsTasksInTheOrderOfTheirStreams) {
  const Stream a = new_stream(Device::cpu), b = new_stream(Device::cpu);
  std::promise<void> first, last;
  std::string order;  // written by one after the other
  scheduler::enqueue(b, [&] { first.get_future().wait(), order += "b"; });
  scheduler::enqueue(b, [&] { order += "c", last.set_value(); });
  scheduler::enqueue(a, [&] { order += "a", first.set_value(); });
  last.get_future().wait();
  EXPECT_EQ(order, "abc");
  // What a blocked stream still works on is waited for.
  std::promise<void> go;
  scheduler::enqueue(b, [&] { go.get_future().wait(), order += "d"; });
  std::thread cleared([] { clear_cache(); });
  order += "-";
  go.set_value();
  cleared.join();
  EXPECT_EQ(order, "abc-d");
  EXPECT_THROW(scheduler::enqueue(b, nullptr), std::invalid_argument);
}

TEST(Compat, KnowsElementwisePrimitivesApart) {
  const array x({1.0f, 2.0f}), y = exp(x), z = x + x;
  const auto type_of = [](const array& of) -> const std::type_info& {
    const Primitive& p = of.primitive();
    return typeid(p);
  };
  EXPECT_EQ(type_of(y), typeid(Exp));
  EXPECT_EQ(type_of(z), typeid(Add));
  EXPECT_TRUE(exp(x * 1.0f).primitive().is_equivalent(*y.primitive_ptr()));
  EXPECT_FALSE(z.primitive().is_equivalent(y.primitive()));
  const auto two = compile(
      [](const std::vector<array>& in) { return std::vector<array>{abs(exp(in[0]))}; })({x})[0];
  EXPECT_EQ(type_of(two), typeid(Compiled));
  EXPECT_NE(std::dynamic_pointer_cast<Compiled>(two.primitive_ptr()), nullptr);
}

// Without gaps: repeated elements leave none, steps do.
TEST(Compat, KnowsWhereGapsAre) {
  const array once = broadcast_to(array(1.0f), {2, 8});
  EXPECT_TRUE(once.flags().contiguous && !once.flags().row_contiguous);
  EXPECT_FALSE(slice(arange(8), {0}, {8}, {2}).flags().contiguous);
  const array none = broadcast_to(zeros({4, 2, 1}), {4, 2, 0});
  EXPECT_TRUE(none.flags().contiguous && none.flags().row_contiguous &&
              none.flags().col_contiguous);
}

TEST(Compat, TellsWhoIsTraced) {
  const array y = ones({2});
  const auto f = [&](const array& x) {
    EXPECT_TRUE((x * 2).is_tracer());
    EXPECT_FALSE((y * 2).is_tracer());
    return sum(x);
  };
  grad(f)(y);
  array z(1);
  z.set_tracer(true);
  EXPECT_FALSE(z.is_tracer());  // no transform is going on
  const auto qr = linalg::qr(array({1.0f, 2.0f, 3.0f, 4.0f}, {2, 2}));
  ASSERT_EQ(qr.first.siblings().size(), 1u);
  EXPECT_TRUE(array_equal(qr.first.siblings()[0], qr.second).item<bool>());
}

TEST(Compat, RefusesAsMlxDoes) {
  const array x = zeros({2, 3});
  EXPECT_THROW(transpose(x, {0, 2}), std::invalid_argument);
  EXPECT_THROW(diagonal(zeros({2}), 0, 0, 1), std::invalid_argument);
  EXPECT_THROW(fft::fftshift(x, {2}), std::invalid_argument);
  EXPECT_THROW(compile(nullptr), std::invalid_argument);
  const auto twice = [](const array& a) { return a + a; };
  EXPECT_THROW(vmap(twice, 0, -1), std::invalid_argument);
  EXPECT_THROW(vmap(twice, -1, 0), std::invalid_argument);
  EXPECT_TRUE(array_equal(vmap(twice, -1, -1)(x), x).item<bool>());
  EXPECT_THROW(default_stream(Device(Device::cpu, 7)), std::invalid_argument);
  EXPECT_EQ(finfo(complex64).dtype, float32);
  float16_t half = 3;
  EXPECT_EQ(half, 3);
  EXPECT_EQ(linalg::norm(array({3.0f, 4.0f}, {1, 2}), "f").item<float>(), 5);
}

// stop_gradient and copy vanish from a compiled graph, and still stop gradients.
TEST(Compat, CompilesWhatChangesNothingAway) {
  const auto f = compile([](const std::vector<array>& in) {
    return std::vector<array>{abs(stop_gradient(copy(in[0])))};
  });
  const array x({-1.0f, 2.0f});
  EXPECT_EQ(f({x})[0].inputs()[0].id(), x.id());
  const auto g = [&](const std::vector<array>& in) { return sum(f(in)[0] * in[0]); };
  EXPECT_TRUE(array_equal(grad(g)({x})[0], array({1.0f, 2.0f})).item<bool>());
}

}  // namespace
