// Fourier transforms against their definition in float64: every small size, sizes of all kinds,
// several axes, real numbers, factors, gradients.
#include "hearth/ops/fft.h"

#include <gtest/gtest.h>

#include <cmath>

#include "hearth/ops/ops.h"
#include "tests/gradients.h"

namespace hearth {
namespace {

using testing::scattered;
using Complex = std::complex<double>;
using fft::FFTNorm;
using Ints = std::vector<int>;

array signal(const Shape& shape, int seed = 1) {
  return astype(scattered(shape, seed), complex64) +
         astype(scattered(shape, seed + 5), complex64) * array(complex64_t(0, 1));
}
// Places in a full turn are reduced before the angle is made, so that it keeps its digits.
std::vector<Complex> definition(const std::vector<Complex>& x, bool inverse = false) {
  const size_t n = x.size();
  std::vector<Complex> roots, y;
  for (size_t k = 0; k < n; ++k)
    roots.push_back(std::polar(1.0, (inverse ? 2 : -2) * M_PI * double(k) / double(n)));
  for (size_t k = 0; k < n; ++k) {
    Complex sum = 0;
    for (size_t j = 0; j < n; ++j) sum += x[j] * roots[j * k % n];
    y.push_back(sum);
  }
  return y;
}
std::vector<Complex> values(const array& a) {
  std::vector<Complex> out;
  for (complex64_t z : a.to_vector<complex64_t>()) out.push_back({z.real(), z.imag()});
  return out;
}
void expect_close(const array& got, const std::vector<Complex>& wanted, const std::string& where) {
  const auto v = values(got);
  ASSERT_EQ(v.size(), wanted.size()) << where;
  double size = 0, error = 0;
  for (size_t i = 0; i < v.size(); ++i)
    size += std::norm(wanted[i]), error += std::norm(v[i] - wanted[i]);
  EXPECT_LT(std::sqrt(error), 6e-7 * std::sqrt(size) + 1e-12) << where;
}

std::vector<int> sizes() {
  std::vector<int> all{97,  100,  101,  128,  143,  169,  210,  243,  256, 257,
                       625, 1000, 1009, 1024, 2187, 2310, 4087, 4096, 5003};
  for (int n = 1; n <= 70; ++n) all.push_back(n);
  return all;
}

TEST(Fft, IsItsDefinitionAtEverySize) {
  for (int n : sizes()) {
    const array x = signal({n}), real_x = scattered({n}, 3, float32);
    const auto spectrum = definition(values(x));
    expect_close(fft::fft(x), spectrum, "fft of " + std::to_string(n));
    auto back = definition(values(x), true);
    for (Complex& z : back) z /= double(n);
    expect_close(fft::ifft(x), back, "ifft of " + std::to_string(n));
    auto half = definition(values(real_x));
    half.resize(size_t(n) / 2 + 1);
    const array r = fft::rfft(real_x);
    expect_close(r, half, "rfft of " + std::to_string(n));
    expect_close(fft::irfft(r, n, -1), values(real_x), "irfft of " + std::to_string(n));
    EXPECT_EQ(fft::irfft(r, n, -1).dtype(), float32);
  }
}

TEST(Fft, OfAMillionComesBack) {
  const array x = signal({1 << 20});
  expect_close(fft::ifft(fft::fft(x)), values(x), "2^20");
  const array spectrum = fft::fft(x);  // its first element is the sum
  EXPECT_NEAR(std::abs(values(spectrum)[0] - Complex(sum(real(astype(x, complex64))).item<float>(),
                                                     sum(imag(x)).item<float>())),
              0, 1);
}

TEST(Fft, OfSeveralAxesIsOneAfterTheOther) {
  const array x = signal({3, 4, 5}), real_x = scattered({3, 4, 6}, 2, float32);
  const auto same = [](const array& a, const array& b) {
    return allclose(a, b, 1e-5, 1e-5).item<bool>();
  };
  EXPECT_TRUE(same(fft::fftn(x), fft::fft(fft::fft(fft::fft(x, 0), 1), 2)));
  EXPECT_TRUE(same(fft::fft2(x), fft::fft(fft::fft(x, -1), -2)));
  EXPECT_TRUE(same(fft::fftn(x, {2, 8}, {0, 2}), fft::fft(fft::fft(x, 2, 0), 8, 2)));
  EXPECT_TRUE(same(fft::ifftn(fft::fftn(x)), x));
  EXPECT_TRUE(same(fft::rfftn(real_x),
                   fft::fftn(astype(real_x, complex64))[{Slice(), Slice(), Slice({}, 4)}]));
  EXPECT_TRUE(same(fft::irfftn(fft::rfftn(real_x)), real_x));
  EXPECT_TRUE(same(fft::irfft2(fft::rfft2(real_x)), real_x));
  EXPECT_TRUE(same(fft::rfft(real_x, 0), fft::fft(astype(real_x, complex64), 0)[Slice({}, 2)]));
  EXPECT_TRUE(same(fft::fft(transpose(x), 1), fft::fft(copy(transpose(x)), 1)));
  EXPECT_EQ(fft::irfft(signal({7})).shape(), (Shape{12}));
  EXPECT_EQ(fft::fft(zeros({0, 4})).shape(), (Shape{0, 4}));
}

TEST(Fft, PutsItsFactorWhereAsked) {
  const array x = signal({6, 4});
  const auto ratio = [](const array& a, const array& b) {
    return (values(a)[1] / values(b)[1]).real();
  };
  EXPECT_NEAR(ratio(fft::fftn(x, FFTNorm::Ortho), fft::fftn(x)), 1 / std::sqrt(24.0), 1e-6);
  EXPECT_NEAR(ratio(fft::fftn(x, FFTNorm::Forward), fft::fftn(x)), 1 / 24.0, 1e-7);
  EXPECT_NEAR(ratio(fft::ifftn(x, FFTNorm::Ortho), fft::ifftn(x)), std::sqrt(24.0), 1e-4);
  EXPECT_NEAR(ratio(fft::ifftn(x, FFTNorm::Forward), fft::ifftn(x)), 24, 1e-4);
  EXPECT_EQ(fft::fft(array({1, 2, 3}, int32)).dtype(), complex64);
}

TEST(Fft, Frequencies) {
  using Floats = std::vector<float>;
  EXPECT_EQ(fft::fftfreq(4, 0.5).to_vector<float>(), (Floats{0, 0.5, -1, -0.5}));
  EXPECT_EQ(fft::fftfreq(5, 0.2).to_vector<float>(), (Floats{0, 1, 2, -2, -1}));
  EXPECT_EQ(fft::rfftfreq(4).to_vector<float>(), (Floats{0, 0.25, 0.5}));
  EXPECT_EQ(fft::fftshift(arange(5)).to_vector<int>(), (Ints{3, 4, 0, 1, 2}));
  EXPECT_EQ(fft::ifftshift(fft::fftshift(arange(5))).to_vector<int>(), (Ints{0, 1, 2, 3, 4}));
  const array m = reshape(arange(6), {2, 3});
  EXPECT_EQ(fft::fftshift(m).to_vector<int>(), (Ints{5, 3, 4, 2, 0, 1}));
  EXPECT_EQ(fft::fftshift(m, Ints{0}).to_vector<int>(), (Ints{3, 4, 5, 0, 1, 2}));
}

TEST(Fft, GradientsAreSlopes) {
  const auto parts = [](const array& y) {
    return is_complex(y.dtype()) ? Arrays{real(y), imag(y)} : Arrays{y};
  };
  for (int n : {4, 5, 6}) {
    const array x = scattered({2, n}, 1, float32), y = scattered({2, n}, 2, float32);
    const auto one = [&](std::string name, std::function<array(const array&)> f) {
      testing::expect_gradients(
          {name + " of " + std::to_string(n),
           [&](const Arrays& in) {
             return parts(
                 f(astype(in[0], complex64) + astype(in[1], complex64) * array(complex64_t(0, 1))));
           },
           {x, y}},
          2e-3);
    };
    one("fft", [](const array& z) { return square(fft::fft(z)); });
    one("ifft", [](const array& z) { return square(fft::ifft(z, 0)); });
    one("irfft", [n](const array& z) { return square(fft::irfft(z, n, -1)); });
    one("irfft of more", [n](const array& z) { return square(fft::irfft(z, n + 7, -1)); });
    testing::expect_gradients(
        {"rfft", [&](const Arrays& in) { return parts(square(fft::rfft(in[0]))); }, {x}}, 2e-3);
    testing::expect_gradients(
        {"rfft2", [&](const Arrays& in) { return parts(fft::rfft2(in[0])); }, {x}}, 2e-3);
  }
}

TEST(Stft, IsTheTransformOfEachFrame) {
  const array x = scattered({2, 20}, 1, float32), w = hanning(8) + 0.1f;
  const auto same = [](const array& a, const array& b) {
    return a.shape() == b.shape() && allclose(a, b, 1e-5, 1e-5).item<bool>();
  };
  const array plain = fft::stft(x, 8, 3, std::nullopt, w, false);
  ASSERT_EQ(plain.shape(), (Shape{2, 5, 5}));
  for (int k = 0; k < 5; ++k)
    EXPECT_TRUE(same(plain[{ellipsis, k}], fft::rfft(x[{Slice(), Slice(3 * k, 3 * k + 8)}] * w)));
  EXPECT_EQ(fft::stft(arange(20), 8).shape(), (Shape{5, 11}));
  EXPECT_NEAR((fft::stft(arange(20), 8)[{0, 1}].item<complex64_t>().real()), 18, 1e-4);  // MLX's
  EXPECT_NEAR((fft::stft(arange(20), 8, std::nullopt, 4)[{0, 2}].item<complex64_t>().real()), 14,
              1e-4);
  EXPECT_EQ(fft::stft(signal({20}), 8).shape(), (Shape{8, 11}));
  for (bool center : {true, false})
    for (bool half : {true, false})
      for (int n : {7, 8}) {
        const array of = x[{Slice(), Slice(0, 19)}];
        const array window = hanning(n) + 0.1f;
        const array there =
            fft::stft(of, n, 2, std::nullopt, window, center, "reflect", FFTNorm::Ortho, half);
        const array back =
            fft::istft(there, n, 2, std::nullopt, window, center, FFTNorm::Ortho, half, 17);
        EXPECT_TRUE(same(back, of[{Slice(), Slice(0, 17)}])) << center << half << n;
      }
  EXPECT_EQ(fft::istft(fft::stft(x, 8), 8, std::nullopt, std::nullopt, std::nullopt, true,
                       FFTNorm::Backward, true, 25)
                .shape(),
            (Shape{2, 25}));
  EXPECT_THROW(fft::stft(x, 0), std::invalid_argument);
  EXPECT_THROW(fft::stft(x, 8, 0), std::invalid_argument);
  EXPECT_THROW(fft::stft(x, 8, 2, 9), std::invalid_argument);
  EXPECT_THROW(fft::stft(x, 64, 2, std::nullopt, std::nullopt, false), std::invalid_argument);
  EXPECT_THROW(fft::stft(x, 8, 2, std::nullopt, std::nullopt, true, "x"), std::invalid_argument);
  EXPECT_THROW(fft::istft(x, 8), std::invalid_argument);
}

TEST(Fft, RefusesWhatHasNoTransform) {
  const array x = signal({3, 4});
  EXPECT_THROW(fft::fft(array(1.0f)), std::exception);
  EXPECT_THROW(fft::fft(x, 2), std::out_of_range);
  EXPECT_THROW(fft::fft(x, 0, 0), std::invalid_argument);
  EXPECT_THROW(fft::fft(x, -3, 0), std::invalid_argument);
  EXPECT_THROW(fft::fftn(x, {3}, {0, 1}), std::invalid_argument);
  EXPECT_THROW(fft::fftn(x, Ints{0, 0}), std::invalid_argument);
  EXPECT_THROW(fft::rfft(x), std::invalid_argument);
  EXPECT_THROW(fft::fft(zeros({3, 0})), std::invalid_argument);
  EXPECT_THROW(fft::fftfreq(0), std::invalid_argument);
}

}  // namespace
}  // namespace hearth
