// powermetrics as a child process whose samples are read as they come.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>

#include "hearth/base/error.h"
#include "hearth/lab/telemetry/powermetrics.h"
#include "hearth/lab/telemetry/samples.h"
#include "hearth/lab/telemetry/sources.h"

extern char** environ;

namespace hearth::lab {
namespace {

// The child's output, read without waiting.
class Child {
 public:
  explicit Child(std::vector<std::string> words) {
    int pipe[2];
    if (::pipe(pipe) != 0) {
      reason_ = concat("no pipe for ", words[0], ": ", std::strerror(errno));
      return;
    }
    for (int end : pipe) fcntl(end, F_SETFD, FD_CLOEXEC);
    fcntl(pipe[0], F_SETFL, O_NONBLOCK);
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipe[1], 1);
    posix_spawn_file_actions_adddup2(&actions, pipe[1], 2);  // its complaint is our reason
    const int error = posix_spawnp(&process_, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(pipe[1]);
    from_ = pipe[0];
    if (error != 0) {
      process_ = 0;
      reason_ = concat(words[0], " cannot be started: ", std::strerror(error));
    }
  }
  ~Child() {
    if (from_ >= 0) ::close(from_);
    if (process_ > 0) {
      kill(process_, SIGTERM);
      for (int i = 0; i < 50 && waitpid(process_, nullptr, WNOHANG) == 0; ++i) usleep(10'000);
      kill(process_, SIGKILL);  // of one that was waited for: no process of ours, refused
      waitpid(process_, nullptr, 0);
    }
  }
  Child(const Child&) = delete;

  /// Appends what has come; false once no more will.
  bool read_to(std::string& text) {
    char block[1 << 16];
    if (from_ < 0) return false;
    for (;;) {
      const ssize_t got = ::read(from_, block, sizeof block);
      if (got > 0)
        text.append(block, size_t(got));
      else
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    }
  }
  void wait_readable(int milliseconds) {
    pollfd wanted{from_, POLLIN, 0};
    poll(&wanted, 1, milliseconds);
  }
  const std::string& reason() const { return reason_; }  // why it was not started

 private:
  pid_t process_ = 0;
  int from_ = -1;
  std::string reason_;
};

class Live : public Telemetry {
 public:
  Live(const std::string& program, double period_s)
      : period_s_(period_s),
        child_({program, "--samplers", "cpu_power,gpu_power,thermal", "-i",
                concat(int(period_s * 1e3)), "-f", "plist"}) {
    // The first sample shows which clusters there are.
    using Clock = std::chrono::steady_clock;
    const auto until = Clock::now() + std::chrono::duration<double>(period_s + 3);
    while (!latest_ && !ended_ && Clock::now() < until) {
      read(0);
      if (!latest_ && !ended_) child_.wait_readable(50);
    }
    fields_ = {{"cpu_power_w", "W"},
               {"gpu_power_w", "W"},
               {"ane_power_w", "W"},
               {"package_power_w", "W"},
               {"gpu_clock_mhz", "MHz"},
               {"gpu_clock_max_mhz", "MHz"},
               {"gpu_active_fraction", "fraction"},
               {"thermal_pressure_level", "0 to 4"}};
    if (latest_ && latest_->clusters.value)
      for (const Cluster& cluster : *latest_->clusters.value) {
        clusters_.push_back(cluster.name);
        fields_.push_back({"cpu_active_fraction." + cluster.name, "fraction"});
        fields_.push_back({"cpu_clock_mhz." + cluster.name, "MHz"});
      }
    for (const auto& [list, states] : kStates) {
      const auto known = latest_ ? (*latest_.*states).value : std::nullopt;
      for (const Residency& one : known.value_or(std::vector<Residency>())) {
        state_names_[list].push_back(one.state);
        fields_.push_back(
            {state_field(list, state_names_[list].size() - 1, one.state), "fraction"});
      }
    }
  }

  std::string_view source() const override { return "powermetrics"; }
  const std::vector<Field>& fields() const override { return fields_; }

