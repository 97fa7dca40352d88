// How the weights of a matrix are packed: the table of packings, where a packed matrix's rows lie,
// and what each packing means.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "hearth/core/dtype.h"

namespace hearth {

enum class Packing : uint8_t {
#define PACKING(name, ...) name,
#include "hearth/ops/packings.inc"
};

struct PackingInfo {
  std::string_view name;
  int ggml_type;    // -1: not of GGUF files
  int64_t weights;  // of a block: rows are whole blocks
  int64_t bytes;    // of a block in the first plane
  int planes;
  bool wide_scales = false;  // floats, without biases
};
inline constexpr PackingInfo kPackingInfo[] = {
#define PACKING(name, ...) {#name, __VA_ARGS__},
#include "hearth/ops/packings.inc"
};
inline constexpr int kPackings = int(std::size(kPackingInfo));
inline constexpr int kMostPlanes = 3;

constexpr const PackingInfo& packing_info(Packing p) { return kPackingInfo[size_t(p)]; }
constexpr std::string_view to_string(Packing p) { return packing_info(p).name; }

/// The packing of a name ("q4_k", "affine_4_64"), of a type in a GGUF file (F32, F16, BF16 and F64
/// are dense), or of MLX's affine codes; none where there is no such.
std::optional<Packing> find_packing(std::string_view name);
std::optional<Packing> packing_of_ggml(int64_t type);
std::optional<Packing> affine_packing(int64_t bits, int64_t group);

/// A packing of codes for values, with floats as scales: "fp8" or "int8" in groups of 32, 64 or
/// 128, "fp4" in groups of 16.
std::optional<Packing> wide_packing(std::string_view codes, int64_t group);
/// The values of bytes that are e4m3 (NaN for 0x7f and 0xff) and e8m0, a power of two.
float of_e4m3(uint8_t code);
float of_e8m0(uint8_t code);

/// Bits of a code where these have a plane of their own.
constexpr int64_t code_bits(Packing p) {
  return packing_info(p).bytes * 8 / packing_info(p).weights;
}
/// Can a row have `in` weights?
constexpr bool packs(Packing p, int64_t in) { return in >= 0 && in % packing_info(p).weights == 0; }

/// One of a packed matrix's arrays, (out, row).
struct Plane {
  std::string_view name;  // as the array is called in MLX's files: "weight", "scales", "biases"
  std::optional<Dtype> dtype;  // none: f16, bf16 or f32
  int64_t row;                 // elements
};
Plane plane_of(Packing p, int plane, int64_t in);
/// Bytes of a row in the first plane.
constexpr int64_t row_bytes(Packing p, int64_t in) {
  return in / packing_info(p).weights * packing_info(p).bytes;
}

/// A weight as it lies in memory: its rows are side by side in each plane, at any byte.
struct RawMatrix {
  Packing packing = Packing::dense;
  std::array<const void*, kMostPlanes> planes{};
  Dtype scales = float32;  // of affine scales and biases
  bool int8 = false;       // few rows of x meet it in eight bits

  RawMatrix(const void* dense = nullptr) : planes{dense} {}
  RawMatrix(Packing p, std::array<const void*, kMostPlanes> at, Dtype of_scales = float32)
      : packing(p), planes(at), scales(of_scales) {}

  bool packed() const { return packing != Packing::dense; }
  /// A packed matrix without its first rows.
  RawMatrix from_row(int64_t first, int64_t in) const;
};

/// What packed weights mean: `count` rows of `in` floats, from row `first` on. Blocks of GGUF files
/// have the values of gguf's Python package, MLX's forms those of its dequantize, bit for bit:
/// scale * code and the sum with bias are each rounded to the scales' dtype.
void unpack_rows(const RawMatrix& m, int64_t in, int64_t first, int64_t count, float* out);

}  // namespace hearth
