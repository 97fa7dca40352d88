// Matrix products and fused operations: against NumPy (tools/goldens_fast.py), and the kernels
// against their own plain definitions, over dtypes, layouts and thread counts.
#include "hearth/ops/fast.h"
#include "hearth/ops/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/cpu/pool.h"
#include "hearth/core/eval.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives_fast.h"
#include "tests/shared.h"

namespace hearth {
namespace {

using nlohmann::json;
constexpr float kInf = std::numeric_limits<float>::infinity();

array tensor(const json& j) {
  const auto shape = j["shape"].get<std::vector<int>>();
  const auto data = j["data"].get<std::vector<double>>();
  return array(data.begin(), Shape(shape.begin(), shape.end()), float32);
}

// |got - want| <= tolerance * (1 + |want|) everywhere, infinities and NaN alike.
void expect_close(const array& got, const array& want, double tolerance, const std::string& what) {
  ASSERT_EQ(got.shape(), want.shape()) << what;
  ASSERT_EQ(got.dtype(), want.dtype()) << what;
  const auto g = got.to_vector<double>(), w = want.to_vector<double>();
  for (size_t i = 0; i < g.size(); ++i) {
    if (g[i] == w[i] || (std::isnan(g[i]) && std::isnan(w[i]))) continue;
    ASSERT_LE(std::abs(g[i] - w[i]), tolerance * (1 + std::abs(w[i])))
        << what << ", element " << i << ": " << g[i] << ", wanted " << w[i];
  }
}
bool same_bits(const array& a, const array& b) {
  return a.to_vector<double>() == b.to_vector<double>();
}

// Numbers between -1 and 1, the same each time.
array numbers(Shape shape, Dtype dtype, uint32_t seed = 1) {
  std::vector<float> values(element_count(shape));
  for (float& v : values) {
    seed = seed * 1664525u + 1013904223u;
    v = float(int32_t(seed) >> 8) / float(1 << 23);
  }
  return array(values.begin(), shape, dtype);
}

// One array in several layouts: row-major; transposed in memory; every second element of a larger
// one; backwards.
std::vector<array> layouts(const array& x) {
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
  }
  return out;
}

const std::map<Dtype, double> kTolerance{
    {float32, 3e-6}, {float16, 1.5e-3}, {bfloat16, 1e-2}, {float64, 1e-6}};
// The kernel and the definition compute alike in float32 and round once: half an ulp may flip.
const std::map<Dtype, double> kAgainstDefinition{
    {float32, 3e-6}, {float16, 1.1e-3}, {bfloat16, 8e-3}, {float64, 1e-12}};

// The op's kernel and its plain definition agree.
void expect_as_defined(const std::shared_ptr<const Primitive>& op, const Arrays& in,
                       const std::string& what) {
  const auto defined = op->decompose(in);
  ASSERT_TRUE(defined);
  eval(*defined);
  const Arrays got = apply_all(op, in);
  for (size_t i = 0; i < got.size(); ++i)
    expect_close(got[i], (*defined)[i], kAgainstDefinition.at(in[0].dtype()), what);
}

array run(const json& c, const Arrays& in) {
  const json& p = c["params"];
  const std::string op = c["op"];
  const auto offsets = [&](const char* key) {
    const auto values = p[key].get<std::vector<int>>();
    return array(values.begin(), {int(values.size())}, int32);
  };
  if (op == "matmul") return matmul(in[0], in[1]);
  if (op == "addmm") return addmm(in[0], in[1], in[2], p["alpha"], p["beta"]);
  if (op == "inner") return inner(in[0], in[1]);
  if (op == "outer") return outer(in[0], in[1]);
  if (op == "tensordot" && p.contains("axes")) return tensordot(in[0], in[1], p["axes"].get<int>());
  if (op == "tensordot")
    return tensordot(in[0], in[1], p["axes_a"].get<std::vector<int>>(),
                     p["axes_b"].get<std::vector<int>>());
  if (op == "vecdot") return vecdot(in[0], in[1], p["axis"]);
  if (op == "kron") return kron(in[0], in[1]);
  if (op == "layer_norm" && in.size() == 1)
    return fast::layer_norm(in[0], std::nullopt, std::nullopt, p["eps"]);
  if (op == "layer_norm") return fast::layer_norm(in[0], in[1], in[2], p["eps"]);
  if (op == "rms_norm") return fast::rms_norm(in[0], in[1], p["eps"]);
  if (op == "rope") {
    std::optional<float> base;
    std::optional<array> freqs;
    if (p.contains("base")) base = p["base"].get<float>();
    if (in.size() > 1) freqs = in[1];
    return fast::rope(in[0], p["dims"], p["traditional"], base, p["scale"], offsets("offset"),
                      freqs);
  }
  if (op == "attention") {
    const std::string mode = p["mode"];
    const float scale = p["scale"];
    if (mode == "array" || mode == "bool")
      return fast::scaled_dot_product_attention(in[0], in[1], in[2], scale, "array",
                                                mode == "bool" ? astype(in[3], bool_) : in[3]);
    if (mode == "sinks")
      return fast::scaled_dot_product_attention(in[0], in[1], in[2], scale, "causal", {}, in[3]);
    return fast::scaled_dot_product_attention(in[0], in[1], in[2], scale, mode);
  }
  if (op == "linear") {
    const std::map<std::string, fast::Activation> activations{
        {"none", fast::Activation::none},
        {"relu", fast::Activation::relu},
        {"silu", fast::Activation::silu},
        {"gelu_approx", fast::Activation::gelu_approx},
        {"gelu", fast::Activation::gelu}};
    return fast::linear(in[0], in[1], in[2], activations.at(p["activation"]), in[3]);
  }
  throw std::runtime_error("no such case: " + op);
}

Arrays run_all(const json& c, const Arrays& in) {
  if (c["op"] != "cached_attention") return {run(c, in)};
  const json& p = c["params"];
  const auto offsets = p["offsets"].get<std::vector<int>>();
  const auto r = fast::cached_attention(in[0], in[1], in[2], copy(in[3]), copy(in[4]),
                                        array(offsets.begin(), {int(offsets.size())}, int32),
                                        {.scale = p["scale"],
                                         .rope_dims = p["dims"],
                                         .rope_base = p["base"],
                                         .traditional = p["traditional"]});
  return {r.y, r.cache_k, r.cache_v};
}

TEST(Fast, IsAsNumPySays) {
  std::ifstream file(testing::source_path("tests/data/fast.json"));
  const json cases = json::parse(file);
  ASSERT_GT(cases.size(), 50u);
  for (size_t i = 0; i < cases.size(); ++i) {
    const json& c = cases[i];
    const std::string what =
        c["op"].get<std::string>() + " " + std::to_string(i) + " " + c["params"].dump();
    for (Dtype dtype : {float32, float16, bfloat16, float64}) {
      Arrays in;
      for (const json& t : c["in"]) in.push_back(astype(tensor(t), dtype));
      // Sums of up to 65 products lose digits to each other; so do inputs rounded to halves.
      const double more = dtype == float16 || dtype == bfloat16 ? 8 : 1;
      const Arrays out = run_all(c, in);
      for (size_t k = 0; k < out.size(); ++k)
        expect_close(out[k], astype(tensor(c["out"][k]), dtype), more * kTolerance.at(dtype),
                     what + " " + std::string(to_string(dtype)));
    }
  }
}

TEST(Fast, NormsAreAsDefinedInEveryLayout) {
  for (Dtype dtype : {float32, float16, bfloat16, float64})
    for (Shape shape :
         {Shape{3, 5, 37}, Shape{130, 64}, Shape{1}, Shape{4, 1}, Shape{0, 8}, Shape{2, 2560}})
      for (const array& x : layouts(numbers(shape, dtype))) {
        const array w = layouts(numbers({shape.back()}, dtype, 2)).back();
        const array b = layouts(numbers({shape.back()}, dtype, 3))[2];
        const std::string what = concat("norm of ", x.dtype(), " ", x.shape());
        expect_as_defined(std::make_shared<fast::LayerNorm>(1e-5f, true, true), {x, w, b}, what);
        expect_as_defined(std::make_shared<fast::LayerNorm>(1e-5f, false, true), {x, b}, what);
        expect_as_defined(std::make_shared<fast::LayerNorm>(1e-5f, false, false), {x}, what);
        expect_as_defined(std::make_shared<fast::RMSNorm>(1e-6f, true), {x, w}, what);
        expect_as_defined(std::make_shared<fast::RMSNorm>(1e-6f, false), {x}, what);
      }
}

TEST(Fast, NormsKeepTheirDigitsFarFromZero) {
  // Mean 1000, deviations of 1: sums of squares would cancel.
  std::vector<float> values;
  for (int i = 0; i < 4096; ++i) values.push_back(1000.0f + (i % 2 ? 1.0f : -1.0f));
  const array y = fast::layer_norm(array(values.begin(), {4096}), {}, {}, 0.0f);
  for (float v : y.to_vector<float>()) ASSERT_NEAR(std::abs(v), 1.0f, 1e-6f);
  // Infinities and NaN stay in their row.
  const array bad = fast::rms_norm(array({1.0f, NAN, 2.0f, 2.0f}, {2, 2}), {}, 0.0f);
  const auto out = bad.to_vector<float>();
  EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[1]));
  EXPECT_EQ(out[2], 1.0f);
}

