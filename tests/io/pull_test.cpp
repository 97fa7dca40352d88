// Pulling from a Hub on the loopback that misbehaves in every way.
#include "hearth/io/pull.h"

#include <fcntl.h>
#include <sys/file.h>

#include "tests/io/pull_fixture.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::content_of;
using testing::error_of;
using testing::FakeHub;
using ::testing::HasSubstr;
using ::testing::Not;
using Reply = FakeHub::Reply;
using Request = FakeHub::Request;

class Pull : public testing::PullTest {};

TEST_F(Pull, WritesTheCacheAsHuggingFaceDoes) {
  hub_.files["1_Pooling/config.json"] = "{\"pooling\": 1}";
  const Pulled pulled = pull();
  EXPECT_TRUE(pulled.whole);
  EXPECT_EQ(pulled.folder, model() / "snapshots" / hub_.commit);
  expect_whole({"config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"});
  EXPECT_EQ(fs::read_symlink(pulled.folder / "model.safetensors"),
            "../../blobs/" + hub_.hash("model.safetensors"));
  EXPECT_EQ(fs::read_symlink(pulled.folder / "1_Pooling/config.json"),
            "../../../blobs/" + hub_.hash("1_Pooling/config.json"));
  EXPECT_EQ(find_model(kName), pulled.folder);
  EXPECT_EQ(hub_.hash("tokenizer.json"), "9e26dfeeb6e641a33dae4961196235bdb965b21b");  // git's own
}

TEST_F(Pull, FetchesNothingTwice) {
  pull();
  hub_.server.forget_requests();
  const Pulled again = pull();
  EXPECT_TRUE(again.whole);
  for (const auto& file : again.files) EXPECT_FALSE(file.fetched) << file.name;
  EXPECT_EQ(hub_.count("/resolve/"), 0);
  EXPECT_EQ(hub_.count("/api/"), 1);
}

TEST_F(Pull, ListsByTheTreeOrFileByFileWhereTheModelsPageSaysLess) {
  for (const auto lists : {FakeHub::Lists::tree, FakeHub::Lists::names}) {
    fs::remove_all(home_.path());
    hub_.lists = lists;
    hub_.files["onnx/model.onnx"] = "not wanted";
    EXPECT_TRUE(pull().whole);
    expect_whole(all_);
  }
}

TEST_F(Pull, GoesOnAfterACutAtEveryByte) {
  hub_.files["model.safetensors"] = "thirty bytes of some weights..";
  // Of each file's first answer so many bytes come, headers included.
  for (size_t cut = 0; cut < 260; ++cut) {
    fs::remove_all(home_.path());
    std::set<std::string> seen;
    std::mutex mutex;
    hub_.spoil = [&](const Request& request, Reply& reply) {
      const std::lock_guard lock(mutex);
      if (seen.insert(request.path).second) reply.cut = cut;
    };
    EXPECT_TRUE(pull().whole) << cut;
    expect_whole(all_);
  }
}

TEST_F(Pull, OneByteAConnectionIsEnough) {
  hub_.files = {{"config.json", R"({"model_type": "phi"})"}};
  hub_.spoil = [&](const Request& request, Reply& reply) {
    if (request.path.find("/resolve/") == std::string::npos) return;
    reply.length = reply.body.size();
    reply.body.resize(1);
  };
  EXPECT_TRUE(pull().whole);
  EXPECT_EQ(hub_.count("/resolve/"), int(hub_.files["config.json"].size()));
}

