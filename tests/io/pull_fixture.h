// A cache of the tests' own, and a Hub on the loopback to pull from.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "hearth/io/hub.h"
#include "hearth/io/pull.h"
#include "tests/fake_hub.h"
#include "tests/temp_folder.h"

namespace hearth::testing {

class PullTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"HF_HUB_CACHE", "HF_HOME", "HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH",
                             "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "http_proxy"}) {
      const char* value = std::getenv(name);
      before_[name] = value ? std::optional<std::string>(value) : std::nullopt;
      ::unsetenv(name);
    }
    ::setenv("HF_HOME", home_.path().c_str(), 1);
    ::setenv("HF_ENDPOINT", hub_.url().c_str(), 1);
  }
  void TearDown() override {
    for (const auto& [name, value] : before_)
      value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
  }

  static constexpr const char* kName = "owner/model";
  PullOptions quick_ = [] {
    PullOptions options;
    options.retries = {.most = 3, .first_wait_s = 0.001};
    return options;
  }();
  Pulled pull(const std::string& name = kName) { return pull_model(name, quick_); }
  std::string error_of_pull(const std::string& name = kName) {
    return error_of([&] { pull(name); });
  }
  std::filesystem::path model() const { return home_ / "hub/models--owner--model"; }
  std::filesystem::path incomplete(const std::string& name) const {
    return model() / "blobs" / (hub_.hash(name) + ".incomplete");
  }
  /// What the Hub lists, with other words in the place of these.
  void lie(const std::string& from, const std::string& to) {
    hub_.spoil = [from, to](const FakeHub::Request& request, FakeHub::Reply& reply) {
      if (!request.path.starts_with("/api")) return;
      std::string& text = reply.body;
      for (size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size())
        text.replace(at, from.size(), to);
    };
  }
  /// What the snapshot has is what the Hub has, of the names given; nothing half is left.
  void expect_whole(const std::set<std::string>& names) {
    std::set<std::string> found;
    const std::filesystem::path snapshot = model() / "snapshots" / hub_.commit;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(snapshot)) {
      if (entry.is_directory()) continue;
      const std::string name = entry.path().lexically_relative(snapshot).string();
      EXPECT_TRUE(std::filesystem::is_symlink(entry.path())) << name;
      found.insert(name);
      EXPECT_EQ(content_of(entry.path()), hub_.files.at(name)) << name;
    }
    EXPECT_EQ(found, names);
    EXPECT_EQ(content_of(model() / "refs/main"), hub_.commit);
    for (const auto& entry : std::filesystem::directory_iterator(model() / "blobs"))
      EXPECT_TRUE(is_hash(entry.path().filename().string())) << entry.path();
  }
  const std::set<std::string> all_ = {"config.json", "tokenizer.json", "model.safetensors"};

  TempFolder home_;
  FakeHub hub_;

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

}  // namespace hearth::testing
