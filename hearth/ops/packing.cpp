#include "hearth/ops/packing.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "hearth/ops/packing_values.h"

namespace hearth {
namespace {

/// Where a block begins in each plane.
struct Block {
  const uint8_t* codes;
  const uint8_t* scale;
  const uint8_t* bias;
};

template <class T>
T read(const uint8_t* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
float half(const uint8_t* p) { return float(read<float16_t>(p)); }
int low(uint8_t byte) { return byte & 15; }
int high(uint8_t byte) { return byte >> 4; }

float e2m1(int code) {
  return std::copysign(float(kFp4Twice[code & 7]) * 0.5f, code & 8 ? -1.0f : 1.0f);
}

/// Scale and offset of a group in a block of q4_k or q5_k: six bits each.
struct ScaleMin {
  float scale, min;
};
ScaleMin scale_min(const uint8_t* block, int group) {
  const uint8_t* const s = block + 4;
  const int scale = group < 4 ? s[group] & 63 : (s[group + 4] & 15) | s[group - 4] >> 6 << 4;
  const int min = group < 4 ? s[group + 4] & 63 : s[group + 4] >> 4 | s[group] >> 6 << 4;
  return {half(block) * float(scale), half(block + 2) * float(min)};
}

// In the blocks of 32, byte j holds the elements j and j + 16.
void q4_0(const uint8_t* b, float* w) {
  for (int j = 0; j < 16; ++j) {
    w[j] = half(b) * float(low(b[2 + j]) - 8);
    w[j + 16] = half(b) * float(high(b[2 + j]) - 8);
  }
}
void q4_1(const uint8_t* b, float* w) {
  for (int j = 0; j < 16; ++j) {
    w[j] = half(b) * float(low(b[4 + j])) + half(b + 2);
    w[j + 16] = half(b) * float(high(b[4 + j])) + half(b + 2);
  }
}
/// Element i of a block of five bits; their highest lie apart.
int code5(const uint8_t* highest, const uint8_t* q, int i) {
  return (i < 16 ? low(q[i]) : high(q[i - 16])) | (highest[i / 8] >> i % 8 & 1) << 4;
}
void q5_0(const uint8_t* b, float* w) {
  for (int i = 0; i < 32; ++i) w[i] = half(b) * float(code5(b + 2, b + 6, i) - 16);
}
void q5_1(const uint8_t* b, float* w) {
  for (int i = 0; i < 32; ++i) w[i] = half(b) * float(code5(b + 4, b + 8, i)) + half(b + 2);
}
void q8_0(const uint8_t* b, float* w) {
  for (int i = 0; i < 32; ++i) w[i] = half(b) * float(int8_t(b[2 + i]));
}
/// Element i of 256 in two bits: 32 bytes hold 128 elements, those of 32 in the same bits.
int code2(const uint8_t* q, int i) { return q[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3; }
void q2_k(const uint8_t* b, float* w) {
  const float d = half(b + 80), min = half(b + 82);
  for (int i = 0; i < 256; ++i) {
    const uint8_t scale = b[i / 16];
    w[i] = d * float(low(scale)) * float(code2(b + 16, i)) - min * float(high(scale));
  }
}
void q3_k(const uint8_t* b, float* w) {
  const uint8_t* const s = b + 96;
  for (int i = 0; i < 256; ++i) {
    const int g = i / 16, code = code2(b + 32, i) - (b[i % 32] >> i / 32 & 1 ? 0 : 4);
    const int scale = (g < 8 ? low(s[g]) : high(s[g - 8])) | (s[8 + g % 4] >> g / 4 * 2 & 3) << 4;
    w[i] = half(b + 108) * float(scale - 32) * float(code);
  }
}
void q4_k(const uint8_t* b, float* w) {
  for (int g = 0; g < 8; ++g) {
    const ScaleMin s = scale_min(b, g);
    const uint8_t* const q = b + 16 + g / 2 * 32;
    for (int i = 0; i < 32; ++i)
      w[g * 32 + i] = s.scale * float(g % 2 ? high(q[i]) : low(q[i])) - s.min;
  }
}
void q5_k(const uint8_t* b, float* w) {
  for (int g = 0; g < 8; ++g) {
    const ScaleMin s = scale_min(b, g);
    const uint8_t* const q = b + 48 + g / 2 * 32;
    for (int i = 0; i < 32; ++i) {
      const int code = (g % 2 ? high(q[i]) : low(q[i])) | (b[16 + i] >> g & 1) << 4;
      w[g * 32 + i] = s.scale * float(code) - s.min;
    }
  }
}
void q6_k(const uint8_t* b, float* w) {
  for (int i = 0; i < 256; ++i) {
    const uint8_t q = b[i / 128 * 64 + i % 64];
    const int top = b[128 + i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
    const int code = (i % 128 < 64 ? low(q) : high(q)) | top << 4;
    w[i] = half(b + 208) * float(int8_t(b[192 + i / 16])) * float(code - 32);
  }
}
void iq4_nl(const uint8_t* b, float* w) {
  for (int j = 0; j < 16; ++j) {
    w[j] = half(b) * float(kIq4[low(b[2 + j])]);
    w[j + 16] = half(b) * float(kIq4[high(b[2 + j])]);
  }
}
void iq4_xs(const uint8_t* b, float* w) {
  for (int g = 0; g < 8; ++g) {
    const int lower = b[4 + g / 2] >> g % 2 * 4 & 15, upper = read<uint16_t>(b + 2) >> g * 2 & 3;
    const float scale = half(b) * float((lower | upper << 4) - 32);
    const uint8_t* const q = b + 8 + g * 16;
    for (int j = 0; j < 16; ++j) {
      w[g * 32 + j] = scale * float(kIq4[low(q[j])]);
      w[g * 32 + j + 16] = scale * float(kIq4[high(q[j])]);
    }
  }
}
/// Five digits to the base of 3 in a byte, as a fraction of 256: the highest comes first.
void tq1_0(const uint8_t* b, float* w) {
  const auto digits = [&](int first, int bytes, int count) {
    for (int digit = 0, power = 1; digit < count; ++digit, power *= 3)
      for (int j = 0; j < bytes; ++j)
        *w++ = half(b + 52) * float((uint8_t(b[first + j] * power) * 3 >> 8) - 1);
  };
  digits(0, 32, 5), digits(32, 16, 5), digits(48, 4, 4);
}
void tq2_0(const uint8_t* b, float* w) {
  for (int i = 0; i < 256; ++i) w[i] = half(b + 64) * float(code2(b, i) - 1);
}
void ggml_mxfp4(const uint8_t* b, float* w) {
  const float scale = std::bit_cast<float>(b[0] < 2 ? 0x00200000u << b[0]  // 2^(e - 128)
                                                    : uint32_t(b[0] - 1) << 23);
  for (int j = 0; j < 16; ++j) {
    w[j] = scale * float(kFp4Twice[low(b[1 + j])]);
    w[j + 16] = scale * float(kFp4Twice[high(b[1 + j])]);
  }
}
void ggml_nvfp4(const uint8_t* b, float* w) {
  for (int i = 0; i < 64; ++i) {
    const uint8_t s = b[i / 16], q = b[4 + i / 16 * 8 + i % 8];
    // Without a sign; 0x7f is 0, and 0xff is 480.
    const float scale = s == 0x7f ? 0 : std::bit_cast<float>(uint32_t(s & 0x7f) << 20) * 0x1p119f;
    w[i] = scale * float(kFp4Twice[i % 16 < 8 ? low(q) : high(q)]);
  }
}

/// Code i of a string of bits.
int code_at(const uint8_t* codes, int64_t bits, int64_t i) {
  const int64_t at = i * bits, shift = at % 8;
  int code = codes[at / 8] >> shift;
  if (shift + bits > 8) code |= codes[at / 8 + 1] << (8 - shift);
  return code & ((1 << bits) - 1);
}

template <class T>
void affine(Packing p, const Block& b, float* w) {
  const float scale = float(read<T>(b.scale)), bias = float(read<T>(b.bias));
  for (int64_t i = 0; i < packing_info(p).weights; ++i) {
    const float code = float(code_at(b.codes, code_bits(p), i));
    w[i] = float(T(float(T(scale * code)) + bias));
  }
}

void valued(Packing p, float scale, const uint8_t* codes, float* w) {
  const bool integers = to_string(p).starts_with("int8");
  for (int64_t i = 0; i < packing_info(p).weights; ++i) {
    const int code = code_at(codes, code_bits(p), i);
    w[i] = scale * (integers            ? float(int8_t(code))
                    : code_bits(p) == 8 ? of_e4m3(uint8_t(code))
                                        : e2m1(code));
  }
}

void unpack_block(Packing p, Dtype scales, const Block& b, float* w) {
  switch (p) {
    case Packing::q4_0: return q4_0(b.codes, w);
    case Packing::q4_1: return q4_1(b.codes, w);
    case Packing::q5_0: return q5_0(b.codes, w);
    case Packing::q5_1: return q5_1(b.codes, w);
    case Packing::q8_0: return q8_0(b.codes, w);
    case Packing::q2_k: return q2_k(b.codes, w);
    case Packing::q3_k: return q3_k(b.codes, w);
    case Packing::q4_k: return q4_k(b.codes, w);
    case Packing::q5_k: return q5_k(b.codes, w);
    case Packing::q6_k: return q6_k(b.codes, w);
    case Packing::iq4_nl: return iq4_nl(b.codes, w);
    case Packing::iq4_xs: return iq4_xs(b.codes, w);
    case Packing::tq1_0: return tq1_0(b.codes, w);
    case Packing::tq2_0: return tq2_0(b.codes, w);
    case Packing::ggml_mxfp4: return ggml_mxfp4(b.codes, w);
    case Packing::ggml_nvfp4: return ggml_nvfp4(b.codes, w);
    default: break;
  }
  const PackingInfo& info = packing_info(p);
  if (info.planes == 2 && !info.wide_scales)
    return valued(p, p == Packing::nvfp4 ? of_e4m3(*b.scale) : of_e8m0(*b.scale), b.codes, w);
  visit(Types<float16_t, bfloat16_t, float>{}, scales, "dequantize", [&]<class T>() {
    if (info.wide_scales)
      valued(p, float(read<T>(b.scale)), b.codes, w);
    else
      affine<T>(p, b, w);
  });
}

}  // namespace

float of_e8m0(uint8_t e) {
  return std::bit_cast<float>(e == 0 ? 0x00400000u : uint32_t(e) << 23);  // 255: infinity
}
float of_e4m3(uint8_t code) {
  const float magnitude =
      (code & 0x7f) == 0x7f ? NAN : std::bit_cast<float>(uint32_t(code & 0x7f) << 20) * 0x1p120f;
  return std::copysign(magnitude, code & 0x80 ? -1.0f : 1.0f);
}

std::optional<Packing> find_packing(std::string_view name) {
  for (int p = 0; p < kPackings; ++p)
    if (kPackingInfo[p].name == name) return Packing(p);
  return std::nullopt;
}

std::optional<Packing> packing_of_ggml(int64_t type) {
  for (const int dense : {0, 1, 28, 30})  // F32, F16, F64, BF16
    if (type == dense) return Packing::dense;
  for (int p = 0; p < kPackings; ++p)
    if (kPackingInfo[p].ggml_type == type && type >= 0) return Packing(p);
  return std::nullopt;
}

std::optional<Packing> affine_packing(int64_t bits, int64_t group) {
  for (int p = 0; p < kPackings; ++p)
    if (kPackingInfo[p].planes == 3 && kPackingInfo[p].weights == group &&
        code_bits(Packing(p)) == bits)
      return Packing(p);
  return std::nullopt;
}

std::optional<Packing> wide_packing(std::string_view codes, int64_t group) {
  for (int p = 0; p < kPackings; ++p)
    if (kPackingInfo[p].wide_scales && kPackingInfo[p].weights == group &&
        kPackingInfo[p].name.substr(0, kPackingInfo[p].name.find('_')) == codes)
      return Packing(p);
  return std::nullopt;
}

Plane plane_of(Packing p, int plane, int64_t in) {
  const PackingInfo& info = packing_info(p);
  if (p == Packing::dense) return {"weight", std::nullopt, in};
  if (plane == 0 && info.planes == 1) return {"weight", uint8, row_bytes(p, in)};
  if (plane == 0) return {"weight", uint32, row_bytes(p, in) / 4};
  const bool bytes = info.planes == 2 && !info.wide_scales;
  return {plane == 1 ? "scales" : "biases", bytes ? std::optional(uint8) : std::nullopt,
          in / info.weights};
}

RawMatrix RawMatrix::from_row(int64_t first, int64_t in) const {
  RawMatrix out = *this;
  for (int i = 0; i < packing_info(packing).planes; ++i) {
    const Plane plane = plane_of(packing, i, in);
    out.planes[size_t(i)] = static_cast<const std::byte*>(planes[size_t(i)]) +
                            first * plane.row * int64_t(size_of(plane.dtype.value_or(scales)));
  }
  return out;
}

void unpack_rows(const RawMatrix& m, int64_t in, int64_t first, int64_t count, float* out) {
  const PackingInfo& info = packing_info(m.packing);
  check(m.packed() && packs(m.packing, in), "dequantize: rows of ", in, " weights are not ",
        m.packed() ? "whole blocks of " : "packed: they are ", info.name);
  const RawMatrix rows = m.from_row(first, in);
  const auto plane = [&](size_t i) { return static_cast<const uint8_t*>(rows.planes[i]); };
  Block b{plane(0), plane(1), plane(2)};
  const size_t scale_bytes =
      info.planes < 2 ? 0 : size_of(plane_of(m.packing, 1, in).dtype.value_or(m.scales));
  for (int64_t left = count * in; left > 0; left -= info.weights, out += info.weights) {
    unpack_block(m.packing, m.scales, b, out);
    b.codes += info.bytes;
    if (info.planes > 1) b.scale += scale_bytes;
    if (info.planes > 2) b.bias += scale_bytes;
  }
}

}  // namespace hearth
