// Fourier transforms of rows, each by one thread.
#include "hearth/backend/cpu/fft.h"

#include "hearth/backend/cpu/fft_plan.h"
#include "hearth/backend/cpu/whole.h"
#include "hearth/backend/pool.h"

namespace hearth::cpu {

namespace {

using Kind = fft::Fourier::Kind;

// A row of n numbers, apart, and the plan's workspace behind them.
struct Scratch {
  std::vector<float> memory;
  Parts<float> x;
  float* work;
  Scratch(size_t n, size_t work_size)
      : memory(2 * n + work_size), x{memory.data(), memory.data() + n}, work(x.im + n) {}
};

void of_complex(const FourierPlan<float>& plan, bool inverse, const complex64_t* in,
                complex64_t* out) {
  const auto n = size_t(plan.size());
  Scratch s(n, plan.work_size());
  for (size_t i = 0; i < n; ++i) s.x.re[i] = in[i].real(), s.x.im[i] = in[i].imag();
  plan.run(inverse ? Parts<float>{s.x.im, s.x.re} : s.x, s.work);
  for (size_t i = 0; i < n; ++i) out[i] = {s.x.re[i], s.x.im[i]};
}

// exp(-2 pi i k / n), k <= n / 4 and so on, for taking two halves apart.
complex64_t twiddle(size_t k, size_t n) {
  if (2 * k == n) return {-1, 0};  // sin of a rounded pi is not 0
  if (4 * k == n) return {0, -1};
  const double angle = -2 * 3.14159265358979323846 * double(k) / double(n);
  return {float(std::cos(angle)), float(std::sin(angle))};
}

// Of an even size: even and odd elements are the parts of one transform of half the size.
struct Real {
  int n;
  std::shared_ptr<const FourierPlan<float>> plan;
  std::vector<complex64_t> roots;  // exp(-2 pi i k / n), k <= n / 2; none of an odd size

  explicit Real(int size) : n(size), plan(fourier_plan(size % 2 ? size : size / 2)) {
    if (n % 2 == 0)
      for (size_t k = 0; k <= size_t(n) / 2; ++k) roots.push_back(twiddle(k, size_t(n)));
  }
  void forward(const float* in, complex64_t* out) const {
    const auto m = size_t(plan->size());
    Scratch s(m, plan->work_size());
    if (roots.empty()) {
      std::copy(in, in + m, s.x.re);
      plan->run(s.x, s.work);
      for (size_t k = 0; k <= m / 2; ++k) out[k] = {s.x.re[k], s.x.im[k]};
      return;
    }
    for (size_t i = 0; i < m; ++i) s.x.re[i] = in[2 * i], s.x.im[i] = in[2 * i + 1];
    plan->run(s.x, s.work);
    for (size_t k = 0; k <= m; ++k) {
      const size_t a = k % m, b = (m - k) % m;
      const complex64_t z(s.x.re[a], s.x.im[a]), w(s.x.re[b], -s.x.im[b]);
      const complex64_t even = (z + w) * 0.5f, odd = times(z - w, {0, -0.5f});
      out[k] = even + times(odd, roots[k]);
    }
  }
  void backward(const complex64_t* in, float* out) const {
    const auto m = size_t(plan->size());
    Scratch s(m, plan->work_size());
    if (roots.empty()) {
      for (size_t k = 0; k < m; ++k) {
        const bool given = k <= m / 2;
        const complex64_t z = given ? in[k] : std::conj(in[m - k]);
        s.x.re[k] = z.real(), s.x.im[k] = k == 0 ? 0 : z.imag();
      }
      plan->run({s.x.im, s.x.re}, s.work);
      std::copy(s.x.re, s.x.re + m, out);
      return;
    }
    // The ends are real: their imaginary parts are not read.
    const auto at = [&](size_t k) {
      return k == 0 || k == m ? complex64_t(in[k].real(), 0) : in[k];
    };
    for (size_t k = 0; k < m; ++k) {
      const complex64_t z = at(k), w = std::conj(at(m - k));
      const complex64_t even = z + w, odd = times(z - w, std::conj(roots[k]));
      s.x.re[k] = even.real() - odd.imag(), s.x.im[k] = even.imag() + odd.real();
    }
    plan->run({s.x.im, s.x.re}, s.work);
    for (size_t i = 0; i < m; ++i) out[2 * i] = s.x.re[i], out[2 * i + 1] = s.x.im[i];
  }

 private:
  static complex64_t times(complex64_t a, complex64_t b) {
    return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
  }
};

}  // namespace

void fourier(const fft::Fourier& op, const Args& args, CpuQueue&) {
  const array &in = args.in[0], &out = args.out[0];
  const auto from = size_t(in.shape(-1)), to = size_t(out.shape(-1));
  if (out.size() == 0) return;
  const int64_t rows = int64_t(out.size() / to);
  std::vector<float> real_room;
  std::vector<complex64_t> room;
  if (op.kind == Kind::complex) {
    const auto plan = fourier_plan(op.n);
    const complex64_t* x = whole(in, room);
    parallel_for(rows, [&](int64_t i) {
      of_complex(*plan, op.inverse, x + size_t(i) * from, ptr<complex64_t>(out) + size_t(i) * to);
    });
    return;
  }
  const Real real(op.n);
  const float* x = op.kind == Kind::real ? whole(in, real_room) : nullptr;
  const complex64_t* z = op.kind == Kind::real ? nullptr : whole(in, room);
  parallel_for(rows, [&](int64_t i) {
    if (op.kind == Kind::real)
      real.forward(x + size_t(i) * from, ptr<complex64_t>(out) + size_t(i) * to);
    else
      real.backward(z + size_t(i) * from, ptr<float>(out) + size_t(i) * to);
  });
}

}  // namespace hearth::cpu