TEST(Fast, RopeIsAsDefinedInEveryLayout) {
  for (Dtype dtype : {float32, float16, bfloat16, float64})
    for (const array& x : layouts(numbers({2, 3, 70, 18}, dtype)))
      for (bool traditional : {false, true})
        for (bool inverse : {false, true}) {
          const fast::Rotation r{.dims = 12, .traditional = traditional, .scale = 0.7f};
          const auto op = std::make_shared<fast::RoPE>(r, inverse);
          expect_as_defined(op, {x, array({5, 900}, int32)}, "rope");
          expect_as_defined(op, {x, array(11)}, "rope");
        }
  const fast::Rotation r{.dims = 4, .has_freqs = true};
  expect_as_defined(std::make_shared<fast::RoPE>(r),
                    {numbers({1, 2, 3, 3, 4}, float32), array(2), array({1.0f, 3.0f})}, "freqs");
  expect_as_defined(std::make_shared<fast::RoPE>(fast::Rotation{.dims = 2}),
                    {numbers({1, 0, 2}, float32), array(0)}, "empty");
}

TEST(Fast, RopeBackAndForthIsNothing) {
  const array x = numbers({1, 2, 30, 16}, float32);
  const fast::Rotation r{.dims = 16};
  const array there = apply(std::make_shared<fast::RoPE>(r), {x, array(100)});
  expect_close(apply(std::make_shared<fast::RoPE>(r, true), {there, array(100)}), x, 1e-6, "rope");
}

