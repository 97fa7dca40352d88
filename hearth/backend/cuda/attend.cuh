// Attention of one new row, as a task: a team of warps stages a head's keys and values, rotates,
// writes the new row into the cache; the first team of a head joins what the teams found.
#pragma once
#include "hearth/backend/cuda/elements.cuh"
#include "hearth/backend/cuda/rotation.cuh"
#include "hearth/backend/cuda/tasks.h"

namespace hearth::cuda {

constexpr int kTeamThreads = 128;  // of a block, that attend; a multiple of 32 and of all teams
constexpr int kKeysPerSplit = 64;  // the least that another team is worth

template <class T>
struct Vector {  // 16 bytes of T
  static constexpr int kSize = 16 / sizeof(T);
  uint4 raw;
  __device__ void set(int i, float x) { reinterpret_cast<T*>(&raw)[i] = narrow<T>(x); }
  __device__ void to_float(float (&f)[kSize]) const {
    const T* t = reinterpret_cast<const T*>(&raw);
    for (int i = 0; i < kSize; ++i) f[i] = float(widen(t[i]));
  }
};
template <>
__device__ inline void Vector<__half>::to_float(float (&f)[8]) const {
  const __half2* t = reinterpret_cast<const __half2*>(&raw);
  for (int i = 0; i < 4; ++i) {
    const float2 p = __half22float2(t[i]);
    f[2 * i] = p.x, f[2 * i + 1] = p.y;
  }
}
template <>
__device__ inline void Vector<__nv_bfloat16>::to_float(float (&f)[8]) const {
  const uint32_t w[4] = {raw.x, raw.y, raw.z, raw.w};
  for (int i = 0; i < 4; ++i)
    f[2 * i] = __uint_as_float(w[i] << 16), f[2 * i + 1] = __uint_as_float(w[i] & 0xffff0000u);
}

/// Elements of a row, packed in registers until they are used.
template <class T>
struct Eight {
  Vector<T> part[8 / Vector<T>::kSize];
  __device__ static Eight load(const T* p) {
    Eight e;
    for (size_t i = 0; i < std::size(e.part); ++i)
      e.part[i].raw = __ldcg(reinterpret_cast<const uint4*>(p) + i);
    return e;
  }
  __device__ static Eight load_shared(const T* p) {
    Eight e;
    for (size_t i = 0; i < std::size(e.part); ++i)
      e.part[i].raw = reinterpret_cast<const uint4*>(p)[i];
    return e;
  }
  /// f(i, element i as float) for all.
  template <class F>
  __device__ void each(const F& f) const {
    constexpr int kSize = Vector<T>::kSize;
#pragma unroll
    for (int i = 0; i < 8; i += kSize) {
      float x[kSize];
      part[i / kSize].to_float(x);
#pragma unroll
      for (int j = 0; j < kSize; ++j) f(i + j, x[j]);
    }
  }
};

/// Tagged store: a value that another block polls for, in one word with its tag: no fence, no
/// counter. A fence would wait for all weights that the multiprocessor prefetches.
__device__ inline void tell(uint64_t* to, float value, unsigned tag) {
  asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(to),
               "l"(uint64_t(tag) << 32 | __float_as_uint(value))
               : "memory");
}
/// Polling load of N tagged values, `step` words from each other.
template <int N>
__device__ inline void hear(float (&to)[N], const uint64_t* from, int step, unsigned tag) {
  uint64_t word[N];
  bool all;
  do {
    all = true;
#pragma unroll
    for (int i = 0; i < N; ++i)
      asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];"
                   : "=l"(word[i])
                   : "l"(from + int64_t(i) * step)
                   : "memory");
#pragma unroll
    for (int i = 0; i < N; ++i) all = all && unsigned(word[i] >> 32) == tag;
  } while (!all);
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = __uint_as_float(unsigned(word[i]));
}

