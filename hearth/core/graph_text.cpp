#include "hearth/core/graph_text.h"

#include <ostream>
#include <unordered_set>

namespace hearth {

const std::string& NodeNamer::get_name(const array& x) {
  const auto found = names.find(x.id());
  if (found != names.end()) return found->second;
  std::string name;
  for (size_t n = names.size() + 1; n > 0; n = (n - 1) / 26)
    name.insert(name.begin(), char('A' + (n - 1) % 26));
  return names[x.id()] = name;
}
void NodeNamer::set_name(const array& x, std::string name) { names[x.id()] = std::move(name); }

namespace {

// What operations make, and what was there before them.
struct Graph {
  Arrays leaves, operations;
};
Graph graph_of(const Arrays& outputs) {
  Graph graph;
  std::unordered_set<uintptr_t> seen;
  std::vector<std::pair<array, size_t>> path;  // and how many of its inputs were visited
  const auto visit = [&](const array& x) {
    if (seen.insert(x.id()).second) path.emplace_back(x, 0);
  };
  for (const array& y : outputs) {
    visit(y);
    while (!path.empty()) {
      const array x = path.back().first;
      const auto& in = x.node().inputs;
      if (path.back().second < in.size()) {
        visit(in[path.back().second++]);
        continue;
      }
      path.pop_back();
      (x.has_primitive() ? graph.operations : graph.leaves).push_back(x);
    }
  }
  return graph;
}
// What makes it; of an operation's further outputs, which of them it is.
std::string label_of(const array& x) {
  const int output = x.node().output;
  return output > 0 ? concat("output ", output) : std::string(x.primitive().name());
}
std::string names_of(NodeNamer& namer, std::span<const array> arrays) {
  std::string text;
  for (const array& a : arrays) text += (text.empty() ? "" : ", ") + namer.get_name(a);
  return text;
}

}  // namespace

void print_graph(std::ostream& out, NodeNamer namer, const Arrays& outputs) {
  const Graph graph = graph_of(outputs);
  out << "Inputs: " << names_of(namer, graph.leaves) << "\n";
  for (const array& x : graph.operations)
    out << label_of(x) << " [" << names_of(namer, x.node().inputs) << "] -> [" << namer.get_name(x)
        << "]\n";
  out << "Outputs: " << names_of(namer, outputs) << "\n";
}

void export_to_dot(std::ostream& out, NodeNamer namer, const Arrays& outputs) {
  const Graph graph = graph_of(outputs);
  out << "digraph {\n";
  const auto draw = [&](const array& x) {
    out << "  \"" << namer.get_name(x) << "\" [label=\"" << namer.get_name(x) << "\\n"
        << x.dtype() << " " << x.shape() << "\"];\n";
  };
  for (const array& x : graph.leaves) draw(x);
  size_t number = 0;
  for (const array& x : graph.operations) {
    draw(x);
    const std::string op = concat("op", number++);
    out << "  " << op << " [shape=box, label=\"" << label_of(x) << "\"];\n";
    for (const array& in : x.node().inputs)
      out << "  \"" << namer.get_name(in) << "\" -> " << op << ";\n";
    out << "  " << op << " -> \"" << namer.get_name(x) << "\";\n";
  }
  out << "}\n";
}

}  // namespace hearth
