// Products: each is einsum by its formula, and convolutions. k terms whose absolute values sum to S
// err by k S units at most, in any order.
#include <algorithm>
#include <cmath>
#include <map>

#include "hearth/ops/einsum.h"
#include "hearth/ops/ops.h"
#include "tests/programs/program.h"

namespace hearth::testing {

namespace {

/// A sum of products, and of their absolute values.
struct Sum {
  Real x = 0, size = 0;
  int terms = 0;
  void add(Real term) { x += term, size += std::abs(term), ++terms; }
  /// As hearth keeps it: in f32 or f64, halves rounded behind.
  Real error(Dtype d) const {
    return unit_of(d) * size * (terms + 1) + (size_of(d) == 2 ? step_at(x, d) : 0);
  }
};
Dtype product_dtype(const Operands& in) {
  Dtype d = in[0]->dtype;
  for (const Value* v : in) d = promote_types(d, v->dtype);
  return d;
}
void put(Value& out, const Sum& s) {
  out.x.push_back(s.x);
  out.error.push_back(s.error(out.dtype));
}

/// "ij,jk->ik" of two operands, by the definition.
Value einsum_of(const std::string& formula, const Operands& in) {
  const size_t comma = formula.find(','), arrow = formula.find("->");
  const std::string names[] = {formula.substr(0, comma),
                               formula.substr(comma + 1, arrow - comma - 1)};
  const std::string result = formula.substr(arrow + 2);
  std::map<char, int> sizes;
  for (size_t i = 0; i < 2; ++i)
    for (size_t k = 0; k < names[i].size(); ++k) sizes[names[i][k]] = in[i]->shape[k];
  std::string summed;
  for (const auto& entry : sizes)
    if (result.find(entry.first) == std::string::npos) summed += entry.first;
  const auto shape_of = [&](const std::string& letters) {
    Shape s;
    for (char c : letters) s.push_back(sizes[c]);
    return s;
  };
  Value out{shape_of(result), product_dtype(in)};
  const Value a = as(*in[0], out.dtype), b = as(*in[1], out.dtype);
  std::map<char, int> at;
  const auto element = [&](const Value& v, const std::string& letters) {
    Place p;
    for (char c : letters) p.push_back(at[c]);
    return v.x[offset_of(v.shape, p)];
  };
  each_place(out.shape, [&](const Place& place, size_t) {
    for (size_t k = 0; k < result.size(); ++k) at[result[k]] = place[k];
    Sum s;
    each_place(shape_of(summed), [&](const Place& inner, size_t) {
      for (size_t k = 0; k < summed.size(); ++k) at[summed[k]] = inner[k];
      s.add(element(a, names[0]) * element(b, names[1]));
    });
    put(out, s);
  });
  return out;
}

/// What computes a formula; the operands' letters are of one case.
using Run = std::function<array(const array&, const array&)>;
struct Product {
  const char *name, *formula;
  Run run;
};
Run einsum_by(const char* formula) {
  return [formula](const array& a, const array& b) { return einsum(formula, {a, b}); };
}
Run matmul_of() {
  return [](const array& a, const array& b) { return matmul(a, b); };
}
/// matmul of operands of which one or both are views, as a program has them that transposes.
Run matmul_turned(bool first, bool second) {
  return [first, second](const array& a, const array& b) {
    return matmul(first ? swapaxes(a, -1, -2) : a, second ? swapaxes(b, -1, -2) : b);
  };
}
std::vector<Product> product_lines() {
  return {
      {"matmul", "ij,jk->ik", matmul_of()},
      {"matmul", "i,ij->j", matmul_of()},
      {"matmul", "ij,j->i", matmul_of()},
      {"matmul", "i,i->", matmul_of()},
      {"matmul", "bij,bjk->bik", matmul_of()},
      {"matmul", "bij,jk->bik", matmul_of()},
      {"matmul", "ij,bjk->bik", matmul_of()},
      {"matmul", "abij,abjk->abik", matmul_of()},
      {"matmul", "abij,bjk->abik", matmul_of()},
      {"matmul with a turned", "ji,jk->ik", matmul_turned(true, false)},
      {"matmul with b turned", "ij,kj->ik", matmul_turned(false, true)},
      {"matmul with both turned", "bji,bkj->bik", matmul_turned(true, true)},
      {"einsum", "ij,jk->ik", einsum_by("ij,jk->ik")},
      {"einsum", "ij,jk->ki", einsum_by("ij,jk->ki")},
      {"einsum", "bij,bkj->bik", einsum_by("bij,bkj->bik")},
      {"einsum", "ibj,jkb->kbi", einsum_by("ibj,jkb->kbi")},
      {"einsum", "ij,ij->", einsum_by("ij,ij->")},
      {"einsum", "i,j->ji", einsum_by("i,j->ji")},
      {"einsum", "ijk,ik->j", einsum_by("ijk,ik->j")},
      {"einsum", "ijk,jk->kji", einsum_by("ijk,jk->kji")},
      {"inner", "ij,kj->ik", [](const array& a, const array& b) { return inner(a, b); }},
      {"outer", "i,j->ij", [](const array& a, const array& b) { return outer(a, b); }},
      {"tensordot", "ijk,jkl->il",
       [](const array& a, const array& b) { return tensordot(a, b, 2); }},
      {"tensordot of axes", "ijk,kmi->jm",
       [](const array& a, const array& b) {
         return tensordot(a, b, {0, 2}, {2, 0});
       }},
      {"vecdot", "ij,ij->i", [](const array& a, const array& b) { return vecdot(a, b); }},
  };
}
Operation product(const Product& line) {
  const std::string formula = line.formula;
  const size_t comma = formula.find(','), arrow = formula.find("->");
  return {
      concat(line.name, " ", formula),
      [=](Maker& m) {
        const std::string a = formula.substr(0, comma);
        const std::string b = formula.substr(comma + 1, arrow - comma - 1);
        const int x = m.any([&](const Value& v) {
          return floating(v) && v.shape.size() == a.size() && v.x.size() < 600;
        });
        Shape s;
        for (char c : b) {
          const size_t k = a.find(c);
          s.push_back(k == std::string::npos ? m.size() : m[x].shape[k]);
        }
        const Dtype other = m.dtype();
        m.add({x, m.like(s, is_floating(other) && m.one_in(3) ? other : m[x].dtype)});
      },
      [run = line.run](const Arrays& in, const Parameters&) { return Arrays{run(in[0], in[1])}; },
      [formula](const Operands& in, const Parameters&) { return Values{einsum_of(formula, in)}; }};
}
/// p: alpha, beta.
Operation addmm_of() {
  return {"addmm ij,jk->ik",
          [](Maker& m) {
            const int a = m.any([](const Value& v) {
              return floating(v) && v.shape.size() == 2 && v.x.size() < 600;
            });
            const Dtype d = m[a].dtype;
            const int b = m.like({m[a].shape[1], m.size()}, d);
            const int c = m.broadcasting(
                {m[a].shape[0], m[b].shape[1]}, [&](Dtype own) { return own == d; }, d);
            m.add({c, a, b}, {m.one_in(2) ? 1.0 : 0.5, m.one_in(2) ? 1.0 : -2.0});
          },
          [](const Arrays& in, const Parameters& p) {
            return Arrays{addmm(in[0], in[1], in[2], float(p[0]), float(p[1]))};
          },
          [](const Operands& in, const Parameters& p) {
            Value out = einsum_of("ij,jk->ik", {in[1], in[2]});
            const Value c = broadcast(*in[0], out.shape);
            const Real step =
                size_of(out.dtype) == 2 ? (out.dtype == float16 ? 0x1p-10L : 0x1p-7L) : 0;
            for (size_t i = 0; i < out.x.size(); ++i) {
              const Real ab = Real(p[0]) * out.x[i], by = Real(p[1]) * c.x[i];
              // Each step may be an operation of its own, that rounds.
              out.error[i] = std::abs(Real(p[0])) * out.error[i] +
                             (4 * unit_of(out.dtype) + step) * (std::abs(ab) + std::abs(by));
              out.x[i] = ab + by;
            }
            return Values{out};
          }};
}

/// A convolution of `axes` axes; p: groups, then of each axis stride, padding, dilation.
struct Convolution {
  int groups;
  std::vector<int> stride, padding, dilation;
  explicit Convolution(const Parameters& p) : groups(int(p[0])) {
    for (size_t i = 1; i < p.size(); i += 3) {
      stride.push_back(int(p[i])), padding.push_back(int(p[i + 1])),
          dilation.push_back(int(p[i + 2]));
    }
  }
};
Operation convolution(const char* name, size_t axes, bool transposed) {
  return {
      name,
      [=](Maker& m) {
        const int x = m.any([&](const Value& v) {
          return floating(v) && v.shape.size() == axes + 2 && !v.x.empty() && v.x.size() < 400;
        });
        const Shape in = m[x].shape;
        Parameters p{double(!transposed && in.back() % 2 == 0 && m.one_in(3) ? 2 : 1)};
        Shape w{m.between(1, 3) * int(p[0])};
        for (size_t k = 0; k < axes; ++k) {
          const int n = in[k + 1], stride = m.one_in(3) ? 2 : 1, padding = m.below(3);
          const int most = n + 2 * padding, K = m.between(1, std::min(3, most));
          const int dilation = K > 1 && (K - 1) * 2 < most && m.one_in(3) ? 2 : 1;
          w.push_back(K);
          for (int i :
               {stride, transposed ? std::min(padding, (K - 1) * dilation / 2) : padding, dilation})
            p.push_back(i);
        }
        w.push_back(in.back() / int(p[0]));
        m.add({x, m.like(w, m[x].dtype)}, p);
      },
      [=](const Arrays& in, const Parameters& p) {
        const Convolution c(p);
        if (!transposed && axes == 1 && p[0] == 1)
          return Arrays{conv1d(in[0], in[1], c.stride[0], c.padding[0], c.dilation[0])};
        if (!transposed)
          return Arrays{conv_general(in[0], in[1], c.stride, c.padding, c.dilation, {}, c.groups)};
        return Arrays{conv_transpose1d(in[0], in[1], c.stride[0], c.padding[0], c.dilation[0])};
      },
      [=](const Operands& in, const Parameters& p) {
        const Convolution c(p);
        const Value &x = *in[0], &w = *in[1];
        const int O = w.shape[0], C = w.shape[int(axes) + 1];
        Shape out_shape{x.shape[0]}, taps;
        for (size_t k = 0; k < axes; ++k) {
          const int L = x.shape[k + 1], K = (w.shape[k + 1] - 1) * c.dilation[k];
          out_shape.push_back(transposed ? (L - 1) * c.stride[k] - 2 * c.padding[k] + K + 1
                                         : (L + 2 * c.padding[k] - K - 1) / c.stride[k] + 1);
          taps.push_back(w.shape[k + 1]);
        }
        out_shape.push_back(O);
        Value out{out_shape, product_dtype(in)};
        each_place(out_shape, [&](const Place& at, size_t) {
          Sum s;
          const int o = at.back(), first = o / (O / c.groups) * C;
          each_place(taps, [&](const Place& tap, size_t) {
            Place from{at[0]}, weight{o};
            for (size_t k = 0; k < axes; ++k) {
              int i = at[k + 1];
              if (transposed) {
                i = i + c.padding[k] - tap[k] * c.dilation[k];
                if (i % c.stride[k] != 0) return;
                i /= c.stride[k];
              } else {
                i = i * c.stride[k] - c.padding[k] + tap[k] * c.dilation[k];
              }
              if (i < 0 || i >= x.shape[k + 1]) return;
              from.push_back(i), weight.push_back(tap[k]);
            }
            from.push_back(0), weight.push_back(0);
            for (int ch = 0; ch < C; ++ch) {
              from.back() = first + ch, weight.back() = ch;
              s.add(x.x[offset_of(x.shape, from)] * w.x[offset_of(w.shape, weight)]);
            }
          });
          put(out, s);
        });
        return Values{out};
      }};
}

}  // namespace

std::vector<Operation> products() {
  std::vector<Operation> out;
  for (const Product& line : product_lines()) out.push_back(product(line));
  out.push_back(addmm_of());
  out.push_back(convolution("conv1d", 1, false));
  out.push_back(convolution("conv2d", 2, false));
  out.push_back(convolution("conv_transpose1d", 1, true));
  return out;
}

}  // namespace hearth::testing
