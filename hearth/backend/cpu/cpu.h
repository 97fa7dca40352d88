// The CPU backend: its queue, and the declarations of its kernels.
#pragma once
#include "hearth/backend/batch_queue.h"
#include "hearth/ops/primitives.h"
#include "hearth/ops/primitives_layers.h"

namespace hearth::cpu {

Backend& backend();

/// Work in order; its memory is the host's.
class CpuQueue : public BatchQueue {
 public:
  ~CpuQueue() override { close(); }
  Allocator& allocator() override { return host_memory(); }

 protected:
  void execute(Batch& batch) override;
  void finish(const Event&) override {}
};

// Kernels, by file.
void map(const Map& op, const Args& args, CpuQueue& queue);     // map.cpp
bool map_fits(const Primitive& op, std::span<const array> in);  // what is too long is taken apart
void reduce(const Reduce& op, const Args& args, CpuQueue& queue);
void arg_reduce(const ArgReduce& op, const Args& args, CpuQueue& queue);
void scan(const Scan& op, const Args& args, CpuQueue& queue);
void sort(const Sort& op, const Args& args, CpuQueue& queue);
void softmax(const Softmax& op, const Args& args, CpuQueue& queue);        // softmax.cpp
void log_sum_exp(const LogSumExp& op, const Args& args, CpuQueue& queue);  // softmax.cpp

// Matrix products and fused operations.
void matmul_arrays(const hearth::Matmul& op, const Args& args, CpuQueue& queue);
void linear_arrays(const fast::Linear& op, const Args& args, CpuQueue& queue);
bool linear_fits(const Primitive& op, std::span<const array> in);  // odd gates are taken apart
void quantize(const fast::Quantize& op, const Args& args, CpuQueue& queue);
void dequantize_arrays(const fast::Dequantize& op, const Args& args, CpuQueue& queue);
RawMatrix raw_matrix(Packing packing, std::span<const array> planes, bool int8 = false);
bool rows_lie_whole(std::span<const array> planes);  // one after the other, as kernels read them
void layer_norm(const fast::LayerNorm& op, const Args& args, CpuQueue& queue);
void rms_norm(const fast::RMSNorm& op, const Args& args, CpuQueue& queue);
/// layer_norm if `centred`, else rms_norm, of the rows of x, to y, row-major.
void norm_rows(const array& x, const array* weight, const array* bias, bool centred, float eps,
               std::byte* y);  // norm.cpp
void rope(const fast::RoPE& op, const Args& args, CpuQueue& queue);
void scaled_dot_product_attention(const fast::Attention& op, const Args& args, CpuQueue& queue);
void cached_attention(const fast::CachedAttention& op, const Args& args, CpuQueue& queue);
void expert_linears(const fast::ExpertLinear& op, const Args& args, CpuQueue& queue);
bool expert_linears_fit(const Primitive& op, std::span<const array> in);
bool convolution_fits(const Primitive& p, std::span<const array> in);
void convolution(const Convolution& op, const Args& args, CpuQueue& queue);
bool convolution_weight_fits(const Primitive& p, std::span<const array> in);
void convolution_weight(const ConvolutionWeight& op, const Args& args, CpuQueue& queue);
void causal_conv(const fast::CausalConv& op, const Args& args, CpuQueue& queue);
void gated_delta(const fast::GatedDelta& op, const Args& args, CpuQueue& queue);
bool attention_fits(const Primitive& op, std::span<const array> in);  // f64 is decomposed

}  // namespace hearth::cpu
