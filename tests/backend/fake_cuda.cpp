// A CUDA driver that answers with what FAKE_CUDA says: "version=12080", or "init=100", what cuInit
// returns. Everything else fails.
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>

namespace {

int answer(const char* name, int otherwise) {
  const char* all = std::getenv("FAKE_CUDA");
  const char* found = all ? std::strstr(all, name) : nullptr;
  return found ? std::atoi(found + std::strlen(name)) : otherwise;
}

int unknown() { return 999; }

}  // namespace

extern "C" {

int cuInit(unsigned) { return answer("init=", 0); }
int cuDriverGetVersion(int* version) {
  *version = answer("version=", 99000);
  return 0;
}
int cuDeviceGetCount(int* count) {
  *count = 1;
  return 0;
}
int cuGetProcAddress_v2(const char* name, void** function, int, unsigned long, int* status) {
  void* self = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  *function = dlsym(self, name);
  if (!*function) *function = reinterpret_cast<void*>(unknown);
  if (status) *status = 0;
  return 0;
}
int cuGetProcAddress(const char* name, void** function, int version, unsigned long flags) {
  return cuGetProcAddress_v2(name, function, version, flags, nullptr);
}
}
