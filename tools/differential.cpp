// For tools/differential.py: reads operands from a .npz ("7/matmul/0", "7/matmul/1" ...), applies
// the operations and writes the results ("7/0"; "7/error" where one threw).
#include <fstream>
#include <map>
#include <sstream>

#include "hearth/hearth.h"

using namespace hearth;
using Operation = std::function<Arrays(const Arrays&)>;

static const std::map<std::string, Operation>& operations() {
#define ONE(name, ...)            \
  {                               \
    name, [](const Arrays& in) {  \
      const array& a = in[0];     \
      (void)a;                    \
      return Arrays{__VA_ARGS__}; \
    }                             \
  }
#define TWO(name, ...)                    \
  {                                       \
    name, [](const Arrays& in) {          \
      const array &a = in[0], &b = in[1]; \
      return Arrays{__VA_ARGS__};         \
    }                                     \
  }
  static const std::map<std::string, Operation> all = {
#define UNARY(name, ...) {#name, [](const Arrays& in) { return Arrays{name(in[0])}; }},
#define BINARY(name, ...) {#name, [](const Arrays& in) { return Arrays{name(in[0], in[1])}; }},
#define TERNARY(name, ...) \
  {#name, [](const Arrays& in) { return Arrays{name(in[0], in[1], in[2])}; }},
#include "hearth/ops/elementwise.inc"
#undef UNARY
#undef BINARY
#undef TERNARY
      ONE("sum", sum(a, -1)),
      ONE("sum_all", sum(a)),
      ONE("prod", prod(a, 0)),
      ONE("mean", mean(a, -1)),
      ONE("max", max(a, 0)),
      ONE("min", min(a, -1)),
      ONE("argmax", argmax(a, -1)),
      ONE("argmin", argmin(a, 0)),
      ONE("var", var(a, -1)),
      ONE("std", hearth::std(a, 0, false, 1)),
      ONE("median", median(a, -1)),
      ONE("cumsum", cumsum(a, -1)),
      ONE("cumprod", cumprod(a, 0)),
      ONE("sort", sort(a, -1)),
      ONE("argsort", argsort(a, 0)),
      ONE("flip", flip(a, 0)),
      ONE("roll", roll(a, 2, -1)),
      ONE("transpose", transpose(a)),
      ONE("tril", tril(a)),
      ONE("triu", triu(a, 1)),
      ONE("diagonal", diagonal(a, 1)),
      ONE("trace", trace(a)),
      ONE("diff", diff(a)),
      ONE("tile", tile(a, {2, 3})),
      ONE("repeat", repeat(a, 3, -1)),
      ONE("pad_edge", pad(a, 2, array(0), "edge")),
      ONE("pad_reflect", pad(a, 1, array(0), "reflect")),
      ONE("every_second", a[{ellipsis, Slice({}, {}, 2)}]),
      ONE("backwards", a[{Slice({}, {}, -1), 1}]),
      ONE("positive_ones", a[a > 0]),
      ONE("new_axes", a[{newaxis, ellipsis, newaxis, 0}]),
      TWO("by_indices", a[{Slice(), b}]),
      TWO("by_two_indices", a[{b, b}]),
      TWO("matmul", matmul(a, b)),
      TWO("tensordot", tensordot(a, b, 1)),
      TWO("kron", kron(a, b)),
      TWO("outer", outer(a, b)),
      TWO("inner", inner(a, b)),
      TWO("einsum_ij_jk_ki", einsum("ij,jk->ki", {a, b})),
      TWO("einsum_ij_ij", einsum("ij,ij->", {a, b})),
      TWO("einsum_dots", einsum("...j,kj->...k", {a, b})),
      ONE("fft", fft::fft(a)),
      ONE("ifft", fft::ifft(a, 0)),
      ONE("fft2", fft::fft2(a)),
      ONE("rfft", fft::rfft(a)),
      ONE("irfft", fft::irfft(a)),
      ONE("fft_12", fft::fft(a, 12, -1)),
      ONE("inv", linalg::inv(a)),
      ONE("det", linalg::det(a)),
      ONE("pinv", linalg::pinv(a)),
      ONE("norm", linalg::norm(a)),
      ONE("norm_nuc", linalg::norm(a, "nuc")),
      ONE("norm_2", linalg::norm(a, 2.0)),
      ONE("norm_1", linalg::norm(a, 1.0)),
      ONE("svdvals", linalg::svd(a, false, {})[0]),
      ONE("eigvalsh", linalg::eigvalsh(a)),
      TWO("solve", linalg::solve(a, b)),
      TWO("cross", linalg::cross(a, b)),
      TWO("searchsorted", searchsorted(sort(flatten(a)), b)),
      ONE("unique_sorted", unique(a, 5)[0]),
      TWO("take_along_axis", take_along_axis(a, b, -1)),
  };
  return all;
}

int main(int, char** argv) {
  std::map<std::string, Arrays> cases;
  for (const auto& [key, value] : load_npz(argv[1])) {
    const size_t last = key.rfind('/');
    Arrays& in = cases[key.substr(0, last)];
    const auto place = size_t(std::stoi(key.substr(last + 1)));
    in.resize(std::max(in.size(), place + 1), value);
    in[place] = value;
  }
  Tensors out;
  for (const auto& [name, in] : cases) {
    const size_t slash = name.find('/');
    const std::string number = name.substr(0, slash);
    try {
      const Arrays results = operations().at(name.substr(slash + 1))(in);
      for (size_t i = 0; i < results.size(); ++i) {
        const array y = results[i].dtype() == bfloat16 ? astype(results[i], float32) : results[i];
        y.eval();
        out.insert_or_assign(number + "/" + std::to_string(i), y);
      }
    } catch (const std::exception& e) {
      out.insert_or_assign(number + "/error", array(std::string_view(e.what()).size()));
    }
  }
  save_npz(argv[2], out);
}
