#include "hearth/llm/weight_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "hearth/backend/pool.h"
#include "hearth/base/error.h"
#include "hearth/io/foreign.h"
#include "hearth/io/json.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

int64_t rows_in(const fast::Matrix& m) {
  const int64_t in = m.ndim() > 0 ? m.shape(-1) : 1;
  return in > 0 ? int64_t(m.size()) / in : 0;
}

fast::Matrix rows_of(const fast::Matrix& m, int64_t first, int64_t count) {
  return map_planes(m, [&](const array& plane) {
    const int row = plane.ndim() > 0 ? plane.shape(-1) : 1,
              rows = int(plane.size() / size_t(std::max(row, 1)));
    return slice(reshape(plane, {rows, row}), {int(first), 0}, {int(first + count), row});
  });
}

array values_of(const fast::Matrix& rows) {
  return row_major(rows.packed() ? fast::dequantize(rows, float32) : rows.dense());
}

float largest_weight(const array& x) {
  const auto bytes = bytes_of(x);
  float largest = 0;
  visit(Types<float16_t, bfloat16_t, float>{}, x.dtype(), "quantize", [&]<class T>() {
    using Bits = std::conditional_t<sizeof(T) == 2, uint16_t, uint32_t>;
    constexpr int64_t kEach = 1 << 16;
    const auto count = int64_t(bytes.size() / sizeof(T));
    std::vector<Bits> most(size_t((count + kEach - 1) / kEach), 0);
    cpu::parallel_for(int64_t(most.size()), [&](int64_t i) {
      const std::byte* const from = bytes.data() + i * kEach * int64_t(sizeof(T));
      const int64_t n = std::min(kEach, count - i * kEach);
      Bits top = 0;
      for (int64_t k = 0; k < n; ++k) {
        Bits b;
        std::memcpy(&b, from + k * int64_t(sizeof(T)), sizeof b);
        top = std::max(top, Bits(b & (Bits(~Bits(0)) >> 1)));
      }
      most[size_t(i)] = top;
    });
    for (const Bits b : most) {  // bits are in the order of the numbers, NaN above infinity
      const auto v = float(std::bit_cast<T>(b));
      if (!(v <= largest)) largest = v;
      if (!std::isfinite(largest)) return;
    }
  });
  return largest;
}

void verify_weights(const std::string& where, const fast::Matrices& tensors,
                    const std::function<std::string(const std::string&)>& named) {
  std::vector<std::string> names;
  for (const auto& [name, m] : tensors) names.push_back(name);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const fast::Matrix& m = tensors.at(name);
    if (!is_floating(m.dtype())) continue;
    const int64_t rows = rows_in(m), in = rows > 0 ? int64_t(m.size()) / rows : 1;
    const auto good = [&](int64_t first, int64_t count) {
      const array x = values_of(rows_of(m, first, count));
      return std::isfinite(
          largest_weight(x.dtype() == float64 ? row_major(astype(x, float32)) : x));
    };
    for (int64_t first = 0, count; first < rows; first += count) {
      count =
          std::min(rows - first, std::max<int64_t>(1, kWeightsAtOnce / std::max<int64_t>(in, 1)));
      if (good(first, count)) continue;
      int64_t row = first;
      while (good(row, 1)) ++row;
      ensure(false, where, ": tensor ", in_quotes(named ? named(name) : name), ": row ", row,
             " has ", m.packed() ? "a scale" : "a weight",
             " that is NaN or infinite: the file is damaged; fetch it again");
    }
  }
}

}  // namespace hearth::llm
