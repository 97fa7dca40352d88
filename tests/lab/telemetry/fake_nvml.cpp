// A libnvidia-ml.so.1 for tests. fake_nvml(what) sets what it does: "ok", "no driver", "no GPU",
// "permission", "not supported".
#include <cstring>
#include <string>

namespace {

std::string mode = "ok";
unsigned long long millijoules = 1000, limits = 0x4 | 0x10 | 0x40;
char devices[2];
int second(void* device) { return device == &devices[1]; }
int ask() { return mode == "permission" ? 4 : mode == "not supported" ? 3 : 0; }
template <class T, class U>
int answer(T* to, U value) {
  if (ask() == 0) *to = T(value);
  return ask();
}

}  // namespace

extern "C" {
void fake_nvml(const char* what) { mode = what; }
void fake_nvml_limits(unsigned long long bits) { limits = bits; }
int nvmlInit_v2() { return mode == "no driver" ? 9 : 0; }
int nvmlShutdown() { return 0; }
const char* nvmlErrorString(int code) {
  return code == 3 ? "Not Supported" : code == 4 ? "Insufficient Permissions" : "Driver Not Loaded";
}
int nvmlDeviceGetCount_v2(unsigned* n) {
  *n = mode == "no GPU" ? 0 : 2;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void** device) {
  *device = &devices[i];
  return 0;
}
int nvmlDeviceGetUtilizationRates(void*, unsigned* gpu_then_memory) {
  if (ask() == 0) gpu_then_memory[0] = 32, gpu_then_memory[1] = 11;
  return ask();
}
int nvmlDeviceGetClockInfo(void* device, int which, unsigned* mhz) {
  return answer(mhz, (which == 1 ? 1755 : 2500) + second(device));
}
int nvmlDeviceGetMaxClockInfo(void* device, int which, unsigned* mhz) {
  return answer(mhz, (which == 1 ? 1980 : 2619) + second(device));
}
int nvmlDeviceGetMemoryBusWidth(void*, unsigned* bits) { return answer(bits, 5120); }
int nvmlDeviceGetPowerUsage(void*, unsigned* milliwatts) { return answer(milliwatts, 123456); }
int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* mj) {
  return answer(mj, millijoules += 50'000);
}
int nvmlDeviceGetTemperature(void*, int, unsigned* degrees) { return answer(degrees, 41); }
int nvmlDeviceGetMemoryInfo(void* device, unsigned long long* total_free_used) {
  if (ask() == 0)
    total_free_used[0] = 80'000, total_free_used[1] = 50'000 + second(device),
    total_free_used[2] = 30'000;
  return ask();
}
// The name of drivers before 535.
int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* bits) {
  return answer(bits, limits);
}
}
