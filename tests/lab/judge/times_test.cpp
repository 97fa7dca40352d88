// What a reader is told of an engine's times, from samples whose figures are plain.
#include "hearth/lab/judge/times.h"

#include <gmock/gmock.h>

#include "hearth/lab/show/report.h"
#include "hearth/lab/show/tables.h"
#include "tests/lab/results.h"

namespace hearth::lab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// Two rows of 8 prompt ids and 5 new tokens: two streamed repetitions between two that were not.
Result timed() {
  Result r = testing::gpu_result({});
  r.jobs[0].batch = 2;
  r.jobs[0].new_tokens = 5;
  EngineResult& e = r.engines[0];
  e.load_s = 1.5;
  e.first_s = 0.75;
  e.repetitions.resize(4);
  for (Repetition& rep : e.repetitions) rep.new_tokens = 5, rep.prompt_tokens = 8, rep.total_s = 2;
  for (const int i : {1, 2}) e.repetitions[size_t(i)].streamed = true;
  e.repetitions[1].token_s = {0.5, 0.75, 1.0, 1.25, 1.5};
  e.repetitions[2].token_s = {0.25, 0.5, 0.75, 1.0, 2.0};
  return r;
}

TEST(Times, AreOfTheRepetitionsThatTellThem) {
  const Result r = timed();
  const Times t = times_of(r, r.engines[0], 0);
  EXPECT_THAT(t.totals, ElementsAre(2, 2));  // streaming costs some engines time
  EXPECT_EQ(t.first_token_s.value, 0.375);
  EXPECT_EQ(t.prefill_per_s.value, (16 / 0.5 + 16 / 0.25) / 2);
  EXPECT_NEAR(*t.decode_per_s.value, 2 * (4 / 1.0 + 4 / 1.75) / 2, 1e-12);  // (N - 1) / (t_N - t_1)
  EXPECT_EQ(t.between_s.value, 0.25);                                       // of eight, one is 1 s
  EXPECT_NEAR(*t.between_95_s.value, 0.7375, 1e-12);
  EXPECT_NEAR(*t.between_99_s.value, 0.9475, 1e-12);
}

TEST(Times, ATokenAtTheStartHasNoRateOfThePrompt) {
  Result r = timed();
  r.engines[0].repetitions[1].token_s = {0, 0.25, 0.5, 0.75, 1.0};
  const Times one = times_of(r, r.engines[0], 0);
  EXPECT_EQ(one.prefill_per_s.value, 16 / 0.25);  // of the other repetition
  EXPECT_EQ(one.first_token_s.value, 0.125);
  r.engines[0].repetitions[2].token_s = {0, 0, 0};
  EXPECT_FALSE(times_of(r, r.engines[0], 0).prefill_per_s.value);
  EXPECT_EQ(times_of(r, r.engines[0], 0).decode_per_s.value, 2 * 4);
}

TEST(Times, WarmUpsAndOtherJobsDoNotCount) {
  Result r = timed();
  r.jobs.push_back(r.jobs[0]);
  EngineResult& e = r.engines[0];
  for (const bool warmup : {true, false}) {
    Repetition other = e.repetitions[1];
    other.warmup = warmup;
    other.job = warmup ? 0 : 1;
    other.total_s = 100;
    other.token_s = {10, 20, 30, 40, 50};
    e.repetitions.insert(e.repetitions.begin(), other);
    other.streamed = false;
    other.token_s.clear();
    e.repetitions.insert(e.repetitions.begin(), other);
  }
  const Times t = times_of(r, e, 0), wanted = times_of(timed(), timed().engines[0], 0);
  EXPECT_EQ(t.totals, wanted.totals);
  for (const auto field : {&Times::first_token_s, &Times::prefill_per_s, &Times::decode_per_s,
                           &Times::between_s, &Times::between_95_s, &Times::between_99_s})
    EXPECT_EQ((t.*field).value, (wanted.*field).value);
  EXPECT_THAT(unit_times(e, 0), ElementsAre(2 / 5., 2 / 5.));
  EXPECT_EQ(total_of(e, 0)->mean_s, 2);
  EXPECT_EQ(total_of(e, 0)->n, 2);
  EXPECT_EQ(times_of(r, e, 1).totals, std::vector<double>{100});
  EXPECT_EQ(times_of(r, e, 1).first_token_s.value, 10);
}

