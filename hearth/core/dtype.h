// The list of element types, and the one place where a runtime dtype becomes a C++ type.
#pragma once
#include <bit>
#include <complex>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>

#include "hearth/base/error.h"

namespace hearth {

// Half types are storage: two conversions, no arithmetic. Kernels widen to float, compute, narrow.
struct float16_t {
  uint16_t bits;
  float16_t() = default;
  template <std::integral T>
  constexpr float16_t(T n) : float16_t(float(n)) {}
  explicit constexpr float16_t(float f) : bits(narrow(f)) {}
  explicit constexpr operator float() const {
    uint32_t sign = uint32_t(bits & 0x8000u) << 16, em = bits & 0x7fffu;
    if (em >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (em & 0x3ffu) << 13);
    // 2^112 moves the half's exponent to the float's; denormals come out right by the multiply.
    float magnitude = std::bit_cast<float>(em << 13) * 0x1p112f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
  }

 private:
  static constexpr uint16_t narrow(float f) {  // round to nearest, ties to even
    uint32_t u = std::bit_cast<uint32_t>(f), sign = u >> 16 & 0x8000u, mag = u & 0x7fffffffu;
    if (mag > 0x7f800000u) return uint16_t(sign | 0x7e00u);   // NaN
    if (mag >= 0x477ff000u) return uint16_t(sign | 0x7c00u);  // rounds to infinity
    if (mag < 0x38800000u) {  // half's denormals: adding 0.5 lines the bits up and rounds them
      float shifted = std::bit_cast<float>(mag) + 0.5f;
      return uint16_t(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
    }
    mag += 0xc8000fffu + (mag >> 13 & 1);
    return uint16_t(sign | mag >> 13);
  }
};

struct bfloat16_t {
  uint16_t bits;
  bfloat16_t() = default;
  template <std::integral T>
  constexpr bfloat16_t(T n) : bfloat16_t(float(n)) {}
  explicit constexpr bfloat16_t(float f) : bits(narrow(f)) {}
  explicit constexpr operator float() const { return std::bit_cast<float>(uint32_t(bits) << 16); }

