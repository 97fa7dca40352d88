#include "hearth/ops/recurrent.h"

#include "hearth/ops/create.h"
#include "hearth/ops/index.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives_layers.h"
#include "hearth/ops/reduce.h"
#include "hearth/ops/wide.h"

namespace hearth::fast {
namespace {

void check_shape(std::string_view op, std::string_view what, const array& a, const Shape& wanted) {
  check(a.shape() == wanted, op, ": wanted ", what, " of shape ", wanted, ", got ", a.shape());
}
/// x[:, from:to] along axis 1.
array rows(const array& x, int from, int to) {
  Shape start(size_t(x.ndim()), 0), stop = x.shape();
  start[1] = from, stop[1] = to;
  return slice(x, start, stop);
}

}  // namespace

Recurrent causal_conv(const array& x, const array& weight, const array& state,
                      const std::optional<array>& bias, Activation activation,
                      const std::optional<array>& lengths, StreamOrDevice s) {
  StreamScope scope(s);
  Arrays in{x, weight, state};
  if (bias) in.push_back(*bias);
  if (lengths) in.push_back(*lengths);
  const Arrays out = apply_all(
      std::make_shared<CausalConv>(activation, bias.has_value(), lengths.has_value()), in);
  return {out[0], out[1]};
}

Specs CausalConv::infer(std::span<const array> in) const {
  constexpr std::string_view op = "causal_conv";
  const array &x = in[0], &weight = in[1], &state = in[2];
  check(x.ndim() == 3, op, ": wanted x (B, L, C), got ", x.shape());
  check(is_floating(x.dtype()), op, ": wanted a floating dtype, got ", x.dtype());
  const int B = x.shape(0), C = x.shape(2);
  check(weight.ndim() == 2 && weight.shape(0) == C && weight.shape(1) > 0, op,
        ": wanted a weight (", C, ", 1 or more), got ", weight.shape());
  check_shape(op, "a state", state, {B, weight.shape(1) - 1, C});
  if (bias) check_shape(op, "a bias", in[3], {C});
  for (size_t i = 1; i < size_t(3 + bias); ++i)
    check(in[i].dtype() == x.dtype(), op, ": wanted one dtype, got ", x.dtype(), " and ",
          in[i].dtype(), "; cast with astype");
  if (has_lengths) {
    const array& lengths = in.back();
    check(lengths.dtype() == int32, op, ": wanted int32 lengths, got ", lengths.dtype());
    check_shape(op, "lengths", lengths, {B});
  }
  return {{x.shape(), x.dtype()}, {state.shape(), x.dtype()}};
}

std::optional<Arrays> CausalConv::decompose(const Arrays& in) const {
  const array &x = in[0], &weight = in[1];
  const int B = x.shape(0), L = x.shape(1), C = x.shape(2), K = weight.shape(1);
  const array all = concatenate({in[2], x}, 1), wide = widen(all);  // (B, K - 1 + L, C)
  const array taps = widen(weight);
  std::optional<array> sum;
  if (bias) sum = widen(in[3]);
  for (int j = 0; j < K; ++j) {
    const array tap = reshape(slice(taps, {0, j}, {C, j + 1}), {C});
    const array term = multiply(rows(wide, j, j + L), tap);
    sum = sum ? add(*sum, term) : term;
  }
  array state = rows(all, L, L + K - 1);
  if (has_lengths) {
    const array at =
        add(reshape(in.back(), {B, 1, 1}), reshape(arange(0, K - 1, 1), {1, K - 1, 1}));
    state = take_along_axis(all, broadcast_to(at, {B, K - 1, C}), 1);
  }
  return Arrays{astype(activate(*sum, activation), x.dtype()), state};
}

Recurrent gated_delta(const array& q, const array& k, const array& v, const array& decay,
                      const std::optional<array>& beta, const array& state, StreamOrDevice s) {
  StreamScope scope(s);
  const Dtype wide = wide_of(q.dtype());
  Arrays in{q, k, v, astype(decay, wide), state};
  if (beta) in.push_back(astype(*beta, wide));
  const Arrays out = apply_all(std::make_shared<GatedDelta>(beta.has_value()), in);
  return {out[0], out[1]};
}

Specs GatedDelta::infer(std::span<const array> in) const {
  constexpr std::string_view op = "gated_delta";
  const array &q = in[0], &k = in[1], &v = in[2], &state = in[4];
  check(q.ndim() == 4 && v.ndim() == 4, op, ": wanted q (B, L, Hk, Dk) and v (B, L, H, Dv), got ",
        q.shape(), " and ", v.shape());
  check_shape(op, "k", k, q.shape());
  const int B = q.shape(0), L = q.shape(1), Hk = q.shape(2), H = v.shape(2);
  check(v.shape(0) == B && v.shape(1) == L, op, ": q is ", q.shape(), ", v ", v.shape(),
        ": wanted as many rows and positions");
  check(Hk > 0 && H % Hk == 0, op, ": wanted a multiple of ", Hk, " heads of v, got ", H);
  check(is_floating(q.dtype()) && k.dtype() == q.dtype() && v.dtype() == q.dtype(), op,
        ": wanted q, k and v of one floating dtype, got ", q.dtype(), ", ", k.dtype(), " and ",
        v.dtype());
  check_shape(op, "a decay", in[3], {B, L, H});
  check_shape(op, "a state", state, {B, H, q.shape(3), v.shape(3)});
  if (delta) check_shape(op, "a beta", in[5], {B, L, H});
  const Dtype wide = wide_of(q.dtype());
  for (const array& x : in.subspan(3))
    check(x.dtype() == wide, op, ": wanted a decay, beta and state of ", wide, ", got ", x.dtype());
  return {{v.shape(), q.dtype()}, {state.shape(), wide}};
}

// One position after the other.
std::optional<Arrays> GatedDelta::decompose(const Arrays& in) const {
  const array& v = in[2];
  const int B = v.shape(0), L = v.shape(1), H = v.shape(2), Dk = in[0].shape(3), Dv = v.shape(3);
  const Dtype wide = wide_of(v.dtype());
  const int shared = H / in[0].shape(2);
  array S = in[4];
  Arrays ys;
  for (int t = 0; t < L; ++t) {
    const auto keys = [&](const array& x) {  // (B, H, Dk)
      return repeat(astype(reshape(rows(x, t, t + 1), {B, H / shared, Dk}), wide), shared, 1);
    };
    const auto scalar = [&](const array& x) { return reshape(rows(x, t, t + 1), {B, H, 1, 1}); };
    const array k = expand_dims(keys(in[1]), -1);  // (B, H, Dk, 1)
    array put = astype(reshape(rows(v, t, t + 1), {B, H, 1, Dv}), wide);
    S = multiply(S, exp(scalar(in[3])));
    if (delta) put = multiply(scalar(in[5]), subtract(put, matmul(swapaxes(k, 2, 3), S)));
    S = add(S, multiply(k, put));
    ys.push_back(reshape(matmul(expand_dims(keys(in[0]), 2), S), {B, 1, H, Dv}));
  }
  const array y = L > 0 ? concatenate(ys, 1) : zeros(v.shape(), wide);
  return Arrays{astype(y, v.dtype()), S};
}

}  // namespace hearth::fast
