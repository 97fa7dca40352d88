#include "hearth/lab/run/environment.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "hearth/backend/pool.h"
#include "hearth/base/error.h"
#include "hearth/lab/judge/pairs.h"
#include "hearth/lab/measure/launch.h"
#include "hearth/lab/measure/limits.h"
#include "hearth/lab/run/watch.h"
#include "hearth/lab/telemetry/sources.h"
#include "hearth/lab/telemetry/telemetry.h"

namespace hearth::lab {

namespace {

template <class T>
Reading<std::string> as_text(const Reading<T>& reading, const char* separator = " ") {
  if (!reading.value) return Reading<std::string>::missing(reading.reason);
  if constexpr (std::is_same_v<T, std::vector<std::string>>)
    return fmt::format("{}", fmt::join(*reading.value, separator));
  else
    return fmt::format("{}", *reading.value);
}

std::string kind_of(const std::string& device) { return device.substr(0, device.find(':')); }

/// Kinds of devices other than the CPU that the engines are to run on.
std::set<std::string> gpus_of(const RunOptions& options, const std::atomic<bool>& interrupted) {
  std::set<std::string> kinds;
  for (const EngineSpec& spec : options.engines)
    if (spec.name != "openai" && spec.name != "server")  // their device is an address
      kinds.insert(kind_of(spec.device));
  if (kinds.erase("")) {  // an engine's own choice; hearth's is the GPU that it can measure
    try {
      Engine engine(parse_engine("hearth"), options.places, options.timeouts, &interrupted);
      kinds.insert(kind_of(engine.hello().device));
      engine.bye();
    } catch (const Interrupted&) {
      throw;
    } catch (const std::exception&) {  // no hearth, no limits
    }
  }
  kinds.erase("cpu");
  return kinds;
}

std::vector<Ceiling> limits_of(const std::string& gpu, const RunOptions& options,
                               const std::atomic<bool>& interrupted) {
  try {
    Engine engine(parse_engine("hearth:" + gpu), options.places, options.timeouts, &interrupted);
    engine.hello();
    auto limits = engine.limits();
    engine.bye();
    return limits;
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& error) {
    return {{"read_bandwidth", gpu, "GB/s", "not measured",
             Reading<double>::missing(concat("hearth cannot measure ", gpu, ": ", error.what()))}};
  }
}

// What processors and GPUs take while nothing is measured. NVML looks back a second, so the first
// of two does not count.
std::vector<Ceiling> idle_power(double period_s, const std::atomic<bool>& interrupted) {
  const auto begin = Sampler::Clock::now();
  Sampler sampler(find_telemetry(), period_s, begin);
  while (Sampler::Clock::now() < begin + std::chrono::seconds(2)) {
    if (interrupted) throw Interrupted();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  const Timeline timeline = sampler.stop();
  std::vector<Ceiling> all;
  for (const auto& [name, device] : {std::pair("cpu_power_w", "cpu"),
                                     {"gpu_counted_power_w", "cuda"},
                                     {"gpu_power_w", "mps"},
                                     {"gpu_power_w", "metal"}}) {
    const Channel* channel = timeline.find(name);
    const bool of_mac = device != std::string_view("cuda") && device != std::string_view("cpu");
    if (!channel || (of_mac && channel->source == "nvml")) continue;
    double sum = 0;
    int n = 0;
    for (size_t i = 0; i < timeline.time_s.size(); ++i)
      if (timeline.time_s[i] > 1 && channel->values[i]) sum += *channel->values[i], ++n;
    all.push_back({"idle_power", device, "W", "measured before the run",
                   n > 0
                       ? Reading<double>(sum / n)
                       : Reading<double>::missing(channel->reason.empty() ? "no sample in a second"
                                                                          : channel->reason)});
  }
  return all;
}

// As probe_machine() measures it for all threads: what other programs measure too.
Samples read_bandwidth(int threads, const std::function<void()>& look) {
  const ReadBuffer buffer(Pages::plain, ReadBuffer::usual_bytes(), look);
  const Bytes memory[] = {buffer.bytes()};
  return measure_read_bandwidth(memory, threads, 0.4, Walk::forward, Share::own).gb_s;
}

/// What the processors can do, now, and what others took of them meanwhile.
std::vector<Ceiling> processor_limits(std::string_view moment,
                                      const std::atomic<bool>& interrupted) {
  std::vector<Ceiling> all;
  Watch watch(0);
  const auto look = [&] {  // each limit takes half a second or so
    if (interrupted) throw Interrupted();
  };
  const auto limit = [&](const char* name, const char* unit, auto&& measure) {
    const auto begin = Clock::now();
    watch.begin();
    const Reading<double> value = measure();
    const Disturbance d = watch.end();
    const double s = std::chrono::duration<double>(Clock::now() - begin).count() * d.processors;
    Ceiling c{name, "cpu", unit, concat("measured ", moment), value};
    if (d.others_s)
      c.others = std::clamp((*d.others_s + d.stolen_s.value_or(0)) / s, 0.0, 1.0);
    else
      c.others = Reading<double>::missing(watch.unseen().at("others_s"));
    all.push_back(std::move(c));
    look();
  };
  const auto median_of = [](const Reading<Samples>& samples) {
    return samples.value ? Reading<double>(samples.value->median)
                         : Reading<double>::missing(samples.reason);
  };
  const int threads = cpu::threads();
  limit("read_bandwidth", "GB/s",
        [&] { return Reading<double>(read_bandwidth(threads, look).median); });
  limit("flops_f32", "GFLOP/s", [&] { return median_of(measure_peak(Unit::f32, threads)); });
  limit("flops_bf16", "GFLOP/s", [&] { return median_of(measure_peak_bf16(threads)); });
  limit("clock", "MHz", [&] { return median_of(measure_clock_mhz()); });
  limit("launch", "us", [&] { return median_of(measure_launch(Device::cpu).evaluated_us); });
  limit("launch_replayed", "us",
        [&] { return median_of(measure_launch(Device::cpu).replayed_us); });
  return all;
}

// What makers state, beside what is measured: of a GPU by its memory's clock and width.
void state_bandwidth(Result& result, const RunOptions& options) {
  std::map<std::string, int> kinds = {{"cpu", 0}};  // and the number of the first of a kind
  for (const EngineSpec& spec : options.engines)
    if (spec.device.starts_with("cuda"))
      kinds.emplace("cuda", spec.device.size() > 5 ? std::atoi(spec.device.c_str() + 5) : 0);
  for (const auto& [kind, index] : kinds)
    result.ceilings.push_back(
        {"nominal_bandwidth", kind, "GB/s", "stated by the memory's clock and width",
         kind == "cuda" ? nvml_nominal_gb_s(index, options.nvml)
                        : Reading<double>::missing(
                              "the system does not show its memory's channels and their rate")});
}

}  // namespace

std::vector<Ceiling> limits_of_gpus(const RunOptions& options,
                                    const std::atomic<bool>& interrupted) {
  std::vector<Ceiling> all;
  for (const std::string& gpu : gpus_of(options, interrupted))
    for (Ceiling& c : limits_of(gpu, options, interrupted)) all.push_back(std::move(c));
  return all;
}

void describe_machine(Result& result, const RunOptions& options,
                      const std::atomic<bool>& interrupted) {
  const Facts facts = read_facts();
  auto& to = result.environment;
  to.push_back({"processor", as_text(facts.processor)});
  to.push_back({"cores", as_text(facts.cores)});
  to.push_back({"hardware_threads", as_text(facts.hardware_threads)});
  to.push_back({"usable_threads", as_text(facts.usable_threads)});
  to.push_back({"instruction_sets", as_text(facts.instruction_sets)});
  to.push_back({"memory_total_bytes", as_text(facts.memory_total_bytes)});
  to.push_back({"memory_available_bytes", as_text(facts.memory_available_bytes)});
  to.push_back({"numa_nodes", as_text(facts.numa_nodes)});
  to.push_back({"huge_pages", as_text(facts.huge_pages)});
  to.push_back({"os", as_text(facts.os)});
  to.push_back({"kernel", as_text(facts.kernel)});
  to.push_back({"hypervisor", as_text(facts.hypervisor)});
  to.push_back({"governor", as_text(facts.governor)});
  to.push_back({"clock_max_mhz", as_text(facts.clock_max_mhz)});
  to.push_back({"power_source", as_text(facts.power_source)});
  to.push_back({"gpus", as_text(facts.gpus, ", ")});
  to.push_back({"gpu_driver", as_text(facts.gpu_driver)});
  state_bandwidth(result, options);
  if (!options.limits) return;
  if (options.telemetry_period_s > 0)
    for (Ceiling& c : idle_power(options.telemetry_period_s, interrupted))
      result.ceilings.push_back(std::move(c));
  for (Ceiling& c : processor_limits("before", interrupted))
    result.ceilings.push_back(std::move(c));
  for (Ceiling& c : limits_of_gpus(options, interrupted)) result.ceilings.push_back(std::move(c));
}

void measure_limits_again(Result& result, std::string_view moment,
                          const std::atomic<bool>& interrupted) {
  for (Ceiling& now : processor_limits(moment, interrupted)) {
    const auto same = std::ranges::find_if(result.ceilings, [&](const Ceiling& c) {
      return c.name == now.name && c.device == now.device && c.source.starts_with("measured");
    });
    if (same == result.ceilings.end() || !now.value.value || now.name == "clock") continue;
    const double before = same->others.value.value_or(0), after = now.others.value.value_or(0);
    const bool less_is_more = now.unit == "us";
    const bool further =
        same->value.value && (less_is_more ? *now.value.value < *same->value.value
                                           : *now.value.value > *same->value.value);
    if (!same->value.value || (before > kFew ? after < before : after <= kFew && further))
      *same = std::move(now);
  }
}

}  // namespace hearth::lab
