// hearth: the command line. Exit codes: failure.h, docs/cli.md.
#include <fmt/format.h>

#include <filesystem>

#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/pool.h"
#include "hearth/cli/build_facts.h"
#include "hearth/cli/commands.h"
#include "hearth/cli/failure.h"
#include "hearth/cli/interrupt.h"
#include "hearth/cli/output.h"

namespace hearth::cli {
namespace {

int fail(int code, std::string_view sentence) {
  complain(sentence);
  return code;
}

constexpr struct {
  std::string_view name;
  void (*add)(Command&);
} kCommands[] = {
    {"generate", add_generate},
    {"chat", add_chat},
    {"bench", add_bench},
    {"probe", add_probe},
    {"info", add_info},
    {"tokenize", add_tokenize},
    {"render", add_render},
    {"logits", add_logits},
    {"perplexity", add_perplexity},
    {"init", add_init},
    {"quantize", add_quantize},
    {"imatrix", add_imatrix},
    {"pull", add_pull},
    {"embed", add_embed},
    {"models", add_models},
    {"lab", add_lab},
    {"", add_help},  // help, version, completions, man
};

// The command that is asked for alone, since options take a millisecond to make; all, if none is.
void add_commands(Command& app, std::string_view asked) {
  for (const auto& [name, add] : kCommands)
    if (!asked.empty() && name == asked) add(app);
  if (!app.get_subcommands().empty()) return;
  for (const auto& [name, add] : kCommands) add(app);
}

int run(int argc, char** argv) {
  Program app("hearth", "hearth: run, train and measure neural networks on the machine you own",
              fmt::format("hearth {}", kVersion));
  add_commands(app, argc > 1 ? argv[1] : "");
  try {
    cpu::isa(), cpu::threads();  // complain of a HEARTH_ISA or HEARTH_THREADS that makes no sense
  } catch (const std::invalid_argument& error) {
    return fail(2, error.what());
  }
  try {
    app.run(argc, argv);
  } catch (const UsageError& error) {
    return fail(2, error.what());
  } catch (const Failure& failure) {
    return fail(failure.exit_code, failure.what());
  } catch (const std::bad_alloc&) {
    return fail(1, "out of memory");
  } catch (const std::filesystem::filesystem_error& error) {
    return fail(1, fmt::format("{}: {}", error.path1().string(), error.code().message()));
  } catch (const std::exception& error) {
    return fail(CatchInterrupt::exit_code(1), error.what());  // what Ctrl-C ended
  }
  return 0;
}

}  // namespace
}  // namespace hearth::cli

int main(int argc, char** argv) {
  hearth::cli::prepare_streams();
  return hearth::cli::settle_output(hearth::cli::run(argc, argv));
}
