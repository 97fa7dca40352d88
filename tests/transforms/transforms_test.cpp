// jvp against vjp, vmap against a loop, over every kind of operation; custom functions,
// checkpoints, and all of them nested.
#include "hearth/transforms/transforms.h"

#include <gtest/gtest.h>

#include "hearth/hearth.h"
#include "tests/gradients.h"

namespace hearth {
namespace {

using testing::scattered;
using Ints = std::vector<int>;

void expect_same(const array& got, const array& wanted, const std::string& where,
                 double tolerance = 1e-9) {
  ASSERT_EQ(got.shape(), wanted.shape()) << where;
  ASSERT_EQ(got.dtype(), wanted.dtype()) << where;
  EXPECT_TRUE(allclose(got, wanted, tolerance, tolerance, true).item<bool>()) << where << "\n"
                                                                              << got << "\n"
                                                                              << wanted;
}

struct OpCase {
  std::string name;
  Function f;
  Arrays in;
  bool has_tangent = true;
};

OpCase unary(std::string name, std::function<array(const array&)> f, Shape shape = {3, 4},
             bool has_tangent = true) {
  return {std::move(name),
          [f](const Arrays& in) { return Arrays{f(in[0])}; },
          {scattered(shape, 1)},
          has_tangent};
}
OpCase binary(std::string name, std::function<array(const array&, const array&)> f,
              Shape a = {3, 4}, Shape b = {3, 4}) {
  return {std::move(name),
          [f](const Arrays& in) { return Arrays{f(in[0], in[1])}; },
          {scattered(a, 1), scattered(b, 2)},
          true};
}

std::vector<OpCase> op_cases() {
  const array at({2, 0, 1, 2}), places({{0, 2, 1, 1}, {1, 0, 0, 2}, {2, 2, 0, 1}});
  return {
      unary("exp", [](auto& x) { return exp(x); }),
      unary("chain", [](auto& x) { return tanh(x * 2.0f) + square(x) / (x * x + 1.0f); }),
      unary("scalar",
            [](auto& x) {
              return x[{0, 0}] * array(3.0, float64);
            }),
      unary("astype", [](auto& x) { return astype(astype(x, float32), float64); }),
      unary(
          "greater", [](auto& x) { return x > 0; }, {3, 4}, false),
      binary("multiply", [](auto& a, auto& b) { return a * b; }),
      binary("of fewer axes", [](auto& a, auto& b) { return a * b - b; }, {3, 4}, {4}),
      binary("of a scalar", [](auto& a, auto& b) { return a / (b + 2.0f); }, {3, 4}, {}),
      binary("where", [](auto& a, auto& b) { return where(a > b, a, b * b); }),
      binary("power", [](auto& a, auto& b) { return power(abs(a) + 1.0f, b); }),
      binary("matmul", [](auto& a, auto& b) { return matmul(a, b); }, {3, 4}, {4, 2}),
      binary("matmul of a vector", [](auto& a, auto& b) { return matmul(a, b); }, {3, 4}, {4}),
      binary("batched matmul", [](auto& a, auto& b) { return matmul(a, b); }, {2, 3, 4}, {4, 2}),
      binary("addmm", [](auto& a, auto& b) { return addmm(array(1.0, float64), a, b); }, {3, 4},
             {4, 2}),
      binary("outer", [](auto& a, auto& b) { return outer(a, b); }, {3}, {4}),
      binary("einsum",
             [](auto& a, auto& b) {
               return einsum("ij,kj->ki", {a, b});
             },
             {3, 4}, {2, 4}),
      binary("concatenate",
             [](auto& a, auto& b) {
               return concatenate({a, b, a}, 1);
             }),
      binary("stack",
             [](auto& a, auto& b) {
               return stack({a, b}, 1);
             }),
      binary("slice_update",
             [](auto& a, auto& b) {
               return slice_update(a, b, {1, 0}, {3, 3}, {1, 2});
             },
             {3, 4}, {2, 2}),
      binary("convolution", [](auto& a, auto& b) { return conv1d(a, b, 1, 1); }, {2, 5, 3},
             {4, 3, 3}),
      binary("scatter_add",
             [=](auto& a, auto& b) {
               return scatter_add(a, array({2, 0}), b, 0);
             },
             {3, 4}, {2, 1, 4}),
      binary("put_along_axis",
             [=](auto& a, auto& b) {
               return put_along_axis(a, array({{1}, {0}, {3}}), b, 1);
             },
             {3, 4}, {3, 1}),
      binary("solve",
             [](auto& a, auto& b) {
               return linalg::solve(a + eye(3, float64) * array(3.0, float64), b);
             },
             {3, 3}, {3, 2}),
      unary("sum", [](auto& x) { return sum(x, 1); }),
      unary("sum of all", [](auto& x) { return sum(x); }),
      unary("max", [](auto& x) { return max(x, 0, true); }),
      unary("prod", [](auto& x) { return prod(x, -1); }),
      unary("mean", [](auto& x) { return mean(x); }),
      unary("var", [](auto& x) { return var(x, 1); }),
      unary("logsumexp", [](auto& x) { return logsumexp(x, 0); }),
      unary("softmax", [](auto& x) { return softmax(x, -1); }),
      unary("softmax of the first axis", [](auto& x) { return softmax(x, 0); }),
      unary("cumsum", [](auto& x) { return cumsum(x, 0); }),
      unary("cumprod", [](auto& x) { return cumprod(x, 1, true); }),
      unary("cummax", [](auto& x) { return cummax(x, 1); }),
      unary("logcumsumexp", [](auto& x) { return logcumsumexp(x, 1); }),
      unary("sort", [](auto& x) { return sort(x, 0); }),
      unary(
          "argsort", [](auto& x) { return argsort(x, 1); }, {3, 4}, false),
      unary(
          "argmax", [](auto& x) { return argmax(x, 1); }, {3, 4}, false),
      unary("topk", [](auto& x) { return topk(x, 2, 1); }),
      unary("reshape",
            [](auto& x) {
              return reshape(x, {2, 6});
            }),
      unary("transpose", [](auto& x) { return transpose(x); }),
      unary("broadcast_to",
            [](auto& x) {
              return broadcast_to(x, {2, 3, 4});
            }),
      unary("slice",
            [](auto& x) {
              return slice(x, {2, 3}, {-4, 0}, {-1, -2});
            }),
      unary("as_strided",
            [](auto& x) {
              return as_strided(x, {3, 3}, {3, 2}, 1);
            }),
      unary("pad", [](auto& x) { return pad(x, 1); }),
      unary("roll", [](auto& x) { return roll(x, 1, 1); }),
      unary("diagonal", [](auto& x) { return diagonal(x); }),
      unary("tril", [](auto& x) { return tril(x); }),
      unary("copy", [](auto& x) { return contiguous(transpose(copy(x))); }),
      unary("take", [=](auto& x) { return take(x, at, 0); }),
      unary("take of the second axis", [=](auto& x) { return take(x, at, 1); }),
      unary("take_along_axis", [=](auto& x) { return take_along_axis(x, places, 0); }),
      unary("masked_scatter",
            [](auto& x) {
              return masked_scatter(x, array({true, false, true}), square(x));
            }),
      unary("dynamic slice",
            [](auto& x) {
              return slice(x, array({1, 1}), {0, 1}, {2, 2});
            }),
      unary("a mapped start",
            [](auto& x) {
              return slice(x, astype(x[{0, Slice(0, 1)}] > 0, int32), {0}, {2, 4});
            }),
      unary(
          "mapped indices",
          [](auto& x) {
            return take(array({1.0, 5.0, 9.0}, float64), astype(x > 0, int32), 0);
          },
          {3, 4}, false),
      unary("mapped indices of a mapped one",
            [](auto& x) {
              return take(x, argsort(x[{Slice(), 0}], 0), 0);
            }),
      unary(
          "searchsorted",
          [](auto& x) {
            return searchsorted(array({-0.5, 0.0, 0.5}, float64), x);
          },
          {3, 4}, false),
      unary(
          "a mapped sequence", [](auto& x) { return searchsorted(sort(x[0], 0), x); }, {3, 4},
          false),
      unary("rms_norm", [](auto& x) { return fast::rms_norm(x, std::nullopt, 1e-5f); }),
      unary("layer_norm",
            [](auto& x) { return fast::layer_norm(x, ones({4}, float64), std::nullopt, 1e-5f); }),
      unary("attention",
            [](auto& x) { return fast::scaled_dot_product_attention(x, x * x, x + x, 0.5f); },
            {1, 2, 3, 4}),
      unary("qr", [](auto& x) { return linalg::qr(x).second; }, {4, 3}),
      unary("cholesky",
            [](auto& x) { return linalg::cholesky(matmul(x, transpose(x)) + eye(3, float64)); }),
      unary("det", [](auto& x) { return linalg::det(x); }, {3, 3}),
      unary("singular values", [](auto& x) { return linalg::svd(x, false, {})[0]; }),
      {"several outputs",
       [](const Arrays& in) {
         return Arrays{in[0] * in[1], sum(in[0]), in[1]};
       },
       {scattered({3}, 1), scattered({3}, 2)},
       true},
      {"divmod",
       [](const Arrays& in) { return divmod(in[0], in[1]); },
       {scattered({3}, 1), scattered({3}, 2)},
       false},
  };
}

// y . (J t) is (J^T y) . t.
TEST(Jvp, IsTheTransposeOfVjp) {
  for (const OpCase& c : op_cases()) {
    if (!c.has_tangent) continue;
    Arrays tangents;
    for (const array& x : c.in) tangents.push_back(scattered(x.shape(), 7));
    const auto [out, along] = jvp(c.f, c.in, tangents);
    Arrays d;
    for (const array& y : out) d.push_back(scattered(y.shape(), 9));
    const auto [same, grads] = vjp(c.f, c.in, d);
    double left = 0, right = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      ASSERT_EQ(along[i].shape(), out[i].shape()) << c.name;
      left += sum(along[i] * d[i]).item<double>();
      expect_same(out[i], same[i], c.name);
    }
    for (size_t i = 0; i < grads.size(); ++i) right += sum(grads[i] * tangents[i]).item<double>();
    EXPECT_NEAR(left, right, 1e-6 * (1 + std::abs(left))) << c.name;
  }
}

TEST(Jvp, OfComplexAndOfIntegers) {
  const complex64_t z(0.3f, 0.4f), t(1, -2);
  const auto [y, dy] = jvp([](const array& x) { return x * x * x; }, array(z), array(t));
  EXPECT_NEAR(std::abs(dy.item<complex64_t>() - 3.0f * z * z * t), 0, 1e-5);
  const auto conj = jvp([](const array& x) { return conjugate(x) * array(complex64_t(0, 1)); },
                        array(z), array(t));
  EXPECT_NEAR(std::abs(conj.second.item<complex64_t>() - complex64_t(0, 1) * std::conj(t)), 0,
              1e-6);
  EXPECT_EQ(jvp([](const array& x) { return x * x; }, array(3), array(2)).second.item<int>(), 12);
  EXPECT_EQ(
      jvp([](const array&) { return array(1.0f); }, array(3.0f), array(2.0f)).second.item<float>(),
      0);
  EXPECT_THROW(jvp([](const array& x) { return x; }, array(3.0f), array({2.0f})),
               std::invalid_argument);
}

TEST(Vmap, IsALoop) {
  for (const OpCase& c : op_cases()) {
    // Each argument mapped or not, along several axes.
    for (int mapped = 1; mapped < 1 << c.in.size(); ++mapped)
      for (int axis : {0, 1}) {
        Arrays batch = c.in;
        Ints axes(c.in.size(), -1);
        bool fits = true;
        for (size_t i = 0; i < c.in.size(); ++i)
          if (mapped >> i & 1) {
            fits = fits && axis <= c.in[i].ndim();
            if (!fits) break;
            Arrays examples;
            for (int k = 0; k < 3; ++k)
              examples.push_back(c.in[i] * array(1.0 - 0.6 * k, float64) +
                                 array(0.01 * k, float64));
            batch[i] = stack(examples, axis);
            axes[i] = axis;
          }
        if (!fits) continue;
        Arrays wanted;
        std::vector<Arrays> by_output;
        for (int k = 0; k < 3; ++k) {
          Arrays one = batch;
          for (size_t i = 0; i < one.size(); ++i)
            if (axes[i] >= 0) one[i] = take(one[i], k, axis);
          const Arrays out = c.f(one);
          by_output.resize(out.size());
          for (size_t i = 0; i < out.size(); ++i) by_output[i].push_back(out[i]);
        }
        const Arrays got = vmap(c.f, axes)(batch);
        for (size_t i = 0; i < got.size(); ++i)
          expect_same(
              got[i], stack(by_output[i], 0),
              c.name + " mapped " + std::to_string(mapped) + " along " + std::to_string(axis),
              1e-6);
      }
  }
}

TEST(Vmap, PutsResultsWhereAsked) {
  const array x = scattered({2, 3}), y = scattered({3, 2}, 2);
  expect_same(vmap([](const array& a) { return a * 2.0f; }, 1, 1)(x), x * 2.0f, "unary");
  expect_same(vmap([](const array& a) { return a * 2.0f; }, 1, 0)(x), transpose(x * 2.0f), "unary");
  expect_same(vmap([](const array& a, const array& b) { return a + b; }, 0, 1, 1)(x, y),
              transpose(x + transpose(y)), "binary");
  expect_same(vmap(BinaryFunction([](const array& a, const array& b) { return a + b; }), 0, -1)(
                  x, y[{Slice(), 0}]),
              x + y[{Slice(), 0}], "one of two");
  // What depends on no argument is repeated, or given once.
  const Function constant = [](const Arrays& in) {
    return Arrays{array({1.0f, 2.0f}), in[0], in[1]};
  };
  const Arrays out = vmap(constant, {0, -1}, {0, 0, -1})({x, y});
  EXPECT_EQ(out[0].shape(), (Shape{2, 2}));
  EXPECT_EQ(out[1].shape(), x.shape());
  EXPECT_EQ(out[2].shape(), y.shape());
  EXPECT_EQ(vmap([](const array& a) { return sum(a); })(zeros({0, 3})).shape(), (Shape{0}));
  EXPECT_EQ(vmap([](const array& a) {
              return linalg::inv(reshape(a, {1, 1}));
            })(zeros({0, 1}))
                .shape(),
            (Shape{0, 1, 1}));
}

TEST(Vmap, DrawsOtherNumbersForEachKey) {
  const array keys = random::split(random::key(5), 4);
  const array drawn =
      vmap([](const array& k) { return random::normal({3}, float32, 0, 1, k); })(keys);
  for (int i = 0; i < 4; ++i)
    expect_same(drawn[i], random::normal({3}, float32, 0, 1, keys[i]), "key", 1e-6);
}

TEST(Vmap, RefusesWhatDependsOnValues) {
  const array x = scattered({2, 3});
  const auto refuses = [&](UnaryFunction f) {
    EXPECT_THROW(vmap(f)(x).eval(), std::invalid_argument);
  };
  refuses([](const array& a) { return a * a[0].item<float>(); });
  refuses([](const array& a) { return a[a > 0]; });
  refuses([](const array& a) { return eval(a), a; });
  const array state = copy(zeros({3}, float64));
  refuses([&](const array& a) { return assign(state, a); });
  EXPECT_THROW(vmap([](const array& a) { return a; }, 2)(x), std::out_of_range);
  EXPECT_THROW(vmap([](const array& a) { return a; }, 0, 5)(x), std::out_of_range);
  EXPECT_THROW(vmap([](const array& a) { return a; }, -1)(x), std::invalid_argument);
  const Function two = [](const Arrays& in) { return Arrays{in[0]}; };
  EXPECT_THROW(vmap(two)({x, zeros({3})}), std::invalid_argument);
  EXPECT_THROW(vmap(two, {0})({x, x}), std::invalid_argument);
  EXPECT_THROW(vmap(two, {0, 0}, {0, 0})({x, x}), std::invalid_argument);
  // A failure leaves nothing behind.
  expect_same(vmap([](const array& a) { return a + 1.0f; })(x), x + 1.0f, "afterwards");
}

const ScalarFunction kLoss = [](const Arrays& in) {
  return sum(tanh(matmul(in[0], in[1])) * in[0][0]);
};

TEST(Transforms, Nest) {
  const array w = scattered({3, 3}, 1), x = scattered({5, 3, 3}, 2);
  // Gradients of each example are those of a loop; in a vmap, of a vmap, of a gradient.
  const auto of_one = grad(kLoss);
  const Function per_example = [&](const Arrays& in) { return of_one(in); };
  const array got = vmap(per_example, {-1, 0})({w, x})[0];
  Arrays wanted;
  for (int i = 0; i < 5; ++i) wanted.push_back(of_one({w, x[i]})[0]);
  expect_same(got, stack(wanted), "vmap of grad");

  const ScalarFunction total = [&](const Arrays& in) {
    return sum(vmap(Function([](const Arrays& one) { return Arrays{kLoss(one)}; }),
                    {-1, 0})({in[0], x})[0]);
  };
  expect_same(grad(total)({w})[0], sum(got, 0), "grad of vmap", 1e-8);

  // Second derivatives: forward over reverse, and reverse over reverse.
  const auto f = [](const array& a) { return sum(exp(a * a) * a); };
  const array at = scattered({4}, 3), along = scattered({4}, 4);
  const array hessian_product = jvp([&](const array& a) { return grad(f)(a); }, at, along).second;
  expect_same(hessian_product, grad([&](const array& a) { return sum(grad(f)(a) * along); })(at),
              "hessian", 1e-8);
  // A whole Hessian: vmap of jvp of grad along the rows of the identity.
  const array hessian = vmap([&](const array& t) {
    return jvp([&](const array& a) { return grad(f)(a); }, at, t).second;
  })(eye(4, float64));
  expect_same(matmul(hessian, along), hessian_product, "whole", 1e-8);
  // Two batches.
  const array twice = vmap(
      [](const array& a) { return vmap([](const array& b) { return b * sum(b); }, 1, 1)(a); })(x);
  expect_same(twice, x * sum(x, 1, true), "vmap of vmap", 1e-8);
  // A jvp of a jvp.
  const auto second = jvp(
      [&](const array& a) {
        return jvp([](const array& b) { return b * b * b; }, a, ones_like(a)).second;
      },
      at, ones_like(at));
  expect_same(second.second, at * 6.0f, "jvp of jvp", 1e-8);
}

TEST(Custom, TransformsTakeThePlaceOfItsOwn) {
  const Function square_of = [](const Arrays& in) { return Arrays{in[0] * in[0]}; };
  const array x({1.0f, 2.0f, 3.0f});
  const Function f = custom_function(
      square_of,
      [](const Arrays& primals, const Arrays& d, const Arrays& out) {
        return Arrays{d[0] * 10.0f + primals[0] + out[0]};
      },
      [](const Arrays& primals, const Arrays& t, const Ints& places) {
        EXPECT_EQ(places, (Ints{0}));
        return Arrays{t[0] * 100.0f + primals[0]};
      },
      [](const Arrays& in, const Ints& axes) {
        EXPECT_EQ(axes, (Ints{0}));
        return std::pair(Arrays{in[0] * 7.0f}, Ints{0});
      });
  using Floats = std::vector<float>;
  EXPECT_EQ(f({x})[0].to_vector<float>(), (Floats{1, 4, 9}));
  EXPECT_EQ(vjp(f, {x}, {ones({3})}).second[0].to_vector<float>(), (Floats{12, 16, 22}));
  EXPECT_EQ(jvp(f, {x}, {ones({3})}).second[0].to_vector<float>(), (Floats{101, 102, 103}));
  EXPECT_EQ(vmap(f)({x})[0].to_vector<float>(), (Floats{7, 14, 21}));
  // Without one of its own it is the function's.
  const Function own_vjp = custom_vjp(
      square_of, [](const Arrays&, const Arrays& d, const Arrays&) { return Arrays{d[0] * 3.0f}; });
  EXPECT_EQ(vmap(own_vjp)({x})[0].to_vector<float>(), (Floats{1, 4, 9}));
  EXPECT_EQ(vjp(vmap(own_vjp), {x}, {ones({3})}).second[0].to_vector<float>(), (Floats{3, 3, 3}));
  const auto each = [&](const array& a) {
    return grad([&](const array& b) { return own_vjp({b})[0]; })(a);
  };
  EXPECT_EQ(vmap(each)(x).to_vector<float>(), (Floats{3, 3, 3}));
  const Function only_jvp = custom_function(
      square_of, std::nullopt, [](const Arrays&, const Arrays& t, const Ints&) { return t; });
  EXPECT_EQ(vjp(only_jvp, {x}, {ones({3})}).second[0].to_vector<float>(), (Floats{2, 4, 6}));
  EXPECT_EQ(jvp(only_jvp, {x}, {x}).second[0].to_vector<float>(), (Floats{1, 2, 3}));
  EXPECT_EQ(jvp(vmap(only_jvp), {x}, {x}).second[0].to_vector<float>(), (Floats{1, 2, 3}));

  const Function wrong =
      custom_vjp(square_of, [](const Arrays&, const Arrays&, const Arrays&) { return Arrays{}; });
  EXPECT_THROW(vjp(wrong, {x}, {x}), std::invalid_argument);
  const Function misshapen = custom_vjp(
      square_of, [](const Arrays&, const Arrays&, const Arrays&) { return Arrays{array(1.0f)}; });
  EXPECT_THROW(vjp(misshapen, {x}, {x}), std::invalid_argument);
  EXPECT_THROW(checkpoint(Function()), std::invalid_argument);
}

TEST(Checkpointed, ComputesAgainForTheGradient) {
  int runs = 0;
  const Function f = [&](const Arrays& in) { return ++runs, Arrays{sum(exp(sin(in[0])))}; };
  const array x = scattered({4});
  const auto plain = grad([&](const array& a) { return f({a})[0]; })(x);
  EXPECT_EQ(runs, 1);
  const auto again = grad([&](const array& a) { return checkpoint(f)({a})[0]; })(x);
  EXPECT_EQ(runs, 3);
  expect_same(again, plain, "checkpoint");
  const auto twice = [&](const Function& g) {
    return grad([&](const array& a) {
      return sum(grad([&](const array& b) { return g({b})[0]; })(a) * a);
    })(x);
  };
  expect_same(twice(checkpoint(f)), twice(f), "second derivative");
}

}  // namespace
}  // namespace hearth
