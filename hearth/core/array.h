// A lazy n-dimensional array: a cheap handle to a node of the graph.
#pragma once
#include <cstring>
#include <iosfwd>
#include <iterator>
#include <ranges>
#include <vector>

#include "hearth/core/device.h"
#include "hearth/core/dtype.h"
#include "hearth/core/memory.h"
#include "hearth/core/shape.h"

namespace hearth {

struct Node;
void destroy(Node* node);  // iterative: a chain of a million nodes dies without recursion

template <class T>
concept Scalar = std::is_arithmetic_v<T> || Element<T>;

/// MLX's rule: a double is a float32 unless said otherwise.
template <class T>
constexpr Dtype default_dtype() {
  if constexpr (std::is_same_v<T, double>)
    return float32;
  else if constexpr (Element<T>)
    return dtype_of<T>;
  else if constexpr (std::is_signed_v<T>)
    return sizeof(T) == 8 ? int64 : int32;
  else
    return sizeof(T) == 8 ? uint64 : uint32;
}

class array;
class ArrayIterator;
class Index;    // ops/indexing.h
class Indexed;  // ops/indexing.h

namespace detail {
/// A number of a braced list whose numbers differ in type, or that has none.
struct Number {
  double value;
  template <Scalar T>
  Number(T v) : value(convert<double>(v)) {}
};
}  // namespace detail

/// Numbers in a container: std::vector, std::array, std::span, a view.
template <class R>
concept Numbers =
    !std::same_as<std::remove_cvref_t<R>, array> && !std::is_array_v<std::remove_reference_t<R>> &&
    std::ranges::input_range<R> && std::ranges::sized_range<R> &&
    Scalar<std::ranges::range_value_t<R>> && !std::convertible_to<R, std::string_view>;

class array {
 public:
  using Deleter = std::function<void(void*)>;
  /// How far it is: not asked for yet; asked for, perhaps computed; there.
  enum class Status : uint8_t { unscheduled, evaluated, available };
  /// Without gaps in memory in some order of its axes, where repeated ones do not count; in theirs;
  /// in the reverse order.
  struct Flags {
    bool contiguous, row_contiguous, col_contiguous;
  };

  /// A scalar; converts, so that x + 1.0f reads well.
  template <Scalar T>
  array(T value, Dtype dtype = default_dtype<T>());
  /// array({1, 2, 3}) is int32, array({0.5, 1.0}) float32, array({{1, 2}, {3, 4}}) has shape (2,
  /// 2); a dtype or a shape may follow.
  template <Scalar T>
  array(std::initializer_list<T> values, Dtype dtype = default_dtype<T>());
  template <Scalar T>
  array(std::initializer_list<T> values, Shape shape, Dtype dtype = default_dtype<T>());
  template <Scalar T>
  array(std::initializer_list<std::initializer_list<T>> rows, Dtype dtype = default_dtype<T>());
  template <Scalar T>
  array(std::initializer_list<std::initializer_list<std::initializer_list<T>>> blocks,
        Dtype dtype = default_dtype<T>());
  /// Of numbers of several types, or none: float32.
  array(std::initializer_list<detail::Number> values, Dtype dtype = float32);
  /// The values of a container as one axis, or row-major as `shape`.
  template <Numbers R>
  explicit array(const R& values, Dtype dtype = default_dtype<std::ranges::range_value_t<R>>());
  template <Numbers R>
  array(const R& values, const Shape& shape,
        Dtype dtype = default_dtype<std::ranges::range_value_t<R>>());
  /// The values of a range, row-major, as `shape`.
  template <std::input_iterator It>
  array(It first, const Shape& shape, Dtype dtype = default_dtype<std::iter_value_t<It>>());
  /// Foreign memory, not copied and never written; `deleter(data)` runs when no array uses it.
  array(void* data, Shape shape, Dtype dtype, Deleter deleter);
  /// The same of what owns it, such as MLX's allocator::Data: it lives as long as an array uses it.
  template <class Owner>
  requires requires(Owner& o) { o.buffer().raw_ptr(); }
  array(Owner owner, Shape shape, Dtype dtype);

