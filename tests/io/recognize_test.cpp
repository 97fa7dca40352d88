// What is said of files that are not what their name promises: told by content, with the next step.
#include "hearth/io/recognize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "hearth/base/listed.h"
#include "hearth/io/checkpoint.h"
#include "hearth/io/json.h"
#include "hearth/io/npy.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using ::testing::AllOf;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kPointer =
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4665076f71a8e0ef3e2b2ef2a0d4a4b0c1d8a7a3b7b1a5b4c3d2e1f0a9b8c7d6\n"
    "size 2746284456\n";

std::string number(uint64_t n, int bytes) {
  return std::string(reinterpret_cast<const char*>(&n), size_t(bytes));
}
std::string gguf(const std::string& architecture) {
  return "GGUF" + number(3, 4) + number(291, 8) + number(24, 8) + number(20, 8) +
         "general.architecture" + number(8, 4) + number(architecture.size(), 8) + architecture +
         std::string(1000, '\0');
}
/// A zip begins with a header of 30 bytes, its length of the name at 26, and the name.
std::string zip(const std::string& name) {
  std::string file = "PK\3\4" + std::string(26, '\0') + name + std::string(500, '\0');
  file[26] = char(name.size());
  return file;
}
std::string what(const std::string& file) {
  const auto kind = recognize_bytes(std::as_bytes(std::span(file)), file.size());
  return kind ? kind->is : "";
}

TEST(Recognize, TellsAFileByItsContent) {
  EXPECT_EQ(what(kPointer), "a Git LFS pointer (a text file of 135 bytes)");
  EXPECT_EQ(what("<!DOCTYPE html>\n<html>"), "a web page (HTML, 22 bytes)");
  EXPECT_EQ(what("\xef\xbb\xbf\r\n <HTML lang=en>"), "a web page (HTML, 20 bytes)");
  EXPECT_EQ(what("<!-- saved --> <html></html>"), "a web page (HTML, 28 bytes)");
  EXPECT_THAT(what("<?xml version=\"1.0\"?><Error>AccessDenied</Error>"), HasSubstr("XML"));
  EXPECT_EQ(what(gguf("phi2")),
            "a GGUF file (version 3) of a phi2 model, as llama.cpp and Ollama use it");
  EXPECT_EQ(what("GGUF" + number(2, 4)), "a GGUF file (version 2), as llama.cpp and Ollama use it");
  EXPECT_THAT(what("tjgg" + number(3, 4)), HasSubstr("older than GGUF"));
  EXPECT_EQ(what(zip("archive/data.pkl")), "a PyTorch file (a zip with a pickle)");
  EXPECT_EQ(what(zip("weights.npy")), "a NumPy archive (.npz)");
  EXPECT_EQ(what(zip("readme.txt")), "a zip archive");
  EXPECT_EQ(what("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.rest"), "a PyTorch file (a pickle)");
  EXPECT_THAT(what("\x89HDF\r\n\x1a\n"), HasSubstr("Keras"));
  EXPECT_THAT(what("\x93NUMPY\1"), HasSubstr(".npy"));
  EXPECT_THAT(what("\x1f\x8b\x08"), HasSubstr("gzip"));
  EXPECT_THAT(what(std::string(257, '\0') + "ustar" + std::string(300, '\0')), HasSubstr("tar"));
  EXPECT_THAT(what(R"({"layers":[{"mediaType":"application/vnd.ollama.image.model"}]})"),
              HasSubstr("Ollama manifest"));
  EXPECT_EQ(what("{\"a\": 1}"), "a JSON text");
  EXPECT_EQ(what("Entry not found"), "a text of 15 bytes that begins \"Entry not found\"");
  EXPECT_EQ(what(""), "");
  EXPECT_EQ(what(std::string(100, '\0')), "");
  EXPECT_EQ(what("\x08\0\0\0\0\0\0\0{}      "), "");  // a safetensors file
}

TEST(Recognize, ACutFileOfAKnownKindIsNoFault) {
  for (const std::string& file : {gguf("llama"), zip("archive/data.pkl"), kPointer})
    for (size_t n = 0; n < 100; ++n) what(file.substr(0, n));
  std::string lying = gguf("llama");
  lying.replace(24 + 8 + 20 + 4, 8, std::string(8, '\xff'));
  EXPECT_EQ(what(lying), "a GGUF file (version 3), as llama.cpp and Ollama use it");
}

class RecognizeFolder : public ::testing::Test {
 protected:
  std::string weights_error(const std::string& content) {
    folder_.write("model.safetensors", content);
    return error_of([&] { load_checkpoint(folder_.path()); });
  }
  testing::TempFolder folder_;
};

TEST_F(RecognizeFolder, WeightsThatAreSomethingElse) {
  const std::string file = (folder_ / "model.safetensors").string();
  EXPECT_EQ(weights_error(kPointer),
            file +
                " is a Git LFS pointer (a text file of 135 bytes), not the weights. Fetch them: "
                "git lfs pull");
  EXPECT_THAT(weights_error("<html>" + std::string(5000, ' ')),
              AllOf(HasSubstr("is a web page (HTML, 5006 bytes), not the weights"),
                    HasSubstr("/resolve/")));
  EXPECT_THAT(weights_error(gguf("llama")), HasSubstr("of a llama model"));
  EXPECT_THAT(weights_error(zip("model/data.pkl")), HasSubstr("save_pretrained"));
  EXPECT_THAT(weights_error("\x1f\x8b\x08\0\0\0\0\0\0\3" + std::string(100, 'x')),
              HasSubstr("(gzip), not the weights. Unpack"));
  EXPECT_THAT(weights_error("{\"error\": \"Invalid username or password.\"}"),
              HasSubstr("is a JSON text, not the weights"));
  EXPECT_THAT(weights_error("Access to this model is restricted."),
              HasSubstr("that begins \"Access to this model"));
}

