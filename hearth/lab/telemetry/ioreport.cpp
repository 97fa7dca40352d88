// What IOReport's channels mean. docs/lab.md has the traps.
#include "hearth/lab/telemetry/ioreport.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <tuple>

#include "hearth/base/error.h"
#include "hearth/lab/telemetry/samples.h"
#include "hearth/lab/telemetry/sources.h"

namespace hearth::lab {
namespace {

using Number = Reading<double>;
using Table = Reading<std::vector<double>>;

bool all_of(std::string_view text, std::string_view allowed) {
  return text.find_first_not_of(allowed) == text.npos;
}

std::span<const IoChannel> all_in(const IoReport::Channels& channels) {
  if (!channels.value) return {};
  return *channels.value;
}

bool resting(std::string_view state) {
  return state == "IDLE" || state == "DOWN" || state == "OFF";
}

// "DIE_1_PCPU0" as "PCPU0", and the die. Ultras prefix all their channels.
std::pair<std::string_view, int> without_die(std::string_view name) {
  if (!name.starts_with("DIE_")) return {name, 0};
  const size_t end = name.find('_', 4);
  int die = 0;
  if (end == name.npos ||
      std::from_chars(name.data() + 4, name.data() + end, die).ptr != name.data() + end)
    return {name, 0};
  return {name.substr(end + 1), die};
}

// The time of some channels in their states, summed.
struct Activity {
  double active = 0, all = 0, cycles = 0;  // cycles: time times MHz
  std::string no_clock, none;              // why there is no clock, and nothing at all

  void add(const IoChannel& channel, const Table& clocks) {
    if (channel.states.empty()) none = concat("IOReport's ", channel.name, " has no states");
    if (!clocks.value) no_clock = clocks.reason;
    size_t nth = 0;  // of the states that are not of rest: the clocks are in their order
    for (const auto& [state, ticks] : channel.states) {
      if (ticks < 0) none = concat("IOReport's ", channel.name, " went back");
      all += double(ticks);
      if (resting(state)) continue;
      active += double(ticks);
      if (clocks.value && nth < clocks.value->size())
        cycles += double(ticks) * (*clocks.value)[nth];
      else if (clocks.value && ticks > 0)  // GPUPH has P1 to P15 where the table has 6
        no_clock =
            concat("IOReport's ", channel.name, " was in ", state, ", of which the table of ",
                   clocks.value->size(), " clocks has none of it");
      ++nth;
    }
    if (clocks.value && nth < clocks.value->size())
      no_clock = concat("IOReport's ", channel.name, " has ", nth, " states, the table ",
                        clocks.value->size(), " clocks");
  }
  Number fraction() const {
    if (!none.empty()) return Number::missing(none);
    if (all <= 0) return Number::missing("no time has passed since the last sample");
    return active / all;
  }
  Number clock() const {
    if (!none.empty()) return Number::missing(none);
    if (!no_clock.empty()) return Number::missing(no_clock);
    if (active <= 0) return Number::missing("it was not active");
    return cycles / active;
  }
};

// The tables of clocks, by kind of core. Up to the M4 they are at fixed places; later chips list
// their clusters in acc-clusters: 8 bytes each, the number of the table first, then the tier, which
// is higher for faster cores.
std::map<char, Table> cpu_tables(const IoReport& io, const std::set<char>& tiers) {
  const auto table = [&](const std::string& property) {
    const auto bytes = io.power_manager(property);
    return bytes.value ? clock_table(*bytes.value) : Table::missing(bytes.reason);
  };
  std::map<char, Table> tables;
  if (!tiers.contains('M')) {
    tables['E'] = table("voltage-states1-sram");
    tables['P'] = table("voltage-states5-sram");
  }
  std::map<uint8_t, uint8_t> listed;  // tier, and its table
  if (const auto bytes = io.power_manager("acc-clusters"); bytes.value)
    for (size_t i = 0; i + 8 <= bytes.value->size(); i += 8)
      listed.emplace((*bytes.value)[i + 1], (*bytes.value)[i]);
  size_t nth = 0;
  auto entry = listed.begin();
  for (const char tier : tiers) {  // by their letters, E M P: the slowest first, as in the list
    Table& one = tables.try_emplace(tier, Table::missing("")).first->second;
    if (!one.value && listed.size() == tiers.size())
      one = table(concat("voltage-states", int(std::next(entry, long(nth))->second), "-sram"));
    else if (!one.value && one.reason.empty())
      one = Table::missing(concat("pmgr has no table of clocks for ", tier, " cores"));
    ++nth;
  }
  return tables;
}

// Sums joules over the channels that `wanted` says yes to.
template <class F>
Number joules(const IoReport::Channels& energy, const char* what, F&& wanted) {
  if (!energy.value) return Number::missing(energy.reason);
  auto sum = Number::missing(concat("IOReport counts no energy of ", what));
  for (const IoChannel& channel : *energy.value) {
    if (!wanted(without_die(channel.name).first)) continue;
    const Number one = joules_of(channel);
    if (!one.value) return one;
    sum = sum.value.value_or(0) + *one.value;
  }
  return sum;
}

// "ANE", "ANE0", "ANE0_1": not "ANE0 SRAM".
bool numbered(std::string_view name, std::string_view part) {
  return name.starts_with(part) && all_of(name.substr(part.size()), "0123456789_");
}

class IoReportTelemetry : public Telemetry {
 public:
  explicit IoReportTelemetry(const IoReportLibraries& libraries) : io_(libraries) {
    io_.take();
    const IoReport::Sample first = io_.take();  // shows which channels there are
    fields_ = {{"cpu_power_w", "W"},
               {"gpu_power_w", "W"},
               {"ane_power_w", "W"},
               {"memory_power_w", "W"},
               {"gpu_clock_mhz", "MHz"},
               {"gpu_clock_max_mhz", "MHz"},
               {"gpu_active_fraction", "fraction"}};
    const auto bytes = io_.power_manager("voltage-states9");
    gpu_clocks_ = bytes.value ? clock_table(*bytes.value) : Table::missing(bytes.reason);
    for (const IoChannel& channel : all_in(first.gpu))
      if (channel.name == "GPUPH") gpu_states_ = channel.states;
    for (size_t i = 0; i < gpu_states_.size(); ++i)
      fields_.push_back({state_field("gpu_states", i, gpu_states_[i].first), "fraction"});
    fields_.push_back({"cpu_clock_mhz", "MHz"});
    fields_.push_back({"cpu_active_fraction", "fraction"});
    find_clusters(first.cpu);
    for (const Cluster& cluster : clusters_) {
      fields_.push_back({"cpu_clock_mhz." + cluster.name, "MHz"});
      fields_.push_back({"cpu_active_fraction." + cluster.name, "fraction"});
    }
  }

