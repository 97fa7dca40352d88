// Indexing by NumPy's rules: x[0], x[Slice(1, 5, 2)], x[mask], x[{Slice(), ids}]. What is read is a
// new array; x[...] = y and its kin change x alone, not the arrays that were made of it before.
#pragma once
#include <optional>
#include <variant>

#include "hearth/ops/elementwise.h"

namespace hearth {

/// start:stop:step; what is left out is the end of the axis.
struct Slice {
  std::optional<int> start, stop;
  int step;
  explicit Slice(std::optional<int> start = {}, std::optional<int> stop = {}, int step = 1)
      : start(start), stop(stop), step(step) {}
};
/// A new axis of size 1.
struct NewAxis {};
inline constexpr NewAxis newaxis;
/// As many whole axes as are not named.
struct Ellipsis {};
inline constexpr Ellipsis ellipsis;

/// What stands between the brackets: an int, a Slice, an array of integers or a mask of bools,
/// newaxis, ellipsis; or several of them in braces, one for each axis.
class Index {
 public:
  using Part = std::variant<int, Slice, array, NewAxis, Ellipsis>;
  template <class T>
  requires(std::convertible_to<T, Part> && !std::same_as<std::remove_cvref_t<T>, Index>)
      Index(T part)
      : parts{Part(std::move(part))} {}
  Index(std::initializer_list<Part> parts) : parts(parts) {}
  std::vector<Part> parts;
};

/// The elements; a mask is computed for it, since the shape depends on its values.
array get(const array& a, const Index& at, StreamOrDevice s = {});
/// a with the elements replaced by values, which are broadcast; where an index names one twice the
/// last stays. The result has a's dtype.
array put(const array& a, const Index& at, const array& values, StreamOrDevice s = {});

/// x[at]: its elements, and the place in x that is assigned to. `auto y = x[0]` is an array like
/// any other: assigning to y leaves x as it is.
class Indexed : public array {
 public:
  Indexed(array& x, Index at) : array(get(x, at)), x_(&x), at_(std::move(at)) {}
  Indexed(const Indexed&) = default;
  array& operator=(const array& values) && { return *x_ = put(*x_, at_, values); }
  array& operator=(const Indexed& values) && { return *x_ = put(*x_, at_, values); }
  array& operator=(const array& values) & { return array::operator=(values); }
  array& operator=(const Indexed& values) & { return array::operator=(values); }
#define HEARTH_UPDATE(symbol)                                               \
  array& operator symbol##=(const array& by)&& {                            \
    return *x_ = put(*x_, at_, static_cast<const array&>(*this) symbol by); \
  }
  HEARTH_UPDATE(+)
  HEARTH_UPDATE(-)
  HEARTH_UPDATE(*)
  HEARTH_UPDATE(/)
  HEARTH_UPDATE(%)
  HEARTH_UPDATE(&)
  HEARTH_UPDATE(|)
  HEARTH_UPDATE(^)
  HEARTH_UPDATE(<<)
  HEARTH_UPDATE(>>)
#undef HEARTH_UPDATE

 private:
  array* x_;
  Index at_;
};

// x += y is x = x + y, and its kin: the dtype may change as it does there.
#define HEARTH_UPDATE(symbol) \
  inline array& operator symbol##=(array& x, const array& y) { return x = x symbol y; }
HEARTH_UPDATE(+)
HEARTH_UPDATE(-)
HEARTH_UPDATE(*)
HEARTH_UPDATE(/)
HEARTH_UPDATE(%)
HEARTH_UPDATE(&)
HEARTH_UPDATE(|)
HEARTH_UPDATE(^)
HEARTH_UPDATE(<<)
HEARTH_UPDATE(>>)
#undef HEARTH_UPDATE

}  // namespace hearth
