// Bytes and operations of jobs against counts made by hand.
#include "hearth/lab/judge/work.h"

#include <gmock/gmock.h>

#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

using namespace testing;
using ::testing::HasSubstr;

TEST(Work, OfPhi2IsWhatItsSizesSay) {
  const auto config = content_of(source_path("models/configs/phi-2/config.json"));
  const auto sizes = model_sizes(config);
  ASSERT_TRUE(sizes.value) << sizes.reason;
  EXPECT_DOUBLE_EQ(sizes.value->layer_weights + sizes.value->head_weights, 2648611840.0);
  const Work token = decode_work(*sizes.value, 2, 0, 1);
  EXPECT_NEAR(token.bytes, 5.297e9, 1e6);
  EXPECT_DOUBLE_EQ(decode_work(*sizes.value, 2, 1, 1).bytes - token.bytes, 327680);
  // Each row reads its own keys and values; the weights are read once for all.
  EXPECT_DOUBLE_EQ(decode_work(*sizes.value, 2, 10, 3).bytes - token.bytes, 3 * 10 * 327680.0);
  EXPECT_DOUBLE_EQ(prefill_work(*sizes.value, 2, 10, 3).bytes - token.bytes, 3 * 10 * 327680.0);
  EXPECT_NEAR(token.operations / token.bytes, 1, 1e-3);
  EXPECT_DOUBLE_EQ(decode_work(*sizes.value, 2, 100, 3).operations,
                   3 * decode_work(*sizes.value, 2, 100, 1).operations);
}

TEST(Work, OfALlamaAndOfWhatIsNotKnown) {
  // Llama-2-7B: 6,738,415,616 parameters, of them 131,072,000 of the embedding.
  const auto llama = model_sizes(R"({"model_type": "llama", "hidden_size": 4096,
      "intermediate_size": 11008, "num_attention_heads": 32, "num_hidden_layers": 32,
      "vocab_size": 32000})");
  ASSERT_TRUE(llama.value) << llama.reason;
  EXPECT_DOUBLE_EQ(llama.value->layer_weights + llama.value->head_weights,
                   6738415616.0 - 131072000.0);
  EXPECT_THAT(model_sizes(R"({"model_type": "mamba"})").reason, HasSubstr("mamba"));
  EXPECT_FALSE(model_sizes("garbage").value);
  EXPECT_FALSE(model_sizes(R"({"model_type": "phi", "hidden_size": -1})").value);
  Job job;
  job.kind = JobKind::op;
  job.op = "matmul", job.dtype = "f32", job.shape = {2, 3, 4};
  EXPECT_DOUBLE_EQ(op_work(job).value->operations, 48);
  EXPECT_DOUBLE_EQ(op_work(job).value->bytes, 4 * (6 + 12 + 8));
  job.op = "conv2d", job.dtype = "f16", job.shape = {2, 5, 4, 3, 7, 3};  // 3 x 2 places
  EXPECT_DOUBLE_EQ(op_work(job).value->operations, 2 * (2 * 3 * 2 * 7) * (3 * 3 * 3));
  EXPECT_DOUBLE_EQ(op_work(job).value->bytes, 2 * (2 * 5 * 4 * 3 + 7 * 3 * 3 * 3 + 2 * 3 * 2 * 7));
  job.shape = {2};
  EXPECT_FALSE(op_work(job).value);
}

}  // namespace
}  // namespace hearth::lab
