#include "hearth/lab/run/watch.h"

#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "hearth/base/error.h"
#include "hearth/lab/measure/loops.h"
#include "hearth/lab/telemetry/files.h"

namespace hearth::lab {
namespace {

using Number = Reading<double>;

constexpr size_t kMostOfTree = 256;  // of a tree; more are others

std::vector<int> processors_of([[maybe_unused]] pid_t process) {
  std::vector<int> all;
#ifdef __linux__
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(process, sizeof set, &set) == 0)
    for (int i = 0; i < CPU_SETSIZE; ++i)
      if (CPU_ISSET(i, &set)) all.push_back(i);
#endif
  return all;
}

/// Of all its threads, also of those that have ended; 0 if the process is gone.
double cpu_seconds([[maybe_unused]] pid_t process) {
#ifdef __linux__
  clockid_t clock;
  timespec t{};
  if (clock_getcpuclockid(process, &clock) == 0 && clock_gettime(clock, &t) == 0)
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
#endif
  return 0;
}

double cpu_seconds(const rusage& use) {
  const auto s = [](const timeval& t) { return double(t.tv_sec) + 1e-6 * double(t.tv_usec); };
  return s(use.ru_utime) + s(use.ru_stime);
}

/// The number after `key` and a blank, in a line of its own.
Number number_after(const Number& all, const Reading<std::string>& text, std::string_view key,
                    double scale) {
  if (!text.value) return Number::missing(text.reason);
  std::string_view rest = *text.value;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    const auto words = words_of(line);
    if (words.size() >= 2 && words[0] == key)
      if (const auto n = number_of(words[1])) return all.value.value_or(0) + *n * scale;
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  return Number::missing(concat("there is no ", key));
}

/// Files of the cgroups that hold the process, from its own up to the highest that is seen here.
std::vector<std::string> cgroups_of(pid_t process, const std::filesystem::path& root) {
  std::vector<std::string> files;
  const auto text = read_text(root, concat("/proc/", process, "/cgroup"));
  std::string_view rest = text.value ? std::string_view(*text.value) : std::string_view();
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const size_t one = line.find(':'), two = line.find(':', one + 1);
    if (one == line.npos || two == line.npos) continue;
    const std::string_view kinds = line.substr(one + 1, two - one - 1);
    const bool of_cpu =
        kinds.empty() || kinds == "cpu" || kinds.starts_with("cpu,") || kinds.ends_with(",cpu");
    if (!of_cpu) continue;
    for (std::string path(line.substr(two + 1));; path.erase(path.rfind('/'))) {
      if (path == "/") path.clear();
      files.push_back(concat("/sys/fs/cgroup", kinds.empty() ? "" : "/", kinds, path, "/cpu.stat"));
      if (path.empty() || path.rfind('/') == path.npos) break;
    }
  }
  std::erase_if(files, [&](const std::string& file) { return !read_text(root, file).value; });
  return files;
}

double clock_now_mhz() {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kAdditions = 20'000;  // 5 us at 4 GHz; the fastest of four was not interrupted
  double best = 0;
  for (int i = 0; i < 4; ++i) {
    const auto start = Clock::now();
    if (!chain_of_adds(kAdditions)) return 0;
    const std::chrono::duration<double> took = Clock::now() - start;
    if (took.count() > 0) best = std::max(best, double(kAdditions) / took.count() * 1e-6);
  }
  return best;
}

}  // namespace

Watch::Watch(pid_t process, std::filesystem::path root)
    : process_(process),
      root_(std::move(root)),
      processors_(processors_of(process)),
      cgroups_(cgroups_of(process ? process : getpid(), root_)) {}

void Watch::look_at_processors(Account& account) {
  const auto text = read_text(root_, "/proc/stat");
  if (!text.value) {
    account.active_s = account.stolen_s = Number::missing(text.reason);
    return;
  }
  const double tick = 1.0 / double(sysconf(_SC_CLK_TCK));
  double active = 0, stolen = 0;
  int found = 0;
  std::string_view rest = *text.value;
  while (rest.starts_with("cpu")) {  // these lines come first
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const auto words = words_of(line);  // cpu3 user nice system idle iowait irq softirq steal ...
    const auto number = words.empty() ? std::nullopt : number_of(words[0].substr(3));
    if (!number || words.size() < 9 ||
        std::ranges::find(processors_, int(*number)) == processors_.end())
      continue;
    ++found;
    for (const size_t i : {1, 2, 3, 6, 7}) active += number_of(words[i]).value_or(0) * tick;
    stolen += number_of(words[8]).value_or(0) * tick;
  }
  if (found == 0) {
    account.active_s = account.stolen_s =
        Number::missing("/proc/stat has no line of the processors that it may run on");
    return;
  }
  account.active_s = active;
  account.stolen_s = stolen;
}

