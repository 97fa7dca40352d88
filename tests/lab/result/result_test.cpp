// Result files: what is written is read back, and what is wrong is named.
#include "hearth/lab/result/result.h"
#include "hearth/lab/result/result_json.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/lab/schema.h"

namespace hearth::lab {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

Result sample() {
  Result r;
  r.created = "2026-11-23T10:45:00Z";
  r.made_by = "hearth";
  r.source = "measured";
  r.environment = {{"processor", std::string("a \"fast\" one\n")},
                   {"gpu_0", Reading<std::string>::missing("no driver")}};
  r.ceilings = {{"read_bandwidth", "cpu", "GB/s", "measured", 70.7}};
  r.plan.pairs = 12;
  r.plan.order = "ABBA";
  r.plan.target_ci = 0.01;
  Job job;
  job.prompt = "Once";
  job.prompt_ids = {1, 2};
  job.prompt_tokens = 2;
  job.new_tokens = 3;
  r.jobs = {job};
  EngineResult e;
  e.label = "hearth:cpu";
  e.name = "hearth";
  e.device = "cpu";
  e.options = {{"threads", "2"}};
  e.dtype = "f16";
  e.weights_bytes = int64_t(1) << 40;
  e.sampling = Sampling::greedy;
  Repetition rep;
  rep.streamed = true;
  rep.start_s = 1.0 / 3;
  rep.total_s = 0.3;
  rep.new_tokens = 3;
  rep.token_s = {0.1, 0.2, 0.3};
  rep.ids = {{5, 6, 7}};
  rep.own = {{"decode_tokens_per_s", 1e-300}};
  rep.settling = true;
  rep.disturbance = Disturbance{};
  rep.disturbance->others_s = -0.01;
  rep.disturbance->switches = 3;
  e.starts = {{0.25, 0.5, Reading<double>::missing("no weights"), 0.3}};
  e.unseen = {{"pressure_s", "/proc/pressure/cpu is absent"}};
  e.repetitions = {rep};
  e.published = {{0, 17.3, 0.16, 7, 8, 192}};
  e.memory = {{}};
  e.memory[0].moment = "loaded";
  e.memory[0].resident_bytes = 123;
  e.telemetry.time_s = {0, 0.1};
  e.telemetry.channels = {
      {"gpu_clock_mhz", "MHz", "nvml", "", {390.0, 400.0}},
      {"power_w", "W", "rapl", "permission denied", {std::nullopt, std::nullopt}}};
  e.margins = {{"torch:cpu", 0, 0, 2, 0.25}};
  r.engines = {e};
  Intervention i;
  i.engine = e.label;
  i.least = 0.9, i.most = 1.1;
  i.predicted_at = r.created;
  i.executions = {e};
  r.interventions = {i};
  return r;
}

TEST(LabResult, RoundTripsToTheBit) {
  const std::string text = to_text(sample());
  EXPECT_EQ(to_text(parse_result(text, "r.json")), text);
  const Result back = parse_result(text, "r.json");
  EXPECT_EQ(back.engines[0].repetitions[0].start_s, 1.0 / 3);
  EXPECT_EQ(back.engines[0].repetitions[0].own.at("decode_tokens_per_s"), 1e-300);
  EXPECT_EQ(back.engines[0].weights_bytes.value, int64_t(1) << 40);
  EXPECT_EQ(back.environment[1].value.reason, "no driver");
  EXPECT_EQ(back.engines[0].telemetry.channels[1].values[0], std::nullopt);
  EXPECT_EQ(back.engine("hearth:cpu")->sampling, Sampling::greedy);
  EXPECT_EQ(back.engine("torch"), nullptr);
}

TEST(LabResult, TheCommittedSchemaIsTheCodes) {
  const std::string committed =
      testing::content_of(testing::source_path("docs/lab_result.schema.json"));
  EXPECT_EQ(committed, result_schema().dump(1) + "\n")
      << "write it anew: hearth lab schema > docs/lab_result.schema.json";
}

TEST(LabResult, FollowsTheSchema) {
  EXPECT_EQ(testing::result_violation(to_json(sample())), "");
  EXPECT_EQ(testing::result_violation(to_json(Result())), "");
}

// Files of before there were starts: all of an engine's repetitions are of one process.
TEST(LabResult, OlderFilesAreRead) {
  json old = to_json(sample());
  for (json* e : {&old["engines"][0], &old["interventions"][0]["executions"][0]}) {
    e->erase("starts"), e->erase("unseen");
    for (const char* key : {"start", "settling", "disturbance"}) (*e)["repetitions"][0].erase(key);
  }
  old["plan"].erase("starts"), old["plan"].erase("order_seed");
  old["plan"].erase("ignores_others");
  old["ceilings"][0].erase("others");
  const Result r = parse_result(old.dump(), "r.json");
  EXPECT_EQ(testing::result_violation(old), "");
  EXPECT_EQ(r.plan.starts, 0);
  EXPECT_TRUE(r.engines[0].starts.empty());
  EXPECT_EQ(r.engines[0].repetitions[0].start, 0);
  EXPECT_TRUE(r.engines[0].repetitions[0].counts());
  EXPECT_FALSE(r.engines[0].repetitions[0].disturbance.has_value());
  EXPECT_EQ(testing::result_violation(to_json(r)), "");
  EXPECT_EQ(to_json(parse_result(to_text(r), "again")), to_json(r));
}

struct Damage {
  const char* where;  // a JSON pointer
  json value;         // null: taken away
  const char* says;
  bool schema_sees = true;  // relations between fields are beyond it
};

class DamagedResult : public ::testing::TestWithParam<Damage> {};

TEST_P(DamagedResult, IsRefusedByName) {
  const Damage& d = GetParam();
  json value = to_json(sample());
  const json::json_pointer at(d.where);
  if (d.value.is_null())
    value.at(at.parent_pointer()).erase(at.back());
  else
    value[at] = d.value;
  const auto error = testing::error_of([&] { parse_result(value.dump(), "r.json"); });
  EXPECT_THAT(error, HasSubstr("r.json: "));
  EXPECT_THAT(error, HasSubstr(d.says));
  EXPECT_EQ(testing::result_violation(value) != "", d.schema_sees);
}

const json kNone;
INSTANTIATE_TEST_SUITE_P(
    All, DamagedResult,
    ::testing::Values(
        Damage{"/schema_version", kNone, "no schema_version"},
        Damage{"/schema_version", 2, "schema_version is 2, but this hearth reads version 1"},
        Damage{"/schema_version", "1", "schema_version is no number"},
        Damage{"/engines", "x", "r.json: engines: wanted a list, got \"x\""},
        Damage{"/engines/0/label", kNone, "engines[0].label is missing"},
        Damage{"/engines/0/label", "", "label is empty", false},
        Damage{"/engines/0/status", "fine", "wanted one of ok, partial, failed, unavailable"},
        Damage{"/what", 1, "r.json: the key \"what\" is not known"},
        Damage{"/engines/0/what", 1, "engines[0]: the key \"what\" is not known"},
        Damage{"/engines/0/repetitions/0/total_s", "1", "repetitions[0].total_s: wanted a number"},
        Damage{"/engines/0/repetitions/0/total_s", 1e308, "total_s: wanted a number of at most"},
        Damage{"/engines/0/telemetry/channels/0/values/0", -1e101, "values[0]: wanted a number"},
        Damage{"/engines/0/repetitions/0/total_s", 5e-324, "wanted 1e-9 or more", false},
        Damage{"/engines/0/published/0/mean_s", 1e-100, "of 1e-9 or more", false},
        Damage{"/engines/0/repetitions/0/total_s", 0, "wanted 1e-9 or more", false},
        Damage{"/engines/0/repetitions/0/total_s", 0.25, "after the end", false},
        Damage{"/engines/0/repetitions/0/job", 1, "but there are 1 jobs", false},
        Damage{"/engines/0/repetitions/0/job", -1, "job is -1", false},
        Damage{"/engines/0/repetitions/0/job", 1e300, "wanted an integer of 32 bits"},
        Damage{"/engines/0/repetitions/0/job", 4294967296, "wanted an integer of 32 bits"},
        Damage{"/engines/0/repetitions/0/ids/0/1", 0.5, "ids[0][1]: wanted an integer"},
        Damage{"/engines/0/repetitions/0/token_s/0", 0.25, "does not ascend", false},
        Damage{"/engines/0/repetitions/0/streamed", false, "streamed is false", false},
        Damage{"/engines/0/repetitions/0/own/x", "1", "own.x: wanted a number"},
        Damage{"/engines/0/published/0/mean_s", -1, "wanted a positive mean", false},
        Damage{"/engines/0/telemetry/channels/0/values", json::array(), "2 times, but 0 values",
               false},
        Damage{"/engines/0/telemetry/channels/0/values/0", false, "values[0]: wanted a number"},
        Damage{"/engines/0/telemetry/channels/1/reason", "", "reason is empty", false},
        Damage{"/environment/1/value/reason", kNone, "there is no reason"},
        Damage{"/environment/1/value/reason", "", "the reason is empty"},
        Damage{"/environment/1/value", 5, "wanted an object with a value, got 5"},
        Damage{"/engines/0/telemetry/time_s/1", -1, "does not ascend", false},
        Damage{"/jobs/0/batch", 0, "at least one row", false},
        Damage{"/jobs/0/prompt_tokens", -1, "no count below 0", false},
        Damage{"/jobs/0/new_tokens", -1, "no count below 0", false},
        Damage{"/engines/0/repetitions/0/round", -1, "round is -1", false},
        Damage{"/engines/0/repetitions/0/start", 1, "start is 1, but there are 1 starts", false},
        Damage{"/engines/0/repetitions/0/start", -1, "start is -1", false},
        Damage{"/engines/0/repetitions/0/disturbance/processors", 0, "processors is below 1",
               false},
        Damage{"/engines/0/repetitions/0/disturbance/others_s", "x", "others_s: wanted a number"},
        Damage{"/engines/0/starts/0/load_s/reason", "", "the reason is empty"},
        Damage{"/engines/0/repetitions/0/start_s", -0.5, "start_s is -0.5", false},
        Damage{"/engines/0/repetitions/0/calls", 0, "calls is 0", false},
        Damage{"/engines/0/repetitions/0/prompt_tokens", -1, "a count of tokens", false},
        Damage{"/engines/0/repetitions/0/new_tokens", -1, "a count of tokens", false},
        Damage{"/engines/0/repetitions/0/token_s/0", -0.1, "does not ascend", false},
        Damage{"/engines/0/published/0/job", 1, "published[0]: job is 1", false},
        Damage{"/engines/0/published/0/n", 0, "at least one run", false},
        Damage{"/engines/0/published/0/stddev_s", -1, "stddev_s -1", false},
        Damage{"/engines/0/published/0/prompt_tokens", -1, "a count of tokens", false},
        Damage{"/engines/0/published/0/new_tokens", -1, "a count of tokens", false},
        Damage{"/engines/0/margins/0/job", 1, "margins[0]: job is 1", false},
        Damage{"/engines/0/margins/0/row", -1, "margins[0]: row -1", false},
        Damage{"/engines/0/margins/0/index", -1, "index -1", false},
        Damage{"/interventions/0/job", 1, "interventions[0]: job is 1", false},
        Damage{"/interventions/0/engine", "x", "there is no engine \"x\"", false},
        Damage{"/interventions/0/least", 0, "not between 0 and", false},
        Damage{"/interventions/0/least", 1.5, "predicted is 1, not between 1.5", false},
        Damage{"/interventions/0/most", 0.9, "and 0.9", false},
        Damage{"/interventions/0/predicted_at", "", "predicted_at is empty", false},
        Damage{"/interventions/0/executions/0/label", "", "executions[0]: label is empty", false}));

TEST(LabResult, AtTheEdgeItIsGood) {
  json value = to_json(sample());
  auto& repetition = value["engines"][0]["repetitions"][0];
  repetition["token_s"] = {0, 0, 0.3};  // the last at the end
  repetition["total_s"] = 0.3;
  repetition["start_s"] = 0;
  repetition["new_tokens"] = repetition["prompt_tokens"] = 0;
  value["engines"][0]["published"][0]["mean_s"] = 1e-9;
  value["engines"][0]["published"][0]["stddev_s"] = 0;
  value["engines"][0]["published"][0]["n"] = 1;
  value["interventions"][0]["least"] = value["interventions"][0]["most"] = 1;
  parse_result(value.dump(), "r.json");
}

TEST(LabResult, CountedAreMeasuredRepetitionsThatDidNotStream) {
  EngineResult e;
  const auto add = [&](int job, bool warmup, bool streamed, double total) {
    Repetition r;
    r.job = job, r.warmup = warmup, r.streamed = streamed, r.total_s = total;
    if (!warmup) r.ids = {{int(total)}};
    e.repetitions.push_back(r);
  };
  add(0, true, false, 1), add(1, false, false, 2), add(0, false, true, 3);
  const auto totals = [&] {
    std::vector<double> all;
    for (const Repetition* r : e.totals(0)) all.push_back(r->total_s);
    return all;
  };
  EXPECT_EQ(totals(), std::vector<double>{3});  // a server's requests all stream
  add(0, false, false, 4);
  EXPECT_EQ(totals(), std::vector<double>{4});
  EXPECT_EQ((*e.ids(0))[0][0], 3);
  EXPECT_EQ((*e.ids(1))[0][0], 2);
  EXPECT_EQ(e.ids(2), nullptr);
}

TEST(LabResult, AChannelWithValuesIsFoundFirst) {
  Timeline t;
  t.channels = {{"power_w", "W", "rapl", "absent", {std::nullopt}},
                {"power_w", "W", "nvml", "", {9.0}}};
  EXPECT_EQ(t.find("power_w")->source, "nvml");
  EXPECT_EQ(t.find("clock_mhz"), nullptr);
  t.channels.pop_back();
  EXPECT_EQ(t.find("power_w")->source, "rapl");
}

TEST(LabResult, LabelsAreUnique) {
  Result r = sample();
  r.engines.push_back(r.engines[0]);
  EXPECT_THAT(testing::error_of([&] { parse_result(to_text(r), "r.json"); }),
              HasSubstr("engines[1]: the label \"hearth:cpu\" stands twice"));
}

TEST(LabResult, EveryTruncationIsRefused) {
  const std::string text = to_text(sample());
  for (size_t n = 0; n + 2 < text.size(); ++n)  // without the last newline it is whole
    EXPECT_THROW(parse_result(text.substr(0, n), "r.json"), std::runtime_error) << n;
}

TEST(LabResult, ForeignFilesAreRefused) {
  for (const char* text : {"[]", "1", "null", "{}", "{\"results\": []}", "\"schema_version\""})
    EXPECT_THAT(testing::error_of([&] { parse_result(text, "r.json"); }),
                HasSubstr("r.json: not a result of hearth lab"))
        << text;
}

TEST(LabResult, AFileIsWrittenWholeOrNotAtAll) {
  testing::TempFolder folder;
  write_result(sample(), folder / "r.json");
  Result bad = sample();
  bad.engines[0].repetitions[0].total_s = -1;
  EXPECT_THROW(write_result(bad, folder / "r.json"), std::runtime_error);
  EXPECT_EQ(to_text(read_result(folder / "r.json")), to_text(sample()));
}

}  // namespace
}  // namespace hearth::lab
