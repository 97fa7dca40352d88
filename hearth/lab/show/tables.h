// A result as tables of plain values, for other programs: csv, jsonl, sql, sqlite.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "hearth/lab/result/database.h"
#include "hearth/lab/result/result.h"

namespace hearth::lab {

struct Table {
  std::string name;
  std::vector<std::string> columns;
  std::vector<std::vector<Cell>> rows;
};

/// environment, ceilings, jobs, engines, repetitions, tokens (of the streamed and their times, and
/// of all others that have ids), published, memory, margins, telemetry: every sample, numbers in
/// full.
std::vector<Table> tables_of(const Result& result);

/// RFC 4180, a line of names first; null is empty. Control characters, which it does not allow, are
/// blanks.
std::string to_csv(const Table& table);
/// An object a line; `table` names the table.
std::string to_jsonl(const Table& table);
/// For people: each job's engines with mean and standard deviation, rates, memory.
std::string markdown(const Result& result);
}  // namespace hearth::lab
