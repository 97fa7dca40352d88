// Linux's own account of the processors: time spent, stolen and waited.
#include <algorithm>
#include <array>
#include <map>
#include <span>

#include "hearth/base/error.h"
#include "hearth/lab/telemetry/files.h"
#include "hearth/lab/telemetry/sources.h"

namespace hearth::lab {
namespace {

// A line of /proc/stat in ticks. A hypervisor's steal is not our work: it is busy for others.
struct Ticks {
  double active = 0, steal = 0, all = 0;
};

// "cpu  user nice system idle iowait irq softirq steal guest guest_nice"; guests' time is in user's
// already. Kernels before 2.6.11 end earlier.
std::optional<Ticks> ticks_of(std::span<const std::string_view> words) {
  if (words.size() < 5) return std::nullopt;
  Ticks t;
  for (size_t i = 1; i < std::min<size_t>(words.size(), 9); ++i) {
    const auto n = number_of(words[i]);
    if (!n || *n < 0) return std::nullopt;
    t.all += *n;
    if (i == 8)
      t.steal = *n;
    else if (i != 4 && i != 5)  // idle, and idle waiting for a disk
      t.active += *n;
  }
  return t;
}

class Proc : public FileTelemetry {
 public:
  explicit Proc(const Path& root)
      : FileTelemetry("proc", root,
                      {{"cpu_active_fraction", "fraction"}, {"cpu_steal_fraction", "fraction"}}) {
    for (const char* what : kPressures)
      fields_.push_back({concat("pressure_", what, "_fraction"), "fraction"});
    for (const auto& [name, ticks] : read().first)
      if (name != "cpu") {
        cores_.push_back(name);
        fields_.push_back({"cpu_active_fraction." + name.substr(3), "fraction"});
      }
  }

  std::vector<Reading<double>> sample(double now) override {
    auto [ticks, reason] = read();
    std::vector<Reading<double>> out;
    out.push_back(share(ticks, reason, "cpu", &Ticks::active));
    out.push_back(share(ticks, reason, "cpu", &Ticks::steal));
    for (size_t i = 0; i < kPressures.size(); ++i)
      out.push_back(pressure_[i].per_second(pressure(kPressures[i]), now));
    for (const auto& core : cores_) out.push_back(share(ticks, reason, core, &Ticks::active));
    before_ = std::move(ticks);
    return out;
  }

 private:
  using PerCore = std::map<std::string, Ticks>;
  static constexpr std::array kPressures = {"cpu", "memory", "io"};

  std::pair<PerCore, std::string> read() const {
    const auto text = read_text(root_, "/proc/stat");
    if (!text.value) return {{}, text.reason};
    PerCore found;
    std::string_view rest = *text.value;
    while (rest.starts_with("cpu")) {  // these lines come first
      const auto words = words_of(rest.substr(0, rest.find('\n')));
      if (const auto ticks = ticks_of(words)) found.emplace(words[0], *ticks);
      rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
    }
    if (found.empty()) return {{}, "/proc/stat has no line of a processor"};
    return {found, ""};
  }

  Reading<double> share(const PerCore& ticks, const std::string& reason, const std::string& core,
                        double Ticks::*part) const {
    const auto now = ticks.find(core), before = before_.find(core);
    if (now == ticks.end())
      return Reading<double>::missing(!reason.empty() ? reason : "/proc/stat has no " + core);
    if (before == before_.end()) return Reading<double>::missing("a rate needs a second sample");
    const double all = now->second.all - before->second.all;
    const double mine = now->second.*part - before->second.*part;
    if (all <= 0) return Reading<double>::missing("less than a tick of /proc/stat has passed");
    // Idle and iowait may go back by a little; a share is a share.
    return std::clamp(mine / all, 0.0, 1.0);
  }

  // "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345", in microseconds; here in seconds.
  Reading<double> pressure(const std::string& what) const {
    const std::string path = "/proc/pressure/" + what;
    const auto text = read_text(root_, path);
    if (!text.value) return Reading<double>::missing(text.reason);
    const std::string_view line = std::string_view(*text.value).substr(0, text.value->find('\n'));
    for (const auto word : words_of(line))
      if (line.starts_with("some ") && word.starts_with("total="))
        if (const auto total = number_of(word.substr(6)); total && *total >= 0)
          return *total * 1e-6;
    return Reading<double>::missing(path + " has no total of some");
  }

  std::vector<std::string> cores_;  // "cpu0", ... as there were at the start
  PerCore before_;
  std::array<Rate, kPressures.size()> pressure_;
};

}  // namespace

std::unique_ptr<Telemetry> proc_telemetry(const Path& root) { return std::make_unique<Proc>(root); }

namespace {
const TelemetrySource source{System::linux_os, 10,
                             [](const Path& root, pid_t) { return proc_telemetry(root); }};
}  // namespace

}  // namespace hearth::lab
