// MLX's quantized operations against MLX: tests/data/quantize.json, by tools/goldens_quantize.py.
#include "hearth/ops/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "hearth/ops/ops.h"
#include "hearth/transforms/grad.h"
#include "tests/paths.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::source_dir;

/// Packing is the CPU's.
std::vector<array> quantized(const array& w, std::optional<int> group = {},
                             std::optional<int> bits = {}, const std::string& mode = "affine") {
  return quantize(w, group, bits, mode, {}, Device::cpu);
}
fast::Matrix quantized(const array& w, Packing packing) {
  return fast::quantize(w, packing, {}, Device::cpu);
}

template <class F>
std::string refused(const F& f) {
  return testing::error_of<std::invalid_argument>(f);
}

const json& goldens() {
  static const json all = json::parse(std::ifstream(source_dir() / "tests/data/quantize.json"));
  return all;
}
std::vector<std::byte> bytes(const std::string& hex) {
  std::vector<std::byte> out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(std::byte(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}
array read(const std::string& hex, const Shape& shape, Dtype dtype = float32) {
  const auto from = bytes(hex);
  array out = uninitialized(shape, dtype);
  EXPECT_EQ(from.size(), out.nbytes());
  std::memcpy(out.node().data(), from.data(), std::min(from.size(), out.nbytes()));
  return out;
}
std::string hex_of(const array& a) {
  const array x = contiguous(a);
  std::string out;
  for (size_t i = 0; i < x.nbytes(); ++i)
    for (const int nibble : {4, 0})
      out += "0123456789abcdef"[int(x.host_bytes()[i]) >> nibble & 15];
  return out;
}
Dtype dtype_named(const std::string& name) {
  for (const Dtype d : {float16, bfloat16, float32})
    if (to_string(d) == name) return d;
  return bool_;
}

TEST(Quantize, GivesMlxsBits) {
  for (const json& c : goldens().at("cases")) {
    const Dtype dtype = dtype_named(c.at("dtype"));
    const array w = read(goldens().at("weights").at(c.at("dtype")), {4, 128}, dtype);
    const auto planes = quantized(w, c.at("group_size").get<int>(), c.at("bits").get<int>(),
                                  c.at("mode").get<std::string>());
    ASSERT_EQ(planes.size(), c.at("planes").size());
    for (size_t i = 0; i < planes.size(); ++i)
      EXPECT_EQ(hex_of(planes[i]), c.at("planes")[i])
          << c.at("mode") << ", " << c.at("bits") << " bits, groups of " << c.at("group_size")
          << ", " << dtype << ", plane " << i;
  }
}

TEST(Quantize, ProductsAreMlxs) {
  const array w = read(goldens().at("weights").at("float32"), {4, 128});
  const array x = read(goldens().at("x"), {3, 128}),
              left = read(goldens().at("left"), {2, 3, 5, 64});
  const array experts = read(goldens().at("experts"), {4, 32, 64});
  const array ids({3, 0, 1, 2, 2, 0}, Shape{2, 3}, int32),
      rows({0, 5, 2, 4, 1, 3}, Shape{2, 3}, int32);
  for (const json& c : goldens().at("products")) {
    const int group = c.at("group_size"), bits = c.at("bits");
    const std::string mode = c.at("mode");
    const auto biases = [](const std::vector<array>& q) {
      return q.size() > 2 ? std::optional(q[2]) : std::nullopt;
    };
    const auto q = quantized(w, group, bits, mode), e = quantized(experts, group, bits, mode);
    const auto close = [&](const array& got, const char* key) {
      const array want = read(c.at(key), got.shape());
      const double most = max(abs(want)).item<float>();
      EXPECT_LE(max(abs(subtract(got, want))).item<float>(), 1e-5 * most)
          << mode << " " << bits << " " << key;
    };
    close(quantized_matmul(x, q[0], q[1], biases(q), true, group, bits, mode), "matmul");
    close(
        quantized_matmul(read(c.at("xs"), {2, 4}), q[0], q[1], biases(q), false, group, bits, mode),
        "plain");
    close(gather_qmm(left, e[0], e[1], biases(e), {}, ids, true, group, bits, mode), "gathered");
    close(gather_qmm(left, e[0], e[1], biases(e), rows, ids, true, group, bits, mode), "both");
  }
}

// The scales of nvfp4, times one of all.
TEST(Quantize, AGlobalScaleIsMlxs) {
  const array w = read(goldens().at("weights").at("float32"), {4, 128});
  const array x = slice(read(goldens().at("x"), {3, 128}), {0, 0}, {1, 128});
  const auto near = [](const array& got, const json& hex) {
    const array want = read(hex, got.shape());
    EXPECT_LE(max(abs(subtract(got, want))).item<float>(), 1e-6f * max(abs(want)).item<float>());
  };
  for (const json& c : goldens().at("scaled")) {
    const array scale(c.at("scale").get<float>());
    const auto q = quantize(w, {}, {}, "nvfp4", scale, Device::cpu);
    for (size_t i = 0; i < 2; ++i) EXPECT_EQ(hex_of(q[i]), c.at("planes")[i]) << i;
    const array values = dequantize(q[0], q[1], {}, {}, {}, "nvfp4", scale);
    EXPECT_EQ(hex_of(values), c.at("values"));
    const array three(3.0f);
    const auto p = quantize(x, {}, {}, "nvfp4", three, Device::cpu);
    const array product =
        matmul(dequantize(p[0], p[1], {}, {}, {}, "nvfp4", three), transpose(values));
    EXPECT_TRUE(
        array_equal(qqmm(x, q[0], q[1], {}, {}, "nvfp4", three, scale), product).item<bool>());
    EXPECT_TRUE(array_equal(qqmm(x, w, {}, {}, {}, "nvfp4", three, scale), product).item<bool>());
    EXPECT_EQ(dequantize(q[0], q[1], {}, {}, {}, "nvfp4", scale, float16).dtype(), float16);
  }
  const array row = slice(w, {0, 0}, {1, 128});
  near(qqmm(x, row), goldens().at("qqmm"));
  const array both = gather_qqmm(stack({x, row}), stack({row, x}), {}, {}, array({1, 1}, int32));
  EXPECT_EQ(both.shape(), (Shape{2, 1, 1}));
  near(
      slice(gather_qqmm(stack({x, row}), stack({row, x}), {}, array({0}, int32), array({0}, int32)),
            {0, 0, 0}, {1, 1, 1}),
      goldens().at("qqmm"));
  EXPECT_THAT(refused([&] { quantize(w, {}, {}, "mxfp4", array(1.0f)); }), HasSubstr("of nvfp4"));
  EXPECT_THAT(refused([&] {
                quantize(w, {}, {}, "nvfp4", array({1.0f, 2.0f}));
              }),
              HasSubstr("one float32"));
  EXPECT_THAT(refused([&] { qqmm(x, w, {}, {}, {}, "affine"); }), HasSubstr("not one of nvfp4"));
  EXPECT_THAT(refused([&] { qqmm(x, astype(w, float16)); }), HasSubstr("w is float16"));
  EXPECT_THAT(refused([&] { qqmm(zeros({1, 64}), w); }), HasSubstr("inner sizes differ"));
}

TEST(Quantize, RoundTripsWithinAStep) {
  const array w = random::uniform(-1.0f, 1.0f, {8, 256});
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    const auto q = quantized(w, 64, bits);
    const array back = dequantize(q[0], q[1], q[2], 64, bits);
    EXPECT_EQ(back.shape(), w.shape());
    const float step = 2.0f / float((1 << bits) - 1);
    // One end is met exactly; the other may be cut by a step.
    EXPECT_LT(max(abs(subtract(back, w))).item<float>(), 1.2f * step) << bits;
  }
}

// As MLX: rounded to the scales' dtype, whatever is asked for; products are not.
TEST(Quantize, ValuesOfHalfScalesAreRoundedToThem) {
  for (const Dtype half : {float16, bfloat16}) {
    const array w = astype(random::normal({8, 64}), half), x = random::normal({3, 64});
    const auto q = quantized(w);
    const array own = dequantize(q[0], q[1], q[2]);
    EXPECT_EQ(own.dtype(), half);
    const array wide = dequantize(q[0], q[1], q[2], {}, {}, "affine", {}, float32);
    EXPECT_TRUE(array_equal(wide, astype(own, float32)).item<bool>());
    const fast::Matrix m(Packing::affine_4_64, q);
    const array exact = fast::dequantize(m, float32);
    EXPECT_FALSE(array_equal(exact, wide).item<bool>());
    // Half a unit in the last place of scale * code, twice the largest at most, and of the sum.
    const double most = max(abs(astype(w, float32))).item<float>();
    EXPECT_TRUE(
        allclose(exact, wide, 0, most * (half == bfloat16 ? 0x1p-7 : 0x1p-10)).item<bool>());
    EXPECT_TRUE(
        allclose(quantized_matmul(x, q[0], q[1], q[2]), matmul(x, transpose(exact)), 1e-4, 1e-5)
            .item<bool>());
  }
}

TEST(Quantize, RefusesWhatMlxRefuses) {
  const array w = zeros({2, 64});
  const auto q = quantized(w);
  EXPECT_THAT(refused([&] { quantized(w, 64, 7); }), HasSubstr("quantize: 7 bits in groups of 64"));
  EXPECT_THAT(refused([&] { quantized(w, 48, 4); }), HasSubstr("groups of 48"));
  EXPECT_THAT(refused([&] { quantize(zeros({2, 33})); }), HasSubstr("no whole number of groups"));
  EXPECT_THAT(refused([&] { quantize(zeros({64})); }), HasSubstr("2 axes or more"));
  EXPECT_THAT(refused([&] { quantize(zeros({2, 64}, int32)); }), HasSubstr("int32"));
  EXPECT_THAT(refused([&] { quantized(w, 64, 4, "mxfp4"); }), HasSubstr("mxfp4 has 4 bits"));
  EXPECT_THAT(refused([&] { quantized(w, {}, {}, "q4_k"); }), HasSubstr("is not one of affine"));
  EXPECT_THAT(refused([&] { dequantize(q[0], q[1], {}); }), HasSubstr("wants biases"));
  EXPECT_THAT(refused([&] { dequantize(q[0], q[1], q[2], 32, 4); }),
              HasSubstr("the scales of affine_4_32 are (2, 1), wanted (2, 2)"));
  EXPECT_THAT(refused([&] { dequantize(q[1], q[1], q[2]); }), HasSubstr("wanted uint32"));
  EXPECT_THAT(refused([&] {
                quantized_matmul(zeros({1, 63}), q[0], q[1], q[2]);
              }),
              HasSubstr("inner sizes differ"));
}

TEST(Matrix, PackedWeightsStandWhereDenseOnesDo) {
  const array w = random::normal({24, 64}), x = random::normal({3, 64});
  const array bias = random::normal({24}), residual = random::normal({3, 24});
  const array stack = random::normal({5, 24, 64});
  const array ids({4, 0, 0, 2, 1, 4}, Shape{3, 2}, int32);
  for (const Packing p : {Packing::affine_4_64, Packing::affine_3_32, Packing::affine_8_64,
                          Packing::mxfp4, Packing::nvfp4, Packing::mxfp8}) {
    const fast::Matrix packed = quantized(w, p);
    EXPECT_EQ(packed.shape(), w.shape());
    EXPECT_LT(packed.nbytes(), w.nbytes());
    const array dense = fast::dequantize(packed);
    const auto same = [&](const array& a, const array& b) {
      EXPECT_TRUE(allclose(a, b, 1e-5, 1e-5).item<bool>()) << to_string(p);
    };
    const auto silu = fast::Activation::silu;
    same(fast::linear(x, packed, bias, silu, residual),
         fast::linear(x, dense, bias, silu, residual));
    const fast::Projection gates[] = {{packed, bias, silu, true}, {packed, {}}, {w, {}}};
    const fast::Projection plain[] = {{dense, bias, silu, true}, {dense, {}}, {w, {}}};
    const fast::Norm norm{random::normal({64}), {}, 1e-5f, true};
    const Arrays got = fast::linears(x, gates, norm), want = fast::linears(x, plain, norm);
    for (size_t i = 0; i < want.size(); ++i) same(got[i], want[i]);
    const fast::Term terms[] = {{x, packed, bias}, {x, w, {}}},
                     dense_terms[] = {{x, dense, bias}, {x, w, {}}};
    same(fast::linear_sum(terms, residual), fast::linear_sum(dense_terms, residual));
    const fast::Matrix experts = quantized(stack, p);
    const array each = fast::dequantize(experts);
    const fast::Projection one[] = {{experts, {}, silu, true}, {experts, {}}};
    const fast::Projection other[] = {{each, {}, silu, true}, {each, {}}};
    const array rows = expand_dims(x, -2);
    same(fast::expert_linears(rows, ids, one)[0], fast::expert_linears(rows, ids, other)[0]);
    same(fast::dequantize(fast::take_rows(packed, array({3, 0}, int32))),
         take(dense, array({3, 0}, int32), 0));
  }
}

TEST(Matrix, HasAGradientByXAndNoneByWhatIsPacked) {
  const fast::Matrix packed = quantized(random::normal({24, 64}), Packing::affine_4_64);
  const array dense = fast::dequantize(packed), x = random::normal({3, 64});
  const auto slope = [&](const fast::Matrix& w) {
    return grad([&](const array& x) { return sum(square(fast::linear(x, w))); })(x);
  };
  EXPECT_TRUE(allclose(slope(packed), slope(dense), 1e-4, 1e-4).item<bool>());
  const auto by_scales = [&](const array& scales) {
    const Arrays planes{packed.planes()[0], scales, packed.planes()[2]};
    return sum(fast::linear(x, fast::Matrix(Packing::affine_4_64, planes)));
  };
  EXPECT_THAT(refused([&] { grad(by_scales)(packed.planes()[1]); }),
              HasSubstr("packed weights (affine_4_64) have no gradient"));
}

}  // namespace
}  // namespace hearth