TEST(Fast, AttentionIsAsDefined) {
  struct Case {
    int B, H, Hkv, L, S, D, Dv;
  };
  for (Dtype dtype : {float32, float16, bfloat16, float64})
    for (Case c :
         {Case{1, 2, 2, 1, 40, 32, 32}, Case{2, 4, 1, 2, 600, 80, 80}, Case{1, 6, 2, 9, 33, 40, 24},
          Case{2, 3, 3, 40, 150, 20, 17}, Case{1, 2, 1, 300, 300, 16, 16},
          Case{1, 1, 1, 20, 7, 3, 5}, Case{1, 2, 2, 3, 0, 8, 8}, Case{0, 2, 2, 3, 4, 8, 8}}) {
      const array q = numbers({c.B, c.H, c.L, c.D}, dtype, 1);
      const array k = numbers({c.B, c.Hkv, c.S, c.D}, dtype, 2);
      const array v = numbers({c.B, c.Hkv, c.S, c.Dv}, dtype, 3);
      const array added = numbers({c.B, c.H, c.L, c.S}, dtype, 4);
      const array seen = greater(numbers({c.B, 1, c.L, c.S}, float32, 5), array(-0.3f));
      const array mask = broadcast_to(seen, {c.B, c.H, c.L, c.S});
      const array sinks = numbers({c.H}, dtype, 6);
      const std::string what = concat("attention of ", dtype, " ", q.shape(), " ", v.shape());
      using fast::Attention;
      expect_as_defined(std::make_shared<Attention>(0.3f, false, false, false), {q, k, v}, what);
      expect_as_defined(std::make_shared<Attention>(2.0f, true, false, false), {q, k, v}, what);
      expect_as_defined(std::make_shared<Attention>(0.3f, true, false, true), {q, k, v, sinks},
                        what + " sinks");
      expect_as_defined(std::make_shared<Attention>(0.3f, false, true, false), {q, k, v, added},
                        what + " added mask");
      expect_as_defined(std::make_shared<Attention>(0.3f, false, true, true),
                        {q, k, v, mask, sinks}, what + " boolean mask");
    }
}

