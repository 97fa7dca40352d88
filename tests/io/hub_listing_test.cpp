// Which of a model's files are fetched.
#include "hearth/io/hub_listing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/temp_folder.h"

namespace hearth {
namespace {

using testing::error_of;
using ::testing::HasSubstr;

TEST(HubListing, TakesWhatAModelNeeds) {
  const auto chosen = [](std::vector<std::string> names, std::vector<std::string> include = {},
                         std::vector<std::string> exclude = {}) {
    std::vector<HubFile> files;
    for (const auto& name : names) files.push_back({name, 1, ""});
    std::set<std::string> out;
    for (const auto& file : choose_files(files, include, exclude)) out.insert(file.name);
    return out;
  };
  using Names = std::set<std::string>;
  const std::vector<std::string> all = {".gitattributes",
                                        "README.md",
                                        "LICENSE",
                                        "config.json",
                                        "generation_config.json",
                                        "model.safetensors",
                                        "model.fp16.safetensors",
                                        "pytorch_model.bin",
                                        "tf_model.h5",
                                        "flax_model.msgpack",
                                        "onnx/model.onnx",
                                        "onnx/config.json",
                                        "original/consolidated.00.pth",
                                        "tokenizer.json",
                                        "tokenizer.model",
                                        "vocab.txt",
                                        "chat_template.jinja",
                                        "modules.json",
                                        "1_Pooling/config.json",
                                        "additional_chat_templates/tool.jinja",
                                        "modeling_x.py"};
  EXPECT_EQ(chosen(all), (Names{"LICENSE", "config.json", "generation_config.json",
                                "model.safetensors", "tokenizer.json", "tokenizer.model",
                                "vocab.txt", "chat_template.jinja", "modules.json",
                                "1_Pooling/config.json", "additional_chat_templates/tool.jinja"}));
  EXPECT_EQ(chosen({"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                    "model.safetensors.index.json", "consolidated.safetensors",
                    "pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"}),
            (Names{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                   "model.safetensors.index.json"}));
  EXPECT_EQ(chosen({"pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"}),
            (Names{"pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"}));
  EXPECT_EQ(chosen({"consolidated.safetensors", "params.json", "tekken.json"}),
            (Names{"consolidated.safetensors", "params.json", "tekken.json"}));
  EXPECT_EQ(chosen({"m.Q4_K_M.gguf", "README.md"}), Names{"m.Q4_K_M.gguf"});
  EXPECT_THAT(error_of([&] {
                chosen({"m.Q4.gguf", "m.Q8.gguf"});
              }),
              HasSubstr("--include \"m.Q4.gguf\""));
  EXPECT_EQ(chosen({"m.Q4.gguf", "m.Q8.gguf"}, {}, {"*Q8*"}), Names{"m.Q4.gguf"});
  // Patterns as Python's fnmatch.
  EXPECT_EQ(chosen(all, {"*.json"}, {"onnx/", "[a-g]*_config.json"}),
            (Names{"config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json"}));
  EXPECT_EQ(chosen(all, {"onnx/"}), (Names{"onnx/model.onnx", "onnx/config.json"}));
  EXPECT_EQ(
      chosen({"config.json", "model.safetensors", "pytorch_model.bin"}, {}, {"*.safetensors"}),
      (Names{"config.json", "pytorch_model.bin"}));
  EXPECT_THAT(error_of([&] { chosen(all, {"nothing*"}); }), HasSubstr("none of the model's files"));
}

}  // namespace
}  // namespace hearth
