// NVML, the library of NVIDIA's driver, opened at run time: its few calls and structs that we need
// are declared here, so that no header of NVIDIA's is wanted. Any call may not be supported.
#include <dlfcn.h>

#include <algorithm>
#include <array>

#include "hearth/base/error.h"
#include "hearth/lab/telemetry/files.h"
#include "hearth/lab/telemetry/sources.h"

namespace hearth::lab {
namespace {

using Device = struct nvmlDevice*;
struct Utilization {
  unsigned gpu, memory;  // percent of the last 1/6 to 1 s
};
struct MemoryInfo {
  unsigned long long total, free, used;
};
constexpr int kSuccess = 0;
enum Clock : int { sm = 1, memory = 2 };

class Library {
 public:
  explicit Library(const std::string& name) : handle_(dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (!handle_) {
      const char* said = dlerror();
      reason = concat("no NVIDIA driver: ", said ? said : name);
    }
  }
  ~Library() {
    if (handle_) dlclose(handle_);
  }
  Library(const Library&) = delete;

  template <class... Args>
  using Function = int (*)(Args...);
  template <class F>
  F get(const char* name) const {
    return handle_ ? reinterpret_cast<F>(dlsym(handle_, name)) : nullptr;
  }

  std::string reason;  // why it is not open; "" if it is

 private:
  void* handle_;
};

// What holds a clock down, by its bit in nvmlDeviceGetCurrentClocksEventReasons.
struct Limit {
  const char* name;
  unsigned long long bit;
};
constexpr std::array kLimits = {
    Limit{"idle", 0x1},           Limit{"settings", 0x2},     Limit{"power_cap", 0x4},
    Limit{"hardware", 0x8},       Limit{"sync_boost", 0x10},  Limit{"software_heat", 0x20},
    Limit{"hardware_heat", 0x40}, Limit{"power_brake", 0x80}, Limit{"display", 0x100}};

class Nvml : public Telemetry {
 public:
  explicit Nvml(const std::string& name) : library_(name) {
    none_ = start();
    if (devices_.empty() && none_.empty()) none_ = "NVML finds no GPU";
    for (size_t i = 0; i < std::max<size_t>(devices_.size(), 1); ++i) {
      const std::string suffix = i == 0 ? "" : concat(".", i);
      for (const Field& field : kFields) fields_.push_back({field.name + suffix, field.unit});
      for (const Limit& limit : kLimits)
        fields_.push_back({concat("gpu_limit_", limit.name, suffix), "0 or 1"});
    }
  }
  ~Nvml() override {
    if (started_)
      if (auto shutdown = library_.get<int (*)()>("nvmlShutdown")) shutdown();
  }

  std::string_view source() const override { return "nvml"; }
  const std::vector<Field>& fields() const override { return fields_; }

  std::vector<Reading<double>> sample(double now) override {
    std::vector<Reading<double>> out;
    if (devices_.empty()) out.assign(fields_.size(), Reading<double>::missing(none_));
    for (Gpu& gpu : devices_) sample(gpu, now, out);
    return out;
  }

  Reading<double> free_bytes(int gpu) const {
    return of(gpu, [&](Device d) {
      return as(ask<MemoryInfo>("nvmlDeviceGetMemoryInfo", d),
                [](const MemoryInfo& m) { return m.free; });
    });
  }
  Reading<double> clock_mhz(int gpu) const {
    return of(gpu, [&](Device d) {
      return as(ask<unsigned, int>("nvmlDeviceGetClockInfo", d, sm),
                [](unsigned mhz) { return mhz; });
    });
  }
  Reading<double> nominal_gb_s(int gpu) const {
    return of(gpu, [&](Device d) {
      const auto bits = ask<unsigned>("nvmlDeviceGetMemoryBusWidth", d);
      if (!bits.value) return Reading<double>::missing(bits.reason);
      return as(ask<unsigned, int>("nvmlDeviceGetMaxClockInfo", d, memory),
                [&](unsigned mhz) { return 2e6 * mhz * *bits.value / 8 * 1e-9; });
    });
  }

 private:
  struct Gpu {
    Device device;
    Rate energy;
  };

  template <class F>
  Reading<double> of(int gpu, F&& f) const {
    if (gpu < 0 || size_t(gpu) >= devices_.size())
      return Reading<double>::missing(none_.empty() ? concat("NVML finds no GPU ", gpu) : none_);
    return f(devices_[size_t(gpu)].device);
  }

