#include "hearth/core/shape.h"

#include "hearth/base/error.h"

namespace hearth {

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

size_t element_count(const Shape& shape) {
  constexpr size_t kMost = size_t{1} << 48;
  size_t n = 1;
  bool empty = false, fits = true;
  for (auto d : shape) {
    check(d >= 0, "shape ", shape, ": sizes must not be negative");
    if (d == 0)
      empty = true;
    else if (n > kMost / size_t(d))
      fits = false;
    else
      n *= size_t(d);
  }
  if (empty) return 0;
  check<std::overflow_error>(fits, "shape ", shape, ": more than 2^48 elements");
  return n;
}

ShapeElem axis_size(int64_t n, std::string_view who) {
  check(n >= 0, who, ": an axis of ", n, " elements; a size must not be negative");
  check<std::overflow_error>(n <= INT32_MAX, who, ": an axis of ", n, " elements; at most ",
                             INT32_MAX, " are possible");
  return ShapeElem(n);
}

Strides row_major(const Shape& shape) {
  Strides strides(shape.size(), 1);
  for (int i = int(shape.size()) - 2; i >= 0; --i) strides[i] = strides[i + 1] * shape[i + 1];
  return strides;
}

bool row_contiguous(const Shape& shape, const Strides& strides) {
  int64_t expected = 1;
  for (int i = int(shape.size()) - 1; i >= 0; --i) {
    if (shape[i] == 0) return true;
    if (shape[i] == 1) continue;
    if (strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

Shape broadcast_shapes(const Shape& a, const Shape& b, std::string_view who) {
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape out = longer;
  const size_t skip = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    auto &d = out[skip + i], e = shorter[i];
    if (d == 1) d = e;
    check(d == e || e == 1, who, ": shapes ", a, " and ", b, " cannot be broadcast");
  }
  return out;
}

Strides broadcast_strides(const Shape& from, const Strides& strides, const Shape& to) {
  Strides out(to.size(), 0);
  const size_t skip = to.size() - from.size();
  for (size_t i = 0; i < from.size(); ++i) out[skip + i] = from[i] == 1 ? 0 : strides[i];
  return out;
}

int normalize_axis(int axis, int ndim, std::string_view who) {
  check<std::out_of_range>(axis >= -ndim && axis < ndim, who, ": axis ", axis,
                           " is out of range for ", ndim, " dimensions");
  return axis < 0 ? axis + ndim : axis;
}

SmallVector<int, 6> normalize_axes(std::span<const int> axes, int ndim, std::string_view who) {
  SmallVector<int, 6> out;
  for (int axis : axes) out.push_back(normalize_axis(axis, ndim, who));
  std::sort(out.begin(), out.end());
  for (size_t i = 1; i < out.size(); ++i)
    check(out[i] != out[i - 1], who, ": axis ", out[i], " is named twice");
  return out;
}

std::optional<View> reshape_view(const View& from, const Shape& shape) {
  if (element_count(from.shape) == 0 || row_contiguous(from.shape, from.strides))
    return View{shape, row_major(shape), from.offset};
  // Groups of old axes that lie as one, matched against groups of new axes of the same product.
  Shape old;
  Strides step;
  for (size_t i = 0; i < from.shape.size(); ++i)
    if (from.shape[i] != 1) old.push_back(from.shape[i]), step.push_back(from.strides[i]);
  View out{shape, Strides(shape.size(), 0), from.offset};
  size_t i = 0, j = 0;
  while (i < old.size()) {
    size_t i0 = i, j0 = j;
    int64_t have = old[i++], want = 1;
    while (j < shape.size() && (want < have || shape[j] == 1)) want *= shape[j++];
    while (have < want) {
      have *= old[i++];
      while (want < have && j < shape.size()) want *= shape[j++];
    }
    if (have != want) return {};
    for (size_t k = i0; k + 1 < i; ++k)
      if (step[k] != old[k + 1] * step[k + 1]) return {};
    int64_t stride = step[i - 1];
    for (size_t k = j; k-- > j0;) {
      out.strides[k] = stride;
      stride *= shape[k];
    }
  }
  return out;
}

void collapse(Shape& shape, std::span<Strides> strides) {
  size_t kept = 0;  // axes [0, kept) are done
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    bool joins = kept > 0;
    for (auto& s : strides) joins = joins && s[kept - 1] == s[i] * shape[i];
    // A joined size must still fit the element type of Shape.
    joins = joins && int64_t(shape[kept - 1]) * shape[i] <= INT32_MAX;
    if (joins) {
      shape[kept - 1] *= shape[i];
      for (auto& s : strides) s[kept - 1] = s[i];
    } else {
      shape[kept] = shape[i];
      for (auto& s : strides) s[kept] = s[i];
      ++kept;
    }
  }
  shape.resize(kept);
  for (auto& s : strides) s.resize(kept);
}

}  // namespace hearth
