// What the fused operations compute, in plain operations: the fallback of backends, the path of
// gradients, and what the tests hold the kernels to. Computed in float32, or float64, and rounded
// once.
#include <cmath>
#include <limits>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives_fast.h"
#include "hearth/ops/reduce.h"
#include "hearth/ops/state_packing.h"
#include "hearth/ops/wide.h"

namespace hearth::fast {
namespace {

array constant(double value, const array& like) { return array(value, like.dtype()); }

/// The last axis from `start` to `stop`, every step-th element.
array part(const array& x, int start, int stop, int step = 1) {
  Shape from(size_t(x.ndim()), 0), to = x.shape(), steps(size_t(x.ndim()), 1);
  from.back() = start;
  to.back() = stop;
  steps.back() = step;
  return slice(x, from, to, steps);
}

/// x (B, ..., L, D), wide; offset of 1 or B elements.
array rotate(const array& x, const array& offset, const Rotation& r, const array* freqs,
             bool inverse) {
  const int L = x.shape(-2), D = x.shape(-1), half = r.dims / 2;
  array rates(0.0f);  // (half), or (B, 1, half)
  if (freqs) {
    rates = reciprocal(*freqs);
    if (freqs->ndim() == 2) rates = expand_dims(rates, 1);
  } else {
    std::vector<float> values;
    for (int i = 0; i < half; ++i)
      values.push_back(float(std::pow(double(r.base), -double(i) / half)));
    rates = array(values.begin(), {half});
  }
  array positions =
      add(arange(0, L, 1, float32), reshape(astype(offset, float32), {int(offset.size()), 1}));
  positions = multiply(positions, array(r.scale));
  Shape shape(size_t(x.ndim()), 1);  // of the angles: (1 or B, 1..., L, half)
  shape[0] = int(offset.size());
  shape[x.ndim() - 2] = L;
  shape.back() = half;
  const array theta = reshape(multiply(expand_dims(positions, -1), rates), shape);
  const auto amplified = [&](const array& y) {
    return astype(r.amplitude == 1 ? y : multiply(y, array(r.amplitude)), x.dtype());
  };
  const array c = amplified(cos(theta));
  const array s = amplified(inverse ? negative(sin(theta)) : sin(theta));
  const array a = r.traditional ? part(x, 0, r.dims, 2) : part(x, 0, half);
  const array b = r.traditional ? part(x, 1, r.dims, 2) : part(x, half, r.dims);
  array first = subtract(multiply(a, c), multiply(b, s));
  array second = add(multiply(a, s), multiply(b, c));
  Arrays all{first, second};
  if (r.traditional) {
    Shape pairs = x.shape();
    pairs.back() = r.dims;
    all = {reshape(stack({first, second}, -1), pairs)};
  }
  if (r.dims < D) all.push_back(part(x, r.dims, D));
  return concatenate(all, -1);
}

/// softmax(q k^T + mask) v for wide q (B, H, L, D), scaled, k (B, Hkv, S, D), v (B, Hkv, S, Dv);
/// mask broadcasts to (B, H, L, S).
array attend(const array& q, const array& k, const array& v, const std::optional<array>& mask,
             const std::optional<array>& sinks, float softcap = 0) {
  const int B = q.shape(0), H = q.shape(1), L = q.shape(2), Hkv = k.shape(1), S = k.shape(2);
  const array grouped = reshape(q, {B, Hkv, H / Hkv * L, q.shape(3)});
  array scores = reshape(matmul(grouped, swapaxes(k, -1, -2)), {B, H, L, S});
  if (softcap > 0) {
    const array cap = constant(softcap, scores);
    scores = multiply(tanh(divide(scores, cap)), cap);
  }
  if (mask && mask->dtype() == bool_) {
    const double lowest = q.dtype() == float64 ? std::numeric_limits<double>::lowest()
                                               : double(std::numeric_limits<float>::lowest());
    scores = where(*mask, scores, constant(lowest, scores));
  } else if (mask) {
    scores = add(scores, astype(*mask, scores.dtype()));
  }
  if (sinks) {
    const array column = reshape(astype(*sinks, scores.dtype()), {1, H, 1, 1});
    scores = concatenate({broadcast_to(column, {B, H, L, 1}), scores}, -1);
  }
  // What an added mask hides wholly gives zeros.
  std::optional<array> hidden;
  if (mask && mask->dtype() != bool_ && !sinks && S > 0) {
    hidden = max(scores, -1, true) == constant(-INFINITY, scores);
    scores = where(*hidden, constant(0, scores), scores);
  }
  array weights = S + sinks.has_value() > 0 ? softmax(scores, -1, true) : scores;
  if (hidden) weights = where(*hidden, constant(0, weights), weights);
  if (sinks) weights = part(weights, 1, S + 1);
  return reshape(matmul(reshape(weights, {B, Hkv, H / Hkv * L, S}), v), {B, H, L, v.shape(3)});
}

}  // namespace

array activate(const array& x, Activation activation, StreamOrDevice s) {
  StreamScope scope(s);
  switch (activation) {
    case Activation::none: return x;
#define X(name) \
  case Activation::name: return name(x);
      HEARTH_ACTIVATIONS(X)
#undef X
  }
  return x;
}

std::optional<Arrays> LayerNorm::decompose(const Arrays& in) const {
  const array x = widen(in[0]);
  const array centred = subtract(x, mean(x, -1, true));
  const array variance = mean(square(centred), -1, true);
  array y = multiply(centred, rsqrt(add(variance, constant(eps, x))));
  if (scaled) y = multiply(y, widen(in[1]));
  if (shifted) y = add(y, widen(in[1 + scaled]));
  return Arrays{astype(y, in[0].dtype())};
}

std::optional<Arrays> RMSNorm::decompose(const Arrays& in) const {
  const array x = widen(in[0]);
  array y = multiply(x, rsqrt(add(mean(square(x), -1, true), constant(eps, x))));
  if (scaled) y = multiply(y, widen(in[1]));
  return Arrays{astype(y, in[0].dtype())};
}

std::optional<Arrays> RoPE::decompose(const Arrays& in) const {
  const array* freqs = rotation.has_freqs ? &in[2] : nullptr;
  return Arrays{astype(rotate(widen(in[0]), in[1], rotation, freqs, inverse), in[0].dtype())};
}
std::optional<Cotangents> RoPE::vjp(const Arrays& in, const Arrays&, const Arrays& d) const {
  SmallVector<array, 3> args{d[0], in[1]};
  if (rotation.has_freqs) args.push_back(in[2]);
  Cotangents out(in.size());
  out[0] = hearth::apply(std::make_shared<RoPE>(rotation, !inverse), std::move(args));
  return out;
}

std::optional<Arrays> Attention::decompose(const Arrays& in) const {
  const array q = multiply(widen(in[0]), array(scale, wide_of(in[0].dtype())));
  std::optional<array> mask, sinks;
  if (masked) mask = in[3];
  if (causal) {
    const int L = q.shape(2), S = in[1].shape(2);
    mask = greater_equal(expand_dims(arange(S - L, S, 1), 1), arange(0, S, 1));
  }
  if (has_sinks) sinks = in[3 + masked];
  return Arrays{astype(attend(q, widen(in[1]), widen(in[2]), mask, sinks), in[0].dtype())};
}

std::optional<Arrays> CachedAttention::decompose(const Arrays& in) const {
  const Inputs i = inputs(in);
  const int B = i.B, L = i.L, capacity = i.capacity;
  const Dtype dtype = i.q->dtype();
  const bool packed = form.state != Packing::dense;
  const auto heads_first = [](const array& x) { return widen(swapaxes(x, 1, 2)); };
  const auto rotated = [&](const array& x) {
    return form.rotation.dims > 0 ? rotate(x, *i.offsets, form.rotation, i.freqs, false) : x;
  };
  // What each row of the caches holds after this step: position `from` of the new ones, or, below
  // 0, of those before. In a ring the latest position that lies there.
  const array first = reshape(*i.offsets, {B, 1});
  array places = broadcast_to(arange(0, capacity, 1), {B, capacity});
  if (form.ring) {
    const array last = add(first, array(L - 1));
    const array age = remainder(add(subtract(last, places), array(capacity)), array(capacity));
    places = subtract(last, age);
  }
  const array from = subtract(places, first);  // (B, capacity)
  const array is_new = reshape(logical_and(greater_equal(from, array(0)), less(from, array(L))),
                               {B, 1, capacity, 1});
  const auto written = [&](const array& cache, const array& rows) {
    if (L == 0 || capacity == 0) return cache;
    const array at = reshape(clip(from, array(0), array(L - 1)), {B, 1, capacity, 1});
    const array stored = packed ? packed_state(form.state, rows) : astype(rows, dtype);
    const array now =
        where(is_new, take_along_axis(stored, broadcast_to(at, cache.shape()), 2), cache);
    return assign(cache, now);  // in place here too
  };
  const array keys = i.k ? written(*i.cache_k, rotated(heads_first(*i.k))) : *i.cache_k;
  std::optional<array> values, sinks;
  if (i.cache_v) values = i.v ? written(*i.cache_v, heads_first(*i.v)) : *i.cache_v;
  if (i.sinks) sinks = *i.sinks;
  const array q = multiply(rotated(heads_first(*i.q)), array(form.scale, wide_of(dtype)));
  // What lies beyond may be anything: it is made 0 so that no weight of 0 meets a NaN.
  const array held = reshape(logical_and(less(from, array(L)), greater_equal(places, array(0))),
                             {B, 1, capacity, 1});
  const auto clean = [&](const array& cache) {
    const array wide =
        packed ? astype(unpacked_state(form.state, cache, i.D), wide_of(dtype)) : widen(cache);
    return where(held, wide, array(0.0f, wide_of(dtype)));
  };
  const array key_at = reshape(from, {B, 1, 1, capacity});
  const array query_at = reshape(arange(0, L, 1), {1, 1, L, 1});
  array seen = logical_and(less_equal(key_at, query_at), reshape(held, {B, 1, 1, capacity}));
  if (form.window > 0)
    seen = logical_and(seen, greater(key_at, subtract(query_at, array(form.window))));
  const array clean_keys = clean(keys);
  const array clean_values = values ? clean(*values) : part(clean_keys, i.D - i.Dv, i.D);
  const array y = attend(q, clean_keys, clean_values, seen, sinks, form.softcap);
  Arrays out{astype(swapaxes(y, 1, 2), dtype)};
  if (i.k) out.push_back(keys);
  if (i.k && values) out.push_back(*values);
  return out;
}

Arrays gated(std::span<const Linear::Part> parts, const Arrays& each) {
  Arrays out;
  for (size_t i = 0; i < parts.size(); ++i)
    out.push_back(parts[i].gates ? multiply(each[i], each[i + 1]) : each[i]), i += parts[i].gates;
  return out;
}

Arrays with_dense_weights(std::vector<Linear::Part>& parts, const Arrays& in, size_t first) {
  Arrays out(in.begin(), in.begin() + long(first));
  Operands operands(in, first);
  for (Linear::Part& part : parts) {
    out.push_back(dequantize(operands.matrix(part.packing, in[0].dtype())));
    if (const array* bias = operands.bias(part.bias)) out.push_back(*bias);
    part.packing = Packing::dense;
    part.int8 = false;
  }
  return out;
}

std::optional<Arrays> Linear::decompose(const Arrays& in) const {
  if (has_packed(parts)) {
    std::vector<Part> dense = parts;
    Arrays all = with_dense_weights(dense, in, first_part());
    if (residual) all.push_back(in.back());
    return apply_all(std::make_shared<Linear>(std::move(dense), residual, norm), std::move(all));
  }
  if (has_gates(parts)) {
    std::vector<Part> plain = parts;
    for (Part& part : plain) part.gates = false;
    return gated(parts,
                 apply_all(std::make_shared<Linear>(std::move(plain), false, norm), Arrays(in)));
  }
  if (norm) {
    const size_t first = first_part();
    const SmallVector<array, 3> normed(in.begin(), in.begin() + long(first));
    Arrays rest{
        norm->rms
            ? hearth::apply(std::make_shared<RMSNorm>(norm->eps, norm->scaled), normed)
            : hearth::apply(std::make_shared<LayerNorm>(norm->eps, norm->scaled, norm->shifted),
                            normed)};
    rest.insert(rest.end(), in.begin() + long(first), in.end());
    return apply_all(std::make_shared<Linear>(parts, residual), std::move(rest));
  }
  const array x = widen(in[0]);
  Arrays out;
  size_t next = 1;
  for (const Part& part : parts) {
    array y = matmul(x, swapaxes(widen(in[next++]), 0, 1));
    if (part.bias) y = add(y, widen(in[next++]));
    y = activate(y, part.activation);
    if (residual && out.empty()) y = add(y, widen(in.back()));
    out.push_back(astype(y, in[0].dtype()));
  }
  return out;
}

// One product after the other, each the residual of the next.
std::optional<Arrays> LinearSum::decompose(const Arrays& in) const {
  std::optional<array> sum;
  if (residual) sum = in.back();
  Operands operands(in, 0);
  for (const Term& term : terms) {
    const array& x = operands.take();
    const Matrix weight = operands.matrix(term.packing, x.dtype()).with_int8(term.int8);
    std::optional<array> b;
    if (const array* bias = operands.bias(term.bias)) b = *bias;
    sum = linear(x, weight, b, Activation::none, sum);
  }
  return Arrays{*sum};
}

}  // namespace hearth::fast
