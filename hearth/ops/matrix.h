// A weight as it is stored: dense, or packed into fewer bits.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "hearth/core/array.h"
#include "hearth/ops/packing.h"

namespace hearth::fast {

/// What a layer multiplies by: (out, in), or (experts, out, in), laid out as a packing says. A row
/// of each plane holds a row of the matrix, so what moves whole rows moves those of each plane. An
/// array is a dense one.
class Matrix {
 public:
  Matrix(const array& dense) : packing_(Packing::dense), planes_{dense} {}
  /// Throws std::invalid_argument for planes that are not those of the packing. `dtype`: what its
  /// values are taken in; default: that of its scales, float32 where these are no floats.
  Matrix(Packing packing, std::span<const array> planes, std::optional<Dtype> dtype = {});

  Packing packing() const { return packing_; }
  bool packed() const { return packing_ != Packing::dense; }
  std::span<array> planes() { return {planes_.data(), planes_.size()}; }
  std::span<const array> planes() const { return {planes_.data(), planes_.size()}; }
  /// The array of a dense one; throws for a packed one.
  const array& dense() const;

  Shape shape() const;        // of the values
  int shape(int axis) const;  // from the back when negative
  int ndim() const { return planes_[0].ndim(); }
  size_t size() const { return element_count(shape()); }
  size_t nbytes() const;  // of all planes
  Dtype dtype() const { return packed() ? dtype_ : planes_[0].dtype(); }
  /// The same with values taken in that dtype: nothing packed is touched.
  Matrix as(Dtype dtype) const;
  /// Do up to 32 rows of x meet it in eight bits, a scale to each 32 elements? That is less
  /// exact, by a few thousandths of a product's size. Packed ones on the CPU can.
  bool int8() const { return int8_; }
  Matrix with_int8(bool yes) const;

 private:
  Packing packing_;
  Dtype dtype_ = float32;  // of a packed one
  bool int8_ = false;
  SmallVector<array, 1> planes_;
};
/// What a checkpoint holds, by name.
using Matrices = std::unordered_map<std::string, Matrix>;

/// The shape of what these planes hold. Throws std::invalid_argument, beginning with `who`, for
/// planes that are not those of the packing.
Shape shape_of(std::string_view who, Packing packing, std::span<const array> planes);

/// f of each plane: for f that moves whole rows.
Matrix map_planes(const Matrix& m, const std::function<array(const array&)>& f);
/// Those of the first axis at integer ids (...): (..., in), or (..., out, in).
Matrix take_rows(const Matrix& m, const array& ids);

/// Its values as an array, in that dtype; default: its own. In float32 they are what products take,
/// scale * code + bias; in the dtype of half scales, what MLX's dequantize rounds them to.
array dequantize(const Matrix& m, std::optional<Dtype> dtype = {}, StreamOrDevice s = {});

}  // namespace hearth::fast
