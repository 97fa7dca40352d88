// hearth lab engine: hearth as an engine of the lab, on standard input and output.
#include "hearth/lab/engines/hearth_engine.h"

#include <iostream>

#include "hearth/cli/build_facts.h"
#include "hearth/cli/lab.h"
#include "hearth/cli/model_options.h"

namespace hearth::cli {
namespace {

void serve() {
  lab::HearthEngine engine(kVersion, kCommit);
  const auto send = [](std::string_view line) {
    print_out(line);
    ensure(!output_failed(), "the lab is gone");
  };
  for (std::string line; std::getline(std::cin, line);)
    if (!engine.answer(line, send)) return;
}

}  // namespace

void add_lab_engine(Command& lab) {
  lab.add_subcommand("engine", "Be an engine of the lab: its protocol on standard input and output")
      ->hide()
      ->callback(serve);
}

}  // namespace hearth::cli
