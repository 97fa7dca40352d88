#include "hearth/nn/dropout.h"

#include "hearth/ops/elementwise.h"
#include "hearth/ops/random.h"
#include "hearth/ops/wide.h"

namespace hearth::nn {
namespace {

float probability(std::string_view who, float p) {
  check(p >= 0 && p < 1, who, ": wanted a probability p with 0 <= p < 1, got ", p);
  return p;
}

/// What is drawn has x's shape, but for the last `whole` axes before the channels.
array dropped(const array& x, float p, int whole = 0) {
  Shape shape = x.shape();
  for (int i = 0; i < whole; ++i) shape[shape.size() - size_t(i) - 2] = 1;
  const array kept = random::bernoulli(1 - p, shape);
  return in_wide(
      [&](const array& v) {
        const auto number = [&](double n) { return array(n, at_least_float(v.dtype())); };
        return multiply(v, where(kept, number(1 / (1 - double(p))), number(0)));
      },
      x);
}

}  // namespace

Dropout::Dropout(float p) : p(probability("Dropout", p)) {}
array Dropout::operator()(const array& x) const { return training && p > 0 ? dropped(x, p) : x; }

template <int kAxes>
ChannelDropout<kAxes>::ChannelDropout(float p) : p(probability(concat("Dropout", kAxes, "d"), p)) {}
template <int kAxes>
array ChannelDropout<kAxes>::operator()(const array& x) const {
  check(x.ndim() == kAxes + 1 || x.ndim() == kAxes + 2, "Dropout", kAxes, "d: wanted ", kAxes + 1,
        " or ", kAxes + 2, " axes, channels last, got ", x.shape());
  return training && p > 0 ? dropped(x, p, kAxes) : x;
}
template struct ChannelDropout<2>;
template struct ChannelDropout<3>;

}  // namespace hearth::nn
