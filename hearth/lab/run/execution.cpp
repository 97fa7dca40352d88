#include "hearth/lab/run/execution.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "hearth/base/error.h"
#include "hearth/base/system.h"
#include "hearth/lab/run/process_tree.h"

extern char** environ;

namespace hearth::lab {

namespace {

constexpr auto kGrace = std::chrono::milliseconds(300);  // between asking a group to end and force

struct Pipe {
  Descriptor read, write;
  Pipe() {
    int ends[2];
    ensure(pipe2(ends, O_CLOEXEC) == 0, "command: no pipe: ", std::strerror(errno));
    read = Descriptor(ends[0]), write = Descriptor(ends[1]);
  }
};

Descriptor open_file(const std::string& path, int flags) {
  Descriptor file(::open(path.c_str(), flags | O_CLOEXEC, 0666));
  ensure(file.fd >= 0, path, ": cannot be opened: ", std::strerror(errno));
  return file;
}

/// The file that execvp would find; the name itself where there is none.
std::string find_program(const std::string& name) {
  if (name.find('/') != name.npos) return name;
  const char* path = std::getenv("PATH");
  std::string_view rest = path ? path : "/usr/local/bin:/usr/bin:/bin";
  while (true) {
    const size_t colon = rest.find(':');
    const std::string folder(rest.substr(0, colon));
    const std::string file = concat(folder.empty() ? "." : folder, "/", name);
    if (access(file.c_str(), X_OK) == 0) return file;
    if (colon == rest.npos) return name;
    rest.remove_prefix(colon + 1);
  }
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> all;
  for (std::string& word : words) all.push_back(word.data());
  all.push_back(nullptr);
  return all;
}

std::vector<std::string> environment_with(const std::vector<std::string>& more) {
  std::vector<std::string> all;
  for (char** e = environ; *e; ++e) {
    const std::string_view name(*e, std::strcspn(*e, "=") + 1);
    if (std::ranges::none_of(more, [&](const std::string& m) { return m.starts_with(name); }))
      all.emplace_back(*e);
  }
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

double seconds_of(const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) * 1e-6; }

/// A child that waits for the word to become the program.
class Child {
 public:
  Child(const Program& program, int in, int out, int err) : name_(program.args[0]) {
    std::vector<std::string> words = program.args, settings = environment_with(program.environment);
    const std::string file = find_program(words[0]);
    const auto argv = pointers(words), env = pointers(settings);
    Pipe go, status;
    pid_ = fork();
    ensure(pid_ >= 0, "command: cannot start a process: ", std::strerror(errno));
    if (pid_ == 0) {  // between fork and exec only what signals may call, too
      const pid_t parent = getppid();
      setpgid(0, 0);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      char word = parent == getppid();
      go.write.close();
      if (::write(status.write.fd, &word, 1) != 1 || ::read(go.read.fd, &word, 1) != 1) _exit(127);
      sigset_t none;
      sigemptyset(&none);
      pthread_sigmask(SIG_SETMASK, &none, nullptr);
      if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(err, 2) >= 0)
        execve(file.c_str(), argv.data(), env.data());
      const int error = errno;
      (void)!::write(status.write.fd, &error, sizeof error);
      _exit(127);
    }
    setpgid(pid_, pid_);
    go.read.close(), status.write.close();
    char word;
    while (::read(status.read.fd, &word, 1) < 0 && errno == EINTR) {
    }
    go_ = std::move(go.write), status_ = std::move(status.read);
#ifdef SYS_pidfd_open
    end_ = Descriptor(int(syscall(SYS_pidfd_open, pid_, 0)));
#endif
  }
  ~Child() {
    if (!reaped_) end_group();
  }

