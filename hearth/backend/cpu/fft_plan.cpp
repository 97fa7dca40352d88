#include "hearth/backend/cpu/fft_plan.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <list>
#include <mutex>
#include <numbers>

#include "hearth/base/error.h"

namespace hearth::cpu {

namespace {

constexpr int kMostRadix = 61;  // a prime p costs p^2 by itself

// exp(-2 pi i k / n): by the eighth of the circle in which it lies, so that no digit is lost.
std::pair<double, double> root(int64_t k, int64_t n) {
  k %= n;
  const double angle = 2 * std::numbers::pi * double(k) / double(n);
  if (8 * k % n == 0) {  // exact multiples of 45 degrees
    static const double h = std::sqrt(0.5);
    constexpr double kZero = 0;
    const double c[] = {1, h, kZero, -h, -1, -h, kZero, h},
                 s[] = {kZero, h, 1, h, kZero, -h, -1, -h};
    return {c[8 * k / n], -s[8 * k / n]};
  }
  return {std::cos(angle), -std::sin(angle)};
}

std::vector<int> factors(int n) {
  std::vector<int> out;
  for (; n % 4 == 0; n /= 4) out.push_back(4);
  for (int p = 2; int64_t(p) * p <= n; p += p == 2 ? 1 : 2)
    for (; n % p == 0; n /= p) out.push_back(p);
  if (n > 1) out.push_back(n);
  return out;
}

// b[j] = sum over k of a[k] exp(-2 pi i j k / radix), for the radices with a formula.
template <int kRadix, class R>
inline void butterfly(R (&re)[8], R (&im)[8]) {
  if constexpr (kRadix == 2) {
    const R r = re[0] - re[1], i = im[0] - im[1];
    re[0] += re[1], im[0] += im[1];
    re[1] = r, im[1] = i;
  } else if constexpr (kRadix == 3) {
    constexpr R kSin = R(0.86602540378443864676);
    const R tr = re[1] + re[2], ti = im[1] + im[2];
    const R mr = re[0] - tr / 2, mi = im[0] - ti / 2;
    const R dr = kSin * (im[1] - im[2]), di = kSin * (re[2] - re[1]);
    re[0] += tr, im[0] += ti;
    re[1] = mr + dr, im[1] = mi + di;
    re[2] = mr - dr, im[2] = mi - di;
  } else if constexpr (kRadix == 4) {
    const R ar = re[0] + re[2], ai = im[0] + im[2], br = re[0] - re[2], bi = im[0] - im[2];
    const R cr = re[1] + re[3], ci = im[1] + im[3], dr = im[1] - im[3], di = re[3] - re[1];
    re[0] = ar + cr, im[0] = ai + ci;
    re[1] = br + dr, im[1] = bi + di;
    re[2] = ar - cr, im[2] = ai - ci;
    re[3] = br - dr, im[3] = bi - di;
  } else {
    static_assert(kRadix == 5);
    constexpr R c1 = R(0.30901699437494742410), c2 = R(-0.80901699437494742410);
    constexpr R s1 = R(0.95105651629515357212), s2 = R(0.58778525229247312917);
    const R ar = re[1] + re[4], ai = im[1] + im[4], br = re[2] + re[3], bi = im[2] + im[3];
    const R er = re[1] - re[4], ei = im[1] - im[4], fr = re[2] - re[3], fi = im[2] - im[3];
    const R mr = re[0] + c1 * ar + c2 * br, mi = im[0] + c1 * ai + c2 * bi;
    const R nr = re[0] + c2 * ar + c1 * br, ni = im[0] + c2 * ai + c1 * bi;
    const R pr = s1 * ei + s2 * fi, pi = -(s1 * er + s2 * fr);
    const R qr = s2 * ei - s1 * fi, qi = -(s2 * er - s1 * fr);
    re[0] += ar + br, im[0] += ai + bi;
    re[1] = mr + pr, im[1] = mi + pi;
    re[4] = mr - pr, im[4] = mi - pi;
    re[2] = nr + qr, im[2] = ni + qi;
    re[3] = nr - qr, im[3] = ni - qi;
  }
}

// One step: x is (radix, rest, stride), y is (rest, radix, stride).
template <int kRadix, class R>
void pass(int rest, int stride, const R* wre, const R* wim, Parts<R> x, Parts<R> y) {
  const size_t apart = size_t(rest) * size_t(stride), step = size_t(stride);
  const R* __restrict xr = x.re, * __restrict xi = x.im;
  R* __restrict yr = y.re, * __restrict yi = y.im;
  for (int p = 0; p < rest; ++p) {
    const size_t from = size_t(p) * step, to = from * kRadix;
    R wr[8], wi[8];
    for (int j = 1; j < kRadix; ++j)
      wr[j] = wre[p * (kRadix - 1) + j - 1], wi[j] = wim[p * (kRadix - 1) + j - 1];
    for (size_t q = 0; q < step; ++q) {
      R re[8], im[8];
      for (int k = 0; k < kRadix; ++k)
        re[k] = xr[from + size_t(k) * apart + q], im[k] = xi[from + size_t(k) * apart + q];
      butterfly<kRadix>(re, im);
      yr[to + q] = re[0], yi[to + q] = im[0];
      for (int j = 1; j < kRadix; ++j) {
        yr[to + size_t(j) * step + q] = re[j] * wr[j] - im[j] * wi[j];
        yi[to + size_t(j) * step + q] = re[j] * wi[j] + im[j] * wr[j];
      }
    }
  }
}

// The same by the definition, for a prime radix.
template <class R>
void pass_of_prime(int radix, int rest, int stride, const R* wre, const R* wim,
                   const double* root_re, const double* root_im, Parts<R> x, Parts<R> y) {
  const size_t apart = size_t(rest) * size_t(stride);
  std::vector<R> re(size_t(stride), R(0)), im(size_t(stride), R(0));
  for (int p = 0; p < rest; ++p)
    for (int j = 0; j < radix; ++j) {
      const size_t from = size_t(p) * size_t(stride);
      std::fill(re.begin(), re.end(), R(0));
      std::fill(im.begin(), im.end(), R(0));
      for (int k = 0; k < radix; ++k) {
        const R cr = R(root_re[j * k % radix]), ci = R(root_im[j * k % radix]);
        const R* xr = x.re + from + size_t(k) * apart;
        const R* xi = x.im + from + size_t(k) * apart;
        for (size_t q = 0; q < size_t(stride); ++q) {
          re[q] += xr[q] * cr - xi[q] * ci;
          im[q] += xr[q] * ci + xi[q] * cr;
        }
      }
      const R wr = j == 0 ? R(1) : wre[p * (radix - 1) + j - 1];
      const R wi = j == 0 ? R(0) : wim[p * (radix - 1) + j - 1];
      const size_t to = (size_t(p) * size_t(radix) + size_t(j)) * size_t(stride);
      for (size_t q = 0; q < size_t(stride); ++q) {
        y.re[to + q] = re[q] * wr - im[q] * wi;
        y.im[to + q] = re[q] * wi + im[q] * wr;
      }
    }
}

}  // namespace

// Bluestein: j k = (j^2 + k^2 - (k - j)^2) / 2, so that the sum is a convolution with a chirp.
template <class R>
struct FourierPlan<R>::Bluestein {
  FourierPlan<double> plan;                  // of a power of 2
  std::vector<double> chirp_re, chirp_im;    // exp(-pi i k^2 / n)
  std::vector<double> filter_re, filter_im;  // the transform of its conjugate, over the size

