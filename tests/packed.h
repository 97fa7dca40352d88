// Packed weights with known values (tests/data/packings.json), and random ones.
#pragma once
#include <bit>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "hearth/ops/packing.h"
#include "tests/paths.h"

namespace hearth::testing {

/// A packed matrix in memory of its own.
struct PackedMatrix {
  Packing packing;
  Dtype scales = float32;
  int64_t in = 0;
  std::vector<std::vector<std::byte>> planes;

  RawMatrix matrix() const {
    RawMatrix m(packing, {}, scales);
    for (size_t i = 0; i < planes.size(); ++i) m.planes[i] = planes[i].data();
    return m;
  }
};

/// Any codes, and scales that are numbers of moderate size, of either sign.
inline PackedMatrix random_packed(Packing packing, int64_t out, int64_t in, unsigned seed,
                                  Dtype scales = bfloat16) {
  PackedMatrix m{packing, scales, in, {}};
  std::mt19937 random(seed);
  const auto number = [&] { return (float(random() % 2001) - 1000) / 4000; };
  const auto put = [](std::byte* to, auto value) { std::memcpy(to, &value, sizeof value); };
  const PackingInfo& info = packing_info(packing);
  for (int i = 0; i < info.planes; ++i) {
    const Plane plane = plane_of(packing, i, in);
    auto& bytes =
        m.planes.emplace_back(size_t(out * plane.row) * size_of(plane.dtype.value_or(scales)));
    for (std::byte& b : bytes) {
      b = std::byte(random());
      if (code_bits(packing) == 8 && info.planes == 2 && (b & std::byte{0x7f}) == std::byte{0x7f})
        b = {};  // NaN
    }
    for (size_t at = 0; i > 0 && at < bytes.size();) {
      if (plane.dtype) {  // e8m0 or e4m3, about 1
        bytes[at++] = std::byte(packing == Packing::nvfp4 ? random() % 120 : 120 + random() % 12);
      } else if (scales == float32) {
        put(&bytes[at], number()), at += 4;
      } else {
        const float v = number();
        put(&bytes[at], scales == float16 ? float16_t(v).bits : bfloat16_t(v).bits), at += 2;
      }
    }
  }
  // Where blocks of GGUF files keep their scales in half precision.
  const std::map<Packing, std::vector<int>> halves = {
      {Packing::q2_k, {80, 82}}, {Packing::q3_k, {108}},  {Packing::q6_k, {208}},
      {Packing::tq1_0, {52}},    {Packing::tq2_0, {64}},  {Packing::ggml_mxfp4, {}},
      {Packing::ggml_nvfp4, {}}, {Packing::q4_1, {0, 2}}, {Packing::q5_1, {0, 2}},
      {Packing::q4_k, {0, 2}},   {Packing::q5_k, {0, 2}}};
  for (size_t block = 0; info.planes == 1 && block < m.planes[0].size();
       block += size_t(info.bytes)) {
    std::byte* const at = m.planes[0].data() + block;
    const auto found = halves.find(packing);
    for (const int half : found == halves.end() ? std::vector{0} : found->second)
      put(at + half, float16_t(number()).bits);
    if (packing == Packing::ggml_mxfp4) *at = std::byte(120 + random() % 12);
    if (packing == Packing::ggml_nvfp4)
      for (int i = 0; i < 4; ++i) at[i] = std::byte(random() % 120);
  }
  return m;
}

struct GoldenPacking : PackedMatrix {
  std::vector<float> values;
};

inline std::vector<GoldenPacking> golden_packings() {
  const auto bytes = [](const std::string& hex) {
    std::vector<std::byte> out;
    for (size_t i = 0; i < hex.size(); i += 2)
      out.push_back(std::byte(std::stoi(hex.substr(i, 2), nullptr, 16)));
    return out;
  };
  std::vector<GoldenPacking> all;
  std::ifstream file(source_dir() / "tests/data/packings.json");
  for (const nlohmann::json& c : nlohmann::json::parse(file)) {
    GoldenPacking g;
    g.packing = find_packing(c.at("packing").get<std::string>()).value();
    g.in = c.at("in");
    const std::string scales = c.value("scales", "float32");
    g.scales = scales == "float16" ? float16 : scales == "bfloat16" ? bfloat16 : float32;
    for (const std::string plane : c.at("planes")) g.planes.push_back(bytes(plane));
    const std::vector<std::byte> values = bytes(c.at("values"));
    g.values.resize(values.size() / 4);
    std::memcpy(g.values.data(), values.data(), values.size());
    all.push_back(std::move(g));
  }
  return all;
}

}  // namespace hearth::testing
