// A Hub of the tests' own, on the loopback: it has the files of one model, and misbehaves as told.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "hearth/base/error.h"
#include "hearth/io/file_hash.h"

namespace hearth::testing {

/// A server that answers each connection's one request by `answer`.
class HttpServer {
 public:
  struct Request {
    std::string method, path;                    // the path as asked for, with what follows "?"
    std::map<std::string, std::string> headers;  // names in lower case
    std::string header(const std::string& name) const {
      const auto found = headers.find(name);
      return found == headers.end() ? "" : found->second;
    }
  };
  struct Reply {
    int status = 200;
    std::map<std::string, std::string> headers = {};
    std::string body = "";
    std::optional<size_t> cut = {};     // after so many bytes of all that is sent, headers included
    std::optional<size_t> length = {};  // what Content-Length says; by default the body's
    bool no_length = false;             // the end of the connection is that of the body
    bool hang = false;                  // after the body nothing comes, until the other side goes
  };
  using Answer = std::function<Reply(const Request&)>;

  explicit HttpServer(Answer answer) : answer_(std::move(answer)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ensure(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
               ::listen(listener_, 64) == 0 &&
               ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0,
           "test: no port on the loopback");
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] { accept_all(); });
  }
  ~HttpServer() {
    ::shutdown(listener_, SHUT_RDWR);
    accepting_.join();
    ::close(listener_);
    std::unique_lock lock(mutex_);
    for (const int open : open_) ::shutdown(open, SHUT_RDWR);
    served_.wait(lock, [this] { return open_.empty(); });
  }
  HttpServer(const HttpServer&) = delete;

  int port() const { return port_; }
  std::string url() const { return concat("http://127.0.0.1:", port_); }
  std::vector<Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  void forget_requests() {
    const std::lock_guard lock(mutex_);
    requests_.clear();
  }

 private:
  void accept_all() {
    for (;;) {
      const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) return;
      const std::lock_guard lock(mutex_);
      open_.push_back(connection);
      std::thread([this, connection] { serve(connection); }).detach();
    }
  }
  void serve(int connection) {
    if (const auto request = read(connection)) {
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(*request);
      }
      send(connection, *request, answer_(*request));
    }
    ::shutdown(connection, SHUT_RDWR);
    const std::lock_guard lock(mutex_);
    ::close(connection);
    std::erase(open_, connection);
    served_.notify_all();
  }
  static std::optional<Request> read(int connection) {
    std::string text;
    char piece[4096];
    while (text.find("\r\n\r\n") == text.npos) {
      const ssize_t n = ::recv(connection, piece, sizeof piece, 0);
      if (n <= 0) return std::nullopt;
      text.append(piece, size_t(n));
    }
    std::istringstream lines(text);
    Request request;
    std::string line;
    lines >> request.method >> request.path;
    std::getline(lines, line);
    while (std::getline(lines, line) && line != "\r") {
      const size_t colon = line.find(':');
      std::string name = line.substr(0, colon);
      for (char& c : name) c = char(std::tolower(c));
      request.headers[name] = line.substr(colon + 2, line.size() - colon - 3);
    }
    return request;
  }
  static void send(int connection, const Request& request, const Reply& reply) {
    std::string text = concat("HTTP/1.1 ", reply.status, " as told\r\nConnection: close\r\n");
    for (const auto& [name, value] : reply.headers) text += name + ": " + value + "\r\n";
    if (!reply.no_length && !reply.headers.contains("Content-Length"))
      text += concat("Content-Length: ", reply.length.value_or(reply.body.size()), "\r\n");
    text += "\r\n";
    if (request.method != "HEAD") text += reply.body;
    if (reply.cut) text.resize(std::min(text.size(), *reply.cut));
    for (size_t sent = 0; sent < text.size();) {
      const ssize_t n = ::send(connection, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return;
      sent += size_t(n);
    }
    char byte;
    while (reply.hang && ::recv(connection, &byte, 1, 0) > 0) continue;
  }

  Answer answer_;
  int listener_ = -1, port_ = 0;
  std::thread accepting_;
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
  std::condition_variable served_;
  std::vector<int> open_;  // connections, each served by a thread
};

/// What is told of the model owner/model, and its files, as the Hub does. A test changes what it
/// likes before it asks.
class FakeHub {
 public:
  using Request = HttpServer::Request;
  using Reply = HttpServer::Reply;