  // "" or why it did not work.
  std::string start() {
    if (!library_.reason.empty()) return library_.reason;
    const auto init = library_.get<int (*)()>("nvmlInit_v2");
    const auto count = library_.get<int (*)(unsigned*)>("nvmlDeviceGetCount_v2");
    const auto handle = library_.get<int (*)(unsigned, Device*)>("nvmlDeviceGetHandleByIndex_v2");
    if (!init || !count || !handle) return "NVML lacks nvmlInit_v2: too old a driver";
    if (int code = init(); code != kSuccess) return said("nvmlInit_v2", code);
    started_ = true;
    unsigned n = 0;
    if (int code = count(&n); code != kSuccess) return said("nvmlDeviceGetCount_v2", code);
    std::string reason;
    for (unsigned i = 0; i < std::min(n, 64u); ++i) {
      Device device = nullptr;
      if (int code = handle(i, &device); code == kSuccess)
        devices_.push_back({device, {}});
      else
        reason = said("nvmlDeviceGetHandleByIndex_v2", code);
    }
    return reason;
  }

  std::string said(const char* call, int code) const {
    const auto words = library_.get<const char* (*)(int)>("nvmlErrorString");
    const char* text = words ? words(code) : nullptr;
    return concat("NVML: ", call, ": ", text ? text : "error", " (", code, ")");
  }

  // What `call` writes to its last argument, or its error.
  template <class T, class... Args>
  Reading<T> ask(const char* call, Device device, Args... args) const {
    const auto function = library_.get<int (*)(Device, Args..., T*)>(call);
    if (!function) return Reading<T>::missing(concat("NVML has no ", call));
    T value{};
    if (int code = function(device, args..., &value); code != kSuccess)
      return Reading<T>::missing(said(call, code));
    return value;
  }

  template <class T, class F>
  static Reading<double> as(const Reading<T>& reading, F&& convert) {
    if (!reading.value) return Reading<double>::missing(reading.reason);
    return double(convert(*reading.value));
  }

  void sample(Gpu& gpu, double now, std::vector<Reading<double>>& out) const {
    const Device d = gpu.device;
    const auto same = [](auto value) { return value; };
    const auto thousandth = [](auto value) { return double(value) * 1e-3; };
    const auto busy = ask<Utilization>("nvmlDeviceGetUtilizationRates", d);
    out.push_back(as(busy, [](Utilization u) { return u.gpu * 1e-2; }));
    out.push_back(as(busy, [](Utilization u) { return u.memory * 1e-2; }));
    out.push_back(as(ask<unsigned, int>("nvmlDeviceGetClockInfo", d, sm), same));
    out.push_back(as(ask<unsigned, int>("nvmlDeviceGetMaxClockInfo", d, sm), same));
    out.push_back(as(ask<unsigned, int>("nvmlDeviceGetClockInfo", d, memory), same));
    out.push_back(as(ask<unsigned>("nvmlDeviceGetPowerUsage", d), thousandth));
    const auto joules =
        as(ask<unsigned long long>("nvmlDeviceGetTotalEnergyConsumption", d), thousandth);
    out.push_back(gpu.energy.per_second(joules, now));
    out.push_back(as(ask<unsigned, int>("nvmlDeviceGetTemperature", d, 0), same));
    out.push_back(as(ask<MemoryInfo>("nvmlDeviceGetMemoryInfo", d),
                     [](const MemoryInfo& m) { return m.used; }));
    // The older name is of drivers before 535.
    auto limits = ask<unsigned long long>("nvmlDeviceGetCurrentClocksEventReasons", d);
    if (!limits.value)
      limits = ask<unsigned long long>("nvmlDeviceGetCurrentClocksThrottleReasons", d);
    for (const Limit& limit : kLimits)
      out.push_back(as(limits, [&](auto bits) { return (bits & limit.bit) != 0; }));
  }

  static const std::vector<Field> kFields;
  Library library_;
  bool started_ = false;
  std::string none_;
  std::vector<Gpu> devices_;
  std::vector<Field> fields_;
};

// In the order of sample().
const std::vector<Field> Nvml::kFields = {{"gpu_active_fraction", "fraction"},
                                          {"gpu_memory_active_fraction", "fraction"},
                                          {"gpu_clock_mhz", "MHz"},
                                          {"gpu_clock_max_mhz", "MHz"},
                                          {"gpu_memory_clock_mhz", "MHz"},
                                          {"gpu_power_w", "W"},
                                          {"gpu_counted_power_w", "W"},
                                          {"gpu_temperature_c", "degrees C"},
                                          {"gpu_memory_used_bytes", "bytes"}};

}  // namespace

Reading<double> nvml_clock_mhz(int gpu, const std::string& library) {
  return Nvml(library).clock_mhz(gpu);
}

std::unique_ptr<Telemetry> nvml_telemetry(const std::string& library) {
  return std::make_unique<Nvml>(library);
}

Reading<double> nvml_nominal_gb_s(int gpu, const std::string& library) {
  return Nvml(library).nominal_gb_s(gpu);
}

Reading<double> nvml_free_bytes(int gpu, const std::string& library) {
  return Nvml(library).free_bytes(gpu);
}

namespace {
const TelemetrySource source{System::linux_os, 80,
                             [](const Path&, pid_t) { return nvml_telemetry(); }};
}  // namespace

}  // namespace hearth::lab
