#include "hearth/cli/interrupt.h"

#include <time.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <future>

#include "hearth/cli/failure.h"
#include "hearth/cli/output.h"

namespace hearth::cli {

namespace {

std::atomic<bool> interrupted{false};
std::atomic<int> by{0};
std::atomic<int64_t> first_ms;

int64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

// One Ctrl-C can arrive twice: `make` and `timeout` pass on what the terminal sent to all.
constexpr int64_t kOneStrokeMs = 300;

extern "C" void on_interrupt(int number) {
  if (!interrupted) {
    first_ms = now_ms();
    by = number;
    interrupted = true;
  } else if (now_ms() - first_ms > kOneStrokeMs) {
    signal(number, SIG_DFL);
    raise(number);
  }
}

}  // namespace

CatchInterrupt::CatchInterrupt(std::initializer_list<int> signals) {
  interrupted = false;
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  for (const int number : signals) {
    struct sigaction before {};
    sigaction(number, nullptr, &before);
    // A terminal that is closed; under nohup it is ignored, and stays so.
    if (number == SIGHUP && before.sa_handler == SIG_IGN) continue;
    sigaction(number, &action, nullptr);
    before_.emplace_back(number, before);
  }
}
CatchInterrupt::~CatchInterrupt() {
  for (const auto& [number, before] : before_) sigaction(number, &before, nullptr);
}
const std::atomic<bool>& CatchInterrupt::flag() { return interrupted; }

bool CatchInterrupt::is_order_to_end() { return interrupted && by != SIGINT; }

int CatchInterrupt::exit_code(int otherwise) { return interrupted ? 128 + by : otherwise; }

void CatchInterrupt::fail_if_interrupted() {
  if (interrupted) throw Failure(exit_code(1), "interrupted");
}

IgnoreInterrupt::IgnoreInterrupt() {
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  sigaction(SIGINT, &action, &before_);
}
IgnoreInterrupt::~IgnoreInterrupt() { sigaction(SIGINT, &before_, nullptr); }

void do_or_undo(const std::function<void()>& work, const std::function<void()>& undo) {
  auto done = std::async(std::launch::async, work);
  while (done.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready)
    if (interrupted) {
      undo();
      complain("interrupted");
      std::_Exit(CatchInterrupt::exit_code(1));  // the work goes on until then
    }
  done.get();
}

}  // namespace hearth::cli