  std::map<std::string, std::string> files = {
      {"config.json", R"({"model_type": "phi"})"},
      {"tokenizer.json", "{}"},
      {"model.safetensors", std::string(5000, 'w')},
  };
  std::string commit = "0123456789012345678901234567890123456789";
  enum class Lists { whole, tree, names } lists = Lists::whole;
  bool ranges = true;
  /// Answers in the place of the Hub, where it gives a reply.
  std::function<std::optional<Reply>(const Request&)> instead;
  /// Changes what would be answered.
  std::function<void(const Request&, Reply&)> spoil;

  static bool in_lfs(const std::string& name) { return name.ends_with(".safetensors"); }
  static std::string hash(const std::string& name, const std::string& content) {
    FileHash hash = in_lfs(name) ? FileHash::sha256() : FileHash::git_blob(content.size());
    hash.add(content);
    return hash.digits();
  }
  std::string hash(const std::string& name) const { return hash(name, files.at(name)); }

  HttpServer server{[this](const Request& request) { return answer(request); }};
  std::string url() const { return server.url(); }
  int count(const std::string& part) const {
    int n = 0;
    for (const Request& request : server.requests())
      n += request.path.find(part) != std::string::npos;
    return n;
  }

 private:
  Reply answer(const Request& request) {
    if (instead)
      if (auto reply = instead(request)) return *reply;
    Reply reply = usual(request);
    if (spoil) spoil(request, reply);
    return reply;
  }
  nlohmann::json entry(const std::string& name, bool tree) const {
    const std::string& content = files.at(name);
    nlohmann::json json = {{tree ? "path" : "rfilename", name}, {"size", content.size()}};
    if (tree) json["type"] = "file";
    json[tree ? "oid" : "blobId"] = hash("as a blob", content);
    if (in_lfs(name))
      json["lfs"] = {
          {tree ? "oid" : "sha256", hash(name)}, {"size", content.size()}, {"pointerSize", 133}};
    return json;
  }
  Reply usual(const Request& request) const {
    const std::string api = "/api/models/owner/model",
                      resolve = "/owner/model/resolve/" + commit + "/";
    if (request.path.starts_with(api + "/revision/main")) {
      nlohmann::json all = {
          {"id", "owner/model"}, {"sha", commit}, {"siblings", nlohmann::json::array()}};
      for (const auto& [name, content] : files)
        all["siblings"].push_back(lists == Lists::whole ? entry(name, false)
                                                        : nlohmann::json{{"rfilename", name}});
      return {.body = all.dump()};
    }
    if (request.path.starts_with(api + "/tree/" + commit) && lists == Lists::tree) {
      // Two pages; the first has a folder, which is no file.
      const bool second = request.path.find("cursor=2") != std::string::npos;
      auto all = nlohmann::json::array();
      size_t i = 0;
      for (const auto& [name, content] : files)
        if ((i++ >= files.size() / 2) == second) all.push_back(entry(name, true));
      if (second) return {.body = all.dump()};
      all.push_back({{"type", "directory"}, {"path", "folder"}, {"oid", commit}, {"size", 0}});
      return {.headers = {{"Link", concat("<", url(), api, "/tree/", commit,
                                          "?recursive=true&cursor=2>; rel=\"next\"")}},
              .body = all.dump()};
    }
    if (!request.path.starts_with(resolve) || !files.contains(request.path.substr(resolve.size())))
      return {
          .status = 404, .headers = {{"X-Error-Code", "EntryNotFound"}}, .body = "nothing here"};
    const std::string name = request.path.substr(resolve.size());
    return content(name, request);
  }

 public:
  /// The file's content, or the part that the request's Range names.
  Reply content(const std::string& name, const Request& request) const {
    const std::string& all = files.at(name);
    Reply reply{.headers = {{"ETag", "\"" + hash(name) + "\""}, {"X-Repo-Commit", commit}},
                .body = all};
    const std::string range = request.header("range");
    if (range.empty() || !ranges) return reply;
    const size_t from = std::stoul(range.substr(6));
    if (from >= all.size())
      return {.status = 416, .headers = {{"Content-Range", concat("bytes */", all.size())}}};
    reply.status = 206;
    reply.body = all.substr(from);
    reply.headers["Content-Range"] = concat("bytes ", from, "-", all.size() - 1, "/", all.size());
    return reply;
  }
};

}  // namespace hearth::testing