  std::string_view source() const override { return "ioreport"; }
  const std::vector<Field>& fields() const override { return fields_; }

  std::vector<Number> sample(double now) override {
    const IoReport::Sample sample = io_.take();
    const auto before = std::exchange(last_, now);
    std::vector<Number> out;
    if (!before || now <= *before) {
      const auto none = Number::missing(!io_.reason().empty() ? io_.reason()
                                        : !before             ? "a rate needs a second sample"
                                                  : "no time has passed since the last sample");
      out.assign(fields_.size(), none);
      return out;
    }
    add_powers(sample.energy, now - *before, out);
    add_gpu(sample.gpu, out);
    add_cpu(sample.cpu, out);
    return out;
  }

 private:
  using Place = std::tuple<char, int, int>;  // tier, die, cluster
  struct Cluster {
    Place place;
    std::string name;
  };

  static Place place_of(const IoCore& core) { return {core.tier, core.die, core.cluster}; }

  // Named as powermetrics names them: "E-Cluster" if it is the only one, "P0-Cluster" if not.
  void find_clusters(const IoReport::Channels& cpu) {
    std::set<Place> places;
    std::set<char> tiers;
    for (const IoChannel& channel : all_in(cpu))
      if (const IoCore core = core_of(channel.name); core.tier && places.size() < 256) {
        places.insert(place_of(core));
        tiers.insert(core.tier);
      }
    std::map<char, int> count, nth;
    for (const Place& place : places) ++count[std::get<0>(place)];
    for (const Place& place : places) {
      const char tier = std::get<0>(place);
      const std::string number = count[tier] > 1 ? std::to_string(nth[tier]++) : "";
      clusters_.push_back({place, concat(tier, number, "-Cluster")});
    }
    cpu_clocks_ = cpu_tables(io_, tiers);
  }

  void add_powers(const IoReport::Channels& energy, double seconds, std::vector<Number>& out) {
    const Number parts[] = {
        joules(energy, "the processors", [](auto name) { return name.ends_with("CPU Energy"); }),
        joules(energy, "the neural engine", [](auto name) { return numbered(name, "ANE"); }),
        joules(energy, "memory", [](auto name) { return numbered(name, "DRAM"); })};
    const Number gpu = joules(energy, "the GPU", [](auto name) { return name == "GPU Energy"; });
    // macOS 27 brings all but the GPU's up to date every 2 s only. Until then there is no power,
    // and then it is that of the whole time.
    pending_s_ += seconds;
    const bool stale = parts[0].value && *parts[0].value == 0;
    Number watts[3];
    for (size_t i = 0; i < 3; ++i) {
      pending_j_[i] += parts[i].value.value_or(0);
      watts[i] = !parts[i].value ? parts[i]
                 : stale ? Number::missing("IOReport's energy is of the sample before still")
                         : Number(pending_j_[i] / pending_s_);
      if (!stale) pending_j_[i] = 0;
    }
    if (!stale) pending_s_ = 0;
    out.push_back(watts[0]);
    out.push_back(gpu.value ? Number(*gpu.value / seconds) : gpu);
    out.push_back(watts[1]);
    out.push_back(watts[2]);
  }

