#include "hearth/lab/show/probe_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

namespace hearth::lab {
namespace {

using nlohmann::json;

// Writes values under dotted keys ("a.b" is b in a); a missing one as null, its reason beside.
struct Writer {
  json root = json::object(), reasons = json::object();

  static json::json_pointer pointer(std::string key) {
    for (char& c : key)
      if (c == '.') c = '/';
    return json::json_pointer("/" + key);
  }
  void put(const std::string& key, json value) { root[pointer(key)] = std::move(value); }
  template <class T>
  void put(const std::string& key, const Reading<T>& reading) {
    if (reading.value) return put(key, *reading.value);
    put(key, json());
    reasons[key] = reading.reason;
  }
  // The median under its key, the rest under "spread".
  void put(const std::string& key, const Samples& samples) {
    put(key, json(samples.median));
    put("spread." + key,
        json{{"min", samples.min}, {"max", samples.max}, {"samples", samples.all.size()}});
  }
};

}  // namespace

void to_json(json& out, const Cache& cache) {
  out = {{"level", cache.level},
         {"kind", cache.kind},
         {"bytes", cache.bytes},
         {"instances", cache.instances}};
}

json to_json(const Machine& machine) {
  const Facts& facts = machine.facts;
  Writer w;
  w.put("processor", facts.processor);
  w.put("cores", facts.cores);
  w.put("hardware_threads", facts.hardware_threads);
  w.put("usable_threads", facts.usable_threads);
  w.put("caches", facts.caches);
  w.put("instruction_sets", facts.instruction_sets);
  w.put("memory_total_bytes", facts.memory_total_bytes);
  w.put("memory_available_bytes", facts.memory_available_bytes);
  w.put("numa_nodes", facts.numa_nodes);
  w.put("huge_pages", facts.huge_pages);
  w.put("os", facts.os);
  w.put("kernel", facts.kernel);
  w.put("hypervisor", facts.hypervisor);
  w.put("governor", facts.governor);
  w.put("clock_max_mhz", facts.clock_max_mhz);
  w.put("power_source", facts.power_source);
  w.put("gpus", facts.gpus);
  w.put("gpu_driver", facts.gpu_driver);
  w.put("threads", json(machine.threads));
  w.put("clock_mhz", machine.clock_mhz);
  w.put("counter_mhz", machine.counter_mhz);
  w.put("read_bandwidth_gb_s.one_thread", machine.read_bandwidth.one_thread.gb_s);
  w.put("read_bandwidth_gb_s.all_threads", machine.read_bandwidth.all_threads.gb_s);
  w.put("read_bandwidth_best_gb_s.one_thread", machine.read_bandwidth_best.one_thread.gb_s);
  w.put("read_bandwidth_best_gb_s.all_threads", machine.read_bandwidth_best.all_threads.gb_s);
  for (const Unit unit : kUnits) {
    const std::string key = fmt::format("fma_peak_gflop_s.{}", to_string(unit));
    w.put(key + ".one_thread", machine.peaks[size_t(unit)].one_thread);
    w.put(key + ".all_threads", machine.peaks[size_t(unit)].all_threads);
  }
  w.put("matmul_gflop_s.f32", machine.matmul.f32);
  w.put("matmul_gflop_s.f16", machine.matmul.f16);
  w.put("matmul_gflop_s.bf16", machine.matmul.bf16);
  for (const auto& [device, clock_mhz, launch] : machine.devices) {
    if (device != Device::cpu) w.put("device_clock_mhz." + to_string(device), clock_mhz);
    w.put("launch_us." + to_string(device) + ".evaluated", launch.evaluated_us);
    w.put("launch_us." + to_string(device) + ".replayed", launch.replayed_us);
  }
  w.put("not_idle", json(contradictions(machine)));
  w.put("reasons", w.reasons);
  return w.root;
}

namespace {

// Lines of a label and a value; what is missing is gathered for the end.
struct Page {
  std::string lines, missing;

