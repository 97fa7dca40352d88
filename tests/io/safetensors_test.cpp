#include "hearth/io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "hearth/io/checkpoint.h"
#include "hearth/io/safetensors_header.h"
#include "hearth/ops/ops.h"
#include "tests/io/golden_values.h"
#include "tests/memory_before.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth {
namespace {

using ::testing::AllOf;
using testing::bytes_of_values;
using testing::content_of;
using testing::error_of;
using testing::golden_values;
using ::testing::HasSubstr;
using ::testing::Not;

std::string golden_file() { return testing::source_path("tests/data/io/all.safetensors").string(); }
std::string with_header(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

TEST(Safetensors, LoadsEveryDtypeThatTheReferenceWrote) {
  const auto [tensors, metadata] = load_safetensors(golden_file());
  EXPECT_EQ(metadata.at("format"), "pt");
  const auto wanted = golden_values();
  ASSERT_EQ(wanted.size(), size_t(kDtypes));
  ASSERT_EQ(tensors.size(), wanted.size() + 3);
  for (const auto& [name, value] : wanted) {
    const array& got = tensors.at(name);
    EXPECT_EQ(got.dtype(), value.dtype()) << name;
    EXPECT_EQ(got.shape(), value.shape()) << name;
    EXPECT_EQ(bytes_of_values(got), bytes_of_values(value)) << name;
  }
  EXPECT_EQ(tensors.at("empty").shape(), (Shape{0, 3}));
  EXPECT_EQ(tensors.at("scalar").item<int>(), 7);
  EXPECT_EQ(tensors.at("a \"quoted\" n\xc3\xa4me").item<float>(), 1.0f);
}

TEST(Safetensors, SavesTheReferencesBytes) {
  testing::TempFolder folder;
  const auto [tensors, metadata] = load_safetensors(golden_file());
  save_safetensors((folder / "copy").string(), tensors, metadata);
  EXPECT_EQ(content_of(folder / "copy.safetensors"), content_of(golden_file()));
}

TEST(Safetensors, SavesNothingButMetadataToo) {
  testing::TempFolder folder;
  const auto file = (folder / "none.safetensors").string();
  save_safetensors(file, {}, {{"b", "2"}, {"a", "\"1\"\n"}});
  const auto [tensors, metadata] = load_safetensors(file);
  EXPECT_TRUE(tensors.empty());
  EXPECT_EQ(metadata.at("a"), "\"1\"\n");
  EXPECT_EQ(metadata.at("b"), "2");
}

TEST(Safetensors, SavesViewsRowMajor) {
  testing::TempFolder folder;
  const auto file = (folder / "t.safetensors").string();
  save_safetensors(file, {{"t", transpose(golden_values().at("int32"))}});
  const array back = load_safetensors(file).first.at("t");
  EXPECT_EQ(back.shape(), (Shape{3, 2}));
  EXPECT_EQ(back.to_vector<int32_t>(), (std::vector<int32_t>{0, 100, 1, INT32_MAX, 2, INT32_MIN}));
}

TEST(Safetensors, ReplacesTheFileItStillReads) {
  testing::TempFolder folder;
  const auto file = (folder / "w.safetensors").string();
  save_safetensors(file, {{"a", golden_values().at("int8")}});
  const array before = load_safetensors(file).first.at("a");
  save_safetensors(file, {{"b", before}, {"a", golden_values().at("float64")}});
  EXPECT_EQ(bytes_of_values(before), bytes_of_values(golden_values().at("int8")));
  const auto after = load_safetensors(file).first;
  EXPECT_EQ(bytes_of_values(after.at("b")), bytes_of_values(before));
  std::filesystem::remove(file);
  EXPECT_EQ(bytes_of_values(after.at("a")), bytes_of_values(golden_values().at("float64")));
}

TEST(Safetensors, FailsWithoutLeavingAFile) {
  testing::TempFolder folder;
  const auto file = (folder / "w.safetensors").string();
  EXPECT_THROW(save_safetensors(file, {{"\xff", array(1.0f)}}), std::invalid_argument);
  EXPECT_EQ(std::filesystem::directory_iterator(folder.path()),
            std::filesystem::directory_iterator());
  EXPECT_THROW(save_safetensors((folder / "no/such/w").string(), {}), std::runtime_error);
  EXPECT_THROW(save_safetensors(file, {{"__metadata__", array(1.0f)}}), std::invalid_argument);
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST(Safetensors, LeavesTensorsWhereTheFileIsMappedAtAnyAlignment) {
  testing::TempFolder folder;
  std::string data = "xxxx";
  const float values[] = {1.5f, -2.0f};
  data.append(reinterpret_cast<const char*>(values), 8);
  // 65 bytes of header: the floats stand at 77
  std::string header =
      R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})";
  while (header.size() % 2 == 0) header += ' ';
  const auto file = folder.write("odd.safetensors", with_header(header, data)).string();
  const size_t active = memory_before();
  const array b = load_safetensors(file).first.at("b");
  EXPECT_EQ(b.to_vector<float>(), (std::vector<float>{1.5f, -2.0f}));
  EXPECT_NE(reinterpret_cast<uintptr_t>(b.data<float>()) % alignof(float), 0u);
  EXPECT_EQ(get_active_memory(), active);
}

TEST(Safetensors, OperationsNeverWriteTheMapping) {
  testing::TempFolder folder;
  const std::vector<float> ones(5000, 1.0f);  // more than a page
  const auto file = (folder / "w.safetensors").string();
  save_safetensors(file, {{"w", array(ones.begin(), Shape{5000}, float32)}});
  const auto before = content_of(file);
  // the only handle dies: were the memory ours, the sum would be written in its place
  array sum = load_safetensors(file).first.at("w") + 1.0f;
  sum = sum + 1.0f;
  EXPECT_EQ(sum.to_vector<float>(), std::vector<float>(5000, 3.0f));
  EXPECT_EQ(content_of(file), before);
}

TEST(Safetensors, RefusesBoolsThatAreNone) {
  testing::TempFolder folder;
  const auto file = folder.write(
      "b.safetensors",
      with_header(R"({"b":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", "\x01\x02"));
  EXPECT_THAT(error_of([&] { load_safetensors(file.string()); }),
              AllOf(HasSubstr(file.string()), HasSubstr("tensor \"b\": a bool that is neither")));
}

TEST(Safetensors, NamesTheFileInErrors) {
  testing::TempFolder folder;
  const auto file = folder.write("cut.safetensors", content_of(golden_file()).substr(0, 1400));
  EXPECT_THAT(error_of([&] { load_safetensors(file.string()); }),
              AllOf(HasSubstr(file.string()), HasSubstr("beyond the file")));
  EXPECT_THAT(error_of([&] { load_safetensors((folder / "none").string()); }),
              HasSubstr("no such file"));
}

class Checkpoint : public ::testing::Test {
 protected:
  void save(const std::string& name, const Tensors& tensors) {
    save_safetensors((folder_ / name).string(), tensors);
  }
  void index(const std::string& weight_map) {
    folder_.write("model.safetensors.index.json",
                  "{\"metadata\": {\"total_size\": 8}, \"weight_map\": " + weight_map + "}");
  }
  std::string error() {
    return error_of([&] { load_checkpoint(folder_.path()); });
  }
  testing::TempFolder folder_;
};

TEST_F(Checkpoint, LoadsASingleFile) {
  save("model.safetensors", {{"a", array(1.0f)}});
  index(R"({"a": "elsewhere.safetensors"})");
  EXPECT_EQ(load_checkpoint(folder_.path()).at("a").item<float>(), 1.0f);
}

TEST_F(Checkpoint, LoadsShards) {
  save("model-00001-of-00002.safetensors", {{"a", array(1.0f)}, {"b", array(2.0f)}});
  save("sub..folder-2.safetensors", {{"c", array(3)}, {"not in the index", array(4)}});
  index(R"({"a": "model-00001-of-00002.safetensors", "c": "sub..folder-2.safetensors",
            "b": "model-00001-of-00002.safetensors"})");
  const auto tensors = load_checkpoint(folder_.path());
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_EQ(tensors.at("b").item<float>(), 2.0f);
  EXPECT_EQ(tensors.at("c").item<int>(), 3);
}

