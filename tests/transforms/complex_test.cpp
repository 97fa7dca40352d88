// Complex gradients by their definition: of a real loss by z = x + iy, that by x + i times that by
// y; each held against central differences in both directions. And integers' gradients.
#include <gtest/gtest.h>

#include "hearth/ops/ops.h"
#include "hearth/transforms/grad.h"

namespace hearth {
namespace {

using Complexes = std::vector<complex64_t>;
using Inputs = std::vector<Complexes>;

struct ComplexCase {
  std::string name;
  std::function<array(const Arrays&)> f;
  std::vector<Complexes> in;
};

// Re(sum(conj(w) y)), w another weight for each element.
double loss(const array& y, const Complexes& weights) {
  const auto v = y.to_vector<complex64_t>();
  double total = 0;
  for (size_t i = 0; i < v.size(); ++i)
    total += double(weights[i].real()) * v[i].real() + double(weights[i].imag()) * v[i].imag();
  return total;
}

void expect_definition(const ComplexCase& c) {
  const auto arrays = [](const std::vector<Complexes>& in) {
    Arrays out;
    for (const auto& v : in) out.push_back(array(v));
    return out;
  };
  const array y = c.f(arrays(c.in));
  Complexes weights;
  for (size_t i = 0; i < y.size(); ++i)
    weights.push_back(
        {1.0f + 0.3f * float(i % 3), is_complex(y.dtype()) ? 0.7f - 0.4f * float(i % 2) : 0});
  const array w(weights, y.shape());
  const auto [out, grads] =
      vjp([&](const Arrays& in) { return Arrays{c.f(in)}; }, arrays(c.in), {w});
  for (size_t k = 0; k < c.in.size(); ++k) {
    const auto got = grads[k].to_vector<complex64_t>();
    for (size_t i = 0; i < c.in[k].size(); ++i) {
      const auto slope = [&](complex64_t step) {
        auto at = c.in;
        at[k][i] = c.in[k][i] + step;
        const double up = loss(c.f(arrays(at)), weights);
        at[k][i] = c.in[k][i] - step;
        return (up - loss(c.f(arrays(at)), weights)) / (2 * double(std::abs(step)));
      };
      const double by_x = slope({0.01f, 0}), by_y = slope({0, 0.01f});
      const double size = 1 + std::abs(by_x) + std::abs(by_y);
      EXPECT_NEAR(got[i].real(), by_x, 3e-3 * size) << c.name << " by " << k << "[" << i << "], x";
      EXPECT_NEAR(got[i].imag(), by_y, 3e-3 * size) << c.name << " by " << k << "[" << i << "], y";
    }
  }
}

TEST(ComplexGradients, OfWhatIsNotInTheTable) {
  const Complexes a{{0.3f, 0.4f}, {0.6f, -0.5f}, {-0.7f, 0.2f}, {-0.4f, -0.8f}};
  const Complexes b{{1.2f, -0.7f}, {0.5f, 0.9f}, {-0.8f, 1.1f}, {0.9f, 0.3f}};
  const auto m = [](const array& x) { return reshape(x, {2, 2}); };
  const std::vector<ComplexCase> cases = {
      {"matmul", [&](auto& in) { return matmul(m(in[0]), m(in[1])); }, {a, b}},
      {"addmm", [&](auto& in) { return addmm(m(in[0]), m(in[1]), m(in[0])); }, {a, b}},
      {"vecdot", [](auto& in) { return vecdot(in[0], in[1]); }, {a, b}},
      {"outer", [](auto& in) { return outer(in[0], in[1]); }, {a, b}},
      {"kron", [](auto& in) { return kron(in[0], in[1]); }, {a, b}},
      {"sum", [](auto& in) { return sum(in[0]); }, {a}},
      {"mean", [](auto& in) { return mean(in[0]); }, {a}},
      {"prod", [](auto& in) { return prod(in[0]); }, {a}},
      {"var", [](auto& in) { return var(in[0]); }, {a}},
      {"cumsum", [](auto& in) { return cumsum(in[0]); }, {a}},
      {"cumprod", [](auto& in) { return cumprod(in[0]); }, {a}},
      {"cumprod from the end", [](auto& in) { return cumprod(in[0], true, false); }, {a}},
      {"slice_update_prod",
       [](auto& in) { return slice_update_prod(in[0], slice(in[1], {0}, {2}), {1}, {3}); },
       {a, b}},
      {"where",
       [](auto& in) {
         return where(array({true, false, true, false}), in[0], in[1]);
       },
       {a, b}},
      {"of a real part", [](auto& in) { return real(in[0]) * in[0]; }, {a}},
      {"through f32",
       [](auto& in) { return astype(astype(in[0] * in[0], float32), complex64) * in[0]; },
       {a}},
      {"a joined chain",
       [](auto& in) { return exp(in[0] * in[1]) / (in[1] + 2) - conjugate(in[0]); },
       {a, b}},
  };
  for (const auto& c : cases) expect_definition(c);
}

TEST(ComplexGradients, OfAnExponentialSumAreTheShares) {
  const complex64_t a(1, 2), b(3, -1);
  const array y = logaddexp(array(a), array(b));
  const complex64_t wanted(2.856394780842109f, -0.9779503462008972f);  // NumPy
  EXPECT_NEAR(std::abs(y.item<complex64_t>() - wanted), 0, 1e-6);
  const float inf = INFINITY;
  EXPECT_EQ(logaddexp(array(complex64_t(-inf, 0)), array(complex64_t(-inf, 0)))
                .item<complex64_t>()
                .real(),
            -inf);
  EXPECT_EQ(logaddexp(array(complex64_t(inf, 0)), array(a)).item<complex64_t>().real(), inf);
  EXPECT_TRUE(
      std::isnan(logaddexp(array(complex64_t(NAN, 0)), array(a)).item<complex64_t>().real()));
}

TEST(IntegerGradients, AreThoseOfNumbers) {
  using Ints = std::vector<int>;
  const auto product = [](const Arrays& in) { return Arrays{in[0] * in[1]}; };
  const auto [y, g] = vjp(product, {array({1, 2}), array({3, 4})}, {array({1, 1})});
  EXPECT_EQ(g[0].to_vector<int>(), (Ints{3, 4}));
  EXPECT_EQ(g[1].to_vector<int>(), (Ints{1, 2}));
  EXPECT_EQ(g[0].dtype(), int32);
  // A cotangent of floats, an output of integers; of slices too, whose gradients are put together.
  for (const array& one : {array({1.0f, 1.0f}), array({1, 1})}) {
    EXPECT_EQ(vjp(product, {array({1, 2}), array({3, 4})}, {one}).second[0].to_vector<int>(),
              (Ints{3, 4}));
    const auto cast = [](const array& x) { return astype(x, int32); };
    const auto [ignored, through] = vjp(cast, array({1.5f, 2.0f}), one);
    EXPECT_EQ(through.dtype(), float32);
    EXPECT_EQ(through.to_vector<float>(), (std::vector<float>{1, 1}));
    const auto part = [](const array& x) { return slice(x, {1}, {3}); };
    EXPECT_EQ(vjp(part, array({1, 2, 3}), one).second.to_vector<int>(), (Ints{0, 1, 1}));
    const auto taken = [](const array& x) { return take(x, array({2, 0}), 0); };
    EXPECT_EQ(vjp(taken, array({1, 2, 3}), one).second.to_vector<int>(), (Ints{1, 0, 1}));
  }
  const auto compared = [](const array& x) { return x > 1; };
  EXPECT_EQ(vjp(compared, array({1, 2}), array({1.0f, 1.0f})).second.to_vector<int>(),
            (Ints{0, 0}));
}

}  // namespace
}  // namespace hearth
