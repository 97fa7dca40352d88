// How operations on one example become operations on a batch of them.
#pragma once
#include "hearth/core/array.h"

namespace hearth::graph {

/// An input of an operation: mapped ones have the batch as axis 0.
struct Batched {
  array a;
  bool mapped;
};

/// The outputs, mapped, of an operation on inputs of which at least one is mapped; empty: there is
/// no rule for it.
std::optional<Arrays> batch_by_rule(const std::shared_ptr<const Primitive>& op,
                                    std::span<const Batched> in, int batch);
/// The same by one operation for each example: right for all, fast for none.
Arrays batch_by_loop(const std::shared_ptr<const Primitive>& op, std::span<const Batched> in,
                     int batch, const Specs& of_one);

}  // namespace hearth::graph