/// Of one task.
struct Tagged {
  const uint64_t* rows;     // (B, early): q, k and v; null: they are in memory
  int early;                // of a row
  uint64_t *found, *given;  // (B, H, splits, D + 2), (B, H, D)
  unsigned tag;
};

/// Where a team stages what it shares in shared memory; bytes are multiples of 16.
struct TeamMemory {
  int lanes, groups;  // of a row; of the team: each takes its own keys
  int row, weights, q, new_k, new_v, turns, most, sums, acc, found, bytes;
  TeamMemory() = default;
  __host__ __device__ TeamMemory(const AttentionTask& a, int item)
      : lanes(a.D / 8), groups(32 / lanes * (a.team / 32)) {
    int at = 0;
    const auto take = [&](int n) {
      const int here = at;
      at += (n + 15) / 16 * 16;
      return here;
    };
    row = take(3 * a.D * 4);  // of q, k and v, as they come
    weights = take(a.norm[0].y || a.norm[1].y || a.norm[2].y ? 3 * a.D * 4 : 0);
    q = take(a.D * 4), new_k = take(a.D * item), new_v = take(a.D * item);
    turns = take(a.rope_dims * 4);
    most = take(groups * 4), sums = take(groups * 4), acc = take(groups * a.D * 4);
    found = take((a.splits - 1) * (a.D + 2) * 4);
    bytes = at;
  }
};

template <class T>
class Attend {
 public:
  /// What all teams of a block read, in shared memory: registers are for keys and values.
  struct Setup {
    AttentionTask task;
    Tagged tagged;
    TeamMemory memory;
  };
  __device__ Attend(const Setup& setup, const float* rates, std::byte* shared, int thread)
      : a_(setup.task),
        tagged_(setup.tagged),
        memory_(setup.memory),
        rates_(rates),
        team_(thread / a_.team),
        thread_(thread % a_.team),
        shared_(shared + team_ * memory_.bytes) {
    const int lane = threadIdx.x % 32, in_warp = lane / memory_.lanes;
    lane_ = lane % memory_.lanes;
    group_ = thread_ / 32 * (32 / memory_.lanes) + in_warp;
    holds_ = in_warp < 32 / memory_.lanes;
  }
  __device__ int first_item() const { return blockIdx.x * (kTeamThreads / a_.team) + team_; }
  __device__ int step() const { return gridDim.x * (kTeamThreads / a_.team); }
  __device__ int items() const { return a_.B * a_.H * a_.splits; }

