// hearth pull, as a user runs it, from a Hub on the loopback.
#include "tests/cli/cli.h"
#include "tests/cli/terminal.h"
#include "tests/fake_hub.h"

namespace hearth::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class cli_pull : public ::testing::Test {
 protected:
  std::vector<std::string> environment() const {
    return {"HF_ENDPOINT=" + hub_.url(),
            "HF_HOME=" + home_.path().string(),
            "HF_HUB_CACHE=" + (home_ / "hub").string(),
            "HF_TOKEN_PATH=" + (home_ / "token").string(),
            "HF_TOKEN=",
            "HUGGING_FACE_HUB_TOKEN=",
            "HF_HUB_OFFLINE=",
            "no_proxy=127.0.0.1"};
  }
  Finished pull(Words more = {}) const {
    Words args{"pull", "owner/model", "--retries", "1"};
    args.insert(args.end(), more.begin(), more.end());
    return run_hearth(args, "", environment());
  }
  /// hearth pull owner/model as the last words of a shell's.
  Finished pull_by(const std::string& shell) const {
    return run({"sh", "-c", shell + " \"$0\" pull owner/model --retries 1", hearth_binary()}, "",
               environment());
  }
  /// hearth pull owner/model, sent the signal when the weights have so many bytes.
  Finished pull_until(size_t bytes, const std::string& signal) const {
    const std::string script =
        "\"$0\" pull owner/model --retries 1 & i=0; "
        "until [ \"$(stat -c %s \"$1\" 2>/dev/null)\" = \"$2\" ] || [ $i = 600 ]; do "
        "sleep 0.1; i=$((i + 1)); done; kill -\"$3\" $!; wait $!";
    return run({"sh", "-c", script, hearth_binary(), weights().string() + ".incomplete",
                std::to_string(bytes), signal},
               "", environment());
  }
  fs::path model() const { return home_ / "hub/models--owner--model"; }
  fs::path weights() const { return model() / "blobs" / hub_.hash("model.safetensors"); }

  TempFolder home_;
  FakeHub hub_;
};

TEST_F(cli_pull, prints_the_folder_that_other_commands_find) {
  for (const auto& entry : fs::directory_iterator(source_path("models/tiny-phi")))
    hub_.files[entry.path().filename()] = content_of(entry.path());
  const Finished f = pull();
  EXPECT_EQ(f.exit_code, 0) << f.err;
  EXPECT_EQ(f.out, (model() / "snapshots" / hub_.commit).string() + "\n");
  EXPECT_THAT(f.err, IsEmpty());
  const Words generate = {"generate", "-m", "owner/model", "-p", "Once", "-n", "4"};
  const Finished g = run_hearth(generate, "", environment());
  EXPECT_EQ(g.exit_code, 0) << g.err;
  EXPECT_THAT(g.out, Not(IsEmpty()));
}

TEST_F(cli_pull, says_in_json_what_it_did) {
  const auto json = nlohmann::json::parse(pull({"--json"}).out);
  EXPECT_EQ(json["name"], "owner/model");
  EXPECT_EQ(json["revision"], "main");
  EXPECT_EQ(json["commit"], hub_.commit);
  EXPECT_EQ(json["whole"], true);
  EXPECT_EQ(json["files"].size(), 3u);
  EXPECT_EQ(json["bytes"], json["fetched_bytes"]);
  EXPECT_EQ(nlohmann::json::parse(pull({"--json"}).out)["fetched_bytes"], 0);
}

TEST_F(cli_pull, takes_and_leaves_by_patterns) {
  const Finished listed = pull({"--dry-run", "--exclude", "*.safetensors"});
  EXPECT_EQ(listed.exit_code, 0);
  EXPECT_THAT(listed.out,
              AllOf(HasSubstr("config.json"), HasSubstr("in all"), Not(HasSubstr("model.safe"))));
  EXPECT_FALSE(fs::exists(home_ / "hub"));
  EXPECT_EQ(pull({"--include", "config.json", "--include", "tok*"}).exit_code, 0);
  EXPECT_TRUE(fs::exists(model() / "snapshots" / hub_.commit / "tokenizer.json"));
  EXPECT_FALSE(fs::exists(weights()));
}

TEST_F(cli_pull, notes_early_what_hearth_cannot_run) {
  hub_.files["config.json"] = R"({"model_type": "no-such-family"})";
  const Finished f = pull();
  EXPECT_EQ(f.exit_code, 0);
  EXPECT_THAT(
      f.err, AllOf(HasSubstr("note: hearth cannot run this model: "), HasSubstr("no-such-family")));
  EXPECT_TRUE(fs::exists(weights()));
}

TEST_F(cli_pull, fails_with_a_sentence) {
  hub_.instead = [](const HttpServer::Request&) {
    return HttpServer::Reply{.status = 404, .headers = {{"X-Error-Code", "RepoNotFound"}}};
  };
  const Finished f = pull();
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_THAT(f.err, AllOf(HasSubstr("hearth: owner/model: "), HasSubstr("answers 404"),
                           HasSubstr("no such model")));
  EXPECT_EQ(run_hearth({"pull"}).exit_code, 2);
  EXPECT_EQ(run_hearth({"pull", "a@b", "--revision", "c"}).exit_code, 2);
}

