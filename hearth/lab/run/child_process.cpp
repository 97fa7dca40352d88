#include "hearth/lab/run/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <thread>

#include "hearth/base/error.h"
#include "hearth/io/json.h"

extern char** environ;

namespace hearth::lab {

namespace {

constexpr size_t kErrorsKept = 4096;

void close_fd(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

int milliseconds_until(Clock::time_point deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return int(std::clamp<long long>(left + 1, 0, 100));  // looks up ten times a second
}

}  // namespace

ChildProcess::ChildProcess(std::vector<std::string> args, std::vector<std::string> environment,
                           const std::atomic<bool>* interrupted)
    : interrupted_(interrupted) {
  check(!args.empty(), "ChildProcess: no program");
  // Its standard input is a socket: a write to one that is gone is an error, not a signal.
  int in[2], out[2], err[2];
  ensure(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) == 0, "engine: no socket");
  ensure(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0, "engine: no pipe");
  in_ = in[0], out_ = out[0], err_ = err[0];
  for (int fd : {in_, out_, err_}) fcntl(fd, F_SETFL, O_NONBLOCK);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[1], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_adddup2(&actions, err[1], 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);

  std::vector<char*> argv, env;
  for (auto& a : args) argv.push_back(a.data());
  argv.push_back(nullptr);
  for (char** e = environ; *e; ++e) {
    const std::string_view name(*e, std::strcspn(*e, "=") + 1);
    const bool replaced = std::any_of(environment.begin(), environment.end(),
                                      [&](const std::string& n) { return n.starts_with(name); });
    if (!replaced) env.push_back(*e);
  }
  for (auto& e : environment) env.push_back(e.data());
  env.push_back(nullptr);
  const int error = posix_spawnp(&pid_, argv[0], &actions, &attributes, argv.data(), env.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  for (int fd : {in[1], out[1], err[1]}) ::close(fd);
  if (error != 0) {
    reaped_ = true;
    for (int* fd : {&in_, &out_, &err_}) close_fd(*fd);
    throw EngineFault(concat("cannot start ", args[0], ": ", std::strerror(error)));
  }
#ifdef SYS_pidfd_open
  end_ = int(syscall(SYS_pidfd_open, pid_, 0));
#endif
}

ChildProcess::~ChildProcess() {
  if (!reaped_) kill("");
  for (int* fd : {&in_, &out_, &err_, &end_}) close_fd(*fd);
}

void ChildProcess::drain_errors() {
  char chunk[4096];
  // Bounded: one that floods is read again when next waited for.
  for (int i = 0; i < 64 && err_ >= 0; ++i) {
    const ssize_t n = ::read(err_, chunk, sizeof chunk);
    if (n == 0) close_fd(err_);
    if (n <= 0) break;
    errors_.append(chunk, size_t(n));
    if (errors_.size() > 2 * kErrorsKept) errors_.erase(0, errors_.size() - kErrorsKept);
  }
}

ChildProcess::Event ChildProcess::poll_streams(Clock::time_point deadline, bool write) {
  while (true) {
    if (interrupted_ && *interrupted_) throw Interrupted();
    pollfd fds[4] = {
        {out_, POLLIN, 0}, {err_, POLLIN, 0}, {write ? in_ : -1, POLLOUT, 0}, {end_, POLLIN, 0}};
    const int n = ::poll(fds, 4, milliseconds_until(deadline));
    const auto now = Clock::now();
    if (n > 0) {
      if (fds[1].revents) drain_errors();
      if (write && fds[2].revents) return Event::ready;
      if (!write && fds[0].revents) return arrived_ = now, Event::ready;
      if (write && (fds[0].revents & POLLHUP)) return Event::ready;  // the write will find out
    }
    if (end_ < 0 ? ended() : fds[3].revents != 0) return arrived_ = now, Event::ended;
    if (now >= deadline) return Event::late;
  }
}

Clock::time_point ChildProcess::write_line(std::string text, Clock::time_point deadline) {
  text += '\n';
  for (std::string_view rest = text; !rest.empty();) {
    // Looked at before: the child may wake on this processor and have its answer ready before this
    // process runs again. Looked at after, 1 % of executions of 4 ms on a busy machine took 2 us.
    sent_ = Clock::now();
    const ssize_t n = in_ < 0 ? -1 : ::send(in_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n > 0) {
      rest.remove_prefix(size_t(n));
    } else if (in_ >= 0 && (errno == EAGAIN || errno == EINTR)) {
      const Event event = poll_streams(deadline, true);
      if (event == Event::late) throw kill("does not read what it is sent");
      if (event == Event::ended) throw kill(how_it_ended());
    } else {
      throw kill(how_it_ended());
    }
  }
  return sent_;
}

ChildProcess::Line ChildProcess::read_line(Clock::time_point deadline) {
  while (true) {
    const size_t end = buffer_.find('\n', searched_);
    if (end != buffer_.npos) {
      Line line{buffer_.substr(0, end), arrived_};
      buffer_.erase(0, end + 1);
      searched_ = 0;
      return line;
    }
    searched_ = buffer_.size();
    if (searched_ > kLongestLine)
      throw kill(concat("sent a line of more than ", kLongestLine, " bytes"));
    const Event event = poll_streams(deadline, false);
    if (event == Event::late) {
      const std::chrono::duration<double> waited = Clock::now() - sent_;
      throw kill(concat("gave no answer in time: ", std::round(10 * waited.count()) / 10, " s"));
    }
    char chunk[65536];
    const ssize_t n = ::read(out_, chunk, sizeof chunk);  // of one that ended: its last words
    if (n > 0)
      buffer_.append(chunk, size_t(n));
    else if (n == 0 || event == Event::ended)
      throw kill(how_it_ended());
  }
}

bool ChildProcess::ended() {
  // Looked at, not waited for: until kill() its number, and so its group's, is not given anew.
  siginfo_t info{};
  return waitid(P_PID, id_t(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
}

std::string ChildProcess::how_it_ended() {
  // Its output is closed: it has ended, or will in a moment.
  const auto deadline = Clock::now() + std::chrono::seconds(2);
  while (!ended() && Clock::now() < deadline) {
    drain_errors();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  siginfo_t info{};
  waitid(P_PID, id_t(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
  if (info.si_pid != pid_) return "closed its output";
  if (info.si_code == CLD_EXITED) return concat("ended with exit code ", info.si_status);
  return concat("was ended by signal ", info.si_status, " (", strsignal(info.si_status), ")");
}

EngineFault ChildProcess::kill(const std::string& what) {
  if (!reaped_) {
    ::kill(-pid_, SIGKILL);  // the children that it may have left, too
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    reaped_ = true;
  }
  drain_errors();
  std::string words = errors_;
  while (!words.empty() && words.back() == '\n') words.pop_back();
  // A program's last line is what it died of; what came before is often chatter.
  if (const size_t line = words.rfind('\n'); line != words.npos) words.erase(0, line + 1);
  return EngineFault(words.empty() ? what : concat(what, "; its last words: ", in_quotes(words)));
}

void ChildProcess::close(Clock::time_point deadline) {
  resume();
  close_fd(in_);
  char chunk[4096];
  while (!reaped_ && !ended() && Clock::now() < deadline && !(interrupted_ && *interrupted_)) {
    for (int i = 0; i < 64 && ::read(out_, chunk, sizeof chunk) > 0; ++i) {
    }
    drain_errors();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  kill("");
}

void ChildProcess::pause() {
  if (!reaped_ && !paused_) ::kill(-pid_, SIGSTOP), paused_ = true;
}

void ChildProcess::resume() {
  if (!reaped_ && paused_) ::kill(-pid_, SIGCONT), paused_ = false;
}

}  // namespace hearth::lab