  /// What does not need the new row. Prefetch: start loading this item's first keys and values into
  /// registers, and the others into L2. False when there is nothing to do.
  __device__ bool begin(int item) {
    if (!find(item)) return false;
    load(k_, cache_k_, from_);
    load(v_, cache_v_, from_);
    prefetch(cache_k_), prefetch(cache_v_);
    for (int i = thread_; i < a_.rope_dims / 2; i += a_.team) turns()[i] = rotation().turn(i, n_);
    for (int i = 0; i < 3; ++i)
      if (a_.norm[i].y && a_.norm[i].weight)
        for (int d = thread_; d < a_.D; d += a_.team)
          at<float>(memory_.weights)[i * a_.D + d] =
              widen(static_cast<const T*>(a_.norm[i].weight)[d]);
    sync();
    return true;
  }
  __device__ void finish() {
    const int D = a_.D;
    float *const q = at<float>(memory_.q), *const rows = at<float>(memory_.row);
    T *const new_k = at<T>(memory_.new_k), *const new_v = at<T>(memory_.new_v);
    const bool has_new = a_.writes && from_ <= n_ && n_ < to_;  // the new row is among the keys
    read_rows(rows, has_new ? 3 : 1);
    norm_rows(rows, has_new ? 3 : 1);
    const auto row = [&](int i) { return [=](int d) { return rows[i * D + d]; }; };
    for (int d = thread_; d < D; d += a_.team) q[d] = rotation()(row(0), d, turns()) * a_.scale;
    if (has_new) {
      const bool writes = h_ % (a_.H / a_.Hkv) == 0;  // one of the heads that share it
      // The last threads: the first ones have q.
      for (int d = a_.team - 1 - thread_; d < D; d += a_.team) {
        const T k = narrow<T>(rotation()(row(1), d, turns())), v = narrow<T>(row(2)(d));
        new_k[d] = k, new_v[d] = v;
        if (writes) cache_k_[int64_t(n_) * D + d] = k, cache_v_[int64_t(n_) * D + d] = v;
      }
    }
    sync();

    const int d0 = lane_ * 8;
    float mine_q[8];
    for (int i = 0; i < 8; ++i) mine_q[i] = q[d0 + i];
    float most = -INFINITY, sum = 0, acc[8] = {};
    for (int start = from_; start < to_; start += memory_.groups * kAhead) {
      float score[kAhead], m = most;
#pragma unroll
      for (int j = 0; j < kAhead; ++j) {
        const int key = key_of(start, j);
        if (key == new_ && holds_) {
          k_[j] = Eight<T>::load_shared(new_k + d0);
          v_[j] = Eight<T>::load_shared(new_v + d0);
        }
        float s = 0;
        k_[j].each([&](int i, float k) { s = fmaf(mine_q[i], k, s); });
        s = group_sum(s);
        if (a_.softcap > 0) s = a_.softcap * tanhf(s / a_.softcap);
        score[j] = key < to_ && holds_ ? s : -INFINITY;
        m = fmaxf(m, score[j]);
      }
      load(k_, cache_k_, start + memory_.groups * kAhead);
      if (m != -INFINITY) {
        const float keep = __expf(most - m);
        sum *= keep;
        for (int i = 0; i < 8; ++i) acc[i] *= keep;
#pragma unroll
        for (int j = 0; j < kAhead; ++j) {
          const float w = __expf(score[j] - m);
          sum += w;
          if (score[j] != -INFINITY)
            v_[j].each([&](int i, float v) { acc[i] = fmaf(v, w, acc[i]); });
        }
        most = m;
      }
      load(v_, cache_v_, start + memory_.groups * kAhead);
    }
    join(most, sum, acc);
    sync();  // before what is shared is written again
  }

 private:
  static constexpr int kAhead = sizeof(T) == 4 ? 1 : 3;  // keys that a group prefetches

  // The first `n` of the rows of q, k and v.
  __device__ void read_rows(float* to, int n) {
    const int D = a_.D, group = h_ / (a_.H / a_.Hkv);  // the head of keys and values
    for (int i = thread_; i < n * D; i += a_.team) {
      const int which = i / D, d = i - which * D, head = which ? group : h_;
      const int64_t* stride = which == 0 ? a_.q_stride : which == 1 ? a_.k_stride : a_.v_stride;
      if (tagged_.rows) {
        const int start = which == 0 ? a_.q_row : which == 1 ? a_.k_row : a_.v_row;
        float value[1];
        hear(value, tagged_.rows + int64_t(b_) * tagged_.early + start + head * stride[1] + d, 0,
             tagged_.tag);
        to[i] = value[0];
      } else {
        const void* row = which == 0 ? a_.q : which == 1 ? a_.k : a_.v;
        to[i] = widen(__ldcg(static_cast<const T*>(row) + b_ * stride[0] + head * stride[1] + d));
      }
    }
    sync();
  }

