#include "hearth/lab/result/history.h"

#include <cmath>
#include <optional>

#include "hearth/base/error.h"
#include "hearth/lab/result/result.h"

namespace hearth::lab {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kApplication = 0x68726c62;  // "hrlb", in the file's head
constexpr int64_t kVersion = 1;
constexpr int64_t kMostRows = 5'000'000;  // that are read of one table

struct Entry {
  const char *name, *sql;
};
constexpr Entry kTables[] = {
    {"run",
     "CREATE TABLE run (id integer primary key, created text not null, source text not null, "
     "key text not null unique)"},
    {"fact", "CREATE TABLE fact (run integer not null, name text not null, value text not null)"},
    {"point",
     "CREATE TABLE point (id integer primary key, run integer not null, engine text not null, "
     "job text not null, unit text not null)"},
    {"sample", "CREATE TABLE sample (point integer not null, seconds real not null)"},
    {"fact_run", "CREATE INDEX fact_run on fact (run)"},
    {"point_engine", "CREATE INDEX point_engine on point (engine)"},
    {"sample_point", "CREATE INDEX sample_point on sample (point)"},
};

[[noreturn]] void no_history(const Database& db, const std::string& why) {
  throw std::runtime_error(concat(db.name(),
                                  ": no history of hearth lab that this version can "
                                  "read: ",
                                  why, "; move it away, or name another file"));
}

/// f() on the file; what SQLite says of a damaged one as an error with a next step.
template <class F>
auto reading(const Database& db, F&& f) {
  try {
    return f();
  } catch (const DatabaseDamaged& error) {
    no_history(db, std::string(error.what()).substr(db.name().size() + 2));
  }
}

const std::string& text(const Database& db, const Cell& cell, const char* what) {
  const auto* value = std::get_if<std::string>(&cell);
  if (!value) no_history(db, concat(what, " is no text"));
  return *value;
}

int64_t whole(const Database& db, const Cell& cell, const char* what) {
  const auto* value = std::get_if<int64_t>(&cell);
  if (!value) no_history(db, concat(what, " is no whole number"));
  return *value;
}

int64_t pragma(const Database& db, const char* name) {
  auto row = db.prepare(concat("pragma ", name));
  return row.step() ? whole(db, row.value(0), name) : 0;
}

bool holds_nothing(const Database& db) {
  auto row = db.prepare("select count(*) from sqlite_master");
  return row.step() && whole(db, row.value(0), "count") == 0;
}

fs::path made(const fs::path& path, History::Open how) {
  std::error_code none;
  if (how == History::Open::write) {
    fs::create_directories(path.parent_path(), none);
    return path;
  }
  ensure(fs::exists(path, none), path.string(),
         ": there is no history yet; `hearth lab run --history` or `hearth lab history --add` "
         "begins one");
  ensure(!fs::is_directory(path, none), path.string(), ": is a folder, wanted a history");
  return path;
}

}  // namespace

std::string key_of(const HistoryRun& run) {
  std::string key = run.created;
  for (const HistoryPoint& p : run.points)
    key += concat("\n", p.engine, "\t", p.job, "\t", p.seconds.size(), " ",
                  p.seconds.empty() ? 0 : p.seconds.front() + p.seconds.back());
  return key;
}

History::History(const fs::path& path, Open how)
    : db_(made(path, how), how == Open::write ? Database::Open::write : Database::Open::read) {
  reading(db_, [&] {
    if (how == Open::write && holds_nothing(db_)) {
      db_.run("begin immediate");
      if (holds_nothing(db_)) {  // nobody else was quicker
        for (const Entry& entry : kTables) db_.run(entry.sql);
        db_.run(concat("pragma application_id = ", kApplication));
        db_.run(concat("pragma user_version = ", kVersion));
      }
      db_.run("commit");
    }
    check_tables();
  });
}

void History::check_tables() const {
  if (pragma(db_, "application_id") != kApplication) no_history(db_, "it is another program's");
  if (const int64_t version = pragma(db_, "user_version"); version != kVersion)
    no_history(db_, concat("it has version ", version, ", wanted ", kVersion));
  // Exactly ours: a trigger or a view could do anything.
  auto row = db_.prepare("select name, sql from sqlite_master where sql is not null");
  size_t found = 0;
  while (row.step()) {
    const std::string name = text(db_, row.value(0), "a name"),
                      sql = text(db_, row.value(1), "a table");
    bool known = false;
    for (const Entry& entry : kTables) known |= name == entry.name && sql == entry.sql;
    if (!known) no_history(db_, concat("it has a table of another form, ", name));
    ++found;
  }
  if (found != std::size(kTables)) no_history(db_, "a table is missing");
}

