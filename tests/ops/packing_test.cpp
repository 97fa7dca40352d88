// The plain definition of packed weights against gguf's and mlx's values (tests/data/packings.json,
// by tools/goldens_packings.py), to the bit.
#include "hearth/ops/packing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/packed.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using testing::error_of;
using testing::golden_packings;
using testing::GoldenPacking;

TEST(Packing, ValuesAreThoseOfGgufAndMlxToTheBit) {
  std::set<Packing> seen;
  for (const GoldenPacking& g : golden_packings()) {
    seen.insert(g.packing);
    std::vector<float> got(g.values.size());
    const int64_t rows = int64_t(got.size()) / g.in;
    unpack_rows(g.matrix(), g.in, 0, rows, got.data());
    for (size_t i = 0; i < got.size(); ++i) {
      if (std::isnan(g.values[i]))
        EXPECT_TRUE(std::isnan(got[i])) << to_string(g.packing) << " " << i;
      else
        ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(g.values[i]))
            << to_string(g.packing) << " " << to_string(g.scales) << " " << i << ": " << got[i]
            << " is not " << g.values[i];
    }
    std::vector<float> last(static_cast<size_t>(g.in));
    unpack_rows(g.matrix(), g.in, rows - 1, 1, last.data());
    EXPECT_EQ(std::memcmp(last.data(), got.data() + got.size() - last.size(), last.size() * 4), 0);
  }
  EXPECT_EQ(int(seen.size()), kPackings - 1) << "every packing but dense has values";
}

TEST(Packing, IsFoundByNameByTypeAndByBits) {
  EXPECT_EQ(find_packing("q4_k"), Packing::q4_k);
  EXPECT_EQ(find_packing("affine_4_64"), Packing::affine_4_64);
  EXPECT_EQ(find_packing("q4"), std::nullopt);
  EXPECT_EQ(packing_of_ggml(12), Packing::q4_k);
  EXPECT_EQ(packing_of_ggml(39), Packing::ggml_mxfp4);
  for (int dense : {0, 1, 28, 30}) EXPECT_EQ(packing_of_ggml(dense), Packing::dense);
  for (int64_t none : {-1, 4, 15, 16, 27, 1000}) EXPECT_EQ(packing_of_ggml(none), std::nullopt);
  EXPECT_EQ(affine_packing(3, 128), Packing::affine_3_128);
  EXPECT_EQ(affine_packing(7, 64), std::nullopt);
  EXPECT_EQ(affine_packing(4, 16), std::nullopt);
  EXPECT_EQ(to_string(Packing::mxfp4), "mxfp4");
}

TEST(Packing, PlanesHaveTheFormsOfTheirFiles) {
  const Plane blocks = plane_of(Packing::q6_k, 0, 512);
  EXPECT_EQ(blocks.dtype, uint8);
  EXPECT_EQ(blocks.row, 420);
  EXPECT_EQ(plane_of(Packing::affine_3_64, 0, 128).row, 12);
  EXPECT_EQ(plane_of(Packing::affine_3_64, 0, 128).dtype, uint32);
  EXPECT_EQ(plane_of(Packing::affine_3_64, 2, 128).row, 2);
  EXPECT_EQ(plane_of(Packing::affine_3_64, 2, 128).dtype, std::nullopt);
  EXPECT_EQ(plane_of(Packing::nvfp4, 1, 128).row, 8);
  EXPECT_EQ(plane_of(Packing::nvfp4, 1, 128).dtype, uint8);
  EXPECT_EQ(plane_of(Packing::dense, 0, 7).row, 7);
  EXPECT_TRUE(packs(Packing::q4_0, 96));
  EXPECT_FALSE(packs(Packing::q4_k, 96));
  EXPECT_NE(error_of<std::invalid_argument>([] {
              unpack_rows({Packing::q4_k, {}}, 96, 0, 1, nullptr);
            }).find("dequantize: rows of 96 weights are not whole blocks of q4_k"),
            std::string::npos);
}

}  // namespace
}  // namespace hearth
