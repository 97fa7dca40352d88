// Products by experts: the rows that chose the same expert meet its weights together.
#include <algorithm>
#include <cstring>
#include <vector>

#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/cpu/products/products.h"
#include "hearth/backend/cpu/rows.h"
#include "hearth/backend/pool.h"

namespace hearth::cpu {
namespace {

/// The weights (n, k) of one expert, row-major; dense ones are copied if they do not lie so.
RawMatrix expert_weights(const fast::Linear::Part& part, std::span<const array> planes, int64_t e,
                         int64_t k, std::vector<std::unique_ptr<std::byte[]>>& copies) {
  const array& weight = planes[0];
  if (part.packing != Packing::dense)
    return raw_matrix(part.packing, planes, part.int8).from_row(e * weight.shape(1), k);
  const Node& node = weight.node();
  const int64_t size = int64_t(weight.itemsize());
  const View one{{weight.shape(1), weight.shape(2)}, {node.strides[1], node.strides[2]}, 0};
  const std::byte* const at = ptr<std::byte>(weight) + e * node.strides[0] * size;
  if (row_contiguous(one.shape, one.strides)) return at;
  auto& copy = copies.emplace_back(new std::byte[element_count(one.shape) * size_t(size)]);
  gather(one, at, size_t(size), copy.get());
  return copy.get();
}

}  // namespace

// Gates are taken apart.
bool expert_linears_fit(const Primitive& p, std::span<const array> in) {
  const auto& op = static_cast<const fast::ExpertLinear&>(p);
  if (has_gates(op.parts)) return false;
  if (!has_packed(op.parts)) return true;
  fast::Operands operands(in, 2);
  return in[0].dtype() != float64 && std::ranges::all_of(op.parts, [&](const auto& part) {
           const auto planes = operands.weight(part.packing);
           operands.bias(part.bias);
           return part.packing == Packing::dense || rows_lie_whole(planes);
         });
}

void expert_linears(const fast::ExpertLinear& op, const Args& args, CpuQueue&) {
  const array &x = args.in[0], &ids = args.in[1];
  const Dtype dtype = x.dtype();
  const int64_t k = x.shape(-1), size = int64_t(x.itemsize()), pairs = int64_t(ids.size());
  const int64_t experts = args.in[2].shape(0);
  if (pairs == 0) return;
  const int64_t shared = ids.shape(-1) / x.shape(-2);  // choices that read the same row of x
  const Rows rows = rows_of(x), chosen = rows_of(ids);

  // The pairs in the order of their experts, those of one in their own order.
  std::vector<int64_t> begin(size_t(experts) + 1), order(static_cast<size_t>(pairs));
  std::vector<int> expert(static_cast<size_t>(pairs));
  for (int64_t i = 0; i < pairs; ++i) {
    const int64_t at = i / chosen.length * chosen.stride + i % chosen.length;
    std::memcpy(&expert[size_t(i)], chosen.data + at * 4, 4);
    const int e = expert[size_t(i)];
    ensure(e >= 0 && e < experts, "expert_linears: id ", e, " is out of range for ", experts,
           " experts");
    ++begin[size_t(e) + 1];
  }
  for (size_t e = 0; e < size_t(experts); ++e) begin[e + 1] += begin[e];
  std::vector<int64_t> next(begin.begin(), begin.end() - 1);
  for (int64_t i = 0; i < pairs; ++i) order[size_t(next[size_t(expert[size_t(i)])]++)] = i;

  // Rows of one expert side by side, where there is more than one.
  const auto row_of = [&](int64_t pair) { return rows.data + pair / shared * rows.stride * size; };
  thread_local Scratch scratch;
  std::byte* const packed = scratch.get(size_t(pairs * k * size));
  if (k > 0)
    parallel_for((pairs + 63) / 64, [&](int64_t block) {
      for (int64_t i = block * 64; i < std::min(pairs, (block + 1) * 64); ++i)
        std::memcpy(packed + i * k * size, row_of(order[size_t(i)]), size_t(k * size));
    });
  std::vector<Rows> biases;
  fast::Operands each(args.in, 2);
  for (const fast::Linear::Part& part : op.parts) {
    each.weight(part.packing);
    if (const array* b = each.bias(part.bias)) biases.push_back(rows_of(*b));
  }
  std::vector<LinearGroup> groups;
  std::vector<std::unique_ptr<std::byte[]>> copies;
  for (int64_t e = 0; e < experts; ++e) {
    const int64_t first = begin[size_t(e)], m = begin[size_t(e) + 1] - first;
    fast::Operands operands(args.in, 2);
    size_t bias = 0;
    for (size_t i = 0; m > 0 && i < op.parts.size(); ++i) {
      const Packing packing = op.parts[i].packing;
      const std::span<const array> planes = operands.weight(packing);
      const array& y = args.out[i];
      LinearGroup g{.x = packed + first * k * size,
                    .m = m,
                    .x_stride = k,
                    .y_rows = &order[size_t(first)],
                    .layer = {.weight = expert_weights(op.parts[i], planes, e, k, copies),
                              .n = planes[0].shape(1),
                              .y = ptr<void>(y),
                              .y_stride = planes[0].shape(1),
                              .activation = op.parts[i].activation}};
      if (operands.bias(op.parts[i].bias)) {
        const Rows& b = biases[bias++];
        g.layer.bias = b.data + e * b.stride * size;
      }
      groups.push_back(g);
    }
  }
  linear_groups(dtype, k, groups);
}

}  // namespace hearth::cpu
