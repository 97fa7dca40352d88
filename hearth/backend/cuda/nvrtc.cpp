#include "hearth/backend/cuda/nvrtc.h"

#include <dlfcn.h>
#include <nvrtc.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "hearth/base/disk_cache.h"

namespace hearth::cuda::nvrtc {

namespace {

constexpr char kMath[] =
#include "math_text.h"
    ;
constexpr char kScalar[] =
#include "scalar_text.h"
    ;

struct Library {
  bool found = false;
  std::string version;
  std::vector<int> capabilities;
// clang-format off
#define HEARTH_NVRTC(X)                                                                   \
  X(Version)                                                                              \
  X(GetNumSupportedArchs)                                                                 \
  X(GetSupportedArchs)                                                                    \
  X(CreateProgram)                                                                        \
  X(DestroyProgram) X(CompileProgram) X(GetCUBINSize) X(GetCUBIN) X(GetPTXSize) X(GetPTX) \
      X(GetProgramLogSize) X(GetProgramLog)
// clang-format on
#define X(name) decltype(&::nvrtc##name) name = nullptr;
  HEARTH_NVRTC(X)
#undef X

  Library() {
    void* library = nullptr;
    for (const char* file : {"libnvrtc.so.13", "/usr/local/cuda/lib64/libnvrtc.so.13",
                             "libnvrtc.so.12", "/usr/local/cuda/lib64/libnvrtc.so.12"})
      if (!library) library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
#define X(name)                                                           \
  name = reinterpret_cast<decltype(name)>(dlsym(library, "nvrtc" #name)); \
  if (!name) return;
    HEARTH_NVRTC(X)
#undef X
    int major = 0, minor = 0, count = 0;
    if (Version(&major, &minor) != NVRTC_SUCCESS || GetNumSupportedArchs(&count) != NVRTC_SUCCESS)
      return;
    version = concat(major, ".", minor);
    capabilities.resize(size_t(count));
    found = GetSupportedArchs(capabilities.data()) == NVRTC_SUCCESS;
  }
};
const Library& library() {
  static const Library& found = *new Library;
  return found;
}

// The architecture to compile for: the card's, or else the newest before it, as portable code.
std::string architecture(int capability) {
  int best = 0;
  for (int c : library().capabilities)
    if (c <= capability) best = std::max(best, c);
  return concat(best == capability ? "sm_" : "compute_", best);
}

using Options = std::vector<std::string>;

std::string compile(const std::string& text, const std::string& architecture, Options options) {
  const Library& n = library();
  nvrtcProgram program;
  const char* headers[] = {kMath, kScalar};
  const char* names[] = {"math.cuh", "hearth/backend/scalar.inc"};
  ensure(n.CreateProgram(&program, text.c_str(), "hearth.cu", 2, headers, names) == NVRTC_SUCCESS,
         "nvrtc: no memory for a program");
  options.insert(options.end(), {"--gpu-architecture=" + architecture, "--std=c++20"});
  std::vector<const char*> words;
  for (const std::string& option : options) words.push_back(option.c_str());
  const bool compiled = n.CompileProgram(program, int(words.size()), words.data()) == NVRTC_SUCCESS;
  const bool portable = architecture.starts_with("compute");
  auto get = [&](auto size_of_it, auto copy) {
    size_t size = 0;
    size_of_it(program, &size);
    std::string bytes(size, '\0');
    copy(program, bytes.data());
    return bytes;
  };
  const std::string result = !compiled  ? get(n.GetProgramLogSize, n.GetProgramLog)
                             : portable ? get(n.GetPTXSize, n.GetPTX)
                                        : get(n.GetCUBINSize, n.GetCUBIN);
  n.DestroyProgram(&program);
  ensure(compiled, "nvrtc ", n.version, " for ", architecture, ": ", result);
  return result;
}

cudaError_t open(const std::string& code, const char* name, cudaKernel_t& kernel) {
  cudaLibrary_t opened;
  const cudaError_t status =
      cudaLibraryLoadData(&opened, code.data(), nullptr, nullptr, 0, nullptr, nullptr, 0);
  return status != cudaSuccess ? status : cudaLibraryGetKernel(&kernel, opened, name);
}

}  // namespace

bool available() { return library().found; }

static cudaKernel_t load(const std::string& text, const char* name, int capability,
                         const Options& options) {
  const std::string target = architecture(capability);
  std::string key = concat(target, " ", library().version, "\n", text, kMath, kScalar);
  for (const std::string& option : options) key += " " + option;
  cudaKernel_t kernel;
  if (const auto code = read_cache(key, ".cubin")) {
    if (open(*code, name, kernel) == cudaSuccess) return kernel;
    cudaGetLastError();  // of code that is not for this driver: compiled again
  }
  const std::string code = compile(text, target, options);
  check_cuda(open(code, name, kernel), "load a compiled program");
  write_cache(key, ".cubin", code);
  return kernel;
}

cudaKernel_t load(const std::string& text, const char* name, int capability) {
  return load(text, name, capability, {"--fmad=false"});
}

cudaKernel_t load_own(const std::string& text, const char* name, int capability) {
  ensure(available(), "cuda_kernel: NVRTC (libnvrtc.so.13) is not installed, which compiles it");
  Options options;
  const char* const home = std::getenv("CUDA_HOME");
  for (const std::string& root : {std::string(home ? home : ""), std::string("/usr/local/cuda")})
    for (const char* folder : {"/include", "/include/cccl"})
      if (std::error_code none; !root.empty() && std::filesystem::exists(root + folder, none))
        options.push_back("--include-path=" + root + folder);
  return load(text, name, capability, options);
}

cudaKernel_t load_compiled(const std::string& code, const char* name) {
  cudaKernel_t kernel;
  check_cuda(open(code, name, kernel), concat("load the compiled kernel ", name));
  return kernel;
}

}  // namespace hearth::cuda::nvrtc
