// Fused operations: norms, rotation, attention, linear layers.
#include <algorithm>
#include <cmath>

#include "hearth/ops/ops.h"
#include "tests/programs/program.h"

namespace hearth::testing {

namespace {

constexpr float kEps = 1e-5f;

void put(Value& out, Real y, Real error) {
  out.x.push_back(y);
  out.error.push_back(error + (size_of(out.dtype) == 2 ? step_at(y, out.dtype) : 0));
}
bool has_row(const Value& v) { return floating(v) && has_elements(v); }

/// in: x, then weight and bias as p[0] and p[1] say.
Operation norm(const char* name, bool rms) {
  return {name,
          [=](Maker& m) {
            const int x = m.any(has_row);
            const Shape row{m[x].shape.back()};
            Parameters p{double(m.below(2)), double(!rms && m.one_in(2))};
            std::vector<int> in{x};
            for (double given : p)
              if (given != 0) in.push_back(m.like(row, m[x].dtype));
            m.add(in, p);
          },
          [=](const Arrays& in, const Parameters& p) {
            std::optional<array> weight, bias;
            if (p[0] != 0) weight = in[1];
            if (p[1] != 0) bias = in.back();
            return Arrays{rms ? fast::rms_norm(in[0], weight, kEps)
                              : fast::layer_norm(in[0], weight, bias, kEps)};
          },
          [=](const Operands& in, const Parameters& p) {
            const Value& v = *in[0];
            const Real u = unit_of(v.dtype);
            const int n = v.shape.back();
            Value out{v.shape, v.dtype};
            for (size_t start = 0; start < v.x.size(); start += size_t(n)) {
              const Real* row = &v.x[start];
              Real mean = 0, sizes = 0, square = 0, slack = 0;
              for (int i = 0; i < n; ++i) mean += row[i] / n, sizes += std::abs(row[i]) / n;
              if (rms) mean = 0;
              const Real off = rms ? 0 : (n + 2) * u * sizes;
              for (int i = 0; i < n; ++i) {
                const Real d = std::abs(row[i] - mean), more = off + u * d;
                square += d * d / n;
                slack += (2 * d * more + more * more) / n;
              }
              slack += (n + 3) * u * square;
              const Real r = 1 / std::sqrt(square + Real(kEps));
              const Real relative = slack / (square + Real(kEps)) + 8 * u;
              for (int i = 0; i < n; ++i) {
                const Real d = row[i] - mean;
                Real y = d * r,
                     error = (off + u * std::abs(d)) * r * (1 + relative) + std::abs(y) * relative;
                if (p[0] != 0) y *= in[1]->x[size_t(i)], error *= std::abs(in[1]->x[size_t(i)]);
                error += 2 * u * std::abs(y);
                if (p[1] != 0) y += in.back()->x[size_t(i)];
                put(out, y, error + u * std::abs(y));
              }
            }
            return Values{out};
          }};
}

/// p: dims, traditional, the offset.
Operation rotation() {
  return {"rope",
          [](Maker& m) {
            const int x = m.any([](const Value& v) {
              return has_row(v) && v.shape.size() >= 3 && v.shape.back() >= 2;
            });
            const int most = m[x].shape.back() / 2;
            m.add({x}, {2.0 * m.between(1, most), double(m.below(2)), double(m.below(4))});
          },
          [](const Arrays& in, const Parameters& p) {
            return Arrays{fast::rope(in[0], int(p[0]), p[1] != 0, 10000.0f, 1.0f, int(p[2]))};
          },
          [](const Operands& in, const Parameters& p) {
            const Value& v = *in[0];
            const int dims = int(p[0]), half = dims / 2;
            Value out{v.shape, v.dtype};
            each_place(v.shape, [&](Place at, size_t k) {
              const int i = at.back();
              if (i >= dims) return put(out, v.x[k], 0);
              const bool first = p[1] != 0 ? i % 2 == 0 : i < half;
              const int pair = p[1] != 0 ? i / 2 : i % half;
              at.back() = p[1] != 0 ? (first ? i + 1 : i - 1) : (first ? i + half : i - half);
              const Real other = v.x[offset_of(v.shape, at)];
              const Real theta =
                  (p[2] + at[at.size() - 2]) * std::pow(Real(10000), -Real(pair) / half);
              const Real s = first ? -std::sin(theta) : std::sin(theta);
              // Angles are floats, whatever the dtype.
              put(out, v.x[k] * std::cos(theta) + other * s,
                  0x1p-24L * (8 + 8 * theta) * (std::abs(v.x[k]) + std::abs(other)));
            });
            return Values{out};
          }};
}

/// in: q (B, H, L, D), k and v (B, Hkv, S, D), a mask; p: how it is masked (0 no, 1 causal, 2
/// booleans, 3 added).
Operation attention() {
  return {"scaled_dot_product_attention",
          [](Maker& m) {
            const int q = m.any([](const Value& v) {
              return has_row(v) && v.shape.size() == 4 && v.x.size() < 400;
            });
            const Shape s = m[q].shape;
            const Dtype d = m[q].dtype;
            const int how = m.below(4), heads = s[1] % 2 == 0 && m.one_in(2) ? s[1] / 2 : s[1];
            const int S = how == 1 ? s[2] + m.below(3) : m.between(1, 5);
            std::vector<int> in{q, m.like({s[0], heads, S, s[3]}, d)};
            in.push_back(m.like(m[in[1]].shape, d));
            if (how >= 2)
              in.push_back(m.broadcasting(
                  {s[0], s[1], s[2], S}, [&](Dtype t) { return t == (how == 2 ? bool_ : d); },
                  how == 2 ? bool_ : d));
            m.add(in, {double(how)});
          },
          [](const Arrays& in, const Parameters& p) {
            std::optional<array> mask;
            if (p[0] >= 2) mask = in[3];
            return Arrays{fast::scaled_dot_product_attention(in[0], in[1], in[2], 0.5f,
                                                             p[0] == 1 ? "causal" : "", mask)};
          },
          [](const Operands& in, const Parameters& p) {
            const Value &q = *in[0], &k = *in[1], &v = *in[2];
            const int H = q.shape[1], L = q.shape[2], D = q.shape[3], S = k.shape[2];
            const int share = H / k.shape[1];
            // Halves may be what the products read: scaled queries, weights.
            const Real u = q.dtype == float64   ? 0x1p-53L
                           : q.dtype == float32 ? 0x1p-24L
                           : q.dtype == float16 ? 0x1p-11L
                                                : 0x1p-8L;
            std::optional<Value> mask;
            if (p[0] >= 2) mask = broadcast(*in[3], {q.shape[0], H, L, S});
            Value out{q.shape, q.dtype};
            each_place({q.shape[0], H, L}, [&](const Place& at, size_t) {
              const Place kv{at[0], at[1] / share, 0, 0};
              const size_t first = offset_of(k.shape, kv);
              const Real* query = &q.x[offset_of(q.shape, {at[0], at[1], at[2], 0})];
              std::vector<Real> scores, off;
              Real most = -1e30L, slack = 0;
              for (int s = 0; s < S; ++s) {
                Real x = 0, size = 0;
                for (int i = 0; i < D; ++i) {
                  const Real term = query[i] * k.x[first + size_t(s * D + i)] / 2;
                  x += term, size += std::abs(term);
                }
                bool hidden = p[0] == 1 && s > at[2] + S - L;
                if (mask) {
                  const Real by = mask->x[offset_of(mask->shape, {at[0], at[1], at[2], s})];
                  if (p[0] == 2) hidden = by == 0;
                  if (p[0] == 3) x += by, size += std::abs(by);
                }
                scores.push_back(hidden ? -1e30L : x);
                off.push_back((D + 4) * u * size);
                most = std::max(most, scores.back());
              }
              Real sum = 0;
              for (int s = 0; s < S; ++s) {
                const Real e = std::exp(scores[size_t(s)] - most);
                sum += e;
                if (e > 0)
                  slack = std::max(slack, 2 * off[size_t(s)] + u * (most - scores[size_t(s)]));
              }
              for (int i = 0; i < D; ++i) {
                Real y = 0, size = 0;
                for (int s = 0; s < S; ++s) {
                  const Real term =
                      std::exp(scores[size_t(s)] - most) / sum * v.x[first + size_t(s * D + i)];
                  y += term, size += std::abs(term);
                }
                put(out, y, size * (2 * std::expm1(std::min(slack, Real(50))) + (2 * S + 16) * u));
              }
            });
            return Values{out};
          }};
}

/// in: x (..., k), weight (n, k), bias (n) and residual (..., n) as p[0] and p[1] say.
Operation linear_layer() {
  return {"linear",
          [](Maker& m) {
            const int x = m.any([](const Value& v) { return has_row(v) && v.x.size() < 400; });
            const Dtype d = m[x].dtype;
            const int n = m.size();
            Shape y = m[x].shape;
            y.back() = n;
            const Parameters p{double(m.below(2)), double(m.below(2)), double(m.below(2))};
            std::vector<int> in{x, m.like({n, m[x].shape.back()}, d)};
            if (p[0] != 0) in.push_back(m.like({n}, d));
            if (p[1] != 0) in.push_back(m.like(y, d));
            m.add(in, p);
          },
          [](const Arrays& in, const Parameters& p) {
            std::optional<array> bias, residual;
            if (p[0] != 0) bias = in[2];
            if (p[1] != 0) residual = in.back();
            return Arrays{fast::linear(in[0], in[1], bias,
                                       p[2] != 0 ? fast::Activation::relu : fast::Activation::none,
                                       residual)};
          },
          [](const Operands& in, const Parameters& p) {
            const Value &x = *in[0], &w = *in[1];
            const int k = w.shape[1], n = w.shape[0];
            Value out{x.shape, x.dtype};
            out.shape.back() = n;
            for (size_t row = 0; row < x.x.size() / size_t(k); ++row)
              for (int j = 0; j < n; ++j) {
                Real y = 0, size = 0;
                for (int i = 0; i < k; ++i) {
                  const Real term = x.x[row * size_t(k) + size_t(i)] * w.x[size_t(j * k + i)];
                  y += term, size += std::abs(term);
                }
                if (p[0] != 0) y += in[2]->x[size_t(j)], size += std::abs(in[2]->x[size_t(j)]);
                if (p[2] != 0) y = std::max(y, Real(0));
                if (p[1] != 0) {
                  const Real r = in.back()->x[row * size_t(n) + size_t(j)];
                  y += r, size += std::abs(r);
                }
                put(out, y, unit_of(x.dtype) * size * (k + 3));
              }
            return Values{out};
          }};
}

}  // namespace

std::vector<Operation> layers() {
  return {norm("layer_norm", false), norm("rms_norm", true), rotation(), attention(),
          linear_layer()};
}

}  // namespace hearth::testing
