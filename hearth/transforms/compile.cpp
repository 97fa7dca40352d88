#include "hearth/transforms/compile.h"

#include <unordered_map>
#include <unordered_set>

#include "hearth/base/system.h"
#include "hearth/ops/joined.h"
#include "hearth/transforms/graph.h"

namespace hearth {

namespace {

std::atomic<int> compile_mode{-1};
CompileMode mode_now() {
  if (compile_mode < 0) {
    const char* off = setting("HEARTH_DISABLE_COMPILE");
    set_compile_mode(off && std::string_view(off) != "0" ? CompileMode::disabled
                                                         : CompileMode::enabled);
  }
  return CompileMode(compile_mode.load());
}

// The nodes below the outputs that nothing but this graph holds: the function made them, and lets
// go of them.
std::unordered_set<const Node*> made_inside(const Arrays& outputs) {
  std::unordered_map<const Node*, int> holders;
  std::vector<const Node*> path;
  const auto hold = [&](const array& a) {
    if (holders[&a.node()]++ == 0) path.push_back(&a.node());
  };
  for (const array& y : outputs) hold(y);
  while (!path.empty()) {
    const Node& n = *path.back();
    path.pop_back();
    if (graph::computed(n)) continue;
    for (const array& x : n.inputs) hold(x);
    for (const array& x : n.more) hold(x);
  }
  std::unordered_set<const Node*> inside;
  for (auto [n, held] : holders)
    if (n->refs() == held) inside.insert(n);
  return inside;
}

// What the outputs need of what the function made, in order; without the inputs. What it captured
// stays as it is, shared with whoever has it.
Arrays order_of(const Arrays& inputs, const Arrays& outputs,
                const std::unordered_set<const Node*>& inside) {
  Arrays order;
  std::unordered_map<const Node*, bool> depends;  // seen; and does it need an input?
  for (const array& x : inputs) depends[&x.node()] = true;
  std::vector<std::pair<array, size_t>> path;  // and how many of its inputs were visited
  const auto visit = [&](const array& a) {
    if (!graph::computed(a.node()) && depends.emplace(&a.node(), false).second)
      path.emplace_back(a, 0);
  };
  for (const array& y : outputs) {
    visit(y);
    while (!path.empty()) {
      const array at = path.back().first;
      const auto& in = at.node().inputs;
      if (path.back().second < in.size()) {
        visit(in[path.back().second++]);
      } else {
        bool needs = inside.contains(&at.node());
        for (const array& x : in) {
          const auto found = depends.find(&x.node());
          needs = needs || (found != depends.end() && found->second);
        }
        depends[&at.node()] = needs;
        if (needs) order.push_back(at);
        path.pop_back();
      }
    }
  }
  return order;
}

// The same values; no transform follows it, for which stop_gradient means something.
bool changes_nothing(const Node& n) {
  return n.op->id == primitive_id::Copy || n.op->id == primitive_id::StopGradient;
}

// Builds the graph again: equal operations once, or chains of elementwise ones as programs.
class Shorter {
 public:
  Shorter(const Arrays& inputs, const Arrays& outputs, bool simplify)
      : simplify_(simplify),
        inside_(made_inside(outputs)),
        order_(order_of(inputs, outputs, inside_)) {
    if (!simplify) group(outputs);
    for (const array& x : inputs) inside_.erase(&x.node());
  }

  Arrays run(const Arrays& outputs) {
    for (const array& a : order_) {
      const Node& n = a.node();
      const auto group = group_of_.find(&n);
      if (group != group_of_.end() && group->second != &n) continue;  // part of another's program
      if (n.output > 0)
        made_.emplace(&n, outputs_of(made(n.inputs[0]))[size_t(n.output)]);
      else if (simplify_ && graph::is_argument(n))  // of a transform that is done
        made_.emplace(&n, made(n.inputs[0]));
      else if (simplify_ && !n.tracer && changes_nothing(n))
        made_.emplace(&n, made(n.inputs[0]));
      else if (members_[&n].size() > 1)
        made_.emplace(&n, joined_group(a));
      else
        made_.emplace(&n, once(a));
    }
    Arrays out;
    for (const array& y : outputs) out.push_back(made(y));
    return out;
  }

 private:
  static constexpr size_t kMostSteps = 48;  // with what they read, well below a program's registers

  static bool elementwise(const Node& n) {
    return n.op && n.op->id == primitive_id::Map && n.more.empty();
  }
  static const Map& program(const Node& n) { return static_cast<const Map&>(*n.op); }

