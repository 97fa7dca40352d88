// What tests of products and fused operations share: inputs in several layouts, and how close a
// result must come.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "hearth/core/eval.h"
#include "hearth/core/primitive.h"
#include "hearth/ops/ops.h"
#include "hearth/ops/primitives_fast.h"
#include "hearth/ops/state_packing.h"
#include "tests/close.h"
#include "tests/on_device.h"

namespace hearth::fused {

constexpr float kInf = std::numeric_limits<float>::infinity();

inline array tensor(const nlohmann::json& j) {
  const auto shape = j["shape"].get<std::vector<int>>();
  const auto data = j["data"].get<std::vector<double>>();
  return array(data.begin(), Shape(shape.begin(), shape.end()), float32);
}

using testing::expect_close;
using testing::Tolerance;

inline bool same_bits(const array& a, const array& b) {
  return a.to_vector<double>() == b.to_vector<double>();
}

// Numbers between -1 and 1, the same each time.
inline array numbers(Shape shape, Dtype dtype, uint32_t seed = 1) {
  std::vector<float> values(element_count(shape));
  for (float& v : values) {
    seed = seed * 1664525u + 1013904223u;
    v = float(int32_t(seed) >> 8) / float(1 << 23);
  }
  return array(values.begin(), shape, dtype);
}

// x as the middle of an array that is larger along every axis.
inline array part_of_larger(const array& x) {
  Shape stop = x.shape();
  for (int& size : stop) ++size;
  const std::vector<std::pair<int, int>> margins(size_t(x.ndim()), {1, 1});
  return slice(pad(x, margins, array(7, x.dtype())), Shape(size_t(x.ndim()), 1), stop);
}

// One array in several layouts: row-major; transposed in memory; every second element of a larger
// one; backwards; the middle of a larger one.
inline std::vector<array> layouts(const array& x) {
  std::vector<array> out{x};
  std::vector<int> order;
  for (int i = x.ndim(); i-- > 0;) order.push_back(i);
  out.push_back(transpose(contiguous(transpose(x, order)), order));
  out.push_back(flip(contiguous(flip(x))));
  Shape doubled = x.shape(), start(size_t(x.ndim()), 0), steps(size_t(x.ndim()), 1);
  if (x.ndim() > 0) {
    array wide = stack({x, x}, -1);
    doubled.back() *= 2;
    steps.back() = 2;
    out.push_back(slice(contiguous(reshape(wide, doubled)), start, doubled, steps));
    out.push_back(part_of_larger(x));
  }
  return out;
}

// Sums of some dozens of products of numbers up to 1: f32 has 20 roundings, halves one more. f64
// against expected values that were computed from f32 numbers and written as decimals.
inline Tolerance tolerance(Dtype dtype) {
  // A device's tensor cores take the weights of attention as halves, and a product that is added to
  // is rounded before: half a unit of numbers up to 1.
  if (size_of(dtype) == 2 && testing::on_device()) return {2, 1};
  switch (dtype) {
    case float16:
    case bfloat16: return {1, 0, 4e-6};
    case float64: return {64, 1};
    default: return {20, 1};
  }
}

// The op's kernel and its plain definition agree.
inline void expect_as_defined(const std::shared_ptr<const Primitive>& op, const Arrays& in,
                              const std::string& what,
                              const std::optional<Tolerance>& allowed = std::nullopt) {
  Arrays own = in;  // what it writes into stays as it is
  for (int i = 0; i < int(op->infer(in).size()); ++i)
    if (const int into = op->writes_into(i); into >= 0) own[size_t(into)] = copy(in[size_t(into)]);
  const auto defined = op->decompose(own);
  ASSERT_TRUE(defined);
  eval(*defined);
  const Arrays got = apply_all(op, in);
  for (size_t i = 0; i < got.size(); ++i)
    expect_close(got[i], (*defined)[i], allowed.value_or(tolerance(in[0].dtype())), what);
}

struct CachedCase {
  int B, L, H, Hkv, D, capacity, rope_dims;
  std::vector<int> offsets;
  bool traditional = false, freqs = false;
  fast::AttentionForm form = {};  // but for the rotation's dims and order
  int Dv = 0;                     // 0: D
  bool own_freqs = false;         // of each row
};
inline std::shared_ptr<const Primitive> cached_op(const CachedCase& c, float base, float scale) {
  fast::AttentionForm form = c.form;
  form.scale = 0.25f;
  form.rotation.dims = c.rope_dims, form.rotation.traditional = c.traditional;
  form.rotation.has_freqs = c.freqs || c.own_freqs;
  form.rotation.base = base, form.rotation.scale = scale;
  return std::make_shared<fast::CachedAttention>(form);
}
// The inputs of a cached attention; NaN wherever the caches hold nothing yet.
inline Arrays cached_inputs(const CachedCase& c, Dtype dtype) {
  const int Dv = c.Dv > 0 ? c.Dv : c.D;
  const auto cache = [&](int dims, uint32_t seed) {
    const Shape shape{c.B, c.Hkv, c.capacity, dims};
    auto values = numbers(shape, float32, seed).to_vector<float>();
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t row = i / size_t(dims);
      if (int(row % size_t(c.capacity)) >= c.offsets[row / size_t(c.Hkv * c.capacity)])
        values[i] = NAN;
    }
    const array all(values.begin(), shape, dtype);
    return c.form.state == Packing::dense ? all : copy(packed_state(c.form.state, all));
  };
  const bool values = c.form.latent == 0;
  Arrays in{numbers({c.B, c.L, c.H, c.D}, dtype, 1)};
  if (c.form.writes) in.push_back(numbers({c.B, c.L, c.Hkv, c.D}, dtype, 2));
  if (c.form.writes && values) in.push_back(numbers({c.B, c.L, c.Hkv, Dv}, dtype, 3));
  in.push_back(cache(c.D, 4));
  if (values) in.push_back(cache(Dv, 5));
  in.push_back(array(c.offsets.begin(), {c.B}, int32));
  const Shape freqs = c.own_freqs ? Shape{c.B, c.rope_dims / 2} : Shape{c.rope_dims / 2};
  if (c.freqs || c.own_freqs) in.push_back(add(abs(numbers(freqs, float32, 6)), array(1.0f)));
  if (c.form.has_sinks) in.push_back(numbers({c.H}, dtype, 7));
  return in;
}

}  // namespace hearth::fused
