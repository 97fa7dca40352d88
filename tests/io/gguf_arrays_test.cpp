// MLX's save_gguf and load_gguf.
#include "hearth/io/gguf_arrays.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hearth/ops/ops.h"
#include "hearth/ops/quantize.h"
#include "tests/gguf_file.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using testing::error_of;
using testing::GgufFile;
using ::testing::HasSubstr;
using testing::TempFolder;

TEST(GgufArrays, ComeBackAsTheyWere) {
  const TempFolder folder;
  Tensors tensors;
  for (const Dtype dtype : {float32, float16, bfloat16, float64, int8, int16, int32, int64})
    tensors.emplace(to_string(dtype), astype(reshape(arange(-3, 9, 1), {3, 4}), dtype));
  tensors.emplace("turned", swapaxes(reshape(arange(0, 6, 1), {2, 3}), 0, 1));
  GGUFMetadata metadata;
  metadata.emplace("text", std::string("a"));
  metadata.emplace("texts", std::vector<std::string>{"b", ""});
  metadata.emplace("number", array(7, uint32));
  metadata.emplace("numbers", array({0.5f, -1.0f}));
  metadata.emplace("yes", array(true));
  metadata.emplace("nothing", std::monostate());
  save_gguf((folder / "m").string(), tensors, metadata);
  const auto [got, said] = load_gguf((folder / "m.gguf").string());
  EXPECT_EQ(got.size(), tensors.size());
  for (const auto& [name, wanted] : tensors) {
    EXPECT_EQ(got.at(name).dtype(), wanted.dtype()) << name;
    EXPECT_TRUE(array_equal(got.at(name), wanted).item<bool>()) << name;
  }
  EXPECT_EQ(std::get<std::string>(said.at("text")), "a");
  EXPECT_EQ(std::get<std::vector<std::string>>(said.at("texts")),
            (std::vector<std::string>{"b", ""}));
  EXPECT_EQ(std::get<array>(said.at("number")).item<uint32_t>(), 7u);
  EXPECT_EQ(std::get<array>(said.at("number")).dtype(), uint32);
  EXPECT_EQ(std::get<array>(said.at("numbers")).to_vector<float>(), (std::vector<float>{0.5f, -1}));
  EXPECT_TRUE(std::get<array>(said.at("yes")).item<bool>());
  EXPECT_FALSE(said.contains("nothing"));
}

// MLX takes these as what its quantize gives; what that means is what the blocks mean.
TEST(GgufArrays, BlocksOf32AreMlxsQuantizedForm) {
  const TempFolder folder;
  const array w = random::normal({6, 96});
  for (const auto& [packing, type, bits] :
       {std::tuple(Packing::q4_0, 2, 4), {Packing::q4_1, 3, 4}, {Packing::q8_0, 8, 8}}) {
    const fast::Matrix m = fast::quantize(w, packing, {}, Device::cpu);
    const auto bytes = m.planes()[0].to_vector<uint8_t>();
    GgufFile file;
    file.tensor("a.weight", {96, 6}, uint32_t(type), std::string(bytes.begin(), bytes.end()));
    const auto got = load_gguf(folder.write("m.gguf", file.bytes()).string()).first;
    EXPECT_EQ(got.size(), 3u);
    const array values =
        dequantize(astype(got.at("a.weight"), uint32), astype(got.at("a.scales"), float32),
                   astype(got.at("a.biases"), float32), 32, bits);
    EXPECT_EQ(values.shape(), w.shape());
    // The biases are rounded to half precision.
    EXPECT_TRUE(allclose(values, fast::dequantize(m, float32), 1e-3, 4e-3).item<bool>())
        << to_string(packing);
  }
  const fast::Matrix m = fast::quantize(random::normal({2, 256}), Packing::q4_k, {}, Device::cpu);
  const auto bytes = m.planes()[0].to_vector<uint8_t>();
  GgufFile file;
  file.tensor("a.weight", {256, 2}, 12, std::string(bytes.begin(), bytes.end()));
  const auto got = load_gguf(folder.write("m.gguf", file.bytes()).string()).first;
  EXPECT_TRUE(array_equal(got.at("a.weight"), fast::dequantize(m, float16)).item<bool>());
}

TEST(GgufArrays, RefuseWhatTheFormatCannotSay) {
  const TempFolder folder;
  const std::string path = (folder / "m.gguf").string();
  const auto refused = [&](const Tensors& t, const GGUFMetadata& m) {
    return error_of<std::invalid_argument>([&] { save_gguf(path, t, m); });
  };
  EXPECT_THAT(refused({{"a", array(1, uint32)}}, {}), HasSubstr("a is uint32"));
  EXPECT_THAT(refused({{"a", zeros({1, 1, 1, 1, 1})}}, {}), HasSubstr("a has 5 axes"));
  EXPECT_THAT(refused({}, {{"k", zeros({2, 2})}}), HasSubstr("wanted at most one axis"));
  EXPECT_THAT(refused({}, {{"k", zeros({2}, float16)}}), HasSubstr("metadata of float16"));
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace hearth
