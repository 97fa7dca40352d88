#include "hearth/lab/measure/machine.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <tuple>

#include "hearth/base/error.h"
#include "hearth/base/system.h"
#include "hearth/base/trimmed.h"

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace hearth::lab {
namespace {

namespace fs = std::filesystem;
using Text = std::optional<std::string>;

// A small system file, trimmed; nothing if it cannot be read.
Text slurp(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (!in || !(text << in.rdbuf())) return std::nullopt;
  return std::string(trimmed(text.str()));
}

std::optional<int64_t> number(const std::string& text) {
  int64_t value;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data() || value < 0) return std::nullopt;
  return value;
}

// "key : value" lines in their order, as in /proc/cpuinfo and /proc/meminfo.
std::vector<std::pair<std::string, std::string>> fields(const std::string& text, char separator) {
  std::vector<std::pair<std::string, std::string>> found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (size_t at = line.find(separator); at != std::string::npos)
      found.emplace_back(trimmed(line.substr(0, at)), trimmed(line.substr(at + 1)));
  return found;
}

Text field(const Text& text, char separator, const std::string& key) {
  if (text)
    for (auto& [name, value] : fields(*text, separator))
      if (name == key && !value.empty()) return value;
  return std::nullopt;
}

std::set<std::string> words(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

// Folders of `parent` named prefix0, prefix1, ...
std::vector<fs::path> numbered(const fs::path& parent, const std::string& prefix) {
  std::vector<fs::path> found;
  std::error_code error;
  for (auto& entry : fs::directory_iterator(parent, error)) {
    std::string name = entry.path().filename();
    if (name.starts_with(prefix) && name.size() > prefix.size() &&
        name.find_first_not_of("0123456789", prefix.size()) == std::string::npos)
      found.push_back(entry.path());
  }
  return found;
}

Reading<std::string> processor(const Text& cpuinfo) {
  if (!cpuinfo) return Reading<std::string>::missing("/proc/cpuinfo cannot be read");
  if (Text name = field(cpuinfo, ':', "model name")) return *name;
  // ARM names a processor by two numbers (and Linux does not translate them).
  Text maker = field(cpuinfo, ':', "CPU implementer"), part = field(cpuinfo, ':', "CPU part");
  if (maker && part) return "ARM implementer " + *maker + " part " + *part;
  return Reading<std::string>::missing("/proc/cpuinfo names no processor");
}

Reading<int> cores(const fs::path& root) {
  std::set<std::string> siblings;  // each core, named by its hardware threads: "0,8"
  for (auto& cpu : numbered(root / "sys/devices/system/cpu", "cpu"))
    if (Text list = slurp(cpu / "topology/thread_siblings_list"); list && !list->empty())
      siblings.insert(*list);
  if (siblings.empty()) return Reading<int>::missing("/sys/devices/system/cpu has no topology");
  return int(siblings.size());
}

Reading<int> hardware_threads(const Text& cpuinfo) {
  int count = 0;
  if (cpuinfo)
    for (auto& [name, value] : fields(*cpuinfo, ':')) count += name == "processor";
  if (count == 0) return Reading<int>::missing("/proc/cpuinfo lists no processors");
  return count;
}

Reading<int> usable_threads() {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
#endif
  return Reading<int>::missing("the system does not show a process's processors");
}

Reading<std::vector<Cache>> caches(const fs::path& root) {
  // Every hardware thread lists the caches it uses; a shared one is listed by each that shares it.
  std::map<std::tuple<int64_t, std::string, int64_t>, std::set<std::string>> users;
  for (auto& cpu : numbered(root / "sys/devices/system/cpu", "cpu"))
    for (auto& index : numbered(cpu / "cache", "index")) {
      Text level = slurp(index / "level"), kind = slurp(index / "type"),
           size = slurp(index / "size"), shared = slurp(index / "shared_cpu_list");
      if (!level || !kind || !size || !shared || !number(*level) || !number(*size)) continue;
      int64_t bytes = *number(*size);
      if (size->ends_with('K')) bytes <<= 10;
      if (size->ends_with('M')) bytes <<= 20;
      std::ranges::transform(*kind, kind->begin(), [](char c) { return std::tolower(c); });
      users[{*number(*level), *kind, bytes}].insert(*shared);
    }
  std::vector<Cache> all;
  for (auto& [cache, lists] : users) {
    auto& [level, kind, bytes] = cache;
    all.push_back({int(level), kind, bytes, int(lists.size())});
  }
  if (all.empty())
    return Reading<std::vector<Cache>>::missing("/sys/devices/system/cpu lists no caches");
  return all;
}

Reading<std::vector<std::string>> instruction_sets(const Text& cpuinfo) {
  // Linux lists what both the processor and the kernel support. Names of x86, then of ARM.
  static const char* const kMatter[] = {
      "sse4_2",   "avx",      "avx2",     "fma",      "f16c",        "bmi2",        "avx512f",
      "avx512bw", "avx512dq", "avx512vl", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16",
      "amx_tile", "amx_int8", "amx_bf16", "asimd",    "asimdhp",     "asimddp",     "fphp",
      "bf16",     "i8mm",     "sve",      "sve2",     "svebf16",     "sme",         "sme2"};
  using Names = Reading<std::vector<std::string>>;
  Text flags = field(cpuinfo, ':', "flags");
  if (!flags) flags = field(cpuinfo, ':', "Features");
  if (!flags) return Names::missing("/proc/cpuinfo has neither flags nor Features");
  std::set<std::string> present = words(*flags);
  std::vector<std::string> names;
  for (auto name : kMatter)
    if (present.contains(name)) names.push_back(name);
  return names;
}

Reading<int64_t> memory_total(const fs::path& root) {
  Text meminfo = slurp(root / "proc/meminfo");
  if (!meminfo) return Reading<int64_t>::missing("/proc/meminfo cannot be read");
  Text value = field(meminfo, ':', "MemTotal");
  if (!value) return Reading<int64_t>::missing("/proc/meminfo has no MemTotal");
  auto kib = number(*value);
  if (!kib || !value->ends_with("kB") || *kib > INT64_MAX / 1024)
    return Reading<int64_t>::missing("MemTotal in /proc/meminfo is not a number of kB");
  return *kib * 1024;
}

Reading<int64_t> memory_available(const fs::path& root) {
  if (auto bytes = available_memory_bytes(root)) return int64_t(*bytes);
  return Reading<int64_t>::missing("/proc/meminfo has no MemAvailable in kB");
}

Reading<int> numa_nodes(const fs::path& root) {
  auto nodes = numbered(root / "sys/devices/system/node", "node");
  if (nodes.empty()) return Reading<int>::missing("/sys/devices/system/node lists no nodes");
  return int(nodes.size());
}

Reading<std::string> huge_pages(const fs::path& root) {
  const char* file = "sys/kernel/mm/transparent_hugepage/enabled";  // "always [madvise] never"
  if (Text line = slurp(root / file))
    for (const std::string& word : words(*line))
      if (word.size() > 2 && word.front() == '[') return word.substr(1, word.size() - 2);
  return Reading<std::string>::missing(concat("/", file, " names no policy"));
}

Reading<std::string> os(const fs::path& root) {
  Text name = field(slurp(root / "etc/os-release"), '=', "PRETTY_NAME");
  if (!name) return Reading<std::string>::missing("/etc/os-release has no PRETTY_NAME");
  std::erase(*name, '"');
  return *name;
}

Reading<std::string> line_of(const fs::path& root, const char* file) {
  Text line = slurp(root / file);
  if (!line || line->empty())
    return Reading<std::string>::missing(concat("/", file, " cannot be read"));
  return *line;
}

Reading<std::string> hypervisor(const Text& cpuinfo) {
  Text flags = field(cpuinfo, ':', "flags");
  if (!flags) return Reading<std::string>::missing("/proc/cpuinfo has no flags");
  if (!words(*flags).contains("hypervisor")) return "none";
#if defined(__x86_64__)
  unsigned leaf, text[3];
  __cpuid(0x40000000, leaf, text[0], text[1], text[2]);
  std::string signature(reinterpret_cast<const char*>(text), sizeof text);
  signature.resize(std::min(signature.find('\0'), signature.size()));
  for (auto [said, name] : {std::pair{"KVMKVMKVM", "KVM"},
                            {"Microsoft Hv", "Hyper-V"},
                            {"VMwareVMware", "VMware"},
                            {"XenVMMXenVMM", "Xen"}})
    if (signature == said) return name;
  if (!signature.empty()) return signature;
#endif
  return Reading<std::string>::missing("there is a hypervisor without a name");
}

Reading<double> clock_max_mhz(const fs::path& root) {
  Text khz = slurp(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq");
  if (!khz) return Reading<double>::missing("the system has no cpufreq (a virtual machine, often)");
  auto value = number(*khz);
  if (!value) return Reading<double>::missing("cpufreq's cpuinfo_max_freq is not a number");
  return double(*value) / 1e3;
}

// A machine with a mains supply that is off runs on its battery; one whose battery is not being
// emptied, on the mains. Batteries of mice and keyboards do not count.
Reading<std::string> power_source(const fs::path& root) {
  bool mains = false, battery = false, emptied = false;
  std::error_code error;
  for (auto& entry : fs::directory_iterator(root / "sys/class/power_supply", error)) {
    const Text type = slurp(entry.path() / "type"), status = slurp(entry.path() / "status");
    if (slurp(entry.path() / "scope") == "Device" || !type) continue;
    if (*type == "Battery") battery = true, emptied |= status == "Discharging";
    if (*type != "Battery") mains |= slurp(entry.path() / "online") == "1";
  }
  if (mains || (battery && !emptied)) return "mains";
  if (emptied) return "battery";
  return Reading<std::string>::missing(
      "/sys/class/power_supply lists neither mains nor a battery, as in most virtual machines");
}

Reading<std::vector<std::string>> gpus(const fs::path& root) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (auto& entry : fs::directory_iterator(root / "proc/driver/nvidia/gpus", error))
    folders.push_back(entry.path());
  std::ranges::sort(folders);
  std::vector<std::string> names;
  for (const fs::path& folder : folders)
    if (Text model = field(slurp(folder / "information"), ':', "Model")) names.push_back(*model);
  if (names.empty())
    return Reading<std::vector<std::string>>::missing("/proc/driver/nvidia lists no GPU");
  return names;
}

// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 ..."
Reading<std::string> gpu_driver(const fs::path& root) {
  const char* file = "proc/driver/nvidia/version";
  const Text text = slurp(root / file);
  std::istringstream in(text ? text->substr(0, text->find('\n')) : "");
  for (std::string word; in >> word;)
    if (std::isdigit(static_cast<unsigned char>(word[0])) && word.find('.') != word.npos)
      return "NVIDIA " + word;
  return Reading<std::string>::missing(
      concat("/", file, text ? " names no version" : " cannot be read"));
}

}  // namespace

Reading<int64_t> cache_bytes(const Facts& facts) {
  if (!facts.caches.value) return Reading<int64_t>::missing(facts.caches.reason);
  int64_t most = 0;
  for (const Cache& cache : *facts.caches.value)
    most = std::max(most, cache.bytes * cache.instances);
  return most;
}

Facts read_facts(const fs::path& root) {
  Text cpuinfo = slurp(root / "proc/cpuinfo");
  return {.processor = processor(cpuinfo),
          .cores = cores(root),
          .hardware_threads = hardware_threads(cpuinfo),
          .usable_threads = usable_threads(),
          .caches = caches(root),
          .instruction_sets = instruction_sets(cpuinfo),
          .memory_total_bytes = memory_total(root),
          .memory_available_bytes = memory_available(root),
          .numa_nodes = numa_nodes(root),
          .huge_pages = huge_pages(root),
          .os = os(root),
          .kernel = line_of(root, "proc/sys/kernel/osrelease"),
          .hypervisor = hypervisor(cpuinfo),
          .governor = line_of(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
          .clock_max_mhz = clock_max_mhz(root),
          .power_source = power_source(root),
          .gpus = gpus(root),
          .gpu_driver = gpu_driver(root)};
}

}  // namespace hearth::lab
