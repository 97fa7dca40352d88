// The subcommands of hearth lab, and what they share.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "hearth/cli/commands.h"
#include "hearth/cli/interrupt.h"
#include "hearth/lab/result/result.h"
#include "hearth/lab/run/engine.h"

namespace hearth::cli {

void add_lab_run(Command& lab);
void add_lab_compare(Command& lab);
void add_lab_engines(Command& lab);
void add_lab_selftest(Command& lab);
void add_lab_export(Command& lab);
void add_lab_import(Command& lab);
void add_lab_engine(Command& lab);
void add_lab_telemetry(Command& lab);
void add_lab_explain(Command& lab);
void add_lab_intervene(Command& lab);
void add_lab_report(Command& lab);
void add_lab_history(Command& lab);
void add_lab_trend(Command& lab);

/// This program, the adapters beside it, and the Python that has the peers: $HEARTH_PYTHON, else
/// the environment that tools/peers.sh makes, else python3.
lab::EnginePlaces engine_places();

/// What an engine answered to hello, or why it cannot be had.
struct EngineFound {
  lab::KnownEngine known;
  lab::Reading<lab::EngineHello> hello;
};
/// Asks every engine that ships and runs `what` ("generate", "op"; empty: any).
std::vector<EngineFound> find_engines(std::string_view what);

/// "3%" or "0.03" as 0.03. Throws UsageError, naming the option.
double parse_share(const std::string& text, std::string_view option);

/// The folder of the user's data, ending in hearth; empty where neither XDG_DATA_HOME nor HOME is
/// set.
std::filesystem::path data_folder();
/// Adds the result to the file that is named, or to the user's history; says so in a line.
std::string keep_in_history(const lab::Result& result, const std::string& file = "");

/// `lab compare --against history`.
struct AgainstOptions {
  std::string file, summary;
  double fail = 0;  // by how much slower is a failure; 0: nothing is
  bool json = false;
};
void compare_with_history(const lab::Result& result, const AgainstOptions& options);

/// Who, how long, how fast, and how the first compares to the others; as wide as the terminal.
std::string summary(const lab::Result& result);

/// Text of others to stdout: in lines as wide as the terminal, and nothing that it would obey.
void show_text(std::string_view text);
/// What a command with --json says.
void show_json(const nlohmann::json& value);

}  // namespace hearth::cli
