// What a checkpoint's tensors are called and how they lie, as data: rules that make them a model's
// parameters. Views wherever nothing has to be moved.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "hearth/core/tensors.h"
#include "hearth/ops/matrix.h"

namespace hearth::llm {

/// Applied to every tensor, one rule after the other; a name that does not match stays as it is.
/// What moves rows takes packed tensors as they are.
struct Rewrite {
  enum Operation {
    rename,
    skip,       // the tensor is not needed
    split,      // rows go to the names of `to`, which commas separate; what a name gets more than
                // once becomes one
    transpose,  // the last two axes change places
    unpack,     // a packed tensor becomes its values, for what cannot be done to it as it is
    flatten,    // all axes become one
    grouped,    // the first axis becomes two: `groups`, and the rows of each
    plus_one,   // 1 + w, in f32: norms that keep w
    stack,      // the tensors that differ in the number for '*' become one, along a new first axis
  };
  /// A part of a name, the first that matches. '*' stands for a number, '^' before and '$' after
  /// for the ends of the name.
  std::string from;
  std::string to;  // in its place; the number in the place of '*'
  Operation operation = rename;
  std::vector<int> rows = {};  // split: of each part; empty: as many of each
  int groups = 1;              // split, grouped: the rows are so many groups alike
  int axis = 0;                // split: of which the rows are
};

/// The tensors by the names of parameters. Throws std::runtime_error naming a tensor that a rule
/// does not fit, a packed one that it would take apart, and one that two become. Without `values`
/// the tensors stand for their shapes and dtypes: these stay.
fast::Matrices rewrite(fast::Matrices tensors, std::span<const Rewrite> rules, bool values = true);

/// The parameters as a checkpoint has them: rewrite() of it gives them again.
Tensors rewrite_back(Tensors parameters, std::span<const Rewrite> rules);
/// What the parameter, or what it is a part of, is called in a checkpoint: for messages.
std::string name_before(std::string parameter, std::span<const Rewrite> rules);

}  // namespace hearth::llm