TEST_F(cli_pull, goes_on_after_a_full_disk) {
  hub_.files["model.safetensors"] = std::string(3'000'000, 'w');
  // No file may have more than 1 MB: so a write fails in the middle.
  const Finished f = pull_by("ulimit -f 2000 && trap '' XFSZ && exec");
  EXPECT_EQ(f.exit_code, 1);
  EXPECT_THAT(f.err,
              AllOf(HasSubstr(".incomplete: cannot be written: "), HasSubstr("goes on there")));
  EXPECT_FALSE(fs::exists(model() / "snapshots"));
  hub_.server.forget_requests();
  EXPECT_EQ(pull().exit_code, 0);
  EXPECT_THAT(hub_.server.requests().back().header("range"), HasSubstr("bytes="));
  EXPECT_EQ(fs::file_size(weights()), 3'000'000u);
}

TEST_F(cli_pull, goes_on_after_ctrl_c) {
  hub_.spoil = [](const HttpServer::Request& request, HttpServer::Reply& reply) {
    if (!request.path.ends_with(".safetensors")) return;
    reply.length = reply.body.size();
    reply.body.resize(1234);
    reply.hang = true;
  };
  const Finished f = pull_until(1234, "INT");
  EXPECT_EQ(f.exit_code, 130);
  EXPECT_THAT(f.err, AllOf(HasSubstr("the same command goes on there"), HasSubstr("interrupted")));
  EXPECT_THAT(f.out, IsEmpty());
  EXPECT_EQ(fs::file_size(weights().string() + ".incomplete"), 1234u);
  hub_.spoil = nullptr;
  hub_.server.forget_requests();
  EXPECT_EQ(pull().exit_code, 0);
  EXPECT_EQ(hub_.server.requests().back().header("range"), "bytes=1234-");
}

// And killed without a word it leaves nothing that is taken for whole.
TEST_F(cli_pull, goes_on_after_being_killed) {
  hub_.spoil = [](const HttpServer::Request& request, HttpServer::Reply& reply) {
    if (!request.path.ends_with(".safetensors")) return;
    reply.length = reply.body.size();
    reply.body.resize(4321);
    reply.hang = true;
  };
  pull_until(4321, "KILL");
  EXPECT_EQ(fs::file_size(weights().string() + ".incomplete"), 4321u);
  EXPECT_FALSE(fs::exists(model() / "snapshots"));
  hub_.spoil = nullptr;
  EXPECT_EQ(pull().exit_code, 0);
  EXPECT_EQ(content_of(weights()), hub_.files["model.safetensors"]);
}

// Each finds what the other fetched.
TEST_F(cli_pull, shares_its_cache_with_huggingface_hub) {
  const char* named = std::getenv("HEARTH_PYTHON");
  const std::string python = named && *named ? named : "python3";
  if (run({python, "-c", "import huggingface_hub"}).exit_code != 0)
    GTEST_SKIP() << python << " has no huggingface_hub";
  hub_.lists = FakeHub::Lists::tree;
  const auto snapshot = [&](const std::string& more) {
    return run(
        {python, "-c",
         "from huggingface_hub import snapshot_download as s; print(s('owner/model'" + more + "))"},
        "", environment());
  };
  EXPECT_EQ(pull().exit_code, 0);
  const Finished offline = snapshot(", local_files_only=True");
  EXPECT_EQ(offline.out, (model() / "snapshots" / hub_.commit).string() + "\n") << offline.err;
  fs::remove_all(home_ / "hub");
  const Finished fetched = snapshot("");
  EXPECT_EQ(fetched.exit_code, 0) << fetched.err;
  hub_.server.forget_requests();
  EXPECT_EQ(pull().out, fetched.out);
  EXPECT_EQ(hub_.count("/resolve/"), 0);
}

// On a terminal chat asks whether to fetch what is not there.
TEST_F(cli_pull, chat_says_how_to_fetch_a_gguf_file_or_asks) {
  hub_.files = {{"x-Q4_0.gguf", content_of(source_path("tests/data/gguf/tiny.gguf"))}};
  const Words chat = {"chat", "owner/model:Q4_0", "-p", "Hi", "-n", "1"};
  const Finished none = run_hearth(chat, "", environment());
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, HasSubstr("hearth pull owner/model:Q4_0"));
  for (const std::string& variable : environment()) {
    const size_t sign = variable.find('=');
    ::setenv(variable.substr(0, sign).c_str(), variable.substr(sign + 1).c_str(), 1);
  }
  {
    Terminal refused(chat);
    EXPECT_TRUE(refused.see("Fetch it from the Hub now? [y/N]"));
    refused.type("n\n");
    EXPECT_TRUE(refused.see("hearth pull owner/model:Q4_0"));
  }
  Terminal asked(chat);
  EXPECT_TRUE(asked.see("Fetch it from the Hub now? [y/N]"));
  asked.type("y\n");
  EXPECT_TRUE(asked.see("x-Q4_0.gguf (llama"));
  for (const std::string& variable : environment())
    ::unsetenv(variable.substr(0, variable.find('=')).c_str());
  EXPECT_EQ(run_hearth(chat, "", environment()).exit_code, 0);
}

}  // namespace
}  // namespace hearth::testing