TEST(Fast, AttentionTakesEveryLayout) {
  for (int L : {2, 30}) {
    const auto q = layouts(numbers({2, 4, L, 10}, float16, 1));
    const auto k = layouts(numbers({2, 2, 50, 10}, float16, 2));
    const auto v = layouts(numbers({2, 2, 50, 10}, float16, 3));
    for (size_t i = 0; i < q.size(); ++i)
      expect_as_defined(std::make_shared<fast::Attention>(0.5f, true, false, false),
                        {q[i], k[(i + 1) % 4], v[(i + 2) % 4]}, "strided attention");
  }
}

TEST(Fast, AttentionOverMaskedStretches) {
  // 1,100 keys: the first 600 are masked by -infinity, so whole blocks hold nothing.
  const int S = 1100;
  std::vector<float> mask(S, 0.0f);
  std::fill_n(mask.begin(), 600, -kInf);
  for (int L : {1, 40}) {
    const array q = numbers({1, 1, L, 16}, float32, 1), k = numbers({1, 1, S, 16}, float32, 2);
    const array v = numbers({1, 1, S, 16}, float32, 3);
    const array m = array(mask.begin(), {1, 1, 1, S});
    const array y = fast::scaled_dot_product_attention(q, k, v, 1, "array", m);
    const array tail_k = slice(k, {0, 0, 600, 0}, k.shape()),
                tail_v = slice(v, {0, 0, 600, 0}, v.shape());
    expect_close(y, fast::scaled_dot_product_attention(q, tail_k, tail_v, 1), 1e-6, "tail");
  }
}

struct CachedCase {
  int B, L, H, Hkv, D, capacity, rope_dims;
  std::vector<int> offsets;
  bool traditional = false, freqs = false;
};
// The inputs of a cached attention; NaN wherever the caches hold nothing yet.
Arrays cached_inputs(const CachedCase& c, Dtype dtype) {
  const auto cache = [&](uint32_t seed) {
    const Shape shape{c.B, c.Hkv, c.capacity, c.D};
    auto values = numbers(shape, float32, seed).to_vector<float>();
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t row = i / size_t(c.D);
      if (int(row % size_t(c.capacity)) >= c.offsets[row / size_t(c.Hkv * c.capacity)])
        values[i] = NAN;
    }
    return array(values.begin(), shape, dtype);
  };
  Arrays in{numbers({c.B, c.L, c.H, c.D}, dtype, 1),
            numbers({c.B, c.L, c.Hkv, c.D}, dtype, 2),
            numbers({c.B, c.L, c.Hkv, c.D}, dtype, 3),
            cache(4),
            cache(5),
            array(c.offsets.begin(), {c.B}, int32)};
  if (c.freqs) in.push_back(add(abs(numbers({c.rope_dims / 2}, float32, 6)), array(1.0f)));
  return in;
}

TEST(Fast, CachedAttentionIsAsDefined) {
  for (Dtype dtype : {float32, float16, bfloat16})
    for (const CachedCase& c :
         {CachedCase{1, 1, 10, 10, 32, 64, 12, {17}},
          CachedCase{3, 1, 4, 2, 80, 40, 32, {0, 39, 5}},
          CachedCase{2, 3, 2, 2, 20, 700, 20, {640, 2}, true},
          CachedCase{2, 50, 4, 2, 24, 200, 8, {0, 150}, false, true},
          CachedCase{1, 300, 2, 1, 16, 512, 0, {100}}, CachedCase{2, 0, 2, 2, 8, 4, 8, {1, 2}}}) {
      const fast::Rotation r{c.rope_dims, c.traditional, c.freqs, 500.0f, 1.5f};
      const auto op = std::make_shared<fast::CachedAttention>(0.25f, r);
      expect_as_defined(op, cached_inputs(c, dtype),
                        concat("cached attention, L ", c.L, ", D ", c.D, ", ", dtype));
    }
}

