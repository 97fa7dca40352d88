// Attention by running softmax: the scores are never all in memory.
#pragma once
#include "hearth/backend/cuda/cuda.h"

namespace hearth::cuda {

/// y = softmax(scale q k^T + mask) v, for heads that share keys and values in neighbours. All data
/// is on the device. Query i of batch row b sees keys [0, keys); with `causal` those up to
/// offset + i, the others count as masked: their score is the lowest number, so that a query which
/// sees none weighs all alike.
struct FlashJob {
  struct Heads {
    const void* data = nullptr;
    int64_t batch = 0, head = 0, position = 0, element = 1;  // strides in elements
  };
  Dtype dtype;
  int B, H, Hkv, L, D, Dv;  // L queries of D elements; Dv elements of a value, up to 512
  Heads q, k, v;
  Heads y;  // written
  float scale;
  int keys = 0;                    // how many there are, plus
  const int* more_keys = nullptr;  // these, (B), if given
  bool causal = false;
  int window = 0;     // with causal: keys that a query sees, its own among them; 0: all
  float softcap = 0;  // scores become softcap tanh(score / softcap); 0: they stay
  int offset = 0;     // plus
  const int* more_offset = nullptr;  // these, (B), if given
  Heads mask;  // (B, H, L, keys) if given: bool, false is masked, or of dtype, added to the scores
  Dtype mask_dtype = bool_;
  const void* sinks = nullptr;  // (H) if given: a logit that takes its share and has no value
  Dtype sinks_dtype = float32;
  int64_t sinks_stride = 1;
};
/// Halves by tensor cores for more than 8 queries of up to 256 elements; else a plain kernel.
void flash_attention(CudaQueue& queue, const FlashJob& job);

}  // namespace hearth::cuda
