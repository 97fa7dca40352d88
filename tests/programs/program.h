// Random programs: operations described once (how operands are drawn, what hearth calls, what a
// plain loop computes), and graphs of them as data.
#pragma once
#include <functional>
#include <optional>

#include "tests/programs/values.h"

namespace hearth::testing {

class Maker;

struct Operation {
  std::string name;
  /// Adds an operation to the program; throws Maker::Unfit if it has no operands for it.
  std::function<void(Maker&)> draw;
  std::function<Arrays(const Arrays&, const Parameters&)> run;
  /// Of exact operands; the results are not rounded to their dtypes yet.
  std::function<Values(const Operands&, const Parameters&)> plain;
};
/// All there are, from the files *_ops.cpp.
const std::vector<Operation>& operations();
std::vector<Operation> elementwise_operations();
std::vector<Operation> reductions();
std::vector<Operation> movements();
std::vector<Operation> cuts();
std::vector<Operation> lookups();
std::vector<Operation> products();
std::vector<Operation> layers();

/// An argument or an operation; its results are the program's next values.
struct Step {
  const Operation* operation;  // null: an argument
  std::vector<int> in = {};    // values of the steps before
  Parameters parameters = {};
  int results = 1;
};
struct Program {
  uint64_t seed = 0;
  bool smooth = false;
  std::vector<Step> steps = {};
  Values arguments = {};          // in the order of their steps
  std::vector<int> outputs = {};  // values
};
std::string to_string(const Program& p);

/// Of 5 to 50 steps. A smooth one has float64 and integers only.
Program random_program(uint64_t seed, bool smooth);
/// All values. Empty where the program leaves what it was made for: numbers that are not finite,
/// too large or too small.
std::optional<Values> interpret(const Program& p, const Values& arguments);
/// Other arguments of the same shapes and dtypes.
Values other_arguments(const Program& p, uint64_t seed);

/// The smallest program found that still fails, and how. `fails` gives the value that is wrong (-1:
/// unknown) and why.
struct Failure {
  int value;
  std::string why;
};
using Check = std::function<std::optional<Failure>(const Program&)>;
std::pair<Program, Failure> smallest(Program p, Failure failure, const Check& check);

/// Draws a program step by step, and knows its values.
class Maker {
 public:
  struct Unfit {};
  Maker(uint64_t seed, bool smooth);
  Program program(int steps);

  uint64_t random();
  int below(int n) { return int(random() % uint64_t(n)); }
  int between(int low, int high) { return low + below(high - low + 1); }
  bool one_in(int n) { return below(n) == 0; }

  const Value& operator[](int value) const { return values_[size_t(value)]; }
  /// A value that fits; late ones more often.
  int any(const std::function<bool(const Value&)>& fits);
  int any_float();
  int any_integer();
  /// The value, limited to numbers from low to high if it is not within them.
  int within(int value, double low, double high);
  /// A value of that shape and dtype, or a new argument.
  int like(const Shape& shape, Dtype dtype);
  /// A value that broadcasts to that shape, or a new argument.
  int broadcasting(const Shape& shape, const std::function<bool(Dtype)>& fits, Dtype otherwise);
  int argument(Value v);
  /// Of numbers for arguments, as programs have them.
  Value numbers(const Shape& shape, Dtype dtype);
  Shape shape();
  int size();
  Dtype dtype();
  int axis(int value) { return between(0, int((*this)[value].shape.size()) - 1); }
  /// Some of the axes, ascending; all of them at times.
  std::vector<int> axes(int value, bool may_be_none = false);

  /// Adds the operation that is being drawn.
  void add(std::vector<int> in, Parameters parameters = {});

 private:
  void add(const Operation& operation, std::vector<int> in, Parameters parameters);
  uint64_t state_;
  bool smooth_;
  std::vector<int> sizes_;  // the program's favourite sizes of axes
  Program program_;
  Values values_;
  const Operation* drawn_ = nullptr;
};

// What the tables of operations have in common.
inline bool any_ndim(const Value&) { return true; }
inline bool has_axis(const Value& v) { return !v.shape.empty(); }
inline bool has_elements(const Value& v) { return has_axis(v) && !v.x.empty(); }
inline bool floating(const Value& v) { return is_floating(v.dtype); }
inline Dtype at_least_f32(Dtype d) { return is_floating(d) ? d : float32; }
/// b laid on a: set, added, multiplied, the larger, the smaller.
Real met(int how, Dtype d, Real a, Real b);
template <class C>
std::vector<int> integers(const C& numbers) {
  return std::vector<int>(numbers.begin(), numbers.end());
}
inline Parameters parameters(const std::vector<int>& numbers) {
  return Parameters(numbers.begin(), numbers.end());
}

}  // namespace hearth::testing
