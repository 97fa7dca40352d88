// The values that tools/goldens_io.py writes, for each dtype an array (2, 3).
#pragma once
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "hearth/core/array.h"

namespace hearth::testing {

/// The bytes of an array, row-major; evaluates. NaN compares equal to itself so.
inline std::string bytes_of_values(const array& a) {
  std::string bytes;
  visit(AllTypes{}, a.dtype(), "bytes_of_values", [&]<class T>() {
    const auto values = a.to_vector<T>();
    for (const T value : values) {
      char raw[sizeof(T)];
      std::memcpy(raw, &value, sizeof(T));
      bytes.append(raw, sizeof(T));
    }
  });
  return bytes;
}

template <class T>
array golden_integers() {
  using Limits = std::numeric_limits<T>;
  const std::vector<T> values{0, 1, 2, 100, Limits::max(), Limits::min()};
  return array(values.begin(), Shape{2, 3}, dtype_of<T>);
}

inline array golden_floats(Dtype dtype) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> values{-0.0f, 1.5f, -2.25f, inf, -inf, std::nanf("")};
  return array(values.begin(), Shape{2, 3}, dtype);
}

/// By NumPy's name of the dtype; bfloat16 is among them.
inline std::map<std::string, array> golden_values() {
  const std::vector<bool> bools{true, false, true, true, false, false};
  const std::vector<complex64_t> complexes{{1, 2},   {-0.0f, -0.5f}, {3, 0},
                                           {-1, -1}, {0, 0},         {1e30f, 0}};
  return {
      {"bool", array(bools.begin(), Shape{2, 3}, bool_)},
      {"int8", golden_integers<int8_t>()},
      {"int16", golden_integers<int16_t>()},
      {"int32", golden_integers<int32_t>()},
      {"int64", golden_integers<int64_t>()},
      {"uint8", golden_integers<uint8_t>()},
      {"uint16", golden_integers<uint16_t>()},
      {"uint32", golden_integers<uint32_t>()},
      {"uint64", golden_integers<uint64_t>()},
      {"float16", golden_floats(float16)},
      {"bfloat16", golden_floats(bfloat16)},
      {"float32", golden_floats(float32)},
      {"float64", golden_floats(float64)},
      {"complex64", array(complexes.begin(), Shape{2, 3}, complex64)},
  };
}

}  // namespace hearth::testing
