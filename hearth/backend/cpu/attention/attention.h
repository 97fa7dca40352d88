// Attention on raw memory: few queries stream the keys and values once; many go by blocks, with
// running softmax, so that scores are never all in memory. Results have the same bits for any
// number of threads.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "hearth/ops/primitives_fast.h"

namespace hearth::cpu {

enum class Along : uint8_t { heads, positions };

/// Where the rows of a 4-axis array start: (batch, head, position). The last axis is contiguous.
struct Heads {
  std::byte* data = nullptr;
  int64_t batch = 0, head = 0, position = 0;  // bytes
  std::byte* at(int64_t b, int64_t h, int64_t l) const {
    return data + b * batch + h * head + l * position;
  }
  int64_t step(Along along) const { return along == Along::heads ? head : position; }
};

/// cos and sin for `length` positions of each batch row: (B, length, 2, dims / 2).
class Angles {
 public:
  /// `freqs` may be empty, one for all rows, or one for each; offsets has one entry or one a row.
  Angles(const fast::Rotation& rotation, std::span<const float> freqs,
         std::span<const int64_t> offsets, int64_t length);
  int half() const { return half_; }
  const float* at(int64_t b, int64_t l) const {
    return values_.data() + ((one_ ? 0 : b) * length_ + l) * 2 * half_;
  }

 private:
  int half_;
  bool one_;
  int64_t length_;
  std::vector<float> values_;
};

/// Rows of D elements: to f32, rotated if there are angles, times scale, and to y as f32 or as
/// dtype. Strides in bytes; in `angles` in floats.
struct RotateRows {
  Dtype dtype;
  int64_t count, D;
  const std::byte* x;
  int64_t x_stride;
  std::byte* y;
  int64_t y_stride;
  bool wide_y;  // y is f32
  float scale = 1;
  const float* angles = nullptr;  // cos (half), sin (half)
  int64_t angles_stride = 0;
  int half = 0;
  bool traditional = false, inverse = false;

  /// Turns the rows, which lie along heads or positions, by the angles of batch row b from l on.
  void turn(const Angles& by, int64_t b, int64_t l, Along along, bool traditional) {
    angles = by.at(b, l);
    angles_stride = along == Along::heads ? 0 : 2 * by.half();
    half = by.half();
    this->traditional = traditional;
  }
};
void rotate_rows(const RotateRows& job);

struct AttentionJob {
  Dtype dtype;  // f16, bf16 or f32
  int64_t B, H, Hkv, L, D, Dv;
  Heads q, k, v, y;
  float scale;
  const int64_t* keys;    // (B): how many keys row b has
  bool causal;            // the last query sees all of them, the one before all but one...
  int64_t window = 0;     // of these only the last; 0: all
  int64_t ring = 0;       // key j lies in row j % ring; 0: in row j
  float softcap = 0;      // 0: none
  bool by_steps = false;  // up to kSteps queries give the bits of one at a time
  const Angles* angles = nullptr;
  int64_t steps_of = -1;  // if not -1: batch row b is position b of this row, as `angles` has it
  bool traditional = false;
  const std::byte* mask = nullptr;  // (B, H, L, S), strides in bytes
  int64_t mask_strides[4] = {};
  Dtype mask_dtype = bool_;
  const float* sinks = nullptr;    // (H)
  Packing state = Packing::dense;  // else k and v are rows of that packing, of D elements each,
  int64_t values_at = 0;           // of which values are those from here on

  /// Query l of batch row b sees keys from hidden() to before visible().
  int64_t visible(int64_t b, int64_t l) const { return causal ? keys[b] - L + l + 1 : keys[b]; }
  int64_t hidden(int64_t b, int64_t l) const {
    return window > 0 ? std::max<int64_t>(0, visible(b, l) - window) : 0;
  }
  int64_t row(int64_t key) const { return ring > 0 ? key % ring : key; }
  /// How many of n keys from `key` on lie one after the other.
  int64_t run(int64_t key, int64_t n) const {
    return ring > 0 ? std::min(n, ring - key % ring) : n;
  }
};
inline constexpr int64_t kSteps = 32;  // as many rows as products take one by one
void attend(const AttentionJob& job);

namespace kernels {

/// Softmax and weighted values of R queries over n keys: y's share, before the division.
struct FewQueries {
  Dtype dtype;
  int64_t rows, n, D, Dv;
  const float* q;  // (rows, D), scaled
  const std::byte* k;
  int64_t k_stride;
  const std::byte* v;
  int64_t v_stride;
  const int64_t* hidden;   // (rows): keys before count as masked
  const int64_t* visible;  // (rows): keys from here on too
  float softcap;           // of scores; 0: none
  const float* bias;       // (rows, n) added to the scores, or null
  float *max, *sum, *out;  // (rows), (rows), (rows, Dv)
};
inline constexpr int64_t kMaxKeys = 512;  // n of FewQueries
void few_queries(const FewQueries& job);

/// One step of the running softmax on a block of scores that lies (n, width), a query a column:
/// scores become weights, max and sum (width) move on, out (Dv, width) is rescaled.
struct SoftmaxBlock {
  int64_t n, width, Dv;
  float* scores;
  const int32_t* hidden;   // (width): keys before are masked; or null: none
  const int32_t* visible;  // (width): keys from here on; or null: none
  float *max, *sum, *out;
};
void softmax_block(const SoftmaxBlock& job);

/// n scores become cap tanh(score / cap); what follows up to a whole vector is written too.
void soften(int64_t n, float cap, float* scores);

/// count rows of n elements of dtype to f32, without gaps.
void widen_rows(Dtype dtype, int64_t count, int64_t n, const std::byte* x, int64_t stride,
                float* y);
/// n floats times factor, as dtype.
void narrow_row(Dtype dtype, int64_t n, const float* x, float factor, std::byte* y);

}  // namespace kernels
}  // namespace hearth::cpu