TEST_F(RecognizeFolder, JsonThatIsSomethingElse) {
  const auto error = [&](const std::string& content) {
    const auto file = folder_.write("config.json", content);
    return error_of([&] { read_json(file); });
  };
  EXPECT_THAT(error(kPointer), HasSubstr("not JSON. Fetch it: git lfs pull"));
  EXPECT_THAT(error("<!doctype html><p>"), HasSubstr("is a web page"));
  EXPECT_THAT(error("Entry not found"), HasSubstr("not valid JSON: byte 1"));  // as any other text
  EXPECT_THAT(error("{\"a\" 1}"), HasSubstr("not valid JSON: byte 6"));
}

TEST_F(RecognizeFolder, WhatStandsInTheWeightsPlace) {
  const auto error = [&] { return error_of([&] { load_checkpoint(folder_.path()); }); };
  folder_.write("optimizer.pt", "x");
  folder_.write("tokenizer.json", "{}");
  EXPECT_THAT(error(), AllOf(HasSubstr("no weights: neither model.safetensors nor"),
                             Not(HasSubstr("optimizer"))));
  folder_.write("model.gguf", gguf("phi2"));
  EXPECT_THAT(error(), HasSubstr("model.gguf is there: a GGUF file (version 3) of a phi2 model"));
  EXPECT_THAT(error(), HasSubstr("name the file"));
  std::filesystem::remove(folder_ / "model.gguf");
  folder_.write("model-00001-of-00002.safetensors", std::string(8, '\0'));
  folder_.write("model-00002-of-00002.safetensors", std::string(8, '\0'));
  EXPECT_THAT(error(), HasSubstr("model-00001-of-00002.safetensors, model-00002-of-00002."
                                 "safetensors are there: shards. Fetch the file that lists them"));
  std::filesystem::remove(folder_ / "model-00001-of-00002.safetensors");
  std::filesystem::remove(folder_ / "model-00002-of-00002.safetensors");
  std::filesystem::create_symlink(folder_ / "gone", folder_ / "model.safetensors");
  EXPECT_THAT(error(), HasSubstr("model.safetensors is there: a link to nothing"));
}

TEST_F(RecognizeFolder, WithoutAConfiguration) {
  const auto said = [&] { return folder_without_config(folder_.path()); };
  EXPECT_THAT(said(), HasSubstr("not the folder of a model: it has no config.json; it is empty"));
  folder_.write("tokenizer.json", "{}");
  EXPECT_THAT(said(), HasSubstr("no config.json and no weights, only a tokenizer"));
  folder_.write("m.gguf", gguf("llama"));
  EXPECT_THAT(said(), HasSubstr("m.gguf is there: a GGUF file"));
  folder_.write("model.safetensors", std::string(8, '\0'));
  EXPECT_THAT(said(), HasSubstr("which says what its weights are: fetch that file too"));
  folder_.write("adapter_config.json", "{}");
  EXPECT_THAT(said(), HasSubstr("an adapter (PEFT, as LoRA)"));
  for (const auto& [file, part] :
       {std::pair("a/snapshots/x", "folder of the Hub's cache"),
        std::pair("b/blobs/x", "Ollama's store"), std::pair("c/model_index.json", "diffusers")}) {
    folder_.write(file, "{}");
    if (file[0] == 'b') folder_.write("b/manifests/x", "{}");
    EXPECT_THAT(folder_without_config(folder_ / std::string(1, file[0])), HasSubstr(part));
  }
}

TEST_F(RecognizeFolder, SaysHowToFetchWhatTheHubsCacheLacks) {
  folder_.write("models--microsoft--phi-2/snapshots/abc/config.json", "{}");
  const auto snapshot = folder_ / "models--microsoft--phi-2/snapshots/abc";
  EXPECT_THAT(error_of([&] { load_checkpoint(snapshot); }),
              HasSubstr("; fetch them: hearth pull microsoft/phi-2@abc"));
  EXPECT_EQ(how_to_fetch(folder_.path()), "");
}

TEST(Listed, NamesTheFirstAndCountsTheRest) {
  EXPECT_EQ(listed(std::vector<std::string>{}), "");
  EXPECT_EQ(listed(std::vector<std::string>{"a", "b"}), "a, b");
  EXPECT_EQ(listed(std::vector<int>{1, 2, 3}, "; ", 3), "1; 2; 3");
  EXPECT_EQ(listed(std::vector<int>{1, 2, 3, 4}, ", ", 2), "1, 2, and 2 more");
  EXPECT_EQ(listed(std::vector<int>(21, 7)).size(), 20 * 3 + std::string("and 1 more").size());
}

}  // namespace
}  // namespace hearth