TEST(Times, OfOperationsAreThoseOfACall) {
  Result r = timed();
  r.jobs[0].kind = JobKind::op;
  EngineResult& e = r.engines[0];
  for (Repetition& rep : e.repetitions) {
    rep.streamed = false, rep.token_s.clear();
    rep.new_tokens = 0, rep.calls = 4;
  }
  e.repetitions[3].total_s = 6;
  EXPECT_THAT(times_of(r, e, 0).totals, ElementsAre(0.5, 0.5, 0.5, 1.5));
  EXPECT_THAT(unit_times(e, 0), ElementsAre(0.5, 0.5, 0.5, 1.5));
  EXPECT_EQ(total_of(e, 0)->mean_s, 0.75);
  EXPECT_EQ(total_of(e, 0)->stddev_s, 0.5);
  EXPECT_EQ(total_of(e, 0)->new_tokens, 0);
}

TEST(Times, APublishedMeanStandsInPlaceOfRepetitions) {
  EngineResult e;
  e.published = {{1, 9, 1, 3, 8, 5}, {0, 6, 0.5, 7, 8, 3}};
  EXPECT_THAT(unit_times(e, 0), ElementsAre(2));
  const Total total = total_of(e, 0).value();
  EXPECT_EQ(total.mean_s, 6);
  EXPECT_EQ(total.stddev_s, 0.5);
  EXPECT_EQ(total.n, 7);
  EXPECT_EQ(total.new_tokens, 3);
  EXPECT_FALSE(total_of(e, 2).has_value());
  Repetition rep;
  rep.total_s = 1, rep.new_tokens = 1;
  e.repetitions = {rep};
  EXPECT_THAT(unit_times(e, 0), ElementsAre(1));
  EXPECT_EQ(total_of(e, 0)->n, 1);
}

TEST(Times, HaveTheUnitThatFits) {
  EXPECT_EQ(with_unit(1), "1 s");
  EXPECT_EQ(with_unit(0.9994), "999 ms");
  EXPECT_EQ(with_unit(0.001), "1 ms");
  EXPECT_EQ(with_unit(0.000999), "999 us");
  EXPECT_EQ(with_unit(12.345), "12.3 s");
}

TEST(Times, ASpreadHasTheUnitAndTheDigitsOfItsValue) {
  EXPECT_EQ(with_spread(1, 0.001), "1.0000 s +- 0.0010 s");
  EXPECT_EQ(with_spread(6.26, 11.1), "6 s +- 11 s");
  EXPECT_EQ(with_spread(0.4123, 0.0344), "412 ms +- 34 ms");
  EXPECT_EQ(with_spread(0.9999, 0.05), "1.000 s +- 0.050 s");
  EXPECT_EQ(with_spread(2e-6, 3e-7), "2.00 us +- 0.30 us");
  EXPECT_EQ(with_spread(17.3, 0.16), "17.30 s +- 0.16 s");
  EXPECT_EQ(with_spread(2, 0), "2.00 s +- 0.00 s");
  EXPECT_EQ(with_unit(0.9996), "1 s");
  EXPECT_EQ(with_unit(1234.4), "1234 s");
  EXPECT_EQ(in_percent(1.7), "170 %");
  EXPECT_EQ(in_percent(0.0042), "0.4 %");
  EXPECT_EQ(in_percent(0.0996), "10 %");
}

