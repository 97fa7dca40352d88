// Pulling a GGUF file of a repository that has many.
#include "tests/io/pull_fixture.h"

namespace hearth {
namespace {

using ::testing::AllOf;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::Not;

class PullGguf : public testing::PullTest {};

// USER/REPO:TYPE is the GGUF model of that type, all of its files and no other.
TEST_F(PullGguf, TheTypeNamesTheFile) {
  hub_.files = {{"README.md", "a card"},
                {"mmproj-F16.gguf", "GGUF of the eyes"},
                {"m-Q4_K_M.gguf", "GGUF four"},
                {"m-IQ4_K_M.gguf", "GGUF another"},
                {"m-Q4_K_S.gguf", "GGUF small"},
                {"m.q8_0.gguf", "GGUF eight"},
                {"BF16/m-BF16-00001-of-00002.gguf", "GGUF first"},
                {"BF16/m-BF16-00002-of-00002.gguf", "GGUF second"},
                {"a/twice-Q5_0.gguf", "GGUF"},
                {"b/twice-Q5_0.gguf", "GGUF"}};
  const auto names_of = [](const Pulled& pulled) {
    std::set<std::string> names;
    for (const auto& file : pulled.files) names.insert(file.name);
    return names;
  };
  using Names = std::set<std::string>;
  EXPECT_TRUE(could_be_pulled("owner/model:Q4_K_M"));
  EXPECT_THAT(error_of([] { find_model("owner/model:Q4_K_M"); }),
              HasSubstr("hearth pull owner/model:Q4_K_M"));
  const Pulled four = pull("owner/model:Q4_K_M");
  EXPECT_EQ(names_of(four), Names{"m-Q4_K_M.gguf"});
  EXPECT_EQ(find_model("owner/model:Q4_K_M"), four.folder / "m-Q4_K_M.gguf");
  EXPECT_EQ(find_model("owner/model:q4_k_m"), four.folder / "m-Q4_K_M.gguf");
  EXPECT_EQ(find_model("owner/model@main:Q4_K_M"), four.folder / "m-Q4_K_M.gguf");
  EXPECT_EQ(find_model("owner/model"), four.folder);  // the only one that is there
  EXPECT_FALSE(could_be_pulled("owner/model:Q4_K_M"));
  EXPECT_TRUE(could_be_pulled("owner/model:Q8_0"));
  EXPECT_EQ(names_of(pull("owner/model:Q8_0")), Names{"m.q8_0.gguf"});
  EXPECT_EQ(names_of(pull("owner/model@main:bf16")),
            (Names{"BF16/m-BF16-00001-of-00002.gguf", "BF16/m-BF16-00002-of-00002.gguf"}));
  EXPECT_EQ(find_model("owner/model:BF16"), four.folder / "BF16/m-BF16-00001-of-00002.gguf");
  EXPECT_THAT(error_of_pull("owner/model:Q2_K"),
              AllOf(HasSubstr("no GGUF file of type \"Q2_K\"; there are: BF16/m-BF16"),
                    HasSubstr("m-Q4_K_S"), Not(HasSubstr("mmproj"))));
  EXPECT_THAT(error_of_pull("owner/model:Q4_K"), HasSubstr("no GGUF file of type"));
  EXPECT_THAT(error_of_pull("owner/model:Q5_0"),
              HasSubstr("2 GGUF files of type \"Q5_0\": a/twice-Q5_0, b/twice-Q5_0"));
  for (const char* none : {"owner/model:", "owner/model:../x", "owner/model:a b", ":Q4_K_M"})
    EXPECT_THAT(error_of_pull(none), HasSubstr("not a name as on the Hub")) << none;
}

}  // namespace
}  // namespace hearth