int64_t History::add(const HistoryRun& run) {
  const std::string key = key_of(run);
  db_.run("begin immediate");
  try {
    auto there = db_.prepare("select id from run where key = ?");
    there.bind(1, key);
    if (there.step()) {
      there.reset();
      db_.run("rollback");
      return 0;
    }
    const auto insert = [&](const char* sql, const std::vector<Cell>& cells) {
      auto row = db_.prepare(sql);
      for (size_t i = 0; i < cells.size(); ++i) row.bind(int(i + 1), cells[i]);
      row.step();
      return db_.last_row();
    };
    const int64_t id = insert("insert into run (created, source, key) values (?, ?, ?)",
                              {run.created, run.source, key});
    for (const auto& [name, value] : run.facts)
      insert("insert into fact values (?, ?, ?)", {id, name, value});
    auto sample = db_.prepare("insert into sample values (?, ?)");
    for (const HistoryPoint& p : run.points) {
      const int64_t point = insert("insert into point (run, engine, job, unit) values (?, ?, ?, ?)",
                                   {id, p.engine, p.job, p.unit});
      for (const double s : p.seconds) {
        sample.bind(1, point);
        sample.bind(2, s);
        sample.step();
        sample.reset();
      }
    }
    db_.run("commit");
    return id;
  } catch (...) {
    try {
      db_.run("rollback");
    } catch (const std::runtime_error&) {  // the first error is the one to tell
    }
    throw;
  }
}

bool History::remove(int64_t id) {
  db_.run("begin immediate");
  auto there = db_.prepare("select count(*) from run where id = ?");
  there.bind(1, id);
  const bool found = there.step() && whole(db_, there.value(0), "count") > 0;
  there.reset();
  const std::string number = std::to_string(id);
  db_.run("delete from sample where point in (select id from point where run = " + number + ")");
  for (const auto& [table, column] : {std::pair("point", "run"), {"fact", "run"}, {"run", "id"}})
    db_.run(concat("delete from ", table, " where ", column, " = ", number));
  db_.run("commit");
  return found;
}

std::vector<HistoryRun> History::runs(std::string_view engine) const {
  return reading(db_, [&] {
    std::vector<HistoryRun> all;
    std::map<int64_t, size_t> places;                        // of runs, by id
    std::map<int64_t, std::pair<size_t, size_t>> of_points;  // run and point, by the point's id
    const auto rows = [&](const std::string& sql, auto&& take) {
      auto row = db_.prepare(concat(sql, " limit ", kMostRows));
      while (row.step()) take(row);
    };
    rows("select id, created, source from run order by created, id", [&](const auto& row) {
      HistoryRun run;
      run.id = whole(db_, row.value(0), "the id of a run");
      run.created = text(db_, row.value(1), "the time of a run");
      run.source = text(db_, row.value(2), "the source of a run");
      places[run.id] = all.size();
      all.push_back(std::move(run));
    });
    rows("select run, name, value from fact", [&](const auto& row) {
      if (const auto it = places.find(whole(db_, row.value(0), "the run of a fact"));
          it != places.end())
        all[it->second].facts[text(db_, row.value(1), "the name of a fact")] =
            text(db_, row.value(2), "a fact");
    });
    rows("select id, run, engine, job, unit from point order by id", [&](const auto& row) {
      HistoryPoint point;
      point.engine = text(db_, row.value(2), "an engine");
      point.job = text(db_, row.value(3), "a job");
      point.unit = text(db_, row.value(4), "a unit");
      const auto it = places.find(whole(db_, row.value(1), "the run of a point"));
      if (it == places.end() || (!engine.empty() && point.engine != engine)) return;
      auto& points = all[it->second].points;
      of_points[whole(db_, row.value(0), "the id of a point")] = {it->second, points.size()};
      points.push_back(std::move(point));
    });
    rows("select point, seconds from sample order by rowid", [&](const auto& row) {
      const auto it = of_points.find(whole(db_, row.value(0), "the point of a sample"));
      const Cell cell = row.value(1);
      const auto* seconds = std::get_if<double>(&cell);
      if (!seconds || !(*seconds > 0 && *seconds <= kLargest))
        no_history(db_, "a sample is no time");
      if (it != of_points.end())
        all[it->second.first].points[it->second.second].seconds.push_back(*seconds);
    });
    for (HistoryRun& run : all)
      std::erase_if(run.points, [](const HistoryPoint& p) { return p.seconds.empty(); });
    return all;
  });
}

}  // namespace hearth::lab
