// A backend's library that is of this hearth, or of another: as FAKE_PLUGIN says.
#include "hearth/backend/plugin.h"

#include <cstdlib>

extern "C" {

uint64_t hearth_plugin_abi() {
  const char* which = std::getenv("FAKE_PLUGIN");
  return std::string_view(which ? which : "") == "ours" ? hearth::kAbi : hearth::kAbi + 1;
}
hearth::Backend* hearth_plugin_open(std::string& why) {
  why = "the made-up plug-in was opened";
  return nullptr;
}
}
