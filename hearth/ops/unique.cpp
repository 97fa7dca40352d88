// unique: a sort, and where its neighbours differ.
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/reduce.h"

namespace hearth {

Arrays unique(const array& a, int size, bool return_index, bool return_inverse, bool return_counts,
              const std::optional<array>& fill_value, StreamOrDevice s) {
  StreamScope scope(s);
  check(size >= 0, "unique: a size of ", size, "; wanted 0 or more");
  check(a.size() > 0 || size == 0 || fill_value, "unique: nothing to take ", size,
        " values from; give a fill_value");
  check(!fill_value || fill_value->size() == 1, "unique: a fill_value of shape ",
        fill_value ? fill_value->shape() : Shape{}, ", wanted a scalar");
  const array flat = flatten(a);
  const int n = flat.shape(0);
  // Values past the end of what there is go to place `size`, which is cut off in the end.
  const array order = argsort(flat, 0), sorted = take(flat, order, 0);
  const array before = slice(sorted, {0}, {std::max(0, n - 1)}),
              after = slice(sorted, {std::min(1, n)}, {n});
  array differs = before != after;
  if (is_inexact(a.dtype())) differs = differs && !(isnan(before) && isnan(after));
  const array first = concatenate({ones({std::min(1, n)}, bool_), differs});
  const array group = cumsum(astype(first, int32), 0) - array(1);  // of each sorted element
  const array place = minimum(group, array(size));
  const auto cut = [&](const array& v) { return slice(v, {0}, {size}); };
  array fill = fill_value ? reshape(astype(*fill_value, a.dtype()), {})
               : n > 0    ? take(sorted, 0, 0)
                          : array(0, a.dtype());
  Arrays out{cut(put_along_axis(full({size + 1}, fill), place, sorted, 0))};
  if (return_index) {
    // A stable sort: the first of equals is the one that came first. Others do not lower it.
    const array none = full({size + 1}, array(UINT32_MAX));
    const array least = scatter_min(none, place, reshape(order, {n, 1}), 0);
    out.push_back(cut(where(least == none, array(0u), least)));
  }
  if (return_inverse) {
    const array last = minimum(group, array(std::max(0, size - 1)));
    out.push_back(
        reshape(put_along_axis(zeros({n}, uint32), order, astype(last, uint32), 0), a.shape()));
  }
  if (return_counts)
    out.push_back(cut(scatter_add_axis(zeros({size + 1}, int32), place, ones({n}, int32), 0)));
  return out;
}

}  // namespace hearth