  void add_gpu(const IoReport::Channels& gpu, std::vector<Number>& out) const {
    Activity activity;
    const decltype(gpu_states_)* states = nullptr;
    activity.none = gpu.value ? "IOReport has no GPUPH" : gpu.reason;
    for (const IoChannel& channel : all_in(gpu))
      if (channel.name == "GPUPH") {
        activity.none.clear();
        activity.add(channel, gpu_clocks_);
        if (channel.states.size() != gpu_states_.size())
          activity.none = "its states are others now";
        states = &channel.states;
      }
    out.push_back(activity.clock());
    out.push_back(gpu_clocks_.value ? Number(gpu_clocks_.value->back())
                                    : Number::missing(gpu_clocks_.reason));
    const Number active = activity.fraction();
    out.push_back(active);
    for (size_t i = 0; i < gpu_states_.size(); ++i)
      out.push_back(active.value ? Number(double((*states)[i].second) / activity.all) : active);
  }

  void add_cpu(const IoReport::Channels& cpu, std::vector<Number>& out) const {
    Activity all;
    std::map<Place, Activity> parts;
    if (!cpu.value) all.none = cpu.reason;
    for (const IoChannel& channel : all_in(cpu)) {
      const IoCore core = core_of(channel.name);
      const auto clocks = cpu_clocks_.find(core.tier);
      if (!core.tier || clocks == cpu_clocks_.end()) continue;
      all.add(channel, clocks->second);
      parts[place_of(core)].add(channel, clocks->second);
    }
    out.push_back(all.clock());
    out.push_back(all.fraction());
    for (const Cluster& cluster : clusters_) {
      Activity& part = parts[cluster.place];
      if (!cpu.value) part.none = cpu.reason;
      out.push_back(part.clock());
      out.push_back(part.fraction());
    }
  }

  IoReport io_;
  std::vector<Field> fields_;
  Table gpu_clocks_;
  std::vector<std::pair<std::string, int64_t>> gpu_states_;  // their names, of the first sample
  std::map<char, Table> cpu_clocks_;
  std::vector<Cluster> clusters_;
  std::optional<double> last_;
  double pending_j_[3] = {}, pending_s_ = 0;
};

}  // namespace

Table clock_table(std::span<const uint8_t> bytes) {
  std::vector<double> clocks;
  for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    const uint32_t clock = uint32_t(bytes[i]) | uint32_t(bytes[i + 1]) << 8 |
                           uint32_t(bytes[i + 2]) << 16 | uint32_t(bytes[i + 3]) << 24;
    if (clock > 1) clocks.push_back(clock);
  }
  if (clocks.empty()) return Table::missing("the table of clocks is empty");
  if (!std::ranges::is_sorted(clocks)) return Table::missing("the table of clocks does not ascend");
  // No clock is below 100 MHz or above 100 GHz.
  const double most = clocks.back();
  if (most < 1e5) return Table::missing("the table of clocks is neither in Hz nor in kHz");
  for (double& clock : clocks) clock *= most >= 1e8 ? 1e-6 : 1e-3;
  return clocks;
}

IoCore core_of(std::string_view channel) {
  const auto [name, die] = without_die(channel);
  if (name.size() < 4 || name[0] < 'A' || name[0] > 'Z' || name.substr(1, 3) != "CPU") return {};
  const std::string_view rest = name.substr(4);
  const size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
  const bool numbers_core = rest.substr(digits).starts_with("_CPU");  // then the first is of the
  if (digits < rest.size() && !numbers_core) return {};               // cluster
  IoCore core{name[0], die, 0};
  if (numbers_core && digits > 2) return {};
  if (numbers_core || digits == 3)
    std::from_chars(rest.data(), rest.data() + (numbers_core ? digits : 1), core.cluster);
  return core;
}

Number joules_of(const IoChannel& channel) {
  const double scale = channel.unit == "mJ"   ? 1e-3
                       : channel.unit == "uJ" ? 1e-6
                       : channel.unit == "nJ" ? 1e-9
                                              : 0;
  if (scale == 0)
    return Number::missing(
        concat("IOReport's ", channel.name, " is in '", channel.unit, "', not mJ, uJ or nJ"));
  if (channel.value < 0) return Number::missing(concat("IOReport's ", channel.name, " went back"));
  return double(channel.value) * scale;
}

std::unique_ptr<Telemetry> ioreport_telemetry(const IoReportLibraries& libraries) {
  return std::make_unique<IoReportTelemetry>(libraries);
}

namespace {
const TelemetrySource source{
    System::mac_os, 10, [](const Path&, pid_t) {
      return ioreport_telemetry();  // before powermetrics: it is sampled when we ask
    }};
}  // namespace

}  // namespace hearth::lab
