// Tables as SQL, and as a file of SQLite.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "hearth/lab/show/tables.h"

namespace hearth::lab {

/// All tables as statements of SQL, and a view, `sample`: the repetitions that count.
std::string to_sql(const std::vector<Table>& tables);
/// Writes all tables, and the view, to a new file. Throws std::runtime_error if that fails; nothing
/// is left then.
void write_sqlite(const std::vector<Table>& tables, const std::filesystem::path& path);

}  // namespace hearth::lab
