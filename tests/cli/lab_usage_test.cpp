// What hearth lab run refuses, which it does before it measures anything.
#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using ::testing::HasSubstr;

Finished lab_run(Words args) {
  args.insert(args.begin(), {"lab", "run", "--engines", "hearth", "--no-limits"});
  return run_hearth(args);
}

TEST(LabUsage, AskedWronglyMeasuresNothing) {
  TempFolder folder;
  const std::string out = folder / "r.json";
  const std::pair<Words, const char*> cases[] = {
      {{"--job", "op", "--op-dtype", "int8"}, "'int8' is not one of f16, bf16, f32"},
      {{"--job", "op", "--shape", "5"}, "--shape: '5', wanted MxKxN for matmul"},
      {{"--job", "op", "--shape", "8x8x"}, "--shape: '8x8x', wanted MxKxN"},
      {{"--job", "op", "--op", "softmax", "--shape", "2x3x4"}, "wanted RxC for softmax"},
      {{"--op", "softmax"}, "--op: belongs to --job op"},
      {{"--shape", "8x8x8"}, "--shape: belongs to --job op"},
      {{"--job", "batch", "--op-dtype", "f16"}, "--op-dtype: belongs to --job op"},
      {{"--model", ""}, "--model: '', wanted a folder"},
  };
  for (const auto& [options, sentence] : cases) {
    Words args = options;
    args.insert(args.end(), {"-o", out});
    const Finished f = lab_run(args);
    EXPECT_EQ(f.exit_code, 2) << sentence;
    EXPECT_EQ(f.out, "") << sentence;
    EXPECT_THAT(f.err, HasSubstr(sentence));
    EXPECT_EQ(f.err.find("the machine"), std::string::npos) << f.err;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(LabUsage, AResultThatCannotBeWrittenIsSaidBeforeTheRun) {
  TempFolder folder;
  for (const std::string& out : Words{folder / "nowhere/r.json", folder.path().string()}) {
    const Finished f = lab_run({"-o", out});
    EXPECT_EQ(f.exit_code, 1);
    EXPECT_EQ(f.out, "");
    EXPECT_THAT(f.err, HasSubstr(out));
    EXPECT_EQ(f.err.find("the machine"), std::string::npos) << f.err;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(LabUsage, AnEarlierResultIsReplacedOnlyIfAsked) {
  TempFolder folder;
  const std::string out = folder.write("r.json", "an hour of samples");
  const Words run = {"--job", "op",       "--shape", "8x8x8",       "--pairs", "1",  "--seconds",
                     "0",     "--warmup", "0",       "--telemetry", "off",     "-o", out};
  const Finished refused = lab_run(run);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr(out + ": is there already; --overwrite replaces it"));
  EXPECT_EQ(refused.err.find("the machine"), std::string::npos) << refused.err;
  EXPECT_EQ(content_of(out), "an hour of samples");
  Words again = run;
  again.push_back("--overwrite");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(lab_run(again).exit_code, 0) << i;
  EXPECT_THAT(content_of(out), HasSubstr("schema_version"));
}

TEST(LabUsage, AnOperationHasAShapeOfItsOwn) {
  TempFolder folder;
  const std::string out = folder / "r.json";
  const Finished f = lab_run({"--job", "op", "--op", "softmax", "--pairs", "1", "--seconds", "0",
                              "--warmup", "0", "--telemetry", "off", "-o", out});
  EXPECT_EQ(f.exit_code, 0) << f.err;
  EXPECT_THAT(f.out, HasSubstr("softmax 512 x 2560 f32"));
}

// Without --engines those are taken that are here; where that is hearth alone, it is said.
TEST(LabUsage, HearthAloneIsSaid) {
  TempFolder folder;
  Words run = {"lab", "run",         "--no-limits", "--pairs",        "1",   "--seconds",
               "0",   "--warmup",    "0",           "--telemetry",    "off", "--tokens",
               "2",   "--overwrite", "-o",          folder / "r.json"};
  const Finished alone = run_hearth(run, "", {"HEARTH_PYTHON=/bin/false"});
  EXPECT_EQ(alone.exit_code, 0) << alone.err;
  EXPECT_THAT(alone.out, HasSubstr("Only hearth is here; `hearth lab engines` lists"));
  run.insert(run.end(), {"--engines", "hearth"});
  const Finished named = run_hearth(run, "", {"HEARTH_PYTHON=/bin/false"});
  EXPECT_THAT(named.out, ::testing::Not(HasSubstr("Only hearth is here")));
}

TEST(LabUsage, ANumberOfThreadsThatIsNone) {
  TempFolder folder;
  for (const char* threads : {"x", "2x", "0", "-1", "4097", "99999999999"}) {
    const Finished f =
        run_hearth({"lab", "run", "--engines", concat("hearth:cpu:threads=", threads),
                    "--no-limits", "--overwrite", "-o", folder / "r.json"});
    EXPECT_EQ(f.exit_code, 1);
    EXPECT_THAT(f.out, HasSubstr(concat("threads: '", threads, "', wanted 1 to ")));
  }
}

}  // namespace
}  // namespace hearth::testing
