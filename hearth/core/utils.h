// What programs ask about dtypes, arrays and this library: categories, limits, promotion, printing.
#pragma once
#include <string>
#include <thread>
#include <unordered_map>
#include <variant>

#include "hearth/core/array.h"

namespace hearth {

/// Families of dtypes, as in NumPy: a tree with generic at the root.
enum class Category : uint8_t {
  complexfloating,
  floating,
  inexact,
  signedinteger,
  unsignedinteger,
  integer,
  number,
  generic
};
inline constexpr Category complexfloating = Category::complexfloating;
inline constexpr Category floating = Category::floating;
inline constexpr Category inexact = Category::inexact;
inline constexpr Category signedinteger = Category::signedinteger;
inline constexpr Category unsignedinteger = Category::unsignedinteger;
inline constexpr Category integer = Category::integer;
inline constexpr Category number = Category::number;
inline constexpr Category generic = Category::generic;

/// Is the first below the second, or the second itself? issubdtype(float16, inexact).
bool issubdtype(Dtype a, Dtype b);
bool issubdtype(Category a, Dtype b);
bool issubdtype(Dtype a, Category b);
bool issubdtype(Category a, Category b);

/// kind_of by MLX's name.
constexpr Kind kindof(Dtype d) { return kind_of(d); }
std::ostream& operator<<(std::ostream& out, Kind kind);  // NumPy's letter

/// The dtype that holds all of them; of none bool.
Dtype result_type(const Arrays& arrays);
inline Dtype result_type(const array& a, const array& b) {
  return promote_types(a.dtype(), b.dtype());
}
inline Dtype result_type(const array& a, const array& b, const array& c) {
  return promote_types(result_type(a, b), c.dtype());
}

/// The limits of a floating dtype; of a complex one those of its parts.
struct finfo {
  explicit finfo(Dtype dtype);
  Dtype dtype;
  int bits;
  double min, max;
  double eps;              // from 1 to the next number
  double smallest_normal;  // the least that has all digits
};
/// The limits of an integer dtype.
struct iinfo {
  explicit iinfo(Dtype dtype);
  Dtype dtype;
  int64_t min;
  uint64_t max;
};

/// n as a size of an axis; throws std::overflow_error if it is none.
template <class T>
ShapeElem safe_cast(T n, std::string_view who = "") {
  const auto wide = static_cast<int64_t>(n);
  check<std::overflow_error>(wide >= INT32_MIN && wide <= INT32_MAX, who, who.empty() ? "" : ": ",
                             "an axis of ", wide, " elements; at most ", INT32_MAX,
                             " are possible");
  return ShapeElem(wide);
}
/// normalize_axis by MLX's name.
inline int normalize_axis_index(int axis, int ndim, const std::string& msg_prefix = "") {
  return normalize_axis(axis, ndim, msg_prefix.empty() ? "axis" : msg_prefix);
}
constexpr bool is_power_of_2(int n) { return n > 0 && (n & (n - 1)) == 0; }
/// The least power of 2 that is at least n.
int next_power_of_2(int n);

/// How arrays are printed: digits of floating-point numbers, -1 for the usual 6.
struct PrintOptions {
  int precision = -1;
};
void set_printoptions(PrintOptions options);

/// Is this thread the first that asked?
bool is_main_thread();
/// "0.1.0"
const char* version();

/// The bytes of the memory behind the arrays, computed already; memory that they share counts once.
size_t get_array_buffer_size(const Arrays& arrays);

using DeviceInfo = std::unordered_map<std::string, std::variant<std::string, size_t>>;
/// device_name, and total_memory and free_memory in bytes where the device says so.
DeviceInfo device_info(Device device = default_device());

}  // namespace hearth