  void go() { (void)!::write(go_.fd, "g", 1); }
  pid_t pid() const { return pid_; }
  int end() const { return end_.fd; }
  int status() const { return status_.fd; }
  bool ended() const {
    siginfo_t info{};
    return waitid(P_PID, id_t(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == pid_;
  }

  /// Asks the group to end, and makes it.
  void end_group() {
    go_.close();
    ::kill(-pid_, SIGTERM);
    ::kill(-pid_, SIGCONT);
    const auto deadline = Clock::now() + kGrace;
    while (!ended() && Clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    ::kill(-pid_, SIGKILL);
    reap(nullptr);
  }

  int reap(rusage* used) {
    int status = 0;
    while (wait4(pid_, &status, 0, used) < 0 && errno == EINTR) {
    }
    reaped_ = true;
    while (waitpid(-pid_, nullptr, WNOHANG) > 0) {  // of its group, those that became ours
    }
    int error = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127 &&
        ::read(status_.fd, &error, sizeof error) == ssize_t(sizeof error))
      throw EngineFault(concat("cannot start ", name_, ": ", std::strerror(error)));
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  std::string name_;
  pid_t pid_ = -1;
  Descriptor go_, status_, end_;
  bool reaped_ = false;
};

/// What there is to read, without waiting; false at its end.
bool drain(int fd, bool keep, Execution& e) {
  char chunk[65536];
  for (int i = 0; i < 64; ++i) {
    const ssize_t n = ::read(fd, chunk, sizeof chunk);
    if (n == 0) return false;
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (!keep) continue;
    const size_t room = kLongestText - e.text.size();
    e.text.append(chunk, std::min(size_t(n), room));
    e.text_cut |= size_t(n) > room;
  }
  return true;
}

}  // namespace

Execution execute(const Program& program, const std::atomic<bool>* interrupted) {
  check(!program.args.empty(), "command: no program");
  const bool piped = program.output == Output::discard || program.output == Output::keep;
  const Descriptor input = open_file(program.input, O_RDONLY),
                   null = open_file("/dev/null", O_RDWR);
  Descriptor file;
  if (program.output == Output::file) file = open_file(program.file, O_WRONLY | O_CREAT | O_TRUNC);
  std::optional<Pipe> pipe;
  if (piped) {
    pipe.emplace();
    fcntl(pipe->read.fd, F_SETFL, O_NONBLOCK);
  }
  const int out = piped                            ? pipe->write.fd
                  : program.output == Output::show ? STDOUT_FILENO
                  : program.output == Output::file ? file.fd
                                                   : null.fd;
  const int err = program.output == Output::keep   ? pipe->write.fd
                  : program.output == Output::show ? STDERR_FILENO
                                                   : null.fd;
  Child child(program, input.fd, out, err);
  if (pipe) pipe->write.close();
  const int64_t launcher = peak_of_process(child.pid()).value_or(0);
  Execution e;
  std::optional<TreeWatch> watch;
  if (program.watch_memory) watch.emplace(child.pid(), child.status());
  bool reading = piped;
  const auto deadline =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(
                         std::chrono::duration<double>(std::min(program.timeout_s, 1e8)));
  e.begin = Clock::now();
  child.go();
  while (true) {
    pollfd fds[2] = {{child.end(), POLLIN, 0}, {reading ? pipe->read.fd : -1, POLLIN, 0}};
    ::poll(fds, 2, child.end() < 0 ? 1 : 100);
    const auto now = Clock::now();
    if (fds[1].revents) reading = drain(pipe->read.fd, program.output == Output::keep, e);
    if (child.end() < 0 ? child.ended() : fds[0].revents != 0) {
      e.end = now;
      break;
    }
    if (interrupted && *interrupted) throw Interrupted();
    if (program.timeout_s > 0 && now >= deadline)
      throw EngineFault(concat("took longer than ", program.timeout_s, " s, the time-out"));
  }
  if (watch) watch->stop();
  if (reading) drain(pipe->read.fd, program.output == Output::keep, e);
  rusage used{};
  e.exit_code = child.reap(&used);
  e.user_s = seconds_of(used.ru_utime);
  e.system_s = seconds_of(used.ru_stime);
  e.minor_faults = used.ru_minflt;
  e.major_faults = used.ru_majflt;
  e.voluntary_switches = used.ru_nvcsw;
  e.involuntary_switches = used.ru_nivcsw;
  // The system's own peak is of the largest process, and counts what the child was before its exec.
  const int64_t largest = int64_t(used.ru_maxrss) * 1024;
  int64_t peak = watch ? watch->peak_bytes() : 0;
  if (largest > launcher + launcher / 50) peak = std::max(peak, largest);
  e.peak_bytes = peak > 0 ? Reading<int64_t>(peak)
                          : Reading<int64_t>::missing(concat("less than the ", launcher >> 10,
                                                             " KiB that starting it takes"));
  return e;
}

Descendants::Descendants() : before_(children_of(getpid())) {
  int was = 0;
  prctl(PR_GET_CHILD_SUBREAPER, &was);
  was_reaper_ = was != 0;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
}

Descendants::~Descendants() {
  // Each round ends those that the last one's victims left behind.
  for (int round = 0; round < 100; ++round) {
    bool any = false;
    for (const pid_t pid : children_of(getpid())) {
      if (std::ranges::find(before_, pid) != before_.end()) continue;
      any = true;
      ::kill(pid, SIGKILL);
      while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
    if (!any) break;
  }
  if (!was_reaper_) prctl(PR_SET_CHILD_SUBREAPER, 0);
}

std::vector<std::string> split_words(std::string_view line) {
  std::vector<std::string> words;
  std::optional<std::string> word;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == ' ' || c == '\t' || c == '\n') {
      if (word) words.push_back(*std::move(word)), word.reset();
      continue;
    }
    if (!word) word.emplace();
    if (c == '\\') {
      check(i + 1 < line.size(), "command ", line, ": it ends with a backslash");
      *word += line[++i];
    } else if (c == '\'' || c == '"') {
      for (++i; i < line.size() && line[i] != c; ++i) {
        const bool escape = c == '"' && line[i] == '\\' && i + 1 < line.size() &&
                            std::string_view("\"\\$`").find(line[i + 1]) != std::string_view::npos;
        if (escape) ++i;
        *word += line[i];
      }
      check(i < line.size(), "command ", line, ": the quote ", c, " is not closed");
    } else {
      *word += c;
    }
  }
  if (word) words.push_back(*std::move(word));
  return words;
}

}  // namespace hearth::lab
