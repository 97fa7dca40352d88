// The figures that commands show follow from the samples beside them.
#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>

#include "tests/cli/cli.h"

namespace hearth::testing {
namespace {

using nlohmann::json;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

double median(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  const size_t n = all.size();
  return n % 2 ? all[n / 2] : (all[n / 2 - 1] + all[n / 2]) / 2;
}

TEST(cli_figures, the_share_of_the_bandwidth_is_that_of_the_steady_repetitions) {
  const json j = json_of({"bench", "-p", "0", "-n", "24", "-r", "4", "--threads", "1"});
  const json& d = j["decode"];
  const auto rates = d["tokens_per_s"]["samples"].get<std::vector<double>>(),
             limits = d["read_bandwidth_gb_s"].get<std::vector<double>>(),
             shares = d["bandwidth_fraction_samples"].get<std::vector<double>>();
  ASSERT_EQ(rates.size(), 4u);
  ASSERT_EQ(limits.size(), 5u);
  ASSERT_EQ(shares.size(), 4u);
  const double bytes = j["bytes_per_token"];
  std::vector<double> steady;
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(shares[i], rates[i] * bytes / 1e9 / ((limits[i] + limits[i + 1]) / 2), 1e-9);
    const double larger = std::max(limits[i], limits[i + 1]);
    if (std::abs(limits[i] - limits[i + 1]) <= 0.1 * larger) steady.push_back(shares[i]);
  }
  EXPECT_EQ(d["steady_repetitions"], steady.size());
  if (steady.empty()) GTEST_SKIP() << "nothing was steady";
  EXPECT_NEAR(d["bandwidth_fraction"], median(steady), 1e-12);
  EXPECT_EQ(d["limit_disturbed"], d["bandwidth_fraction"] > 1.005);
}

// Both -p and -n must fit, whichever is the larger.
TEST(cli_figures, bench_refuses_what_the_context_does_not_hold) {
  for (const Words& options : {Words{"-p", "513", "-n", "2"}, {"-p", "2", "-n", "513"}}) {
    Words args = {"bench", "-r", "1"};
    args.insert(args.end(), options.begin(), options.end());
    const Finished f = run_hearth(args);
    EXPECT_EQ(f.exit_code, 2);
    EXPECT_THAT(f.err, HasSubstr("must fit in the model's context of 512"));
  }
  EXPECT_EQ(run_hearth({"bench", "-p", "512", "-n", "0", "-r", "1"}).exit_code, 0);
}

TEST(cli_figures, generate_and_bench_tell_gigabytes) {
  const Finished f = run_hearth({"bench", "-p", "4", "-n", "0", "-r", "1"});
  EXPECT_THAT(f.out, ContainsRegex("0\\.02 GB of weights, [0-9]+\\.[0-9][0-9] GB peak"));
  const json j = json_of({"generate", "-n", "40", "--ignore-eos", "--stats"});
  const json& d = j["decode"];
  EXPECT_EQ(d["tokens"], 39);
  EXPECT_NEAR(d["gb_per_s"].get<double>(),
              d["tokens_per_s"].get<double>() * (20040192 - 4096 * 320 * 2) / 1e9, 1e-9);
  EXPECT_NEAR(d["bandwidth_fraction"].get<double>(),
              d["gb_per_s"].get<double>() / j["read_bandwidth_gb_s"].get<double>(), 1e-9);
  EXPECT_EQ(d["limit_disturbed"], d["bandwidth_fraction"] > 1.005);
}

TEST(cli_figures, telemetry_shows_the_median_between_the_extremes) {
  const Finished f = run_hearth({"lab", "telemetry", "--seconds", "0.4", "--period", "0.05"});
  ASSERT_EQ(f.exit_code, 0);
  std::istringstream lines(f.out);
  std::string line, name, unit, source;
  double median = 0, least = 0, most = 0, shares = 0;
  int found = 0, samples = 0;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    if (line.starts_with("cpu_clock_probe_mhz") && words >> name >> median >> least >> most >> unit)
      ++found;
    if (line.find(" samples; sampling took ") != line.npos) words >> samples;
    if (line.starts_with("cpu_active_fraction ") && words >> name >> shares) ++found;
  }
  EXPECT_EQ(found, 2) << f.out;
  EXPECT_LE(least, median);
  EXPECT_LE(median, most);
  EXPECT_GT(least, 100);
  EXPECT_LT(most, 9000);
  EXPECT_EQ(unit, "MHz");
  EXPECT_GE(samples, 3);
  EXPECT_LE(samples, 9);
  EXPECT_LE(shares, 1);
  EXPECT_THAT(f.out, HasSubstr("missing here:\n"));  // no machine has all
}

