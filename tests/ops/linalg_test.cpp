// Linear algebra: what each result means, on many shapes and batches; values by NumPy; gradients
// against central differences.
#include "hearth/ops/linalg.h"

#include <gtest/gtest.h>

#include <cmath>

#include "hearth/ops/ops.h"
#include "tests/gradients.h"

namespace hearth {
namespace {

using testing::scattered;
using Ints = std::vector<int>;

array turned(const array& a) {
  const array t = swapaxes(a, -1, -2);
  return is_complex(a.dtype()) ? conjugate(t) : t;
}
double distance(const array& a, const array& b) {
  EXPECT_EQ(a.shape(), b.shape());
  return a.size() == 0
             ? 0
             : max(abs(astype(a - b, is_complex(a.dtype()) ? complex64 : float64))).item<double>();
}
double tolerance(Dtype d) { return d == float64 ? 1e-12 : 2e-5; }

// Every shape that a case may be: plain, batched, with gaps in memory, of one element, of none.
std::vector<array> matrices(int m, int n, Dtype d) {
  return {scattered({m, n}, 1, d), scattered({2, 3, m, n}, 2, d),
          swapaxes(scattered({3, n, m}, 3, d), -1, -2), scattered({0, m, n}, 4, d)};
}
std::vector<array> squares(Dtype d) {
  std::vector<array> all;
  for (int n : {1, 2, 5, 33})
    for (const array& a : matrices(n, n, d)) all.push_back(a + array(2, d) * eye(n, d));
  all.push_back(zeros({0, 0}, d));
  return all;
}
std::vector<array> rectangles(Dtype d) {
  std::vector<array> all;
  for (auto [m, n] : {std::pair{4, 4}, {6, 3}, {3, 6}, {1, 5}, {5, 1}})
    for (const array& a : matrices(m, n, d)) all.push_back(a);
  return all;
}
array identity_like(const array& a, int n) {
  Shape shape = a.shape();
  shape.back() = n, shape[shape.size() - 2] = n;
  return broadcast_to(eye(n, a.dtype()), shape);
}

TEST(Linalg, InverseAndSolution) {
  for (Dtype d : {float32, float64})
    for (const array& a : squares(d)) {
      const int n = a.shape(-1);
      EXPECT_LT(distance(matmul(a, linalg::inv(a)), identity_like(a, n)), 1e3 * tolerance(d));
      const array b = scattered({n, 2}, 5, d), x = linalg::solve(a, b);
      EXPECT_LT(distance(matmul(a, x), broadcast_to(b, x.shape())), 1e3 * tolerance(d));
      for (bool upper : {false, true}) {
        const array t = upper ? triu(a) : tril(a), y = linalg::solve_triangular(a, b, upper);
        EXPECT_LT(distance(matmul(t, y), broadcast_to(b, y.shape())) /
                      (1 + (y.size() ? max(abs(y)).item<double>() : 0)),
                  50 * tolerance(d));
        const array i = linalg::tri_inv(a, upper);
        EXPECT_LT(distance(matmul(t, i), identity_like(a, n)) /
                      (1 + (i.size() ? max(abs(i)).item<double>() : 0)),
                  50 * tolerance(d));
      }
    }
  const array v = linalg::solve(array({{2.0f, 1.0f}, {1.0f, 3.0f}}), array({3.0f, 5.0f}));
  EXPECT_EQ(v.shape(), (Shape{2}));
  EXPECT_NEAR(v[0].item<float>(), 0.8, 1e-6);
  EXPECT_NEAR(v[1].item<float>(), 1.4, 1e-6);
}

TEST(Linalg, Factors) {
  for (Dtype d : {float32, float64}) {
    for (const array& a : rectangles(d)) {
      const int m = a.shape(-2), n = a.shape(-1), k = std::min(m, n);
      const auto [q, r] = linalg::qr(a);
      EXPECT_EQ(q.shape(-1), k);
      EXPECT_LT(distance(matmul(q, r), a), 10 * tolerance(d));
      EXPECT_LT(distance(matmul(turned(q), q), identity_like(q, k)), 10 * tolerance(d));
      EXPECT_LT(distance(r, triu(r)), 1e-30);

      const auto lu = linalg::lu(a);
      EXPECT_EQ(lu[0].dtype(), uint32);
      const array product = matmul(lu[1], lu[2]);
      const array places = broadcast_to(expand_dims(lu[0], -1), a.shape());
      EXPECT_LT(distance(take_along_axis(product, places, -2), a), 10 * tolerance(d));
      EXPECT_LT(distance(lu[1], tril(lu[1])), 1e-30);

      const auto usv = linalg::svd(a);
      EXPECT_LT(distance(matmul(turned(usv[0]), usv[0]), identity_like(usv[0], m)),
                10 * tolerance(d));
      EXPECT_LT(distance(matmul(turned(usv[2]), usv[2]), identity_like(usv[2], n)),
                10 * tolerance(d));
      const array u = usv[0][{ellipsis, Slice({}, k)}],
                  vt = usv[2][{ellipsis, Slice({}, k), Slice()}];
      EXPECT_LT(distance(matmul(u * expand_dims(usv[1], -2), vt), a), 10 * tolerance(d));
      EXPECT_LT(distance(linalg::svd(a, false, {})[0], usv[1]), 10 * tolerance(d));

      const array p = linalg::pinv(a);
      EXPECT_LT(distance(matmul(matmul(a, p), a), a), 100 * tolerance(d));
      EXPECT_LT(distance(turned(matmul(p, a)), matmul(p, a)), 100 * tolerance(d));
    }
    for (const array& a : squares(d)) {
      const int n = a.shape(-1);
      const array positive = matmul(a, turned(a)) + eye(n, d);
      for (bool upper : {false, true}) {
        const array l = linalg::cholesky(positive, upper);
        EXPECT_LT(distance(upper ? matmul(turned(l), l) : matmul(l, turned(l)), positive),
                  1e3 * tolerance(d));
        EXPECT_LT(distance(matmul(linalg::cholesky_inv(l, upper), positive), identity_like(a, n)),
                  1e4 * tolerance(d));
      }
    }
  }
}

TEST(Linalg, Eigenvalues) {
  for (Dtype d : {float32, float64, complex64})
    for (array a : squares(d == complex64 ? float32 : d)) {
      if (d == complex64)
        a = astype(a, d) + astype(swapaxes(a, -1, -2), d) * array(complex64_t(0, 0.5f));
      const int n = a.shape(-1);
      const array h = (a + turned(a)) * array(0.5, d);
      for (const char* triangle : {"L", "U"}) {
        // The other triangle is not read.
        const array half = triangle[0] == 'L' ? tril(h) : triu(h);
        const auto [w, v] = linalg::eigh(half, triangle);
        EXPECT_EQ(w.dtype(), d == complex64 ? float32 : d);
        EXPECT_LT(distance(matmul(h, v), v * astype(expand_dims(w, -2), d)), 100 * tolerance(d))
            << n;
        EXPECT_LT(distance(matmul(turned(v), v), identity_like(a, n)), 100 * tolerance(d));
        EXPECT_LT(distance(linalg::eigvalsh(half, triangle), w), 100 * tolerance(d));
      }
      const auto [w, v] = linalg::eig(a);
      EXPECT_EQ(w.dtype(), complex64);
      EXPECT_LT(distance(matmul(astype(a, complex64), v), v * expand_dims(w, -2)), 2e-3) << n;
      EXPECT_LT(distance(linalg::eigvals(a), w), 2e-3);
    }
  const array turn = linalg::eigvals(array({{0.0f, 1.0f}, {-1.0f, 0.0f}}));
  EXPECT_EQ(turn.to_vector<complex64_t>()[0], complex64_t(0, 1));
  EXPECT_EQ(turn.to_vector<complex64_t>()[1], complex64_t(0, -1));
}

TEST(Linalg, Determinants) {
  const array a({{{2.0f, 1.0f, 0.0f}, {1.0f, 3.0f, 1.0f}, {0.0f, 1.0f, 4.0f}},
                 {{0.0f, 1.0f, 0.0f}, {1.0f, 0.0f, 0.0f}, {0.0f, 0.0f, 5.0f}},
                 {{1.0f, 2.0f, 3.0f}, {2.0f, 4.0f, 6.0f}, {0.0f, 0.0f, 0.0f}}});
  const auto d = linalg::det(a).to_vector<float>();
  EXPECT_NEAR(d[0], 18, 1e-5);
  EXPECT_NEAR(d[1], -5, 1e-6);
  EXPECT_EQ(d[2], 0);
  const auto [sign, logarithm] = linalg::slogdet(a);
  EXPECT_EQ(sign.to_vector<float>(), (std::vector<float>{1, -1, 0}));
  EXPECT_NEAR(logarithm[0].item<float>(), std::log(18.0), 1e-6);
  EXPECT_EQ(logarithm[2].item<float>(), -INFINITY);
  EXPECT_EQ(linalg::det(zeros({0, 0})).item<float>(), 1);
  EXPECT_EQ(linalg::det(array({{2, 0}, {0, 3}})).dtype(), float32);
  EXPECT_TRUE(std::isnan(linalg::det(array({{NAN, 0.0f}, {0.0f, 1.0f}})).item<float>()));
}

TEST(Linalg, Norms) {
  // NumPy's values.
  const array m({{1.0, -2.0, 3.0}, {4.0, 5.0, -6.0}}, float64);
  const double inf = INFINITY;
  const auto near = [](const array& got, double wanted) {
    EXPECT_NEAR(got.item<double>(), wanted, 1e-9) << wanted;
  };
  near(linalg::norm(m), 9.539392014169456);
  near(linalg::norm(m, "fro"), 9.539392014169456);
  near(linalg::norm(m, "nuc"), 11.653785350898488);
  near(linalg::norm(m, 1.0), 9);
  near(linalg::norm(m, -1.0), 5);
  near(linalg::norm(m, 2.0), 9.225027715260929);
  near(linalg::norm(m, -2.0), 2.4287576356375586);
  near(linalg::norm(m, inf), 15);
  near(linalg::norm(m, -inf), 6);
  near(linalg::norm(m, 1.0, Ints{1, 0}), 15);
  const array v = m[1];
  near(linalg::norm(v), std::sqrt(77.0));
  near(linalg::norm(v, 3.0), std::cbrt(64.0 + 125 + 216));
  near(linalg::norm(v, 0.0), 3);
  near(linalg::norm(v, inf), 6);
  near(linalg::norm(v, -inf), 4);
  EXPECT_EQ(linalg::norm(m, 2.0, 1, true).shape(), (Shape{2, 1}));
  EXPECT_EQ(linalg::norm(scattered({2, 3, 4}), "nuc", Ints{0, 2}, true).shape(), (Shape{1, 3, 1}));
  EXPECT_EQ(linalg::norm(scattered({2, 3, 4}), 2.0, Ints{2, 0}).shape(), (Shape{3}));
  EXPECT_NEAR(
      linalg::norm(scattered({2, 3, 4}), -1.0, Ints{-1, 0})[1].item<double>(),
      linalg::norm(transpose(array(scattered({2, 3, 4}))[{Slice(), 1}]), -1.0).item<double>(),
      1e-12);
  EXPECT_EQ(linalg::norm(array({3, 4})).item<float>(), 5);
  EXPECT_EQ(linalg::norm(array({complex64_t(3, 4)})).dtype(), float32);
  EXPECT_EQ(linalg::norm(array({60000.0, 60000.0}, float16)).dtype(), float16);
  EXPECT_THROW(linalg::norm(m, 3.0), std::invalid_argument);
  EXPECT_THROW(linalg::norm(v, "fro"), std::invalid_argument);
  EXPECT_THROW(linalg::norm(m, "x"), std::invalid_argument);
  EXPECT_THROW(linalg::norm(zeros({2, 2, 2}), 2.0), std::invalid_argument);
  EXPECT_THROW(linalg::norm(m, 2.0, 5), std::out_of_range);
  EXPECT_THROW(linalg::norm(m, 2.0, Ints{0, 0}), std::invalid_argument);
}

TEST(Linalg, CrossProducts) {
  EXPECT_EQ(linalg::cross(array({1, 2, 3}), array({3, 4, 5})).to_vector<int>(), (Ints{-2, 4, -2}));
  EXPECT_EQ(linalg::cross(array({1, 2}), array({3, 4})).to_vector<int>(), (Ints{0, 0, -2}));
  EXPECT_EQ(linalg::cross(array({1, 2, 3}), array({3, 4})).to_vector<int>(), (Ints{-12, 9, -2}));
  EXPECT_EQ(linalg::cross(zeros({3, 4}), zeros({3, 4}), 0).shape(), (Shape{3, 4}));
  EXPECT_THROW(linalg::cross(zeros({4}), zeros({4})), std::invalid_argument);
}

TEST(Linalg, GradientsAreSlopes) {
  const array a = scattered({2, 3, 3}, 1) + eye(3, float64) * array(2.0, float64);
  const array tall = scattered({4, 2}, 2), wide = scattered({2, 4}, 3), b = scattered({2, 3, 2}, 4);
  const auto positive = [](const array& x) {
    return matmul(x, swapaxes(x, -1, -2)) + eye(x.shape(-2), float64);
  };
  const auto one = [](std::string name, std::function<Arrays(const Arrays&)> f, Arrays in,
                      bool twice = true) {
    testing::expect_gradients({std::move(name), std::move(f), std::move(in), twice}, 2e-5);
  };
  one("inv", [](auto& in) { return Arrays{linalg::inv(in[0])}; }, {a});
  one("solve", [](auto& in) { return Arrays{linalg::solve(in[0], in[1])}; }, {a, b});
  one("solve of a vector", [](auto& in) { return Arrays{linalg::solve(in[0], in[1])}; },
      {a, scattered({3}, 5)});
  for (bool upper : {false, true}) {
    one("solve_triangular",
        [=](auto& in) { return Arrays{linalg::solve_triangular(in[0], in[1], upper)}; }, {a, b});
    one("tri_inv", [=](auto& in) { return Arrays{linalg::tri_inv(in[0], upper)}; }, {a});
    one("cholesky", [=](auto& in) { return Arrays{linalg::cholesky(positive(in[0]), upper)}; },
        {a});
  }
  one("qr",
      [](auto& in) {
        const auto [q, r] = linalg::qr(in[0]);
        return Arrays{q, r};
      },
      {a});
  one("qr of a tall one",
      [](auto& in) {
        const auto [q, r] = linalg::qr(in[0]);
        return Arrays{q, r};
      },
      {tall});
  one("qr of a wide one",
      [](auto& in) {
        const auto [q, r] = linalg::qr(in[0]);
        return Arrays{q, r};
      },
      {wide});
  // Vectors have either sign: what does not depend on it.
  const auto of_svd = [](auto& in) {
    const auto usv = linalg::svd(in[0]);
    const int k = usv[1].shape(-1);
    const array u = usv[0][{ellipsis, Slice({}, k)}],
                vt = usv[2][{ellipsis, Slice({}, k), Slice()}];
    return Arrays{square(u), usv[1], square(vt), matmul(u * expand_dims(exp(usv[1]), -2), vt)};
  };
  one("svd", of_svd, {a});
  one("svd of a tall one", of_svd, {tall}, false);
  one("svd of a wide one", of_svd, {wide}, false);
  one(
      "singular values", [](auto& in) { return linalg::svd(in[0], false, {}); }, {tall}, false);
  one(
      "pinv", [](auto& in) { return Arrays{linalg::pinv(in[0])}; }, {tall}, false);
  const auto of_eigh = [&](auto& in) {
    const auto [w, v] = linalg::eigh(positive(in[0]));
    return Arrays{w, square(v)};
  };
  one("eigh", of_eigh, {a});
  one(
      "eigvalsh", [&](auto& in) { return Arrays{linalg::eigvalsh(positive(in[0]), "U")}; }, {a},
      false);
  one("det", [](auto& in) { return Arrays{linalg::det(in[0])}; }, {a});
  one(
      "det of a singular one", [](auto& in) { return Arrays{linalg::det(in[0])}; },
      {array({{1.0, 2.0}, {2.0, 4.0}}, float64)}, false);
  one("slogdet", [](auto& in) { return Arrays{linalg::slogdet(in[0]).second}; }, {a});
  one(
      "norms",
      [](auto& in) {
        return Arrays{linalg::norm(in[0]), linalg::norm(in[0], "nuc"), linalg::norm(in[0], 2.0),
                      linalg::norm(in[0], 1.0), linalg::norm(in[0], 3.0, 0)};
      },
      {tall}, false);
  one("cross", [](auto& in) { return Arrays{linalg::cross(in[0], in[1])}; },
      {scattered({2, 3}, 6), scattered({3}, 7)});
}

TEST(Linalg, RefusesWhatHasNoResult) {
  const array singular({{1.0f, 2.0f}, {2.0f, 4.0f}}), nan({{NAN, 1.0f}, {1.0f, 1.0f}});
  EXPECT_THROW(linalg::inv(singular).eval(), std::runtime_error);
  EXPECT_THROW(linalg::solve(singular, array({1.0f, 2.0f})).eval(), std::runtime_error);
  EXPECT_THROW(linalg::tri_inv(zeros({2, 2})).eval(), std::runtime_error);
  EXPECT_THROW(linalg::cholesky(-eye(2)).eval(), std::runtime_error);
  for (const array& bad : {nan, array({{INFINITY, 1.0f}, {1.0f, 1.0f}})}) {
    EXPECT_THROW(eval(linalg::svd(bad)), std::runtime_error);
    EXPECT_THROW(linalg::eigvalsh(bad).eval(), std::runtime_error);
    EXPECT_THROW(linalg::eigvals(bad).eval(), std::runtime_error);
  }
  try {
    linalg::inv(stack({eye(2), singular})).eval();
    ADD_FAILURE();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "linalg::solve: matrix 1 of the batch is singular");
  }
  const auto refuses = [](auto f) { EXPECT_THROW(f(), std::invalid_argument); };
  for (const array& bad :
       {zeros({3}), zeros({2, 3}), zeros({2, 2}, float16), zeros({2, 2}, int32), array(1.0f)}) {
    refuses([&] { linalg::inv(bad); });
    refuses([&] { linalg::cholesky(bad); });
    refuses([&] { linalg::eigh(bad); });
    refuses([&] { linalg::eig(bad); });
    if (bad.dtype() != int32) refuses([&] { linalg::det(bad); });
  }
  refuses([] { linalg::qr(zeros({3})); });
  refuses([] { linalg::svd(zeros({2, 2}, bfloat16)); });
  refuses([] { linalg::solve(eye(2), zeros({3})); });
  refuses([] { linalg::eigh(eye(2), "X"); });
  refuses([] { grad([](const array& x) { return sum(linalg::lu(x)[1]); })(eye(2)); });
}

}  // namespace
}  // namespace hearth
