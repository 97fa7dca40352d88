#include "hearth/ops/custom_kernel.h"

#include <bit>
#include <cctype>

#include "hearth/ops/create.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/op.h"

namespace hearth::fast {

namespace {

/// The type of an element in CUDA, and the header that has it.
struct DeviceType {
  std::string_view name, header;
};
DeviceType type_of(Dtype d) {
  switch (d) {
    case Dtype::bool_: return {"bool", ""};
    case Dtype::uint8: return {"unsigned char", ""};
    case Dtype::uint16: return {"unsigned short", ""};
    case Dtype::uint32: return {"unsigned int", ""};
    case Dtype::uint64: return {"unsigned long long", ""};
    case Dtype::int8: return {"signed char", ""};
    case Dtype::int16: return {"short", ""};
    case Dtype::int32: return {"int", ""};
    case Dtype::int64: return {"long long", ""};
    case Dtype::float16: return {"__half", "cuda_fp16.h"};
    case Dtype::bfloat16: return {"__nv_bfloat16", "cuda_bf16.h"};
    case Dtype::float32: return {"float", ""};
    case Dtype::float64: return {"double", ""};
    case Dtype::complex64: return {"float2", ""};
  }
  return {};
}

bool is_name(const std::string& text) {
  bool good = !text.empty() && !std::isdigit(uint8_t(text[0]));
  for (const char c : text) good = good && (std::isalnum(uint8_t(c)) || c == '_');
  return good;
}

/// Does the text say the name, as a word?
bool says(const std::string& text, const std::string& name) {
  const auto part = [](char c) { return std::isalnum(uint8_t(c)) || c == '_'; };
  for (size_t at = text.find(name); at != text.npos; at = text.find(name, at + 1)) {
    const size_t end = at + name.size();
    if ((at == 0 || !part(text[at - 1])) && (end == text.size() || !part(text[end]))) return true;
  }
  return false;
}

std::vector<int> three(std::string_view what, std::tuple<int, int, int> sizes) {
  const auto [x, y, z] = sizes;
  check(x > 0 && y > 0 && z > 0, "cuda_kernel: ", what, " of ", x, ", ", y, ", ", z,
        "; wanted three positive numbers");
  return {x, y, z};
}

/// Checks and completes what both kinds of kernel share, and runs it.
std::vector<array> run(CustomKernel op, std::vector<array> in, std::tuple<int, int, int> grid,
                       std::tuple<int, int, int> block, std::optional<float> init, bool contiguous,
                       StreamOrDevice s) {
  StreamScope scope(s);
  const Device device = ambient_stream().device;
  check(device.type == Device::cuda, "cuda_kernel: ", op.kernel, " is for a CUDA device, got ",
        device, "; name one (Device::cuda) as its stream");
  check(op.shapes.size() == op.dtypes.size() && !op.shapes.empty(),
        "cuda_kernel: ", op.shapes.size(), " shapes and ", op.dtypes.size(), " dtypes of outputs");
  check(op.shared_memory >= 0, "cuda_kernel: ", op.shared_memory, " bytes of shared memory");
  op.grid = three("a grid", grid), op.block = three("a block", block);
  check(int64_t(op.block[0]) * op.block[1] * op.block[2] <= 1024,
        "cuda_kernel: blocks of more than 1,024 threads");
  for (array& x : in) {
    check(x.ndim() <= kMostKernelAxes, "cuda_kernel: an input of ", x.ndim(), " axes, at most ",
          kMostKernelAxes);
    if (contiguous) x = hearth::contiguous(x);
  }
  op.given = int(in.size()), op.filled = init.has_value();
  if (init)
    for (size_t i = 0; i < op.shapes.size(); ++i)
      in.push_back(hearth::contiguous(full(op.shapes[i], *init, op.dtypes[i])));
  return apply_all(std::make_shared<CustomKernel>(std::move(op)), std::move(in));
}

}  // namespace

int CustomKernel::kernel_id() {
  static const int id = new_primitive_id();
  return id;
}
Specs CustomKernel::infer(std::span<const array> in) const {
  check(in.size() == size_t(given) + (filled ? shapes.size() : 0), "cuda_kernel: ", in.size(),
        " inputs, wanted ", given);
  Specs specs;
  for (size_t i = 0; i < shapes.size(); ++i) {
    element_count(shapes[i]);
    specs.push_back({shapes[i], dtypes[i]});
  }
  return specs;
}

CustomKernelFunction cuda_kernel(const std::string& name,
                                 const std::vector<std::string>& input_names,
                                 const std::vector<std::string>& output_names,
                                 const std::string& source, const std::string& header,
                                 bool ensure_row_contiguous, int shared_memory) {
  check(is_name(name), "cuda_kernel: '", name, "' is no name of a function");
  check(!output_names.empty(), "cuda_kernel: ", name, " has no outputs");
  for (const auto* names : {&input_names, &output_names})
    for (const std::string& one : *names)
      check(is_name(one), "cuda_kernel: '", one, "' is no name of an argument");
  return [=](const std::vector<array>& inputs, const std::vector<Shape>& shapes,
             const std::vector<Dtype>& dtypes, std::tuple<int, int, int> grid,
             std::tuple<int, int, int> block,
             const std::vector<std::pair<std::string, TemplateArg>>& arguments,
             std::optional<float> init, bool, StreamOrDevice s) {
    check(inputs.size() == input_names.size() && dtypes.size() == output_names.size(),
          "cuda_kernel: ", name, " got ", inputs.size(), " inputs and ", dtypes.size(),
          " dtypes of outputs, wanted ", input_names.size(), " and ", output_names.size());
    CustomKernel op;
    op.kernel = name, op.compiled = false, op.shared_memory = shared_memory;
    op.shapes = shapes, op.dtypes = dtypes;
    std::string headers, parameters, more, body;
    const auto include = [&](std::string_view file) {
      const std::string line = concat("#include <", file, ">\n");
      if (!file.empty() && headers.find(line) == headers.npos) headers += line;
    };
    const auto type = [&](Dtype d) {
      include(type_of(d).header);
      return std::string(type_of(d).name);
    };
    for (size_t i = 0; i < inputs.size(); ++i) {
      const std::string& input = input_names[i];
      parameters += concat("const ", type(inputs[i].dtype()), "* ", input, ", ");
      const auto layout = [&](const char* suffix, CustomKernel::Value::Kind kind,
                              const char* declared) {
        if (!says(source, input + suffix)) return;
        op.values.push_back({kind, uint32_t(i)});
        more += concat(", const ", declared, " ", input, suffix);
      };
      layout("_shape", CustomKernel::Value::shape, "hearth_axes<int>");
      layout("_strides", CustomKernel::Value::strides, "hearth_axes<long long>");
      layout("_ndim", CustomKernel::Value::ndim, "int");
    }
    for (size_t i = 0; i < dtypes.size(); ++i)
      parameters += concat(i ? ", " : "", type(dtypes[i]), "* ", output_names[i]);
    for (const auto& [argument, value] : arguments) {
      check(is_name(argument), "cuda_kernel: '", argument, "' is no name of a template argument");
      if (const auto* n = std::get_if<int>(&value))
        body += concat("  constexpr int ", argument, " = ", *n, ";\n");
      else if (const auto* flag = std::get_if<bool>(&value))
        body += concat("  constexpr bool ", argument, " = ", *flag ? "true" : "false", ";\n");
      else
        body += concat("  using ", argument, " = ", type(std::get<Dtype>(value)), ";\n");
    }
    if ((source + header).find("cooperative_groups") != std::string::npos)
      include("cooperative_groups.h");
    op.code = concat(headers, "template <class T>\nstruct hearth_axes {\n  T at[", kMostKernelAxes,
                     "];\n  __device__ T operator[](int i) const { return at[i]; }\n};\n", header,
                     "\nextern \"C\" __global__ void ", name, "(", parameters, more, ") {\n", body,
                     source, "\n}\n");
    return run(std::move(op), inputs, grid, block, init, ensure_row_contiguous, s);
  };
}

std::vector<array> precompiled_cuda_kernel(
    const std::string& name, const std::string& compiled_source, const std::vector<array>& inputs,
    const std::vector<Shape>& output_shapes, const std::vector<Dtype>& output_dtypes,
    const std::vector<ScalarArg>& scalars, std::tuple<int, int, int> grid,
    std::tuple<int, int, int> threadgroup, int shared_memory, std::optional<float> init_value,
    bool ensure_row_contiguous, StreamOrDevice s) {
  CustomKernel op;
  op.kernel = name, op.code = compiled_source, op.compiled = true;
  op.shared_memory = shared_memory, op.shapes = output_shapes, op.dtypes = output_dtypes;
  for (const ScalarArg& one : scalars) {
    if (const auto* flag = std::get_if<bool>(&one))
      op.values.push_back({CustomKernel::Value::flag, uint32_t(*flag)});
    else if (const auto* n = std::get_if<int>(&one))
      op.values.push_back({CustomKernel::Value::scalar, uint32_t(*n)});
    else
      op.values.push_back(
          {CustomKernel::Value::scalar, std::bit_cast<uint32_t>(std::get<float>(one))});
  }
  return run(std::move(op), inputs, grid, threadgroup, init_value, ensure_row_contiguous, s);
}

}  // namespace hearth::fast
