// How blocks of GGUF files get their scales: the searches of llama.cpp's reference, each sum in its
// order, so that the bits are the same. A lane is a group of weights: eight groups are searched at
// once. Include after Highway, inside no namespace.
#if defined(HEARTH_BACKEND_CPU_BLOCK_SCALES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_BACKEND_CPU_BLOCK_SCALES_INL_H_
#undef HEARTH_BACKEND_CPU_BLOCK_SCALES_INL_H_
#else
#define HEARTH_BACKEND_CPU_BLOCK_SCALES_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "hearth/ops/packing_values.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::cpu::HWY_NAMESPACE {
namespace blocks {

namespace hn = hwy::HWY_NAMESPACE;
using Groups = hn::CappedTag<float, 8>;
using V = hn::Vec<Groups>;
inline constexpr float kEmpty = 1e-15f;  // a group without larger weights has the scale 0

/// 256 weights in groups of n: element i of group g is at i * kGroups + g.
template <int n>
struct Tile {
  static constexpr int kGroups = 256 / n;
  alignas(64) float x[256];  // the weights
  alignas(64) float w[256];  // what the square of an error counts
  alignas(64) float q[256];  // codes
  alignas(64) float scale[kGroups], low[kGroups];

  static constexpr int lanes() { return int(hn::MaxLanes(Groups())); }
  static V at(const float* tile, int i, int g) {
    return hn::Load(Groups(), tile + i * kGroups + g);
  }
  static void put(V v, float* tile, int i, int g) {
    hn::Store(v, Groups(), tile + i * kGroups + g);
  }
};

HWY_INLINE V value(float v) { return hn::Set(Groups(), v); }
/// To the nearest whole number, ties to even, of numbers below 2^22.
HWY_INLINE V nearest(V v) { return hn::Sub(hn::Add(v, value(12582912.0f)), value(12582912.0f)); }
inline float nearest(float v) { return v + 12582912.0f - 12582912.0f; }
HWY_INLINE V clamped(V v, float least, float most) {  // NaN: `most`
  return hn::Max(hn::Min(v, value(most)), value(least));
}

/// The weight that is the largest by its size, the first of several; which groups have none.
template <int n>
V extreme_of(const Tile<n>& t, int g, V& size) {
  V extreme = value(0);
  size = value(0);
  for (int i = 0; i < n; ++i) {
    const V x = t.at(t.x, i, g), a = hn::Abs(x);
    const auto larger = hn::Gt(a, size);
    size = hn::IfThenElse(larger, a, size);
    extreme = hn::IfThenElse(larger, x, extreme);
  }
  return extreme;
}

/// What a scale is judged by: the sums of w x q and w q q.
struct Sums {
  V xq, qq;
  Sums() : xq(value(0)), qq(value(0)) {}
  HWY_INLINE void add(V w, V x, V q) {
    xq = hn::Add(xq, hn::Mul(hn::Mul(w, x), q));
    qq = hn::Add(qq, hn::Mul(hn::Mul(w, q), q));
  }
};

/// The best of several scales, by those sums.
struct Best {
  V scale, good, inverse;
  Best(const Sums& s, V first)
      : scale(hn::IfThenElseZero(hn::Ne(s.qq, value(0)), hn::Div(s.xq, s.qq))),
        good(hn::Mul(scale, s.xq)),
        inverse(first) {}
  void consider(const Sums& s, V other) {
    const auto better =
        hn::And(hn::Gt(s.qq, value(0)), hn::Gt(hn::Mul(s.xq, s.xq), hn::Mul(good, s.qq)));
    const V its = hn::Div(s.xq, s.qq);
    scale = hn::IfThenElse(better, its, scale);
    good = hn::IfThenElse(better, hn::Mul(its, s.xq), good);
    inverse = hn::IfThenElse(better, other, inverse);
  }
};

/// x = scale * q, q from -reach to reach - 1: tries 19 scales. Codes are stored as q + reach.
template <int n>
void search_symmetric(Tile<n>& t, float reach) {
  const auto code = [&](V inverse, V x) HWY_ATTR {
    return clamped(nearest(hn::Mul(inverse, x)), -reach, reach - 1);
  };
  for (int g = 0; g < t.kGroups; g += t.lanes()) {
    V size;
    const V extreme = extreme_of(t, g, size);
    const auto sums = [&](V inverse) HWY_ATTR {
      Sums s;
      for (int i = 0; i < n; ++i) {
        const V x = t.at(t.x, i, g);
        s.add(t.at(t.w, i, g), x, code(inverse, x));
      }
      return s;
    };
    const V first = hn::Div(value(-reach), extreme);
    Best best(sums(first), first);
    for (int step = -9; step <= 9; ++step) {
      if (step == 0) continue;
      const V inverse = hn::Div(value(-(reach + 0.1f * float(step))), extreme);
      best.consider(sums(inverse), inverse);
    }
    const auto empty = hn::Lt(size, value(kEmpty));
    for (int i = 0; i < n; ++i) {
      const V q = hn::Add(code(best.inverse, t.at(t.x, i, g)), value(reach));
      t.put(hn::IfThenZeroElse(empty, q), t.q, i, g);
    }
    hn::Store(hn::IfThenZeroElse(empty, best.scale), Groups(), t.scale + g);
  }
}

/// The same for q from -4 to 3 and w = x x, by changing one code after the other.
inline void search_three_bits(Tile<16>& t) {
  for (int g = 0; g < t.kGroups; g += t.lanes()) {
    V size;
    const V extreme = extreme_of(t, g, size), inverse = hn::Div(value(-4), extreme);
    Sums s;
    for (int i = 0; i < 16; ++i) {
      const V x = t.at(t.x, i, g), q = clamped(nearest(hn::Mul(inverse, x)), -4, 3);
      t.put(q, t.q, i, g);
      s.add(hn::Mul(x, x), x, q);
    }
    for (int pass = 0; pass < 5; ++pass) {
      auto any = hn::Lt(value(1), value(0));
      for (int i = 0; i < 16; ++i) {
        const V x = t.at(t.x, i, g), w = hn::Mul(x, x), q = t.at(t.q, i, g), wx = hn::Mul(w, x);
        const V xq = hn::Sub(s.xq, hn::Mul(wx, q)), qq = hn::Sub(s.qq, hn::Mul(hn::Mul(w, q), q));
        const V other = clamped(nearest(hn::Div(hn::Mul(x, qq), xq)), -4, 3);
        const V new_xq = hn::Add(xq, hn::Mul(wx, other)),
                new_qq = hn::Add(qq, hn::Mul(hn::Mul(w, other), other));
        const auto possible = hn::And(hn::Gt(xq, value(0)), hn::Ne(other, q));
        const auto better =
            hn::Gt(hn::Mul(hn::Mul(new_xq, new_xq), s.qq), hn::Mul(hn::Mul(s.xq, s.xq), new_qq));
        const auto takes = hn::And(hn::And(possible, hn::Gt(new_qq, value(0))), better);
        t.put(hn::IfThenElse(takes, other, q), t.q, i, g);
        s.xq = hn::IfThenElse(takes, new_xq, s.xq);
        s.qq = hn::IfThenElse(takes, new_qq, s.qq);
        any = hn::Or(any, takes);
      }
      if (hn::AllFalse(Groups(), any)) break;
    }
    const auto empty = hn::Lt(size, value(kEmpty));
    for (int i = 0; i < 16; ++i)
      t.put(hn::IfThenZeroElse(empty, hn::Add(t.at(t.q, i, g), value(4))), t.q, i, g);
    const V scale = hn::IfThenElseZero(hn::Gt(s.qq, value(0)), hn::Div(s.xq, s.qq));
    hn::Store(hn::IfThenZeroElse(empty, scale), Groups(), t.scale + g);
  }
}

/// Scales to try: (most + first + step * k) codes over the range of the weights, k from 0 to count.
struct Steps {
  float first, step;
  int count;
  bool absolute = false;  // errors count by their size, else by their square
};
inline constexpr Steps kByImportance{-0.9f, 0.05f, 36};

/// x = scale * q - low, q from 0 to most, low never negative.
template <int n>
void search_offset(Tile<n>& t, float most, const Steps& steps) {
  const auto zero = value(0);
  for (int g = 0; g < t.kGroups; g += t.lanes()) {
    V least = t.at(t.x, 0, g), largest = least, sum_w = t.at(t.w, 0, g),
      sum_x = hn::Mul(sum_w, least);
    for (int i = 1; i < n; ++i) {
      const V x = t.at(t.x, i, g), w = t.at(t.w, i, g);
      least = hn::Min(x, least), largest = hn::Max(x, largest);
      sum_w = hn::Add(sum_w, w), sum_x = hn::Add(sum_x, hn::Mul(w, x));
    }
    least = hn::Min(least, zero);
    const auto empty = hn::Le(largest, least);
    const auto code = [&](V inverse, V base, V x) HWY_ATTR {
      return clamped(nearest(hn::Mul(inverse, hn::Sub(x, base))), 0, most);
    };
    const auto error = [&](V scale, V base, V q, int i) HWY_ATTR {
      const V d = hn::Sub(hn::Add(hn::Mul(scale, q), base), t.at(t.x, i, g));
      return hn::Mul(t.at(t.w, i, g), steps.absolute ? hn::Abs(d) : hn::Mul(d, d));
    };
    V inverse = hn::Div(value(most), hn::Sub(largest, least)), base = least;
    V scale = hn::Div(value(1), inverse), offset = least, best = zero;
    for (int i = 0; i < n; ++i)
      best = hn::Add(best, error(scale, offset, code(inverse, base, t.at(t.x, i, g)), i));
    for (int k = 0; k <= steps.count; ++k) {
      const V other =
          hn::Div(value(steps.first + steps.step * float(k) + most), hn::Sub(largest, offset));
      V l = zero, l2 = zero, xl = zero;
      alignas(64) float codes[size_t(n) * 8];
      for (int i = 0; i < n; ++i) {
        const V x = t.at(t.x, i, g), w = t.at(t.w, i, g), q = code(other, offset, x);
        hn::Store(q, Groups(), codes + i * t.lanes());
        const V wq = hn::Mul(w, q);
        l = hn::Add(l, wq), l2 = hn::Add(l2, hn::Mul(wq, q)), xl = hn::Add(xl, hn::Mul(wq, x));
      }
      const V det = hn::Sub(hn::Mul(sum_w, l2), hn::Mul(l, l));
      V its = hn::Div(hn::Sub(hn::Mul(sum_w, xl), hn::Mul(sum_x, l)), det);
      V low = hn::Div(hn::Sub(hn::Mul(l2, sum_x), hn::Mul(l, xl)), det);
      const auto above = hn::Gt(low, zero);
      low = hn::IfThenZeroElse(above, low);
      its = hn::IfThenElse(above, hn::Div(xl, l2), its);
      V sum = zero;
      for (int i = 0; i < n; ++i)
        sum = hn::Add(sum, error(its, low, hn::Load(Groups(), codes + i * t.lanes()), i));
      const auto better = hn::And(hn::Gt(det, zero), hn::Lt(sum, best));
      inverse = hn::IfThenElse(better, other, inverse);
      base = hn::IfThenElse(better, offset, base);  // before it changes
      best = hn::IfThenElse(better, sum, best);
      scale = hn::IfThenElse(better, its, scale);
      offset = hn::IfThenElse(better, low, offset);
    }
    for (int i = 0; i < n; ++i)
      t.put(hn::IfThenZeroElse(empty, code(inverse, base, t.at(t.x, i, g))), t.q, i, g);
    hn::Store(hn::IfThenZeroElse(empty, scale), Groups(), t.scale + g);
    hn::Store(hn::Neg(hn::IfThenElse(empty, least, offset)), Groups(), t.low + g);
  }
}

/// The nearest of iq4's values to x, or its place among them.
template <bool place>
HWY_INLINE V of_table(V x) {
  V found = value(place ? 0 : float(kIq4[0]));
  for (int k = 1; k < 16; ++k) {
    const V middle = value(0.5f * float(kIq4[k - 1] + kIq4[k]));
    found = hn::IfThenElse(hn::Ge(x, middle), value(place ? float(k) : float(kIq4[k])), found);
  }
  return found;
}

/// x = scale * one of iq4's values: tries 16 scales.
inline void search_table(Tile<32>& t) {
  for (int g = 0; g < t.kGroups; g += t.lanes()) {
    V size;
    const V extreme = extreme_of(t, g, size);
    const auto sums = [&](V inverse) HWY_ATTR {
      Sums s;
      for (int i = 0; i < 32; ++i) {
        const V x = t.at(t.x, i, g), w = t.at(t.w, i, g);
        const V q = of_table<false>(hn::Mul(inverse, x)), wq = hn::Mul(w, q);
        s.xq = hn::Add(s.xq, hn::Mul(wq, x)), s.qq = hn::Add(s.qq, hn::Mul(wq, q));
      }
      return s;
    };
    const V first = hn::Div(value(1), hn::Div(hn::Neg(extreme), value(float(kIq4[0]))));
    Best best(sums(first), first);
    for (int step = -7; step <= 7; ++step) {
      const V inverse = hn::Div(value(float(step + kIq4[0])), extreme);
      best.consider(sums(inverse), inverse);
    }
    const auto empty = hn::Lt(size, value(kEmpty));
    hn::Store(hn::IfThenZeroElse(empty, best.scale), Groups(), t.scale + g);
  }
}

/// Codes by the scales that groups have in the end; a group of scale 0 keeps those it has.
template <int n>
void code_again(Tile<n>& t, float least, float most, float shift) {
  for (int g = 0; g < t.kGroups; g += t.lanes()) {
    const V scale = hn::Load(Groups(), t.scale + g), low = hn::Load(Groups(), t.low + g);
    const auto empty = hn::Eq(scale, value(0));
    for (int i = 0; i < n; ++i) {
      const V q = clamped(nearest(hn::Div(hn::Add(t.at(t.x, i, g), low), scale)), least, most);
      t.put(hn::IfThenElse(empty, t.at(t.q, i, g), hn::Add(q, value(shift))), t.q, i, g);
    }
  }
}

/// x = scale * q of a few numbers that are not negative, q from 0 to most.
inline float search_positive(int n, int most, const float* x, const float* w, uint8_t* q) {
  float largest = 0;
  for (int i = 0; i < n; ++i) largest = largest > x[i] ? largest : x[i];
  if (largest < kEmpty) {
    for (int i = 0; i < n; ++i) q[i] = 0;
    return 0;
  }
  const auto error = [&](float inverse, bool bounded) {
    const float scale = 1 / inverse;
    float sum = 0;
    for (int i = 0; i < n; ++i) {
      const float code = nearest(inverse * x[i]);
      const float d = x[i] - scale * (bounded ? std::min(float(most), code) : code);
      sum += w[i] * d * d;
    }
    return sum;
  };
  float inverse = float(most) / largest, best = error(inverse, false);
  for (int step = -4; step <= 4; ++step) {
    if (step == 0) continue;
    const float other = (0.1f * float(step) + float(most)) / largest, e = error(other, true);
    if (e < best) best = e, inverse = other;
  }
  float xq = 0, qq = 0;
  for (int i = 0; i < n; ++i) {
    q[i] = uint8_t(std::clamp(nearest(inverse * x[i]), 0.0f, float(most)));
    xq += w[i] * x[i] * float(q[i]), qq += w[i] * float(q[i]) * float(q[i]);
  }
  for (int pass = 0, changed = 1; pass < 5 && changed; ++pass) {
    changed = 0;
    for (int i = 0; i < n; ++i) {
      float other_xq = xq - w[i] * x[i] * float(q[i]),
            other_qq = qq - w[i] * float(q[i]) * float(q[i]);
      if (!(other_xq > 0 && other_qq > 0)) continue;
      const float other = std::clamp(nearest(x[i] * other_qq / other_xq), 0.0f, float(most));
      if (other == float(q[i])) continue;
      other_xq += w[i] * x[i] * other, other_qq += w[i] * other * other;
      if (!(other_xq * other_xq * qq > xq * xq * other_qq)) continue;
      q[i] = uint8_t(other), xq = other_xq, qq = other_qq;
      changed = 1;
    }
  }
  return qq > 0 ? xq / qq : 0;
}

}  // namespace blocks
}  // namespace hearth::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // the toggle