  const Shape& shape() const;
  int shape(int axis) const;  // from the back when negative
  Dtype dtype() const;
  int ndim() const { return int(shape().size()); }
  size_t size() const;  // elements
  size_t itemsize() const { return size_of(dtype()); }
  size_t nbytes() const { return size() * itemsize(); }
  /// How it lies in memory; evaluates.
  const Strides& strides() const;
  int64_t strides(int axis) const;
  Flags flags() const;
  /// The elements of memory from the first that it reads to the last; evaluates.
  size_t data_size() const;
  /// Of the memory behind it, in bytes, as allocated; evaluates.
  size_t buffer_size() const;

  /// Computes it, and what it needs; returns when it is there. Throws what went wrong.
  void eval() const;
  bool is_available() const;  // computed, without waiting
  Status status() const;
  /// Returns when it is there, if it was asked for; throws what went wrong.
  void wait() const;
  /// Computes it and forgets what it was computed from: no gradient goes through it any more.
  void detach();

  /// Another array has another one, as long as this one lives.
  uintptr_t id() const { return reinterpret_cast<uintptr_t>(node_.get()); }
  /// What it will be computed by, and from; none when it was computed.
  bool has_primitive() const;
  const class Primitive& primitive() const;
  const std::shared_ptr<const class Primitive>& primitive_ptr() const;
  std::vector<array> inputs() const;
  /// The other results of what it will be computed by, in order.
  std::vector<array> siblings() const;
  /// Is a transform that is going on here following it?
  bool is_tracer() const;
  void set_tracer(bool follows);

  /// x[0], x[Slice(1, 5, 2)], x[mask], x[{Slice(), ids}] by NumPy's rules; x[...] = y and += change
  /// x alone. ops/indexing.h
  array operator[](const Index& at) const&;
  Indexed operator[](const Index& at) &;
  /// Over the first axis.
  ArrayIterator begin() const;
  ArrayIterator end() const;
  /// The one value of an array of size 1; evaluates. T may differ from the dtype.
  template <Scalar T>
  T item() const;
  /// The first element; evaluates. Strides say how the rest lies: contiguous(x) makes it row-major.
  /// Throws when T is not the dtype.
  template <Element T>
  const T* data() const;
  /// Its bytes, whatever the dtype; evaluates, and copies from a device.
  const std::byte* host_bytes() const;
  /// A row-major copy of the values, whatever the layout; evaluates.
  template <Scalar T>
  std::vector<T> to_vector() const;

  // For transforms and backends.
  explicit array(Ref<Node> node) : node_(std::move(node)) {}
  Node& node() const { return *node_; }
  const Ref<Node>& ref() const { return node_; }
  bool same_node(const array& other) const { return node_ == other.node_; }

