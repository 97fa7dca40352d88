// Attention of one new row, as a task: a team of warps shares a head's keys, rotates, writes the
// new row into the cache; the last team of a head to finish joins what they found.
#pragma once
#include "hearth/backend/cuda/rotation.cuh"
#include "hearth/backend/cuda/tasks.h"

namespace hearth::cuda {

constexpr int kTeamThreads = 480;   // of a block; a multiple of 32 and of all teams
constexpr int kKeysPerSplit = 256;  // the least that another team is worth

template <class T>
struct alignas(16) Eight {  // elements of a row
  T t[8];
  __device__ static Eight load(const T* p) {
    Eight e;
    for (size_t i = 0; i < sizeof(t) / 16; ++i)
      reinterpret_cast<uint4*>(e.t)[i] = __ldcg(reinterpret_cast<const uint4*>(p) + i);
    return e;
  }
  __device__ static Eight load_shared(const T* p) {
    Eight e;
    for (size_t i = 0; i < sizeof(t) / 16; ++i)
      reinterpret_cast<uint4*>(e.t)[i] = reinterpret_cast<const uint4*>(p)[i];
    return e;
  }
};

/// Where a team keeps what it shares; bytes are multiples of 16.
struct TeamMemory {
  int lanes, groups;  // of a row; of the team: each takes its own keys
  int q, new_k, new_v, turns, most, sums, acc, bytes;
  __host__ __device__ TeamMemory(const AttentionTask& a, int item)
      : lanes(a.D / 8), groups(32 / lanes * (a.team / 32)) {
    int at = 16;  // a flag
    const auto take = [&](int n) {
      const int here = at;
      at += (n + 15) / 16 * 16;
      return here;
    };
    q = take(a.D * 4), new_k = take(a.D * item), new_v = take(a.D * item);
    turns = take(a.rope_dims * 4);
    most = take(groups * 4), sums = take(groups * 4), acc = take(groups * a.D * 4);
    bytes = at;
  }
};

template <class T>
class Attend {
 public:
  __device__ Attend(const AttentionTask& task, const float* rates, std::byte* shared)
      : a_(task),
        memory_(task, sizeof(T)),
        rotation_{task.rope_dims, task.traditional, task.rope_scale, task.freqs, rates},
        team_(threadIdx.x / task.team),
        thread_(threadIdx.x % task.team),
        shared_(shared + team_ * memory_.bytes) {
    const int lane = threadIdx.x % 32, in_warp = lane / memory_.lanes;
    lane_ = lane % memory_.lanes;
    group_ = thread_ / 32 * (32 / memory_.lanes) + in_warp;
    holds_ = in_warp < 32 / memory_.lanes;
  }
  __device__ int first_item() const { return blockIdx.x * (kTeamThreads / a_.team) + team_; }
  __device__ int step() const { return gridDim.x * (kTeamThreads / a_.team); }
  __device__ int items() const { return a_.B * a_.H * a_.splits; }

  /// The first item's keys and values, into L2.
  __device__ void prefetch() {
    if (first_item() >= items() || !find(first_item())) return;
    const int64_t bytes = int64_t(to_ - from_) * a_.D * sizeof(T);
    const auto fetch = [&](const T* rows) {
      const auto* at = reinterpret_cast<const std::byte*>(rows + int64_t(from_) * a_.D);
      for (int64_t i = thread_ * 128; i < bytes; i += a_.team * 128)
        asm volatile("prefetch.global.L2 [%0];" ::"l"(at + i));
    };
    fetch(cache_k_), fetch(cache_v_);
  }

