// Elementwise programs over blocks that stay in L1: widen, one loop for each step, narrow. What
// lies as the loops compute is passed by its own pointer, never copied.
#include <algorithm>
#include <vector>

#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/cpu/map_loops.h"
#include "hearth/backend/pool.h"
#include "hearth/ops/primitives.h"

namespace hearth::cpu {
namespace {

constexpr size_t kBlock = 1024;           // elements
constexpr size_t kTask = 32;              // blocks that one thread takes at a time
constexpr int kShortRow = 256;            // rows shorter than this share a block
constexpr size_t kRegister = kBlock * 8;  // bytes
constexpr int kMaxRegisters = 64;         // of a program: their blocks are 512 KB

// An input, seen through the collapsed axes of the output.
struct Input {
  const std::byte* data;
  size_t size;  // bytes of an element
  Dtype dtype;
  bool as_is;   // lies as the loops compute: elements are lanes, aligned
  bool scalar;  // one value for all
  Strides strides;
};
// A register that is given out.
struct Result {
  std::byte* data;
  Dtype dtype;
  int reg;
};

// All that the blocks of one call share.
struct MapRun {
  const Map& op;
  const Loops& loops;
  Shape shape;  // of the outputs, collapsed
  SmallVector<Input, 3> in;
  SmallVector<Result, 1> out;
  size_t total, row, step, blocks;

  MapRun(const Map& op, const Args& args, const Loops& loops);
  void run(size_t first, size_t last) const;  // blocks

 private:
  const void* input(const Input& x, size_t at, size_t n, void* block) const;
  const void* compute(const Map::Step& s, bool last, const void* const* regs, void* to,
                      size_t n) const;
};

MapRun::MapRun(const Map& op, const Args& args, const Loops& loops)
    : op(op), loops(loops), shape(args.out[0].shape()), total(args.out[0].size()) {
  SmallVector<Strides, 3> strides;
  for (const array& x : args.in)
    strides.push_back(broadcast_strides(x.shape(), x.node().strides, shape));
  strides.push_back(row_major(shape));
  collapse(shape, std::span(strides.data(), strides.size()));
  if (shape.empty()) {
    shape.push_back(1);
    for (Strides& s : strides) s.push_back(1);
  }
  for (size_t i = 0; i < args.out.size(); ++i)
    out.push_back({ptr<std::byte>(args.out[i]), args.out[i].dtype(), op.results[i]});
  for (size_t i = 0; i < args.in.size(); ++i) {
    const array& x = args.in[i];
    const size_t align = kLaneSize[int(lane(x.dtype()))];
    bool as_is =
        !loops.round[int(x.dtype())] && reinterpret_cast<uintptr_t>(ptr<std::byte>(x)) % align == 0;
    // One result may be written over its operand, which no other needs any more.
    for (const Result& y : out) as_is = as_is && (out.size() == 1 || y.data != ptr<std::byte>(x));
    bool scalar = true;
    for (int64_t s : strides[i]) scalar = scalar && s == 0;
    in.push_back({ptr<std::byte>(x), x.itemsize(), x.dtype(), as_is, scalar && total > 1,
                  std::move(strides[i])});
  }
  row = size_t(shape.back());
  if (row < kShortRow) row = total;  // blocks run over the ends of rows
  step = std::min(row, kBlock);
  blocks = total / row * ((row + step - 1) / step);
}

// n elements from the at-th on, as lanes.
const void* MapRun::input(const Input& x, size_t at, size_t n, void* block) const {
  const Load load = loops.load[int(x.dtype)];
  const int last = int(shape.size()) - 1;
  SmallVector<size_t, 6> index(shape.size(), 0);
  const std::byte* p = x.data;
  for (int axis = last; axis >= 0; --axis) {
    index[axis] = at % size_t(shape[axis]);
    at /= size_t(shape[axis]);
    p += int64_t(index[axis]) * x.strides[axis] * int64_t(x.size);
  }
  size_t here = std::min(n, size_t(shape[last]) - index[last]);
  if (here == n && x.strides[last] == 1 && x.as_is) return p;
  auto* to = static_cast<std::byte*>(block);
  const size_t lane_size = kLaneSize[int(lane(x.dtype))];
  while (true) {
    load(p, x.strides[last], to, here);
    n -= here;
    if (n == 0) return block;
    to += here * lane_size;
    // The next row.
    p -= int64_t(index[last]) * x.strides[last] * int64_t(x.size);
    index[last] = 0;
    for (int axis = last - 1; axis >= 0; --axis) {
      p += x.strides[axis] * int64_t(x.size);
      if (++index[axis] < size_t(shape[axis])) break;
      p -= x.strides[axis] * int64_t(x.size) * shape[axis];
      index[axis] = 0;
    }
    here = std::min(n, size_t(shape[last]));
  }
}

// The lanes of a step, in `to` or, for a cast that changes no lane, where they were.
const void* MapRun::compute(const Map::Step& s, bool last, const void* const* regs, void* to,
                            size_t n) const {
  const Compute round = last ? nullptr : loops.round[int(s.dtype)];
  if (s.op == ElementOp::astype) {
    const Lane from = lane(op.dtype(s.from[0])), target = lane(s.dtype);
    const bool half = s.dtype == float16 || s.dtype == bfloat16;
    if (from == target && !round && s.dtype != bool_) return regs[s.from[0]];
    const Compute f = s.dtype == bool_ ? loops.to_bool[int(from)]
                      : half           ? loops.to_half[int(from)]
                                       : loops.cast[int(from)][int(target)];
    f(regs[s.from[0]], nullptr, nullptr, to, n);
  } else {
    const Lane operand = lane(op.dtype(s.from[info(s.op).arity - 1]));
    loops.op[int(s.op)][int(operand)](regs[s.from[0]], regs[s.from[1]], regs[s.from[2]], to, n);
  }
  if (round) round(to, nullptr, nullptr, to, n);
  return to;
}

void MapRun::run(size_t first, size_t last) const {
  thread_local std::vector<std::byte> scratch;
  const int count = op.registers(), steps = op.first_step();
  scratch.resize(std::max(scratch.size(), size_t(count) * kRegister + 64));
  auto* blocks_at =
      reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(scratch.data()) + 63) / 64 * 64);
  const void* regs[kMaxRegisters];
  auto block = [&](int r) { return blocks_at + size_t(r) * kRegister; };
  const size_t most = std::min(step, total);

