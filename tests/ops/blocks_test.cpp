// Weights as blocks of GGUF files: to the bit what ggml makes of them (tests/data/blocks.json, by
// tools/goldens_blocks.py), on every instruction set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "hearth/backend/cpu/isa.h"
#include "hearth/ops/ops.h"
#include "hearth/ops/quantize.h"
#include "tests/paths.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using testing::error_of;
using ::testing::HasSubstr;

std::string bytes_of_hex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i < hex.size(); i += 2)
    out.push_back(char(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}
std::vector<float> floats_of_hex(const std::string& hex) {
  const std::string bytes = bytes_of_hex(hex);
  std::vector<float> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

struct Goldens {
  nlohmann::json json =
      nlohmann::json::parse(testing::content_of(testing::source_dir() / "tests/data/blocks.json"));
  int width = json.at("width");
  std::vector<float> values = floats_of_hex(json.at("rows")),
                     weights = floats_of_hex(json.at("importance"));
  array rows{values.begin(), Shape{int(values.size()) / width, width}, float32};
  array importance{weights.begin(), Shape{width}, float32};
};

/// Packing is the CPU's.
fast::Matrix on_host(const array& w, Packing packing, const std::optional<array>& importance = {}) {
  return fast::quantize(w, packing, importance, Device::cpu);
}
std::string blocks_of(const fast::Matrix& m) {
  const auto bytes = m.planes()[0].to_vector<uint8_t>();
  return {bytes.begin(), bytes.end()};
}

TEST(Blocks, AreThoseOfGgmlToTheBit) {
  const Goldens g;
  int seen = 0;
  for (const cpu::Isa isa : cpu::isa_levels()) {
    const cpu::Isa before = cpu::isa();
    cpu::set_isa(isa);
    for (const auto& [name, wanted] : g.json.at("blocks").items()) {
      const Packing packing = find_packing(name).value();
      for (const bool weighted : {false, true}) {
        const auto got = blocks_of(
            on_host(g.rows, packing, weighted ? std::optional(g.importance) : std::nullopt));
        const std::string want = bytes_of_hex(wanted[weighted ? 1 : 0]);
        ASSERT_EQ(got.size(), want.size()) << name;
        const auto size = size_t(packing_info(packing).bytes);
        for (size_t i = 0; i < got.size(); i += size)
          ASSERT_EQ(got.substr(i, size), want.substr(i, size))
              << name << (weighted ? " by importance" : "") << ", block " << i / size << " on "
              << to_string(isa);
      }
      ++seen;
    }
    cpu::set_isa(before);
  }
  int packings = 0;
  for (const PackingInfo& info : kPackingInfo) packings += info.ggml_type >= 0;
  EXPECT_EQ(seen, packings * int(cpu::isa_levels().size())) << "every block of the table";
}

// Rows that end in the middle of the 256 weights that are searched at once.
TEST(Blocks, OfShortRowsAreThoseOfTheirBlocks) {
  const Goldens g;
  for (const Packing p : {Packing::q4_0, Packing::q4_1, Packing::q5_0, Packing::q5_1, Packing::q8_0,
                          Packing::iq4_nl, Packing::ggml_mxfp4, Packing::ggml_nvfp4}) {
    const int width = 192;
    const array narrow = slice(g.rows, {0, 0}, {8, width});
    const std::string all = blocks_of(on_host(g.rows, p)), some = blocks_of(on_host(narrow, p));
    const auto row = size_t(row_bytes(p, width)), whole = size_t(row_bytes(p, g.width));
    for (size_t i = 0; i < 8; ++i)
      EXPECT_EQ(some.substr(i * row, row), all.substr(i * whole, row)) << to_string(p) << " " << i;
  }
}

TEST(Blocks, OfExpertsTakeTheImportanceOfEach) {
  const Goldens g;
  const array w = reshape(g.rows, {2, 4, g.width});
  const array importance = stack(Arrays{g.importance, add(g.importance, array(1.0f))}, 0);
  const std::string both = blocks_of(on_host(w, Packing::q4_k, importance));
  std::string each;
  for (int e = 0; e < 2; ++e)
    each += blocks_of(on_host(take(w, e, 0), Packing::q4_k, take(importance, e, 0)));
  EXPECT_EQ(both, each);
}

TEST(Blocks, OfHalvesAreThoseOfTheirValues) {
  const Goldens g;
  for (const Dtype dtype : {float16, bfloat16}) {
    const array half = astype(clip(g.rows, array(-6e4f), array(6e4f)), dtype);
    EXPECT_EQ(blocks_of(on_host(half, Packing::q6_k)),
              blocks_of(on_host(astype(half, float32), Packing::q6_k)));
  }
}

TEST(Blocks, UnpackToWhatIsNear) {
  const array w = random::normal({16, 512});
  for (const PackingInfo& info : kPackingInfo) {
    if (info.ggml_type < 0) continue;
    const Packing p = find_packing(info.name).value();
    const array error = subtract(fast::dequantize(on_host(w, p), float32), w);
    const float rms = std::sqrt(mean(square(error)).item<float>());
    const double bits = 8.0 * double(info.bytes) / double(info.weights);
    EXPECT_LT(rms, bits < 2.1 ? 1.2 : 2.0 * std::exp2(-bits + 1.4)) << info.name;
  }
}

TEST(Blocks, RefuseWhatDoesNotFit) {
  const array w = zeros({4, 256});
  const auto refused = [&](const array& x, Packing p, std::optional<array> importance) {
    return error_of<std::invalid_argument>([&] { on_host(x, p, importance); });
  };
  EXPECT_THAT(refused(zeros({4, 96}), Packing::q4_k, {}),
              HasSubstr("no whole number of blocks of 256"));
  EXPECT_THAT(refused(w, Packing::dense, {}), HasSubstr("wanted a packing"));
  EXPECT_THAT(refused(w, Packing::q4_k, zeros({255})),
              HasSubstr("the importance is float32 of shape"));
  EXPECT_THAT(refused(w, Packing::q4_k, zeros({4, 256})), HasSubstr("the importance is"));
  EXPECT_THAT(refused(w, Packing::affine_4_64, zeros({256})), HasSubstr("no use for importance"));
}

}  // namespace
}  // namespace hearth
