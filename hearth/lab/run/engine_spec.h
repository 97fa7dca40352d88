// Engines by name: how a user names one, and the command that starts it.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::lab {

/// What the lab changes of an engine's executions, whatever the engine: see intervene.h.
struct Alteration {
  int batch = 0;           // rows at once, instead of the job's
  double pause_s = 0;      // before each execution
  bool keepalive = false;  // a light load on its device meanwhile
};

/// `name[@program][:device[:key=value,...]]`, as the user writes it. Of servers it is
/// `server:[key=value ...]COMMAND` or `server:[key=value ...]ADDRESS`, with the options url, model,
/// key and api, the command as the option `command` and an address as the device.
struct EngineSpec {
  std::string text;  // as written
  std::string name;
  std::string program;  // empty: the one that ships, or the Python that has it
  std::string device;   // empty: the engine's own choice
  std::map<std::string, std::string> options;
  Alteration altered = {};
};

/// Throws std::invalid_argument with what is wrong.
EngineSpec parse_engine(std::string_view text);
/// "hearth,torch:cpu:dtype=f32,threads=2,mlx": a comma that is followed by key=value goes on with
/// the same engine; from `server:` on all is one.
std::vector<EngineSpec> parse_engines(std::string_view text);

/// The text of the spec that an engine was labelled by: its twins' labels end in #2, #3, ...
std::string spec_of_label(const std::string& label);

/// Where programs are found.
struct EnginePlaces {
  std::filesystem::path hearth;    // the program
  std::filesystem::path adapters;  // the folder of the Python adapters
  std::string python;              // the interpreter that has the packages
};
/// An engine that has a name: hearth, and each adapter NAME_engine.py of the folder that says so in
/// one of its first lines: `# engine: torch | generate op | pip install torch transformers`.
struct KnownEngine {
  std::string name;
  std::string runs;     // "generate", "op", or both
  std::string install;  // the command that brings it; empty where there is nothing to install
  std::filesystem::path adapter;
};
/// hearth first, then by name.
std::vector<KnownEngine> known_engines(const EnginePlaces& places);

/// The words of the command that starts the engine. Throws std::invalid_argument for a name that is
/// not known and has no program.
std::vector<std::string> command_of(const EngineSpec& spec, const EnginePlaces& places);

}  // namespace hearth::lab
