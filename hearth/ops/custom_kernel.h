// CUDA kernels from source, written by whoever uses the library. As MLX's, compiled by NVRTC when
// they first run.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "hearth/core/primitive.h"

namespace hearth::fast {

using TemplateArg = std::variant<int, bool, Dtype>;
using ScalarArg = std::variant<bool, int, float>;

/// inputs, shapes and dtypes of the outputs, grid (in threads; whole blocks run), threads of a
/// block, template arguments, what outputs hold before, verbose (nothing is printed), stream.
using CustomKernelFunction = std::function<std::vector<array>(
    const std::vector<array>&, const std::vector<Shape>&, const std::vector<Dtype>&,
    std::tuple<int, int, int>, std::tuple<int, int, int>,
    std::vector<std::pair<std::string, TemplateArg>>, std::optional<float>, bool, StreamOrDevice)>;

/// A function that runs `source` as the body of a kernel. It sees the inputs as `const T* name`,
/// the outputs as `T* name`, the template arguments as constants and types, and where it says
/// `name_shape`, `name_strides` or `name_ndim` of an input, those. `header` stands before the
/// kernel. Headers of CUDA (halves, cooperative_groups) must be installed where they are used.
/// Inputs are row-major, unless not asked for. Throws std::invalid_argument where the stream is not
/// of a CUDA device; what the compiler says arrives where the result is evaluated.
CustomKernelFunction cuda_kernel(const std::string& name,
                                 const std::vector<std::string>& input_names,
                                 const std::vector<std::string>& output_names,
                                 const std::string& source, const std::string& header = "",
                                 bool ensure_row_contiguous = true, int shared_memory = 0);

/// Runs the kernel `name` of a PTX text or a cubin: pointers to the inputs and the outputs, then
/// the scalars.
std::vector<array> precompiled_cuda_kernel(
    const std::string& name, const std::string& compiled_source, const std::vector<array>& inputs,
    const std::vector<Shape>& output_shapes, const std::vector<Dtype>& output_dtypes,
    const std::vector<ScalarArg>& scalars, std::tuple<int, int, int> grid,
    std::tuple<int, int, int> threadgroup, int shared_memory = 0,
    std::optional<float> init_value = std::nullopt, bool ensure_row_contiguous = false,
    StreamOrDevice s = {});

/// What both become.
struct CustomKernel : PrimitiveWithFields<CustomKernel> {
  /// What a kernel gets beside pointers: 4 bytes, of a bool one; of an input's layout its number.
  struct Value {
    enum Kind : uint8_t { scalar, flag, shape, strides, ndim };
    Kind kind;
    uint32_t bits;  // the value, or which input
    HEARTH_FIELDS(kind, bits)
  };
  std::string kernel, code;
  bool compiled;
  int shared_memory;
  std::vector<int> grid, block;
  std::vector<Shape> shapes;
  std::vector<Dtype> dtypes;
  int given;    // inputs of the kernel
  bool filled;  // as many inputs more as there are outputs, which are written into them
  std::vector<Value> values;
  HEARTH_FIELDS(kernel, code, compiled, shared_memory, grid, block, shapes, dtypes, given, filled,
                values)

  static int kernel_id();
  CustomKernel() : PrimitiveWithFields<CustomKernel>(kernel_id()) {}
  std::string_view name() const override { return "cuda_kernel"; }
  Specs infer(std::span<const array> in) const override;
  int writes_into(int output) const override { return filled ? given + output : -1; }
};

/// The axes that a kernel is told of: more are an error.
inline constexpr int kMostKernelAxes = 8;

}  // namespace hearth::fast
