// Results for other programs: nothing is lost on the way.
#include "hearth/lab/show/tables.h"

#include <gmock/gmock.h>
#include <sqlite3.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "hearth/lab/show/sqlite.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

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
              HasSubstr("\r\nx:cpu,1,1,1,0,0,0,0,1.3333333333333333,0.1,"));
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

std::vector<std::string> ask(sqlite3* db, const char* sql) {
  std::vector<std::string> cells;
  const auto keep = [](void* to, int n, char** values, char**) {
    for (int i = 0; i < n; ++i)
      static_cast<std::vector<std::string>*>(to)->push_back(values[i] ? values[i] : "null");
    return 0;
  };
  EXPECT_EQ(sqlite3_exec(db, sql, keep, &cells, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  return cells;
}

TEST(LabTables, SqliteAndSqlHoldTheSame) {
  testing::TempFolder folder;
  const std::string path = folder / "r.db";
  Result r = sample();
  r.environment.push_back({"its name", std::string("a'b\0c", 5)});
  r.engines[0].repetitions[0].warmup = true;
  write_sqlite(tables_of(r), path);
  for (const bool text : {false, true}) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(text ? ":memory:" : path.c_str(), &db), SQLITE_OK);
    if (text) ask(db, to_sql(tables_of(r)).c_str());
    EXPECT_THAT(ask(db, "select count(*), sum(streamed) from repetitions"), ElementsAre("9", "3"));
    EXPECT_THAT(ask(db, "select count(*) from sample"), ElementsAre("8"));
    // Every digit.
    EXPECT_THAT(ask(db, "select count(*) from repetitions where start_s = 1 + 1.0 / 3"),
                ElementsAre("3"));
    EXPECT_THAT(
        ask(db, "select bytes from memory where gauge = 'resident_bytes' and engine = 'x:cpu'"),
        ElementsAre("1099511627776"));
    EXPECT_THAT(
        ask(db, "select value, reason from telemetry where time_s = 0.1 and engine = 'x:cpu'"),
        ElementsAre("null", "denied"));
    EXPECT_THAT(ask(db, "select faults from engines where engine = 'x:cpu'"),
                ElementsAre("one; two"));
    EXPECT_THAT(ask(db, "select hex(value) from environment where name = 'its name'"),
                ElementsAre("6127620063"));
    sqlite3_close(db);
  }
  EXPECT_THAT(testing::error_of([&] { write_sqlite(tables_of(r), path); }),
              HasSubstr("is there already"));
  EXPECT_THAT(testing::error_of([&] { write_sqlite(tables_of(r), folder / "no/r.db"); }),
              HasSubstr("cannot be written"));
}

TEST(LabTables, MarkdownHasALineForEachEngine) {
  EXPECT_THAT(markdown(sample()),
              HasSubstr("| x:cpu |  | - | - | 0.1 | 0 | 2 | 50 | 0.05 | 0 | 20 | 50 | 50 | 50 |"));
  Result op = sample();  // 100 ms of 4 calls
  op.jobs[0].kind = JobKind::op;
  for (Repetition& r : op.engines[0].repetitions) r.calls = 4, r.new_tokens = 0;
  EXPECT_THAT(markdown(op), HasSubstr("| 0.025 | 0 | 2 | 25 |"));
}

}  // namespace
}  // namespace hearth::lab
