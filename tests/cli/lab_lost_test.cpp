// Nothing that the lab has measured is lost: kills, full disks, two runs in one folder.
#include "hearth/lab/judge/pairs.h"
#include "hearth/lab/result/result_json.h"
#include "tests/cli/cli.h"
#include "tests/lab/fakes.h"

namespace hearth::testing {
namespace {

using ::testing::HasSubstr;

TEST(LabLost, NothingButTheRepetitionThatRan) {
  HEARTH_PYTHON_OR_SKIP();
  const Finished f = run({"python3", source_path("tools/lab_kills.py"), hearth_binary(), "--kills",
                          "20", "--seed", "7"});
  EXPECT_EQ(f.exit_code, 0) << f.err;
  EXPECT_THAT(f.out, HasSubstr("20 kills in "));
}

std::string quoted(const std::string& text) { return "'" + text + "'"; }

std::string short_run(const std::string& more) {
  return quoted(hearth_binary()) + " lab run --engines " +
         quoted(fake().text + "," + fake("shift=0").text) +
         " --pairs 6 --seconds 0 --warmup 0 --no-limits --ignore-others --telemetry off --tokens "
         "6 " +
         more;
}

// The files may not grow beyond some blocks, as on a disk that is full.
TEST(LabLost, AFullDiskStopsTheRunAndKeepsWhatWasMeasured) {
  HEARTH_PYTHON_OR_SKIP();
  TempFolder folder;
  const std::string out = folder / "r.json";
  const Finished f =
      run({"sh", "-c", "trap '' XFSZ; ulimit -f 24; exec " + short_run("-o " + quoted(out))});
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_THAT(f.err, HasSubstr("r.json.journal: cannot be written"));
  EXPECT_THAT(f.err, HasSubstr("make room, then `hearth lab run --resume " + out));
  EXPECT_FALSE(std::filesystem::exists(out));
  const lab::Result kept = lab::read_result(out);
  size_t repetitions = 0;
  for (const auto& e : kept.engines) repetitions += e.repetitions.size();
  EXPECT_GT(repetitions, 4);
  EXPECT_EQ(run_hearth({"lab", "export", out}).exit_code, 0);
  // Neither another run nor a mistake throws it away.
  const Finished other = run({"sh", "-c", short_run("-o " + quoted(out))});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("is of a run that was killed"));
  const Finished on = run_hearth({"lab", "run", "--no-limits", "--warmup", "0", "--resume", out});
  EXPECT_EQ(on.exit_code, 0) << on.err;
  const lab::Result all = lab::read_result(out);
  EXPECT_EQ(lab::log_ratios(all.engines[0], all.engines[1], 0).size(), 6);
  for (size_t e = 0; e < 2; ++e)
    for (size_t i = 0; i < kept.engines[e].repetitions.size(); ++i)
      EXPECT_EQ(all.engines[e].repetitions[i].start_s, kept.engines[e].repetitions[i].start_s);
  EXPECT_FALSE(std::filesystem::exists(out + ".journal"));
}

TEST(LabLost, TwoRunsInOneFolderDoNotTouchEachOther) {
  HEARTH_PYTHON_OR_SKIP();
  TempFolder folder;
  const Finished f = run({"sh", "-c",
                          "cd " + quoted(folder.path().string()) + "; " + short_run("") + " & " +
                              short_run("") + "; one=$?; wait $! && exit $one"});
  EXPECT_EQ(f.exit_code, 0) << f.err;
  int results = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().extension() != ".json") continue;
    ++results;
    const lab::Result r = lab::read_result(entry.path());
    EXPECT_TRUE(r.plan.finished);
    EXPECT_EQ(lab::log_ratios(r.engines[0], r.engines[1], 0).size(), 6);
  }
  EXPECT_EQ(results, 2);
}

TEST(LabLost, TwoRunsOfOneResultAreRefused) {
  HEARTH_PYTHON_OR_SKIP();
  TempFolder folder;
  const std::string out = folder / "r.json";
  lab::Journal other(out, lab::Journal::Earlier::refused);
  for (const char* more : {"", " --overwrite"}) {
    const Finished f = run({"sh", "-c", short_run("-o " + quoted(out) + more)});
    EXPECT_EQ(f.exit_code, 1);
    EXPECT_THAT(f.err, HasSubstr("another run is writing it"));
  }
}

}  // namespace
}  // namespace hearth::testing
