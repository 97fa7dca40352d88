// Folders in MLX's packed forms, and weights that are checked when they are loaded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "hearth/llm/gguf_out.h"
#include "hearth/llm/mlx_out.h"
#include "hearth/llm/model.h"
#include "hearth/ops/ops.h"
#include "tests/gguf_file.h"
#include "tests/llm/tiny_checkpoint.h"

namespace hearth::llm {
namespace {

using ::testing::AllOf;
using testing::content_of;
using testing::error_of;
using ::testing::HasSubstr;
using testing::source_dir;
using testing::TempFolder;
using testing::TinyCheckpoint;

TEST(MlxOut, EveryFormIsReadAgain) {
  const TempFolder folder;
  const auto from = source_dir() / "models/tiny-phi";
  const auto dense = load_model(from, {.dtype = float32});
  const std::vector<int> ids{12, 900, 31, 7};
  const auto logits = [&](LanguageModel& model) {
    auto cache = model.make_cache();
    return model.forward({array(ids.begin(), Shape{1, 4}, int32), {}, true}, cache);
  };
  const array wanted = astype(logits(*dense), float32);
  for (const std::string& form : mlx_forms()) {
    const auto to = folder / form;
    const Packing packing = find_mlx_form(form).value();
    const MlxWritten w = write_mlx(to, from, packing);
    EXPECT_EQ(w.types.at(std::string(to_string(packing))), 38u) << form;
    EXPECT_LT(w.bytes, w.bytes_before) << form;
    const auto model = load_model(to, {.dtype = float32});
    EXPECT_EQ(model->parameters().at("model.layers.0.self_attn.q_proj.weight").value().packing(),
              packing);
    const array error = subtract(astype(logits(*model), float32), wanted);
    const float relative =
        std::sqrt(mean(square(error)).item<float>() / mean(square(wanted)).item<float>());
    EXPECT_LT(relative, form.find("8") != form.npos ? 0.1f : 1.5f) << form;
    EXPECT_TRUE(std::filesystem::exists(to / "tokenizer.json"));
    const auto config = nlohmann::json::parse(content_of(to / "config.json"));
    EXPECT_EQ(config["quantization"]["bits"], code_bits(packing));
  }
}

TEST(MlxOut, LeavesNothingOfWhatFailed) {
  const TempFolder folder;
  const TinyCheckpoint tiny("llama");
  const Packing packing = *find_mlx_form("mlx-4bit");
  const auto error = [&](const std::filesystem::path& to, const std::filesystem::path& from) {
    return error_of([&] { write_mlx(to, from, packing); });
  };
  folder.write("full/file", "x");
  EXPECT_THAT(error(folder / "full", tiny.path()), HasSubstr("is there already"));
  EXPECT_THAT(error(folder / "new", source_dir() / "tests/data/gguf/tiny.gguf"),
              HasSubstr("not of a GGUF file"));
  write_mlx(folder / "packed", source_dir() / "models/tiny-phi", packing);
  EXPECT_THAT(error(folder / "new", folder / "packed"),
              HasSubstr("quantized already (MLX, 4 bits)"));
  write_mlx(folder / "new", source_dir() / "models/tiny-phi", packing,
            [](size_t, size_t) { return false; });
  EXPECT_FALSE(std::filesystem::exists(folder / "new"));
  EXPECT_EQ(find_mlx_form("mlx-7bit"), std::nullopt);
}

// Every block of a GGUF file has a scale: each in turn is made NaN or infinite.
TEST(Verify, NamesTheTensorWhoseScaleIsNoNumber) {
  const TempFolder folder;
  const std::string good = content_of(source_dir() / "tests/data/gguf/tiny.gguf");
  const Gguf file = Gguf::of_bytes(std::as_bytes(std::span(good)), "tiny.gguf");
  EXPECT_NO_THROW(load_model(folder.write("m.gguf", good), {.verify = true}));
  size_t spoiled = 0;
  for (const GgufTensor& t : file.tensors()) {
    if (t.shape.size() < 2 || t.name.starts_with("blk.0")) continue;
    const size_t row = t.bytes / size_t(t.shape[0]);
    for (const uint16_t half : {uint16_t(0x7e00), uint16_t(0xfc00)}) {
      std::string bad = good;
      const uint16_t bits = t.type == 30 ? uint16_t(half == 0x7e00 ? 0x7fc0 : 0xff80) : half;
      std::memcpy(bad.data() + t.offset + 3 * row, &bits, sizeof bits);
      const auto path = folder.write("m.gguf", bad);
      EXPECT_THAT(error_of([&] { load_model(path, {.verify = true}); }),
                  AllOf(HasSubstr(std::string(t.name)), HasSubstr("row 3 has a"),
                        HasSubstr("NaN or infinite")))
          << t.name;
      EXPECT_NO_THROW(load_model(path));
      ++spoiled;
    }
  }
  EXPECT_EQ(spoiled, 16u);
}

TEST(Verify, LooksAtFoldersToo) {
  const TempFolder folder;
  const TinyCheckpoint tiny("llama");
  auto tensors = load_safetensors((tiny.path() / "model.safetensors").string()).first;
  folder.write("config.json", content_of(tiny.path() / "config.json"));
  auto& norm = tensors.at("model.norm.weight");
  norm = where(equal(arange(0, norm.shape(0), 1), array(2)), array(NAN), norm);
  save_safetensors((folder / "model.safetensors").string(), tensors);
  EXPECT_THAT(error_of([&] { load_model(folder.path(), {.verify = true}); }),
              AllOf(HasSubstr("\"model.norm.weight\""), HasSubstr("a weight that is NaN")));
  EXPECT_NO_THROW(load_model(tiny.path(), {.verify = true}));
}

}  // namespace
}  // namespace hearth::llm
