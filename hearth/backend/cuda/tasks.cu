// Which tasks one kernel can do in order, and what it needs for them.
#include <algorithm>

#include "hearth/backend/cuda/packed_layout.cuh"

namespace hearth::cuda {

namespace {

// Beside the ring: x and the row sums; a multiple of 16.
size_t shared_of(const LinearTask& l, Dtype dtype, int m, const Card& card) {
  const size_t k = size_t(l.k[0]) + size_t(l.inputs() > 1 ? l.k[1] : 0);
  const int tile = l.packed() ? kTile : 1, tiles = (l.rows + tile - 1) / tile;
  const size_t rows = size_t((tiles + card.multiprocessors - 1) / card.multiprocessors * tile);
  const size_t x = !l.packed()        ? size_t(l.x_rows) * k * size_of(dtype)
                   : dtype == float32 ? size_t(ColumnsLayout<float>(l).bytes())
                                      : size_t(ColumnsLayout<__half>(l).bytes());
  return (x + size_t(m) * rows * size_t(l.per_row) * 4 + 15) / 16 * 16;
}
int weights_of(const LinearTask& l) { return std::max(l.parts, l.terms); }
// Of a warp's stage.
size_t slot_of(const LinearTask& l, int spans) {
  if (!l.packed()) return kChunk;
  int bytes = 0;
  for (int w = 0; w < weights_of(l); ++w)
    bytes = std::max(bytes, slot_bytes(block_shape(packing_info(l.part[w].packing)),
                                       l.part[w].scales, spans));
  return size_t(bytes);
}
// Its own: sums; what streams packed weights.
size_t room(const Card& card, bool packed) {
  return card.shared_memory_per_block - (packed ? 6144 : 2560);
}

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

bool overlap(const void* a, const void* b, size_t bytes) {
  const auto *x = static_cast<const std::byte*>(a), *y = static_cast<const std::byte*>(b);
  return a && b && x < y + bytes && y < x + bytes;
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
  // Chunks of two spans keep a warp longer; those of wide codes would leave the ring no stages.
  constexpr size_t kMaxSlot = 5120;
  if (l.packed()) l.spans = slot_of(l, 2) <= kMaxSlot ? 2 : 1;
  const bool packed = l.packed();
  for (int w = 0; w < weights_of(l); ++w)
    if ((l.part[w].packing != Packing::dense) != packed) return false;
  if (packed) {
    if (dtype == float32 && m > 1) return false;  // eight columns at most
    for (int i = 0; i + 1 < l.parts; ++i)
      if (l.part[i].rows % kTile != 0) return false;
    if (l.ids && l.each % kTile != 0) return false;
  }
  if (!l.ids) l.x_rows = m, l.x_stride = l.k[0];
  if (size_t(l.x_stride) * size_of(dtype) % 16 != 0) return false;
  for (int t = 0; t < l.terms; ++t) {
    const size_t row = size_t(l.k[t]) * size_of(dtype);
    if (row == 0 || row % 16 != 0 || !aligned(l.x[t])) return false;
    const int span = l.spans * kSpan;
    l.per_row += packed ? (l.k[t] + span - 1) / span : int((row + kChunk - 1) / kChunk);
    for (int i = 0; i < l.parts; ++i) {
      if (l.part[i].rows == 0) return false;
      for (const void* plane : l.weight(i, t).planes)
        if (!aligned(plane)) return false;
    }
  }
  if (l.norm && size_t(l.k[0]) * size_of(dtype) > kNormVectors * kThreads * 16) return false;
  if (!aligned(l.norm_weight) || !aligned(l.norm_bias)) return false;
  return shared_of(l, dtype, m, card) + kMinStages * kWarps * slot_of(l, l.spans) <=
         room(card, packed);
}

bool Tasks::written(const void* p) const {
  const auto* at = static_cast<const std::byte*>(p);
  return p && std::any_of(writes_.begin(), writes_.end(),
                          [&](const Range& w) { return w.from <= at && at < w.to; });
}

// Is there room for one more? What it prefetches (`early`) is not written by those before.
bool Tasks::joins(const Card& card, Dtype dtype, int m, size_t linear, size_t attention,
                  size_t slot, bool packed, std::initializer_list<const void*> early) const {
  return list_.count < TaskList::kMax && dtype == dtype_ && (m == m_ || !m || !m_) &&
         std::max(linear, linear_) + std::max(attention, attention_) +
                 kMinStages * kWarps * std::max(slot, slot_) <=
             room(card, packed) &&
         std::none_of(early.begin(), early.end(), [&](const void* p) { return written(p); });
}

Task& Tasks::next(Dtype dtype, int m, size_t linear, size_t attention, const Args& args) {
  dtype_ = dtype, m_ = std::max(m, m_);
  linear_ = std::max(linear, linear_), attention_ = std::max(attention, attention_);
  hold(args);
  return list_.task[list_.count++];
}

void Tasks::hold(const Args& args) {
  for (const auto& arrays : {args.in, args.out})
    for (const array& a : arrays) held_.push_back(a.node().storage);
}

// Blocks of one task read what one of them writes at the same time: it lies elsewhere.
bool Tasks::add(const NormTask& norm, Dtype dtype, const Args& args) {
  const size_t bytes = size_t(norm.B * norm.heads) * size_t(norm.n) * size_of(dtype);
  if (list_.count == 0 || dtype != dtype_ || !written(norm.x) || norms_.size() > 2 ||
      (!norms_.empty() && norms_.back().sum) || overlap(norm.x, norm.y, bytes))
    return false;
  for (const NormTask& other : norms_)
    if (overlap(other.y, norm.x, bytes)) return false;
  norms_.push_back(norm);
  hold(args);
  return true;
}

bool Tasks::add_sum(const void* normed, const void* residual, void* sum, Dtype dtype, size_t size,
                    const Args& args) {
  if (norms_.size() != 1 || dtype != dtype_) return false;
  NormTask& norm = norms_[0];
  const size_t bytes = size * size_of(dtype);
  if (norm.sum || norm.y != normed || size != size_t(norm.B) * size_t(norm.n) || norm.heads != 1)
    return false;
  for (const void* p : {norm.x, static_cast<const void*>(norm.y), residual})
    if (overlap(p, sum, bytes)) return false;
  norm.residual = residual, norm.sum = sum;
  hold(args);
  return true;
}

// Can the task do the norm, which it reads, itself?
bool Tasks::takes(const LinearTask& l, int m) const {
  if (norms_.size() != 1 || l.ids || l.inputs() != 1) return false;
  const NormTask& norm = norms_[0];
  if (norm.given() != l.x[0] || norm.B != m || norm.heads != 1 || norm.n != l.k[0]) return false;
  if (m > 1 && norm.stride[0] != norm.n) return false;
  for (const void* p : {norm.x, norm.weight, static_cast<const void*>(norm.y), norm.residual})
    if (!aligned(p)) return false;
  return size_t(norm.n) * size_of(dtype_) <= kNormVectors * kThreads * 16;
}

void Tasks::add(CudaQueue& queue, const LinearTask& given, Dtype dtype, int m, const Args& args) {
  LinearTask l = given;
  if (takes(l, m)) l.before = norms_[0];
  const size_t bytes = shared_of(l, dtype, m, queue.card());
  const size_t slot = slot_of(l, l.spans);
  bool together = (norms_.empty() || l.before.x) && (slot_ == 0 || packed_ == l.packed());
  for (int w = 0; w < weights_of(l); ++w) {
    for (const void* plane : l.weights[w].planes) together = together && !written(plane);
    together = together && !written(l.weights[w].bias);
  }
  if (!together || !joins(queue.card(), dtype, m, bytes, 0, slot, l.packed(),
                          {l.norm_weight, l.norm_bias, l.before.weight, l.ids})) {
    queue.stream();  // starts those before, and the norms
    l.before = {};
  }
  norms_.clear();
  Task& task = next(dtype, m, bytes, 0, args);
  task.kind = Task::linear_task, task.linear = l;
  slot_ = std::max(slot, slot_), packed_ = l.packed();
  find_late(task.linear);
  const int units = l.packed() ? (l.rows + kTile - 1) / kTile : l.rows;
  blocks_ = std::max(blocks_, unsigned(std::min(units, queue.card().multiprocessors)));
  const size_t item = size_of(dtype), x_bytes = size_t(m) * size_t(l.k[0]) * item;
  for (int i = 0; i < l.parts; ++i) writes(l.part[i].y, size_t(m) * size_t(l.part[i].rows) * item);
  if (l.before.x) writes(l.before.y, x_bytes), writes(l.before.sum, x_bytes);
}

void Tasks::writes(const void* p, size_t bytes) {
  const auto* from = static_cast<const std::byte*>(p);
  if (p) writes_.push_back({from, from + bytes});
}

// Attention's output becomes the second term where there are two: the first does not wait for it.
void Tasks::find_late(LinearTask& l) const {
  if (l.inputs() != 2 || list_.count < 2 || l.packed()) return;
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
  std::swap(l.x[0], l.x[1]), std::swap(l.k[0], l.k[1]);
  std::swap(l.weights[0], l.weights[1]);
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
  if (l.packed() && early % kTile != 0) return false;
  l.early = early;
  return true;
}

// Norms of the rows that it reads become its own; false if one is of anything else.
bool Tasks::take_norms(AttentionTask& a) const {
  for (const NormTask& norm : norms_) {
    const void** const rows[3] = {&a.q, &a.k, &a.v};
    int64_t* const strides[3] = {a.q_stride, a.k_stride, a.v_stride};
    int i = 0;
    while (i < 3 && *rows[i] != norm.y) ++i;
    if (i == 3 || norm.sum || norm.n != a.D || norm.B != a.B || (i > 0 && !a.writes)) return false;
    const int heads = i == 0 ? a.H : a.Hkv;
    if (norm.heads != heads || (heads > 1 && strides[i][1] != a.D) ||
        (a.B > 1 && strides[i][0] != int64_t(heads) * a.D))
      return false;
    a.norm[i] = {norm.weight, norm.y, norm.eps};
    *rows[i] = norm.x;
    std::copy_n(norm.stride, 2, strides[i]);
  }
  return true;
}

// Which of the list's tables has these rates; one more if it has room, else -1.
int Tasks::table_of(const Rates& rates) {
  int i = 0;
  while (i < tables_ && !std::equal(rates.begin(), rates.end(), list_.rates[i])) ++i;
  if (i == TaskList::kTables) return -1;
  if (i == tables_) std::copy(rates.begin(), rates.end(), list_.rates[tables_++]);
  return i;
}

void Tasks::add(CudaQueue& queue, const AttentionTask& given, Dtype dtype, const Rates& rates,
                const Args& args) {
  const unsigned most = unsigned(queue.card().multiprocessors);
  AttentionTask a = given;
  const int heads = a.B * a.H, keys = a.window > 0 ? std::min(a.window, a.capacity) : a.capacity;
  // Few heads: each has a block, or is shared among several. Many: a warp has a head.
  a.splits = std::clamp(int(most) / heads, 1, (keys + kKeysPerSplit - 1) / kKeysPerSplit);
  a.team = heads * a.splits <= int(most) ? kTeamThreads : 32;
  const int teams = kTeamThreads / a.team;
  const AttentionTask plain = a;
  const auto bytes = [&] { return size_t(TeamMemory(a, int(size_of(dtype))).bytes * teams); };
  if (!empty() && (!take_norms(a) || !find_early(a, dtype) ||
                   !joins(queue.card(), dtype, 0, 0, bytes(), 0, packed_,
                          {a.cache_k, a.cache_v, a.offsets, a.freqs, a.sinks, a.norm[0].weight,
                           a.norm[1].weight, a.norm[2].weight}))) {
    queue.stream();  // starts those before, and the norms
    a = plain;
  }
  if (!a.freqs && (a.table = table_of(rates)) < 0) {
    queue.stream();
    a = plain, a.table = table_of(rates);
  }
  norms_.clear();
  Task& task = next(dtype, 0, 0, bytes(), args);
  if (list_.count > 1)
    early_ = std::max(early_, size_t(a.B) * size_t(list_.task[list_.count - 2].linear.early));
  found_ = std::max(found_, size_t(heads) * size_t(a.splits) * size_t(a.D + 2));
  given_ = std::max(given_, size_t(heads) * size_t(a.D));
  task.kind = Task::attention_task, task.attention = a;
  blocks_ = std::max(blocks_, std::min(most, unsigned(heads * a.splits / teams + 1)));
  const size_t item = size_of(dtype), row = size_t(a.D) * item;
  writes(a.y, size_t(heads) * row);
  for (int i = 0; i < 3; ++i) writes(a.norm[i].y, size_t(a.B * (i ? a.Hkv : a.H)) * row);
  for (const void* cache : {a.cache_k, a.cache_v})
    if (a.writes) writes(cache, size_t(a.B * a.Hkv) * size_t(a.capacity) * row);
}

void Tasks::start(CudaQueue& queue, cudaStream_t stream) {
  const int m = std::max(m_, 1);
  // Without a linear task there is nothing to prefetch.
  const size_t beside = linear_ + attention_;
  const size_t stage = kWarps * (m_ ? slot_ : kChunk);
  const size_t stages = m_ ? (room(queue.card(), packed_) - beside) / stage : kMinStages;
  list_.stages = int(std::min<size_t>(kMaxStages, stages));
  list_.slot = int(slot_);
  list_.linear_bytes = int(linear_);
  list_.counters = queue.counters(TaskList::kCounters);
  // The count has a line of its own, and all begin at 16 bytes.
  list_.found = TaskList::kLine + int((early_ + 1) / 2 * 2);
  list_.given = list_.found + int((found_ + 1) / 2 * 2);
  list_.tagged = given_ ? queue.tagged(size_t(list_.given) + given_) : nullptr;
  const auto clear = [&] {
    list_.count = 0, m_ = 0, linear_ = 0, attention_ = 0, blocks_ = 0, tables_ = 0;
    early_ = 0, found_ = 0, given_ = 0, slot_ = 0, packed_ = false;
    norms_.clear(), writes_.clear(), held_.clear();
  };
  try {
    if (Task& first = list_.task[0];
        list_.count == 1 && first.kind == Task::attention_task && first.attention.splits == 1) {
      first.attention.team = kTeamThreads;
      start_attention(dtype_, first.attention, list_.rates[first.attention.table],
                      size_t(TeamMemory(first.attention, int(size_of(dtype_))).bytes), stream);
    } else
      (packed_ ? start_packed_tasks : start_task_kernel)(
          dtype_, list_, m, blocks_, size_t(list_.stages) * stage + beside, stream);
    for (const NormTask& norm : norms_) start_norm(dtype_, norm, stream);
  } catch (...) {  // later work does not try it again
    clear();
    throw;
  }
  clear();
}

}  // namespace hearth::cuda