  // An operation joins the program of its readers if they are all in one, of the same shape and
  // stream; else it begins a program of its own.
  void group(const Arrays& outputs) {
    std::unordered_map<const Node*, std::vector<const Node*>> readers;
    std::unordered_set<const Node*> wanted;
    for (const array& y : outputs) wanted.insert(&y.node());
    for (const array& a : order_)
      for (const array& in : a.node().inputs) readers[&in.node()].push_back(&a.node());
    std::unordered_map<const Node*, size_t> steps;
    for (auto it = order_.rbegin(); it != order_.rend(); ++it) {
      const Node& n = it->node();
      if (!elementwise(n)) continue;
      const Node* root = &n;
      const auto& who = readers[&n];
      if (!wanted.contains(&n) && !who.empty()) {
        const auto first = group_of_.find(who[0]);
        const Node* theirs = first == group_of_.end() ? nullptr : first->second;
        bool joins = theirs && theirs->shape == n.shape && theirs->stream == n.stream &&
                     steps[theirs] + size_t(program(n).registers()) <= kMostSteps;
        for (const Node* reader : who) {
          const auto at = group_of_.find(reader);
          joins = joins && at != group_of_.end() && at->second == theirs;
        }
        if (joins) root = theirs;
      }
      group_of_[&n] = root;
      steps[root] += size_t(program(n).registers());
      members_[root].push_back(*it);
    }
  }

  array made(const array& a) {
    const auto found = made_.find(&a.node());
    if (found != made_.end()) return found->second;
    return simplify_ && graph::computed(a.node()) && inside_.contains(&a.node()) ? constant(a) : a;
  }
  // A number that the function wrote down, once for all that are equal.
  array constant(const array& a) {
    if (a.size() != 1 || a.node().event) return a;
    const std::string_view bytes(reinterpret_cast<const char*>(a.host_bytes()), a.itemsize());
    return constants_.try_emplace(concat(a.dtype(), a.shape(), bytes), a).first->second;
  }

  array joined_group(const array& root) {
    std::unordered_set<const Node*> inside;
    for (const array& a : members_[&root.node()]) inside.insert(&a.node());
    Arrays inputs;
    std::unordered_set<const Node*> seen;
    for (const array& a : members_[&root.node()])
      for (const array& in : a.node().inputs)
        if (!inside.contains(&in.node()) && seen.insert(&in.node()).second) inputs.push_back(in);
    SmallVector<uint8_t, 5> uses;
    auto map = joined(root, inputs, uses);
    SmallVector<array, 3> in;
    for (uint8_t i : uses) in.push_back(made(inputs[i]));
    StreamScope scope(root.node().stream);
    return known_or(std::move(map), std::move(in));
  }
  array once(const array& a) {
    const Node& n = a.node();
    SmallVector<array, 3> in;
    bool same = true;
    for (const array& x : n.inputs) {
      in.push_back(made(x));
      same = same && in.back().same_node(x);
    }
    // What writes in place, or has nothing to share, stays the very operation.
    if (n.op->writes_into(0) >= 0) return same ? a : apply(n.op, std::move(in));
    StreamScope scope(n.stream);
    return known_or(n.op, std::move(in), same ? &a : nullptr);
  }
  // The result of an equal operation on the same inputs, if there was one.
  array known_or(std::shared_ptr<const Primitive> op, SmallVector<array, 3> in,
                 const array* as_it_is = nullptr) {
    uint64_t key = op->hash();
    for (const array& x : in) key = key * 0x9e3779b97f4a7c15 + uint64_t(x.id());
    auto& alike = by_key_[key];
    if (simplify_)
      for (const array& a : alike) {
        const Node& n = a.node();
        bool same =
            n.inputs.size() == in.size() && n.op->same_as(*op) && n.stream == ambient_stream();
        for (size_t i = 0; same && i < in.size(); ++i) same = n.inputs[i].same_node(in[i]);
        if (same) return a;
      }
    alike.push_back(as_it_is ? *as_it_is : apply(std::move(op), std::move(in)));
    return alike.back();
  }

  bool simplify_;
  std::unordered_set<const Node*> inside_;
  Arrays order_;
  std::unordered_map<std::string, array> constants_;  // by dtype, shape and bytes
  std::unordered_map<const Node*, const Node*>
      group_of_;  // of elementwise nodes: the last of theirs
  std::unordered_map<const Node*, Arrays> members_;
  std::unordered_map<const Node*, array> made_;
  std::unordered_map<uint64_t, Arrays> by_key_;
};

}  // namespace

Function compile(Function fun, bool) {
  check(fun || mode_now() == CompileMode::disabled, "compile: the function is empty");
  return [fun = std::move(fun)](const Arrays& inputs) {
    Arrays outputs = fun(inputs);
    const CompileMode mode = mode_now();
    if (mode == CompileMode::disabled) return outputs;
    if (mode != CompileMode::no_simplify) outputs = Shorter(inputs, outputs, true).run(outputs);
    if (mode != CompileMode::no_fuse) outputs = Shorter(inputs, outputs, false).run(outputs);
    return outputs;
  };
}
Function compile(Arrays (*fun)(const Arrays&), bool shapeless) {
  return compile(fun ? Function(fun) : Function(), shapeless);
}
Function compile(std::nullptr_t, bool shapeless) { return compile(Function(), shapeless); }
void disable_compile() { set_compile_mode(CompileMode::disabled); }
void enable_compile() { set_compile_mode(CompileMode::enabled); }
void set_compile_mode(CompileMode mode) { compile_mode = int(mode); }

}  // namespace hearth
