// Graphs that are not computed yet, as text and as Graphviz's drawings.
#pragma once
#include <iosfwd>
#include <string>
#include <unordered_map>

#include "hearth/core/array.h"

namespace hearth {

/// A, B, ..., Z, AA, ... for arrays that have no name yet.
struct NodeNamer {
  std::unordered_map<std::uintptr_t, std::string> names;
  const std::string& get_name(const array& x);
  void set_name(const array& x, std::string name);
};

/// The inputs, then a line for each operation: "add [A, B] -> [C]"; then the outputs.
void print_graph(std::ostream& out, NodeNamer namer, const Arrays& outputs);
void export_to_dot(std::ostream& out, NodeNamer namer, const Arrays& outputs);

#define HEARTH_GRAPH(name)                                                                        \
  inline void name(std::ostream& out, const Arrays& outputs) { name(out, NodeNamer{}, outputs); } \
  template <class... More>                                                                        \
  requires(std::same_as<std::remove_cvref_t<More>, array> && ...) void name(                      \
      std::ostream& out, const array& first, const More&... more) {                               \
    name(out, NodeNamer{}, Arrays{first, more...});                                               \
  }                                                                                               \
  template <class... More>                                                                        \
  requires(std::same_as<std::remove_cvref_t<More>, array> && ...) void name(                      \
      std::ostream& out, NodeNamer namer, const array& first, const More&... more) {              \
    name(out, std::move(namer), Arrays{first, more...});                                          \
  }
HEARTH_GRAPH(print_graph)
HEARTH_GRAPH(export_to_dot)
#undef HEARTH_GRAPH

}  // namespace hearth
