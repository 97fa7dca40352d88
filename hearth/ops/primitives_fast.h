// The structs of matrix products and fused operations. Optional inputs stand in the order of the
// public function's arguments, those that are absent left out.
#pragma once
#include <algorithm>
#include <utility>

#include "hearth/ops/fast.h"
#include "hearth/ops/primitives.h"

namespace hearth {

/// a (..., m, k), b (..., k, n), c if add -> a b + c, (..., m, n); batch axes broadcast, c does
/// not.
struct Matmul : Op<Matmul, primitive_id::Matmul> {
  bool add;
  explicit Matmul(bool add = false) : add(add) {}
  HEARTH_FIELDS(add)
  std::string_view name() const override { return "matmul"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// How a kernel goes along one axis of its input.
struct Sweep {
  int stride = 1, low = 0, high = 0;            // padding; negative crops
  int kernel_dilation = 1, input_dilation = 1;  // d - 1 zeros lie between neighbours
  /// Places of a kernel of k elements over n of the input; below 1 if it does not fit.
  int64_t places(int64_t n, int64_t k) const;
  HEARTH_FIELDS(stride, low, high, kernel_dilation, input_dilation)
};
/// input (N, L..., C), weight (O, K..., C / groups) -> (N, M..., O), M as in ops/conv.h
struct Convolution : Op<Convolution, primitive_id::Convolution> {
  std::vector<Sweep> axes;
  int groups;
  Convolution(std::vector<Sweep> axes, int groups) : axes(std::move(axes)), groups(groups) {}
  HEARTH_FIELDS(axes, groups)
  std::string_view name() const override { return "convolution"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Arrays> decompose(const Arrays& in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// The gradient of a Convolution by its weight: input (N, L..., C), d (N, M..., O) -> (O, K..., C /
/// groups), K the sizes of the kernel.
struct ConvolutionWeight : Op<ConvolutionWeight, primitive_id::ConvolutionWeight> {
  std::vector<Sweep> axes;
  int groups;
  Shape kernel;
  ConvolutionWeight(std::vector<Sweep> axes, int groups, Shape kernel)
      : axes(std::move(axes)), groups(groups), kernel(std::move(kernel)) {}
  HEARTH_FIELDS(axes, groups, kernel)
  std::string_view name() const override { return "convolution_weight"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Arrays> decompose(const Arrays& in) const override;
};

namespace fast {

/// x (..., n), weight (n) if scaled, bias (n) if shifted -> (..., n)
struct LayerNorm : Op<LayerNorm, primitive_id::LayerNorm> {
  float eps;
  bool scaled, shifted;
  LayerNorm(float eps, bool scaled, bool shifted) : eps(eps), scaled(scaled), shifted(shifted) {}
  HEARTH_FIELDS(eps, scaled, shifted)
  std::string_view name() const override { return "layer_norm"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Arrays> decompose(const Arrays& in) const override;
  bool donates() const override { return true; }
};

/// x (..., n), weight (n) if scaled -> (..., n)
struct RMSNorm : Op<RMSNorm, primitive_id::RMSNorm> {
  float eps;
  bool scaled;
  RMSNorm(float eps, bool scaled) : eps(eps), scaled(scaled) {}
  HEARTH_FIELDS(eps, scaled)
  std::string_view name() const override { return "rms_norm"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Arrays> decompose(const Arrays& in) const override;
  bool donates() const override { return true; }
};

/// x (B, ..., L, D), offset (1) or (B), freqs (dims / 2) if has_freqs -> x rotated; back if
/// inverse.
struct RoPE : Op<RoPE, primitive_id::RoPE> {
  Rotation rotation;
  bool inverse;
  explicit RoPE(Rotation rotation, bool inverse = false) : rotation(rotation), inverse(inverse) {}
  HEARTH_FIELDS(rotation, inverse)
  std::string_view name() const override { return "rope"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Arrays> decompose(const Arrays& in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// q (B, H, L, D), k (B, Hkv, S, D), v (B, Hkv, S, Dv), mask (B, H, L, S) if masked, sinks (H) if
/// has_sinks -> (B, H, L, Dv)
struct Attention : Op<Attention, primitive_id::Attention> {
  float scale;
  bool causal, masked, has_sinks;
  Attention(float scale, bool causal, bool masked, bool has_sinks)
      : scale(scale), causal(causal), masked(masked), has_sinks(has_sinks) {}
  HEARTH_FIELDS(scale, causal, masked, has_sinks)
  std::string_view name() const override { return "scaled_dot_product_attention"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Arrays> decompose(const Arrays& in) const override;
};

/// q, then k if it writes, v if it writes and has values of their own, cache_k, cache_v if values
/// are not part of the keys, offsets, freqs if there are some, sinks if there are some -> y and, if
/// it writes, the caches, written in place.
struct CachedAttention : Op<CachedAttention, primitive_id::CachedAttention> {
  AttentionForm form;
  explicit CachedAttention(const AttentionForm& form) : form(form) {}
  HEARTH_FIELDS(form)
  std::string_view name() const override { return "cached_attention"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Arrays> decompose(const Arrays& in) const override;
  int writes_into(int output) const override;

  /// The inputs by name; null: not given.
  struct Inputs {
    const array *q, *k, *v, *cache_k, *cache_v, *offsets, *freqs, *sinks;
    int B, L, H, Hkv, D, Dv, capacity;
  };
  Inputs inputs(std::span<const array> in) const;
};

/// x (..., k), the norm's weight (k) and bias (k) if it has them, then weight (n, k), as the planes
/// of its packing, and bias (n) of each part, and a residual (..., n) of the first -> (..., n) of
/// each part, or of each pair
struct Linear : Op<Linear, primitive_id::Linear> {
  struct Part {
    Activation activation;
    bool bias;
    bool gates;  // what it gives multiplies what the next part does, and is no output
    Packing packing = Packing::dense;  // of the weight
    bool int8 = false;                 // x meets it in eight bits
    HEARTH_FIELDS(activation, bias, gates, packing, int8)
  };
  struct Norm {
    float eps;
    bool rms, scaled, shifted;
    HEARTH_FIELDS(eps, rms, scaled, shifted)
  };
  std::vector<Part> parts;
  bool residual;
  std::optional<Norm> norm;
  Linear(std::vector<Part> parts, bool residual, std::optional<Norm> norm = {})
      : parts(std::move(parts)), residual(residual), norm(norm) {}
  HEARTH_FIELDS(parts, residual, norm)
  std::string_view name() const override { return "linear"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Arrays> decompose(const Arrays& in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
  /// The first input after x and the norm's.
  size_t first_part() const { return norm ? size_t(1 + norm->scaled + norm->shifted) : 1; }
};
bool has_gates(std::span<const Linear::Part> parts);

/// The inputs of a product from `first` on, one after the other: of each part its weight's planes,
/// and its bias.
class Operands {
 public:
  Operands(std::span<const array> in, size_t first) : in_(in), next_(first) {}
  const array& take() { return in_[next_++]; }
  std::span<const array> weight(Packing packing) {
    const size_t planes = size_t(packing_info(packing).planes);
    return in_.subspan(std::exchange(next_, next_ + planes), planes);
  }
  /// The same with values taken in that dtype, unless it is dense.
  Matrix matrix(Packing packing, Dtype dtype) {
    const auto planes = weight(packing);
    return packing == Packing::dense ? Matrix(planes[0]) : Matrix(packing, planes, dtype);
  }
  /// Null where there is none.
  const array* bias(bool there) { return there ? &take() : nullptr; }

 private:
  std::span<const array> in_;
  size_t next_;
};
/// Whether a part's weight, or a term's, is packed.
template <class Parts>
bool has_packed(const Parts& parts) {
  return std::ranges::any_of(parts, [](const auto& p) { return p.packing != Packing::dense; });
}
/// The inputs of products with packed weights, dequantised to the dtype of x, and the parts that
/// take these.
Arrays with_dense_weights(std::vector<Linear::Part>& parts, const Arrays& in, size_t first);

/// What parts give, from what each gives alone: gates multiply what the next part gives.
Arrays gated(std::span<const Linear::Part> parts, const Arrays& each);

/// x (..., k), weight (n, k), as the planes of its packing, and bias (n) if it has one of each
/// term, then residual (..., n) -> (..., n)
struct LinearSum : Op<LinearSum, primitive_id::LinearSum> {
  struct Term {
    bool bias;
    Packing packing = Packing::dense;  // of the weight
    bool int8 = false;                 // x meets it in eight bits
    HEARTH_FIELDS(bias, packing, int8)
  };
  std::vector<Term> terms;
  bool residual;
  LinearSum(std::vector<Term> terms, bool residual) : terms(std::move(terms)), residual(residual) {}
  HEARTH_FIELDS(terms, residual)
  std::string_view name() const override { return "linear_sum"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Arrays> decompose(const Arrays& in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

/// w (..., in), and perhaps the importance of its columns -> the planes of a packing
struct Quantize : Op<Quantize, primitive_id::Quantize> {
  Packing packing;
  explicit Quantize(Packing packing) : packing(packing) {}
  HEARTH_FIELDS(packing)
  std::string_view name() const override { return "quantize"; }
  Specs infer(std::span<const array> in) const override;
};

/// The planes of a packed matrix (..., in) -> its values in `dtype`
struct Dequantize : Op<Dequantize, primitive_id::Dequantize> {
  Packing packing;
  Dtype dtype;
  Dequantize(Packing packing, Dtype dtype) : packing(packing), dtype(dtype) {}
  HEARTH_FIELDS(packing, dtype)
  std::string_view name() const override { return "dequantize"; }
  Specs infer(std::span<const array> in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
};

}  // namespace fast
}  // namespace hearth