  for (int r = 0; r < steps; ++r) {  // what is the same for all blocks
    const bool constant = r >= int(in.size());
    if (!constant && !in[r].scalar) continue;
    const Dtype d = op.dtype(r);
    const std::byte* value = constant ? op.constants[r - in.size()].value.data() : in[r].data;
    loops.load[int(d)](value, 0, block(r), most);
    regs[r] = block(r);
  }
  // The last step writes where its value belongs, if lanes are elements.
  const Result* direct = nullptr;
  for (const Result& y : out)
    if (y.reg == count - 1 && !loops.round[int(y.dtype)]) direct = &y;
  const size_t per_row = (row + step - 1) / step;
  for (size_t b = first; b < last; ++b) {
    const size_t at = b / per_row * row + b % per_row * step;
    const size_t n = std::min(step, row - b % per_row * step);
    for (int r = 0; r < int(in.size()); ++r)
      if (!in[r].scalar) regs[r] = input(in[r], at, n, block(r));
    for (int r = steps; r < count; ++r) {
      const bool is_last = r == count - 1;
      void* to = is_last && direct ? direct->data + at * size_of(direct->dtype) : block(r);
      regs[r] = compute(op.steps[r - steps], is_last, regs, to, n);
    }
    for (const Result& y : out) {
      std::byte* to = y.data + at * size_of(y.dtype);
      if (regs[y.reg] != to) loops.store[int(y.dtype)](regs[y.reg], to, n);
    }
  }
}

}  // namespace

bool map_fits(const Primitive& op, std::span<const array>) {
  return static_cast<const Map&>(op).registers() <= kMaxRegisters;
}

void map(const Map& op, const Args& args, CpuQueue&) {
  const MapRun program(op, args, map_loops());
  const size_t tasks = (program.blocks + kTask - 1) / kTask;
  parallel_for(int64_t(tasks), [&](int64_t i) {
    program.run(size_t(i) * kTask, std::min(program.blocks, size_t(i + 1) * kTask));
  });
}

}  // namespace hearth::cpu
