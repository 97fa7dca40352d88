// What `hearth bench` measures, one test after another, and how their results are written.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::cli {

/// Numbers as llama-bench takes them: "512", "128,512", "1-8" (each), "1-8+2", "1-64*2", and these
/// joined by commas. Throws std::invalid_argument with what was got and what is wanted.
std::vector<int> parse_counts(std::string_view text, int least, int most);

/// One rate to measure: of a prompt, or of decoding, after `depth` tokens that came before.
struct BenchTest {
  int prompt = 0, decode = 0;  // one of them is 0
  int depth = 0, batch = 512;  // batch: tokens of a prompt that are computed at once
  int parallel = 1;            // rows that are decoded together
};

/// Every prompt with each batch, and every decode of each number of rows, at each depth.
std::vector<BenchTest> bench_tests(const std::vector<int>& prompts, const std::vector<int>& decodes,
                                   const std::vector<int>& depths, const std::vector<int>& batches,
                                   const std::vector<int>& parallels);

/// "csv", "json", "jsonl", "md", "sql".
const std::vector<std::string>& table_formats();

/// Rows of one kind, written as they come. Lists in a row are for JSON alone.
class TableWriter {
 public:
  /// `columns`: of a Markdown table, name in the row and heading.
  struct Column {
    std::string name, heading;
  };
  TableWriter(std::string format, std::string table, std::vector<Column> columns);
  /// The text that the row adds, with what comes before the first.
  std::string add(const nlohmann::ordered_json& row);
  /// The text after the last.
  std::string end() const;

 private:
  std::string format_, table_;
  std::vector<Column> columns_;
  int rows_ = 0;
};

}  // namespace hearth::cli
