// Which tasks one kernel can do in order, and what it needs for them.
#include <algorithm>

#include "hearth/backend/cuda/task_kernel.cuh"

namespace hearth::cuda {

namespace {

// Beside the ring: x and the row sums.
size_t shared_of(const LinearTask& l, Dtype dtype, int m, const Card& card) {
  const size_t k = size_t(l.k[0]) + size_t(l.terms > 1 ? l.k[1] : 0);
  const size_t rows = size_t(l.rows + card.multiprocessors - 1) / size_t(card.multiprocessors);
  return size_t(m) * (k * size_of(dtype) + rows * size_t(l.per_row) * 4);
}
size_t room(const Card& card) { return card.shared_memory_per_block - 2048; }  // its own: sums

constexpr int64_t kMaxOutputs = 1 << 24;  // counted in 32 bits by the kernel

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace

bool complete(LinearTask& l, Dtype dtype, int m, const Card& card) {
  if (dtype != float16 && dtype != bfloat16 && dtype != float32) return false;
  if (m < 1 || m > kMaxRows) return false;
  int64_t rows = 0;
  for (int i = 0; i < l.parts; ++i) rows += l.part[i].rows;
  if (rows > kMaxOutputs) return false;
  l.rows = int(rows), l.per_row = 0;
  for (int t = 0; t < l.terms; ++t) {
    const size_t row = size_t(l.k[t]) * size_of(dtype);
    if (row == 0 || row % 16 != 0 || !aligned(l.x[t])) return false;
    l.per_row += int((row + kChunk - 1) / kChunk);
    for (int i = 0; i < l.parts; ++i)
      if (l.part[i].rows == 0 || !aligned(l.part[i].weight[t])) return false;
  }
  if (l.norm && size_t(l.k[0]) * size_of(dtype) > kNormVectors * kThreads * 16) return false;
  if (!aligned(l.norm_weight) || !aligned(l.norm_bias)) return false;
  return shared_of(l, dtype, m, card) + kMinStages * kStageBytes <= room(card);
}

bool Tasks::written(const void* p) const {
  const auto* at = static_cast<const std::byte*>(p);
  return p && std::any_of(writes_.begin(), writes_.end(),
                          [&](const Range& w) { return w.from <= at && at < w.to; });
}

// Room for one more; what it reads `early` is not written by those before.
Task& Tasks::next(CudaQueue& queue, Dtype dtype, int m, size_t shared,
                  std::initializer_list<const void*> early, const Args& args) {
  bool joins = list_.count < TaskList::kMax && dtype == dtype_ && (m == m_ || !m || !m_) &&
               std::max(shared, shared_) + kMinStages * kStageBytes <= room(queue.card());
  for (const void* p : early) joins = joins && !written(p);
  if (!joins) queue.stream();  // starts them
  dtype_ = dtype, m_ = std::max(m, m_), shared_ = std::max(shared, shared_);
  for (const auto& arrays : {args.in, args.out})
    for (const array& a : arrays) held_.push_back(a.node().storage);
  return list_.task[list_.count++];
}

void Tasks::add(CudaQueue& queue, const LinearTask& l, Dtype dtype, int m, const Args& args) {
  bool early = false;
  for (int i = 0; i < l.parts; ++i)
    for (int t = 0; t < l.terms; ++t)
      early = early || written(l.part[i].weight[t]) || written(l.part[i].bias[t]);
  if (early) queue.stream();  // starts those before
  Task& task = next(queue, dtype, m, shared_of(l, dtype, m, queue.card()),
                    {l.norm_weight, l.norm_bias}, args);
  task.kind = Task::linear_task, task.linear = l;
  blocks_ = std::max(blocks_, unsigned(std::min(l.rows, queue.card().multiprocessors)));
  for (int i = 0; i < l.parts; ++i) {
    const auto* y = static_cast<const std::byte*>(l.part[i].y);
    writes_.push_back({y, y + size_t(m) * size_t(l.part[i].rows) * size_of(dtype)});
  }
}

void Tasks::add(CudaQueue& queue, const AttentionTask& given, Dtype dtype, const Rates& rates,
                const Args& args) {
  const unsigned most = unsigned(queue.card().multiprocessors);
  AttentionTask a = given;
  const int heads = a.B * a.H;
  // Few heads: each has a block, or shares it among several. Many: a fifth of a block.
  a.splits = std::clamp(int(most) / heads, 1, (a.capacity + kKeysPerSplit - 1) / kKeysPerSplit);
  a.team = heads * a.splits <= int(most) ? kThreads : kThreads / 5;
  const size_t bytes = size_t(TeamMemory(a, int(size_of(dtype))).bytes * (kThreads / a.team));
  if (rotates_ && !a.freqs && !std::equal(rates.begin(), rates.end(), list_.rates)) queue.stream();
  Task& task = next(queue, dtype, 0, bytes, {a.cache_k, a.cache_v, a.offsets, a.freqs}, args);
  a.parts = queue.scratch<float>(size_t(heads) * size_t(a.splits) * size_t(a.D + 2));
  a.finished = queue.counters(kCounters + heads) + kCounters;
  task.kind = Task::attention_task, task.attention = a;
  if (!a.freqs) std::copy(rates.begin(), rates.end(), list_.rates), rotates_ = true;
  blocks_ = std::max(blocks_, std::min(most, unsigned(heads * a.splits * a.team / kThreads + 1)));
  const size_t item = size_of(dtype), cache = size_t(a.B * a.Hkv) * size_t(a.capacity) * a.D * item;
  for (const auto& [to, n] :
       {std::pair{a.y, size_t(heads) * a.D * item}, {a.cache_k, cache}, {a.cache_v, cache}}) {
    const auto* from = static_cast<const std::byte*>(to);
    writes_.push_back({from, from + n});
  }
}

void Tasks::start(CudaQueue& queue, cudaStream_t stream) {
  const int m = std::max(m_, 1);
  // Without a linear task there is nothing to fetch.
  const size_t stages = m_ ? (room(queue.card()) - shared_) / kStageBytes : kMinStages;
  list_.stages = int(std::min<size_t>(kMaxStages, stages));
  list_.arrived = queue.counters(kCounters);
  const auto clear = [&] {
    list_.count = 0, m_ = 0, shared_ = 0, blocks_ = 0, rotates_ = false;
    writes_.clear(), held_.clear();
  };
  try {
    start_task_kernel(dtype_, list_, m, blocks_, size_t(list_.stages) * kStageBytes + shared_,
                      stream);
  } catch (...) {  // later work does not try it again
    clear();
    throw;
  }
  clear();
}

}  // namespace hearth::cuda
