#include "hearth/ops/state_packing.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/matrix.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/reduce.h"

namespace hearth {
namespace {

constexpr int kBlock = 32;
constexpr std::pair<std::string_view, Packing> kStates[] = {{"q8", Packing::q8_0},
                                                            {"q4", Packing::q4_0}};

/// Of a block: what its largest element becomes.
constexpr float kMost8 = 127, kMost4 = -8;

/// The scale of a block by its element of largest magnitude, as it is stored.
float16_t scale_of(const float* x, float most, bool with_sign) {
  float low = 0, high = 0;
  bool finite = true;
  for (int i = 0; i < kBlock; ++i) {
    low = std::min(low, x[i]), high = std::max(high, x[i]);
    finite = finite && std::isfinite(x[i]);
  }
  const float largest = high >= -low ? high : low;
  return float16_t(finite ? (with_sign ? largest : std::abs(largest)) / most : NAN);
}
/// x / scale, rounded; 0 where there is no scale to divide by.
int code_of(float x, float scale, int low, int high) {
  if (scale == 0 || !std::isfinite(scale)) return 0;
  return int(std::clamp(std::nearbyint(x / scale), float(low), float(high)));
}

void pack_block(Packing p, const float* x, uint8_t* out) {
  const bool eight = p == Packing::q8_0;
  const float16_t scale = eight ? scale_of(x, kMost8, false) : scale_of(x, kMost4, true);
  std::memcpy(out, &scale.bits, 2);
  out += 2;
  const float s = float(scale);
  for (int i = 0; i < (eight ? kBlock : kBlock / 2); ++i)
    out[i] = eight ? uint8_t(int8_t(code_of(x[i], s, -127, 127)))
                   : uint8_t((code_of(x[i], s, -8, 7) + 8) |
                             (code_of(x[i + kBlock / 2], s, -8, 7) + 8) << 4);
}

const float kShare = 0.17677669529663687f;  // 1 / sqrt(32): then it is its own inverse

/// The same of arrays (..., 32).
array turned(const array& blocks) {
  array x = blocks;
  const Shape shape = x.shape();
  for (int half = 1; half < kBlock; half *= 2) {
    Shape pairs(shape.begin(), shape.end() - 1);
    pairs.push_back(kBlock / (2 * half)), pairs.push_back(2), pairs.push_back(half);
    const Arrays two = split(reshape(x, pairs), 2, -2);
    x = reshape(concatenate({add(two[0], two[1]), subtract(two[0], two[1])}, -2), shape);
  }
  return multiply(x, array(kShare));
}

}  // namespace

void turn_state(float* x, int64_t count) {
  for (float* const end = x + count; x < end; x += kBlock) {
    for (int half = 1; half < kBlock; half *= 2)
      for (int i = 0; i < kBlock; i += 2 * half)
        for (int j = i; j < i + half; ++j) {
          const float a = x[j], b = x[j + half];
          x[j] = a + b, x[j + half] = a - b;
        }
    for (int i = 0; i < kBlock; ++i) x[i] *= kShare;
  }
}

std::optional<Packing> state_packing(std::string_view name) {
  for (const auto& [text, packing] : kStates)
    if (text == name) return packing;
  return {};
}
std::string_view state_name(Packing p) {
  for (const auto& [text, packing] : kStates)
    if (packing == p) return text;
  return "";
}

void pack_state(Packing p, const float* x, int64_t dims, uint8_t* out) {
  for (int64_t i = 0; i < dims; i += kBlock, out += packing_info(p).bytes) {
    float block[kBlock] = {};
    std::copy(x + i, x + std::min(i + kBlock, dims), block);
    turn_state(block, kBlock);
    pack_block(p, block, out);
  }
}

array packed_state(Packing p, const array& x) {
  const int dims = x.shape(-1), all = int(state_elements(dims));
  array wide = astype(x, float32);
  if (all > dims) {
    Shape more = wide.shape();
    more.back() = all - dims;
    wide = concatenate({wide, zeros(more)}, -1);
  }
  Shape blocks = wide.shape();
  blocks.back() = all / kBlock, blocks.push_back(kBlock);
  wide = turned(reshape(wide, blocks));
  const bool eight = p == Packing::q8_0;
  const array high = max(wide, -1, true), low = min(wide, -1, true);
  const array largest =
      eight ? maximum(high, negative(low)) : where(greater_equal(high, negative(low)), high, low);
  const array every = sum(multiply(wide, array(0.0f)), -1, true);  // NaN where one is not finite
  const array scale = astype(add(divide(largest, array(eight ? kMost8 : kMost4)), every), float16);
  const array s = astype(scale, float32);
  const array divides = logical_and(not_equal(s, array(0.0f)), isfinite(s));
  const array codes =
      where(divides, round(divide(wide, where(divides, s, array(1.0f)))), array(0.0f));
  const array limited = clip(codes, array(eight ? -127.0f : -8.0f), array(eight ? 127.0f : 7.0f));
  array bytes = view(astype(limited, int8), uint8);
  if (!eight) {
    bytes = astype(add(limited, array(8.0f)), uint8);
    Shape from(size_t(bytes.ndim()), 0), half = bytes.shape(), middle = from;
    half.back() = middle.back() = kBlock / 2;
    bytes = bitwise_or(slice(bytes, from, half),
                       left_shift(slice(bytes, middle, bytes.shape()), array(uint8_t{4})));
  }
  const array whole = concatenate({view(contiguous(scale), uint8), bytes}, -1);
  Shape rows = x.shape();
  rows.back() = int(state_row(p, dims));
  return reshape(whole, rows);
}

array unpacked_state(Packing p, const array& rows, int dims) {
  const array planes[] = {rows};
  const array all = fast::dequantize(fast::Matrix(p, planes), float32);
  Shape blocks = all.shape();
  blocks.back() /= kBlock, blocks.push_back(kBlock);
  Shape from(size_t(all.ndim()), 0), to = all.shape();
  to.back() = dims;
  return slice(reshape(turned(reshape(all, blocks)), all.shape()), from, to);
}

}  // namespace hearth
