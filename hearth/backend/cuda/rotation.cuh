// Rotary embedding inside attention: the angles of a position, and an element turned by its pair's.
#pragma once
#include "hearth/backend/cuda/device.cuh"

namespace hearth::cuda {

struct Rotation {
  int dims;  // that are rotated, the first of a row
  bool traditional;
  float scale;
  const float* freqs;  // (dims / 2), or null: rates
  const float* rates;  // (dims / 2)
  float amplitude = 1;

  /// Cosine and sine of pair i at `position`.
  __device__ float2 turn(int i, int position) const {
    const float rate = freqs ? 1.0f / freqs[i] : rates[i];
    float2 t;
    sincosf(float(position) * scale * rate, &t.y, &t.x);
    return {t.x * amplitude, t.y * amplitude};
  }
  /// Element d of a row, whose element i is row(i).
  template <class Row>
  __device__ float operator()(const Row& row, int d, const float2* turns) const {
    const float x = row(d);
    if (d >= dims) return x;
    const int half = dims / 2;
    const bool second = traditional ? d % 2 : d >= half;
    const int pair = traditional ? d / 2 : second ? d - half : d;
    const float other = row(traditional ? d ^ 1 : second ? pair : d + half);
    const float2 t = turns[pair];
    return second ? other * t.y + x * t.x : x * t.x - other * t.y;
  }
};

}  // namespace hearth::cuda