TEST_F(Pull, AnotherProgramGoesOnWhereTheFirstWasStopped) {
  const std::string& weights = hub_.files["model.safetensors"];
  for (const size_t cut : {size_t(0), size_t(1), size_t(2500), weights.size() - 1}) {
    fs::remove_all(home_.path());
    hub_.spoil = [&](const Request& request, Reply& reply) {
      if (!request.path.ends_with("model.safetensors")) return;
      reply.length = reply.body.size();
      reply.body.resize(cut);
      if (!request.header("range").empty()) reply = {.status = 500};
    };
    EXPECT_THAT(error_of_pull(), HasSubstr("owner/model: model.safetensors: "));
    EXPECT_EQ(fs::file_size(incomplete("model.safetensors")), cut);
    EXPECT_FALSE(fs::exists(model() / "snapshots"));  // not half a model
    EXPECT_FALSE(fs::exists(model() / "refs"));
    hub_.spoil = nullptr;
    hub_.server.forget_requests();
    EXPECT_TRUE(pull().whole);
    expect_whole(all_);
    EXPECT_EQ(hub_.count("config.json"), 0);
    EXPECT_EQ(hub_.server.requests().back().header("range"), cut ? concat("bytes=", cut, "-") : "");
  }
}

TEST_F(Pull, BeginsAnewWhereRangesAreRefusedOrWrong) {
  const std::string half = hub_.files["model.safetensors"].substr(0, 2500);
  const auto put_half = [&] {
    fs::remove_all(home_.path());
    home_.write(incomplete("model.safetensors").lexically_relative(home_.path()).string(), half);
  };
  put_half();
  hub_.ranges = false;
  EXPECT_TRUE(pull().whole);
  expect_whole(all_);
  hub_.ranges = true;
  for (const auto& spoil : std::initializer_list<std::function<void(Reply&)>>{
           [](Reply& r) { r = {.status = 416}; },
           [](Reply& r) { r.headers["Content-Range"] = "bytes 7-4999/5000"; },
           [](Reply& r) { r.headers["Content-Range"] = "nonsense"; }}) {
    put_half();
    hub_.spoil = [&](const Request& request, Reply& reply) {
      if (!request.header("range").empty()) spoil(reply);
    };
    EXPECT_TRUE(pull().whole);
    expect_whole(all_);
  }
}

TEST_F(Pull, WhatWasLeftAndIsAnotherFilesIsFetchedAgain) {
  for (const std::string& left :
       {std::string(2500, 'x'), std::string(5000, 'x'), std::string(9000, 'w')}) {
    fs::remove_all(home_.path());
    home_.write(incomplete("model.safetensors").lexically_relative(home_.path()).string(), left);
    EXPECT_TRUE(pull().whole);
    expect_whole(all_);
  }
}

TEST_F(Pull, RefusesWhatHasAnotherHash) {
  for (const char* name : {"model.safetensors", "config.json"}) {
    fs::remove_all(home_.path());
    hub_.spoil = [&](const Request& request, Reply& reply) {
      if (request.path.ends_with(name)) reply.body[3] ^= 1;
    };
    EXPECT_THAT(error_of_pull(), AllOf(HasSubstr(name), HasSubstr("is not what the Hub lists"),
                                       HasSubstr("wanted " + hub_.hash(name))));
    EXPECT_FALSE(fs::exists(incomplete(name)));  // the next pull begins anew
    EXPECT_FALSE(fs::exists(model() / "blobs" / hub_.hash(name)));
    EXPECT_FALSE(fs::exists(model() / "snapshots"));
  }
  hub_.spoil = nullptr;
  EXPECT_TRUE(pull().whole);
}

TEST_F(Pull, SaysWhatTheHubRefusesAndAsksOnce) {
  struct Case {
    int status;
    const char *code, *says;
  };
  for (const auto& [status, code, says] :
       {Case{401, "RepoNotFound", "set HF_TOKEN, or log in once"},
        Case{401, "GatedRepo", "its page"}, Case{403, "", "wants a token"},
        Case{404, "RepoNotFound", "no such model"},
        Case{404, "RevisionNotFound", "there is no such revision"}, Case{400, "", "answers 400"},
        Case{451, "", "answers 451"}}) {
    hub_.instead = [status = status, code = code](const Request&) {
      return Reply{.status = status,
                   .headers = {{"X-Error-Code", code}},
                   .body = R"({"error": "No, \u001b."})"};
    };
    hub_.server.forget_requests();
    EXPECT_THAT(error_of_pull(), AllOf(HasSubstr(concat("answers ", status)), HasSubstr(says),
                                       HasSubstr("it says \"No, "), Not(HasSubstr("\033"))));
    EXPECT_EQ(hub_.server.requests().size(), 1u) << status;
  }
}

