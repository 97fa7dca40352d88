#include "hearth/lab/show/sqlite.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <memory>

#include "hearth/base/error.h"

namespace hearth::lab {

namespace {

std::string create(const Table& table) {
  std::string columns;
  for (const std::string& column : table.columns)
    columns += concat(columns.empty() ? "\"" : ", \"", column, "\"");  // "commit" is a word of SQL
  return concat("create table ", table.name, " (", columns, ");\n");
}

// What was measured, without what only warmed up.
constexpr const char* kView =
    "create view sample as select * from repetitions where warmup = 0 and settling = 0;\n";

std::string literal(const Cell& cell) {
  if (const auto* n = std::get_if<int64_t>(&cell)) return fmt::format("{}", *n);
  if (const auto* x = std::get_if<double>(&cell)) return fmt::format("{:.17g}", *x);
  const auto* s = std::get_if<std::string>(&cell);
  if (!s) return "null";
  std::string out = "'";
  for (char c : *s) out += c == '\'' ? "''" : c == '\0' ? "'||char(0)||'" : std::string(1, c);
  return out + "'";
}

/// A database being written: every call is checked, and names the file.
class Database {
 public:
  explicit Database(const std::filesystem::path& path) : name_(path.string()) {
    sqlite3* db = nullptr;
    const int code = sqlite3_open(name_.c_str(), &db);
    owner_.reset(db);  // there is one even where opening failed
    checked(code);
  }

  void checked(int code) {
    ensure(code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW, name_,
           ": cannot be written: ", sqlite3_errmsg(owner_.get()));
  }
  void run(const std::string& sql) {
    checked(sqlite3_exec(owner_.get(), sql.c_str(), nullptr, nullptr, nullptr));
  }
  void insert(const Table& table) {
    std::string marks;
    for (size_t i = 0; i < table.columns.size(); ++i) marks += i ? ", ?" : "?";
    run(create(table));
    sqlite3_stmt* row = nullptr;
    checked(sqlite3_prepare_v2(owner_.get(),
                               concat("insert into ", table.name, " values (", marks, ")").c_str(),
                               -1, &row, nullptr));
    const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> owner(row, sqlite3_finalize);
    for (const auto& cells : table.rows) {
      for (int i = 0; i < int(cells.size()); ++i) checked(bind(row, i + 1, cells[size_t(i)]));
      checked(sqlite3_step(row));
      checked(sqlite3_reset(row));
    }
  }

 private:
  static int bind(sqlite3_stmt* row, int at, const Cell& cell) {
    if (const auto* n = std::get_if<int64_t>(&cell)) return sqlite3_bind_int64(row, at, *n);
    if (const auto* x = std::get_if<double>(&cell)) return sqlite3_bind_double(row, at, *x);
    if (const auto* s = std::get_if<std::string>(&cell))
      return sqlite3_bind_text(row, at, s->data(), int(s->size()), SQLITE_TRANSIENT);
    return sqlite3_bind_null(row, at);
  }
  std::string name_;
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> owner_{nullptr, sqlite3_close};
};

}  // namespace

std::string to_sql(const std::vector<Table>& tables) {
  std::string out = "begin;\n";
  for (const Table& table : tables) {
    out += create(table);
    for (const auto& row : table.rows) {
      std::string cells;
      for (const Cell& cell : row) cells += (cells.empty() ? "" : ", ") + literal(cell);
      out += concat("insert into ", table.name, " values (", cells, ");\n");
    }
  }
  return out + kView + "commit;\n";
}

void write_sqlite(const std::vector<Table>& tables, const std::filesystem::path& path) {
  std::error_code none;
  ensure(!std::filesystem::exists(path, none), path.string(), ": is there already");
  try {
    Database db(path);
    db.run("begin");
    for (const Table& table : tables) db.insert(table);
    db.run(kView);
    db.run("commit");
  } catch (...) {
    std::filesystem::remove(path, none);
    throw;
  }
}

}  // namespace hearth::lab
