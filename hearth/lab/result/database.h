// A file of SQLite: every call is checked, and errors name the file.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace hearth::lab {

/// null, a whole number, a number, a text
using Cell = std::variant<std::monostate, int64_t, double, std::string>;

/// The file is no database, or a damaged one.
struct DatabaseDamaged : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Database {
 public:
  enum class Open { read, write };  // to write makes it where it is absent
  /// What a hostile file's own schema could do is switched off. Throws std::runtime_error.
  Database(const std::filesystem::path& path, Open how);

  void run(const std::string& sql) const;
  /// Its values, one a `?`; what it answers comes row by row.
  class Statement {
   public:
    void bind(int at, const Cell& cell);  // from 1
    bool step();                          // whether there is a row
    void reset();
    Cell value(int column) const;  // of the row
    int columns() const;

   private:
    friend class Database;
    const Database* of_;
    std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement_{nullptr, nullptr};
  };
  Statement prepare(const std::string& sql) const;
  int64_t last_row() const;  // the id of the row that was inserted last
  const std::string& name() const { return name_; }

 private:
  void checked(int code) const;
  std::string name_;
  bool writes_;
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> owner_{nullptr, nullptr};
};

}  // namespace hearth::lab
