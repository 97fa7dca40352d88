// Random choices: indices by their logits, and orders.
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/random.h"
#include "hearth/ops/reduce.h"

namespace hearth::random {

static array draw(const array& logits, int axis, const Shape& noise, const Key& key) {
  return argmax(add(logits, gumbel(noise, float32, key)), axis);
}
array categorical(const array& logits, int axis, const Shape& shape, const Key& key,
                  StreamOrDevice s) {
  StreamScope scope(s);
  const int at = normalize_axis(axis, logits.ndim(), "random::categorical") - logits.ndim();
  Shape kept = logits.shape();
  kept.erase(kept.end() + at);
  check(broadcast_shapes(shape, kept, "random::categorical") == shape,
        "random::categorical: shape ", shape, " does not hold the ", kept,
        " distributions of the logits");
  Shape noise = shape;
  noise.insert(noise.end() + at + 1, logits.shape(at));
  return draw(logits, at, noise, key);
}
array categorical(const array& logits, int axis, int num_samples, const Key& key,
                  StreamOrDevice s) {
  StreamScope scope(s);
  check(num_samples >= 0, "random::categorical: ", num_samples, " samples");
  const int at = normalize_axis(axis, logits.ndim(), "random::categorical");
  Shape noise = logits.shape();
  noise.push_back(num_samples);
  return draw(expand_dims(logits, -1), at, noise, key);
}
array categorical(const array& logits, int axis, const Key& key, StreamOrDevice s) {
  StreamScope scope(s);
  const int at = normalize_axis(axis, logits.ndim(), "random::categorical");
  return draw(logits, at, logits.shape(), key);
}

array permutation(const array& x, int axis, const Key& key, StreamOrDevice s) {
  StreamScope scope(s);
  return take(x, random::permutation(x.shape(axis), key), axis);
}
array permutation(int x, const Key& key, StreamOrDevice s) {
  StreamScope scope(s);
  return argsort(bits({x}, key), 0);
}

}  // namespace hearth::random
