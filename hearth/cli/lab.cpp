// hearth lab: the same job through several engines, honestly compared. One line a subcommand.
#include "hearth/cli/lab.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "hearth/cli/model_options.h"
#include "hearth/lab/result/result.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/text.h"

namespace hearth::cli {

namespace {

void add_schema(Command& lab) {
  lab.add_subcommand("schema", "Print the JSON Schema of result files")->callback([] {
    print_out(lab::json_text(lab::result_schema(), 1) + "\n");
  });
}

}  // namespace

void show_text(std::string_view text) {
  print_out(lab::folded(lab::printable(text), size_t(width(STDOUT_FILENO))));
}

void show_json(const nlohmann::json& value) { print_out(lab::json_text(value, 2) + "\n"); }

void add_lab(Command& app) {
  auto* lab =
      app.add_subcommand("lab", "Compare engines on the same job, and find out why one is slower");
  lab->require_subcommand(1, 1);
  for (auto add : {add_lab_run, add_lab_compare, add_lab_explain, add_lab_intervene, add_lab_report,
                   add_lab_history, add_lab_trend, add_lab_engines, add_lab_selftest,
                   add_lab_export, add_lab_import, add_lab_telemetry, add_lab_engine, add_schema})
    add(*lab);
}

}  // namespace hearth::cli
