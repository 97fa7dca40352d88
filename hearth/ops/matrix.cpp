#include "hearth/ops/matrix.h"

#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/primitives_fast.h"

namespace hearth::fast {
namespace {

/// What the values of a packing with such planes are taken in.
Dtype own_dtype(std::span<const array> planes) {
  return planes.size() > 1 && is_floating(planes[1].dtype()) ? planes[1].dtype() : float32;
}

}  // namespace

Matrix::Matrix(Packing packing, std::span<const array> planes, std::optional<Dtype> dtype)
    : packing_(packing), planes_(planes.begin(), planes.end()) {
  shape_of("Matrix", packing, planes);
  dtype_ = dtype.value_or(own_dtype(planes));
  check(!packed() || is_floating(dtype_), "Matrix: wanted a floating dtype, got ", dtype_);
}

const array& Matrix::dense() const {
  check(!packed(), "Matrix: its values are packed (", to_string(packing_),
        "); dequantize() gives them");
  return planes_[0];
}

Shape Matrix::shape() const { return shape_of("Matrix", packing_, planes()); }
int Matrix::shape(int axis) const {
  const Shape all = shape();
  return all[size_t(axis < 0 ? axis + int(all.size()) : axis)];
}
size_t Matrix::nbytes() const {
  size_t bytes = 0;
  for (const array& plane : planes_) bytes += plane.nbytes();
  return bytes;
}

Matrix Matrix::as(Dtype dtype) const {
  if (!packed()) return astype(planes_[0], dtype);
  Matrix out = *this;
  out.dtype_ = dtype;
  return out;
}

Matrix Matrix::with_int8(bool yes) const {
  Matrix out = *this;
  out.int8_ = yes && packed();
  return out;
}

Shape shape_of(std::string_view who, Packing packing, std::span<const array> planes) {
  if (packing == Packing::dense && planes.size() == 1) return planes[0].shape();
  const PackingInfo& info = packing_info(packing);
  check(planes.size() == size_t(info.planes), who, ": ", planes.size(), " planes for ", info.name,
        ", which has ", info.planes);
  for (size_t i = 0; i < planes.size(); ++i) {
    const Plane plane = plane_of(packing, int(i), 0);
    const Dtype dtype = planes[i].dtype();
    const bool fits = plane.dtype ? dtype == *plane.dtype : is_floating(dtype) && dtype != float64;
    check(fits, who, ": the ", plane.name, " of ", info.name, " are ", dtype, ", wanted ",
          plane.dtype ? to_string(*plane.dtype) : "float16, bfloat16 or float32");
    if (i == 2 && !plane.dtype)
      check(dtype == planes[1].dtype(), who, ": scales are ", planes[1].dtype(), ", ", plane.name,
            " ", dtype);
    check(planes[i].ndim() > 0, who, ": the ", plane.name, " of ", info.name, " are a scalar");
  }
  Shape shape = planes[0].shape();
  const int64_t bytes = int64_t(shape.back()) * int64_t(planes[0].itemsize());
  const int64_t in = bytes / info.bytes * info.weights;
  check(bytes % info.bytes == 0 && in <= INT32_MAX, who, ": rows of ", bytes, " bytes, of shape ",
        shape, ", are no whole number of blocks of ", info.name, ", which have ", info.bytes);
  for (size_t i = 1; i < planes.size(); ++i) {
    const Plane plane = plane_of(packing, int(i), in);
    Shape wanted = shape;
    wanted.back() = int(plane.row);
    check(planes[i].shape() == wanted, who, ": the ", plane.name, " of ", info.name, " are ",
          planes[i].shape(), ", wanted ", wanted, " for codes of shape ", shape);
  }
  shape.back() = int(in);
  return shape;
}

Matrix map_planes(const Matrix& m, const std::function<array(const array&)>& f) {
  Arrays planes;
  for (const array& plane : m.planes()) planes.push_back(f(plane));
  return m.packed() ? Matrix(m.packing(), planes, m.dtype()).with_int8(m.int8())
                    : Matrix(planes[0]);
}

Matrix take_rows(const Matrix& m, const array& ids) {
  return map_planes(m, [&](const array& plane) { return take(plane, ids, 0); });
}

array dequantize(const Matrix& m, std::optional<Dtype> dtype, StreamOrDevice s) {
  StreamScope scope(s);
  const Dtype to = dtype.value_or(m.dtype());
  if (!m.packed()) return astype(m.dense(), to);
  if (to == float64) return astype(dequantize(m, float32), float64);
  SmallVector<array, 3> planes;
  for (const array& plane : m.planes()) {
    const bool widens = to == float32 && is_floating(plane.dtype());
    planes.push_back(widens ? astype(plane, float32) : plane);
  }
  return hearth::apply(std::make_shared<Dequantize>(m.packing(), to), std::move(planes));
}

Specs Dequantize::infer(std::span<const array> in) const {
  check(packing != Packing::dense && is_floating(dtype) && dtype != float64,
        "dequantize: wanted a packed matrix and float16, bfloat16 or float32, got ",
        to_string(packing), " and ", dtype);
  return {{shape_of("dequantize", packing, in), dtype}};
}

std::optional<Cotangents> Dequantize::vjp(const Arrays&, const Arrays&, const Arrays&) const {
  check(false, "dequantize: packed weights (", to_string(packing),
        ") have no gradient; train what dequantize() gives");
  return {};
}

}  // namespace hearth::fast