TEST_F(Checkpoint, NamesAllMissingShardsAtOnce) {
  save("one.safetensors", {{"a", array(1.0f)}});
  index(R"({"a": "one.safetensors", "d": "two.safetensors", "e": "two.safetensors",
            "f": "three.safetensors"})");
  EXPECT_THAT(error(), AllOf(HasSubstr("2 of 3 shards are missing: \"three.safetensors\", "
                                       "\"two.safetensors\""),
                             Not(HasSubstr("\"one"))));
}

// A tied head for instance stands in some indexes and in no shard: transformers does not mind.
TEST_F(Checkpoint, LeavesOutWhatTheIndexListsAndTheShardLacks) {
  save("one.safetensors", {{"a", array(1.0f)}});
  index(R"({"a": "one.safetensors", "b": "one.safetensors"})");
  EXPECT_EQ(load_checkpoint(folder_.path()).size(), 1u);
}

TEST_F(Checkpoint, ListsTheTensorsThatItLoads) {
  save("one.safetensors", {{"a", array({1.0f, 2.0f})}, {"not in the index", array(4)}});
  save("two.safetensors", {{"b", array(2)}});
  index(R"({"a": "one.safetensors", "b": "two.safetensors"})");
  const TensorInfos infos = list_checkpoint(folder_.path());
  ASSERT_EQ(infos.size(), 2u);
  EXPECT_EQ(infos.at("a").bytes, 8u);
  EXPECT_EQ(infos.at("b").dtype, int32);
}

