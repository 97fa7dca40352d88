// The history of a machine: what is added comes back, and what is no history is an error.
#include "hearth/lab/result/history.h"

#include <gmock/gmock.h>

#include <fstream>
#include <random>

#include "tests/temp_folder.h"

namespace hearth::lab {
namespace {

using ::testing::AllOf;
using testing::content_of;
using testing::error_of;
using ::testing::HasSubstr;
using testing::TempFolder;

HistoryRun a_run(const std::string& created, std::vector<double> seconds = {0.1, 0.2}) {
  HistoryRun run;
  run.created = created;
  run.source = "measured";
  run.facts = {{"kernel", "6.1"}, {"it's", "a \"fact\""}};
  run.points = {{"hearth:cpu", "generate a", "new token", seconds},
                {"torch:cpu", "generate a", "new token", {3}}};
  return run;
}

TEST(History, GivesBackWhatWasAddedTheOldestFirst) {
  const TempFolder folder;
  const auto path = folder / "deep/er/history.db";
  {
    History h(path, History::Open::write);
    EXPECT_EQ(h.add(a_run("2026-02-02T00:00:00Z")), 1);
    EXPECT_EQ(h.add(a_run("2026-01-01T00:00:00Z", {1e-9, 1e99})), 2);
    EXPECT_EQ(h.add(a_run("2026-02-02T00:00:00Z")), 0);  // is there already
  }
  const auto runs = History(path, History::Open::read).runs();
  ASSERT_EQ(runs.size(), 2);
  EXPECT_EQ(runs[0].created, "2026-01-01T00:00:00Z");
  EXPECT_EQ(runs[0].points[0].seconds, (std::vector<double>{1e-9, 1e99}));
  EXPECT_EQ(runs[1].facts.at("it's"), "a \"fact\"");
  ASSERT_EQ(runs[1].points.size(), 2);
  EXPECT_EQ(runs[1].points[1].engine, "torch:cpu");
  const auto torch = History(path, History::Open::read).runs("torch:cpu");
  ASSERT_EQ(torch[0].points.size(), 1);
  EXPECT_EQ(torch[0].points[0].seconds, std::vector<double>{3});
  History h(path, History::Open::write);
  EXPECT_TRUE(h.remove(1));
  EXPECT_FALSE(h.remove(1));
  EXPECT_EQ(h.runs().size(), 1);
}

TEST(History, TwoWritersDoNotLoseRuns) {
  const TempFolder folder;
  const auto path = folder / "history.db";
  History a(path, History::Open::write), b(path, History::Open::write);
  for (int i = 0; i < 5; ++i) {
    a.add(a_run("2026-01-01T00:00:0" + std::to_string(i)));
    b.add(a_run("2026-01-01T00:01:0" + std::to_string(i)));
  }
  EXPECT_EQ(a.runs().size(), 10);
}

TEST(History, WhatIsNoneSaysSo) {
  const TempFolder folder;
  const auto opened = [](const std::filesystem::path& path) {
    return error_of([&] { History(path, History::Open::read).runs(); });
  };
  EXPECT_THAT(opened(folder / "absent.db"), HasSubstr("there is no history yet; `hearth lab run"));
  EXPECT_THAT(opened(folder.path()), HasSubstr("is a folder"));
  const auto text = folder.write(
      "text.db", "This is no database, however long it may be. " + std::string(5000, 'x'));
  EXPECT_THAT(opened(text), AllOf(HasSubstr("no history of hearth lab that this version can read"),
                                  HasSubstr("move it away")));
  // To write does not replace it either.
  EXPECT_THAT(error_of([&] { History(text, History::Open::write); }), HasSubstr("no history"));
  EXPECT_TRUE(content_of(text).starts_with("This is no"));
}

TEST(History, OtherTablesThanItsOwnAreRefused) {
  const TempFolder folder;
  const std::pair<const char*, const char*> changes[] = {
      {"create trigger t after insert on run begin delete from fact; end",
       "a table of another form, t"},
      {"create view v as select * from run", "a table of another form, v"},
      {"drop table sample", "a table is missing"},
      {"alter table run add column more text", "a table of another form, run"},
      {"pragma user_version = 7", "it has version 7, wanted 1"},
      {"pragma application_id = 5", "it is another program's"},
      {"update run set created = x'00ff'", "the time of a run is no text"},
      {"update sample set seconds = 'long'", "a sample is no time"},
      {"update sample set seconds = -1", "a sample is no time"},
      {"update sample set seconds = 9e999", "a sample is no time"},
      {"update fact set value = 3.5, name = x'01'", "is no text"}};
  int n = 0;
  for (const auto& [sql, says] : changes) {
    const auto path = folder / (std::to_string(n++) + ".db");
    History(path, History::Open::write).add(a_run("2026"));
    Database(path, Database::Open::write).run(sql);
    EXPECT_THAT(error_of([&] { History(path, History::Open::read).runs(); }),
                AllOf(HasSubstr(says), HasSubstr(path.string())))
        << sql;
  }
}

// Any byte changed, any end: an error, or runs, never a crash.
TEST(History, ADamagedFileIsAnErrorOrRuns) {
  const TempFolder folder;
  const auto path = folder / "history.db";
  {
    History h(path, History::Open::write);
    for (int i = 0; i < 20; ++i) h.add(a_run("2026-01-" + std::to_string(10 + i)));
  }
  const std::string whole = content_of(path);
  std::mt19937 random(1);
  int errors = 0;
  for (int i = 0; i < 300; ++i) {
    std::string damaged = whole;
    if (i % 3 == 0) damaged.resize(random() % damaged.size());
    for (int k = 0; k < 1 + i % 20 && !damaged.empty(); ++k)
      damaged[random() % damaged.size()] = char(random());
    const auto file = folder.write("damaged.db", damaged);
    try {
      History(file, History::Open::read).runs();
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), HasSubstr("damaged.db"));
      ++errors;
    }
  }
  EXPECT_GT(errors, 50);
}

}  // namespace
}  // namespace hearth::lab
