// Random distributions, composed of random bits as MLX does, so that the same key draws the same.
#include "hearth/ops/random.h"

#include <chrono>
#include <cmath>
#include <numbers>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives_index.h"

namespace hearth::random {

namespace {

array next_of(const Key& key) { return key ? *key : KeySequence::default_().next(); }

// The largest value below 1.
array below_one(Dtype dtype) {
  if (dtype == float32) return array(std::nextafter(1.0f, 0.0f));
  if (dtype == float16) return array(float16_t(1 - 0x1p-11f));
  return array(bfloat16_t(1 - 0x1p-8f));
}
// In (-1, 1), f32.
array symmetric(const Shape& shape, const Key& key) {
  return uniform(array(std::nextafter(-1.0f, 0.0f)), array(1.0f), shape, float32, key);
}

void check_float(Dtype dtype, std::string_view who) {
  check(dtype == float32 || dtype == float16 || dtype == bfloat16, "random::", who, ": dtype ",
        dtype, " is not one of f32, f16, bf16");
}

}  // namespace

array key(uint64_t seed) { return array({uint32_t(seed >> 32), uint32_t(seed)}, {2}, uint32); }

KeySequence::KeySequence(uint64_t seed) : key_(random::key(seed)) {}
void KeySequence::seed(uint64_t seed) { key_ = random::key(seed); }
array KeySequence::next() {
  auto [rest, out] = random::split(key_);
  key_ = rest;
  return out;
}
KeySequence& KeySequence::default_() {
  thread_local KeySequence sequence(
      uint64_t(std::chrono::duration_cast<std::chrono::milliseconds>(
                   std::chrono::system_clock::now().time_since_epoch())
                   .count()));
  return sequence;
}
void seed(uint64_t seed) { KeySequence::default_().seed(seed); }

array bits(const Shape& shape, int width, const Key& key, StreamOrDevice s) {
  StreamScope scope(s);
  return apply(std::make_shared<RandomBits>(shape, width), {next_of(key)});
}
array bits(const Shape& shape, const Key& key, StreamOrDevice s) { return bits(shape, 4, key, s); }
std::pair<array, array> split(const array& key, StreamOrDevice s) {
  const array both = random::split(key, 2, s);
  return {take(both, 0, 0, s), take(both, 1, 0, s)};
}
array split(const array& key, int num, StreamOrDevice s) {
  check(key.shape() == Shape{2}, "random::split: a key is u32 (2), got ", key.dtype(), " ",
        key.shape());
  return bits({num, 2}, 4, key, s);
}

array uniform(const array& low, const array& high, const Shape& shape, Dtype dtype, const Key& key,
              StreamOrDevice s) {
  StreamScope scope(s);
  check_float(dtype, "uniform");
  const array from = astype(low, dtype), range = subtract(astype(high, dtype), from);
  check(broadcast_shapes(shape, range.shape(), "random::uniform") == shape,
        "random::uniform: bounds of shapes ", low.shape(), " and ", high.shape(),
        " do not broadcast to ", shape);
  const array unit =
      minimum(astype(divide(astype(bits(shape, key), float32), array(4294967295.0f)), dtype),
              below_one(dtype));
  return add(multiply(range, unit), from);
}
array uniform(const Shape& shape, Dtype dtype, const Key& key, StreamOrDevice s) {
  return uniform(array(0.0f), array(1.0f), shape, dtype, key, s);
}
array uniform(const Shape& shape, const Key& key, StreamOrDevice s) {
  return uniform(shape, float32, key, s);
}

array normal(const Shape& shape, Dtype dtype, const std::optional<array>& loc,
             const std::optional<array>& scale, const Key& key, StreamOrDevice s) {
  StreamScope scope(s);
  check_float(dtype, "normal");
  // Drawn in f32, whatever the dtype; scaled in the dtype, as MLX does.
  array factor(std::numbers::sqrt2_v<float>, dtype);
  if (scale) factor = multiply(factor, astype(*scale, dtype));
  const array x = multiply(factor, astype(erfinv(symmetric(shape, key)), dtype));
  return loc ? add(astype(*loc, dtype), x) : x;
}
array normal(const Shape& shape, Dtype dtype, float loc, float scale, const Key& key,
             StreamOrDevice s) {
  auto given = [&](float value, float neutral) {
    return value == neutral ? std::nullopt : std::optional(array(value, dtype));
  };
  return normal(shape, dtype, given(loc, 0), given(scale, 1), key, s);
}
array normal(const Shape& shape, float loc, float scale, const Key& key, StreamOrDevice s) {
  return normal(shape, float32, loc, scale, key, s);
}
array normal(const Shape& shape, Dtype dtype, const Key& key, StreamOrDevice s) {
  return normal(shape, dtype, std::nullopt, std::nullopt, key, s);
}
array normal(const Shape& shape, const Key& key, StreamOrDevice s) {
  return normal(shape, float32, key, s);
}

array randint(const array& low, const array& high, const Shape& shape, Dtype dtype, const Key& key,
              StreamOrDevice s) {
  StreamScope scope(s);
  check(!is_inexact(dtype), "random::randint: dtype ", dtype, " is not an integer");
  // Rounding may reach `high`; as MLX does, clamp in the dtype itself.
  const array drawn = astype(floor(uniform(low, high, shape, float32, key)), dtype);
  const array most = subtract(astype(high, dtype), array(1, dtype));
  return astype(maximum(minimum(drawn, most), astype(low, dtype)), dtype);
}

array bernoulli(const array& p, const Shape& shape, const Key& key, StreamOrDevice s) {
  StreamScope scope(s);
  check(is_floating(p.dtype()), "random::bernoulli: p is ", p.dtype(), ", wanted floats");
  check(broadcast_shapes(shape, p.shape(), "random::bernoulli") == shape,
        "random::bernoulli: p of shape ", p.shape(), " does not broadcast to ", shape);
  return less(uniform(shape, float32, key), broadcast_to(p, shape));
}
array bernoulli(const array& p, const Key& key, StreamOrDevice s) {
  return bernoulli(p, p.shape(), key, s);
}
array bernoulli(const Key& key, StreamOrDevice s) { return bernoulli(array(0.5f), key, s); }

array truncated_normal(const array& lower, const array& upper, const Shape& shape, Dtype dtype,
                       const Key& key, StreamOrDevice s) {
  StreamScope scope(s);
  check_float(dtype, "truncated_normal");
  const array sqrt2(std::numbers::sqrt2_v<float>, dtype);
  const array from = astype(lower, dtype), to = astype(upper, dtype);
  const array u = uniform(erf(divide(from, sqrt2)), erf(divide(to, sqrt2)), shape, dtype, key);
  const array x = multiply(sqrt2, erfinv(u));
  return maximum(minimum(x, to), from);
}
array truncated_normal(const array& lower, const array& upper, Dtype dtype, const Key& key,
                       StreamOrDevice s) {
  const Shape shape = broadcast_shapes(lower.shape(), upper.shape(), "random::truncated_normal");
  return truncated_normal(lower, upper, shape, dtype, key, s);
}
array gumbel(const Shape& shape, Dtype dtype, const Key& key, StreamOrDevice s) {
  StreamScope scope(s);
  return negative(log(negative(log(uniform(shape, dtype, key)))));
}

array laplace(const Shape& shape, Dtype dtype, float loc, float scale, const Key& key,
              StreamOrDevice s) {
  StreamScope scope(s);
  check_float(dtype, "laplace");
  const array u = symmetric(shape, key);
  array x = astype(multiply(sign(u), log1p(negative(abs(u)))), dtype);
  if (scale != 1) x = multiply(array(scale, dtype), x);
  if (loc != 0) x = add(array(loc, dtype), x);
  return x;
}
array laplace(const Shape& shape, float loc, float scale, const Key& key, StreamOrDevice s) {
  return laplace(shape, float32, loc, scale, key, s);
}
array laplace(const Shape& shape, Dtype dtype, const Key& key, StreamOrDevice s) {
  return laplace(shape, dtype, 0, 1, key, s);
}
array laplace(const Shape& shape, const Key& key, StreamOrDevice s) {
  return laplace(shape, float32, key, s);
}

}  // namespace hearth::random
