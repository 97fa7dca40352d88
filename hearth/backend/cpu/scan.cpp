// Running sums, products, maxima, minima and logarithms of sums of exponentials along an axis.
#include <cmath>
#include <limits>

#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/cpu/narrow.h"
#include "hearth/backend/pool.h"
#include "hearth/backend/walk.h"
#include "hearth/ops/primitives.h"

namespace hearth::cpu {
namespace {

using Kind = Scan::Kind;

// Floats run in double, integers in 64 bits that wrap; extremes as they are, halves as float.
template <Kind kind, class T>
auto running_type() {
  if constexpr (kind == Kind::max || kind == Kind::min)
    return std::conditional_t<is_half<T>, float, T>{};
  else if constexpr (is_complex(dtype_of<T>))
    return std::complex<double>{};
  else
    return std::conditional_t<is_floating(dtype_of<T>), double, uint64_t>{};
}
template <Kind kind, class T>
using Running = decltype(running_type<kind, T>());

template <class R>
bool is_nan(R v) {
  return v != v;
}
template <class R>
bool less(R a, R b) {
  if constexpr (std::is_same_v<R, complex64_t>)
    return !is_nan(a) && !is_nan(b) &&
           (a.real() < b.real() || (a.real() == b.real() && a.imag() < b.imag()));
  else
    return a < b;
}

template <Kind kind, class R>
R identity() {
  using Real = std::conditional_t<std::is_same_v<R, complex64_t>, float, R>;
  if constexpr (kind == Kind::sum) {
    return R(0);
  } else if constexpr (kind == Kind::prod) {
    return R(1);
  } else if constexpr (kind == Kind::logaddexp) {
    return -std::numeric_limits<R>::infinity();
  } else {
    using Limits = std::numeric_limits<Real>;
    constexpr Real low = Limits::has_infinity ? Real(-Limits::infinity()) : Limits::lowest();
    constexpr Real high = Limits::has_infinity ? Limits::infinity() : Limits::max();
    constexpr Real r = kind == Kind::max ? low : high;
    if constexpr (std::is_same_v<R, complex64_t>)
      return {r, r};
    else
      return r;
  }
}

template <Kind kind, class R>
R join(R a, R b) {
  if constexpr (kind == Kind::sum) {
    return a + b;
  } else if constexpr (kind == Kind::prod) {
    return a * b;
  } else if constexpr (kind == Kind::max) {
    return less(a, b) || (is_nan(b) && !is_nan(a)) ? b : a;
  } else if constexpr (kind == Kind::min) {
    return less(b, a) || (is_nan(b) && !is_nan(a)) ? b : a;
  } else {
    const R high = a < b || is_nan(b) ? b : a, low = a < b || is_nan(b) ? a : b;
    if (!(high - high == 0)) return high;  // an infinity or NaN
    return high + std::log1p(std::exp(low - high));
  }
}

template <class R, class T>
R widen(T v) {
  if constexpr (std::is_same_v<R, std::complex<double>>)
    return {double(v.real()), double(v.imag())};
  else if constexpr (is_half<T>)
    return R(float(v));
  else
    return R(v);
}
template <class T, class R>
T narrow_to(R v) {
  if constexpr (std::is_same_v<R, std::complex<double>>)
    return {float(v.real()), float(v.imag())};
  else if constexpr (std::is_same_v<R, double>)
    return narrow<T>(v);
  else
    return T(v);
}

template <class T>
T load(const std::byte* p) {
  using Stored = std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>;  // any byte may be there
  Stored v;
  std::memcpy(&v, p, sizeof(T));
  if constexpr (std::is_same_v<T, bool>)
    return v != 0;
  else
    return v;
}

/// A line is a row of the axis, or `width` of them side by side. Strides are signed: a reverse scan
/// starts at the end.
struct Line {
  const std::byte* in;
  int64_t n, in_step;        // along the axis; bytes
  int64_t width, in_across;  // across, bytes
  std::byte* out;            // of OutT
  int64_t out_step;          // elements; across it is 1
};

constexpr int64_t kWidth = 256;

template <Kind kind, class T, class Out>
void scan_columns(const Line& l, bool inclusive) {
  using R = Running<kind, T>;
  R run[kWidth];
  for (int64_t c = 0; c < l.width; ++c) run[c] = identity<kind, R>();
  for (int64_t i = 0; i < l.n; ++i) {
    const std::byte* in = l.in + i * l.in_step;
    Out* out = reinterpret_cast<Out*>(l.out) + i * l.out_step;
    for (int64_t c = 0; c < l.width; ++c) {
      const R before = run[c];
      run[c] = join<kind>(before, widen<R>(load<T>(in + c * l.in_across)));
      out[c] = narrow_to<Out>(inclusive ? run[c] : before);
    }
  }
}

/// One row; returns the total of it and `run`. Null `out`: only that.
template <Kind kind, class T, class Out>
Running<kind, T> scan_row(const Line& l, bool inclusive, Running<kind, T> run, bool write) {
  using R = Running<kind, T>;
  Out* out = reinterpret_cast<Out*>(l.out);
  for (int64_t i = 0; i < l.n; ++i) {
    const R before = run;
    run = join<kind>(run, widen<R>(load<T>(l.in + i * l.in_step)));
    if (write) out[i * l.out_step] = narrow_to<Out>(inclusive ? run : before);
  }
  return run;
}

template <Kind kind, class T, class Out>
void scan_as(const Scan& op, const array& in, const array& out) {
  const int64_t n = in.shape()[size_t(op.axis)], item = sizeof(T);
  if (in.size() == 0) return;
  const auto& strides = in.node().strides;
  const Strides to = row_major(in.shape());
  WalkAxes others;
  for (int i = 0; i < in.ndim(); ++i)
    if (i != op.axis) others.push_back({in.shape()[i], strides[i], to[i]});
  merge(others);
  const int64_t sign = op.reverse ? -1 : 1, start = op.reverse ? n - 1 : 0;
  const WalkAxis axis{n, strides[op.axis], to[op.axis]};
  Line line{ptr<std::byte>(in) + start * axis.stride * item,
            n,
            sign * axis.stride * item,
            1,
            0,
            ptr<std::byte>(out) + start * axis.to * int64_t(sizeof(Out)),
            sign * axis.to};

  // Not the last axis: neighbours run side by side.
  if (axis.to > 1) {
    const WalkAxis across = others.back();
    others.pop_back();
    line.in_across = across.stride * item;
    const int64_t chunks = (across.size + kWidth - 1) / kWidth;
    parallel_for(count(others) * chunks, [&](int64_t u) {
      const Walk at(others, u / chunks);
      const int64_t first = u % chunks * kWidth;
      Line l = line;
      l.in += at.from * item + first * l.in_across;
      l.out += (at.to + first) * int64_t(sizeof(Out));
      l.width = std::min(kWidth, across.size - first);
      scan_columns<kind, T, Out>(l, op.inclusive);
    });
    return;
  }

  // Long rows are cut: first what each part adds up to, then each part from where it starts.
  constexpr int64_t kPart = 1 << 16;
  const int64_t parts = (n + kPart - 1) / kPart, rows = count(others);
  const int64_t each = std::max<int64_t>(1, kPart / n);  // short rows share a task
  using R = Running<kind, T>;
  auto part = [&](int64_t row, int64_t p) {
    const Walk at(others, row);
    Line l = line;
    l.in += at.from * item + p * kPart * l.in_step;
    l.out += (at.to + p * kPart * l.out_step) * int64_t(sizeof(Out));
    l.n = std::min(kPart, n - p * kPart);
    return l;
  };
  if (parts == 1) {
    parallel_for((rows + each - 1) / each, [&](int64_t u) {
      for (int64_t row = u * each; row < std::min(rows, (u + 1) * each); ++row)
        scan_row<kind, T, Out>(part(row, 0), op.inclusive, identity<kind, R>(), true);
    });
    return;
  }
  struct Start {
    R run;
  };
  std::vector<Start> starts(size_t(rows * parts));
  parallel_for(rows * parts, [&](int64_t u) {
    starts[size_t(u)].run = scan_row<kind, T, Out>(part(u / parts, u % parts), op.inclusive,
                                                   identity<kind, R>(), false);
  });
  for (int64_t row = 0; row < rows; ++row) {
    R run = identity<kind, R>();
    for (int64_t p = 0; p < parts; ++p) {
      const R next = join<kind>(run, starts[size_t(row * parts + p)].run);
      starts[size_t(row * parts + p)].run = run;
      run = next;
    }
  }
  parallel_for(rows * parts, [&](int64_t u) {
    scan_row<kind, T, Out>(part(u / parts, u % parts), op.inclusive, starts[size_t(u)].run, true);
  });
}

template <Kind kind>
void scan_kind(const Scan& op, const array& in, const array& out) {
  visit(AllTypes{}, in.dtype(), op.name(), [&]<class T>() {
    if constexpr (kind == Kind::sum && std::is_same_v<T, bool>)
      scan_as<kind, T, int32_t>(op, in, out);
    else if constexpr (kind != Kind::logaddexp || is_floating(dtype_of<T>))
      scan_as<kind, T, T>(op, in, out);
  });
}

}  // namespace

void scan(const Scan& op, const Args& args, CpuQueue&) {
  const array &in = args.in[0], &out = args.out[0];
  switch (op.kind) {
    case Kind::sum: return scan_kind<Kind::sum>(op, in, out);
    case Kind::prod: return scan_kind<Kind::prod>(op, in, out);
    case Kind::max: return scan_kind<Kind::max>(op, in, out);
    case Kind::min: return scan_kind<Kind::min>(op, in, out);
    case Kind::logaddexp: return scan_kind<Kind::logaddexp>(op, in, out);
  }
}

}  // namespace hearth::cpu
