// The primitives of ops/reduce.h. Axes are non-negative.
#pragma once
#include "hearth/ops/op.h"

namespace hearth {

/// Joins the elements of `axes` (sorted) into one. Gradients of max and min go to all equals alike.
struct Reduce : Op<Reduce, primitive_id::Reduce> {
  enum class Kind : uint8_t { sum, prod, mean, max, min, all, any };
  Kind kind;
  SmallVector<int, 6> axes;
  bool keepdims;
  Reduce(Kind kind, SmallVector<int, 6> axes, bool keepdims)
      : kind(kind), axes(std::move(axes)), keepdims(keepdims) {}
  HEARTH_FIELDS(kind, axes, keepdims)
  std::string_view name() const override;
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// Where along `axis` the largest (or smallest) lies.
struct ArgReduce : Op<ArgReduce, primitive_id::ArgReduce> {
  bool largest;
  int axis;
  bool keepdims;
  ArgReduce(bool largest, int axis, bool keepdims)
      : largest(largest), axis(axis), keepdims(keepdims) {}
  HEARTH_FIELDS(largest, axis, keepdims)
  std::string_view name() const override { return largest ? "argmax" : "argmin"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays&, const Arrays&, const Arrays&) const override {
    return Cotangents{std::nullopt};
  }
};

/// Running results along `axis`, from the end if `reverse`; not `inclusive`: of those before.
struct Scan : Op<Scan, primitive_id::Scan> {
  enum class Kind : uint8_t { sum, prod, max, min, logaddexp };
  Kind kind;
  int axis;
  bool reverse, inclusive;
  Scan(Kind kind, int axis, bool reverse, bool inclusive)
      : kind(kind), axis(axis), reverse(reverse), inclusive(inclusive) {}
  HEARTH_FIELDS(kind, axis, reverse, inclusive)
  std::string_view name() const override;
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// Orders along `axis`: all, or only so that the kth stands right (kth >= 0). Gives the values, or
/// their places (u32).
struct Sort : Op<Sort, primitive_id::Sort> {
  int axis;
  bool places;
  int kth;
  Sort(int axis, bool places, int kth = -1) : axis(axis), places(places), kth(kth) {}
  HEARTH_FIELDS(axis, places, kth)
  std::string_view name() const override;
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// exp(x) / sum(exp(x)) over the last axis. (..., n) -> (..., n)
struct Softmax : Op<Softmax, primitive_id::Softmax> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "softmax"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
  bool donates() const override { return true; }
};

/// log(sum(exp(x))) over the last axis. (..., n) -> (..., 1)
struct LogSumExp : Op<LogSumExp, primitive_id::LogSumExp> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "logsumexp"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

}  // namespace hearth