 private:
  static constexpr uint16_t narrow(float f) {  // round to nearest, ties to even
    uint32_t u = std::bit_cast<uint32_t>(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return uint16_t(u >> 16 | 0x40u);  // a quiet NaN
    return uint16_t((u + 0x7fffu + (u >> 16 & 1)) >> 16);
  }
};

using complex64_t = std::complex<float>;

// X(name, C++ type, kind, short name): b bool, u unsigned, i signed, f float, c complex.
// clang-format off
#define HEARTH_DTYPES(X)                                                                   \
  X(bool_, bool, b, "bool") X(uint8, uint8_t, u, "u8") X(uint16, uint16_t, u, "u16")        \
  X(uint32, uint32_t, u, "u32") X(uint64, uint64_t, u, "u64") X(int8, int8_t, i, "i8")      \
  X(int16, int16_t, i, "i16") X(int32, int32_t, i, "i32") X(int64, int64_t, i, "i64")       \
  X(float16, float16_t, f, "f16") X(float32, float, f, "f32") X(float64, double, f, "f64")  \
  X(bfloat16, bfloat16_t, f, "bf16") X(complex64, complex64_t, c, "c64")
// clang-format on

enum class Dtype : uint8_t {
#define X(name, type, kind, text) name,
  HEARTH_DTYPES(X)
#undef X
};
enum class Kind : uint8_t { b, u, i, f, c };

#define X(name, type, kind, text) inline constexpr Dtype name = Dtype::name;
HEARTH_DTYPES(X)
#undef X

#define X(name, type, kind, text) +1
inline constexpr int kDtypes = HEARTH_DTYPES(X);
#undef X

template <class T>
inline constexpr Dtype dtype_of = Dtype(-1);
#define X(name, type, kind, text) \
  template <>                     \
  inline constexpr Dtype dtype_of<type> = Dtype::name;
HEARTH_DTYPES(X)
#undef X

template <class T>
concept Element = size_t(dtype_of<T>)
< size_t(kDtypes);

struct DtypeInfo {
  std::string_view name;        // "float32", "bool": as in MLX and NumPy
  std::string_view short_name;  // "f32": as in names of model files and in options
  Kind kind;
  size_t size;  // bytes
};
inline constexpr DtypeInfo kDtypeInfo[] = {
// The constant is bool_ only because bool is C++'s.
#define X(name, type, kind, text) \
  {Dtype::name == Dtype::bool_ ? "bool" : #name, text, Kind::kind, sizeof(type)},
    HEARTH_DTYPES(X)
#undef X
};

constexpr std::string_view to_string(Dtype d) { return kDtypeInfo[size_t(d)].name; }
constexpr std::string_view short_name(Dtype d) { return kDtypeInfo[size_t(d)].short_name; }
std::ostream& operator<<(std::ostream& out, Dtype d);  // "float32"
constexpr size_t size_of(Dtype d) { return kDtypeInfo[size_t(d)].size; }
constexpr Kind kind_of(Dtype d) { return kDtypeInfo[size_t(d)].kind; }
constexpr bool is_floating(Dtype d) { return kind_of(d) == Kind::f; }
constexpr bool is_complex(Dtype d) { return kind_of(d) == Kind::c; }
constexpr bool is_inexact(Dtype d) { return is_floating(d) || is_complex(d); }
constexpr bool is_integer(Dtype d) { return kind_of(d) == Kind::u || kind_of(d) == Kind::i; }

/// The dtype that holds both, by MLX's table: u64 with a signed integer is f32, f16 with bf16 is
/// f32.
Dtype promote_types(Dtype a, Dtype b);

template <class T>
inline constexpr bool is_half = std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>;

/// A float as an integer, everywhere in hearth: towards zero; NaN is 0. What does not fit saturates
/// at 32 bits for i8, i16 and i32, at 64 bits for all others, and then wraps: 300 is 44 as u8, -1
/// is 255, 3e9 is 2147483647 as i32 and 3000000000 as u32.
template <class To, class From>
constexpr To float_to_integer(From v) {
  using Signed = std::conditional_t<std::is_signed_v<To> && sizeof(To) <= 4, int32_t, int64_t>;
  constexpr From end = sizeof(Signed) == 4 ? From(0x1p31) : From(0x1p63);
  if (v != v) return To(0);
  if (v < -end) return To(std::numeric_limits<Signed>::min());
  if (v < end) return To(Signed(v));
  if constexpr (std::is_same_v<To, uint64_t>)
    return v < From(0x1p64) ? To(v) : ~To(0);
  else
    return To(std::numeric_limits<Signed>::max());
}

/// One element as another type: halves through float, complex to real drops the imaginary part,
/// anything to bool is `!= 0`, floats to integers by the rule above.
template <class To, class From>
constexpr To convert(From v) {
  if constexpr (std::is_same_v<To, From>)
    return v;
  else if constexpr (is_half<From>)
    return convert<To>(float(v));
  else if constexpr (std::is_same_v<To, bool>)
    return v != From(0);
  else if constexpr (std::is_same_v<From, complex64_t>)
    return convert<To>(v.real());
  else if constexpr (is_half<To> || std::is_same_v<To, complex64_t>)
    return To(float(v));
  else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>)
    return float_to_integer<To>(v);
  else
    return To(v);
}

template <class... Ts>
struct Types {};
using Floats = Types<float, float16_t, bfloat16_t, double>;
using Integers = Types<uint8_t, uint16_t, uint32_t, uint64_t, int8_t, int16_t, int32_t, int64_t>;
using AllTypes = Types<bool, uint8_t, uint16_t, uint32_t, uint64_t, int8_t, int16_t, int32_t,
                       int64_t, float16_t, float, double, bfloat16_t, complex64_t>;

/// Calls f.template operator()<T>() for the T of the list that matches d; throws "who: dtype int32
/// is not one of float32, bfloat16" when none does.
template <class... Ts, class F>
void visit(Types<Ts...>, Dtype d, std::string_view who, F&& f) {
  if (((d == dtype_of<Ts> && (f.template operator()<Ts>(), true)) || ...)) return;
  std::string allowed;
  ((allowed += (allowed.empty() ? "" : ", "), allowed += to_string(dtype_of<Ts>)), ...);
  check(false, who, ": dtype ", d, " is not one of ", allowed);
}

}  // namespace hearth