  template <class T>
  std::string show(const std::string& what, const Reading<T>& reading) {
    if (reading.value) return fmt::format("{}", *reading.value);
    missing += fmt::format("  {}: {}\n", what, reading.reason);
    return "unknown";
  }
  void line(std::string_view label, const std::string& value) {
    lines += fmt::format("{:<18}{}\n", label, value);
  }
};

std::string bytes(int64_t n) {
  if (n < 1 << 20) return fmt::format("{} KiB", n >> 10);
  if (n < 1 << 30) return fmt::format("{} MiB", n >> 20);
  return fmt::format("{:.1f} GiB", double(n) / (1 << 30));
}

Reading<std::string> bytes(const Reading<int64_t>& reading) {
  if (!reading.value) return Reading<std::string>::missing(reading.reason);
  return bytes(*reading.value);
}

Reading<std::string> mhz(const Reading<double>& reading) {
  if (!reading.value) return Reading<std::string>::missing(reading.reason);
  return fmt::format("{:.0f} MHz", *reading.value);
}

Reading<std::string> list(const Reading<std::vector<Cache>>& caches) {
  if (!caches.value) return Reading<std::string>::missing(caches.reason);
  std::string text;
  for (const Cache& cache : *caches.value)
    text += fmt::format("{}L{} {} {} x {}", text.empty() ? "" : ", ", cache.level, cache.kind,
                        cache.instances, bytes(cache.bytes));
  return text;
}

std::string median(const Reading<Samples>& samples) {
  return samples.value ? fmt::format("{:.1f}", samples.value->median) : "-";
}

std::string row(std::string_view what, const Reading<Samples>& one, const Reading<Samples>& all) {
  return fmt::format(
      "{:<32}{:>12}{:>12}{:>20}\n", what, median(one), median(all),
      all.value ? fmt::format("{:.1f} to {:.1f}", all.value->min, all.value->max) : "");
}

}  // namespace

std::string to_text(const Machine& machine) {
  const Facts& facts = machine.facts;
  Page p;
  p.line("processor", p.show("processor", facts.processor));
  p.line("cores",
         fmt::format("{}, hardware threads {}, usable here {}", p.show("cores", facts.cores),
                     p.show("hardware threads", facts.hardware_threads),
                     p.show("usable threads", facts.usable_threads)));
  p.line("caches", p.show("caches", list(facts.caches)));
  p.line("instruction sets", facts.instruction_sets.value
                                 ? fmt::format("{}", fmt::join(*facts.instruction_sets.value, " "))
                                 : p.show("instruction sets", facts.instruction_sets));
  p.line("memory", fmt::format("{}, available {}, NUMA nodes {}, huge pages {}",
                               p.show("memory", bytes(facts.memory_total_bytes)),
                               p.show("available memory", bytes(facts.memory_available_bytes)),
                               p.show("NUMA nodes", facts.numa_nodes),
                               p.show("huge pages", facts.huge_pages)));
  p.line("system",
         fmt::format("{}, kernel {}, hypervisor {}", p.show("system", facts.os),
                     p.show("kernel", facts.kernel), p.show("hypervisor", facts.hypervisor)));
  const auto& clock = machine.clock_mhz;
  p.line(
      "clock",
      fmt::format("{}, stated maximum {}, counter {}, governor {}",
                  clock.value ? fmt::format("{:.0f} MHz ({:.0f} to {:.0f})", clock.value->median,
                                            clock.value->min, clock.value->max)
                              : "unknown",
                  p.show("stated maximum clock", mhz(facts.clock_max_mhz)),
                  p.show("counter", mhz(machine.counter_mhz)), p.show("governor", facts.governor)));
  if (!clock.value) p.missing += fmt::format("  clock: {}\n", clock.reason);

  p.line("power", p.show("power source", facts.power_source));
  if (facts.gpus.value)
    p.line("GPUs", fmt::format("{}, driver {}", fmt::join(*facts.gpus.value, ", "),
                               p.show("driver", facts.gpu_driver)));

  const auto& read = machine.read_bandwidth;
  p.lines += fmt::format("\n{:<32}{:>12}{:>12}{:>20}\n", "median", "one thread",
                         fmt::format("{} threads", machine.threads), "(min to max)");
  p.lines += row("memory read, GB/s", read.one_thread.gb_s, read.all_threads.gb_s);
  const auto& best = machine.read_bandwidth_best;
  p.lines += row("fastest read found, GB/s", best.one_thread.gb_s, best.all_threads.gb_s);
  for (const Unit unit : kUnits) {
    const auto& [one, all] = machine.peaks[size_t(unit)];
    p.lines += row(label(unit), one, all);
    if (!all.value) p.missing += fmt::format("  {}: {}\n", label(unit), all.reason);
  }
  const auto none = Reading<Samples>::missing("");
  p.lines += row("matmul f32, GFLOP/s", none, machine.matmul.f32);
  p.lines += row("matmul f16, GFLOP/s", none, machine.matmul.f16);
  p.lines += row("matmul bf16, GFLOP/s", none, machine.matmul.bf16);
  for (const auto& [device, clock_mhz, launch] : machine.devices) {
    const std::string name = to_string(device);
    if (device != Device::cpu) {
      p.lines += row("clock of " + name + ", MHz", none, clock_mhz);
      if (!clock_mhz.value) p.missing += fmt::format("  clock of {}: {}\n", name, clock_mhz.reason);
    }
    p.lines += row("launch on " + name + ", us", none, launch.evaluated_us);
    p.lines += row("launch replayed on " + name + ", us", none, launch.replayed_us);
    for (const auto& reading : {launch.evaluated_us, launch.replayed_us})
      if (!reading.value) p.missing += fmt::format("  launch on {}: {}\n", name, reading.reason);
  }
  if (const auto busy = contradictions(machine); !busy.empty())
    p.lines += fmt::format(
        "\nThe machine was not idle: {}.\nThese are not its limits; measure again "
        "when nothing else runs.\n",
        fmt::join(busy, "; "));
  return p.missing.empty() ? p.lines : p.lines + "\nunknown, and why\n" + p.missing;
}

}  // namespace hearth::lab
