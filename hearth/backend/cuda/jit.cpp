// Programs of several steps: written out as CUDA text from the table of operations, compiled by
// NVRTC for the card that runs them, kept in memory and on disk.
#include "hearth/backend/cuda/jit.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "hearth/backend/cuda/nvrtc.h"

namespace hearth::cuda::jit {

namespace {

constexpr int kThreads = 256;
constexpr int kMaxInputs = 12, kMaxConstants = 16, kMaxResults = 8, kMaxAxes = 12;

/// What a program's kernel is given; prelude() writes the same struct.
struct Params {
  const void* in[kMaxInputs];
  void* out[kMaxResults];
  uint64_t constant[kMaxConstants];  // elements, in the low bytes
  int64_t size;
  int count;  // of axes
  int shape[kMaxAxes];
  int64_t stride[kMaxInputs][kMaxAxes];
};
std::string prelude() {
  return concat("#include \"math.cuh\"\nnamespace hearth::cuda::math {\nstruct Params {\n",
                "  const void* in[", kMaxInputs, "];\n  void* out[", kMaxResults,
                "];\n  u64 constant[", kMaxConstants, "];\n  i64 size;\n  int count;\n  int shape[",
                kMaxAxes, "];\n  i64 stride[", kMaxInputs, "][", kMaxAxes,
                "];\n};\nstatic_assert(sizeof(Params) == ", sizeof(Params), ");\n");
}

constexpr char kFunctions[] = R"(template <class S, int W>
struct alignas(W * sizeof(S) < 16 ? W * sizeof(S) : 16) Pack {
  S v[W];
};
template <int N>
HEARTH_FN void offsets(const Params& p, i64 i, i64 (&at)[N]) {
  for (int k = 0; k < N; ++k) at[k] = 0;
  if (i < (i64(1) << 31)) {
    u32 rest = u32(i);
    for (int axis = p.count - 1; axis >= 0; --axis) {
      const u32 next = rest / u32(p.shape[axis]), here = rest - next * u32(p.shape[axis]);
      for (int k = 0; k < N; ++k) at[k] += here * p.stride[k][axis];
      rest = next;
    }
  } else {
    for (int axis = p.count - 1; axis >= 0; --axis) {
      const i64 next = i / p.shape[axis], here = i - next * p.shape[axis];
      for (int k = 0; k < N; ++k) at[k] += here * p.stride[k][axis];
      i = next;
    }
  }
}
template <class S, int W>
HEARTH_FN void vectors(Pack<S, W>& to, const void* from, i64 at) {
  to = *reinterpret_cast<const Pack<S, W>*>(static_cast<const S*>(from) + at);
}
template <class S, int W>
HEARTH_FN void one(Pack<S, W>& to, const void* from, i64 at) {
  const S v = static_cast<const S*>(from)[at];
  for (int k = 0; k < W; ++k) to.v[k] = v;
}
template <class S>
HEARTH_FN lane_of<S> constant(u64 bits) {
  union {
    u64 all;
    S value;
  } u{bits};
  return to_lane(u.value);
}
)";

/// An element type in the text: math.cuh has them under these names.
std::string_view element(Dtype d) {
  constexpr std::string_view names[] = {
#define X(name, type, kind, text) "element_" #name,
      HEARTH_DTYPES(X)
#undef X
  };
  return names[size_t(d)];
}

/// The text of each operation's value.
constexpr std::string_view kValue[] = {
#define UNARY(name, kinds, rule, value, ...) #value,
#define BINARY(name, kinds, rule, value, ...) #value,
#define TERNARY(name, kinds, rule, value, ...) #value,
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
};

// How the kernel walks. flat: all operands are contiguous or one value; rows: along the last axis
// they are; strided: element by element.
enum class Layout : char { flat = 'f', rows = 'r', strided = 's' };
struct Plan {
  Layout layout = Layout::flat;
  int width = 1, groups = 4;  // elements at once, and how often in a thread
  std::string ways;           // of the inputs: v, vectors, or 1, one value
};

std::string source(const Map& op, const Plan& plan) {
  std::string text = prelude() + kFunctions;
  bool written[kElementOps] = {};
  for (const Map::Step& s : op.steps) {
    if (s.op == ElementOp::astype || std::exchange(written[int(s.op)], true)) continue;
    constexpr std::string_view parameters[] = {"T x", "T a, T b", "bool a, T b, T c"};
    text += concat("template <class T> HEARTH_FN auto op_", info(s.op).name, "(",
                   parameters[info(s.op).arity - 1], ") { return ", kValue[int(s.op)], "; }\n");
  }
  const int inputs = int(op.inputs.size());
  text +=
      concat("extern \"C\" __global__ void __launch_bounds__(", kThreads,
             ") hearth_map(const __grid_constant__ Params p) {\n  constexpr int W = ", plan.width,
             ", G = ", plan.groups, ";\n  const i64 first = (i64(blockIdx.x) * G * ", kThreads,
             " + threadIdx.x) * W;\n");
  for (int k = 0; k < inputs; ++k)
    text += concat("  Pack<", element(op.inputs[size_t(k)]), ", W> x", k, "[G];\n");
  text +=
      concat("#pragma unroll\n  for (int g = 0; g < G; ++g) {\n    i64 i = first + g * W * i64(",
             kThreads, ");\n    i = i < p.size ? i : 0;\n");
  const bool flat = plan.layout == Layout::flat;
  if (!flat) text += concat("    i64 at[", inputs, "];\n    offsets(p, i, at);\n");
  for (int k = 0; k < inputs; ++k) {
    const bool one = plan.ways[size_t(k)] == '1';
    const std::string at = !flat ? concat("at[", k, "]") : one ? "0" : "i";
    text += concat("    ", one ? "one" : "vectors", "(x", k, "[g], p.in[", k, "], ", at, ");\n");
  }
  text += "  }\n";
  for (int k = inputs; k < op.first_step(); ++k)
    text += concat("  const auto r", k, " = constant<", element(op.dtype(k)), ">(p.constant[",
                   k - inputs, "]);\n");
  text += concat(
      "#pragma unroll\n  for (int g = 0; g < G; ++g) {\n    const i64 i = first + g * W "
      "* i64(",
      kThreads, ");\n    if (i >= p.size) return;\n");
  const auto result = [&](size_t j) { return element(op.dtype(op.results[j])); };
  for (size_t j = 0; j < op.results.size(); ++j)
    text += concat("    Pack<", result(j), ", W> y", j, ";\n");
  text += "#pragma unroll\n    for (int k = 0; k < W; ++k) {\n";
  for (int k = 0; k < inputs; ++k)
    text += concat("      const auto r", k, " = to_lane(x", k, "[g].v[k]);\n");
  for (size_t i = 0; i < op.steps.size(); ++i) {
    const Map::Step& s = op.steps[i];
    const std::string_view to = element(s.dtype);
    text += concat("      const lane_of<", to, "> r", op.first_step() + int(i), " = ");
    if (s.op == ElementOp::astype) {
      text += concat("astype<", to, ">(r", int(s.from[0]), ");\n");
      continue;
    }
    const int arity = info(s.op).arity;
    text += concat("rounded<", to, ">(lane_of<", to, ">(op_", info(s.op).name, "<lane_of<",
                   element(op.dtype(s.from[size_t(arity - 1)])), ">>(");
    for (int k = 0; k < arity; ++k)
      text +=
          concat(k ? ", " : "", "r", int(s.from[size_t(k)]), arity == 3 && k == 0 ? " != 0" : "");
    text += ")));\n";
  }
  for (size_t j = 0; j < op.results.size(); ++j)
    text +=
        concat("      y", j, ".v[k] = to_element<", result(j), ">(r", int(op.results[j]), ");\n");
  text += "    }\n";
  for (size_t j = 0; j < op.results.size(); ++j)
    text += concat("    *reinterpret_cast<Pack<", result(j), ", W>*>(static_cast<", result(j),
                   "*>(p.out[", j, "]) + i) = y", j, ";\n");
  text += "  }\n}\n}  // namespace hearth::cuda::math\n";
  return text;
}

// The parameters, and the widest way to walk that the operands allow.
Plan plan(const Map& op, const Args& args, CudaQueue& queue, Params& p) {
  const array& out = args.out[0];
  const size_t inputs = args.in.size();
  Plan plan;
  Shape shape = out.shape();
  SmallVector<Strides, 3> strides;
  size_t widest = 0;
  for (size_t j = 0; j < args.out.size(); ++j) {
    p.out[j] = queue.ptr<std::byte>(args.out[j]);
    widest = std::max(widest, args.out[j].itemsize());
  }
  for (size_t k = 0; k < inputs; ++k) {
    const array& x = args.in[k];
    p.in[k] = queue.ptr<std::byte>(x);
    strides.push_back(broadcast_strides(x.shape(), x.node().strides, shape));
    if (x.size() > 1) widest = std::max(widest, x.itemsize());
    plan.ways += x.size() == 1 ? '1' : 'v';
  }
  p.size = int64_t(out.size());
  for (size_t k = 0; k < op.constants.size(); ++k)
    std::memcpy(&p.constant[k], op.constants[k].value.data(), size_of(op.constants[k].dtype));

  bool flat = true;
  for (size_t k = 0; k < inputs; ++k)
    flat = flat && (plan.ways[k] == '1' || (args.in[k].shape() == shape &&
                                            row_contiguous(args.in[k].shape(), strides[k])));
  collapse(shape, std::span(strides.data(), strides.size()));
  const int last = int(shape.size()) - 1;
  const int width = int(16 / std::max<size_t>(widest, 2));
  bool wide = flat || (last >= 0 && shape[size_t(last)] % width == 0);
  std::string ways = plan.ways;
  for (size_t k = 0; wide && k < inputs; ++k) {
    if (ways[k] == '1') continue;
    if (!flat && strides[k][size_t(last)] == 0) {
      ways[k] = '1';
      continue;
    }
    const size_t unit = std::min<size_t>(16, size_t(width) * args.in[k].itemsize());
    wide =
        reinterpret_cast<uintptr_t>(p.in[k]) % unit == 0 && (flat || strides[k][size_t(last)] == 1);
    for (int i = 0; !flat && i < last; ++i) wide = wide && strides[k][size_t(i)] % width == 0;
  }
  plan.layout = flat ? Layout::flat : wide ? Layout::rows : Layout::strided;
  if (wide) plan.ways = ways, plan.width = width;
  plan.groups = inputs > 2 || op.steps.size() > 8 ? 1 : 2;
  if (!wide) plan.groups *= 2;
  if (flat) return plan;
  p.count = int(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) {
    p.shape[i] = shape[i];
    for (size_t k = 0; k < inputs; ++k) p.stride[k][i] = strides[k][i];
  }
  return plan;
}

// Names the kernel of a program: all that its text depends on but the constants' values.
std::string signature(const Map& op, const Plan& plan, int capability) {
  std::string s{char(capability), char(plan.layout), char(plan.width), char(plan.groups)};
  s += plan.ways;
  for (const Map::Constant& c : op.constants) s += char('A' + int(c.dtype));
  for (Dtype d : op.inputs) s += char('a' + int(d));
  for (const Map::Step& step : op.steps) {
    s += char(step.op), s += char(step.dtype);
    for (int k = 0; k < info(step.op).arity; ++k) s += char(step.from[size_t(k)]);
  }
  s += ';';
  for (uint8_t r : op.results) s += char(r);
  return s;
}

cudaKernel_t kernel(const Map& op, const Plan& plan, CudaQueue& queue) {
  static std::mutex mutex;
  static auto& known = *new std::unordered_map<std::string, cudaKernel_t>;
  const int capability = queue.card().capability;
  const std::string name = signature(op, plan, capability);
  std::lock_guard lock(mutex);
  cudaKernel_t& k = known[name];
  if (!k) k = nvrtc::load(source(op, plan), "hearth_map", capability);
  return k;
}

// A program that only brings its operands to one dtype first, of arrays so small that its steps run
// sooner one by one than a program is compiled (some 0.1 s, once).
bool not_worth(const Map& op, std::span<const array> in) {
  if (!op.constants.empty() || !op.gives_last()) return false;
  for (size_t i = 0; i + 1 < op.steps.size(); ++i)
    if (op.steps[i].op != ElementOp::astype) return false;
  size_t largest = 0;
  for (const array& x : in) largest = std::max(largest, x.size());
  return largest < 32768;
}

}  // namespace

bool fits(const Map& op, std::span<const array> in) {
  if (in.size() > kMaxInputs || op.constants.size() > kMaxConstants ||
      op.results.size() > kMaxResults || not_worth(op, in))
    return false;
  for (const array& x : in)
    if (x.ndim() > kMaxAxes) return false;
  return nvrtc::available();
}

void run(const Map& op, const Args& args, CudaQueue& queue) {
  Params p = {};
  const Plan how = plan(op, args, queue, p);
  const int64_t tile = int64_t(kThreads) * how.width * how.groups;
  cudaLaunchConfig_t config = {};
  config.gridDim = unsigned((p.size + tile - 1) / tile), config.blockDim = kThreads;
  config.stream = queue.stream();
  void* parameters[] = {&p};
  check_cuda(cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(kernel(op, how, queue)),
                                 parameters),
             "kernel launch");
}

}  // namespace hearth::cuda::jit
