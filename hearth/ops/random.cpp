// Random distributions, composed of random bits as MLX does, so that the same key draws the same.
#include "hearth/ops/random.h"

#include <chrono>
#include <cmath>
#include <numbers>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/joined.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives_index.h"
#include "hearth/ops/reduce.h"
#include "hearth/ops/wide.h"

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

// The one value of a bound that needs no evaluation.
std::optional<double> known(const array& bound) {
  return bound.size() == 1 && !bound.node().op ? std::optional(bound.item<double>()) : std::nullopt;
}

void check_float(Dtype dtype, std::string_view who) {
  check(dtype == float32 || dtype == float16 || dtype == bfloat16, "random::", who, ": dtype ",
        dtype, " is not one of float32, float16, bfloat16");
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
  check(key.shape() == Shape{2}, "random::split: a key is uint32 (2), got ", key.dtype(), " ",
        key.shape());
  return bits({num, 2}, 4, key, s);
}

// The next number below each of x, which is finite: a step down in the bits, whose order is that of
// their magnitudes.
static array next_below(const array& x) {
  const Dtype bits = x.itemsize() == 4 ? int32 : int16;
  const array i = view(x, bits), one(1, bits);
  const array lowest(bits == int32 ? -0x7fffffff : -0x7fff, bits);  // of 0: the least below it
  return view(where(x > 0, i - one, where(x < 0, i + one, lowest)), x.dtype());
}

