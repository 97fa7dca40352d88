// The tape that the transforms share: the operations between a function's arguments and its
// results, in order, and what flows along them.
#pragma once
#include "hearth/core/work.h"

namespace hearth::graph {

/// The same values under new nodes, which mark where a function's arguments enter its graph.
Arrays arguments(const Arrays& values);
bool is_argument(const Node& n);
/// The nodes between the arguments and the outputs that depend on an argument, inputs first;
/// without the arguments.
std::vector<Node*> between(const Arrays& args, const Arrays& outputs);

/// Has a value, or is being given one: what it was made of is not needed.
bool computed(const Node& n);

/// By output of an operation; empty where nothing came.
using Sums = std::vector<std::optional<array>>;
/// The gradients of a node's inputs, given those of its outputs.
Cotangents gradients_of(Node& n, const Sums& sums);
/// The gradients of the arguments, given those of the outputs.
Arrays backward(const Arrays& args, const Arrays& outputs, const Arrays& cotangents);

/// Around every transform: what a function computes itself keeps its edges until the outermost
/// transform is done with it; kept longer, they would hold the whole graph's memory.
struct Tracing {
  struct Forget {
    ~Forget() {
      if (!TracingScope::active()) forget_traced();
    }
  } last;
  TracingScope scope;
};

}  // namespace hearth::graph
