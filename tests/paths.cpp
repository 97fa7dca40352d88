#include "tests/paths.h"

#include <cstdlib>

namespace hearth::testing {
namespace {
std::string named(const char* variable, const char* built) {
  const char* value = std::getenv(variable);
  return value ? value : built;
}
}  // namespace

std::filesystem::path source_dir() { return named("HEARTH_SOURCE_DIR", BUILT_SOURCE_DIR); }
std::filesystem::path generated_dir() { return BUILT_GENERATED; }
std::string hearth_binary() { return named("HEARTH_BINARY", BUILT_HEARTH); }
std::string fake_library(const std::string& name) {
  return std::string(BUILT_FAKES) + "/libfake_" + name + ".so";
}
std::string fake_cuda_folder() { return BUILT_FAKE_CUDA; }

}  // namespace hearth::testing
