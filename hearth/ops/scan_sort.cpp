// Scans and sorting: builders, names and shapes.
#include "hearth/ops/elementwise.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives.h"
#include "hearth/ops/reduce.h"

namespace hearth {

#define SCAN_AS(name, kind)                                                                      \
  array name(const array& a, int axis, bool reverse, bool inclusive, std::optional<Dtype> dtype, \
             StreamOrDevice s) {                                                                 \
    StreamScope scope(s);                                                                        \
    axis = normalize_axis(axis, a.ndim(), #name);                                                \
    return apply(std::make_shared<Scan>(Scan::Kind::kind, axis, reverse, inclusive),             \
                 {astype(a, dtype.value_or(a.dtype()))});                                        \
  }                                                                                              \
  array name(const array& a, bool reverse, bool inclusive, std::optional<Dtype> dtype,           \
             StreamOrDevice s) {                                                                 \
    StreamScope scope(s);                                                                        \
    return name(flatten(a), 0, reverse, inclusive, dtype);                                       \
  }
SCAN_AS(cumsum, sum)
SCAN_AS(cumprod, prod)
#undef SCAN_AS
#define SCAN(name, kind)                                                                   \
  array name(const array& a, int axis, bool reverse, bool inclusive, StreamOrDevice s) {   \
    StreamScope scope(s);                                                                  \
    axis = normalize_axis(axis, a.ndim(), #name);                                          \
    return apply(std::make_shared<Scan>(Scan::Kind::kind, axis, reverse, inclusive), {a}); \
  }                                                                                        \
  array name(const array& a, bool reverse, bool inclusive, StreamOrDevice s) {             \
    StreamScope scope(s);                                                                  \
    return name(flatten(a), 0, reverse, inclusive);                                        \
  }
SCAN(cummax, max)
SCAN(cummin, min)
#undef SCAN
array logcumsumexp(const array& a, int axis, bool reverse, bool inclusive, StreamOrDevice s) {
  StreamScope scope(s);
  axis = normalize_axis(axis, a.ndim(), "logcumsumexp");
  return apply(std::make_shared<Scan>(Scan::Kind::logaddexp, axis, reverse, inclusive),
               {astype(a, is_inexact(a.dtype()) ? a.dtype() : float32)});
}
array logcumsumexp(const array& a, bool reverse, bool inclusive, StreamOrDevice s) {
  StreamScope scope(s);
  return logcumsumexp(flatten(a), 0, reverse, inclusive);
}

array diff(const array& a, int n, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  check(n >= 0, "diff: n is ", n, "; it must not be negative");
  const size_t along = size_t(normalize_axis(axis, a.ndim(), "diff"));
  array x = a;
  for (int i = 0; i < n && x.shape()[along] > 0; ++i) {
    Shape start(x.shape().size(), 0), stop = x.shape();
    start[along] = 1;
    const array next = slice(x, start, stop);
    start[along] = 0, stop[along] -= 1;
    const array before = slice(x, start, stop);
    x = x.dtype() == bool_ ? next != before : next - before;
  }
  return x;
}

array sort(const array& a, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  return apply(std::make_shared<Sort>(normalize_axis(axis, a.ndim(), "sort"), false), {a});
}
array sort(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  return sort(flatten(a), 0);
}
array argsort(const array& a, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  return apply(std::make_shared<Sort>(normalize_axis(axis, a.ndim(), "argsort"), true), {a});
}
array argsort(const array& a, StreamOrDevice s) {
  StreamScope scope(s);
  return argsort(flatten(a), 0);
}

namespace {

array partition(const array& a, int kth, int axis, bool places) {
  const char* who = places ? "argpartition" : "partition";
  axis = normalize_axis(axis, a.ndim(), who);
  const int n = a.shape()[size_t(axis)], k = kth < 0 ? kth + n : kth;
  check(k >= 0 && k < n, who, ": kth ", kth, " is out of range for ", n, " elements");
  return apply(std::make_shared<Sort>(axis, places, k), {a});
}

}  // namespace

array partition(const array& a, int kth, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  return partition(a, kth, axis, false);
}
array partition(const array& a, int kth, StreamOrDevice s) {
  StreamScope scope(s);
  return partition(flatten(a), kth, 0, false);
}
array argpartition(const array& a, int kth, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  return partition(a, kth, axis, true);
}
array argpartition(const array& a, int kth, StreamOrDevice s) {
  StreamScope scope(s);
  return partition(flatten(a), kth, 0, true);
}

array topk(const array& a, int k, int axis, StreamOrDevice s) {
  StreamScope scope(s);
  axis = normalize_axis(axis, a.ndim(), "topk");
  Shape start(a.shape().size(), 0), stop = a.shape();
  const int n = stop[size_t(axis)];
  check(k >= 0 && k <= n, "topk: k ", k, " is out of range for ", n, " elements");
  if (k == n) return a;
  start[size_t(axis)] = n - k;
  return slice(k == 0 ? a : partition(a, n - k, axis, false), start, stop);
}
array topk(const array& a, int k, StreamOrDevice s) {
  StreamScope scope(s);
  return topk(flatten(a), k, 0);
}

std::string_view Scan::name() const {
  switch (kind) {
    case Kind::sum: return "cumsum";
    case Kind::prod: return "cumprod";
    case Kind::max: return "cummax";
    case Kind::min: return "cummin";
    case Kind::logaddexp: return "logcumsumexp";
  }
  return "scan";
}
Specs Scan::infer(std::span<const array> in) const {
  const Dtype dtype = in[0].dtype();
  check(kind != Kind::logaddexp || is_floating(dtype), name(), ": ", dtype,
        " has no order of size; wanted a float");
  return {{in[0].shape(), kind == Kind::sum && dtype == bool_ ? int32 : dtype}};
}

std::string_view Sort::name() const {
  return kth < 0 ? (places ? "argsort" : "sort") : (places ? "argpartition" : "partition");
}
Specs Sort::infer(std::span<const array> in) const {
  return {{in[0].shape(), places ? uint32 : in[0].dtype()}};
}

}  // namespace hearth
