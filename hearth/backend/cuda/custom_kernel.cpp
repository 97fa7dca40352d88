#include "hearth/backend/cuda/custom_kernel.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <unordered_map>

#include "hearth/backend/cuda/nvrtc.h"

namespace hearth::cuda {

using fast::CustomKernel;

namespace {

cudaKernel_t kernel_of(const CustomKernel& op, int capability) {
  static std::mutex mutex;
  static auto& known = *new std::unordered_map<std::string, cudaKernel_t>;
  std::lock_guard lock(mutex);
  cudaKernel_t& kernel = known[concat(capability, " ", op.kernel, "\n", op.code)];
  if (!kernel)
    kernel = op.compiled ? nvrtc::load_compiled(op.code, op.kernel.c_str())
                         : nvrtc::load_own(op.code, op.kernel.c_str(), capability);
  return kernel;
}

/// A parameter's bytes.
union Parameter {
  const void* pointer;
  uint32_t bits;
  bool flag;
  int ndim;
  std::array<int, fast::kMostKernelAxes> shape;
  std::array<int64_t, fast::kMostKernelAxes> strides;
};
Parameter parameter(const CustomKernel::Value& value, const Args& args) {
  using Kind = CustomKernel::Value::Kind;
  Parameter p = {};
  if (value.kind == Kind::scalar) return p.bits = value.bits, p;
  if (value.kind == Kind::flag) return p.flag = value.bits != 0, p;
  const array& x = args.in[value.bits];
  if (value.kind == Kind::ndim) return p.ndim = x.ndim(), p;
  if (value.kind == Kind::shape) {
    p.shape = {};
    std::copy(x.shape().begin(), x.shape().end(), p.shape.begin());
  } else {
    p.strides = {};
    std::copy(x.node().strides.begin(), x.node().strides.end(), p.strides.begin());
  }
  return p;
}

}  // namespace

void custom_kernel(const CustomKernel& op, const Args& args, CudaQueue& queue) {
  std::vector<Parameter> all;
  const auto add_pointer = [&](const array& a) {
    all.push_back({.pointer = a.size() ? queue.ptr<void>(a) : nullptr});
  };
  for (int i = 0; i < op.given; ++i) add_pointer(args.in[size_t(i)]);
  for (const array& out : args.out) add_pointer(out);
  for (const CustomKernel::Value& value : op.values) all.push_back(parameter(value, args));
  std::vector<void*> parameters;
  for (Parameter& p : all) parameters.push_back(&p);

  const auto kernel = reinterpret_cast<const void*>(kernel_of(op, queue.card().capability));
  if (op.shared_memory > 48 << 10)
    check_cuda(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, op.shared_memory),
        op.kernel);
  // The grid is of threads; a block has no more than the grid.
  const auto threads = [&](size_t i) { return unsigned(std::min(op.block[i], op.grid[i])); };
  const auto blocks = [&](size_t i) {
    return (unsigned(op.grid[i]) + threads(i) - 1) / threads(i);
  };
  cudaLaunchConfig_t config = {};
  config.gridDim = {blocks(0), blocks(1), blocks(2)};
  config.blockDim = {threads(0), threads(1), threads(2)};
  config.dynamicSmemBytes = size_t(op.shared_memory), config.stream = queue.stream();
  check_cuda(cudaLaunchKernelExC(&config, kernel, parameters.data()), op.kernel);
}

}  // namespace hearth::cuda