TEST(Fast, CachedAttentionWritesInPlace) {
  const Arrays in = cached_inputs({1, 2, 2, 2, 8, 16, 0, {3}}, float32);
  const float* before = in[3].data<float>();
  const auto r = fast::cached_attention(in[0], in[1], in[2], in[3], in[4], in[5], {.scale = 1});
  eval(r.y, r.cache_k, r.cache_v);
  EXPECT_EQ(r.cache_k.data<float>(), before);
  EXPECT_EQ(slice(r.cache_v, {0, 1, 3, 0}, {1, 2, 5, 8}).to_vector<float>(),
            slice(swapaxes(in[2], 1, 2), {0, 1, 0, 0}, {1, 2, 2, 8}).to_vector<float>());
}

// Steps of any length over one cache give what attention over the whole does.
TEST(Fast, ChunksOverACacheEqualTheWhole) {
  const int B = 2, T = 40, H = 4, Hkv = 2, D = 12;
  const array q = numbers({B, T, H, D}, float32, 1), k = numbers({B, T, Hkv, D}, float32, 2),
              v = numbers({B, T, Hkv, D}, float32, 3);
  const auto heads = [](const array& x) { return swapaxes(x, 1, 2); };
  const array whole = heads(fast::scaled_dot_product_attention(
      fast::rope(heads(q), 8, false, 10000.0f, 1, 0),
      fast::rope(heads(k), 8, false, 10000.0f, 1, 0), heads(v), 0.3f, "causal"));
  for (std::vector<int> steps : {std::vector<int>{40}, {1, 1, 1, 37}, {16, 16, 8}, {39, 1}}) {
    array cache_k = numbers({B, Hkv, 64, D}, float32, 7),
          cache_v = numbers({B, Hkv, 64, D}, float32, 8);
    Arrays parts;
    int at = 0;
    for (int n : steps) {
      const auto cut = [&](const array& x) {
        return slice(x, {0, at, 0, 0}, {B, at + n, x.shape(2), D});
      };
      const auto r =
          fast::cached_attention(cut(q), cut(k), cut(v), cache_k, cache_v, array({at, at}, int32),
                                 {.scale = 0.3f, .rope_dims = 8});
      cache_k = r.cache_k;
      cache_v = r.cache_v;
      parts.push_back(r.y);
      at += n;
    }
    expect_close(concatenate(parts, 1), whole, 2e-6, "chunks");
  }
}

TEST(Fast, CachedAttentionRefusesPositionsBeyondTheCache) {
  for (int offset : {15, -1}) {
    Arrays in = cached_inputs({1, 2, 2, 2, 8, 16, 0, {3}}, float32);
    in[5] = array({offset}, int32);
    const auto r = fast::cached_attention(in[0], in[1], in[2], in[3], in[4], in[5], {.scale = 1});
    EXPECT_THROW(r.y.eval(), std::runtime_error);
  }
}

TEST(Fast, LinearIsAsDefined) {
  using fast::Activation;
  for (Dtype dtype : {float32, float16, bfloat16, float64})
    for (Shape shape :
         {Shape{33}, Shape{1, 1, 320}, Shape{3, 5, 64}, Shape{40, 7}, Shape{0, 4}, Shape{2, 0}})
      for (const array& x : layouts(numbers(shape, dtype)))
        for (Activation a : {Activation::none, Activation::relu, Activation::silu,
                             Activation::gelu_approx, Activation::gelu}) {
          const array w = numbers({19, shape.back()}, dtype, 2), b = numbers({19}, dtype, 3);
          Shape out = shape;
          out.back() = 19;
          const array r = layouts(numbers(out, dtype, 4)).back();
          const std::string what = concat("linear of ", dtype, " ", shape, ", ", int(a));
          expect_as_defined(
              std::make_shared<fast::Linear>(std::vector{fast::Linear::Part{a, true}}, true),
              {x, w, b, r}, what);
          expect_as_defined(
              std::make_shared<fast::Linear>(std::vector{fast::Linear::Part{a, false}}, false),
              {x, layouts(w)[1]}, what + " transposed weight");
        }
}

