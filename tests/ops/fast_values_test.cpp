// Matrix products and fused operations against NumPy (tools/goldens_fast.py).
#include <fstream>

#include "tests/ops/fused.h"
#include "tests/shared.h"

namespace hearth {
namespace {

using namespace fused;

using nlohmann::json;

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
    for (fast::Activation a : fast::kActivations)
      if (p["activation"] == to_string(a)) return fast::linear(in[0], in[1], in[2], a, in[3]);
  }
  throw std::runtime_error("no such case: " + op);
}

Arrays run_all(const json& c, const Arrays& in) {
  if (c["op"] != "cached_attention") return {run(c, in)};
  const json& p = c["params"];
  const auto offsets = p["offsets"].get<std::vector<int>>();
  const auto r = fast::cached_attention(
      in[0], in[1], in[2], copy(in[3]), copy(in[4]),
      array(offsets.begin(), {int(offsets.size())}, int32),
      {.scale = p["scale"],
       .rotation = {.dims = p["dims"], .traditional = p["traditional"], .base = p["base"]}});
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
      const Arrays out = run_all(c, in);
      // Halves against f64, which is as NumPy says, on the same rounded numbers. Tensor cores take
      // the weights of attention as halves.
      const bool half = dtype == float16 || dtype == bfloat16;
      Arrays wide;
      if (half) {
        for (const array& x : in) wide.push_back(astype(x, float64));
        wide = run_all(c, wide);
      }
      const bool rounded_weights = half && default_device() != Device::cpu &&
                                   std::string(c["op"]).find("attention") != std::string::npos;
      for (size_t k = 0; k < out.size(); ++k)
        expect_close(out[k], astype(half ? wide[k] : tensor(c["out"][k]), dtype),
                     rounded_weights ? Tolerance{2, 1}
                     // Keys are rounded on their way through the cache.
                     : half && c["op"] == "cached_attention" ? Tolerance{1, 0.25}
                     : dtype == float64 ? Tolerance{0, 0, 1e-6}  // the constants are f32
                                        : tolerance(dtype),
                     what + " " + std::string(to_string(dtype)));
    }
  }
}

}  // namespace
}  // namespace hearth
