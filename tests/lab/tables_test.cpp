// Results for other programs, and theirs for the lab: nothing is lost on the way.
#include "hearth/lab/tables.h"

#include <gmock/gmock.h>
#include <sqlite3.h>

#include <nlohmann/json.hpp>

#include "tests/lab/schema.h"

namespace hearth::lab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result sample() {
  Result r;
  r.environment = {{"processor", std::string("a, \"b\"")}};
  r.jobs = {Job()};
  EngineResult e;
  e.label = "x:cpu";
  e.faults = {"one", "two"};
  for (int i = 0; i < 3; ++i) {
    Repetition rep;
    rep.round = i;
    rep.start_s = i + 1.0 / 3;
    rep.total_s = 0.1;
    rep.streamed = i == 2;
    rep.new_tokens = 2;
    if (rep.streamed) rep.token_s = {0.05, 0.1};
    rep.ids = {{1, 2}, {3, 4}};
    e.repetitions.push_back(rep);
  }
  e.memory = {{}};
  e.memory[0].moment = "loaded";
  e.memory[0].resident_bytes = int64_t(1) << 40;
  e.telemetry.time_s = {0, 0.1, 0.2};
  e.telemetry.channels = {{"power_w", "W", "rapl", "denied", {1.5, std::nullopt, 2.5}}};
  r.engines = {e};
  Intervention i;
  i.engine = e.label;
  i.change = "pause";
  i.to = {"0.2", "1"};
  i.executions = {e, e};
  r.interventions = {i};
  return r;
}

Table table(std::string_view name) {
  for (Table& t : tables_of(sample()))
    if (t.name == name) return t;
  ADD_FAILURE() << name;
  return {};
}

TEST(LabTables, HoldEverySample) {
  // The engine's, and those of the two executions of the intervention.
  EXPECT_EQ(table("repetitions").rows.size(), 3 * 3);
  EXPECT_EQ(table("tokens").rows.size(), 3 * 12);
  EXPECT_EQ(table("telemetry").rows.size(), 3 * 3);
  EXPECT_EQ(table("memory").rows.size(), 3 * 9);
  EXPECT_EQ(table("interventions").rows.size(), 1);
  EXPECT_EQ(std::get<std::string>(table("engines").rows[1][0]), "intervention 0: x:cpu");
}

TEST(LabTables, CsvQuotesAndKeepsTheDigits) {
  EXPECT_EQ(to_csv(table("environment")), "name,value,reason\r\nprocessor,\"a, \"\"b\"\"\",\r\n");
  EXPECT_THAT(to_csv(table("repetitions")),
              HasSubstr("\r\nx:cpu,1,0,1,0,0,1.3333333333333333,0.1,"));
  EXPECT_THAT(to_csv(table("telemetry")), HasSubstr("x:cpu,0.1,power_w,W,rapl,,denied\r\n"));
}

TEST(LabTables, JsonLinesAreObjects) {
  const std::string lines = to_jsonl(table("tokens"));
  const auto first = nlohmann::json::parse(lines.substr(0, lines.find('\n')));
  EXPECT_EQ(first["table"], "tokens");
  EXPECT_EQ(first["id"], 1);
  EXPECT_TRUE(first["time_s"].is_null());
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 36);
}

TEST(LabTables, SqliteHoldsTheSame) {
  testing::TempFolder folder;
  const std::string path = folder / "r.db";
  write_sqlite(tables_of(sample()), path);
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  const auto ask = [&](const char* sql) {
    std::vector<std::string> cells;
    const auto keep = [](void* to, int n, char** values, char**) {
      for (int i = 0; i < n; ++i)
        static_cast<std::vector<std::string>*>(to)->push_back(values[i] ? values[i] : "null");
      return 0;
    };
    EXPECT_EQ(sqlite3_exec(db, sql, keep, &cells, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    return cells;
  };
  EXPECT_THAT(ask("select count(*), sum(streamed), max(start_s) from repetitions"),
              ElementsAre("9", "3", "2.33333333333333"));
  EXPECT_THAT(ask("select bytes from memory where gauge = 'resident_bytes' and engine = 'x:cpu'"),
              ElementsAre("1099511627776"));
  EXPECT_THAT(ask("select value, reason from telemetry where time_s = 0.1 and engine = 'x:cpu'"),
              ElementsAre("null", "denied"));
  EXPECT_THAT(ask("select faults from engines where engine = 'x:cpu'"), ElementsAre("one; two"));
  sqlite3_close(db);
  EXPECT_THAT(testing::error_of([&] { write_sqlite(tables_of(sample()), path); }),
              HasSubstr("is there already"));
  EXPECT_THAT(testing::error_of([&] { write_sqlite(tables_of(sample()), folder / "no/r.db"); }),
              HasSubstr("cannot be written"));
}

TEST(LabTables, MarkdownHasALineForEachEngine) {
  EXPECT_THAT(markdown(sample()), HasSubstr("| x:cpu |  | 0.1 | 0 | 2 | 50 | 20 | 0.05 |"));
}

std::string bench() {
  return testing::content_of(testing::source_path("tests/lab/data/llama_bench.json"));
}

TEST(LabImport, LlamaBenchKeepsItsRates) {
  const Result r = import_llama_bench(bench(), "bench.json");
  ASSERT_EQ(r.jobs.size(), 2);
  ASSERT_EQ(r.engines.size(), 1);
  const EngineResult& e = r.engines[0];
  const auto tests = nlohmann::json::parse(bench());
  std::vector<double> rates;
  for (const auto& test : tests)
    for (double rate : test["samples_ts"]) rates.push_back(rate);
  ASSERT_EQ(e.repetitions.size(), rates.size());
  for (size_t i = 0; i < rates.size(); ++i) {
    const Repetition& x = e.repetitions[i];
    EXPECT_NEAR((x.new_tokens ? x.new_tokens : x.prompt_tokens) / x.total_s, rates[i], 1e-6);
  }
  EXPECT_EQ(r.jobs[0].kind, JobKind::prefill);
  EXPECT_EQ(r.jobs[1].new_tokens, 128);
  EXPECT_EQ(r.plan.order, "sequential");
  EXPECT_EQ(e.threads.value, 8);
  EXPECT_NEAR(*e.bytes_per_weight.value, 2, 0.001);
  EXPECT_EQ(testing::result_violation(to_json(r)), "");
}

TEST(LabImport, LinesAreReadToo) {
  std::string lines;
  for (const auto& test : nlohmann::json::parse(bench())) lines += test.dump() + "\n";
  EXPECT_EQ(import_llama_bench(lines, "x").engines[0].repetitions.size(), 5);
}

TEST(LabImport, SaysWhatIsWrong) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "b.json: no tests"},
      {"[]", "b.json: no tests"},
      {"{\"n_prompt\": 1}", "b.json:1: n_gen is missing"},
      {"[{\"n_prompt\": 0, \"n_gen\": 0}]", "b.json[0]: n_prompt and n_gen are both 0"},
      {"[1]", "b.json[0]: wanted an object"},
      {"[{\"n_prompt\": 1, \"n_gen\": 0, \"samples_ns\": [0]}]",
       "samples_ns: wanted numbers above 0"},
      {"[{\"n_prompt\": 1, \"n_gen\": 0}]", "avg_ns is missing"},
      {"| model | size |", "not valid JSON"}};
  for (const auto& [text, says] : cases)
    EXPECT_THAT(testing::error_of([t = text] { import_llama_bench(t, "b.json"); }), HasSubstr(says))
        << text;
}

}  // namespace
}  // namespace hearth::lab
