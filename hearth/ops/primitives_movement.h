// Primitives that move elements: views (no kernel needed), copies, and writes into a part.
#pragma once
#include "hearth/ops/op.h"

namespace hearth {

/// What happens to an element that an update meets.
enum class Update : uint8_t { assign, add, prod, max, min };
std::string_view to_string(Update mode);

/// The input's values, row-major. (...) -> the same.
struct Copy : Op<Copy, primitive_id::Copy> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "copy"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// (state, values) of one shape and dtype -> the state with the values, written in place.
struct Assign : Op<Assign, primitive_id::Assign> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "assign"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
  int writes_into(int) const override { return 0; }
};

/// The same, but what lies row-major (or column-major, if allowed) already stays where it is.
struct Contiguous : Op<Contiguous, primitive_id::Contiguous> {
  bool allow_col_major;
  explicit Contiguous(bool allow_col_major) : allow_col_major(allow_col_major) {}
  HEARTH_FIELDS(allow_col_major)
  std::string_view name() const override { return "contiguous"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<View> view(const View& from) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// The values in row-major order as another shape of the same size; copies if strides forbid a
/// view.
struct Reshape : Op<Reshape, primitive_id::Reshape> {
  Shape shape;
  explicit Reshape(Shape shape) : shape(std::move(shape)) {}
  HEARTH_FIELDS(shape)
  std::string_view name() const override { return "reshape"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<View> view(const View& from) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// Axis i of the result is axis axes[i] of the input; axes are not negative.
struct Transpose : Op<Transpose, primitive_id::Transpose> {
  SmallVector<int, 6> axes;
  explicit Transpose(SmallVector<int, 6> axes) : axes(std::move(axes)) {}
  HEARTH_FIELDS(axes)
  std::string_view name() const override { return "transpose"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<View> view(const View& from) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// Repeated to `shape` by strides of 0.
struct Broadcast : Op<Broadcast, primitive_id::Broadcast> {
  Shape shape;
  explicit Broadcast(Shape shape) : shape(std::move(shape)) {}
  HEARTH_FIELDS(shape)
  std::string_view name() const override { return "broadcast"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<View> view(const View& from) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// A box of an array: the elements start + i * strides for i in [0, shape), per axis.
struct Box {
  Shape start, strides, shape;
  HEARTH_FIELDS(start, strides, shape)
};

/// The elements of a box.
struct StaticSlice : Op<StaticSlice, primitive_id::StaticSlice> {
  Box box;
  explicit StaticSlice(Box box) : box(std::move(box)) {}
  HEARTH_FIELDS(box)
  std::string_view name() const override { return "slice"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<View> view(const View& from) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// The elements offset + sum(i * strides) of a row-major input.
struct AsStrided : Op<AsStrided, primitive_id::AsStrided> {
  Shape shape;
  Strides strides;
  int64_t offset;
  AsStrided(Shape shape, Strides strides, int64_t offset)
      : shape(std::move(shape)), strides(std::move(strides)), offset(offset) {}
  HEARTH_FIELDS(shape, strides, offset)
  std::string_view name() const override { return "as_strided"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<View> view(const View& from) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// The bytes of dtype `from` as dtype `to`; the last axis changes with the item size.
struct Reinterpret : Op<Reinterpret, primitive_id::Reinterpret> {
  Dtype from, to;
  Reinterpret(Dtype from, Dtype to) : from(from), to(to) {}
  HEARTH_FIELDS(from, to)
  std::string_view name() const override { return "view"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<View> view(const View& from) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// Inputs of one dtype, equal but for `axis`, joined along it.
struct Concatenate : Op<Concatenate, primitive_id::Concatenate> {
  int axis;
  explicit Concatenate(int axis) : axis(axis) {}
  HEARTH_FIELDS(axis)
  std::string_view name() const override { return "concatenate"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// (source, update of the box's shape) -> source with the box updated.
struct SliceUpdate : Op<SliceUpdate, primitive_id::SliceUpdate> {
  Update mode;
  Box box;
  SliceUpdate(Update mode, Box box) : mode(mode), box(std::move(box)) {}
  HEARTH_FIELDS(mode, box)
  std::string_view name() const override { return "slice_update"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
  bool donates() const override { return true; }
  bool donates_input(int input) const override { return input == 0; }
};

/// (source, start (axes)) -> the block of `shape` that begins at start on `axes`, at 0 on others.
struct DynamicSlice : Op<DynamicSlice, primitive_id::DynamicSlice> {
  SmallVector<int, 6> axes;
  Shape shape;
  DynamicSlice(SmallVector<int, 6> axes, Shape shape)
      : axes(std::move(axes)), shape(std::move(shape)) {}
  HEARTH_FIELDS(axes, shape)
  std::string_view name() const override { return "dynamic_slice"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// (source, update, start (axes)) -> source with the block at start replaced.
struct DynamicSliceUpdate : Op<DynamicSliceUpdate, primitive_id::DynamicSliceUpdate> {
  SmallVector<int, 6> axes;
  explicit DynamicSliceUpdate(SmallVector<int, 6> axes) : axes(std::move(axes)) {}
  HEARTH_FIELDS(axes)
  std::string_view name() const override { return "dynamic_slice_update"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
  bool donates() const override { return true; }
  bool donates_input(int input) const override { return input == 0; }
};

/// () -> start + i * step for i in [0, size), in double or int64 and rounded once. `last`, if
/// given, replaces the last value.
struct Arange : Op<Arange, primitive_id::Arange> {
  double start, step;
  int size;
  Dtype dtype;
  std::optional<double> last;
  Arange(double start, double step, int size, Dtype dtype, std::optional<double> last = {})
      : start(start), step(step), size(size), dtype(dtype), last(last) {}
  HEARTH_FIELDS(start, step, size, dtype, last)
  std::string_view name() const override { return "arange"; }
  Specs infer(std::span<const array> in) const override;
};

}  // namespace hearth