 private:
  friend array uninitialized(const Shape& shape, Dtype dtype);
  array() = default;
  template <class It>
  void fill_from(It first, const Shape& shape, Dtype dtype);
  void* fill(const Shape& shape, Dtype dtype);  // makes *this a new array to be written
  void each(const std::function<void(const void*)>& f) const;
  Ref<Node> node_;
};

using Arrays = std::vector<array>;

/// Host memory to be written by whoever made it, before anything reads it: node().data().
array uninitialized(const Shape& shape, Dtype dtype);

/// NumPy's way of writing values, long arrays shortened; evaluates.
std::string to_string(const array& a);
std::ostream& operator<<(std::ostream& out, const array& a);

/// The element at p, of dtype d and any alignment, as T.
template <Scalar T>
T load_element(const void* p, Dtype d) {
  T out{};
  visit(AllTypes{}, d, "load_element", [&]<class E>() {
    E e{};
    std::memcpy(&e, p, sizeof(E));
    out = convert<T>(e);
  });
  return out;
}
/// Writes `value` at p as dtype d.
template <Scalar T>
void store_element(void* p, Dtype d, T value) {
  visit(AllTypes{}, d, "store_element", [&]<class E>() {
    const E e = convert<E>(value);
    std::memcpy(p, &e, sizeof(E));
  });
}

template <Scalar T>
array::array(T value, Dtype dtype) {
  store_element(fill({}, dtype), dtype, value);
}
template <class Owner>
requires requires(Owner& o) { o.buffer().raw_ptr(); }
array::array(Owner owner, Shape shape, Dtype dtype) {
  const auto kept = std::make_shared<Owner>(std::move(owner));
  *this = array(kept->buffer().raw_ptr(), std::move(shape), dtype, [kept](void*) {});
}
template <class It>
void array::fill_from(It first, const Shape& shape, Dtype dtype) {
  auto* p = static_cast<std::byte*>(fill(shape, dtype));
  for (size_t i = 0, n = size(); i < n; ++i, ++first)
    store_element(p + i * size_of(dtype), dtype, std::iter_value_t<It>(*first));
}
template <std::input_iterator It>
array::array(It first, const Shape& shape, Dtype dtype) {
  fill_from(std::move(first), shape, dtype);
}
template <Numbers R>
array::array(const R& values, Dtype dtype) {
  fill_from(std::ranges::begin(values), {axis_size(int64_t(std::ranges::size(values)), "array")},
            dtype);
}
template <Numbers R>
array::array(const R& values, const Shape& shape, Dtype dtype) {
  check(std::ranges::size(values) == element_count(shape), "array: ", std::ranges::size(values),
        " values for shape ", shape);
  fill_from(std::ranges::begin(values), shape, dtype);
}
template <Scalar T>
array::array(std::initializer_list<T> values, Dtype dtype)
    : array(values.begin(), Shape{int(values.size())}, dtype) {}
template <Scalar T>
array::array(std::initializer_list<T> values, Shape shape, Dtype dtype) {
  check(values.size() == element_count(shape), "array: ", values.size(), " values for shape ",
        shape);
  fill_from(values.begin(), shape, dtype);
}
template <Scalar T>
array::array(std::initializer_list<std::initializer_list<T>> rows, Dtype dtype) {
  const size_t columns = rows.begin()->size();
  std::vector<T> values;
  for (const auto& row : rows) {
    check(row.size() == columns, "array: rows of ", columns, " and of ", row.size(), " values");
    values.insert(values.end(), row.begin(), row.end());
  }
  fill_from(values.begin(), {int(rows.size()), int(columns)}, dtype);
}
template <Scalar T>
array::array(std::initializer_list<std::initializer_list<std::initializer_list<T>>> blocks,
             Dtype dtype) {
  const size_t rows = blocks.begin()->size();
  const size_t columns = rows > 0 ? blocks.begin()->begin()->size() : 0;
  std::vector<T> values;
  for (const auto& block : blocks) {
    check(block.size() == rows, "array: blocks of ", rows, " and of ", block.size(), " rows");
    for (const auto& row : block) {
      check(row.size() == columns, "array: rows of ", columns, " and of ", row.size(), " values");
      values.insert(values.end(), row.begin(), row.end());
    }
  }
  fill_from(values.begin(), {int(blocks.size()), int(rows), int(columns)}, dtype);
}

/// Walks over the slices of an array's first axis.
class ArrayIterator {
 public:
  using value_type = array;
  using difference_type = std::ptrdiff_t;
  ArrayIterator(array of, int at) : of_(std::move(of)), at_(at) {}
  const array operator*() const;
  ArrayIterator operator+(difference_type n) const { return {of_, at_ + int(n)}; }
  ArrayIterator& operator++() { return ++at_, *this; }
  ArrayIterator operator++(int) { return {of_, at_++}; }
  bool operator==(const ArrayIterator& other) const { return at_ == other.at_; }

 private:
  array of_;
  int at_;
};

template <Scalar T>
T array::item() const {
  check(size() == 1, "item: wanted an array of one element, got shape ", shape());
  return load_element<T>(host_bytes(), dtype());
}
template <Element T>
const T* array::data() const {
  check(dtype() == dtype_of<T>, "data: the array is ", dtype(), ", asked for ", dtype_of<T>);
  return reinterpret_cast<const T*>(host_bytes());
}
template <Scalar T>
std::vector<T> array::to_vector() const {
  std::vector<T> out;
  out.reserve(size());
  each([&](const void* p) { out.push_back(load_element<T>(p, dtype())); });
  return out;
}

}  // namespace hearth

#include "hearth/core/primitive.h"  // Node: whoever has a handle may drop it
