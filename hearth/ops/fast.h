// Fused operations: each one node, with a plain definition (its `decompose`) that says what it
// computes. Halves are widened, computed in float32 and rounded once.
#pragma once
#include <optional>
#include <span>
#include <string>

#include "hearth/core/array.h"
#include "hearth/ops/activation.h"
#include "hearth/ops/attention_form.h"
#include "hearth/ops/matrix.h"

namespace hearth::fast {

/// x, or the operation that the activation names.
array activate(const array& x, Activation activation, StreamOrDevice s = {});

/// (x - mean) / sqrt(variance + eps) over the last axis, times weight, plus bias; (..., n), weight
/// and bias (n).
array layer_norm(const array& x, const std::optional<array>& weight,
                 const std::optional<array>& bias, float eps, StreamOrDevice s = {});
/// x / sqrt(mean(x^2) + eps) over the last axis, times weight; (..., n), weight (n).
array rms_norm(const array& x, const std::optional<array>& weight, float eps,
               StreamOrDevice s = {});

/// Rotates pairs of the first `dims` elements of the last axis by angle position / base^(2i/dims):
/// pairs (i, i + dims/2), or neighbours when `traditional`. x is (B, ..., L, D) with 3 axes or
/// more; position is scale * (offset + index along L). Either base or freqs (dims/2) is given;
/// freqs hold base^(2i/dims).
array rope(const array& x, int dims, bool traditional, std::optional<float> base, float scale,
           int offset, const std::optional<array>& freqs = std::nullopt, StreamOrDevice s = {});
/// `offset`: an integer array, one value or one for each row of the batch.
array rope(const array& x, int dims, bool traditional, std::optional<float> base, float scale,
           const array& offset, const std::optional<array>& freqs = std::nullopt,
           StreamOrDevice s = {});

/// softmax(scale q k^T + mask) v. queries (B, H, L, D), keys (B, Hkv, S, D), values (B, Hkv, S, Dv)
/// -> (B, H, L, Dv); H is a multiple of Hkv, and neighbouring heads share. mask_mode "causal": the
/// last query sees all keys; "array": mask_arr, boolean (true: seen) or added, broadcast to
/// (B, H, L, S); "": mask_arr if given. sinks (H): a logit per head that takes its share and gives
/// no value. force_fused changes nothing: it is one operation always.
array scaled_dot_product_attention(const array& queries, const array& keys, const array& values,
                                   const float scale, const std::string& mask_mode = "",
                                   std::optional<array> mask_arr = {},
                                   const std::optional<array>& sinks = {}, bool force_fused = false,
                                   StreamOrDevice s = {});

/// activation(x weight^T + bias) + residual: x (..., k), weight (n, k) as checkpoints store it,
/// bias (n), residual (..., n). One dtype for all, f16, bf16, f32 or f64; of a packed weight none
/// is asked, and it has no gradient.
array linear(const array& x, const Matrix& weight, const std::optional<array>& bias = {},
             Activation activation = Activation::none, const std::optional<array>& residual = {},
             StreamOrDevice s = {});

/// One of the layers that linears() applies to the same x.
struct Projection {
  Matrix weight;              // (n, k)
  std::optional<array> bias;  // (n)
  Activation activation = Activation::none;
  bool gates = false;  // the result multiplies that of the next, and is not given itself
};
/// What x goes through first: layer_norm, or rms_norm, with its weights of shape (k).
struct Norm {
  std::optional<array> weight, bias;
  float eps;
  bool rms = false;
};
/// linear(norm(x), ...) for each projection, in one pass over x and in one parallel region. A gate,
/// and the projection after it, which has no activation and as many rows, give one result.
Arrays linears(const array& x, std::span<const Projection> projections,
               const std::optional<Norm>& norm = {}, StreamOrDevice s = {});

/// One product of linear_sum: x (..., k), weight (n, k), bias (n).
struct Term {
  array x;
  Matrix weight;
  std::optional<array> bias;
};
/// The sum of x weight^T + bias over the terms, plus residual (..., n).
array linear_sum(std::span<const Term> terms, const std::optional<array>& residual = {},
                 StreamOrDevice s = {});

/// What attention to a cache may have beside queries, keys and values.
struct AttentionArrays {
  std::optional<array> freqs = {};  // (dims / 2), or (B, dims / 2): base^(2i/dims), a row's own
  std::optional<array> sinks = {};  // (H)
};
struct CachedAttentionResult {
  array y;                 // (B, L, H, Dv)
  array cache_k, cache_v;  // the caches, with the new rows
};
/// Attention of L new positions to all before and themselves, with rotary embedding. q (B, L, H,
/// D), k (B, L, Hkv, D), v (B, L, Hkv, Dv); caches (B, Hkv, capacity, D) and (.., Dv); offsets
/// int32 (B): positions that row b of the caches holds. k (rotated) and v are written INTO the
/// caches at offsets[b]: the arrays passed in see the write, and only those returned are sure to
/// have it. Evaluation throws when offsets[b] + L exceeds the capacity or an offset is negative. A
/// ring has room for the window and L - 1 positions.
CachedAttentionResult cached_attention(const array& q, const array& k, const array& v,
                                       const array& cache_k, const array& cache_v,
                                       const array& offsets, const AttentionForm& form,
                                       const AttentionArrays& more = {}, StreamOrDevice s = {});
/// With form.latent: keys alone, kept and given in cache_k.
CachedAttentionResult cached_attention(const array& q, const array& k, const array& cache_k,
                                       const array& offsets, const AttentionForm& form,
                                       const AttentionArrays& more = {}, StreamOrDevice s = {});
/// The same with what another layer wrote at this step: the result (B, L, H, Dv); nothing is
/// written.
array attention_to_cache(const array& q, const array& cache_k, const array& cache_v,
                         const array& offsets, const AttentionForm& form,
                         const AttentionArrays& more = {}, StreamOrDevice s = {});

}  // namespace hearth::fast
