// Engines of tests: real child processes that keep or break the protocol.
#pragma once
#include "hearth/lab/run/engine.h"
#include "tests/process.h"
#include "tests/shared.h"

namespace hearth::testing {

/// The fake engine with options "fault=hang,after=2".
inline lab::EngineSpec fake(const std::string& options = "", const std::string& name = "fake") {
  const std::string program = std::filesystem::absolute(source_path("tests/lab/fake_engine.py"));
  return lab::parse_engine(name + "@" + program + ":cpu" + (options.empty() ? "" : ":" + options));
}

inline bool have_python() { return run({"sh", "-c", "command -v python3"}).exit_code == 0; }

}  // namespace hearth::testing

#define HEARTH_PYTHON_OR_SKIP() \
  if (!::hearth::testing::have_python()) GTEST_SKIP() << "needs python3, which is not installed"
