// The fused operations: arguments to primitives.
#include "hearth/ops/fast.h"

#include "hearth/ops/elementwise.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives_fast.h"

namespace hearth::fast {
namespace {

Dtype promoted(Dtype dtype, const std::optional<array>& more) {
  return more ? promote_types(dtype, more->dtype()) : dtype;
}
Rotation rotation_of(std::string_view op, int dims, bool traditional, std::optional<float> base,
                     float scale, const std::optional<array>& freqs) {
  check(base.has_value() != freqs.has_value(), op, ": wanted either base or freqs, got ",
        base ? "both" : "neither");
  return {dims, traditional, freqs.has_value(), base.value_or(1.0f), scale, 1};
}

}  // namespace

array layer_norm(const array& x, const std::optional<array>& weight,
                 const std::optional<array>& bias, float eps, StreamOrDevice s) {
  StreamScope scope(s);
  // As in MLX, a bias without a weight takes the dtype of x.
  const Dtype dtype = weight ? promoted(promoted(x.dtype(), weight), bias) : x.dtype();
  SmallVector<array, 3> in{astype(x, dtype)};
  if (weight) in.push_back(astype(*weight, dtype));
  if (bias) in.push_back(astype(*bias, dtype));
  return hearth::apply(std::make_shared<LayerNorm>(eps, weight.has_value(), bias.has_value()),
                       std::move(in));
}

array rms_norm(const array& x, const std::optional<array>& weight, float eps, StreamOrDevice s) {
  StreamScope scope(s);
  const Dtype dtype = promoted(x.dtype(), weight);
  SmallVector<array, 3> in{astype(x, dtype)};
  if (weight) in.push_back(astype(*weight, dtype));
  return hearth::apply(std::make_shared<RMSNorm>(eps, weight.has_value()), std::move(in));
}

array rope(const array& x, int dims, bool traditional, std::optional<float> base, float scale,
           const array& offset, const std::optional<array>& freqs, StreamOrDevice s) {
  StreamScope scope(s);
  const Rotation rotation = rotation_of("rope", dims, traditional, base, scale, freqs);
  SmallVector<array, 3> in{x, offset};
  if (freqs) in.push_back(astype(*freqs, float32));
  return hearth::apply(std::make_shared<RoPE>(rotation), std::move(in));
}
array rope(const array& x, int dims, bool traditional, std::optional<float> base, float scale,
           int offset, const std::optional<array>& freqs, StreamOrDevice s) {
  return rope(x, dims, traditional, base, scale, array(offset, int32), freqs, s);
}

array scaled_dot_product_attention(const array& queries, const array& keys, const array& values,
                                   const float scale, const std::string& mask_mode,
                                   std::optional<array> mask_arr, const std::optional<array>& sinks,
                                   bool, StreamOrDevice s) {
  StreamScope scope(s);
  constexpr std::string_view op = "scaled_dot_product_attention";
  check(mask_mode.empty() || mask_mode == "causal" || mask_mode == "array", op,
        ": wanted the mask_mode causal, array or none, got '", mask_mode, "'");
  const bool causal = mask_mode == "causal";
  check(!causal || !mask_arr, op, ": a causal mask takes no mask_arr");
  check(mask_mode != "array" || mask_arr, op, ": mask_mode 'array' wants a mask_arr");
  for (const array* x : {&queries, &keys, &values})
    check(x->ndim() == 4, op, ": wanted 4 axes, got shape ", x->shape());
  const Dtype dtype = promote_types(promote_types(queries.dtype(), keys.dtype()), values.dtype());
  SmallVector<array, 3> in{astype(queries, dtype), astype(keys, dtype), astype(values, dtype)};
  if (mask_arr) {
    check(promote_types(mask_arr->dtype(), dtype) == dtype, op, ": a mask of ", mask_arr->dtype(),
          " does not promote to ", dtype);
    if (mask_arr->dtype() != bool_) mask_arr = astype(*mask_arr, dtype);
    Shape scores = queries.shape();
    scores.back() = keys.shape(2);
    in.push_back(broadcast_to(*mask_arr, scores));
  }
  if (sinks) {
    check(promote_types(sinks->dtype(), dtype) == dtype, op, ": sinks of ", sinks->dtype(),
          " do not promote to ", dtype);
    in.push_back(astype(*sinks, dtype));
  }
  return hearth::apply(
      std::make_shared<Attention>(scale, causal, mask_arr.has_value(), sinks.has_value()),
      std::move(in));
}

array linear(const array& x, const Matrix& weight, const std::optional<array>& bias,
             Activation activation, const std::optional<array>& residual, StreamOrDevice s) {
  StreamScope scope(s);
  SmallVector<array, 3> in{x};
  for (const array& plane : weight.planes()) in.push_back(plane);
  if (bias) in.push_back(*bias);
  if (residual) in.push_back(*residual);
  const Linear::Part part{activation, bias.has_value(), false, weight.packing(), weight.int8()};
  return hearth::apply(std::make_shared<Linear>(std::vector{part}, residual.has_value()),
                       std::move(in));
}

Arrays linears(const array& x, std::span<const Projection> projections,
               const std::optional<Norm>& norm, StreamOrDevice s) {
  StreamScope scope(s);
  check(!projections.empty(), "linears: wanted at least one projection");
  std::vector<Linear::Part> parts;
  Arrays in{x};
  std::optional<Linear::Norm> first;
  if (norm) {
    first = {norm->eps, norm->rms, norm->weight.has_value(), norm->bias.has_value()};
    if (norm->weight) in.push_back(*norm->weight);
    if (norm->bias) in.push_back(*norm->bias);
  }
  for (const Projection& p : projections) {
    parts.push_back(
        {p.activation, p.bias.has_value(), p.gates, p.weight.packing(), p.weight.int8()});
    for (const array& plane : p.weight.planes()) in.push_back(plane);
    if (p.bias) in.push_back(*p.bias);
  }
  return apply_all(std::make_shared<Linear>(std::move(parts), false, first), std::move(in));
}

array linear_sum(std::span<const Term> terms, const std::optional<array>& residual,
                 StreamOrDevice s) {
  StreamScope scope(s);
  check(!terms.empty(), "linear_sum: wanted at least one term");
  std::vector<LinearSum::Term> kinds;
  SmallVector<array, 3> in;
  for (const Term& t : terms) {
    kinds.push_back({t.bias.has_value(), t.weight.packing(), t.weight.int8()});
    in.push_back(t.x);
    for (const array& plane : t.weight.planes()) in.push_back(plane);
    if (t.bias) in.push_back(*t.bias);
  }
  if (residual) in.push_back(*residual);
  return hearth::apply(std::make_shared<LinearSum>(std::move(kinds), residual.has_value()),
                       std::move(in));
}

namespace {

Arrays attention_of(Arrays in, AttentionForm form, bool writes, const AttentionArrays& more) {
  form.writes = writes;
  form.has_sinks = more.sinks.has_value();
  form.rotation.has_freqs = more.freqs.has_value();
  const Dtype dtype = in[0].dtype();
  if (more.freqs) in.push_back(astype(*more.freqs, float32));
  if (more.sinks) in.push_back(astype(*more.sinks, dtype));
  return apply_all(std::make_shared<CachedAttention>(form), std::move(in));
}

}  // namespace

CachedAttentionResult cached_attention(const array& q, const array& k, const array& v,
                                       const array& cache_k, const array& cache_v,
                                       const array& offsets, const AttentionForm& form,
                                       const AttentionArrays& more, StreamOrDevice s) {
  StreamScope scope(s);
  check(form.latent == 0, "cached_attention: values are parts of the keys: give no v");
  const Arrays out = attention_of({q, k, v, cache_k, cache_v, offsets}, form, true, more);
  return {out[0], out[1], out[2]};
}

CachedAttentionResult cached_attention(const array& q, const array& k, const array& cache_k,
                                       const array& offsets, const AttentionForm& form,
                                       const AttentionArrays& more, StreamOrDevice s) {
  StreamScope scope(s);
  check(form.latent > 0, "cached_attention: wanted values, or how many elements of keys they are");
  const Arrays out = attention_of({q, k, cache_k, offsets}, form, true, more);
  return {out[0], out[1], out[1]};
}

array attention_to_cache(const array& q, const array& cache_k, const array& cache_v,
                         const array& offsets, const AttentionForm& form,
                         const AttentionArrays& more, StreamOrDevice s) {
  StreamScope scope(s);
  Arrays in{q, cache_k};
  if (form.latent == 0) in.push_back(cache_v);
  in.push_back(offsets);
  return attention_of(std::move(in), form, false, more)[0];
}

}  // namespace hearth::fast
