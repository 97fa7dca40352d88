// Sorting by keys: each element becomes an unsigned integer of the same order, NaN the greatest;
// long rows are sorted digit by digit, which is stable and does not compare.
#include <array>
#include <bit>
#include <cstring>

#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/pool.h"
#include "hearth/backend/walk.h"
#include "hearth/ops/primitives.h"

namespace hearth::cpu {
namespace {

template <size_t bytes>
struct Unsigned;
template <>
struct Unsigned<1> {
  using type = uint8_t;
};
template <>
struct Unsigned<2> {
  using type = uint16_t;
};
template <>
struct Unsigned<4> {
  using type = uint32_t;
};
template <>
struct Unsigned<8> {
  using type = uint64_t;
};
template <class T>
using Key = typename Unsigned<sizeof(T)>::type;

template <class T>
constexpr Key<T> kSign = Key<T>(Key<T>(1) << (8 * sizeof(T) - 1));
/// The bits of infinity: above them, sign aside, is NaN.
template <class T>
constexpr uint64_t infinity_bits() {
  if constexpr (std::is_same_v<T, float16_t>) return 0x7c00;
  if constexpr (std::is_same_v<T, bfloat16_t>) return 0x7f80;
  if constexpr (std::is_same_v<T, float>) return 0x7f800000;
  return 0x7ff0000000000000;
}

/// The key of the T whose bits these are; -0 before 0, or with it if they are to be equals.
template <class T>
Key<T> to_key(Key<T> bits, bool zeros_equal) {
  if constexpr (is_floating(dtype_of<T>)) {
    const Key<T> magnitude = bits & Key<T>(~kSign<T>);
    if (magnitude > infinity_bits<T>()) return Key<T>(~Key<T>(0));
    if (zeros_equal && magnitude == 0) return kSign<T>;
    return Key<T>(bits & kSign<T> ? ~bits : bits | kSign<T>);
  } else if constexpr (kind_of(dtype_of<T>) == Kind::i) {
    return bits ^ kSign<T>;
  } else {
    return bits;
  }
}
template <class T>
Key<T> from_key(Key<T> key) {
  if constexpr (is_floating(dtype_of<T>))
    return Key<T>(key & kSign<T> ? key ^ kSign<T> : ~key);
  else if constexpr (kind_of(dtype_of<T>) == Kind::i)
    return key ^ kSign<T>;
  else
    return key;
}
/// By real part, then imaginary; NumPy's order of NaN: (x, nan), (nan, x), (nan, nan).
template <>
uint64_t to_key<complex64_t>(uint64_t bits, bool) {
  complex64_t v = std::bit_cast<complex64_t>(bits);
  const uint64_t re = to_key<float>(std::bit_cast<uint32_t>(v.real()), true);
  const uint64_t im = to_key<float>(std::bit_cast<uint32_t>(v.imag()), true);
  const bool re_nan = v.real() != v.real(), im_nan = v.imag() != v.imag();
  if (re_nan && im_nan) return ~uint64_t(0);
  if (re_nan) return uint64_t(0xfffffffe) << 32 | im;
  if (im_nan) return uint64_t(0xfffffffd) << 32 | re;
  return re << 32 | im;
}

/// A key and where it came from. Ordered by both, so that equals keep their order.
template <class K>
struct Item {
  K key;
  uint32_t place;
  bool operator<(const Item& b) const { return key != b.key ? key < b.key : place < b.place; }
};
template <class K>
K key_of(K k) {
  return k;
}
template <class K>
K key_of(Item<K> i) {
  return i.key;
}

/// Sorts n things by key, equals in their order, with room for n more; the result is in `a`.
template <class K, class Thing>
void sort_things(Thing* a, Thing* room, int64_t n) {
  if (n < 512) {  // stable for keys alone, and for items, whose places differ
    std::sort(a, a + n);
    return;
  }
  constexpr int kBits = sizeof(K) <= 2 ? 8 : 11, kBuckets = 1 << kBits;
  constexpr int kDigits = (int(sizeof(K)) * 8 + kBits - 1) / kBits;
  auto digit = [](K k, int d) { return size_t(uint64_t(k) >> (d * kBits)) & (kBuckets - 1); };
  std::vector<std::array<uint32_t, kBuckets>> counts(kDigits);
  for (int64_t i = 0; i < n; ++i)
    for (int d = 0; d < kDigits; ++d) ++counts[size_t(d)][digit(key_of(a[i]), d)];
  Thing *from = a, *to = room;
  for (int d = 0; d < kDigits; ++d) {
    auto& starts = counts[size_t(d)];
    if (starts[digit(key_of(from[0]), d)] == uint32_t(n)) continue;  // the same in all
    uint32_t sum = 0;
    for (uint32_t& c : starts) sum += std::exchange(c, sum);
    for (int64_t i = 0; i < n; ++i) to[starts[digit(key_of(from[i]), d)]++] = from[i];
    std::swap(from, to);
  }
  if (from != a) std::copy(from, from + n, a);
}

/// Room that a thread keeps for its next row.
template <class Thing>
Thing* scratch(int64_t n) {
  thread_local std::vector<uint64_t> room;
  const size_t words = (size_t(n) * sizeof(Thing) + 7) / 8;
  if (room.size() < words) room.resize(words);
  return reinterpret_cast<Thing*>(room.data());
}

template <class T>
Key<T> load_bits(const std::byte* p) {
  Key<T> k;
  std::memcpy(&k, p, sizeof k);
  return k;
}

/// in_step in bytes, out_step in elements.
template <class T>
void sort_row(const Sort& op, const std::byte* in, int64_t in_step, int64_t n, std::byte* out,
              int64_t out_step) {
  using K = Key<T>;
  auto* values = reinterpret_cast<K*>(out);
  if (!op.places && op.kth < 0 && !is_complex(dtype_of<T>)) {
    K* keys = scratch<K>(2 * n);
    for (int64_t i = 0; i < n; ++i) keys[i] = to_key<T>(load_bits<T>(in + i * in_step), false);
    sort_things<K>(keys, keys + n, n);
    for (int64_t i = 0; i < n; ++i) values[i * out_step] = from_key<T>(keys[i]);
    return;
  }
  Item<K>* items = scratch<Item<K>>(2 * n);
  for (int64_t i = 0; i < n; ++i)
    items[i] = {to_key<T>(load_bits<T>(in + i * in_step), true), uint32_t(i)};
  if (op.kth < 0)
    sort_things<K>(items, items + n, n);
  else
    std::nth_element(items, items + op.kth, items + n);
  for (int64_t i = 0; i < n; ++i) {
    if (op.places)
      reinterpret_cast<uint32_t*>(out)[i * out_step] = items[i].place;
    else
      values[i * out_step] = load_bits<T>(in + int64_t(items[i].place) * in_step);
  }
}

}  // namespace

void sort(const Sort& op, const Args& args, CpuQueue&) {
  const array &in = args.in[0], &out = args.out[0];
  if (in.size() == 0) return;
  const auto& strides = in.node().strides;
  const Strides to = row_major(in.shape());
  WalkAxes others;
  for (int i = 0; i < in.ndim(); ++i)
    if (i != op.axis) others.push_back({in.shape()[i], strides[i], to[i]});
  merge(others);
  const int64_t n = in.shape()[op.axis], rows = count(others);
  const int64_t each = std::max<int64_t>(1, (1 << 12) / n);
  visit(AllTypes{}, in.dtype(), op.name(), [&]<class T>() {
    const int64_t item = sizeof(T), out_item = int64_t(size_of(out.dtype()));
    parallel_for((rows + each - 1) / each, [&](int64_t u) {
      Walk at(others, u * each);
      for (int64_t row = u * each; row < std::min(rows, (u + 1) * each); ++row, at.next())
        sort_row<T>(op, ptr<std::byte>(in) + at.from * item, strides[op.axis] * item, n,
                    ptr<std::byte>(out) + at.to * out_item, to[op.axis]);
    });
  });
}

}  // namespace hearth::cpu