TEST_F(Pull, TriesAgainWhatMayPass) {
  for (const int status : {408, 429, 500, 502, 503, 504, 599}) {
    fs::remove_all(home_.path());
    std::map<std::string, int> times;
    std::mutex mutex;
    hub_.instead = [&](const Request& request) -> std::optional<Reply> {
      const std::lock_guard lock(mutex);
      if (++times[request.path] > 2) return std::nullopt;
      return Reply{.status = status, .headers = {{"Retry-After", "0"}}};
    };
    EXPECT_TRUE(pull().whole) << status;
    hub_.instead = [&](const Request&) { return Reply{.status = status}; };
    hub_.server.forget_requests();
    fs::remove_all(home_.path());
    EXPECT_THAT(error_of_pull(),
                AllOf(HasSubstr(concat("answers ", status)), HasSubstr("tried 4 times")));
    EXPECT_EQ(hub_.server.requests().size(), 4u);
  }
}

TEST_F(Pull, WaitsAsLongAsTheServerAsks) {
  std::atomic<int> asked = 0;
  hub_.instead = [&](const Request&) -> std::optional<Reply> {
    if (asked++ > 0) return std::nullopt;
    return Reply{.status = 429, .headers = {{"Retry-After", "1"}}};
  };
  const auto start = std::chrono::steady_clock::now();
  std::string waited;
  EXPECT_TRUE(pull_model(kName, quick_, [&](const PullProgress& p) {
                if (!p.waiting_for.empty()) waited = p.waiting_for;
                return true;
              }).whole);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  EXPECT_THAT(waited, HasSubstr("429"));
  for (const char* after : {"7200", "Wed, 21 Oct 2099 07:28:00 GMT"}) {
    hub_.instead = [&](const Request&) {
      return Reply{.status = 503, .headers = {{"Retry-After", after}}};
    };
    EXPECT_THAT(error_of_pull(), HasSubstr("come back then"));
  }
  // Whoever stops meanwhile need not wait.
  hub_.instead = [&](const Request&) {
    return Reply{.status = 503, .headers = {{"Retry-After", "500"}}};
  };
  EXPECT_FALSE(pull_model(kName, quick_, [&](const PullProgress& p) {
                 return p.waiting_for.empty();
               }).whole);
}

TEST_F(Pull, TheTokenGoesToTheHubAlone) {
  ::setenv("HF_TOKEN", " hf_secret\n", 1);
  testing::HttpServer elsewhere(
      [&](const Request& request) { return hub_.content(request.path.substr(1), request); });
  hub_.instead = [&](const Request& request) -> std::optional<Reply> {
    if (request.path.ends_with("model.safetensors"))
      return Reply{.status = 302,
                   .headers = {{"Location", elsewhere.url() + "/model.safetensors"}},
                   .body = "moved"};
    if (request.path.ends_with("/tokenizer.json") && !request.path.starts_with("/again"))
      return Reply{.status = 307, .headers = {{"Location", "/again/tokenizer.json"}}};
    if (request.path.starts_with("/again")) return hub_.content("tokenizer.json", request);
    return std::nullopt;
  };
  EXPECT_TRUE(pull().whole);
  expect_whole(all_);
  ASSERT_EQ(elsewhere.requests().size(), 1u);
  EXPECT_EQ(elsewhere.requests()[0].header("authorization"), "");
  for (const Request& request : hub_.server.requests())
    EXPECT_EQ(request.header("authorization"), "Bearer hf_secret") << request.path;
}

TEST_F(Pull, TheTokensFileCountsWithoutTheVariable) {
  home_.write("token", "hf_file\n");
  pull();
  EXPECT_EQ(hub_.server.requests()[0].header("authorization"), "Bearer hf_file");
  ::setenv("HF_TOKEN", "two words\r\nX-Evil: 1", 1);
  EXPECT_THAT(error_of_pull(), HasSubstr("HF_TOKEN: wanted a token"));
}

