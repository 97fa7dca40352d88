// Map: every elementwise operation, alone or joined, as one primitive that holds a short program.
// Included by primitives.h.
#pragma once
#include "hearth/ops/op.h"

namespace hearth {

/// The operations of elementwise.inc, and the change of dtype.
enum class ElementOp : uint8_t {
#define UNARY(name, ...) name,
#define BINARY(name, ...) name,
#define TERNARY(name, ...) name,
#include "hearth/ops/elementwise_names.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
  astype
};
inline constexpr int kElementOps = int(ElementOp::astype) + 1;

/// How the dtypes of the operands decide that of the result: see elementwise.inc.
enum class ResultRule : uint8_t { Same, Float, Bits, Compare, Logic, Part, Select };

struct ElementOpInfo {
  std::string_view name;
  int arity;
  std::string_view kinds;  // letters of Kind
  ResultRule rule;
  double domain[3][2];  // lowest and highest value of each operand, for tests

  bool accepts(Dtype d) const { return kinds.find("buifc"[int(kind_of(d))]) != kinds.npos; }
};
const ElementOpInfo& info(ElementOp op);
inline std::string_view to_string(ElementOp op) { return info(op).name; }

/// (...) x n -> (...) for each result, operands broadcast by their strides. Registers: the inputs,
/// then the constants, then one for each step. After each step the value is rounded to the
/// register's dtype, so that joined programs give the bits of separate ones.
struct Map : Op<Map, primitive_id::Map> {
  struct Constant {
    Dtype dtype;
    std::array<std::byte, 8> value{};  // one element
    template <Scalar T>
    explicit Constant(T v, Dtype d = default_dtype<T>()) : dtype(d) {
      store_element(value.data(), d, v);
    }
    HEARTH_FIELDS(dtype, value)
  };
  struct Step {
    ElementOp op;
    Dtype dtype;
    std::array<uint8_t, 3> from{};  // registers before its own; the first `arity` count
    HEARTH_FIELDS(op, dtype, from)
  };
  static constexpr int kMaxRegisters = 256;

  SmallVector<Dtype, 3> inputs;
  SmallVector<Constant, 1> constants;
  SmallVector<Step, 3> steps;
  SmallVector<uint8_t, 1> results;  // the registers that are given out, commonly the last

  int registers() const { return int(inputs.size() + constants.size() + steps.size()); }
  int first_step() const { return int(inputs.size() + constants.size()); }
  Dtype dtype(int reg) const;
  /// Appends a step; the register that holds its value.
  uint8_t add(Step step) {
    steps.push_back(step);
    return uint8_t(registers() - 1);
  }
  /// The value of the one and last step.
  bool gives_last() const { return results.size() == 1 && results[0] == registers() - 1; }

  HEARTH_FIELDS(inputs, constants, steps, results)
  std::string_view name() const override { return info(steps.back().op).name; }
  Specs infer(std::span<const array> in) const override;
  /// One node for each step: a program of one step, which takes its operands in order.
  std::optional<Arrays> decompose(const Arrays& in) const override;
  std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                const Arrays& d) const override;
  bool donates() const override { return true; }

 private:
  Arrays all_registers(const Arrays& in) const;
};

/// The program of one operation alone, on its operands in order: a type for each.
template <ElementOp op>
struct Elementwise : Map {};

/// The input itself; gradients end here. (...) -> the same, no kernel.
struct StopGradient : Op<StopGradient, primitive_id::StopGradient> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "stop_gradient"; }
  Specs infer(std::span<const array> in) const override { return {{in[0].shape(), in[0].dtype()}}; }
  std::optional<View> view(const View& from) const override { return from; }
  std::optional<Cotangents> vjp(const Arrays&, const Arrays&, const Arrays&) const override {
    return Cotangents{std::nullopt};
  }
};

}  // namespace hearth
