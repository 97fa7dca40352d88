#include "hearth/lab/show/sqlite.h"

#include <fmt/format.h>

#include "hearth/base/error.h"
#include "hearth/lab/result/database.h"
#include "hearth/lab/show/text.h"

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
  const auto picked = [](int32_t code) { return code == '\'' || is_control(code); };
  return "'" +
         with_replaced(*s, picked,
                       [](int32_t code) {
                         return code == '\'' ? std::string("''") : concat("'||char(", code, ")||'");
                       }) +
         "'";
}

void insert(const Database& db, const Table& table) {
  std::string marks;
  for (size_t i = 0; i < table.columns.size(); ++i) marks += i ? ", ?" : "?";
  db.run(create(table));
  auto row = db.prepare(concat("insert into ", table.name, " values (", marks, ")"));
  for (const auto& cells : table.rows) {
    for (int i = 0; i < int(cells.size()); ++i) row.bind(i + 1, cells[size_t(i)]);
    row.step();
    row.reset();
  }
}

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
    const Database db(path, Database::Open::write);
    db.run("begin");
    for (const Table& table : tables) insert(db, table);
    db.run(kView);
    db.run("commit");
  } catch (...) {
    std::filesystem::remove(path, none);
    throw;
  }
}

}  // namespace hearth::lab
