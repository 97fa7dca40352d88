#include "hearth/cli/output.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "hearth/base/error.h"
#include "hearth/base/system.h"
#include "hearth/lab/show/text.h"

namespace hearth::cli {

namespace {

std::atomic<int> output_error{0};  // errno of the first write to stdout that failed
bool pipe_kills = false;           // SIGPIPE was as usual when the program began

// All of it, or false with errno set. A stream that does not block is waited for.
bool write_all(int stream, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(stream, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(size_t(n));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      pollfd ready{stream, POLLOUT, 0};
      if (poll(&ready, 1, -1) < 0 && errno != EINTR) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

void prepare_streams() {
  // Writing to what was closed stays an error: /dev/null is opened to be read, by the lowest
  // number.
  for (int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(stream, F_GETFD) < 0 && errno == EBADF) (void)open("/dev/null", O_RDONLY);
  // A handler of ours and not SIG_IGN, which the programs that we start would inherit.
  for (const int number : {SIGPIPE, SIGXFSZ}) {
    struct sigaction before {};
    sigaction(number, nullptr, &before);
    if (before.sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = [](int) {};
    action.sa_flags = SA_RESTART;
    sigaction(number, &action, nullptr);
    if (number == SIGPIPE) pipe_kills = true;
  }
}

void print_out(std::string_view text) {
  if (output_error == 0 && !write_all(STDOUT_FILENO, text)) output_error = errno;
}

bool output_failed() { return output_error != 0; }

int settle_output(int exit_code) {
  const int error = output_error;
  if (error == 0 || exit_code != 0) return exit_code;
  if (error == EPIPE && pipe_kills) {
    signal(SIGPIPE, SIG_DFL);
    raise(SIGPIPE);
  }
  complain(concat("cannot write the output: ",
                  error == EBADF ? "standard output is closed" : std::strerror(error)));
  return 1;
}

void print_err(std::string_view text) noexcept { (void)write_all(STDERR_FILENO, text); }

void complain(std::string_view what) noexcept {
  const bool colour = is_terminal(STDERR_FILENO) && !setting("NO_COLOR");
  // One write, so that lines of several programs do not mix.
  try {
    print_err(concat(colour ? "\033[31mhearth:\033[0m " : "hearth: ", lab::printable(what), "\n"));
  } catch (const std::bad_alloc&) {
    print_err("hearth: out of memory\n");
  }
}

std::string read_standard_input() {
  pollfd first{STDIN_FILENO, POLLIN, 0};
  if (!isatty(STDIN_FILENO) && poll(&first, 1, 1000) == 0)
    complain("waiting for the text on standard input; --prompt TEXT or </dev/null end that");
  std::string text;
  char piece[1 << 16];
  for (;;) {
    const ssize_t n = read(STDIN_FILENO, piece, sizeof piece);
    if (n == 0) return text;
    if (n > 0) {
      text.append(piece, size_t(n));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      pollfd ready{STDIN_FILENO, POLLIN, 0};
      poll(&ready, 1, -1);
    } else {
      ensure(errno == EINTR, "standard input: cannot be read: ", std::strerror(errno));
    }
  }
}

bool input_is_sent() {
  struct stat about {};
  return fstat(STDIN_FILENO, &about) == 0 &&
         (S_ISFIFO(about.st_mode) || S_ISREG(about.st_mode) || S_ISSOCK(about.st_mode));
}

bool is_terminal(int stream) {
  const char* kind = setting("TERM");
  return isatty(stream) && !(kind && std::string_view(kind) == "dumb");
}

int width(int stream) {
  constexpr int kUsual = 80, kLeast = 20, kMost = 1000;
  int columns = 0;
  if (const char* set = setting("COLUMNS")) std::from_chars(set, set + std::strlen(set), columns);
  winsize size{};
  if (columns <= 0 && ioctl(stream, TIOCGWINSZ, &size) == 0) columns = size.ws_col;
  return columns <= 0 ? kUsual : std::clamp(columns, kLeast, kMost);
}

}  // namespace hearth::cli
