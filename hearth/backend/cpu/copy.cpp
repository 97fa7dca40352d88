// Strided copies: lines where memory is contiguous, tiles where it is transposed.
#include "hearth/backend/cpu/copy.h"

#include <utility>

#include "hearth/backend/pool.h"

namespace hearth::cpu {

namespace {

constexpr int64_t kGrain = 256 << 10;  // bytes a task writes at least: some 10 microseconds

constexpr int64_t kLine = 4 << 10;  // bytes of a line that is divided

struct Layout {
  Shape shape;
  Strides from, to;
};

template <class T>
void line(const std::byte* from, int64_t from_stride, std::byte* to, int64_t to_stride, int64_t n) {
  constexpr int64_t kItem = sizeof(T);
  if (to_stride == 1 && from_stride == 1) {
    if (n * kItem >= 128) {
      std::memcpy(to, from, size_t(n * kItem));
    } else {
      for (int64_t i = 0; i < n; ++i) store(to + i * kItem, load<T>(from + i * kItem));
    }
  } else if (to_stride == 1 && from_stride == 0) {
    const T value = load<T>(from);
    for (int64_t i = 0; i < n; ++i) store(to + i * kItem, value);
  } else if (to_stride == 1 && from_stride == -1) {
    for (int64_t i = 0; i < n; ++i) store(to + i * kItem, load<T>(from - i * kItem));
  } else {
    for (int64_t i = 0; i < n; ++i)
      store(to + i * to_stride * kItem, load<T>(from + i * from_stride * kItem));
  }
}

// Vectors of 16 bytes, which every machine has; the compiler knows their shuffles.
template <class T>
using Vector [[gnu::vector_size(16)]] = T;

template <class T, size_t... i>
void interleave(Vector<T>& a, Vector<T>& b, std::index_sequence<i...>) {
  constexpr size_t n = sizeof...(i);
  const Vector<T> low = __builtin_shufflevector(a, b, (i / 2 + i % 2 * n)...);
  b = __builtin_shufflevector(a, b, (n / 2 + i / 2 + i % 2 * n)...);
  a = low;
}

// A square of 16 bytes a side: `from` holds its columns, `to` gets its rows. Interleaving the first
// half of the vectors with the second, log2 n times, transposes.
template <class T>
void transpose_square(const std::byte* from, int64_t from_step, std::byte* to, int64_t to_step) {
  constexpr size_t n = 16 / sizeof(T);
  Vector<T> v[n], w[n];
  for (size_t i = 0; i < n; ++i) std::memcpy(&v[i], from + int64_t(i) * from_step, 16);
  for (size_t stage = 1; stage < n; stage *= 2) {
    for (size_t i = 0; i < n / 2; ++i) {
      w[2 * i] = v[i], w[2 * i + 1] = v[i + n / 2];
      interleave<T>(w[2 * i], w[2 * i + 1], std::make_index_sequence<n>());
    }
    for (size_t i = 0; i < n; ++i) v[i] = w[i];
  }
  for (size_t i = 0; i < n; ++i) std::memcpy(to + int64_t(i) * to_step, &v[i], 16);
}

// A transposed matrix: `to` is contiguous along columns, `from` along rows. Whole cache lines are
// read into a tile and written from it, so that strides of a power of two do no harm; and few
// columns at a time, so that their pages stay known to the processor.
template <class T>
void transposed(const std::byte* from, int64_t from_column, std::byte* to, int64_t to_row,
                int64_t rows, int64_t columns) {
  constexpr int64_t kItem = sizeof(T), kTile = 64 / kItem, kSquare = 16 / kItem, kColumns = 256;
  alignas(64) std::byte tile[kTile][64];
  for (int64_t c0 = 0; c0 < columns; c0 += kColumns)
    for (int64_t r = 0; r < rows; r += kTile)
      for (int64_t c = c0; c < std::min(columns, c0 + kColumns); c += kTile) {
        const int64_t nr = std::min(kTile, rows - r), nc = std::min(kTile, columns - c);
        const std::byte* in = from + (r + c * from_column) * kItem;
        std::byte* out = to + (r * to_row + c) * kItem;
        if (nr == kTile && nc == kTile) {
          for (int64_t j = 0; j < kTile; ++j)
            std::memcpy(tile[j], in + j * from_column * kItem, 64);
          for (int64_t i = 0; i < kTile; i += kSquare)
            for (int64_t j = 0; j < kTile; j += kSquare)
              transpose_square<T>(tile[j] + i * kItem, 64, out + (i * to_row + j) * kItem,
                                  to_row * kItem);
        } else {
          for (int64_t i = 0; i < nr; ++i)
            for (int64_t j = 0; j < nc; ++j)
              store(out + (i * to_row + j) * kItem, load<T>(in + (i + j * from_column) * kItem));
        }
      }
}

Strides without(const Strides& strides, size_t axis) {
  Strides out = strides;
  out.erase(out.begin() + axis);
  return out;
}

// The layout is collapsed, not empty, and has an axis at least.
template <class T>
void copy_box(const std::byte* from, std::byte* to, const Layout& box) {
  constexpr int64_t kItem = sizeof(T);
  const size_t last = box.shape.size() - 1;
  const int64_t n = box.shape[last], from_step = box.from[last], to_step = box.to[last];
  Layout outer{box.shape, without(box.from, last), without(box.to, last)};
  outer.shape.pop_back();
  if (to_step == 1 && from_step != 1 && from_step != 0) {
    for (size_t axis = 0; axis < last; ++axis) {
      const int64_t rows = box.shape[axis], to_row = box.to[axis];
      if (box.from[axis] != 1 || rows < 4 || n < 4) continue;
      outer.shape.erase(outer.shape.begin() + axis);
      each_index<2>(outer.shape, {without(outer.from, axis), without(outer.to, axis)},
                    [&](const std::array<int64_t, 2>& at) {
                      transposed<T>(from + at[0] * kItem, from_step, to + at[1] * kItem, to_row,
                                    rows, n);
                    });
      return;
    }
  }
  if (last == 0) return line<T>(from, from_step, to, to_step, n);
  // The last outer axis is a plain loop: lines may be short.
  const int64_t lines = outer.shape.back();
  const int64_t from_line = outer.from.back() * kItem, to_line = outer.to.back() * kItem;
  outer.shape.pop_back(), outer.from.pop_back(), outer.to.pop_back();
  each_index<2>(outer.shape, {outer.from, outer.to}, [&](const std::array<int64_t, 2>& at) {
    const std::byte* in = from + at[0] * kItem;
    std::byte* out = to + at[1] * kItem;
    for (int64_t i = 0; i < lines; ++i, in += from_line, out += to_line)
      line<T>(in, from_step, out, to_step, n);
  });
}

void copy_layout(const std::byte* from, std::byte* to, const Layout& box, size_t item) {
  with_item(item, [&]<class T>() { copy_box<T>(from, to, box); });
}

// Collapsed, with an axis at least; empty when there is nothing to do.
Layout prepare(const Strides& from_strides, const Strides& to_strides, const Shape& shape) {
  if (element_count(shape) == 0) return {{0}, {1}, {1}};
  Layout box{shape, {}, {}};
  Strides strides[] = {from_strides, to_strides};
  collapse(box.shape, strides);
  box.from = std::move(strides[0]), box.to = std::move(strides[1]);
  if (box.shape.empty()) box = {{1}, {1}, {1}};
  return box;
}

}  // namespace

void copy_strided_serial(const std::byte* from, const Strides& from_strides, std::byte* to,
                         const Strides& to_strides, const Shape& shape, size_t item) {
  const Layout box = prepare(from_strides, to_strides, shape);
  if (box.shape[0] > 0) copy_layout(from, to, box, item);
}

void copy_strided(const std::byte* from, const Strides& from_strides, std::byte* to,
                  const Strides& to_strides, const Shape& shape, size_t item) {
  const Layout box = prepare(from_strides, to_strides, shape);
  if (box.shape[0] == 0) return;
  const int64_t bytes = int64_t(element_count(box.shape) * item);
  const int64_t wanted = std::min<int64_t>(bytes / kGrain, 256);
  if (wanted <= 1) return copy_layout(from, to, box, item);
  // Tasks are ranges of the first axis that is long enough, or else of the one of most parts; lines
  // stay whole, or long.
  const auto parts = [&](size_t i) {
    const int64_t n = box.shape[i];
    return std::min(wanted, i + 1 < box.shape.size() ? n : n * int64_t(item) / kLine);
  };
  size_t axis = 0;
  for (size_t i = 1; i < box.shape.size(); ++i)
    if (parts(i) > parts(axis)) axis = i;
  const int64_t n = box.shape[axis];
  int64_t step = (n + wanted - 1) / wanted;
  if (step > 64) step = (step + 63) / 64 * 64;  // whole tiles and cache lines
  parallel_for((n + step - 1) / step, [&](int64_t task) {
    Layout range = box;
    range.shape[axis] = ShapeElem(std::min(step, n - task * step));
    copy_layout(from + task * step * box.from[axis] * int64_t(item),
                to + task * step * box.to[axis] * int64_t(item), range, item);
  });
}

}  // namespace hearth::cpu
