// A lazy n-dimensional array: a cheap handle to a node of the graph.
#pragma once
#include <cstring>
#include <iosfwd>
#include <iterator>
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

class array {
 public:
  using Deleter = std::function<void(void*)>;

  /// A scalar; converts, so that x + 1.0f reads well.
  template <Scalar T>
  array(T value, Dtype dtype = default_dtype<T>());
  array(std::initializer_list<float> values);
  array(std::initializer_list<int> values, Dtype dtype);
  template <Scalar T>
  array(std::initializer_list<T> values, Shape shape, Dtype dtype = default_dtype<T>());
  /// The values of a range, row-major, as `shape`.
  template <std::input_iterator It>
  array(It first, const Shape& shape, Dtype dtype = default_dtype<std::iter_value_t<It>>());
  /// Foreign memory, not copied and never written; `deleter(data)` runs when no array uses it.
  array(void* data, Shape shape, Dtype dtype, Deleter deleter);

  const Shape& shape() const;
  int shape(int axis) const;  // from the back when negative
  Dtype dtype() const;
  int ndim() const { return int(shape().size()); }
  size_t size() const;  // elements
  size_t itemsize() const { return size_of(dtype()); }
  size_t nbytes() const { return size() * itemsize(); }
  /// How it lies in memory; evaluates.
  const Strides& strides() const;

  /// Computes it, and what it needs; returns when it is there. Throws what went wrong.
  void eval() const;
  bool is_available() const;  // computed, without waiting
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
template <std::input_iterator It>
array::array(It first, const Shape& shape, Dtype dtype) {
  auto* p = static_cast<std::byte*>(fill(shape, dtype));
  for (size_t i = 0, n = size(); i < n; ++i, ++first)
    store_element(p + i * size_of(dtype), dtype, std::iter_value_t<It>(*first));
}
template <Scalar T>
array::array(std::initializer_list<T> values, Shape shape, Dtype dtype) {
  check(values.size() == element_count(shape), "array: ", values.size(), " values for shape ",
        shape);
  auto* p = static_cast<std::byte*>(fill(shape, dtype));
  for (const T& value : values) {
    store_element(p, dtype, value);
    p += size_of(dtype);
  }
}

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
