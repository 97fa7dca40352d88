// What keeps two engines from being compared, each alone and just at its edge.
#include "hearth/lab/judge/compare.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/lab/results.h"

namespace hearth::lab {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Comparability gate(const Result& r) { return comparability(r, r.engines[0], r.engines[1], 0); }

std::vector<std::string> differences(const std::function<void(Result&)>& change) {
  Result r = testing::gpu_result({});
  change(r);
  EXPECT_EQ(gate(r).comparable(), gate(r).differences.empty());
  return gate(r).differences;
}

TEST(Compare, WhatDiffersInTheWorkIsNamed) {
  EXPECT_THAT(differences([](Result&) {}), IsEmpty());
  EXPECT_THAT(differences([](Result& r) {
                for (Repetition& rep : r.engines[0].repetitions) rep.new_tokens = 49;
              }),
              ElementsAre("new tokens: 49 against 50"));
  EXPECT_THAT(differences([](Result& r) {
                for (Repetition& rep : r.engines[1].repetitions) rep.prompt_tokens = 9;
              }),
              ElementsAre("prompt tokens: 8 against 9"));
  EXPECT_THAT(differences([](Result& r) { r.engines[0].dtype = "f32"; }),
              ElementsAre("dtype: f32 against f16"));
  EXPECT_THAT(differences([](Result& r) { r.engines[0].dtype = ""; }), IsEmpty());
  EXPECT_THAT(differences([](Result& r) { r.engines[1].sampling = Sampling::sampled; }),
              ElementsAre("sampling: greedy against sampled"));
  EXPECT_THAT(differences([](Result& r) { r.engines[1].sampling = Sampling::unknown; }), IsEmpty());
  for (const size_t engine : {0, 1}) {
    const auto bytes = [&](double value) {
      return differences([&](Result& r) { r.engines[engine].bytes_per_weight = value; });
    };
    EXPECT_THAT(bytes(1.9601), IsEmpty());  // of 2: within 2 %
    EXPECT_EQ(bytes(1.9599).size(), 1u);
    EXPECT_THAT(bytes(2.0408), IsEmpty());
    EXPECT_THAT(bytes(2.0409), ElementsAre(engine ? "bytes per weight: 2 against 2.04"
                                                  : "bytes per weight: 2.04 against 2"));
  }
}

TEST(Compare, WarmUpsAndOtherJobsDoNotDecideWhatWasMade) {
  EXPECT_THAT(differences([](Result& r) {
                r.jobs.push_back(r.jobs[0]);
                for (const bool warmup : {true, false}) {
                  Repetition other = r.engines[0].repetitions[0];
                  other.warmup = warmup;
                  other.job = warmup ? 0 : 1;
                  other.new_tokens = other.prompt_tokens = 7;
                  other.ids = {{9, 9, 9}};
                  r.engines[0].repetitions.insert(r.engines[0].repetitions.begin(), other);
                  r.engines[0].repetitions.push_back(other);
                }
              }),
              IsEmpty());
}

// The first eight ids must be the same; what rounding does comes later.
TEST(Compare, IdsMayPartAfterTheFirstEight) {
  Result r = testing::gpu_result({});
  const auto part_at = [&](size_t index) {
    std::vector<int> ids(12, 5);
    for (Repetition& rep : r.engines[0].repetitions) rep.ids = {ids, ids};
    ids[index] = 6;
    const std::vector<int> same(12, 5);
    for (Repetition& rep : r.engines[1].repetitions) rep.ids = {same, ids};
    return gate(r);
  };
  EXPECT_THAT(part_at(7).differences,
              ElementsAre("ids differ from new token 8 on, too early for rounding"));
  EXPECT_THAT(part_at(8).differences, IsEmpty());
  EXPECT_THAT(part_at(8).notes, Contains("ids differ from new token 9 on"));
  r.jobs[0].batch = 2;
  EXPECT_THAT(part_at(8).notes, Contains("ids differ from new token 9 on in row 2"));
  r.engines[0].margins = {{"hearth:cuda", 0, 1, 8, 0.25},
                          {"hearth:cuda", 0, 0, 8, 9.0},
                          {"hearth:cuda", 0, 1, 7, 9.0},
                          {"hearth:cuda", 1, 1, 8, 9.0},
                          {"other", 0, 1, 8, 9.0}};
  r.engines[1].margins = {{"torch:cuda", 0, 1, 8, 0.125}};
  EXPECT_THAT(part_at(8).notes,
              Contains("ids differ from new token 9 on in row 2; there torch:cuda prefers its own "
                       "by 0.25, hearth:cuda prefers its own by 0.12 in the logits"));
  r.jobs[0].random_weights = true;  // whose logits are all alike
  EXPECT_THAT(part_at(0).differences, IsEmpty());
  EXPECT_THAT(part_at(0).notes, Contains(HasSubstr("ids differ from new token 1 on")));
}

TEST(Compare, TheSoonestDivergenceOfAllRowsCounts) {
  const auto at = [](std::vector<std::vector<int>> a, std::vector<std::vector<int>> b) {
    const auto found = first_divergence(a, b);
    return found ? std::pair(found->row, found->index) : std::pair(-1, -1);
  };
  EXPECT_EQ(at({{1, 2, 3}, {1, 2, 3}}, {{1, 2, 4}, {1, 9, 3}}), std::pair(1, 1));
  EXPECT_EQ(at({{1, 9, 3}, {1, 2, 3}}, {{1, 2, 4}, {1, 3, 3}}), std::pair(0, 1));
  EXPECT_EQ(at({{1, 2, 3}}, {{1, 2}}), std::pair(-1, -1));  // as far as both go
  EXPECT_EQ(at({{1}, {2}}, {{1}}), std::pair(-1, -1));
  EXPECT_EQ(at({}, {{1}}), std::pair(-1, -1));
}

TEST(Compare, WhatIsUnknownIsListed) {
  Result r = testing::gpu_result({});
  EXPECT_THAT(gate(r).unknown, IsEmpty());
  EngineResult& e = r.engines[1];
  e.dtype = "";
  e.bytes_per_weight = Reading<double>::missing("?");
  e.sampling = Sampling::unknown;
  e.same_prompt_ids = Reading<bool>::missing("?");
  for (Repetition& rep : e.repetitions) rep.ids.clear();
  EXPECT_THAT(gate(r).unknown,
              ElementsAre("dtype of hearth:cuda", "bytes per weight of hearth:cuda",
                          "sampling of hearth:cuda", "prompt ids of hearth:cuda",
                          "whether both made the same tokens"));
  EXPECT_THAT(gate(r).differences, IsEmpty());
  e.same_prompt_ids = false;
  EXPECT_THAT(gate(r).unknown, Contains("prompt ids of hearth:cuda: it was given the text"));
}

TEST(Compare, TheMachinesUnknownFactsHaveTheirReasons) {
  Result r = testing::gpu_result({});
  const auto has = [&](const char* what) {
    for (const std::string& fact : gate(r).environment)
      if (fact.starts_with(what)) return fact;
    return std::string();
  };
  EXPECT_EQ(has("processor"), "");
  EXPECT_EQ(has("gpus"), "gpus: not in the result");
  EXPECT_EQ(has("gpu_driver"), "gpu_driver: not in the result");
  EXPECT_EQ(has("weights_sha256"), "weights_sha256: not in the result");
  EXPECT_EQ(has("nominal_bandwidth of cuda"), "nominal_bandwidth of cuda: not in the result");
  EXPECT_EQ(has("read_bandwidth of cuda"), "");
  EXPECT_EQ(has("version of torch:cuda"), "version of torch:cuda: the engine gives none");
  r.engines[0].commit = std::string("abc");  // that is enough
  r.engines[1].version = "1";
  EXPECT_EQ(has("version"), "");
  r.environment.push_back({"gpu_driver", Reading<std::string>::missing("no driver")});
  EXPECT_EQ(has("gpu_driver"), "gpu_driver: no driver");
  r.jobs[0].kind = JobKind::op;
  EXPECT_EQ(has("weights_sha256"), "");
  for (EngineResult& e : r.engines) e.device = "cpu";
  EXPECT_EQ(has("gpus"), "");
  EXPECT_EQ(has("read_bandwidth of cpu"), "read_bandwidth of cpu: not in the result");
  EXPECT_THAT(environment_line(gate(r)),
              HasSubstr("  not known of the machine: cores, os, governor, power_source"));
  EXPECT_EQ(environment_line({}), "");
  EXPECT_EQ(all_unknown(gate(r)).size(), gate(r).unknown.size() + gate(r).environment.size());
}

TEST(Compare, ResultsOfOperationsMayDifferByOnePercent) {
  const auto with = [](double x, double y, const char* op = "matmul", int size = 10) {
    return differences([&](Result& r) {
      r.jobs[0].kind = JobKind::op;
      r.jobs[0].op = op;
      r.jobs[0].shape = {size};
      r.engines[0].dtype = "f32";  // of weights, of which there are none
      r.engines[0].repetitions[0].own["checksum"] = x;
      r.engines[1].repetitions[0].own["checksum"] = y;
    });
  };
  EXPECT_THAT(with(1, 0.9901), IsEmpty());
  EXPECT_THAT(with(0.9901, 1), IsEmpty());
  EXPECT_THAT(with(1, 0.9899),
              ElementsAre("the operation's result: mean absolute value 1 against 0.9899"));
  EXPECT_EQ(with(0.9899, 1).size(), 1u);
  EXPECT_EQ(with(0, NAN).size(), 1u);
  EXPECT_THAT(with(0.001, 0.1, "sum", 1000), IsEmpty());  // what was added up cancels
  EXPECT_EQ(with(0.001, 0.103, "sum", 1000).size(), 1u);
  Result r = testing::gpu_result({});
  r.jobs[0].kind = JobKind::op;
  EXPECT_THAT(gate(r).unknown, ElementsAre("the operation's result"));
}

TEST(Compare, DriftIsControlledByTurnsAlone) {
  Result r = testing::gpu_result({});
  for (const auto& [order, controlled] : {std::pair("ABBA", true),
                                          {"ABBA, in two blocks", true},
                                          {"sequential", false},
                                          {"", false}}) {
    r.plan.order = order;
    EXPECT_EQ(gate(r).drift_controlled, controlled) << order;
  }
}

TEST(Compare, TimesThatGrowByMoreThanOnePercentAreUnstable) {
  const auto note = [](double growth) {
    Result r = testing::gpu_result({});
    for (Repetition& rep : r.engines[0].repetitions)
      rep.total_s = std::exp(std::log1p(growth) * rep.round / 7.0);
    for (const std::string& one : gate(r).notes)
      if (one.starts_with("unstable")) return one;
    return std::string();
  };
  EXPECT_EQ(note(0.0101),
            "unstable: the times of torch:cuda rose by 1.0 % from the first round to the last");
  EXPECT_EQ(note(0.0099), "");
  EXPECT_EQ(note(-0.0101),
            "unstable: the times of torch:cuda fell by 1.0 % from the first round to the last");
  EXPECT_EQ(note(-0.0099), "");
  const auto clocks = [](double before, double after) {
    Result r = testing::gpu_result({});
    r.ceilings.push_back({"clock", "cpu", "MHz", "", before});
    r.ceilings.push_back({"clock_after", "cpu", "MHz", "", after});
    for (const std::string& one : gate(r).notes)
      if (one.starts_with("unstable")) return one;
    return std::string();
  };
  EXPECT_EQ(clocks(1000, 1029), "");
  EXPECT_EQ(clocks(1000, 1031),
            "unstable: the processor's clock was 1000 MHz before and 1031 MHz after");
  EXPECT_EQ(clocks(1000, 971), "");
  EXPECT_NE(clocks(1000, 969), "");
  EXPECT_EQ(clocks(0, 969), "");
}

// Pairs are the rounds that both have: of each the mean time per unit of what did not stream.
TEST(Compare, APairIsARound) {
  EngineResult a, b;
  const auto add = [](EngineResult& e, int round, double total, int tokens, bool streamed = false,
                      bool warmup = false, int job = 0) {
    Repetition r;
    r.round = round, r.total_s = total, r.new_tokens = tokens;
    r.streamed = streamed, r.warmup = warmup, r.job = job;
    e.repetitions.push_back(r);
  };
  add(a, 0, 2, 4), add(a, 0, 4, 4), add(a, 0, 99, 4, true), add(a, 0, 99, 4, false, true);
  add(a, 1, 1, 2), add(a, 2, 1, 2), add(a, 1, 99, 1, false, false, 1);
  add(b, 1, 4, 2), add(b, 0, 3, 2), add(b, 3, 1, 1);
  const auto logs = log_ratios(a, b, 0);
  ASSERT_EQ(logs.size(), 2u);
  EXPECT_NEAR(logs[0], std::log(1.5 / 0.75), 1e-12);
  EXPECT_NEAR(logs[1], std::log(2 / 0.5), 1e-12);
  EXPECT_NEAR(log_ratios(b, a, 0)[1], -std::log(4.0), 1e-12);
}

TEST(Compare, SaysWhatItIsPer) {
  Result r = testing::gpu_result({});
  for (size_t k = 0; k < 8; ++k)
    r.engines[0].repetitions[k].total_s *= std::exp(0.01 * (double(k % 4) - 1.5));
  const auto said = [&](size_t a, size_t b) {
    return to_text(compare(r, r.engines[a].label, r.engines[b].label, 0), r.jobs[0]);
  };
  EXPECT_EQ(said(0, 1),
            "torch:cuda is 2.000 times slower than hearth:cuda per new token (95 % "
            "interval 1.980 to 2.020, 8 starts of each)");
  EXPECT_EQ(said(1, 0),
            "hearth:cuda is 2.000 times faster than torch:cuda per new token (95 % "
            "interval 1.980 to 2.020, 8 starts of each)");
  r.plan.order = "sequential";
  EXPECT_EQ(said(1, 0),
            "torch:cuda took 2.000 times the time of hearth:cuda per new token (95 % "
            "interval 1.980 to 2.020, 8 starts of each); no verdict, they took no turns");
  r.plan.order = "ABBA";
  for (Repetition& rep : r.engines[0].repetitions) rep.total_s *= 10;
  EXPECT_THAT(said(0, 1), HasSubstr("is 20.0 times slower than hearth:cuda per new token (95 % "
                                    "interval 19.8 to 20.2"));
  for (Repetition& rep : r.engines[0].repetitions) rep.total_s *= 10;
  EXPECT_THAT(said(0, 1), HasSubstr("is 200 times slower"));
  r.jobs[0].kind = JobKind::prefill;
  EXPECT_THAT(said(0, 1), HasSubstr("per prompt"));
  r.jobs[0].kind = JobKind::op;
  for (EngineResult& e : r.engines) e.repetitions[0].own["checksum"] = 1;
  EXPECT_THAT(said(0, 1), HasSubstr("per call"));
  r.engines[1].repetitions.clear();
  EXPECT_EQ(said(0, 1), "torch:cuda and hearth:cuda: no pairs were measured");
}

}  // namespace
}  // namespace hearth::lab