  // rms_norm of each of the first `n`, where it is asked for, rounded as what it gives is.
  __device__ void norm_rows(float* rows, int n) {
    if (!a_.norm[0].y && !a_.norm[1].y && !a_.norm[2].y) return;
    const int D = a_.D, heads = a_.H / a_.Hkv;
    float factor[3] = {};
    for (int i = 0; i < n; ++i) {
      if (!a_.norm[i].y) continue;
      float square = 0;  // each warp adds up all
      for (int d = int(threadIdx.x) % 32; d < D; d += 32)
        square += rows[i * D + d] * rows[i * D + d];
      for (int o = 16; o > 0; o >>= 1) square += __shfl_xor_sync(~0u, square, o);
      factor[i] = 1 / sqrtf(square / float(D) + a_.norm[i].eps);
    }
    sync();
    for (int i = 0; i < n; ++i) {
      const AttentionTask::Norm& norm = a_.norm[i];
      if (!norm.y) continue;
      const float* const weight = at<float>(memory_.weights) + i * D;
      const int64_t head = i == 0 ? int64_t(b_) * a_.H + h_ : int64_t(b_) * a_.Hkv + h_ / heads;
      const bool gives = i == 0 ? split_ == 0 : h_ % heads == 0;
      for (int d = thread_; d < D; d += a_.team) {
        float v = rows[i * D + d] * factor[i];
        if (norm.weight) v *= weight[d];
        const T y = narrow<T>(v);
        rows[i * D + d] = widen(y);
        if (gives) static_cast<T*>(norm.y)[head * D + d] = y;
      }
    }
    sync();
  }

  // Which head and keys are the item's; false when none.
  __device__ bool find(int item) {
    split_ = item % a_.splits, h_ = item / a_.splits % a_.H, b_ = item / a_.splits / a_.H;
    n_ = a_.offsets[b_];                // the new row is row n
    if (n_ < 0 || n_ >= a_.capacity) {  // no keys: NaN, for those who wait
      splits_ = 1, from_ = to_ = 0, new_ = -1;
      return split_ == 0;
    }
    new_ = a_.writes ? n_ : -1;
    const int first = a_.window > 0 ? max(0, n_ + 1 - a_.window) : 0, keys = n_ + 1 - first;
    const int per = max((keys + a_.splits - 1) / a_.splits, kKeysPerSplit);
    splits_ = (keys + per - 1) / per;
    if (split_ >= splits_) return false;
    from_ = first + split_ * per, to_ = min(from_ + per, n_ + 1);
    const int64_t head = (int64_t(b_) * a_.Hkv + h_ / (a_.H / a_.Hkv)) * a_.capacity * a_.D;
    cache_k_ = static_cast<T*>(a_.cache_k) + head;
    cache_v_ = static_cast<T*>(a_.cache_v) + head;
    return true;
  }

  __device__ void prefetch(const T* rows) const {
    const auto* at = reinterpret_cast<const std::byte*>(rows + int64_t(from_) * a_.D);
    const int bytes = (to_ - from_) * a_.D * int(sizeof(T));
    for (int i = thread_ * 128; i < bytes; i += a_.team * 128)
      asm volatile("prefetch.global.L2 [%0];" ::"l"(at + i));
  }
  __device__ Rotation rotation() const {
    return {a_.rope_dims,  a_.traditional,
            a_.rope_scale, a_.freqs ? a_.freqs + int64_t(b_) * a_.freqs_row : nullptr,
            rates_,        a_.amplitude};
  }
  template <class U>
  __device__ U* at(int offset) const {
    return reinterpret_cast<U*>(shared_ + offset);
  }
  __device__ float2* turns() const { return at<float2>(memory_.turns); }
  __device__ void sync() const {
    asm volatile("bar.sync %0, %1;" ::"r"(team_ + 1), "r"(a_.team) : "memory");
  }
  __device__ int key_of(int start, int j) const { return start + j * memory_.groups + group_; }
  __device__ void load(Eight<T> (&to)[kAhead], const T* rows, int start) const {
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {  // all but the new row
      const int key = key_of(start, j);
      if (key < to_ && key != new_ && holds_)
        to[j] = Eight<T>::load(rows + int64_t(key) * a_.D + lane_ * 8);
    }
  }
  // Over a group's lanes, any number of them, in all of them.
  __device__ float group_sum(float v) const {
    for (int o = 16; o > 0; o >>= 1) {
      if (o >= memory_.lanes) continue;
      const float other = __shfl_down_sync(~0u, v, o);
      if (lane_ + o < memory_.lanes) v += other;
    }
    return __shfl_sync(~0u, v, int(threadIdx.x % 32) - lane_);
  }

