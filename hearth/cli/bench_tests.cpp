#include "hearth/cli/bench_tests.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hearth/base/error.h"
#include "hearth/cli/json_out.h"
#include "hearth/cli/options.h"

namespace hearth::cli {

namespace {

constexpr size_t kMostTests = 1000;

using Row = nlohmann::ordered_json;

std::string text_of(const Row& value) {
  if (value.is_null()) return "";
  return value.is_string() ? value.get<std::string>() : json_text(value, -1);
}

std::string quoted(std::string text, char quote) {
  for (size_t at = 0; (at = text.find(quote, at)) != text.npos; at += 2) text.insert(at, 1, quote);
  return quote + text + quote;
}

/// f(name, value) of what one cell holds, joined by commas.
template <class F>
std::string cells(const Row& row, const F& f) {
  std::vector<std::string> all;
  for (const auto& [name, value] : row.items())
    if (!value.is_array()) all.push_back(f(name, value));
  return fmt::format("{}", fmt::join(all, ","));
}

std::string sql_type(const std::string& name, const Row& value) {
  const char* type = value.is_number_float() || value.is_null() ? "REAL"
                     : value.is_string()                        ? "TEXT"
                                                                : "INTEGER";
  return fmt::format("\n  {} {}", name, type);
}
std::string sql_value(const std::string&, const Row& value) {
  if (value.is_null()) return "NULL";
  if (value.is_boolean()) return value.get<bool>() ? "1" : "0";
  return value.is_string() ? quoted(text_of(value), '\'') : text_of(value);
}

}  // namespace

std::vector<int> parse_counts(std::string_view text, int least, int most) {
  std::vector<int> all;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string_view part = text.substr(at, comma - at);
    at = comma + 1;
    const auto fail = [&](std::string_view why) {
      check(false, "'", part, "': ", why, "; wanted whole numbers from ", least, " to ", most,
            " as 512, 128,512, 1-8, 1-8+2 or 1-64*2");
    };
    const size_t dash = part.find('-', 1);
    const size_t by = dash == part.npos ? part.npos : part.find_first_of("+*", dash);
    const auto first = parse_number<int>(part.substr(0, dash));
    const auto last =
        dash == part.npos
            ? first
            : parse_number<int>(part.substr(dash + 1, by == part.npos ? by : by - dash - 1));
    const auto step = by == part.npos ? 1 : parse_number<int>(part.substr(by + 1));
    if (!first || !last || !step) fail("not understood");
    if (*first < least || *last > most || *first > *last) fail("not in the range");
    const bool multiplied = by != part.npos && part[by] == '*';
    for (int64_t i = *first; i <= *last;) {
      all.push_back(int(i));
      const int64_t next = multiplied ? i * *step : i + *step;
      if (next <= i && *first < *last) fail("a range without end");
      if (all.size() > kMostTests) fail("too many");
      if (next <= i) break;
      i = next;
    }
  }
  return all;
}

std::vector<BenchTest> bench_tests(const std::vector<int>& prompts, const std::vector<int>& decodes,
                                   const std::vector<int>& depths, const std::vector<int>& batches,
                                   const std::vector<int>& parallels) {
  std::vector<BenchTest> tests;
  for (const int depth : depths) {
    for (const int batch : batches)
      for (const int prompt : prompts)
        if (prompt > 0) tests.push_back({prompt, 0, depth, batch});
    for (const int parallel : parallels)
      for (const int decode : decodes)
        if (decode > 0) tests.push_back({0, decode, depth, batches.front(), parallel});
  }
  check(tests.size() <= kMostTests, tests.size(), " tests; wanted at most ", kMostTests);
  return tests;
}

const std::vector<std::string>& table_formats() {
  static const std::vector<std::string> all = {"csv", "json", "jsonl", "md", "sql"};
  return all;
}

TableWriter::TableWriter(std::string format, std::string table, std::vector<Column> columns)
    : format_(std::move(format)), table_(std::move(table)), columns_(std::move(columns)) {}

std::string TableWriter::add(const Row& row) {
  const bool first = rows_++ == 0;
  if (format_ == "json") return (first ? "[\n" : ",\n") + json_text(row);
  if (format_ == "jsonl") return json_text(row, -1) + "\n";
  std::string text;
  if (format_ == "csv") {
    if (first) text = cells(row, [](const std::string& name, const Row&) { return name; }) + "\n";
    return text +
           cells(row,
                 [](const std::string&, const Row& value) { return quoted(text_of(value), '"'); }) +
           "\n";
  }
  if (format_ == "sql") {
    if (first)
      text = fmt::format("CREATE TABLE IF NOT EXISTS {} ({}\n);\n", table_, cells(row, sql_type));
    const auto names = cells(row, [](const std::string& name, const Row&) { return name; });
    return text +
           fmt::format("INSERT INTO {} ({}) VALUES ({});\n", table_, names, cells(row, sql_value));
  }
  std::string line = "|", rule = "|", head = "|";
  for (const Column& column : columns_) {
    const Row& cell = row.at(column.name);
    std::string value =
        cell.is_number_float() ? fmt::format("{:.2f}", cell.get<double>()) : text_of(cell);
    for (size_t at = 0; (at = value.find('|', at)) != value.npos; at += 2) value.insert(at, "\\");
    head += fmt::format(" {} |", column.heading);
    rule += cell.is_number() ? " ---: |" : " --- |";
    line += fmt::format(" {} |", value);
  }
  return (first ? head + "\n" + rule + "\n" : "") + line + "\n";
}

std::string TableWriter::end() const {
  if (format_ != "json") return "";
  return rows_ ? "\n]\n" : "[]\n";
}

}  // namespace hearth::cli
