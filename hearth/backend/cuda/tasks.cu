// Which tasks one kernel can do in order, and what it needs for them.
#include <algorithm>

#include "hearth/backend/cuda/task_kernel.cuh"

namespace hearth::cuda {

namespace {

// Beside the ring: x and the row sums; a multiple of 16.
size_t shared_of(const LinearTask& l, Dtype dtype, int m, const Card& card) {
  const size_t k = size_t(l.k[0]) + size_t(l.terms > 1 ? l.k[1] : 0);
  const size_t rows = size_t(l.rows + card.multiprocessors - 1) / size_t(card.multiprocessors);
  return (size_t(m) * (k * size_of(dtype) + rows * size_t(l.per_row) * 4) + 15) / 16 * 16;
}
size_t room(const Card& card) { return card.shared_memory_per_block - 2560; }  // its own: sums

constexpr int64_t kMaxOutputs = 1 << 24;  // counted in 32 bits by the kernel

// Where an address is in the outputs of a task, as one row of all parts.
struct Found {
  int part = -1, row, end;  // end: of the part
};
Found find(const LinearTask& l, const void* p, size_t item, int m) {
  for (int i = 0, start = 0; i < l.parts; start += l.part[i++].rows) {
    const auto* from = static_cast<const std::byte*>(l.part[i].y);
    const auto* at = static_cast<const std::byte*>(p);
    if (at < from || at >= from + size_t(m) * size_t(l.part[i].rows) * item) continue;
    return {i, start + int(size_t(at - from) / item), start + l.part[i].rows};
  }
  return {};
}

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

// Room for one more; what it prefetches (`early`) is not written by those before.
Task& Tasks::next(CudaQueue& queue, Dtype dtype, int m, size_t linear, size_t attention,
                  std::initializer_list<const void*> early, const Args& args) {
  bool joins =
      list_.count < TaskList::kMax && dtype == dtype_ && (m == m_ || !m || !m_) &&
      std::max(linear, linear_) + std::max(attention, attention_) + kMinStages * kStageBytes <=
          room(queue.card());
  for (const void* p : early) joins = joins && !written(p);
  if (!joins) queue.stream();  // starts them
  dtype_ = dtype, m_ = std::max(m, m_);
  linear_ = std::max(linear, linear_), attention_ = std::max(attention, attention_);
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
  Task& task = next(queue, dtype, m, shared_of(l, dtype, m, queue.card()), 0,
                    {l.norm_weight, l.norm_bias}, args);
  task.kind = Task::linear_task, task.linear = l;
  find_late(task.linear);
  blocks_ = std::max(blocks_, unsigned(std::min(l.rows, queue.card().multiprocessors)));
  for (int i = 0; i < l.parts; ++i) {
    const auto* y = static_cast<const std::byte*>(l.part[i].y);
    writes_.push_back({y, y + size_t(m) * size_t(l.part[i].rows) * size_of(dtype)});
  }
}

// Attention's output becomes the second term where there are two: the first does not wait for it.
void Tasks::find_late(LinearTask& l) const {
  if (l.terms != 2 || list_.count < 2) return;
  const Task& before = list_.task[list_.count - 2];
  if (before.kind != Task::attention_task) return;
  const void* y = before.attention.y;
  if (l.x[0] != y && l.x[1] != y) return;
  if (list_.count > 2) {  // what else it reads is not written by those that attend
    const LinearTask& source = list_.task[list_.count - 3].linear;
    for (const void* p : {l.x[0], l.x[1], l.residual})
      if (const Found f = find(source, p, size_of(dtype_), m_); f.part >= 0 && f.row < source.early)
        return;
  }
  l.late = true;
  if (l.x[1] == y) return;
  LinearTask::Part& part = l.part[0];
  std::swap(l.x[0], l.x[1]), std::swap(l.k[0], l.k[1]);
  std::swap(part.weight[0], part.weight[1]), std::swap(part.bias[0], part.bias[1]);
}

// Whether all that attention reads is what the task before writes, and which of its rows.
bool Tasks::find_early(AttentionTask& a, Dtype dtype) {
  Task& before = list_.task[list_.count - 1];
  if (before.kind != Task::linear_task || m_ != a.B || dtype_ != dtype) return false;
  LinearTask& l = before.linear;
  int early = 0;
  const auto row_of = [&](const void* p, int64_t stride, int& row) {
    const Found f = find(l, p, size_of(dtype), m_);
    row = f.row, early = std::max(early, f.end);
    return f.part >= 0 && f.row < f.end && (a.B == 1 || stride == l.part[f.part].rows);
  };
  if (!row_of(a.q, a.q_stride[0], a.q_row) || !row_of(a.k, a.k_stride[0], a.k_row) ||
      !row_of(a.v, a.v_stride[0], a.v_row))
    return false;
  l.early = early;
  return true;
}

void Tasks::add(CudaQueue& queue, const AttentionTask& given, Dtype dtype, const Rates& rates,
                const Args& args) {
  const unsigned most = unsigned(queue.card().multiprocessors);
  AttentionTask a = given;
  const int heads = a.B * a.H;
  // Few heads: each has a block, or is shared among several. Many: a warp has a head.
  a.splits = std::clamp(int(most) / heads, 1, (a.capacity + kKeysPerSplit - 1) / kKeysPerSplit);
  a.team = heads * a.splits <= int(most) ? kTeamThreads : 32;
  const int teams = kTeamThreads / a.team;
  const size_t bytes = size_t(TeamMemory(a, int(size_of(dtype))).bytes * teams);
  if (rotates_ && !a.freqs && !std::equal(rates.begin(), rates.end(), list_.rates)) queue.stream();
  if (!empty() && !find_early(a, dtype)) queue.stream();
  Task& task = next(queue, dtype, 0, 0, bytes, {a.cache_k, a.cache_v, a.offsets, a.freqs}, args);
  if (list_.count > 1)
    early_ = std::max(early_, size_t(a.B) * size_t(list_.task[list_.count - 2].linear.early));
  found_ = std::max(found_, size_t(heads) * size_t(a.splits) * size_t(a.D + 2));
  given_ = std::max(given_, size_t(heads) * size_t(a.D));
  task.kind = Task::attention_task, task.attention = a;
  if (!a.freqs) std::copy(rates.begin(), rates.end(), list_.rates), rotates_ = true;
  blocks_ = std::max(blocks_, std::min(most, unsigned(heads * a.splits / teams + 1)));
  const size_t item = size_of(dtype), cache = size_t(a.B * a.Hkv) * size_t(a.capacity) * a.D * item;
  for (const auto& [to, n] :
       {std::pair{a.y, size_t(heads) * a.D * item}, {a.cache_k, cache}, {a.cache_v, cache}}) {
    const auto* from = static_cast<const std::byte*>(to);
    writes_.push_back({from, from + n});
  }
}

void Tasks::start(CudaQueue& queue, cudaStream_t stream) {
  const int m = std::max(m_, 1);
  // Without a linear task there is nothing to prefetch.
  const size_t beside = linear_ + attention_;
  const size_t stages = m_ ? (room(queue.card()) - beside) / kStageBytes : kMinStages;
  list_.stages = int(std::min<size_t>(kMaxStages, stages));
  list_.linear_bytes = int(linear_);
  list_.counters = queue.counters(TaskList::kCounters);
  // The count has a line of its own, and all begin at 16 bytes.
  list_.found = TaskList::kLine + int((early_ + 1) / 2 * 2);
  list_.given = list_.found + int((found_ + 1) / 2 * 2);
  list_.tagged = given_ ? queue.tagged(size_t(list_.given) + given_) : nullptr;
  const auto clear = [&] {
    list_.count = 0, m_ = 0, linear_ = 0, attention_ = 0, blocks_ = 0, rotates_ = false;
    early_ = 0, found_ = 0, given_ = 0;
    writes_.clear(), held_.clear();
  };
  try {
    if (Task& first = list_.task[0];
        list_.count == 1 && first.kind == Task::attention_task && first.attention.splits == 1) {
      first.attention.team = kTeamThreads;
      start_attention(dtype_, first.attention, list_.rates,
                      size_t(TeamMemory(first.attention, int(size_of(dtype_))).bytes), stream);
    } else
      start_task_kernel(dtype_, list_, m, blocks_, size_t(list_.stages) * kStageBytes + beside,
                        stream);
  } catch (...) {  // later work does not try it again
    clear();
    throw;
  }
  clear();
}

}  // namespace hearth::cuda
