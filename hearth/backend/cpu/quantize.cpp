// Weights to packed forms. MLX's have its codes, scales and biases to the bit: affine ones are
// computed in float32, floating codes in the dtype of the weights, as MLX does. Blocks of GGUF
// files are made of float32 by blocks.cpp.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "hearth/backend/cpu/blocks.h"
#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/cpu/rows.h"
#include "hearth/backend/pool.h"

namespace hearth::cpu {
namespace {

/// e4m3 without infinities: to the nearest, ties to even, at most 448.
uint8_t to_e4m3(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), sign = bits >> 24 & 0x80;
  const uint32_t size = bits & 0x7fffffff;
  if (size >= std::bit_cast<uint32_t>(448.0f)) return uint8_t(sign | 0x7e);
  if (size < std::bit_cast<uint32_t>(0x1p-6f)) {  // steps of 2^-9: the last bits of 2^14 + x
    const float shifted = std::bit_cast<float>(size) + 0x1p14f;
    return uint8_t(sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0x1p14f)));
  }
  const uint32_t odd = size >> 20 & 1;
  return uint8_t(sign | ((size - (120u << 23) + 0x7ffff + odd) >> 20));
}
float of_e4m3(uint8_t code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  const float size =
      exponent ? std::ldexp(float(8 + mantissa), exponent - 10) : std::ldexp(float(mantissa), -9);
  return code & 0x80 ? -size : size;
}

constexpr float kE2m1[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};

/// Rows of groups, each with codes, a scale and perhaps a bias.
struct Groups {
  int64_t size;  // weights of one
  int bits;
  uint32_t* codes;  // of the row, cleared
  std::byte *scales, *biases;

  void put(int64_t at, uint32_t code) const {
    const int64_t bit = at * bits;
    codes[bit / 32] |= code << bit % 32;
    if (bit % 32 + bits > 32) codes[bit / 32 + 1] |= code >> (32 - bit % 32);
  }
};

template <class T>
void affine_group(const Groups& g, const T* w, int64_t group) {
  const T* const x = w + group * g.size;
  float low = std::numeric_limits<float>::infinity(), high = -low;
  for (int64_t i = 0; i < g.size; ++i) {
    high = std::max(high, float(x[i]));
    low = std::min(low, float(x[i]));
  }
  const float most = float((1 << g.bits) - 1);
  const bool from_low = std::abs(low) > std::abs(high);
  float scale = std::max((high - low) / most, 1e-7f);
  scale = from_low ? scale : -scale;
  const float edge = from_low ? low : high, q0 = std::rint(edge / scale);
  float bias = 0;
  if (q0 != 0) scale = edge / q0, bias = edge;
  for (int64_t i = 0; i < g.size; ++i) {
    const float q = std::rint((float(x[i]) - bias) / scale);
    g.put(group * g.size + i, uint32_t(std::min(std::max(0.0f, q), most)));  // NaN: 0
  }
  const T s(scale), b(bias);
  std::memcpy(g.scales + group * int64_t(sizeof s), &s, sizeof s);
  std::memcpy(g.biases + group * int64_t(sizeof b), &b, sizeof b);
}

template <class T>
void floating_group(const Groups& g, bool e4m3_scale, const T* w, int64_t group) {
  const auto rounded = [](float v) { return float(T(v)); };
  const T* const x = w + group * g.size;
  float largest = 0;
  for (int64_t i = 0; i < g.size; ++i) largest = std::max(largest, std::abs(float(x[i])));
  float scale = rounded(largest / (g.bits == 4 ? 6.0f : 448.0f));
  uint8_t code;
  if (e4m3_scale) {
    code = to_e4m3(scale);
    scale = rounded(of_e4m3(code));
  } else {
    const float log = scale == 0 ? 0 : std::ceil(rounded(std::log2(scale)));
    const float power = std::clamp(log, -256.0f, 256.0f);
    code = uint8_t(int(power) + 127);
    scale = rounded(std::ldexp(1.0f, int(power)));
  }
  std::memcpy(g.scales + group, &code, 1);
  for (int64_t i = 0; i < g.size; ++i) {
    const float v = rounded(float(x[i]) / scale);
    uint32_t q = g.bits == 8 ? to_e4m3(v) : 0;
    if (g.bits == 4)  // the first of the nearest
      for (uint32_t k = 1; k < 16; ++k)
        if (std::abs(rounded(v - kE2m1[k])) < std::abs(rounded(v - kE2m1[q]))) q = k;
    g.put(group * g.size + i, q);
  }
}

void to_blocks(Packing packing, const Args& args) {
  const array& w = args.in[0];
  const Rows rows = rows_of(w);
  const int64_t in = w.shape(-1), item = int64_t(w.itemsize()), bytes = args.out[0].shape(-1);
  std::optional<Rows> importance;
  if (args.in.size() > 1) importance = rows_of(args.in[1]);
  const int64_t of_one = importance ? rows.count / std::max<int64_t>(1, importance->count) : 1;
  visit(Types<float16_t, bfloat16_t, float>{}, w.dtype(), "quantize", [&]<class T>() {
    parallel_for(rows.count, [&](int64_t row) {
      thread_local Scratch scratch;
      float* const values = scratch.get<float>(size_t(in));
      const std::byte* const from = rows.data + row * rows.stride * item;
      for (int64_t i = 0; i < in; ++i) {
        T x;
        std::memcpy(&x, from + i * item, sizeof x);
        values[i] = float(x);
      }
      const float* const weights = importance ? reinterpret_cast<const float*>(importance->data) +
                                                    row / of_one * importance->stride
                                              : nullptr;
      pack_row(packing, values, weights, in, ptr<uint8_t>(args.out[0]) + row * bytes);
    });
  });
}

}  // namespace

void quantize(const fast::Quantize& op, const Args& args, CpuQueue&) {
  const array& w = args.in[0];
  const Rows rows = rows_of(w);
  const PackingInfo& info = packing_info(op.packing);
  const int64_t in = w.shape(-1), groups = in / info.weights, item = int64_t(w.itemsize());
  const bool affine = info.planes == 3;
  const int64_t words = args.out[0].shape(-1), scale_size = affine ? item : 1;
  if (w.size() == 0) return;
  if (info.planes == 1) return to_blocks(op.packing, args);
  visit(Types<float16_t, bfloat16_t, float>{}, w.dtype(), "quantize", [&]<class T>() {
    parallel_for(rows.count, [&](int64_t row) {
      std::vector<T> values(static_cast<size_t>(in));
      std::memcpy(values.data(), rows.data + row * rows.stride * item, size_t(in * item));
      Groups g{.size = info.weights,
               .bits = int(code_bits(op.packing)),
               .codes = ptr<uint32_t>(args.out[0]) + row * words,
               .scales = ptr<std::byte>(args.out[1]) + row * groups * scale_size,
               .biases = nullptr};
      if (affine) g.biases = ptr<std::byte>(args.out[2]) + row * groups * scale_size;
      std::fill_n(g.codes, words, 0u);
      for (int64_t group = 0; group < groups; ++group)
        if (affine)
          affine_group(g, values.data(), group);
        else
          floating_group(g, op.packing == Packing::nvfp4, values.data(), group);
    });
  });
}

}  // namespace hearth::cpu
