// A model fetched from the Hugging Face Hub into the cache of Hugging Face's tools, which both then
// find there.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/io/hub_client.h"

namespace hearth {

struct PullOptions {
  std::vector<std::string> include, exclude;  // patterns: choose_files()
  bool only_list = false;                     // nothing is fetched
  /// Told of each file when it is in the cache, small ones first, and where it is there.
  std::function<void(std::string_view file, const std::filesystem::path& at)> there = {};
  Retries retries = {};
};

struct PullProgress {
  std::string_view file;         // that is being fetched; "" before the first
  uint64_t done = 0, total = 0;  // bytes of all that are to be fetched
  std::string_view waiting_for;  // "the server answers 503"; "" while bytes come
};

struct Pulled {
  struct File {
    std::string name;
    uint64_t bytes;
    bool fetched;  // now; it was not in the cache
  };
  std::string id, revision, commit;
  std::filesystem::path folder;  // the snapshot
  std::vector<File> files;
  bool whole = false;  // all of them are there; false: `go_on` stopped it, or only_list
};

/// Fetches `name` ("owner/model", or with "@revision", or with ":Q4_K_M" for the GGUF file, or
/// files, of that type) into hub_cache(). A file is fetched where it
/// was left off, and is put in place when its hash is right; the snapshot is put together when all
/// are there, and the revision points to it then. Two that pull the same, in Python too, take turns
/// file by file. `go_on` is called several times a second; false stops. Throws std::runtime_error
/// with what failed and what to do.
Pulled pull_model(std::string_view name, const PullOptions& options = {},
                  const std::function<bool(const PullProgress&)>& go_on = {});

}  // namespace hearth
