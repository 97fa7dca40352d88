#include "hearth/lab/result/database.h"

#include <sqlite3.h>

#include "hearth/base/error.h"

namespace hearth::lab {

namespace {
constexpr int kPatience_ms = 5000;       // while another program writes
constexpr int kLongestValue = 16 << 20;  // bytes
}  // namespace

Database::Database(const std::filesystem::path& path, Open how)
    : name_(path.string()), writes_(how == Open::write) {
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(
      name_.c_str(), &db,
      writes_ ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY, nullptr);
  owner_ = {db, sqlite3_close};  // there is one even where opening failed
  checked(code);
  sqlite3_busy_timeout(db, kPatience_ms);
  sqlite3_limit(db, SQLITE_LIMIT_LENGTH, kLongestValue);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
}

void Database::checked(int code) const {
  if (const int kind = code & 0xff; kind == SQLITE_NOTADB || kind == SQLITE_CORRUPT)
    throw DatabaseDamaged(concat(name_, ": ", sqlite3_errmsg(owner_.get())));
  ensure(code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW, name_,
         writes_ ? ": cannot be written: " : ": cannot be read: ", sqlite3_errmsg(owner_.get()));
}

void Database::run(const std::string& sql) const {
  checked(sqlite3_exec(owner_.get(), sql.c_str(), nullptr, nullptr, nullptr));
}

Database::Statement Database::prepare(const std::string& sql) const {
  sqlite3_stmt* statement = nullptr;
  checked(sqlite3_prepare_v2(owner_.get(), sql.c_str(), -1, &statement, nullptr));
  Statement s;
  s.of_ = this;
  s.statement_ = {statement, sqlite3_finalize};
  return s;
}

int64_t Database::last_row() const { return sqlite3_last_insert_rowid(owner_.get()); }

void Database::Statement::bind(int at, const Cell& cell) {
  sqlite3_stmt* row = statement_.get();
  of_->checked(std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, int64_t>)
          return sqlite3_bind_int64(row, at, value);
        else if constexpr (std::is_same_v<T, double>)
          return sqlite3_bind_double(row, at, value);
        else if constexpr (std::is_same_v<T, std::string>)
          return sqlite3_bind_text(row, at, value.data(), int(value.size()), SQLITE_TRANSIENT);
        else
          return sqlite3_bind_null(row, at);
      },
      cell));
}

bool Database::Statement::step() {
  const int code = sqlite3_step(statement_.get());
  of_->checked(code);
  return code == SQLITE_ROW;
}

void Database::Statement::reset() { of_->checked(sqlite3_reset(statement_.get())); }

int Database::Statement::columns() const { return sqlite3_column_count(statement_.get()); }

Cell Database::Statement::value(int column) const {
  sqlite3_stmt* row = statement_.get();
  switch (sqlite3_column_type(row, column)) {
    case SQLITE_INTEGER: return int64_t(sqlite3_column_int64(row, column));
    case SQLITE_FLOAT: return sqlite3_column_double(row, column);
    case SQLITE_TEXT: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(row, column));
      return std::string(text ? text : "", size_t(sqlite3_column_bytes(row, column)));
    }
    default: return {};
  }
}

}  // namespace hearth::lab