TEST_F(Checkpoint, RefusesShardsOutsideTheFolder) {
  for (const char* shard : {"../x.safetensors", "/etc/passwd", "a/../../x", "..", ""}) {
    index("{\"a\": \"" + std::string(shard) + "\"}");
    EXPECT_THAT(error(), HasSubstr("is outside the folder")) << shard;
  }
}

TEST_F(Checkpoint, RefusesABadIndex) {
  index("[]");
  EXPECT_THAT(error(), HasSubstr("weight_map: wanted an object, got a list"));
  index("{\"a\": 1}");
  EXPECT_THAT(error(), HasSubstr("\"a\": wanted the name of a shard"));
  folder_.write("model.safetensors.index.json", "{}");
  EXPECT_THAT(error(), HasSubstr("weight_map is missing"));
  folder_.write("model.safetensors.index.json", "{");
  EXPECT_THAT(error(), HasSubstr("not valid JSON"));
}

TEST_F(Checkpoint, SaysWhatAFolderLacks) {
  EXPECT_THAT(error(), HasSubstr("no weights: neither model.safetensors nor"));
  folder_.write("pytorch_model.bin", "x");
  EXPECT_THAT(error(), HasSubstr("convert it to safetensors"));
  EXPECT_THAT(error_of([&] { load_checkpoint(folder_ / "none"); }), HasSubstr("no such folder"));
}

TEST(CheckpointShared, LoadsTheModelThatShips) {
  const auto tensors = load_checkpoint(testing::source_path("models/tiny-phi"));
  EXPECT_EQ(tensors.at("model.embed_tokens.weight").dtype(), float16);
  EXPECT_EQ(tensors.at("model.embed_tokens.weight").shape(), (Shape{4096, 320}));
}

}  // namespace
}  // namespace hearth
