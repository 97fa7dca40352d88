// Functions into functions: reverse-mode gradients.
#pragma once
#include <functional>
#include <utility>

#include "hearth/core/array.h"

namespace hearth {

using Function = std::function<Arrays(const Arrays&)>;
using ScalarFunction = std::function<array(const Arrays&)>;  // its result has one element
using UnaryFunction = std::function<array(const array&)>;

/// {outputs, the gradients of sum(outputs * cotangents) by each primal}. Cotangents have the shapes
/// of the outputs, and are taken as their dtypes. Integers have gradients like any number (a cast
/// passes them on), as in MLX; bools have none. The gradient by z = x + iy is that by x + i times
/// that by y, of the real part of sum(outputs * conjugate(cotangents)).
std::pair<Arrays, Arrays> vjp(const Function& fun, const Arrays& primals, const Arrays& cotangents);
std::pair<array, array> vjp(const UnaryFunction& fun, const array& primal, const array& cotangent);

using ValueAndGradFn = std::function<std::pair<Arrays, Arrays>(const Arrays&)>;
using SimpleValueAndGradFn = std::function<std::pair<array, Arrays>(const Arrays&)>;

/// A function that returns {outputs, gradients of the first output, which must be a scalar, by the
/// arguments argnums}.
ValueAndGradFn value_and_grad(const Function& fun, const std::vector<int>& argnums);
ValueAndGradFn value_and_grad(const Function& fun, int argnum = 0);
SimpleValueAndGradFn value_and_grad(const ScalarFunction& fun, const std::vector<int>& argnums);
SimpleValueAndGradFn value_and_grad(const ScalarFunction& fun, int argnum = 0);
std::function<std::pair<array, array>(const array&)> value_and_grad(const UnaryFunction& fun);

/// The gradients alone.
std::function<Arrays(const Arrays&)> grad(const ScalarFunction& fun,
                                          const std::vector<int>& argnums);
std::function<Arrays(const Arrays&)> grad(const ScalarFunction& fun, int argnum = 0);
std::function<array(const array&)> grad(const UnaryFunction& fun);

}  // namespace hearth
