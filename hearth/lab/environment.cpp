// The machine as facts of a result, and its limits.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hearth/lab/probe.h"
#include "hearth/lab/runner.h"

namespace hearth::lab {

namespace {

template <class T>
Reading<std::string> as_text(const Reading<T>& reading) {
  if (!reading.value) return Reading<std::string>::missing(reading.reason);
  if constexpr (std::is_same_v<T, std::vector<std::string>>)
    return fmt::format("{}", fmt::join(*reading.value, " "));
  else
    return fmt::format("{}", *reading.value);
}

}  // namespace

void describe_machine(Result& result, bool limits) {
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
  if (!limits) return;
  const Machine machine = probe_machine();
  const auto limit = [&](const char* name, const char* unit, const Reading<Samples>& samples) {
    Ceiling c{name, "cpu", unit, "measured", {}};
    c.value = samples.value ? Reading<double>(samples.value->median)
                            : Reading<double>::missing(samples.reason);
    result.ceilings.push_back(std::move(c));
  };
  limit("read_bandwidth", "GB/s", machine.read_bandwidth.all_threads.gb_s);
  limit("flops_f32", "GFLOP/s", machine.fma_f32.all_threads);
  limit("flops_bf16", "GFLOP/s", machine.dot_bf16.all_threads);
  limit("clock", "MHz", machine.clock_mhz);
}

}  // namespace hearth::lab