TEST_F(Pull, FollowsNoRedirectWithoutEndOrIntoTheDisk) {
  for (const auto& [to, says] :
       {std::pair("/api/models/owner/model/revision/main?blobs=true", "more than 10 redirects"),
        std::pair("file:///etc/passwd", "which is no address"),
        std::pair("gopher://127.0.0.1/", "which is no address"), std::pair("", "no address")}) {
    hub_.instead = [to = to](const Request&) {
      return Reply{.status = 302, .headers = {{"Location", to}}};
    };
    EXPECT_THAT(error_of_pull(), HasSubstr(says)) << to;
  }
}

TEST_F(Pull, TrustsNoListingThatLeavesTheFolder) {
  for (const char* name : {"../../../evil", "a/../../evil", "/etc/evil", "", ".", "a//b", "a/./b",
                           "..", "a\\..\\b", "a\nb", "config.json/x", "a/"}) {
    const auto before = hub_.files;
    hub_.files[name] = "evil";
    EXPECT_THAT(error_of_pull(), HasSubstr("its listing is not to be trusted")) << name;
    hub_.lists = FakeHub::Lists::tree;
    EXPECT_THAT(error_of_pull(), HasSubstr("its listing is not to be trusted")) << name;
    hub_.lists = FakeHub::Lists::whole;
    hub_.files = before;
    EXPECT_EQ(hub_.count("/resolve/"), 0);
    EXPECT_FALSE(fs::exists(home_ / "hub"));
  }
}

TEST_F(Pull, TrustsNoHashCommitOrSizeThatIsNone) {
  for (const auto& [from, to] :
       {std::pair(hub_.hash("model.safetensors"), std::string("../../../evil")),
        std::pair(hub_.hash("tokenizer.json"), std::string("ABC")),
        std::pair(hub_.commit, std::string("../../evil")),
        std::pair(std::string("\"size\":5000"), std::string("\"size\":-5000")),
        std::pair(std::string("\"size\":5000"), std::string("\"size\":1e300")),
        std::pair(std::string("\"size\":5000"), std::string("\"size\":18446744073709551615")),
        std::pair(std::string("\"siblings\""), std::string("\"sibling\"")),
        std::pair(std::string("{\"id\""), std::string("<html>{\"id\""))}) {
    lie(from, to);
    EXPECT_THAT(error_of_pull(), HasSubstr("its listing")) << to;
    EXPECT_FALSE(fs::exists(home_ / "hub"));
  }
}

TEST_F(Pull, BelievesNoSizeThatLies) {
  for (const auto& [more, no_length] : {std::pair(100, false), std::pair(100, true),
                                        std::pair(-100, false), std::pair(-100, true)}) {
    fs::remove_all(home_.path());
    hub_.spoil = [more = more, no_length = no_length](const Request& request, Reply& reply) {
      if (!request.path.ends_with("model.safetensors") || reply.status != 200) return;
      reply.body.resize(size_t(int(reply.body.size()) + more), 'w');
      reply.no_length = no_length;
    };
    if (more < 0 && no_length) {  // as if it had been cut: the rest is asked for
      EXPECT_TRUE(pull().whole);
      continue;
    }
    EXPECT_THAT(error_of_pull(), HasSubstr("listing says"));
    EXPECT_FALSE(fs::exists(model() / "snapshots"));
    const fs::path partial = incomplete("model.safetensors");
    EXPECT_LE(fs::exists(partial) ? fs::file_size(partial) : 0, 5000u);
  }
}

TEST_F(Pull, AFileOfTwoNamesComesOnce) {
  hub_.files["vocab.json"] = hub_.files["tokenizer.json"];
  uint64_t done = 0, total = 1;
  pull_model(kName, quick_, [&](const PullProgress& p) {
    done = p.done, total = p.total;
    return true;
  });
  EXPECT_EQ(hub_.count("/resolve/"), 3);
  expect_whole({"config.json", "tokenizer.json", "vocab.json", "model.safetensors"});
}