// Turns of three executions: the first wakes; in the second turn one streamed.
TEST(Times, WhatWakingCostsIsANumberOfItsOwn) {
  Result r = timed();
  EngineResult& e = r.engines[0];
  e.repetitions.clear();
  for (int round = 0; round < 3; ++round)
    for (const double total : {3.0 + round, 2.0, 2.5}) {
      Repetition rep;
      rep.round = rep.start = round;
      rep.start_s = 100.0 * (round + 1) + 10 * total;
      rep.settling = total >= 3;
      rep.total_s = total;
      rep.new_tokens = 5;
      e.repetitions.push_back(rep);
    }
  for (const size_t last : {8, 5, 2}) {
    Repetition streamed = e.repetitions[last];
    streamed.streamed = true;
    streamed.total_s = 4.5;
    streamed.token_s = {0.5, 1.5, 2.5, 3.5, 4.5};
    e.repetitions.push_back(streamed);
  }
  const Times t = times_of(r, e, 0);
  e.repetitions.back().total_s = 1;  // less, in one of three turns: no difference is seen
  EXPECT_FALSE(times_of(r, e, 0).streamed_ratio.value);
  EXPECT_EQ(t.totals.size(), 6);
  EXPECT_DOUBLE_EQ(t.wake_s.value.value_or(0), 4 - 2.25);
  EXPECT_DOUBLE_EQ(t.streamed_ratio.value.value_or(0), 4.5 / 2.25);
  EXPECT_DOUBLE_EQ(t.streamed_per_s.value.value_or(0), 2 * 5 / 4.5);
  EXPECT_DOUBLE_EQ(t.decode_per_s.value.value_or(0), 2);
  EXPECT_THAT(times_of(timed(), timed().engines[0], 0).wake_s.reason, HasSubstr("no first"));
}

TEST(Times, WhatWasNotTimedHasItsReason) {
  Result r = timed();
  for (Repetition& rep : r.engines[0].repetitions) rep.token_s.clear();
  EXPECT_EQ(times_of(r, r.engines[0], 0).between_s.reason, "no token was timed by itself");
  r.jobs[0].kind = JobKind::op;
  EXPECT_EQ(times_of(r, r.engines[0], 0).decode_per_s.reason, "an operation has no tokens");
  r = timed();
  r.jobs[0].new_tokens = 1;
  for (Repetition& rep : r.engines[0].repetitions)
    if (rep.streamed) rep.token_s.resize(1);
  const Times one = times_of(r, r.engines[0], 0);
  EXPECT_EQ(one.decode_per_s.reason, "the job has one new token");
  EXPECT_EQ(one.first_token_s.value, 0.375);
}

TEST(Times, TokensThatCameAtOneMomentTellNoRate) {
  Result r = timed();
  for (const size_t i : {1, 2}) r.engines[0].repetitions[i].token_s.assign(5, 0.5);
  const Times t = times_of(r, r.engines[0], 0);
  EXPECT_FALSE(t.decode_per_s.value);
  EXPECT_EQ(t.decode_per_s.reason, "its tokens came all at one moment");
  EXPECT_EQ(t.first_token_s.value, 0.5);
  for (const std::string& text : {markdown(r), report_html(r)})
    for (const char* bad : {"nan", ">inf", "-inf"}) EXPECT_THAT(text, Not(HasSubstr(bad)));
}

TEST(Times, AreInTheReportAndInTheSummary) {
  const std::string page = report_html(timed());
  for (const char* shown :
       {"<td>1.5 s</td>", "<td>750 ms</td>", "<td>375 ms</td>", "<td>737 ms</td>",
        "2.00 s +- 0.00 s (2)", "no token was timed by itself"})
    EXPECT_THAT(page, HasSubstr(shown));
  EXPECT_THAT(markdown(timed()), HasSubstr("| 1.5 | 0.75 | 2 | 0 | 2 | 400 | 0.375 | 48 |"));
}

}  // namespace
}  // namespace hearth::lab
