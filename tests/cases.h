// Cases that every backend runs: operands, the operation, and the values that another program
// expects (tools/goldens_elementwise.py).
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <sstream>

#include "hearth/ops/ops.h"
#include "tests/close.h"
#include "tests/ops/layouts.h"
#include "tests/shared.h"

namespace hearth::testing {

struct Case {
  std::string name;
  Arrays in;
  std::function<array(const Arrays&)> run;
  Dtype dtype;                    // of the result
  std::vector<std::byte> wanted;  // its elements
  std::vector<bool> open;         // nobody says what this element is
  Tolerance tolerance;
};

/// How far an operation may be from the rounded result, in f32 and f64; halves get 1 where it is
/// not 0, since they are rounded from such an f32.
struct Accuracy {
  double f32 = 0, f64 = 0, c64 = 0;
  double absolute = 0;  // of f32, and as many of its units in f64
};
inline Accuracy accuracy(const std::string& op) {
  static const std::map<std::string, Accuracy> known{
      // hearth's own in f32, libm in f64, NumPy's complex128 against libm's complex64.
      {"exp", {2, 1, 8}},
      {"expm1", {3, 1, 8}},
      {"log", {2, 1, 8}},
      {"log2", {3, 1, 8}},
      {"log10", {3, 2, 8}},
      {"log1p", {3, 1, 8}},
      {"sin", {2, 1, 8}},
      {"cos", {2, 1, 8}},
      {"tan", {4, 1, 8}},
      {"tanh", {3, 2, 8}},
      {"sigmoid", {4, 2, 8}},
      {"silu", {5, 3, 8, 2e-43}},  // -103 times a denormal
      {"erf", {3, 1}},
      {"erfinv", {4, 8}},  // in f32 2e-7 of the value, as backend/scalar.inc says
      {"arcsin", {2, 1, 8}},
      {"arccos", {2, 1, 8}},
      {"arctan", {2, 1, 8}},
      {"sinh", {3, 2, 8}},
      {"cosh", {3, 2, 8}},
      {"arcsinh", {3, 2, 8}},
      {"arccosh", {3, 2, 8}},
      {"arctanh", {3, 2, 8}},
      {"arctan2", {2, 1}},
      {"power", {2, 1, 64}},
      {"logaddexp", {4, 3, 16}},
      {"softplus", {4, 3}},
      {"gelu", {7, 300}},  // in f64 the argument of erfc is rounded, and its error grows with x^2
      // The argument of the sigmoid is x^3 large, and so is its error.
      {"gelu_approx", {24, 24}},
      {"rsqrt", {1, 1, 8}},  // two roundings
      {"degrees", {1, 1, 2}},
      {"radians", {1, 1, 2}},
      {"sqrt", {0, 0, 4}},
      {"reciprocal", {0, 0, 4}},
      {"divide", {0, 0, 4}},
      {"multiply", {0, 0, 4}},  // NumPy's float128 products are rounded once
      {"square", {0, 0, 4}},
      {"abs", {0, 0, 2}},
      {"sign", {0, 0, 2}},
  };
  const auto it = known.find(op);
  return it == known.end() ? Accuracy{} : it->second;
}

/// `words`: the bits of elements, in hexadecimal; "-" for an open one.
inline void read_elements(std::istringstream& words, Dtype d, std::vector<std::byte>& to,
                          std::vector<bool>& open) {
  for (std::string word; words >> word;) {
    open.push_back(word == "-");
    const uint64_t bits = word == "-" ? 0 : std::stoull(word, nullptr, 16);
    const auto* p = reinterpret_cast<const std::byte*>(&bits);
    to.insert(to.end(), p, p + size_of(d));
  }
}
inline array array_of(const std::vector<std::byte>& elements, Dtype d) {
  const std::string bytes(reinterpret_cast<const char*>(elements.data()), elements.size());
  return contiguous(from_bytes(bytes, {int(elements.size() / size_of(d))}, d));
}

/// Every elementwise operation on operands of one dtype.
inline std::vector<Case> elementwise_cases(Dtype d) {
  using Run = std::function<array(const Arrays&)>;
  static const std::map<std::string, std::pair<Run, int>> operations{
#define UNARY(op, ...) {#op, {[](const Arrays& in) { return op(in[0]); }, 1}},
#define BINARY(op, ...) {#op, {[](const Arrays& in) { return op(in[0], in[1]); }, 2}},
#define TERNARY(op, ...) {#op, {[](const Arrays& in) { return op(in[0], in[1], in[2]); }, 3}},
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
  };
  std::map<std::string, Dtype> dtypes;
  for (int i = 0; i < kDtypes; ++i) dtypes[std::string(to_string(Dtype(i)))] = Dtype(i);

  const std::string file(to_string(d));
  std::ifstream in(source_path(("tests/data/elementwise/" + file + ".txt").c_str()));
  EXPECT_TRUE(in) << file;
  std::map<std::string, array> operands;
  std::vector<Case> cases;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string name, dtype;
    words >> name;
    std::vector<std::byte> elements;
    std::vector<bool> open;
    if (name.size() == 1) {
      const Dtype of = name == "c" ? bool_ : d;
      read_elements(words, of, elements, open);
      operands.emplace(name, array_of(elements, of));
      continue;
    }
    Case c{name, {}, {}, d, {}, {}, {}};
    c.tolerance.signed_zero = true;
    if (name.starts_with("to_")) {
      c.dtype = dtypes.at(name.substr(3));
      c.in = {operands.at("x")};
      c.run = [to = c.dtype](const Arrays& in) { return astype(in[0], to); };
    } else {
      words >> dtype;
      c.dtype = dtypes.at(dtype);
      const auto& [run, arity] = operations.at(name);
      c.run = run;
      const array &a = operands.at("a"), &b = operands.at("b");
      c.in = arity == 1   ? Arrays{operands.at("x")}
             : arity == 2 ? Arrays{a, b}
                          : Arrays{operands.at("c"), a, b};
      const Accuracy t = accuracy(name);
      const bool complex = d == complex64;
      const double f32 = complex ? t.c64 : t.f32;
      c.tolerance.ulps = c.dtype == float64 ? t.f64 : c.dtype == float32 || complex ? f32 : f32 > 0;
      c.tolerance.absolute = c.dtype == float64 ? t.absolute * 0x1p-29 : t.absolute;
      c.tolerance.signed_zero =
          name != "maximum" && name != "minimum" && name != "relu" && !complex;
    }
    read_elements(words, c.dtype, c.wanted, c.open);
    cases.push_back(std::move(c));
  }
  return cases;
}

/// Compares all elements, in row-major order, whatever the layout of `got`.
inline void expect_case(const Case& c, const array& got, const std::string& where) {
  ASSERT_EQ(got.dtype(), c.dtype) << c.name << " " << where;
  const array flat = contiguous(got);
  flat.eval();
  ASSERT_EQ(flat.nbytes(), c.wanted.size()) << c.name << " " << where;
  const size_t item = size_of(c.dtype);
  for (size_t i = 0; i < flat.size(); ++i) {
    if (c.open[i]) continue;
    const std::string why =
        apart(flat.host_bytes() + i * item, c.wanted.data() + i * item, c.dtype, c.tolerance);
    if (why.empty()) continue;
    std::ostringstream operands;
    operands.precision(17);
    for (const array& x : c.in)
      operands << " " << load_element<complex64_t>(x.host_bytes() + i * x.itemsize(), x.dtype());
    ADD_FAILURE() << c.name << " " << where << " of" << operands.str() << ": " << why;
  }
}

}  // namespace hearth::testing
