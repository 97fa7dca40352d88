// A program on a terminal of its own: what a person would type, and what they would see.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/paths.h"

namespace hearth::testing {

class Terminal {
 public:
  /// hearth with these arguments, on a terminal of 24 lines and 80 columns.
  explicit Terminal(std::vector<std::string> args) {
    args.insert(args.begin(), hearth_binary());
    std::vector<char*> argv;
    for (auto& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    winsize size{24, 80, 0, 0};
    child_ = forkpty(&master_, nullptr, nullptr, &size);
    if (child_ > 0) slave_ = open(ptsname(master_), O_RDWR | O_NOCTTY);
    if (child_ == 0) {
      setenv("TERM", "xterm-256color", 1);
      setenv("LC_ALL", "C.UTF-8", 1);
      unsetenv("COLUMNS");
      for (int one : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE})
        signal(one, SIG_DFL);  // whatever nohup left to the tests
      execv(argv[0], argv.data());
      _exit(127);
    }
  }
  ~Terminal() {
    if (child_ > 0 && !ended_) kill(child_, SIGKILL), waitpid(child_, nullptr, 0);
    close(master_), close(slave_);
  }
  Terminal(const Terminal&) = delete;

  void type(const std::string& keys) {
    ASSERT_EQ(write(master_, keys.data(), keys.size()), ssize_t(keys.size()));
  }
  /// Whether `text` comes, in what was not waited for yet.
  bool see(const std::string& text, double seconds = 60) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    for (;;) {
      if (const size_t at = screen_.find(text, seen_); at != std::string::npos) {
        seen_ = at + text.size();
        return true;
      }
      if (std::chrono::steady_clock::now() > end || !read_some(100)) {
        ADD_FAILURE() << "waited for '" << text << "', got:\n" << screen_.substr(seen_);
        return false;
      }
    }
  }
  /// The exit code; -1 if it does not end in time.
  int end(double seconds = 60) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < end) {
      read_some(50);
      int status = 0;
      if (waitpid(child_, &status, WNOHANG) == child_) {
        ended_ = true;
        while (read_some(50)) continue;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
    }
    return -1;
  }
  const std::string& screen() const { return screen_; }
  void send(int signal) { kill(child_, signal); }
  /// As a shell leaves it to a program: typed text is echoed, and comes in lines.
  bool usual() const {
    termios now{};
    return tcgetattr(slave_, &now) == 0 && (now.c_lflag & ICANON) && (now.c_lflag & ECHO);
  }

 private:
  // False at the end of all output.
  bool read_some(int ms) {
    pollfd ready{master_, POLLIN, 0};
    if (poll(&ready, 1, ms) <= 0) return !ended_;
    char piece[4096];
    const ssize_t n = read(master_, piece, sizeof piece);
    if (n > 0) screen_.append(piece, size_t(n));
    return n > 0;
  }

  pid_t child_ = -1;
  int master_ = -1, slave_ = -1;
  bool ended_ = false;
  std::string screen_;
  size_t seen_ = 0;
};

}  // namespace hearth::testing