array uniform(const array& low, const array& high, const Shape& shape, Dtype dtype, const Key& key,
              StreamOrDevice s) {
  StreamScope scope(s);
  check_float(dtype, "uniform");
  const array from = astype(low, dtype), to = astype(high, dtype);
  check(broadcast_shapes(shape, broadcast_shapes(from.shape(), to.shape(), "random::uniform"),
                         "random::uniform") == shape,
        "random::uniform: bounds of shapes ", low.shape(), " and ", high.shape(),
        " do not broadcast to ", shape);
  // Rounding may reach `high`, which is not drawn. Between bounds whose distance is infinite half
  // the distance is drawn from, and doubled.
  const array limit = where(from < to, next_below(to), from);
  const array part = where(isfinite(to - from), array(1.0f, dtype), array(0.5f, dtype));
  const array base = from * part, range = to * part - base;
  return fused(
      [&](const Arrays& in) {
        const array unit = minimum(
            astype(divide(astype(in[0], float32), array(4294967295.0f)), dtype), below_one(dtype));
        return minimum(divide(add(multiply(in[1], unit), in[2]), in[3]), in[4]);
      },
      {bits(shape, key), range, base, part, limit});
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
  array factor(std::numbers::sqrt2_v<float>);
  if (scale) factor = multiply(factor, widen(astype(*scale, dtype)));
  const array x = multiply(factor, erfinv(symmetric(shape, key)));
  return astype(loc ? add(widen(astype(*loc, dtype)), x) : x, dtype);
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

// The high 64 bits of a product of u64, by halves of 32 bits.
static array high_product(const array& a, const array& b) {
  const array half(32, uint64), low(uint64_t{0xffffffff});
  const array a0 = a & low, a1 = a >> half, b0 = b & low, b1 = b >> half;
  const array middle = a1 * b0 + ((a0 * b0) >> half);
  return a1 * b1 + (middle >> half) + (((middle & low) + a0 * b1) >> half);
}
// In [low, most], each alike to one part in 2^64 / (most - low): of 64 bits, in integers.
static array of_many(const array& low, const array& most, const Shape& shape, const Key& key) {
  Shape words = shape;
  words.push_back(2);
  const array drawn = reshape(view(bits(words, 4, key), uint64), shape);
  return fused(
      [&](const Arrays& in) {
        const array zero(0, uint64), first = astype(in[0], uint64),
                                     count = astype(in[1], uint64) - first + array(1, uint64);
        // A count of 2^64 wraps to 0.
        const array place = where(count == zero, in[2], high_product(in[2], count));
        return astype(first + place, low.dtype());
      },
      {low, most, drawn});
}

array randint(const array& low, const array& high, const Shape& shape, Dtype dtype, const Key& key,
              StreamOrDevice s) {
  StreamScope scope(s);
  check(!is_inexact(dtype), "random::randint: dtype ", dtype, " is not an integer");
  const array least = astype(low, dtype), most = subtract(astype(high, dtype), array(1, dtype));
  check(broadcast_shapes(shape, broadcast_shapes(least.shape(), most.shape(), "random::randint"),
                         "random::randint") == shape,
        "random::randint: bounds of shapes ", low.shape(), " and ", high.shape(),
        " do not broadcast to ", shape);
  const Key k = next_of(key);
  const auto of_few = [&] {
    // Rounding may reach `high`; as MLX does, clamp in the dtype itself.
    const array drawn = astype(floor(uniform(low, high, shape, float32, k)), dtype);
    return astype(maximum(minimum(drawn, most), least), dtype);
  };
  // MLX draws floats, which hold all integers up to 2^24 only.
  constexpr double kMost = 1 << 24;
  if (const auto a = known(low), b = known(high); a && b) {
    const bool few = std::abs(*a) <= kMost && std::abs(*b) <= kMost && *b - *a <= kMost;
    return few || *b <= *a ? of_few() : of_many(least, most, shape, k);
  }
  const array a = astype(low, float64), b = astype(high, float64), limit(kMost, float64);
  const array few = (abs(a) <= limit && abs(b) <= limit && b - a <= limit) || b <= a;
  return where(few, of_few(), of_many(least, most, shape, k));
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

// What the normal distribution has beyond x >= 3, over its density there (Mills' ratio): the
// continued fraction 1 / (x + 1 / (x + 2 / (x + ...))), good to 1e-7.
static array mills_ratio(const array& x) {
  array below = x;
  for (int k = 14; k > 0; --k) below = x + float(k) / below;
  return 1.0f / below;
}
// The x in [a, b], a >= 3, beyond which lies what is left of the normal distribution after a share
// u of what lies between: by Newton's steps on the logarithm of what lies beyond.
static array tail(const array& a, const array& b, const array& u) {
  const array at_a = mills_ratio(a);
  const auto beyond = [&](const array& x) {  // over that beyond a, in logarithms
    return (a - x) * (a + x) / 2.0f + log(mills_ratio(x) / at_a);
  };
  const array left = where(isinf(b), 0.0f, exp(beyond(where(isinf(b), a, b))));
  const array wanted = log1p(u * (left - 1.0f));
  array x = sqrt(a * a - 2.0f * wanted);  // as if the density fell with x exp(-x^2 / 2)
  for (int i = 0; i < 4; ++i) x = x + mills_ratio(x) * (beyond(x) - wanted);
  return x;
}

array truncated_normal(const array& lower, const array& upper, const Shape& shape, Dtype dtype,
                       const Key& key, StreamOrDevice s) {
  StreamScope scope(s);
  check_float(dtype, "truncated_normal");
  const array sqrt2(std::numbers::sqrt2_v<float>),
      from = astype(lower, dtype), to = astype(upper, dtype), low = widen(from), high = widen(to);
  const Key k = next_of(key);
  // Within 3 of the middle, MLX's way. Further out erf has few values left, beyond 5.6 one: there
  // the tail is drawn from, that below mirrored.
  const auto middle = [&] {
    const array u = uniform(erf(low / sqrt2), erf(high / sqrt2), shape, float32, k);
    const array inside = array(std::nextafter(1.0f, 0.0f));
    return sqrt2 * erfinv(maximum(minimum(u, inside), -inside));
  };
  const array above = low >= 3.0f, below = high <= -3.0f;
  const auto outside = [&] {
    const array near_end = where(above, low, where(below, -high, array(3.0f)));
    const array far_end = where(above, high, where(below, -low, array(4.0f)));
    const array x = tail(near_end, far_end, uniform(shape, float32, k));
    return where(above, x, -x);
  };
  const auto limited = [&](const array& x) { return maximum(minimum(astype(x, dtype), to), from); };
  if (const auto a = known(lower), b = known(upper); a && b)
    return limited(*a >= 3 || *b <= -3 ? outside() : middle());
  return limited(where(above || below, outside(), middle()));
}
array truncated_normal(const array& lower, const array& upper, Dtype dtype, const Key& key,
                       StreamOrDevice s) {
  const Shape shape = broadcast_shapes(lower.shape(), upper.shape(), "random::truncated_normal");
  return truncated_normal(lower, upper, shape, dtype, key, s);
}
array gumbel(const Shape& shape, Dtype dtype, const Key& key, StreamOrDevice s) {
  StreamScope scope(s);
  check_float(dtype, "gumbel");
  // Without 0, whose logarithm is infinite.
  return in_wide(
      [](const array& u) { return negative(log(negative(log(maximum(u, array(0x1p-33f)))))); },
      uniform(shape, dtype, key));
}

array laplace(const Shape& shape, Dtype dtype, float loc, float scale, const Key& key,
              StreamOrDevice s) {
  StreamScope scope(s);
  check_float(dtype, "laplace");
  const array u = symmetric(shape, key);
  array x = multiply(sign(u), log1p(negative(abs(u))));
  if (scale != 1) x = multiply(array(scale), x);
  if (loc != 0) x = add(array(loc), x);
  return astype(x, dtype);
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