  static int padded(int n) {
    int64_t m = 1;
    while (m < 2 * int64_t(n) - 1) m *= 2;
    ensure(m <= 1 << 30, "fft: a transform of ", n,
           " elements, which has a prime factor above 61, is too long; at most ", 1 << 29,
           " are possible");
    return int(m);
  }
  explicit Bluestein(int n) : plan(padded(n)) {
    const auto m = size_t(plan.size());
    filter_re.resize(m), filter_im.resize(m);
    for (int64_t k = 0; k < n; ++k) {
      const auto [re, im] = root(k * k % (2 * int64_t(n)), 2 * int64_t(n));
      chirp_re.push_back(re), chirp_im.push_back(im);
      for (size_t at : {size_t(k), (m - size_t(k)) % m}) filter_re[at] = re, filter_im[at] = -im;
    }
    std::vector<double> work(plan.work_size());
    plan.run({filter_re.data(), filter_im.data()}, work.data());
    for (size_t i = 0; i < m; ++i) filter_re[i] /= double(m), filter_im[i] /= double(m);
  }
  void run(Parts<R> x) const {
    const auto m = size_t(plan.size()), n = chirp_re.size();
    std::vector<double> re(m), im(m), work(plan.work_size());
    for (size_t k = 0; k < n; ++k) {
      re[k] = double(x.re[k]) * chirp_re[k] - double(x.im[k]) * chirp_im[k];
      im[k] = double(x.re[k]) * chirp_im[k] + double(x.im[k]) * chirp_re[k];
    }
    plan.run({re.data(), im.data()}, work.data());
    for (size_t k = 0; k < m; ++k) {
      const double r = re[k] * filter_re[k] - im[k] * filter_im[k];
      im[k] = re[k] * filter_im[k] + im[k] * filter_re[k], re[k] = r;
    }
    plan.run({im.data(), re.data()}, work.data());  // the inverse
    for (size_t k = 0; k < n; ++k) {
      x.re[k] = R(re[k] * chirp_re[k] - im[k] * chirp_im[k]);
      x.im[k] = R(re[k] * chirp_im[k] + im[k] * chirp_re[k]);
    }
  }
};

template <class R>
FourierPlan<R>::FourierPlan(int n) : n_(n) {
  const std::vector<int> radices = factors(n);
  if (!radices.empty() && *std::max_element(radices.begin(), radices.end()) > kMostRadix) {
    bluestein_ = std::make_unique<Bluestein>(n);
    return;
  }
  int left = n, stride = 1;
  for (int radix : radices) {
    Step step{radix, left / radix, stride, {}, {}};
    for (int p = 0; p < step.rest; ++p)
      for (int j = 1; j < radix; ++j) {
        const auto [re, im] = root(int64_t(p) * j, left);
        step.re.push_back(R(re)), step.im.push_back(R(im));
      }
    if (radix > 5)
      for (int k = 0; k < radix; ++k) {
        const auto [re, im] = root(k, radix);
        roots_re_.push_back(re), roots_im_.push_back(im);
      }
    left = step.rest, stride *= radix;
    steps_.push_back(std::move(step));
  }
}
template <class R>
FourierPlan<R>::~FourierPlan() = default;

template <class R>
size_t FourierPlan<R>::work_size() const {
  return bluestein_ ? 0 : 2 * size_t(n_);
}

template <class R>
void FourierPlan<R>::run(Parts<R> x, R* work) const {
  if (bluestein_) return bluestein_->run(x);
  Parts<R> from = x, to{work, work + n_};
  const double *root_re = roots_re_.data(), *root_im = roots_im_.data();
  for (const Step& s : steps_) {
    const R *wre = s.re.data(), *wim = s.im.data();
    switch (s.radix) {
      case 2: pass<2>(s.rest, s.stride, wre, wim, from, to); break;
      case 3: pass<3>(s.rest, s.stride, wre, wim, from, to); break;
      case 4: pass<4>(s.rest, s.stride, wre, wim, from, to); break;
      case 5: pass<5>(s.rest, s.stride, wre, wim, from, to); break;
      default:
        pass_of_prime(s.radix, s.rest, s.stride, wre, wim, root_re, root_im, from, to);
        root_re += s.radix, root_im += s.radix;
    }
    std::swap(from, to);
  }
  if (from.re == x.re) return;
  std::copy(from.re, from.re + n_, x.re);
  std::copy(from.im, from.im + n_, x.im);
}

template class FourierPlan<float>;
template class FourierPlan<double>;

std::shared_ptr<const FourierPlan<float>> fourier_plan(int n) {
  constexpr size_t kKept = 16;
  static std::mutex mutex;
  static auto& kept = *new std::list<std::shared_ptr<const FourierPlan<float>>>;
  {
    const std::lock_guard lock(mutex);
    for (auto it = kept.begin(); it != kept.end(); ++it)
      if ((*it)->size() == n) {
        kept.splice(kept.begin(), kept, it);
        return kept.front();
      }
  }
  auto plan = std::make_shared<const FourierPlan<float>>(n);
  const std::lock_guard lock(mutex);
  kept.push_front(plan);
  if (kept.size() > kKept) kept.pop_back();
  return plan;
}

}  // namespace hearth::cpu
