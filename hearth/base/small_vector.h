// SmallVector<T, N>: a vector whose first N elements live inside it, so that shapes, strides and
// the inputs of a node cost no allocation.
#pragma once
#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

namespace hearth {

template <class T, uint32_t N>
class SmallVector {
 public:
  using value_type = T;
  using iterator = T*;
  using const_iterator = const T*;

  SmallVector() = default;
  explicit SmallVector(size_t n, const T& value = T()) { resize(n, value); }
  SmallVector(std::initializer_list<T> list) { insert(end(), list.begin(), list.end()); }
  template <std::input_iterator It>
  SmallVector(It first, It last) {
    insert(end(), first, last);
  }
  SmallVector(const SmallVector& other) { insert(end(), other.begin(), other.end()); }
  SmallVector(SmallVector&& other) noexcept { take(other); }
  SmallVector& operator=(const SmallVector& other) {
    if (this != &other) {
      clear();
      insert(end(), other.begin(), other.end());
    }
    return *this;
  }
  SmallVector& operator=(SmallVector&& other) noexcept {
    if (this != &other) {
      release();
      take(other);
    }
    return *this;
  }
  ~SmallVector() { release(); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  auto rbegin() const { return std::reverse_iterator(end()); }
  auto rend() const { return std::reverse_iterator(begin()); }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T& front() { return data_[0]; }
  const T& front() const { return data_[0]; }
  T& back() { return data_[size_ - 1]; }
  const T& back() const { return data_[size_ - 1]; }

  void reserve(size_t n) {
    if (n > capacity_) grow(n);
  }
  void clear() {
    std::destroy(begin(), end());
    size_ = 0;
  }
  template <class... Args>
  T& emplace_back(Args&&... args) {
    if (size_ == capacity_) {
      T value(std::forward<Args>(args)...);  // an argument may live in the old storage
      grow(2 * size_t(capacity_));
      return *std::construct_at(data_ + size_++, std::move(value));
    }
    return *std::construct_at(data_ + size_++, std::forward<Args>(args)...);
  }
  void push_back(T value) { emplace_back(std::move(value)); }
  void pop_back() { std::destroy_at(data_ + --size_); }
  void resize(size_t n, const T& value = T()) {
    reserve(n);
    while (size_ > n) pop_back();
    while (size_ < n) std::construct_at(data_ + size_++, value);
  }
  T* insert(const T* at, const T& value) { return insert(at, &value, &value + 1); }
  template <std::input_iterator It>
  T* insert(const T* at, It first, It last) {
    const size_t where = at - data_, old = size_;
    for (; first != last; ++first) emplace_back(*first);
    std::rotate(data_ + where, data_ + old, end());
    return data_ + where;
  }
  T* erase(const T* at) { return erase(at, at + 1); }
  T* erase(const T* first, const T* last) {
    T* to = data_ + (first - data_);
    T* new_end = std::move(data_ + (last - data_), end(), to);
    while (end() != new_end) pop_back();
    return to;
  }

  operator std::span<const T>() const { return {data_, size_}; }
  bool operator==(const SmallVector& other) const {
    return std::equal(begin(), end(), other.begin(), other.end());
  }

 private:
  T* inside() { return reinterpret_cast<T*>(inline_); }
  [[gnu::noinline]] void grow(size_t n) {
    T* to = std::allocator<T>().allocate(n);
    std::uninitialized_move(begin(), end(), to);
    const uint32_t size = size_;
    release();
    data_ = to, size_ = size, capacity_ = uint32_t(n);
  }
  void release() {
    std::destroy(begin(), end());
    if (data_ != inside()) std::allocator<T>().deallocate(data_, capacity_);
    data_ = inside(), size_ = 0, capacity_ = N;
  }
  void take(SmallVector& other) {  // *this is empty and inside
    if (other.data_ == other.inside()) {
      std::uninitialized_move(other.begin(), other.end(), data_);
      size_ = other.size_;
      other.clear();
    } else {
      data_ = std::exchange(other.data_, other.inside());
      size_ = std::exchange(other.size_, 0);
      capacity_ = std::exchange(other.capacity_, N);
    }
  }

  T* data_ = inside();
  uint32_t size_ = 0, capacity_ = N;
  alignas(T) std::byte inline_[N * sizeof(T)];
};

}  // namespace hearth
