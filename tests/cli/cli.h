// The hearth that this build made, run as a user would run it, and model folders to run it on.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "tests/instrumented.h"
#include "tests/process.h"
#include "tests/shared.h"
#include "tests/temp_folder.h"

namespace hearth::testing {

using Words = std::vector<std::string>;

/// A folder with tiny-phi's files, some of them replaced by other content, or left out.
class ModelFolder : public TempFolder {
 public:
  using Files = std::map<std::string, std::optional<std::string>>;
  explicit ModelFolder(const Files& other = {}) {
    for (const auto& entry : std::filesystem::directory_iterator(source_path("models/tiny-phi")))
      if (!other.contains(entry.path().filename()))
        std::filesystem::create_symlink(entry.path(), path() / entry.path().filename());
    for (const auto& [name, content] : other)
      if (content) write(name, *content);
  }
};

/// What a command with --json says.
inline nlohmann::json json_of(Words args, const std::string& input = "") {
  args.push_back("--json");
  const Finished f = run_hearth(args, input);
  EXPECT_EQ(f.exit_code, 0) << f.err;
  auto json = nlohmann::json::parse(f.out, nullptr, false);
  EXPECT_TRUE(json.is_object()) << f.out;
  return json;
}

/// run_hearth with no more than 1 GiB of address space, so that a huge allocation fails.
inline Finished run_limited(Words args, const std::string& input = "") {
  if (kInstrumented) return run_hearth(std::move(args), input);
  const Words limit = {"sh", "-c", "ulimit -v 1048576 && exec \"$@\"", "sh", hearth_binary()};
  args.insert(args.begin(), limit.begin(), limit.end());
  return run(std::move(args), input);
}

}  // namespace hearth::testing
