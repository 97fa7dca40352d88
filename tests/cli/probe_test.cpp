#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "tests/process.h"

namespace hearth::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(cli, alone_it_prints_help) {
  Finished f = run_hearth({});
  EXPECT_EQ(f.exit_code, 0);
  EXPECT_THAT(f.out, HasSubstr("probe"));
  EXPECT_EQ(f.err, "");
  EXPECT_EQ(run_hearth({"--help"}).out, f.out);
}

TEST(cli, tells_its_version) {
  Finished f = run_hearth({"--version"});
  EXPECT_EQ(f.exit_code, 0);
  EXPECT_THAT(f.out, StartsWith("hearth "));
}

TEST(cli, bad_usage_is_a_sentence_and_exit_2) {
  Finished f = run_hearth({"prob"});
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_EQ(f.out, "");
  EXPECT_EQ(f.err,
            "hearth: there is no command 'prob', did you mean 'probe'? See hearth --help.\n");

  f = run_hearth({"zzzzzzzz"});
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_EQ(f.err, "hearth: there is no command 'zzzzzzzz'. See hearth --help.\n");

  f = run_hearth({"probe", "--jsn"});
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_EQ(
      f.err,
      "hearth: there is no option '--jsn', did you mean '--json'? See hearth probe --help.\n");

  f = run_hearth({"probe", "fast"});
  EXPECT_EQ(f.exit_code, 2);
  EXPECT_EQ(f.err, "hearth: 'fast' is one argument too many. See hearth probe --help.\n");

  for (const char* threads : {"0", "-1", "many", ""}) {
    f = run_hearth({"probe", "--threads", threads});
    EXPECT_EQ(f.exit_code, 2) << threads;
    EXPECT_THAT(f.err, HasSubstr("--threads")) << threads;
  }
}

TEST(cli, output_that_cannot_be_written_is_a_failure) {
  Finished f = run({"sh", "-c", "exec " + hearth_binary() + " --help > /dev/full"});
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_THAT(f.err, HasSubstr("cannot write"));
}

TEST(probe, prints_json_with_units_and_reasons) {
  Finished f = run_hearth({"probe", "--json", "--threads", "1"});
  ASSERT_EQ(f.exit_code, 0) << f.err;
  auto j = nlohmann::json::parse(f.out);
  EXPECT_EQ(j["threads"], 1);
  for (auto key : {"/read_bandwidth_gb_s/one_thread", "/read_bandwidth_gb_s/all_threads",
                   "/matmul_gflop_s/f32", "/matmul_gflop_s/f16", "/matmul_gflop_s/bf16",
                   "/fma_peak_gflop_s/f32/one_thread", "/fma_peak_gflop_s/f32/all_threads",
                   "/launch_us/cpu/evaluated", "/launch_us/cpu/replayed"})
    EXPECT_GT(j.at(nlohmann::json::json_pointer(key)).get<double>(), 0) << key;
  EXPECT_GT(j["memory_total_bytes"].get<int64_t>(), 1 << 20);
  EXPECT_FALSE(j["instruction_sets"].empty());

  // Every null has its reason, and every reason its null.
  std::function<void(const nlohmann::json&, const std::string&)> walk = [&](auto& node,
                                                                            auto& path) {
    if (node.is_null()) {
      EXPECT_NE(j["reasons"].value(path, ""), "") << path;
      j["reasons"].erase(path);
    }
    if (node.is_object())
      for (auto& [key, child] : node.items()) walk(child, path.empty() ? key : path + "." + key);
  };
  auto copy = j;
  walk(copy, "");
  EXPECT_TRUE(j["reasons"].empty()) << j["reasons"];
}

TEST(probe, prints_a_table_for_people) {
  Finished f = run_hearth({"probe"}, "", {"HEARTH_THREADS=1"});
  ASSERT_EQ(f.exit_code, 0) << f.err;
  EXPECT_THAT(f.out, HasSubstr("memory read, GB/s"));
  EXPECT_THAT(f.out, HasSubstr("launch on cpu, us"));
  EXPECT_THAT(f.out, ::testing::Not(HasSubstr("\x1b")));  // no colours but on a terminal
}

}  // namespace
}  // namespace hearth::testing
