// Linear algebra by LAPACK. Its matrices have their columns one after the other, ours their rows:
// each matrix is turned on its way in and out, which costs n^2 beside the work's n^3.
#include "hearth/backend/cpu/linalg.h"

#include <cmath>
#include <numeric>

#include "hearth/backend/cpu/lapack.h"
#include "hearth/backend/cpu/whole.h"

namespace hearth::cpu {

namespace {

using Reals = Types<float, double>;

// Rows (m, n) as columns, or columns (n, m) as rows.
template <class T>
void turn(const T* from, int m, int n, T* to) {
  constexpr int kTile = 32;
  for (int i0 = 0; i0 < m; i0 += kTile)
    for (int j0 = 0; j0 < n; j0 += kTile)
      for (int i = i0; i < std::min(m, i0 + kTile); ++i)
        for (int j = j0; j < std::min(n, j0 + kTile); ++j)
          to[size_t(j) * size_t(m) + size_t(i)] = from[size_t(i) * size_t(n) + size_t(j)];
}
template <class T>
std::vector<T> turned(const T* rows, int m, int n) {
  std::vector<T> columns(size_t(m) * size_t(n));
  turn(rows, m, n, columns.data());
  return columns;
}

// A matrix of the batch, and what it is called in an error.
struct Each {
  int m, n;
  size_t count;
  size_t size() const { return size_t(m) * size_t(n); }
};
Each matrices(const array& a) {
  const int m = a.shape(-2), n = a.shape(-1);
  return {m, n, element_count(Shape(a.shape().begin(), a.shape().end() - 2))};
}
void succeed(bool ok, std::string_view who, size_t matrix, size_t count, std::string_view why) {
  ensure(ok, who, ": ", count > 1 ? concat("matrix ", matrix, " of the batch ") : "the matrix ",
         why);
}
template <class T>
void check_finite(const T* a, size_t n, std::string_view who, size_t matrix, size_t count) {
  bool ok = true;
  for (size_t i = 0; i < n; ++i) ok = ok && std::isfinite(std::abs(a[i]));
  succeed(ok, who, matrix, count, "holds NaN or an infinity");
}
// The size of the workspace that a routine asks for in a float: rounded up, where it is large.
template <class T>
int work_size(T asked) {
  return std::max(1, int(std::ceil(std::real(asked) * (1 + 1e-6))));
}
int at_least_1(int n) { return std::max(1, n); }

}  // namespace

void lu(const linalg::LU& op, const Args& args, CpuQueue&) {
  const Each each = matrices(args.in[0]);
  const int m = each.m, n = each.n;
  const size_t count = each.count;
  const int k = std::min(m, n), lda = at_least_1(m);
  visit(Reals{}, args.in[0].dtype(), op.name(), [&]<class T>() {
    std::vector<T> room;
    const T* const in = whole(args.in[0], room);
    for (size_t i = 0; i < count; ++i) {
      std::vector<T> a = turned(in + i * each.size(), m, n);
      std::vector<int> swaps(size_t(k), 0);
      int info = 0;
      if (k > 0) lapack<T>().getrf(&m, &n, a.data(), &lda, swaps.data(), &info);
      turn(a.data(), n, m, ptr<T>(args.out[0]) + i * each.size());
      auto* pivots = ptr<uint32_t>(args.out[1]) + i * size_t(k);
      auto* order = ptr<uint32_t>(args.out[2]) + i * size_t(m);
      std::iota(order, order + m, 0u);
      for (int j = 0; j < k; ++j) {
        pivots[j] = uint32_t(swaps[size_t(j)] - 1);
        std::swap(order[j], order[pivots[j]]);
      }
    }
  });
}

void solve(const linalg::Solve& op, const Args& args, CpuQueue&) {
  const Each each = matrices(args.in[0]);
  const int n = each.n, r = args.in[1].shape(-1);
  if (n == 0 || r == 0) return;
  visit(Reals{}, args.in[0].dtype(), op.name(), [&]<class T>() {
    std::vector<T> room;
    const T* const in = whole(args.in[0], room);
    std::vector<T> b_room;
    const T* const b = whole(args.in[1], b_room);
    for (size_t i = 0; i < each.count; ++i) {
      // The rows of a are the columns of its transpose.
      const T* rows = in + i * each.size();
      const size_t at = i * size_t(n) * size_t(r);
      std::vector<T> x = turned(b + at, n, r);
      int info = 0;
      if (op.triangular) {
        lapack<T>().trtrs(op.upper ? "L" : "U", "T", "N", &n, &r, rows, &n, x.data(), &n, &info, 1,
                          1, 1);
      } else {
        std::vector<T> a(rows, rows + each.size());
        std::vector<int> pivots(size_t(n), 0);
        lapack<T>().getrf(&n, &n, a.data(), &n, pivots.data(), &info);
        if (info == 0)
          lapack<T>().getrs("T", &n, &r, a.data(), &n, pivots.data(), x.data(), &n, &info, 1);
      }
      succeed(info == 0, op.name(), i, each.count, "is singular");
      turn(x.data(), r, n, ptr<T>(args.out[0]) + at);
    }
  });
}

void cholesky(const linalg::Cholesky& op, const Args& args, CpuQueue&) {
  const Each each = matrices(args.in[0]);
  const int n = each.n;
  if (n == 0) return;
  visit(Reals{}, args.in[0].dtype(), op.name(), [&]<class T>() {
    std::vector<T> room;
    const T* const in = whole(args.in[0], room);
    for (size_t i = 0; i < each.count; ++i) {
      const T* a = in + i * each.size();
      T* l = ptr<T>(args.out[0]) + i * each.size();
      std::copy(a, a + each.size(), l);
      int info = 0;
      lapack<T>().potrf("U", &n, l, &n, &info, 1);  // the lower triangle of the rows
      succeed(info == 0, op.name(), i, each.count, "is not positive definite");
      for (int row = 0; row < n; ++row) std::fill(l + row * n + row + 1, l + (row + 1) * n, T(0));
    }
  });
}

void qr(const linalg::QR& op, const Args& args, CpuQueue&) {
  const Each each = matrices(args.in[0]);
  const int m = each.m, n = each.n;
  const size_t count = each.count;
  if (n == 0) return;
  visit(Reals{}, args.in[0].dtype(), op.name(), [&]<class T>() {
    std::vector<T> room;
    const T* const in = whole(args.in[0], room);
    const Lapack<T>& l = lapack<T>();
    std::vector<T> tau(size_t(n), T(0));
    int info = 0;
    const int ask = -1;
    T wanted[2] = {};
    l.geqrf(&m, &n, nullptr, &m, tau.data(), &wanted[0], &ask, &info);
    l.orgqr(&m, &n, &n, nullptr, &m, tau.data(), &wanted[1], &ask, &info);
    const int size = std::max(work_size(wanted[0]), work_size(wanted[1]));
    std::vector<T> work(size_t(size), T(0));
    for (size_t i = 0; i < count; ++i) {
      std::vector<T> a = turned(in + i * each.size(), m, n);
      l.geqrf(&m, &n, a.data(), &m, tau.data(), work.data(), &size, &info);
      T* r = ptr<T>(args.out[1]) + i * size_t(n) * size_t(n);
      for (int row = 0; row < n; ++row)
        for (int column = 0; column < n; ++column)
          r[row * n + column] = column < row ? T(0) : a[size_t(column) * size_t(m) + size_t(row)];
      l.orgqr(&m, &n, &n, a.data(), &m, tau.data(), work.data(), &size, &info);
      turn(a.data(), n, m, ptr<T>(args.out[0]) + i * each.size());
    }
  });
}

void svd(const linalg::SVD& op, const Args& args, CpuQueue&) {
  const Each each = matrices(args.in[0]);
  const int m = each.m, n = each.n;
  const size_t count = each.count;
  const int k = std::min(m, n);
  visit(Reals{}, args.in[0].dtype(), op.name(), [&]<class T>() {
    std::vector<T> room;
    const T* const in = whole(args.in[0], room);
    const size_t mm = size_t(m) * size_t(m), nn = size_t(n) * size_t(n);
    if (k == 0) {
      for (size_t output : {size_t(0), size_t(2)}) {  // vectors of nothing: the identity
        if (!op.vectors) break;
        const int side = output == 0 ? m : n;
        for (size_t i = 0; i < count; ++i)
          for (int row = 0; row < side; ++row)
            for (int column = 0; column < side; ++column)
              ptr<T>(args.out[output])[(i * size_t(side) + size_t(row)) * size_t(side) +
                                       size_t(column)] = T(row == column);
      }
      return;
    }
    const Lapack<T>& l = lapack<T>();
    const char* job = op.vectors ? "A" : "N";
    std::vector<T> u(op.vectors ? mm : 1), vt(op.vectors ? nn : 1);
    std::vector<int> iwork(size_t(k) * 8, 0);
    int info = 0, size = -1;
    T wanted = 0;
    const auto decompose = [&](T* a, T* s, T* work) {
      // The rows of a are the columns of its transpose V S U^T: the vectors change places, and
      // their columns are the rows of what is wanted.
      l.gesdd(job, &n, &m, a, &n, s, vt.data(), &n, u.data(), &m, work, &size, iwork.data(), &info,
              1);
    };
    decompose(nullptr, nullptr, &wanted);
    size = work_size(wanted);
    std::vector<T> work(size_t(size), T(0));
    for (size_t i = 0; i < count; ++i) {
      const T* rows = in + i * each.size();
      check_finite(rows, each.size(), op.name(), i, count);
      std::vector<T> a(rows, rows + each.size());
      decompose(a.data(), ptr<T>(args.out[op.vectors]) + i * size_t(k), work.data());
      succeed(info == 0, op.name(), i, count, "has no decomposition: it did not converge");
      if (!op.vectors) continue;
      std::copy(u.begin(), u.end(), ptr<T>(args.out[0]) + i * mm);
      std::copy(vt.begin(), vt.end(), ptr<T>(args.out[2]) + i * nn);
    }
  });
}

void eigh(const linalg::Eigh& op, const Args& args, CpuQueue&) {
  const Each each = matrices(args.in[0]);
  const int n = each.n;
  if (n == 0) return;
  const char* job = op.vectors ? "V" : "N";
  visit(Types<float, double, complex64_t>{}, args.in[0].dtype(), op.name(), [&]<class T>() {
    std::vector<T> room;
    const T* const in = whole(args.in[0], room);
    using Real = std::conditional_t<std::is_same_v<T, complex64_t>, float, T>;
    T wanted{};
    Real real_wanted{};
    int int_wanted = 0, info = 0;
    int size = -1, real_size = -1, int_size = -1;
    const auto decompose = [&](T* a, Real* w, T* work, Real* real_work, int* int_work) {
      if constexpr (std::is_same_v<T, complex64_t>)
        complex_lapack().heevd(job, "L", &n, a, &n, w, work, &size, real_work, &real_size, int_work,
                               &int_size, &info, 1, 1);
      else
        (void)real_work, lapack<T>().syevd(job, "L", &n, a, &n, w, work, &size, int_work, &int_size,
                                           &info, 1, 1);
    };
    decompose(nullptr, nullptr, &wanted, &real_wanted, &int_wanted);
    size = work_size(wanted), real_size = work_size(real_wanted), int_size = at_least_1(int_wanted);
    std::vector<T> work(size_t(size), T(0));
    std::vector<Real> real_work(size_t(real_size), Real(0));
    std::vector<int> int_work(size_t(int_size), 0);
    for (size_t i = 0; i < each.count; ++i) {
      const T* rows = in + i * each.size();
      check_finite(rows, each.size(), op.name(), i, each.count);
      std::vector<T> a = turned(rows, n, n);
      decompose(a.data(), ptr<Real>(args.out[0]) + i * size_t(n), work.data(), real_work.data(),
                int_work.data());
      succeed(info == 0, op.name(), i, each.count, "has no decomposition: it did not converge");
      if (op.vectors) turn(a.data(), n, n, ptr<T>(args.out[1]) + i * each.size());
    }
  });
}

void eig(const linalg::Eig& op, const Args& args, CpuQueue&) {
  const Each each = matrices(args.in[0]);
  const int n = each.n, one = 1;
  if (n == 0) return;
  const char* job = op.vectors ? "V" : "N";
  visit(Types<float, double, complex64_t>{}, args.in[0].dtype(), op.name(), [&]<class T>() {
    std::vector<T> room;
    const T* const in = whole(args.in[0], room);
    constexpr bool kComplex = std::is_same_v<T, complex64_t>;
    std::vector<T> re(size_t(n), T(0)), im(size_t(n), T(0)), v(op.vectors ? each.size() : 1);
    std::vector<float> real_work(size_t(n) * 2, 0.0f);
    T wanted{}, none{};
    int info = 0, size = -1;
    const int ldv = op.vectors ? n : 1;
    const auto decompose = [&](T* a, T* work) {
      if constexpr (kComplex)
        complex_lapack().geev("N", job, &n, a, &n, re.data(), &none, &one, v.data(), &ldv, work,
                              &size, real_work.data(), &info, 1, 1);
      else
        lapack<T>().geev("N", job, &n, a, &n, re.data(), im.data(), &none, &one, v.data(), &ldv,
                         work, &size, &info, 1, 1);
    };
    decompose(nullptr, &wanted);
    size = work_size(wanted);
    std::vector<T> work(size_t(size), T(0));
    const auto complex_of = [](T x, T y) {
      if constexpr (kComplex)
        return (void)y, x;
      else
        return complex64_t(float(x), float(y));
    };
    for (size_t i = 0; i < each.count; ++i) {
      const T* rows = in + i * each.size();
      check_finite(rows, each.size(), op.name(), i, each.count);
      std::vector<T> a = turned(rows, n, n);
      decompose(a.data(), work.data());
      succeed(info == 0, op.name(), i, each.count, "has no eigenvalues: it did not converge");
      auto* w = ptr<complex64_t>(args.out[0]) + i * size_t(n);
      for (size_t j = 0; j < size_t(n); ++j) w[j] = complex_of(re[j], im[j]);
      if (!op.vectors) continue;
      // A pair of conjugate vectors is two columns: the real part, then the imaginary one.
      auto* out = ptr<complex64_t>(args.out[1]) + i * each.size();
      for (size_t j = 0; j < size_t(n); ++j) {
        const bool pair = !kComplex && im[j] != T(0);
        for (size_t row = 0; row < size_t(n); ++row) {
          const T x = v[j * size_t(n) + row], y = pair ? v[(j + 1) * size_t(n) + row] : T(0);
          out[row * size_t(n) + j] = complex_of(x, y);
          if (pair) out[row * size_t(n) + j + 1] = std::conj(complex_of(x, y));
        }
        j += pair;
      }
    }
  });
}

void determinant(const linalg::Determinant& op, const Args& args, CpuQueue&) {
  const Each each = matrices(args.in[0]);
  const int n = each.n;
  visit(Reals{}, args.in[0].dtype(), op.name(), [&]<class T>() {
    std::vector<T> room;
    const T* const in = whole(args.in[0], room);
    for (size_t i = 0; i < each.count; ++i) {
      const T* rows = in + i * each.size();
      std::vector<T> a(rows, rows + each.size());
      std::vector<int> pivots(size_t(n), 0);
      int info = 0;
      if (n > 0) lapack<T>().getrf(&n, &n, a.data(), &n, pivots.data(), &info);
      T product = 1, sign = 1;
      double logarithm = 0;
      for (int j = 0; j < n; ++j) {
        const T along = pivots[size_t(j)] == j + 1 ? a[size_t(j) * size_t(n + 1)]
                                                   : -a[size_t(j) * size_t(n + 1)];
        product *= along;
        sign *= along == 0 ? T(0) : along < 0 ? T(-1) : along > 0 ? T(1) : along;
        logarithm += std::log(std::abs(double(along)));
      }
      ptr<T>(args.out[0])[i] = op.logarithm ? sign : product;
      if (op.logarithm) ptr<T>(args.out[1])[i] = T(logarithm);
    }
  });
}

}  // namespace hearth::cpu
