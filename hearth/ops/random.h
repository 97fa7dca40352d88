// Random numbers by counter: Threefry2x32, with MLX's keys and bit streams. The same key gives the
// same numbers, on any number of threads.
#pragma once
#include <optional>

#include "hearth/core/array.h"

namespace hearth::random {

/// (2) u32: the two halves of the seed.
array key(uint64_t seed);

/// A key that splits itself each time it is asked.
class KeySequence {
 public:
  explicit KeySequence(uint64_t seed);
  void seed(uint64_t seed);
  array next();
  /// The calling thread's; begins with the time.
  static KeySequence& default_();

 private:
  array key_;
};
/// Seeds the calling thread's default sequence.
void seed(uint64_t seed);

using Key = std::optional<array>;  // empty: the next of the default sequence

/// Random bits, `width` bytes each (1: u8, 2: u16, 4: u32). keys (..., 2) give (...) + shape.
array bits(const Shape& shape, int width, const Key& key = std::nullopt, StreamOrDevice s = {});
array bits(const Shape& shape, const Key& key = std::nullopt, StreamOrDevice s = {});
/// Two keys, or `num` of them (num, 2).
std::pair<array, array> split(const array& key, StreamOrDevice s = {});
array split(const array& key, int num, StreamOrDevice s = {});

/// In [low, high), which broadcast to shape.
array uniform(const array& low, const array& high, const Shape& shape, Dtype dtype = float32,
              const Key& key = std::nullopt, StreamOrDevice s = {});
template <Scalar T, Scalar U>
array uniform(T low, U high, const Shape& shape, Dtype dtype = float32,
              const Key& key = std::nullopt, StreamOrDevice s = {}) {
  return uniform(array(low), array(high), shape, dtype, key, s);
}
array uniform(const Shape& shape, Dtype dtype, const Key& key = std::nullopt,
              StreamOrDevice s = {});
array uniform(const Shape& shape, const Key& key = std::nullopt, StreamOrDevice s = {});
/// Gaussian: loc + scale * N(0, 1).
array normal(const Shape& shape, Dtype dtype, const std::optional<array>& loc,
             const std::optional<array>& scale, const Key& key, StreamOrDevice s = {});
array normal(const Shape& shape, Dtype dtype, float loc, float scale, const Key& key = std::nullopt,
             StreamOrDevice s = {});
array normal(const Shape& shape, float loc, float scale, const Key& key = std::nullopt,
             StreamOrDevice s = {});
array normal(const Shape& shape, Dtype dtype, const Key& key = std::nullopt, StreamOrDevice s = {});
array normal(const Shape& shape, const Key& key = std::nullopt, StreamOrDevice s = {});
/// Gaussian vectors: mean (..., n), symmetric covariance (..., n, n) -> broadcast of their leading
/// axes and `shape`, + (n). dtype must be f32.
array multivariate_normal(const array& mean, const array& cov, const Shape& shape, Dtype dtype,
                          const Key& key = std::nullopt, StreamOrDevice s = {});
/// Integers in [low, high).
array randint(const array& low, const array& high, const Shape& shape, Dtype dtype = int32,
              const Key& key = std::nullopt, StreamOrDevice s = {});
template <Scalar T, Scalar U>
array randint(T low, U high, const Shape& shape, Dtype dtype = int32, const Key& key = std::nullopt,
              StreamOrDevice s = {}) {
  return randint(array(low), array(high), shape, dtype, key, s);
}
/// Bools, true with probability p (0.5 if not given).
array bernoulli(const array& p, const Shape& shape, const Key& key = std::nullopt,
                StreamOrDevice s = {});
array bernoulli(const array& p, const Key& key = std::nullopt, StreamOrDevice s = {});
inline array bernoulli(const array& p, std::initializer_list<int> shape,
                       const Key& key = std::nullopt, StreamOrDevice s = {}) {
  return bernoulli(p, Shape(shape), key, s);
}
template <Scalar T>
array bernoulli(T p, const Key& key = std::nullopt, StreamOrDevice s = {}) {
  return bernoulli(array(p), key, s);
}
template <Scalar T>
array bernoulli(T p, const Shape& shape, const Key& key = std::nullopt, StreamOrDevice s = {}) {
  return bernoulli(array(p), shape, key, s);
}
template <Scalar T>
array bernoulli(T p, std::initializer_list<int> shape, const Key& key = std::nullopt,
                StreamOrDevice s = {}) {
  return bernoulli(array(p), Shape(shape), key, s);
}
array bernoulli(const Key& key = std::nullopt, StreamOrDevice s = {});
/// N(0, 1) given that it lies in [lower, upper].
array truncated_normal(const array& lower, const array& upper, const Shape& shape,
                       Dtype dtype = float32, const Key& key = std::nullopt, StreamOrDevice s = {});
array truncated_normal(const array& lower, const array& upper, Dtype dtype = float32,
                       const Key& key = std::nullopt, StreamOrDevice s = {});
array gumbel(const Shape& shape, Dtype dtype = float32, const Key& key = std::nullopt,
             StreamOrDevice s = {});
/// Indices drawn with probability softmax(logits) along the axis; u32. `shape` must broadcast with
/// the logits' other axes; num_samples adds a last axis.
array categorical(const array& logits, int axis, const Shape& shape, const Key& key = std::nullopt,
                  StreamOrDevice s = {});
array categorical(const array& logits, int axis, int num_samples, const Key& key = std::nullopt,
                  StreamOrDevice s = {});
array categorical(const array& logits, int axis = -1, const Key& key = std::nullopt,
                  StreamOrDevice s = {});
array laplace(const Shape& shape, Dtype dtype, float loc, float scale,
              const Key& key = std::nullopt, StreamOrDevice s = {});
array laplace(const Shape& shape, float loc, float scale, const Key& key = std::nullopt,
              StreamOrDevice s = {});
array laplace(const Shape& shape, Dtype dtype, const Key& key = std::nullopt,
              StreamOrDevice s = {});
array laplace(const Shape& shape, const Key& key = std::nullopt, StreamOrDevice s = {});
/// The slices of x along the axis in random order; of an int, arange(x) so.
array permutation(const array& x, int axis = 0, const Key& key = std::nullopt,
                  StreamOrDevice s = {});
array permutation(int x, const Key& key = std::nullopt, StreamOrDevice s = {});

}  // namespace hearth::random
