#include "hearth/backend/cpu/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "hearth/backend/cpu/products/kernels.h"
#include "hearth/backend/cpu/rows.h"
#include "hearth/backend/pool.h"
#include "hearth/ops/state_packing.h"

namespace hearth::cpu {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::max();
constexpr int64_t kFewRows = 16;      // queries that share keys, up to which these are streamed
constexpr int64_t kAligned = 64;      // keys: where what a window hides is cut
constexpr int64_t kQueries = 256;     // queries for which a block of keys is packed once
constexpr int64_t kGrain = 64 << 10;  // bytes of keys and values that are worth a task

// What scales a row; of a sum of 0, where a mask of -infinity hides all, 0.
float inverse(float sum) { return sum == 0 ? 0 : 1 / sum; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// What the mask adds to the score of query (b, h, l) and key j.
float mask_at(const AttentionJob& job, int64_t b, int64_t h, int64_t l, int64_t j) {
  const int64_t* s = job.mask_strides;
  const std::byte* p = job.mask + b * s[0] + h * s[1] + l * s[2] + j * s[3];
  if (job.mask_dtype == bool_) return *p != std::byte{0} ? 0.0f : kMasked;
  return load_element<float>(p, job.mask_dtype);
}

// `count` rows of queries, from (b, h, l) on along heads or positions, to f32 rows of D, rotated
// and scaled.
void load_queries(const AttentionJob& job, Along along, int64_t b, int64_t h, int64_t l,
                  int64_t count, float* to, int64_t to_stride) {
  RotateRows rows{.dtype = job.dtype,
                  .count = count,
                  .D = job.D,
                  .x = job.q.at(b, h, l),
                  .x_stride = job.q.step(along),
                  .y = reinterpret_cast<std::byte*>(to),
                  .y_stride = to_stride * 4,
                  .wide_y = true,
                  .scale = job.scale};
  const bool steps = job.steps_of >= 0;
  if (job.angles)
    rows.turn(*job.angles, steps ? job.steps_of : b, steps ? b : l, along, job.traditional);
  rotate_rows(rows);
}

// Rows of keys or values from (b, h, row) on, as they lie one after the other, to f32 without gaps.
void widen_state(const AttentionJob& job, const Heads& from, int64_t b, int64_t h, int64_t row,
                 int64_t count, int64_t first, int64_t dims, float* to) {
  if (job.state == Packing::dense)
    return kernels::widen_rows(job.dtype, count, dims, from.at(b, h, row), from.position, to);
  const int64_t all = state_elements(job.D), bytes = row_bytes(job.state, all);
  thread_local Scratch scratch;
  float* const rows = dims == all ? to : scratch.get<float>(size_t(count * all));
  const int64_t together = from.position == bytes ? count : 1;
  for (int64_t i = 0; i < count; i += together)
    kernels::unpack({.n = together,
                     .k = all,
                     .first = 0,
                     .count = all,
                     .w = {job.state, {from.at(b, h, row + i)}},
                     .out = rows + i * all,
                     .stride = all});
  turn_state(rows, count * all);
  for (int64_t i = 0; i < count && rows != to; ++i)
    std::copy_n(rows + i * all + first, dims, to + i * dims);
}

// Decode: each stretch of keys of each kv head is a unit; units are grouped to tasks by their size
// alone, and their shares joined in order.
class StreamedAttention {
 public:
  explicit StreamedAttention(const AttentionJob& job)
      : job_(job), group_(job.H / job.Hkv), rows_(group_ * job.L) {}

  void run() {
    thread_local std::vector<Unit> units_kept;
    thread_local Scratch scratch;
    std::vector<Unit>& units = units_kept;
    units.clear();
    int64_t keys = 0;
    for (int64_t b = 0; b < job_.B; ++b) {
      // Stretches begin at the same keys whatever the window hides, so that sums keep their order.
      const int64_t begin = job_.hidden(b, 0) / kAligned * kAligned;
      for (int64_t h = 0; h < job_.Hkv; ++h) {
        const size_t head = units.size();
        for (int64_t first = begin, n; first < job_.keys[b]; first += n) {
          const int64_t end = (first / kernels::kMaxKeys + 1) * kernels::kMaxKeys;
          n = job_.run(first, std::min(end, job_.keys[b]) - first);
          units.push_back({b, h, first, n, 0});
          keys += n;
        }
        if (head < units.size()) units[head].count = int64_t(units.size() - head);
      }
    }
    const int64_t count = int64_t(units.size()), D = job_.D, Dv = job_.Dv;
    float* const q =
        scratch.get<float>(size_t(job_.B * job_.H * job_.L * D + count * rows_ * (2 + Dv)));
    shares_ = q + job_.B * job_.H * job_.L * D;
    for (int64_t b = 0; b < job_.B; ++b)
      for (int64_t l = 0; l < job_.L; ++l)
        load_queries(job_, Along::heads, b, 0, l, job_.H, q + (b * job_.H * job_.L + l) * D,
                     job_.L * D);
    const int64_t bytes = keys * (D + Dv) * int64_t(size_of(job_.dtype)) * ceil_div(rows_, 2);
    const int64_t tasks = std::clamp<int64_t>(bytes / kGrain, 1, count);
    // Steps of one row read the same keys: each stretch serves all of them while it is near.
    std::vector<int64_t> order;
    if (job_.steps_of >= 0) {
      for (int64_t i = 0; i < count; ++i) order.push_back(i);
      std::ranges::stable_sort(order, {}, [&](int64_t i) {
        return std::pair(units[i].h, units[i].first / kernels::kMaxKeys);
      });
    }
    parallel_for(tasks, [&](int64_t t) {
      for (int64_t i = count * t / tasks; i < count * (t + 1) / tasks; ++i) {
        const int64_t unit = order.empty() ? i : order[size_t(i)];
        attend(units[unit], unit, q);
      }
    });
    for (int64_t i = 0; i < count; i += units[i].count)
      if (units[i].count > 1) finish(units[i], i, units[i].count);
  }

 private:
  struct Unit {
    int64_t b, h, first, n;
    int64_t count;  // of the first of a head: its units; else 0
  };
  float* max(int64_t unit) const { return shares_ + unit * rows_ * (2 + job_.Dv); }
  float* sum(int64_t unit) const { return max(unit) + rows_; }
  float* out(int64_t unit) const { return sum(unit) + rows_; }

  void attend(const Unit& u, int64_t index, const float* q) const {
    thread_local Scratch scratch;
    const int64_t L = job_.L;
    int64_t hidden[kFewRows], visible[kFewRows];
    for (int64_t r = 0; r < rows_; ++r) {
      hidden[r] = job_.hidden(u.b, r % L) - u.first;
      visible[r] = job_.visible(u.b, r % L) - u.first;
    }
    float* bias = nullptr;
    if (job_.mask) {
      bias = scratch.get<float>(size_t(rows_ * u.n));
      for (int64_t r = 0; r < rows_; ++r)
        for (int64_t j = 0; j < u.n; ++j)
          bias[r * u.n + j] = mask_at(job_, u.b, u.h * group_ + r / L, r % L, u.first + j);
    }
    const int64_t row = job_.row(u.first), D = job_.D, Dv = job_.Dv;
    kernels::FewQueries few{job_.dtype,
                            rows_,
                            u.n,
                            D,
                            Dv,
                            q + (u.b * job_.H + u.h * group_) * L * D,
                            job_.k.at(u.b, u.h, row),
                            job_.k.position,
                            job_.v.at(u.b, u.h, row),
                            job_.v.position,
                            hidden,
                            visible,
                            job_.softcap,
                            bias,
                            max(index),
                            sum(index),
                            out(index)};
    if (job_.state != Packing::dense) {
      thread_local Scratch wide;
      float* const k = wide.get<float>(size_t(u.n * (D + Dv)));
      float* const v = k + u.n * D;
      widen_state(job_, job_.k, u.b, u.h, row, u.n, 0, D, k);
      widen_state(job_, job_.v, u.b, u.h, row, u.n, job_.values_at, Dv, v);
      few.dtype = float32;
      few.k = reinterpret_cast<const std::byte*>(k), few.k_stride = D * 4;
      few.v = reinterpret_cast<const std::byte*>(v), few.v_stride = Dv * 4;
    }
    kernels::few_queries(few);
    if (u.count == 1) finish(u, index, 1);
  }

  // Joins the shares of `count` units of the same head.
  void finish(const Unit& u, int64_t index, int64_t count) const {
    for (int64_t r = 0; r < rows_; ++r) {
      const int64_t h = u.h * group_ + r / job_.L, l = r % job_.L;
      float high = job_.sinks ? job_.sinks[h] : max(index)[r];
      for (int64_t i = index; i < index + count; ++i) high = std::max(high, max(i)[r]);
      const float centre = std::isinf(high) && high < 0 ? 0.0f : high;
      float total = job_.sinks ? std::exp(job_.sinks[h] - centre) : 0.0f;
      float* const y = out(index) + r * job_.Dv;
      for (int64_t i = index; i < index + count; ++i) {
        const float share = std::exp(max(i)[r] - centre);
        const float* from = out(i) + r * job_.Dv;
        total += share * sum(i)[r];
        for (int64_t d = 0; d < job_.Dv; ++d)
          y[d] = i == index ? share * from[d] : y[d] + share * from[d];
      }
      kernels::narrow_row(job_.dtype, job_.Dv, y, inverse(total), job_.y.at(u.b, h, l));
    }
  }

  const AttentionJob& job_;
  const int64_t group_, rows_;  // query heads, and queries, of a kv head
  float* shares_ = nullptr;     // per unit: max (rows), sum (rows), out (rows, Dv)
};

// Prefill: a task is a kv head and a range of positions. Scores are computed transposed, (keys,
// queries): the softmax then runs down the columns, and its weights lie as the second product wants
// them.
class BlockedAttention {
 public:
  explicit BlockedAttention(const AttentionJob& job)
      : job_(job),
        parts_(kernels::blocked_kernels(float32)),
        group_(job.H / job.Hkv),
        positions_(std::max<int64_t>(1, kQueries / group_)),
        block_(std::max<int64_t>(1, 128 / parts_.mr) * parts_.mr) {}

  void run() const {
    const int64_t ranges = ceil_div(job_.L, positions_), heads = job_.B * job_.Hkv;
    parallel_for(ranges * heads, [&](int64_t i) {  // the long ones, at the end, first
      const int64_t range = ranges - 1 - i / heads, b = i % heads / job_.Hkv, h = i % job_.Hkv;
      attend(b, h, range * positions_, std::min(job_.L, (range + 1) * positions_));
    });
  }

 private:
  static const std::byte* bytes(const float* p) { return reinterpret_cast<const std::byte*>(p); }
  static std::byte* bytes(float* p) { return reinterpret_cast<std::byte*>(p); }

  // `nr` queries side by side: (D, nr), and what is known of their softmax.
  struct Panel {
    float *q, *max, *sum, *out;  // (D, nr), (nr), (nr), (Dv, nr)
    int64_t begin, end;          // rows: query head of the group * positions + position
    int64_t keys, all_see;       // keys that some, and that all of them see, counted from 0,
    int64_t first, all_hide;     // but for those before: that all of them, that some do not
  };

  void attend(int64_t b, int64_t h, int64_t l0, int64_t l1) const {
    const int64_t nr = parts_.nr, mr = parts_.mr, D = job_.D, Dv = job_.Dv, span = l1 - l0;
    const int64_t rows = group_ * span, panels = ceil_div(rows, nr);
    const int64_t panel_floats = nr * (D + Dv + 2), padded_Dv = ceil_div(Dv, mr) * mr;
    thread_local Scratch scratch;
    float* next = scratch.get<float>(
        size_t(panels * panel_floats + 2 * block_ * (D + padded_Dv) + nr * (block_ + D + Dv)));
    const auto take = [&](int64_t count) { return std::exchange(next, next + count); };
    float* const wide_k = take(block_ * D);
    float* const wide_v = take(block_ * padded_Dv);
    float* const packed_k = take(block_ * D);
    float* const packed_v = take(block_ * padded_Dv);
    float* const scores = take(block_ * nr);
    float* const row_buffer = take(nr * (D + Dv));
    thread_local std::vector<Panel> kept;
    std::vector<Panel>& all = kept;
    all.clear();
    int64_t keys = 0, begin = job_.keys[b];
    for (int64_t i = 0; i < panels; ++i) {
      all.push_back(make_panel(b, h, l0, span, i * nr, std::min(rows, (i + 1) * nr), row_buffer,
                               take(panel_floats)));
      keys = std::max(keys, all.back().keys);
      begin = std::min(begin, all.back().first);
    }
    for (int64_t first = begin / block_ * block_; first < keys; first += block_) {
      const int64_t n = std::min(block_, job_.keys[b] - first);
      for (int64_t i = 0, run; i < n; i += run) {
        run = job_.run(first + i, n - i);
        const int64_t row = job_.row(first + i);
        widen_state(job_, job_.k, b, h, row, run, 0, D, wide_k + i * D);
        widen_state(job_, job_.v, b, h, row, run, job_.values_at, Dv, wide_v + i * Dv);
      }
      for (int64_t i = 0; i < n; i += mr)
        parts_.pack_a(bytes(wide_k + i * D), D * 4, 4, std::min(mr, n - i), D, mr,
                      bytes(packed_k + i * D));
      for (int64_t i = 0; i < Dv; i += mr)
        parts_.pack_a(bytes(wide_v + i), 4, Dv * 4, std::min(mr, Dv - i), n, mr,
                      bytes(packed_v + i * n));
      for (const Panel& p : all) {
        if (first >= p.keys || first + n <= p.first) continue;
        for (int64_t i = 0; i < n; i += mr)
          parts_.tiles({std::min(mr, n - i), D, 1, bytes(packed_k + i * D), bytes(p.q),
                        scores + i * nr, nr, false});
        mask(p, b, h, l0, span, first, n, scores);
        for (int64_t i = 0; i < Dv; i += mr)
          parts_.tiles({std::min(mr, Dv - i), n, 1, bytes(packed_v + i * n), bytes(scores),
                        p.out + i * nr, nr, true});
      }
    }
    for (const Panel& p : all)
      for (int64_t r = p.begin; r < p.end; ++r) {
        const int64_t c = r - p.begin;
        for (int64_t d = 0; d < Dv; ++d) row_buffer[d] = p.out[d * nr + c];
        kernels::narrow_row(job_.dtype, Dv, row_buffer, inverse(p.sum[c]),
                            job_.y.at(b, h * group_ + r / span, l0 + r % span));
      }
  }

  Panel make_panel(int64_t b, int64_t h, int64_t l0, int64_t span, int64_t begin, int64_t end,
                   float* row_buffer, float* memory) const {
    const int64_t nr = parts_.nr, D = job_.D;
    Panel p{memory,
            memory + nr * D,
            memory + nr * (D + 1),
            memory + nr * (D + 2),
            begin,
            end,
            0,
            job_.keys[b],
            job_.keys[b],
            0};
    for (int64_t r = begin, run; r < end; r += run) {
      run = std::min(end - r, span - r % span);
      load_queries(job_, Along::positions, b, h * group_ + r / span, l0 + r % span, run,
                   row_buffer + (r - begin) * D, D);
    }
    parts_.pack_b(bytes(row_buffer), D * 4, 4, end - begin, D, nr, bytes(p.q));
    for (int64_t c = 0; c < nr; ++c) {
      const bool sink = job_.sinks && begin + c < end;
      p.max[c] = sink ? job_.sinks[h * group_ + (begin + c) / span]
                      : -std::numeric_limits<float>::infinity();
      p.sum[c] = sink;
    }
    std::fill(p.out, p.out + nr * job_.Dv, 0.0f);
    for (int64_t r = begin; r < end; ++r) {
      const int64_t seen = job_.visible(b, l0 + r % span);
      p.keys = std::max(p.keys, seen > 0 ? seen : job_.keys[b]);  // who sees none weighs all alike
      p.all_see = std::min(p.all_see, seen);
      const int64_t unseen = job_.hidden(b, l0 + r % span);
      p.first = std::min(p.first, unseen);
      p.all_hide = std::max(p.all_hide, unseen);
    }
    return p;
  }

  // Masks a block of scores, (n, nr), and turns them into weights.
  void mask(const Panel& p, int64_t b, int64_t h, int64_t l0, int64_t span, int64_t first,
            int64_t n, float* scores) const {
    const int64_t nr = parts_.nr;
    if (job_.softcap > 0) kernels::soften(n * nr, job_.softcap, scores);
    if (job_.mask)
      for (int64_t r = p.begin; r < p.end; ++r)
        for (int64_t j = 0; j < n; ++j) {
          float& s = scores[j * nr + r - p.begin];
          const float m = mask_at(job_, b, h * group_ + r / span, l0 + r % span, first + j);
          s = m == kMasked ? kMasked : s + m;
        }
    int32_t hidden[64], visible[64];
    const bool late = p.all_see<first + n, early = p.all_hide> first;
    if (late || early)
      for (int64_t c = 0; c < nr; ++c) {
        const int64_t l = l0 + std::min(p.begin + c, p.end - 1) % span;
        hidden[c] = int32_t(std::clamp<int64_t>(job_.hidden(b, l) - first, 0, n));
        visible[c] = int32_t(std::clamp<int64_t>(job_.visible(b, l) - first, 0, n));
      }
    kernels::softmax_block({n, nr, job_.Dv, scores, early ? hidden : nullptr,
                            late ? visible : nullptr, p.max, p.sum, p.out});
  }

  const AttentionJob& job_;
  const kernels::BlockedKernels& parts_;
  const int64_t group_;      // query heads of a kv head
  const int64_t positions_;  // of a task
  const int64_t block_;      // keys packed at a time
};

}  // namespace

Angles::Angles(const fast::Rotation& rotation, std::span<const float> freqs,
               std::span<const int64_t> offsets, int64_t length)
    : half_(rotation.dims / 2), one_(offsets.size() == 1), length_(length) {
  // Angles of one position: 1 / base^(i / half), of a row, or of all.
  const size_t half = size_t(half_),
               rows = freqs.empty() ? 1 : freqs.size() / std::max<size_t>(1, half);
  std::vector<float> rates(rows * half, 0.0f);
  for (size_t i = 0; i < rates.size(); ++i)
    rates[i] =
        freqs.empty() ? float(std::pow(double(rotation.base), -double(i) / half_)) : 1 / freqs[i];
  values_.resize(offsets.size() * size_t(length * 2 * half_));
  float* to = values_.data();
  const float amplitude = rotation.amplitude;
  for (size_t b = 0; b < offsets.size(); ++b) {
    const float* const rate = rates.data() + (rows > 1 ? b * half : 0);
    for (int64_t l = 0; l < length; ++l, to += 2 * half_) {
      const float position = float(offsets[b] + l) * rotation.scale;
      for (int i = 0; i < half_; ++i) {
        to[i] = amplitude * std::cos(position * rate[i]);
        to[half_ + i] = amplitude * std::sin(position * rate[i]);
      }
    }
  }
}

void attend(const AttentionJob& job) {
  if (job.B * job.H * job.L * job.Dv == 0) return;
  if (job.by_steps && job.L > 1 && job.L <= kSteps) {
    // The positions of a row as rows of one query each.
    int64_t keys[kSteps];
    for (int64_t b = 0; b < job.B; ++b) {
      AttentionJob steps = job;
      steps.B = job.L, steps.L = 1, steps.keys = keys, steps.steps_of = b;
      for (int64_t l = 0; l < job.L; ++l) keys[l] = job.visible(b, l);
      steps.q = {job.q.at(b, 0, 0), job.q.position, job.q.head, 0};
      steps.y = {job.y.at(b, 0, 0), job.y.position, job.y.head, 0};
      steps.k = {job.k.at(b, 0, 0), 0, job.k.head, job.k.position};
      steps.v = {job.v.at(b, 0, 0), 0, job.v.head, job.v.position};
      attend(steps);
    }
    return;
  }
  const int64_t rows = job.H / job.Hkv * job.L;
  rows <= kFewRows ? StreamedAttention(job).run() : BlockedAttention(job).run();
}

}  // namespace hearth::cpu