  // The groups joined, then, by the first team of this head, the splits; always in the same order.
  __device__ void join(float most, float sum, const float (&acc)[8]) {
    const int D = a_.D, groups = memory_.groups;
    float *const all_most = at<float>(memory_.most), *const sums = at<float>(memory_.sums);
    float* const all = at<float>(memory_.acc);  // (groups, D)
    if (holds_ && lane_ == 0) all_most[group_] = most;
    sync();
    float m = -INFINITY;
    for (int g = threadIdx.x % 32; g < groups; g += 32) m = fmaxf(m, all_most[g]);
    for (int o = 16; o > 0; o >>= 1) m = fmaxf(m, __shfl_xor_sync(~0u, m, o));
    if (holds_) {
      const float keep = most == -INFINITY ? 0.0f : __expf(most - m);
      for (int i = 0; i < 8; ++i) all[group_ * D + lane_ * 8 + i] = acc[i] * keep;
      if (lane_ == 0) sums[group_] = sum * keep;
    }
    sync();
    const int64_t head = int64_t(b_) * a_.H + h_;
    const int words = D + 2;  // the largest score, the sum, D values
    uint64_t* const found = tagged_.found + head * a_.splits * words;
    float total = 0;
    for (int g = 0; g < groups; ++g) total += sums[g];
    float* const others = at<float>(memory_.found);
    if (split_ == 0)
      for (int i = thread_; i < (splits_ - 1) * words; i += a_.team) {
        float value[1];
        hear(value, found + words + i, 0, tagged_.tag);
        others[i] = value[0];
      }
    sync();
    float top = m;
    if (split_ == 0)
      for (int s = 0; s < splits_ - 1; ++s) top = fmaxf(top, others[s * words]);
    const bool sinks = a_.sinks && split_ == 0;
    const float sink =
        sinks ? load_as<float>(a_.sinks, a_.sinks_dtype, h_ * a_.sinks_stride) : -INFINITY;
    top = fmaxf(top, sink);
    for (int d = thread_; d < D; d += a_.team) {
      float value = 0, weight = total;
      for (int g = 0; g < groups; ++g) value += all[g * D + d];
      if (split_ > 0) {
        tell(found + split_ * words + 2 + d, value, tagged_.tag);
        continue;
      }
      value *= __expf(m - top), weight *= __expf(m - top);
      for (int s = 0; s < splits_ - 1; ++s) {
        const float* other = others + s * words;
        const float keep = __expf(other[0] - top);
        value += other[2 + d] * keep, weight += other[1] * keep;
      }
      if (sinks) weight += __expf(sink - top);
      const T y = narrow<T>(value / weight);
      static_cast<T*>(a_.y)[head * D + d] = y;
      if (tagged_.given) tell(tagged_.given + head * D + d, widen(y), tagged_.tag);
    }
    if (split_ > 0 && thread_ == 0) {
      tell(found + split_ * words, m, tagged_.tag);
      tell(found + split_ * words + 1, total, tagged_.tag);
    }
  }

  const AttentionTask& a_;
  const Tagged& tagged_;
  const TeamMemory& memory_;
  const float* const rates_;
  const int team_, thread_;
  std::byte* const shared_;
  int lane_, group_;
  bool holds_;                                        // some lanes are left over
  int split_, splits_, h_, b_, n_, new_, from_, to_;  // new_: n_ if it is written, else -1
  T *cache_k_, *cache_v_;
  Eight<T> k_[kAhead], v_[kAhead];
};

}  // namespace hearth::cuda
