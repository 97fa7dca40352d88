// hearth lab export and import: results for other programs, and theirs for the lab.
#include <fmt/format.h>

#include "hearth/base/listed.h"
#include "hearth/cli/lab.h"
#include "hearth/cli/model_options.h"
#include "hearth/io/output_file.h"
#include "hearth/lab/result/imports.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/hyperfine.h"
#include "hearth/lab/show/report.h"
#include "hearth/lab/show/sqlite.h"
#include "hearth/lab/show/tables.h"

namespace hearth::cli {

namespace {

struct HyperfineForm {
  const char* name;
  std::string (*form)(const lab::Result&);
};
constexpr HyperfineForm kHyperfine[] = {{"hyperfine", lab::hyperfine_json},
                                        {"hyperfine-md", lab::hyperfine_markdown},
                                        {"hyperfine-csv", lab::hyperfine_csv}};

struct ExportOptions {
  std::string file, format = "csv", table, out;
};

void put(const std::string& text, const std::string& out) {
  if (out.empty()) return print_out(text);
  OutputFile file(out);
  file.write(std::string_view(text));
  file.commit();
}

void write(const ExportOptions& o) {
  if (!o.table.empty() && o.format != "csv" && o.format != "jsonl")
    throw UsageError(
        fmt::format("--table: {}; one table can be had as csv or jsonl",
                    o.format == "md" ? "md is a summary" : o.format + " has all tables"));
  const lab::Result result = lab::read_result(o.file);
  for (const auto& [name, form] : kHyperfine)
    if (o.format == name) return put(form(result), o.out);
  if (o.format == "md") return put(lab::markdown(result), o.out);
  if (o.format == "json") return put(lab::to_text(result), o.out);
  const auto tables = lab::tables_of(result);
  if (o.format == "sql") return put(lab::to_sql(tables), o.out);
  if (o.format == "sqlite") {
    if (o.out.empty()) throw UsageError("-o: a sqlite file needs a name");
    return lab::write_sqlite(tables, o.out);
  }
  std::string text;
  std::vector<std::string> names;
  for (const lab::Table& table : tables) {
    names.push_back(table.name);
    if (o.format == "jsonl" && (o.table.empty() || o.table == table.name))
      text += lab::to_jsonl(table);
    if (o.format == "csv" && table.name == (o.table.empty() ? "repetitions" : o.table))
      text = lab::to_csv(table);
  }
  if (text.empty() && !o.table.empty())
    throw UsageError(fmt::format("--table: there is no '{}', or it is empty; there are {}", o.table,
                                 listed(names)));
  put(text, o.out);
}

}  // namespace

void add_lab_export(Command& lab) {
  auto* command = lab.add_subcommand("export", "Write a result for other programs");
  auto o = std::make_shared<ExportOptions>();
  command->add_option("result", o->file, "What `hearth lab run` wrote")->required()->type_name("F");
  command
      ->add_option("-f,--format", o->format,
                   "csv, json, jsonl, md, sql, sqlite, or hyperfine's: hyperfine (JSON), "
                   "hyperfine-md, hyperfine-csv")
      ->one_of({"csv", "json", "jsonl", "md", "sql", "sqlite", "hyperfine", "hyperfine-md",
                "hyperfine-csv"})
      ->capture_default_str()
      ->type_name("FORMAT");
  command
      ->add_option("--table", o->table,
                   "One table (csv: repetitions; jsonl: all): tokens, telemetry, memory, ...")
      ->type_name("NAME");
  command->add_option("-o,--output", o->out, "A file (default: standard output)")->type_name("F");
  command->callback([o] { write(*o); });
}

void add_lab_import(Command& lab) {
  auto* command = lab.add_subcommand(
      "import",
      "Read what llama-bench, ollama's benchmark, vLLM's, hyperfine, Google Benchmark or "
      "pytest-benchmark wrote");
  auto file = std::make_shared<std::string>(), out = std::make_shared<std::string>();
  command->add_option("file", *file, "Its output, or - for standard input")
      ->required()
      ->type_name("F");
  command->add_option("-o,--output", *out, "The result to write")->required()->type_name("F");
  command->callback([file, out] {
    const auto result = lab::import_result(read_text(*file), *file);
    lab::write_result(result, *out);
    print_out(summary(result));
  });
}

}  // namespace hearth::cli