TEST(Fast, LinearsAreLinears) {
  const array x = numbers({2, 3, 40}, float16);
  const std::vector<fast::Projection> all{
      {numbers({24, 40}, float16, 2), numbers({24}, float16, 3), fast::Activation::silu},
      {numbers({9, 40}, float16, 4), {}, fast::Activation::none},
      {transpose(numbers({40, 11}, float16, 5)), numbers({11}, float16, 6),
       fast::Activation::gelu}};
  const Arrays together = fast::linears(x, all);
  ASSERT_EQ(together.size(), 3u);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_TRUE(
        same_bits(together[i], fast::linear(x, all[i].weight, all[i].bias, all[i].activation)));
}

TEST(Fast, SameBitsForAnyNumberOfThreadsOnEveryInstructionSet) {
  const auto all = [] {
    Arrays out;
    const array x = numbers({70, 300}, float16);
    out.push_back(fast::layer_norm(x, numbers({300}, float16, 2), {}, 1e-5f));
    out.push_back(fast::linear(x, numbers({210, 300}, float16, 3)));
    out.push_back(matmul(numbers({3, 33, 65}, float32, 4), numbers({65, 129}, float32, 5)));
    for (int L : {1, 100}) {
      const array q = numbers({2, 4, L, 40}, bfloat16, 6),
                  k = numbers({2, 2, 1500, 40}, bfloat16, 7);
      out.push_back(fast::scaled_dot_product_attention(q, k, k, 0.2f, "causal"));
      out.push_back(fast::rope(k, 32, false, 10000.0f, 1.0f, 3));
      const Arrays in = cached_inputs({1, L, 4, 4, 64, 2000, 16, {1700}}, float16);
      const auto r = fast::cached_attention(in[0], in[1], in[2], in[3], in[4], in[5],
                                            {.scale = 0.1f, .rope_dims = 16});
      out.push_back(r.y);
    }
    eval(out);
    return out;
  };
  const int threads = cpu::threads();
  const cpu::Isa isa = cpu::isa();
  for (cpu::Isa level : cpu::isa_levels()) {
    cpu::set_isa(level);
    cpu::set_threads(1);
    const Arrays want = all();
    for (int n : {2, 3, 5}) {
      cpu::set_threads(n);
      const Arrays got = all();
      for (size_t i = 0; i < got.size(); ++i)
        EXPECT_TRUE(same_bits(got[i], want[i]))
            << "result " << i << " differs with " << n << " threads, " << cpu::to_string(level);
    }
  }
  cpu::set_isa(isa);
  cpu::set_threads(threads);
}

TEST(Fast, EveryInstructionSetIsAsDefined) {
  const cpu::Isa isa = cpu::isa();
  for (cpu::Isa level : cpu::isa_levels()) {
    cpu::set_isa(level);
    for (Dtype dtype : {float32, float16, bfloat16}) {
      const std::string what = concat(cpu::to_string(level), " ", dtype);
      expect_as_defined(std::make_shared<fast::LayerNorm>(1e-5f, false, false),
                        {numbers({3, 77}, dtype)}, what);
      expect_as_defined(std::make_shared<fast::RoPE>(fast::Rotation{.dims = 10}),
                        {numbers({2, 3, 5, 13}, dtype), array(7)}, what);
      for (int L : {1, 2, 4, 7, 30})
        for (int D : {5, 32, 43})
          expect_as_defined(std::make_shared<fast::Attention>(0.5f, true, false, false),
                            {numbers({2, 4, L, D}, dtype), numbers({2, 2, 45, D}, dtype, 2),
                             numbers({2, 2, 45, D + 1}, dtype, 3)},
                            concat(what, " L ", L, " D ", D));
    }
  }
  cpu::set_isa(isa);
}