  std::vector<Reading<double>> sample(double now) override {
    read(now);
    std::string none;
    if (!latest_)
      none = why_none();
    else if (now - latest_at_ > 3 * period_s_)
      none = "powermetrics has given no new sample";
    if (!none.empty())
      return std::vector<Reading<double>>(fields_.size(), Reading<double>::missing(none));
    std::vector<Reading<double>> out = {latest_->cpu_power_w,         latest_->gpu_power_w,
                                        latest_->ane_power_w,         latest_->package_power_w,
                                        latest_->gpu_clock_mhz,       highest_clock(),
                                        latest_->gpu_active_fraction, pressure_level()};
    for (const std::string& name : clusters_) {
      const Cluster* found = nullptr;
      if (latest_->clusters.value)
        for (const Cluster& cluster : *latest_->clusters.value)
          if (cluster.name == name) found = &cluster;
      const auto absent = Reading<double>::missing("the sample has no " + name);
      out.push_back(found ? found->active_fraction : absent);
      out.push_back(found ? found->clock_mhz : absent);
    }
    for (const auto& [list, states] : kStates) add_states(list, *latest_.*states, out);
    return out;
  }

 private:
  void read(double now) {
    ended_ = !child_.read_to(text_);
    // Whole samples end in a NUL or, the last, in its closing tag.
    const size_t end = std::max(text_.rfind('\0') + 1, ended_ ? text_.size() : 0);
    if (end > 0) {
      Capture capture = read_powermetrics(std::string_view(text_).substr(0, end));
      if (!capture.samples.empty()) {
        latest_ = std::move(capture.samples.back());
        latest_at_ = now;
        text_.erase(0, end);
      }
    }
    constexpr size_t kMost = 64 << 20;
    if (text_.size() > kMost) text_.clear();  // no sample is so long
  }

  void add_states(const char* list, const Powermetrics::States& now,
                  std::vector<Reading<double>>& out) const {
    const auto names = state_names_.find(list);
    if (names == state_names_.end()) return;
    bool same = now.value && now.value->size() == names->second.size();
    for (size_t i = 0; same && i < names->second.size(); ++i)
      same = (*now.value)[i].state == names->second[i];
    for (size_t i = 0; i < names->second.size(); ++i)
      out.push_back(same ? Reading<double>((*now.value)[i].fraction)
                         : Reading<double>::missing(now.value ? concat(list, " are others now")
                                                              : now.reason));
  }

  std::string why_none() const {
    if (!child_.reason().empty()) return child_.reason();
    if (!ended_) return "powermetrics has given no sample yet";
    std::string said = text_.substr(0, std::min<size_t>(text_.find('\n'), 200));
    std::erase(said, '\0');
    return said.empty() ? "powermetrics ended without a sample" : "powermetrics: " + said;
  }

  Reading<double> highest_clock() const {
    const auto& states = latest_->gpu_states;
    if (!states.value) return Reading<double>::missing(states.reason);
    auto most = Reading<double>::missing("no state has a clock");
    for (const Residency& one : *states.value)
      if (one.clock_mhz.value) most = std::max(most.value.value_or(0), *one.clock_mhz.value);
    return most;
  }

  Reading<double> pressure_level() const {
    const auto& word = latest_->thermal_pressure;
    if (!word.value) return Reading<double>::missing(word.reason);
    for (size_t level = 0; level < kThermalPressures.size(); ++level)
      if (*word.value == kThermalPressures[level]) return double(level);
    return Reading<double>::missing("thermal_pressure has a word that is not known");
  }

  static constexpr std::pair<const char*, Powermetrics::States Powermetrics::*> kStates[] = {
      {"gpu_states", &Powermetrics::gpu_states},
      {"gpu_requested_states", &Powermetrics::gpu_requested_states},
      {"gpu_sw_states", &Powermetrics::gpu_sw_states}};

  double period_s_;
  Child child_;
  std::string text_;  // what has come of the sample to be
  bool ended_ = false;
  std::optional<Powermetrics> latest_;
  double latest_at_ = 0;
  std::vector<std::string> clusters_;
  std::map<std::string_view, std::vector<std::string>> state_names_;  // of each list
  std::vector<Field> fields_;
};

}  // namespace

std::unique_ptr<Telemetry> powermetrics_telemetry(const std::string& program, double period_s) {
  check(period_s >= 0.01 && period_s <= 3600, "powermetrics: a period of ", period_s,
        " s; wanted 0.01 to 3600");
  return std::make_unique<Live>(program, period_s);
}

namespace {
const TelemetrySource source{System::mac_os, 20,
                             [](const Path&, pid_t) { return powermetrics_telemetry(); }};
}  // namespace

}  // namespace hearth::lab