// The period's own name for a time, at its ends; and words that are none.
TEST(cli_figures, lab_run_reads_times_and_counts_as_written) {
  const TempFolder folder;
  const auto run = [&](Words more) {
    Words args = {"lab", "run",         "--engines", "hearth",         "--no-limits", "--pairs",
                  "1",   "--seconds",   "0",         "--warmup",       "0",           "--tokens",
                  "2",   "--overwrite", "-o",        folder / "r.json"};
    args.insert(args.end(), more.begin(), more.end());
    const Finished f = run_hearth(args);
    return f.exit_code == 0 ? json::parse(content_of(folder / "r.json")) : json(f.err);
  };
  EXPECT_EQ(run({"--telemetry", "250ms"})["plan"]["telemetry_period_s"]["value"], 0.25);
  EXPECT_EQ(run({"--telemetry", "1.5s"})["plan"]["telemetry_period_s"]["value"], 1.5);
  EXPECT_EQ(run({"--telemetry", "1ms"})["plan"]["telemetry_period_s"]["value"], 0.001);
  EXPECT_EQ(run({"--telemetry", "3600s"})["plan"]["telemetry_period_s"]["value"], 3600);
  for (const char* none : {"0.9ms", "3601s", "1", "s", "ms", "1m", "-1s", "on"})
    EXPECT_THAT(run({"--telemetry", none}).dump(), HasSubstr("wanted e.g. 100ms, 1s or off"))
        << none;
  const auto shapes = [&](Words more) {
    std::vector<std::array<int, 3>> all;
    const json result = run(std::move(more));
    for (const json& job : result["jobs"])
      all.push_back({job["prompt_tokens"], job["new_tokens"], job["batch"]});
    return all;
  };
  using Shapes = std::vector<std::array<int, 3>>;
  EXPECT_EQ(shapes({"--telemetry", "off", "-p", "1-5+2"}),
            (Shapes{{1, 2, 1}, {3, 2, 1}, {5, 2, 1}}));
  EXPECT_EQ(shapes({"--telemetry", "off", "-p", "3-9*3,4"}),
            (Shapes{{3, 2, 1}, {9, 2, 1}, {4, 2, 1}}));
  EXPECT_EQ(shapes({"--telemetry", "off", "-p", "2", "--job", "batch"}), (Shapes{{2, 2, 8}}));
  EXPECT_EQ(shapes({"--telemetry", "off", "--job", "prefill"}), (Shapes{{256, 1, 1}}));
  EXPECT_EQ(shapes({"--telemetry", "off", "--job", "prefill", "-p", "300"}), (Shapes{{300, 1, 1}}));
}

// Help is broken where a line would be too long, and no sooner.
TEST(cli_figures, a_line_of_help_that_just_fits_is_not_broken) {
  const std::string first = "hearth: run, train and measure neural networks on the machine you own";
  const auto help = [](size_t columns) {
    return run_hearth({"--help"}, "", {concat("COLUMNS=", columns)}).out;
  };
  EXPECT_TRUE(help(first.size()).starts_with(first + "\n"));
  EXPECT_TRUE(help(first.size() - 1).starts_with(first.substr(0, first.rfind(' ')) + "\nown\n"));
}

TEST(cli_figures, a_word_is_corrected_only_if_few_letters_differ) {
  const auto said = [](const char* word) { return run_hearth({word}).err; };
  EXPECT_THAT(said("gnerate"), HasSubstr("did you mean 'generate'?"));
  EXPECT_THAT(said("geneate"), HasSubstr("did you mean 'generate'?"));
  EXPECT_THAT(said("ggenerate"), HasSubstr("did you mean 'generate'?"));
  EXPECT_THAT(said("benhc"), HasSubstr("did you mean 'bench'?"));
  EXPECT_THAT(said("logit"), HasSubstr("did you mean 'logits'?"));
  EXPECT_THAT(said("xxxxxxxx"), Not(HasSubstr("did you mean")));
  EXPECT_THAT(said("qwzxkv"), Not(HasSubstr("did you mean")));
}

}  // namespace
}  // namespace hearth::testing