// ---- Products -------------------------------------------------------------------------------

TEST(Matmul, TakesEveryLayout) {
  for (Dtype dtype : {float32, float16, bfloat16, float64, complex64})
    for (auto [m, k, n] : {std::tuple{1, 40, 30}, {20, 7, 33}, {3, 1, 1}, {5, 64, 9}}) {
      const array a = numbers({2, 3, m, k}, dtype, 1), b = numbers({3, k, n}, dtype, 2);
      const array want = sum(
          multiply(expand_dims(astype(a, complex64), -1), expand_dims(astype(b, complex64), -3)),
          -2);
      for (const array& x : layouts(a))
        for (const array& y : layouts(b))
          expect_close(matmul(x, y), astype(want, dtype),
                       2 * kTolerance.at(dtype == complex64 ? float32 : dtype),
                       concat("matmul ", dtype));
    }
}

TEST(Matmul, MultipliesComplexNumbers) {
  const complex64_t i(0, 1);
  const array a({complex64_t(1, 2), i, complex64_t(3, 0), complex64_t(0, -1)}, {2, 2});
  const array b({i, complex64_t(1, 1)}, {2});
  const auto y = matmul(a, b).to_vector<complex64_t>();
  EXPECT_EQ(y[0], complex64_t(1, 2) * i + i * complex64_t(1, 1));
  EXPECT_EQ(y[1], complex64_t(3, 0) * i + complex64_t(0, -1) * complex64_t(1, 1));
  EXPECT_EQ(vecdot(array({complex64_t(1, 2)}, {1}), array({i}, {1})).item<complex64_t>(),
            complex64_t(1, -2) * i);
}

TEST(Matmul, PromotesAndRefuses) {
  EXPECT_EQ(matmul(array({1.0f}), array({2}, int32)).dtype(), float32);
  EXPECT_EQ(matmul(astype(array({1.0f}), float16), astype(array({2.0f}), bfloat16)).dtype(),
            float32);
  EXPECT_THROW(matmul(array({1}, int32), array({2}, int32)), std::invalid_argument);
  EXPECT_THROW(matmul(array(1.0f), array({2.0f})), std::invalid_argument);
  EXPECT_THROW(matmul(array({1.0f, 2.0f}), array({2.0f})), std::invalid_argument);
  EXPECT_THROW(matmul(numbers({2, 3, 4}, float32), numbers({3, 4, 2}, float32)),
               std::invalid_argument);
}

TEST(Fast, RefusesWhatDoesNotFit) {
  const array x = numbers({2, 3, 8}, float32), four = numbers({1, 2, 3, 8}, float32);
  EXPECT_THROW(fast::layer_norm(x, numbers({7}, float32), {}, 1e-5f), std::invalid_argument);
  EXPECT_THROW(fast::layer_norm(array(1.0f), {}, {}, 1e-5f), std::invalid_argument);
  EXPECT_THROW(fast::rms_norm(astype(x, int32), {}, 1e-5f), std::invalid_argument);
  EXPECT_THROW(fast::rope(x, 3, false, 10000.0f, 1, 0), std::invalid_argument);
  EXPECT_THROW(fast::rope(x, 10, false, 10000.0f, 1, 0), std::invalid_argument);
  EXPECT_THROW(fast::rope(x, 4, false, {}, 1, 0), std::invalid_argument);
  EXPECT_THROW(fast::rope(x, 4, false, 1.0f, 1, array({1, 2, 3}, int32)), std::invalid_argument);
  EXPECT_THROW(fast::scaled_dot_product_attention(x, x, x, 1), std::invalid_argument);
  EXPECT_THROW(fast::scaled_dot_product_attention(four, four, four, 1, "causal", array(true)),
               std::invalid_argument);
  EXPECT_THROW(fast::scaled_dot_product_attention(four, four, four, 1, "upside down"),
               std::invalid_argument);
  EXPECT_THROW(fast::linear(x, numbers({5, 7}, float32)), std::invalid_argument);
  EXPECT_THROW(fast::linear(x, numbers({5, 8}, float16)), std::invalid_argument);
}

}  // namespace
}  // namespace hearth
