// Primitives that read and write at computed places, and random bits.
#pragma once
#include "hearth/ops/primitives_movement.h"

namespace hearth {

/// (a, indices...) -> the blocks of `sizes` that start at the indices on `axes`, at 0 on others.
/// The indices have one shape I; (...) -> I + sizes.
struct Gather : Op<Gather, primitive_id::Gather> {
  SmallVector<int, 6> axes;
  Shape sizes;
  Gather(SmallVector<int, 6> axes, Shape sizes) : axes(std::move(axes)), sizes(std::move(sizes)) {}
  HEARTH_FIELDS(axes, sizes)
  std::string_view name() const override { return "gather"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// (a, updates I + block, indices...) -> a with the blocks at the indices updated, in order.
struct Scatter : Op<Scatter, primitive_id::Scatter> {
  Update mode;
  SmallVector<int, 6> axes;
  Scatter(Update mode, SmallVector<int, 6> axes) : mode(mode), axes(std::move(axes)) {}
  HEARTH_FIELDS(mode, axes)
  std::string_view name() const override { return "scatter"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
  bool donates() const override { return true; }
  bool donates_input(int input) const override { return input == 0; }
};

/// (a, indices) of one shape but for `axis` -> a[..., indices, ...].
struct GatherAxis : Op<GatherAxis, primitive_id::GatherAxis> {
  int axis;
  explicit GatherAxis(int axis) : axis(axis) {}
  HEARTH_FIELDS(axis)
  std::string_view name() const override { return "take_along_axis"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// (a, indices, values of their shape) -> a with a[..., indices, ...] updated, in order.
struct ScatterAxis : Op<ScatterAxis, primitive_id::ScatterAxis> {
  Update mode;  // assign or add
  int axis;
  ScatterAxis(Update mode, int axis) : mode(mode), axis(axis) {}
  HEARTH_FIELDS(mode, axis)
  std::string_view name() const override { return "scatter_axis"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
  bool donates() const override { return true; }
  bool donates_input(int input) const override { return input == 0; }
};

/// (a, mask of its shape, source flat) -> a with masked elements replaced by the source's, in
/// order.
struct MaskedScatter : Op<MaskedScatter, primitive_id::MaskedScatter> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "masked_scatter"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
  bool donates() const override { return true; }
  bool donates_input(int input) const override { return input == 0; }
};

/// (sorted (n), values) of one dtype -> u32 of the values' shape: how many are before each.
struct SearchSorted : Op<SearchSorted, primitive_id::SearchSorted> {
  bool right;
  explicit SearchSorted(bool right) : right(right) {}
  HEARTH_FIELDS(right)
  std::string_view name() const override { return "searchsorted"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays&, const Arrays&, const Arrays&) const override {
    return Cotangents{std::nullopt, std::nullopt};
  }
};

/// keys (..., 2) u32 -> (...) + shape of u8, u16 or u32.
struct RandomBits : Op<RandomBits, primitive_id::RandomBits> {
  Shape shape;
  int width;
  RandomBits(Shape shape, int width) : shape(std::move(shape)), width(width) {}
  HEARTH_FIELDS(shape, width)
  std::string_view name() const override { return "random_bits"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays&, const Arrays&, const Arrays&) const override {
    return Cotangents{std::nullopt};
  }
};

}  // namespace hearth