  /// What does not need the new row: the keys' and values' way here starts. False when there is
  /// nothing to do.
  __device__ bool begin(int item) {
    if (!find(item)) return false;
    load(k_, cache_k_, from_);
    load(v_, cache_v_, from_);
    for (int i = thread_; i < a_.rope_dims / 2; i += a_.team) turns()[i] = rotation_.turn(i, n_);
    sync();
    return true;
  }
  __device__ void finish() {
    const int group = h_ / (a_.H / a_.Hkv), D = a_.D;  // the head of keys and values
    float* const q = at<float>(memory_.q);
    T *const new_k = at<T>(memory_.new_k), *const new_v = at<T>(memory_.new_v);
    const T* q_row = static_cast<const T*>(a_.q) + b_ * a_.q_stride[0] + h_ * a_.q_stride[1];
    for (int d = thread_; d < D; d += a_.team) q[d] = rotation_(q_row, d, turns()) * a_.scale;
    if (from_ <= n_ && n_ < to_) {
      const T* k_row = static_cast<const T*>(a_.k) + b_ * a_.k_stride[0] + group * a_.k_stride[1];
      const T* v_row = static_cast<const T*>(a_.v) + b_ * a_.v_stride[0] + group * a_.v_stride[1];
      const bool writes = h_ % (a_.H / a_.Hkv) == 0;  // one of the heads that share it
      // The last threads: the first ones have q.
      for (int d = a_.team - 1 - thread_; d < D; d += a_.team) {
        const T k = narrow<T>(rotation_(k_row, d, turns())), v = __ldcg(v_row + d);
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
        if (key == n_ && holds_) {
          k_[j] = Eight<T>::load_shared(new_k + d0);
          v_[j] = Eight<T>::load_shared(new_v + d0);
        }
        float s = 0;
        for (int i = 0; i < 8; ++i) s = fmaf(mine_q[i], widen(k_[j].t[i]), s);
        s = group_sum(s);
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
            for (int i = 0; i < 8; ++i) acc[i] = fmaf(widen(v_[j].t[i]), w, acc[i]);
        }
        most = m;
      }
      load(v_, cache_v_, start + memory_.groups * kAhead);
    }
    join(most, sum, acc);
    sync();  // before what is shared is written again
  }

 private:
  static constexpr int kAhead = sizeof(T) == 4 ? 1 : 2;  // keys of a group in flight

  // Which head and keys are the item's; false when none.
  __device__ bool find(int item) {
    split_ = item % a_.splits, h_ = item / a_.splits % a_.H, b_ = item / a_.splits / a_.H;
    n_ = a_.offsets[b_];  // the new row is row n
    if (n_ < 0 || n_ >= a_.capacity) return false;
    const int per = max((n_ + a_.splits) / a_.splits, kKeysPerSplit);
    splits_ = (n_ + per) / per;  // of n + 1 keys
    if (split_ >= splits_) return false;
    from_ = split_ * per, to_ = min(from_ + per, n_ + 1);
    const int64_t head = (int64_t(b_) * a_.Hkv + h_ / (a_.H / a_.Hkv)) * a_.capacity * a_.D;
    cache_k_ = static_cast<T*>(a_.cache_k) + head;
    cache_v_ = static_cast<T*>(a_.cache_v) + head;
    return true;
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
      if (key < to_ && key != n_ && holds_)
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

  // The groups joined, then, by the last team of this head, the splits; always in the same order.
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
    float* const part = a_.parts + head * a_.splits * (D + 2);
    T* const y = static_cast<T*>(a_.y) + head * D;
    float total = 0;
    for (int g = 0; g < groups; ++g) total += sums[g];
    for (int d = thread_; d < D; d += a_.team) {
      float value = 0;
      for (int g = 0; g < groups; ++g) value += all[g * D + d];
      if (splits_ == 1)
        y[d] = narrow<T>(value / total);
      else
        part[split_ * (D + 2) + 2 + d] = value;
    }
    if (splits_ == 1) return;
    if (thread_ == 0) part[split_ * (D + 2)] = m, part[split_ * (D + 2) + 1] = total;
    __threadfence();
    sync();
    int* const last = at<int>(0);
    if (thread_ == 0) {
      unsigned* const count = a_.finished + head;
      *last = atomicAdd(count, 1u) == unsigned(splits_) - 1;
      if (*last) *count = 0;
    }
    sync();
    if (!*last) return;
    __threadfence();
    float top = -INFINITY, weight = 0;
    for (int s = 0; s < splits_; ++s) top = fmaxf(top, __ldcg(part + s * (D + 2)));
    for (int s = 0; s < splits_; ++s)
      weight += __ldcg(part + s * (D + 2) + 1) * __expf(__ldcg(part + s * (D + 2)) - top);
    for (int d = thread_; d < D; d += a_.team) {
      float value = 0;
      for (int s = 0; s < splits_; ++s)
        value += __ldcg(part + s * (D + 2) + 2 + d) * __expf(__ldcg(part + s * (D + 2)) - top);
      y[d] = narrow<T>(value / weight);
    }
  }

  const AttentionTask& a_;
  const TeamMemory memory_;
  const Rotation rotation_;
  const int team_, thread_;
  std::byte* const shared_;
  int lane_, group_;
  bool holds_;  // some lanes are left over
  int split_, splits_, h_, b_, n_, from_, to_;
  T *cache_k_, *cache_v_;
  Eight<T> k_[kAhead], v_[kAhead];
};

}  // namespace hearth::cuda
