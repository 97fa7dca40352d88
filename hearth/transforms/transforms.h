// Functions into functions, beside gradients (grad.h): tangents, batches, gradients of one's own.
// They nest in any order, and in gradients.
#pragma once
#include <optional>

#include "hearth/transforms/grad.h"

namespace hearth {

/// {outputs, how they change when the primals change by the tangents, which have their shapes}
std::pair<Arrays, Arrays> jvp(const Function& fun, const Arrays& primals, const Arrays& tangents);
std::pair<array, array> jvp(const UnaryFunction& fun, const array& primal, const array& tangent);

/// fun of each slice along an axis of the arguments, computed at once; the results lie along
/// out_axes. An in_axis of -1: that argument goes whole to each. Without axes all are 0. Throws
/// where the function asks for a value of a mapped argument, or a shape that depends on values.
Function vmap(const Function& fun, const std::vector<int>& in_axes = {},
              const std::vector<int>& out_axes = {});
UnaryFunction vmap(const UnaryFunction& fun, int in_axis = 0, int out_axis = 0);
using BinaryFunction = std::function<array(const array&, const array&)>;
BinaryFunction vmap(const BinaryFunction& fun, int in_axis_a = 0, int in_axis_b = 0,
                    int out_axis = 0);

/// Cotangents of the primals: (primals, cotangents of the outputs, outputs).
using CustomVjp = std::function<Arrays(const Arrays&, const Arrays&, const Arrays&)>;
/// Tangents of the outputs: (primals, tangents of those that have one, the places of these).
using CustomJvp = std::function<Arrays(const Arrays&, const Arrays&, const std::vector<int>&)>;
/// {outputs, their axes}: (inputs, their axes, -1 of those that are not mapped).
using CustomVmap =
    std::function<std::pair<Arrays, std::vector<int>>(const Arrays&, const std::vector<int>&)>;
/// fun, with the transforms that are given in place of its own.
Function custom_function(Function fun, std::optional<CustomVjp> fun_vjp = std::nullopt,
                         std::optional<CustomJvp> fun_jvp = std::nullopt,
                         std::optional<CustomVmap> fun_vmap = std::nullopt);
Function custom_vjp(Function fun, CustomVjp fun_vjp);
/// fun, of which nothing is kept for its gradient: it is computed again.
Function checkpoint(Function fun);

}  // namespace hearth