TEST_F(Pull, WaitsForWhoeverFetchesTheSameFile) {
  // As huggingface_hub does, by flock on .locks/MODEL/HASH.lock.
  const fs::path lock = home_.write(
      "hub/.locks/models--owner--model/" + hub_.hash("model.safetensors") + ".lock", "");
  const int held = ::open(lock.c_str(), O_RDWR);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  std::string waited;
  const Pulled stopped = pull_model(kName, quick_, [&](const PullProgress& p) {
    waited = p.waiting_for;
    return waited.find("another program") == std::string::npos;
  });
  EXPECT_FALSE(stopped.whole);
  EXPECT_EQ(hub_.count("model.safetensors"), 0);
  ::close(held);
  EXPECT_TRUE(pull().whole);
}

TEST_F(Pull, TwoAtOnceFetchEachFileOnce) {
  hub_.files["model.safetensors"] = std::string(3'000'000, 'm');
  std::vector<std::thread> pulls;
  std::atomic<int> whole = 0;
  for (int i = 0; i < 4; ++i) pulls.emplace_back([&] { whole += pull().whole; });
  for (auto& thread : pulls) thread.join();
  EXPECT_EQ(whole, 4);
  EXPECT_EQ(hub_.count("/resolve/"), 3);
  expect_whole(all_);
}

TEST_F(Pull, ANewCommitReplacesTheOldOneWhenItIsWhole) {
  pull();
  const std::string old = hub_.commit;
  hub_.commit = std::string(40, 'f');
  hub_.files["config.json"] = R"({"model_type": "phi", "new": 1})";
  hub_.spoil = [&](const Request& request, Reply& reply) {
    if (request.path.ends_with("config.json")) reply.status = 500;
  };
  error_of_pull();
  EXPECT_EQ(content_of(model() / "refs/main"), old);
  EXPECT_EQ(find_model(kName), model() / "snapshots" / old);
  hub_.spoil = nullptr;
  hub_.server.forget_requests();
  EXPECT_TRUE(pull().whole);
  EXPECT_EQ(hub_.count("/resolve/"), 1);
  expect_whole(all_);
}

TEST_F(Pull, KnowsBeforehandThatTheDiskIsTooSmall) {
  lie("\"size\":5000", "\"size\":900000000000000");
  EXPECT_THAT(error_of_pull(),
              AllOf(HasSubstr("90000000"), HasSubstr("are free in"), HasSubstr("HF_HUB_CACHE")));
  EXPECT_EQ(hub_.count("/resolve/"), 0);
}

TEST_F(Pull, OnlyListsOrNothingAtAllWhereToldSo) {
  quick_.only_list = true;
  const Pulled listed = pull();
  EXPECT_EQ(listed.files.size(), 3u);
  EXPECT_FALSE(fs::exists(home_ / "hub"));
  ::setenv("HF_HUB_OFFLINE", "1", 1);
  EXPECT_THAT(error_of_pull(), HasSubstr("HF_HUB_OFFLINE"));
  ::unsetenv("HF_HUB_OFFLINE");
  for (const char* name : {"", "a/b/c", "../x", "a b", "owner/model@../x"})
    EXPECT_THAT(error_of_pull(name), HasSubstr("not a name as on the Hub"));
  for (const char* endpoint : {"nonsense", "ftp://x", "file:///etc"}) {
    ::setenv("HF_ENDPOINT", endpoint, 1);
    EXPECT_THAT(error_of_pull(), HasSubstr("HF_ENDPOINT: "));
  }
}

TEST_F(Pull, NoServerIsAnErrorAfterSomeTries) {
  const int port = [] {
    const testing::HttpServer gone([](const Request&) { return Reply{}; });
    return gone.port();
  }();
  ::setenv("HF_ENDPOINT", concat("http://127.0.0.1:", port).c_str(), 1);
  EXPECT_THAT(error_of_pull(),
              AllOf(HasSubstr("owner/model: "), HasSubstr("onnect"), HasSubstr("tried 4 times")));
}

}  // namespace
}  // namespace hearth