void Watch::look_at_tree(Account& account) {
  rusage ended{};
  getrusage(RUSAGE_CHILDREN, &ended);
  double own = cpu_seconds(getpid()) + cpu_seconds(ended);
  double waited = 0, switches = 0;
  std::string no_waits, no_switches;
  std::vector<pid_t> tree;
  if (process_ > 0) tree.push_back(process_);
  for (size_t i = 0; i < tree.size(); ++i) {
    own += cpu_seconds(tree[i]);
    const std::string folder = concat("/proc/", tree[i], "/task");
    const auto threads = list_names(root_, folder, "");
    if (!threads.value) {
      no_waits = no_switches = threads.reason;
      continue;
    }
    for (const std::string& thread : *threads.value) {
      const std::string at = folder + "/" + thread;
      const auto schedstat = read_text(root_, at + "/schedstat");  // ns on, ns waiting, slices
      const auto words = words_of(schedstat.value ? *schedstat.value : std::string_view());
      if (words.size() > 1)
        waited += number_of(words[1]).value_or(0) * 1e-9;
      else
        no_waits = schedstat.value ? at + "/schedstat has no times" : schedstat.reason;
      const auto involuntary =
          number_after(0.0, read_text(root_, at + "/status"), "nonvoluntary_ctxt_switches:", 1);
      if (involuntary.value)
        switches += *involuntary.value;
      else
        no_switches = involuntary.reason;
      const auto children = read_text(root_, at + "/children");
      for (const auto child : words_of(children.value ? *children.value : std::string_view()))
        if (const auto pid = number_of(child); pid && tree.size() < kMostOfTree)
          tree.push_back(pid_t(*pid));
    }
  }
  account.own_s = own;
  if (tree.empty()) no_waits = no_switches = "no process was looked at";
  account.waited_s = no_waits.empty() ? Number(waited) : Number::missing(no_waits);
  account.switches = no_switches.empty() ? Number(switches) : Number::missing(no_switches);
}

Watch::Account Watch::look() {
  Account now;
  look_at_processors(now);
  look_at_tree(now);
  now.throttled_s = Number::missing("no cgroup of it has a cpu.stat with a quota");
  for (const std::string& file : cgroups_) {
    const auto text = read_text(root_, file);
    for (const auto& [key, scale] : {std::pair("throttled_usec", 1e-6), {"throttled_time", 1e-9}})
      if (auto sum = number_after(now.throttled_s, text, key, scale); sum.value)
        now.throttled_s = sum;
  }
  const auto pressure = read_text(root_, "/proc/pressure/cpu");
  now.pressure_s =
      Number::missing(pressure.value ? "/proc/pressure/cpu has no total of some" : pressure.reason);
  if (pressure.value && pressure.value->starts_with("some ")) {
    const std::string_view all = *pressure.value;
    for (const auto word : words_of(all.substr(0, all.find('\n'))))
      if (word.starts_with("total="))
        if (const auto us = number_of(word.substr(6))) now.pressure_s = *us * 1e-6;
  }
  return now;
}

void Watch::begin() {
  clock_mhz_ = clock_now_mhz();
  before_ = look();
}

Disturbance Watch::end() {
  const Account after = look();
  Disturbance d;
  d.processors = std::max(1, int(processors_.size()));
  const auto grown = [&](const char* name, const Number& from, const Number& to) {
    std::optional<double> by;
    if (from.value && to.value)
      by = *to.value - *from.value;
    else
      unseen_.emplace(name, to.value ? from.reason : to.reason);
    return by;
  };
  d.others_s = grown("others_s", before_.active_s, after.active_s);
  // The accounts of a process are exact, those of processors in ticks: what is left can be below 0,
  // and is, half of the time, where nobody else runs. Over many executions it sums up to what it
  // is.
  if (d.others_s) *d.others_s -= *after.own_s.value - *before_.own_s.value;
  d.stolen_s = grown("stolen_s", before_.stolen_s, after.stolen_s);
  d.waited_s = grown("waited_s", before_.waited_s, after.waited_s);
  d.throttled_s = grown("throttled_s", before_.throttled_s, after.throttled_s);
  d.pressure_s = grown("pressure_s", before_.pressure_s, after.pressure_s);
  d.switches = grown("switches", before_.switches, after.switches);
  for (auto* by : {&d.stolen_s, &d.waited_s, &d.throttled_s, &d.pressure_s, &d.switches})
    if (*by && **by < 0) by->reset();  // a thread ended, or a counter went back
  if (clock_mhz_ > 0)
    d.clock_mhz = clock_mhz_;
  else
    unseen_.emplace("clock_mhz", "no chain of additions is written for this processor");
  return d;
}

}  // namespace hearth::lab
