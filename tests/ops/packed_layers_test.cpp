// Layers with packed weights on any device: against sums in float64 of what the weights mean, and
// against the same layers with dense weights.
#include <gtest/gtest.h>

#include <cmath>

#include "hearth/ops/experts.h"
#include "hearth/ops/ops.h"
#include "hearth/ops/quantize.h"
#include "tests/packed.h"

namespace hearth {
namespace {

using testing::golden_packings, testing::GoldenPacking, testing::PackedMatrix,
    testing::random_packed;

fast::Matrix matrix_of(const PackedMatrix& m, const Shape& rows, std::optional<Dtype> dtype = {}) {
  Arrays planes;
  for (size_t i = 0; i < m.planes.size(); ++i) {
    const Plane plane = plane_of(m.packing, int(i), m.in);
    Shape shape = rows;
    shape.push_back(int(plane.row));
    planes.push_back(uninitialized(shape, plane.dtype.value_or(m.scales)));
    EXPECT_EQ(planes.back().nbytes(), m.planes[i].size());
    std::memcpy(planes.back().node().data(), m.planes[i].data(), m.planes[i].size());
  }
  return {m.packing, planes, dtype};
}

/// Floats of a dtype's values.
struct Values {
  array a;
  std::vector<float> floats;
  Values(const Shape& shape, Dtype dtype, unsigned seed, float scale = 1) : a(0.0f) {
    std::mt19937 random(seed);
    std::vector<float> all(element_count(shape));
    for (float& v : all) v = (float(random() % 4001) - 2000) / 1000 * scale;
    a = astype(array(all.begin(), shape, float32), dtype);
    floats = astype(a, float32).to_vector<float>();
  }
};

double epsilon(Dtype d) { return d == float32 ? 0x1p-24 : d == float16 ? 0x1p-11 : 0x1p-8; }

std::vector<Packing> packings() {
  std::vector<Packing> all;
  for (int p = 1; p < kPackings; ++p) all.push_back(Packing(p));
  return all;
}

TEST(PackedRows, DequantizeGivesTheValuesOfThePlainDefinition) {
  for (const GoldenPacking& g : golden_packings()) {
    const int rows = int(int64_t(g.values.size()) / g.in);
    const fast::Matrix m = matrix_of(g, {rows});
    const array want(g.values.begin(), Shape{rows, int(g.in)}, float32);
    for (const Dtype dtype : {float16, bfloat16, float32}) {
      if (dtype == float32 && g.planes.size() == 3) continue;  // then products' values
      const array got = fast::dequantize(m, dtype);
      EXPECT_TRUE(array_equal(got, astype(want, dtype), true).item<bool>())
          << to_string(g.packing) << " " << to_string(g.scales) << " " << to_string(dtype);
    }
  }
}

TEST(PackedRows, DequantizeTakesRowsAtAnyByteAndOfAnyOrder) {
  for (const Packing packing : packings()) {
    const int block = int(packing_info(packing).weights), in = 3 * block;
    const PackedMatrix stored = random_packed(packing, 6, in, 4, float16);
    const fast::Matrix m = matrix_of(stored, {6});
    const array all = fast::dequantize(m);
    const auto same = [&](const fast::Matrix& some, const array& want) {
      EXPECT_TRUE(array_equal(fast::dequantize(some), want, true).item<bool>())
          << to_string(packing);
    };
    same(fast::take_rows(m, array({5, 1, 1}, int32)), take(all, array({5, 1, 1}, int32), 0));
    const auto part = [](const array& plane) {
      return slice(plane, {1, 0}, {6, plane.shape(1)}, {2, 1});
    };
    same(map_planes(m, part), part(all));
    const auto last = [](const array& plane) { return slice(plane, {5, 0}, {6, plane.shape(1)}); };
    same(map_planes(m, last), last(all));
  }
}

/// y = x w^T + b against sums in float64. Many rows of halves meet weights rounded to them.
void expect_product(const PackedMatrix& w, int n, int rows, Dtype dtype) {
  const int k = int(w.in);
  const Values x({rows, k}, dtype, 5, 0.1f), bias({n}, dtype, 6);
  const std::vector<float> got =
      astype(fast::linear(x.a, matrix_of(w, {n}, dtype), bias.a), float32).to_vector<float>();
  PackedMatrix exact = w;
  std::vector<float> weights(size_t(n) * size_t(k));
  if (exact.planes.size() == 3 && w.scales != float32) {
    exact.scales = float32;
    for (size_t i = 1; i < 3; ++i) {
      const array plane = astype(matrix_of(w, {n}).planes()[i], float32);
      const auto floats = plane.to_vector<float>();
      exact.planes[i].resize(floats.size() * 4);
      std::memcpy(exact.planes[i].data(), floats.data(), floats.size() * 4);
    }
  }
  unpack_rows(exact.matrix(), k, 0, n, weights.data());
  const bool few = dtype == float32 || rows <= 4;
  const double rounding =
      few ? 0 : 2 * std::max(epsilon(dtype), w.planes.size() == 3 ? epsilon(w.scales) : 0);
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < n; ++j) {
      double want = bias.floats[size_t(j)], magnitude = std::abs(want);
      for (int p = 0; p < k; ++p) {
        const double term = double(x.floats[size_t(i * k + p)]) * weights[size_t(j * k + p)];
        want += term, magnitude += std::abs(term);
      }
      ASSERT_NEAR(got[size_t(i * n + j)], want,
                  epsilon(dtype) * std::abs(want) * 1.01 + 1e-7 +
                      (rounding + 0x1p-23 * (4 + 0.05 * k)) * magnitude)
          << to_string(w.packing) << " " << to_string(dtype) << ", scales " << to_string(w.scales)
          << ", " << rows << " rows, n " << n << ", k " << k << " at " << i << ", " << j;
    }
}

class PackedLayers : public ::testing::TestWithParam<Packing> {};

TEST_P(PackedLayers, AreTheSumsOfWhatTheWeightsMean) {
  const Packing packing = GetParam();
  const int block = int(packing_info(packing).weights);
  const Dtype scales[] = {bfloat16, float16, float32};
  int next = 0;
  for (const Dtype dtype : {bfloat16, float16, float32})
    for (const int rows : {1, 2, 3, 4, 8, 33})
      // Less than a chunk, a whole number of them, and more, with rows at any byte.
      for (const auto& [n, k] : {std::pair{48, block}, std::pair{37, 1024},
                                 std::pair{16, 512 + (rows % 2 ? 3 : 1) * block}}) {
        const Dtype of_scales = scales[next++ % 3];
        if (k % block == 0)
          expect_product(random_packed(packing, n, k, unsigned(rows), of_scales), n, rows, dtype);
      }
}

TEST_P(PackedLayers, StandWhereDenseOnesDo) {
  const Packing packing = GetParam();
  const int n = 160, k = 512;
  const auto silu = fast::Activation::silu;
  for (const Dtype dtype : {bfloat16, float16, float32})
    for (const int rows : {1, 3, 8}) {
      const fast::Matrix a = matrix_of(random_packed(packing, n, k, 1), {n}, dtype),
                         b = matrix_of(random_packed(Packing::q4_k, n, k, 2), {n}, dtype),
                         c = matrix_of(random_packed(Packing::q6_k, 48, k, 3), {48}, dtype);
      const array da = fast::dequantize(a), db = fast::dequantize(b), dc = fast::dequantize(c);
      // Small, since a gate's product must be a half.
      const Values x({rows, k}, dtype, 5, 0.01f), z({rows, k}, dtype, 6, 0.01f),
          bias({n}, dtype, 7), residual({rows, n}, dtype, 8), weight({k}, dtype, 9, 0.01f);
      const auto same = [&](const array& got, const array& want, const char* what) {
        const array wide = astype(want, float32);
        const double most = max(abs(wide)).item<float>(),
                     off = max(abs(subtract(astype(got, float32), wide))).item<float>();
        EXPECT_LE(off, (dtype == float32 ? 1e-5 : 0.02) * most)
            << what << ": " << to_string(packing) << " " << to_string(dtype) << " " << rows;
      };
      const fast::Norm norm{weight.a, {}, 1e-5f, true};
      const fast::Projection parts[] = {{b, {}}, {a, bias.a}, {c, {}}},
                             dense_parts[] = {{db, {}}, {da, bias.a}, {dc, {}}};
      const Arrays got = fast::linears(x.a, parts, norm),
                   want = fast::linears(x.a, dense_parts, norm);
      for (size_t i = 0; i < 3; ++i) same(got[i], want[i], "parts");
      const fast::Projection gates[] = {{a, bias.a, silu, true}, {b, {}}},
                             dense_gates[] = {{da, bias.a, silu, true}, {db, {}}};
      same(fast::linears(x.a, gates)[0], fast::linears(x.a, dense_gates)[0], "gates");
      const fast::Term terms[] = {{x.a, a, bias.a}, {z.a, b, {}}},
                       dense_terms[] = {{x.a, da, bias.a}, {z.a, db, {}}};
      same(fast::linear_sum(terms, residual.a), fast::linear_sum(dense_terms, residual.a), "sum");
      const fast::Term one[] = {{x.a, a, {}}}, dense_one[] = {{x.a, da, {}}};
      same(fast::linear_sum(one, residual.a), fast::linear_sum(dense_one, residual.a), "residual");
    }
}

TEST_P(PackedLayers, OfExpertsAreThoseThatWereChosen) {
  const Packing packing = GetParam();
  const int E = 5, n = 32, k = 512;
  const auto silu = fast::Activation::silu;
  for (const Dtype dtype : {bfloat16, float32})
    for (const bool each : {false, true}) {
      const fast::Matrix a = matrix_of(random_packed(packing, E * n, k, 1), {E, n}, dtype),
                         b = matrix_of(random_packed(Packing::q5_k, E * n, k, 2), {E, n}, dtype);
      const array da = fast::dequantize(a), db = fast::dequantize(b);
      const array ids({4, 0, 0, 2, 1, 4}, Shape{3, 2}, int32);
      const Values x({3, each ? 2 : 1, k}, dtype, 5), bias({E, n}, dtype, 7);
      const fast::Projection gates[] = {{a, bias.a, silu, true}, {b, {}}, {a, {}}},
                             dense[] = {{da, bias.a, silu, true}, {db, {}}, {da, {}}};
      const Arrays got = fast::expert_linears(x.a, ids, gates),
                   want = fast::expert_linears(x.a, ids, dense);
      for (size_t i = 0; i < 2; ++i) {
        const array wide = astype(want[i], float32);
        const double most = max(abs(wide)).item<float>();
        EXPECT_LE(max(abs(subtract(astype(got[i], float32), wide))).item<float>(),
                  (dtype == float32 ? 1e-5 : 0.02) * most)
            << to_string(packing) << " " << to_string(dtype) << " " << i;
      }
    }
}

INSTANTIATE_TEST_SUITE_P(All, PackedLayers, ::testing::ValuesIn(packings()),
                         [](const auto& info) { return std::string(to_string(info.param)); });

}  // namespace
}  // namespace hearth
