#include "hearth/io/stored_function.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "hearth/base/listed.h"
#include "hearth/core/allocate.h"
#include "hearth/core/graph_text.h"
#include "hearth/io/json.h"
#include "hearth/io/safetensors.h"
#include "hearth/io/stored_ops.h"
#include "hearth/ops/create.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives.h"
#include "hearth/transforms/graph.h"

namespace hearth {

using namespace stored;

namespace {

constexpr int kVersion = 1;
constexpr const char* kKey = "hearth.function";

json stream_to_json(Stream s) { return {int(s.device.type), s.device.index, s.index}; }
Stream stream_of(const json& v) {
  check(list(v).size() == 3, "a stream has a device's type and place, and its own");
  for (Stream s : get_streams())
    if (int(s.device.type) == integer(v[0]) && s.device.index == integer(v[1]) &&
        s.index == integer(v[2]))
      return s;
  check(false, "there is no stream ", v.dump(), " here; make it first (new_stream)");
  return ambient_stream();
}

/// Arguments in one order: those by place, then those by name, sorted.
struct Given {
  Arrays values;
  std::vector<std::string> names;  // empty: by place

  Given(const Arrays& args, const Kwargs& kwargs) : values(args), names(args.size()) {
    for (const auto& [name, value] : kwargs) names.push_back(name);
    std::sort(names.begin() + long(args.size()), names.end());
    for (size_t i = args.size(); i < names.size(); ++i) values.push_back(kwargs.at(names[i]));
  }
};

}  // namespace

namespace {

/// What the outputs are made of, without the arguments, inputs first.
Arrays in_order(const Arrays& args, const Arrays& outputs) {
  Arrays nodes;
  std::unordered_set<const Node*> seen;
  for (const array& a : args) seen.insert(&a.node());
  std::vector<std::pair<array, size_t>> path;
  const auto visit = [&](const array& a) {
    if (seen.insert(&a.node()).second) path.emplace_back(a, 0);
  };
  for (const array& y : outputs) {
    visit(y);
    while (!path.empty()) {
      const array a = path.back().first;
      if (!graph::computed(a.node()) && path.back().second < a.node().inputs.size()) {
        visit(a.node().inputs[path.back().second++]);
        continue;
      }
      nodes.push_back(a);
      path.pop_back();
    }
  }
  return nodes;
}

/// Tells a callback of a function's graph.
class Teller {
 public:
  Teller(const ExportCallback& callback, const Given& given, const Arrays& args)
      : callback_(callback), args_(args) {
    Keywords keywords;
    for (size_t i = 0; i < args.size(); ++i) {
      const std::string& name = namer_.get_name(args[i]);
      if (!given.names[i].empty()) keywords.emplace_back(given.names[i], name);
    }
    callback({{"type", "inputs"}, {"inputs", values(args)}});
    callback({{"type", "keyword_inputs"}, {"keywords", keywords}});
  }

  void tell(const Arrays& outputs) {
    callback_({{"type", "outputs"}, {"outputs", values(outputs)}});
    const Arrays nodes = in_order(args_, outputs);
    std::vector<std::pair<std::string, array>> constants;
    for (const array& a : nodes) {
      if (graph::computed(a.node())) constants.emplace_back(namer_.get_name(a), a);
      if (const Map* map = map_of(a))
        for (const Map::Constant& c : map->constants) {
          of_programs_.push_back(value_of(c));
          constants.emplace_back(namer_.get_name(of_programs_.back()), of_programs_.back());
        }
    }
    callback_({{"type", "constants"}, {"constants", constants}});
    size_t constant = 0;
    for (const array& a : nodes) {
      const Node& n = a.node();
      if (graph::computed(n)) continue;
      check(n.op && n.more.empty(), "export_function: an operation of several results");
      const Arrays in(n.inputs.begin(), n.inputs.end());
      if (const Map* map = map_of(a))
        tell_steps(a, *map, values(in), constant);
      else
        primitive(std::string(n.op->name()), {n.op->parameters()}, values(in), values({a}));
    }
  }

 private:
  using Value = std::tuple<std::string, Shape, Dtype>;
  using Keywords = std::vector<std::pair<std::string, std::string>>;

  static array value_of(const Map::Constant& c) {
    array value = uninitialized({}, c.dtype);
    std::memcpy(value.node().data(), c.value.data(), value.itemsize());
    return value;
  }
  static const Map* map_of(const array& a) {
    const Node& n = a.node();
    const bool is = !graph::computed(n) && n.op && n.op->id == Map::kernel_id();
    return is ? static_cast<const Map*>(n.op.get()) : nullptr;
  }
  std::vector<Value> values(const Arrays& arrays) {
    std::vector<Value> all;
    for (const array& a : arrays) all.emplace_back(namer_.get_name(a), a.shape(), a.dtype());
    return all;
  }
  void primitive(const std::string& name, const std::vector<StateT>& arguments,
                 const std::vector<Value>& in, const std::vector<Value>& out) {
    callback_({{"type", "primitive"},
               {"name", name},
               {"arguments", arguments},
               {"inputs", in},
               {"outputs", out}});
  }
  /// A program as the operations that it joins.
  void tell_steps(const array& result, const Map& map, std::vector<Value> registers,
                  size_t& constant) {
    for (size_t i = 0; i < map.constants.size(); ++i)
      registers.push_back(values({of_programs_[constant++]})[0]);
    for (const Map::Step& step : map.steps) {
      const bool last = registers.size() == map.results.back();
      of_programs_.push_back(last ? result : array(0, step.dtype));  // a node of its own: a name
      registers.emplace_back(namer_.get_name(of_programs_.back()), result.shape(), step.dtype);
      std::vector<Value> in;
      for (int i = 0; i < info(step.op).arity; ++i) in.push_back(registers[step.from[size_t(i)]]);
      primitive(std::string(to_string(step.op)), {}, in, {registers.back()});
    }
  }

  const ExportCallback& callback_;
  const Arrays& args_;
  NodeNamer namer_;
  Arrays of_programs_;  // what their registers are named by
};

}  // namespace

struct FunctionExporter::Impl {
  std::string file;
  ExportCallback callback;  // else to the file
  ExportedFunction fun;
  json whole;
  Tensors constants;
  std::unordered_map<const Node*, std::string> constant_names;
  bool closed = false;

  std::string constant(const array& a) {
    auto& name = constant_names[&a.node()];
    if (name.empty()) {
      name = concat("c", constants.size());
      constants.emplace(name, a);  // which keeps the node, and so the key, alive
    }
    return name;
  }
  json node_to_json(const array& a, const std::unordered_map<const Node*, int>& number) {
    const Node& n = a.node();
    if (graph::computed(n)) return {{"op", "constant"}, {"tensor", constant(a)}};
    json in = json::array();
    for (const array& x : n.inputs) in.push_back(number.at(&x.node()));
    if (graph::is_argument(n)) return {{"op", "same"}, {"in", std::move(in)}};
    const auto found = std::ranges::find_if(
        stored::ops(), [&](const stored::Op& op) { return n.op && op.id == n.op->id; });
    check(found != stored::ops().end() && n.more.empty(), "export_function: ",
          n.op ? n.op->name() : std::string_view("an operation of several results"),
          " cannot be written");
    return {{"op", found->name},
            {"in", std::move(in)},
            {"stream", stream_to_json(n.stream)},
            {"parameters", found->write(*n.op)}};
  }
};

FunctionExporter::FunctionExporter(const std::string& file, ExportedFunction fun, bool shapeless,
                                   const std::string& metadata)
    : impl_(new Impl{file, {}, std::move(fun), {}, {}, {}, false}) {
  impl_->whole = {{"version", kVersion},
                  {"shapeless", shapeless},
                  {"metadata", metadata},
                  {"signatures", json::array()}};
}
FunctionExporter::FunctionExporter(const ExportCallback& callback, ExportedFunction fun, bool)
    : impl_(new Impl{"a callback", callback, std::move(fun), {}, {}, {}, false}) {
  check(bool(callback), "export_function: there is no callback");
}
FunctionExporter::FunctionExporter(FunctionExporter&&) noexcept = default;
FunctionExporter::~FunctionExporter() {
  try {
    if (impl_) close();
  } catch (...) {  // close() tells
  }
}

void FunctionExporter::operator()(const Arrays& args, const Kwargs& kwargs) {
  check(!impl_->closed, "export_function: the exporter of ", impl_->file, " is closed");
  const Given given(args, kwargs);
  graph::Tracing tracing;
  const Arrays all = graph::arguments(given.values);
  Kwargs named;
  for (size_t i = args.size(); i < all.size(); ++i) named.emplace(given.names[i], all[i]);
  const Arrays outputs = impl_->fun(Arrays(all.begin(), all.begin() + long(args.size())), named);
  if (impl_->callback) {
    Teller(impl_->callback, given, all).tell(outputs);
    return;
  }
  json arguments = json::array();
  for (size_t i = 0; i < all.size(); ++i) {
    json one{{"dtype", to_string(all[i].dtype())}, {"shape", numbers(all[i].shape())}};
    if (!given.names[i].empty()) one["name"] = given.names[i];
    arguments.push_back(std::move(one));
  }
  std::unordered_map<const Node*, int> number;  // of values: the arguments, then the nodes
  for (const array& a : all) number.emplace(&a.node(), int(number.size()));
  json nodes = json::array();
  for (const array& a : in_order(all, outputs)) {
    nodes.push_back(impl_->node_to_json(a, number));
    number.emplace(&a.node(), int(number.size()));
  }
  json out = json::array();
  for (const array& y : outputs) out.push_back(number.at(&y.node()));
  impl_->whole["signatures"].push_back({{"arguments", std::move(arguments)},
                                        {"nodes", std::move(nodes)},
                                        {"outputs", std::move(out)}});
}
void FunctionExporter::close() {
  if (std::exchange(impl_->closed, true) || impl_->callback) return;
  write_safetensors(impl_->file, impl_->constants, {{kKey, impl_->whole.dump()}});
}

FunctionExporter exporter(const std::string& file,
                          const std::function<Arrays(const Arrays&, const Kwargs&)>& fun,
                          bool shapeless, const std::string& metadata) {
  return FunctionExporter(file, fun, shapeless, metadata);
}
FunctionExporter exporter(const std::string& file, const std::function<Arrays(const Arrays&)>& fun,
                          bool shapeless, const std::string& metadata) {
  return {file, [fun](const Arrays& args, const Kwargs&) { return fun(args); }, shapeless,
          metadata};
}
FunctionExporter exporter(const std::string& file, const std::function<Arrays(const Kwargs&)>& fun,
                          bool shapeless, const std::string& metadata) {
  return {file, [fun](const Arrays&, const Kwargs& kwargs) { return fun(kwargs); }, shapeless,
          metadata};
}
void export_function(const std::string& file,
                     const std::function<Arrays(const Arrays&, const Kwargs&)>& fun,
                     const Arrays& args, const Kwargs& kwargs, bool shapeless,
                     const std::string& metadata) {
  auto out = exporter(file, fun, shapeless, metadata);
  out(args, kwargs);
  out.close();
}
void export_function(const std::string& file, const std::function<Arrays(const Arrays&)>& fun,
                     const Arrays& args, bool shapeless, const std::string& metadata) {
  auto out = exporter(file, fun, shapeless, metadata);
  out(args);
  out.close();
}
void export_function(const std::string& file, const std::function<Arrays(const Kwargs&)>& fun,
                     const Kwargs& kwargs, bool shapeless, const std::string& metadata) {
  auto out = exporter(file, fun, shapeless, metadata);
  out(kwargs);
  out.close();
}

FunctionExporter exporter(const ExportCallback& callback,
                          const std::function<Arrays(const Arrays&, const Kwargs&)>& fun,
                          bool shapeless) {
  return {callback, fun, shapeless};
}
FunctionExporter exporter(const ExportCallback& callback,
                          const std::function<Arrays(const Arrays&)>& fun, bool shapeless) {
  return {callback, [fun](const Arrays& args, const Kwargs&) { return fun(args); }, shapeless};
}
FunctionExporter exporter(const ExportCallback& callback,
                          const std::function<Arrays(const Kwargs&)>& fun, bool shapeless) {
  return {callback, [fun](const Arrays&, const Kwargs& kwargs) { return fun(kwargs); }, shapeless};
}
void export_function(const ExportCallback& callback,
                     const std::function<Arrays(const Arrays&, const Kwargs&)>& fun,
                     const Arrays& args, const Kwargs& kwargs, bool shapeless) {
  exporter(callback, fun, shapeless)(args, kwargs);
}
void export_function(const ExportCallback& callback,
                     const std::function<Arrays(const Arrays&)>& fun, const Arrays& args,
                     bool shapeless) {
  exporter(callback, fun, shapeless)(args);
}
void export_function(const ExportCallback& callback,
                     const std::function<Arrays(const Kwargs&)>& fun, const Kwargs& kwargs,
                     bool shapeless) {
  exporter(callback, fun, shapeless)(kwargs);
}

namespace stored {

struct Argument {
  std::string name;  // empty: by place
  Dtype dtype;
  Shape shape;
};
struct SavedNode {
  const Op* op = nullptr;  // null: the constant, or input 0 itself
  std::optional<array> constant;
  std::vector<size_t> in;
  Stream stream{0, Device::cpu};
  json parameters;
};
struct Signature {
  std::vector<Argument> arguments;
  std::vector<SavedNode> nodes;
  std::vector<size_t> outputs;

  Arrays run(const Arrays& args) const {
    Arrays values = args;
    for (const SavedNode& n : nodes) {
      Arrays in;
      for (size_t i : n.in) in.push_back(values[i]);
      if (n.constant) {
        values.push_back(*n.constant);
      } else if (!n.op) {
        values.push_back(in[0]);
      } else {
        StreamScope scope(n.stream);
        values.push_back(n.op->make(n.parameters, in));
      }
    }
    Arrays out;
    for (size_t i : outputs) out.push_back(values[i]);
    return out;
  }
};

}  // namespace stored

namespace {

using stored::Argument;
using stored::SavedNode;
using stored::Signature;

size_t place(const json& v, size_t values) {
  const int i = integer(v);
  check(i >= 0 && size_t(i) < values, "value ", i, " of ", values);
  return size_t(i);
}

Signature signature_of(const json& v, const Tensors& constants) {
  Signature s;
  for (const json& a : list(field(v, "arguments"))) {
    s.arguments.push_back({a.contains("name") ? text(a["name"]) : "",
                           dtype_of_name(text(field(a, "dtype"))),
                           integers<Shape>(field(a, "shape"))});
    element_count(s.arguments.back().shape);
  }
  for (const json& node : list(field(v, "nodes"))) {
    SavedNode n;
    const std::string name = text(field(node, "op"));
    if (name == "constant") {
      const auto found = constants.find(text(field(node, "tensor")));
      check(found != constants.end(), "there is no tensor ",
            in_quotes(text(field(node, "tensor"))));
      n.constant = found->second;
    } else {
      for (const json& i : list(field(node, "in")))
        n.in.push_back(place(i, s.arguments.size() + s.nodes.size()));
      if (name == "same") {
        check(n.in.size() == 1, "'same' of ", n.in.size(), " values");
      } else {
        const auto found = std::ranges::find_if(
            stored::ops(), [&](const stored::Op& op) { return op.name == name; });
        check(found != stored::ops().end(), "there is no operation ", in_quotes(name),
              "; a later hearth may have it");
        n.op = &*found;
        n.stream = stream_of(field(node, "stream"));
        n.parameters = field(node, "parameters");
      }
    }
    s.nodes.push_back(std::move(n));
  }
  for (const json& i : list(field(v, "outputs")))
    s.outputs.push_back(place(i, s.arguments.size() + s.nodes.size()));
  // Every call that it makes checks what it is given; none computes.
  Arrays like;
  for (const Argument& a : s.arguments) like.push_back(broadcast_to(array(0, a.dtype), a.shape));
  s.run(like);
  return s;
}

}  // namespace

struct ImportedFunction::Impl {
  std::string file, metadata;
  bool shapeless = false;
  std::vector<stored::Signature> signatures;

  bool takes(const Signature& s, const Given& given) const {
    if (s.arguments.size() != given.values.size()) return false;
    for (size_t i = 0; i < given.values.size(); ++i) {
      const Argument& a = s.arguments[i];
      const array& x = given.values[i];
      const bool alike = shapeless ? x.ndim() == int(a.shape.size()) : x.shape() == a.shape;
      if (!alike || x.dtype() != a.dtype || a.name != given.names[i]) return false;
    }
    return true;
  }
};

Arrays ImportedFunction::operator()(const Arrays& args, const Kwargs& kwargs) const {
  const Given given(args, kwargs);
  for (const Signature& s : impl_->signatures)
    if (impl_->takes(s, given)) return s.run(given.values);
  const auto told = [](const std::string& name, Dtype dtype, const Shape& shape) {
    return concat(name.empty() ? "" : name + "=", dtype, " ", shape);
  };
  std::vector<std::string> got, have;
  for (size_t i = 0; i < given.values.size(); ++i)
    got.push_back(told(given.names[i], given.values[i].dtype(), given.values[i].shape()));
  for (const Signature& s : impl_->signatures) {
    std::vector<std::string> one;
    for (const Argument& a : s.arguments) one.push_back(told(a.name, a.dtype, a.shape));
    have.push_back(concat("(", listed(one), ")"));
  }
  check(false, impl_->file, ": the function was not exported for (", listed(got), "); it has ",
        listed(have));
  return {};
}
const std::string& ImportedFunction::metadata() const { return impl_->metadata; }

ImportedFunction import_function(const std::string& file) {
  const auto [constants, texts] = load_safetensors(file);
  ensure(texts.contains(kKey), file, ": is no exported function: its metadata has no '", kKey,
         "'; export_function writes one");
  const json whole = parse_json(texts.at(kKey), concat(file, ": ", kKey));
  auto impl = std::make_shared<ImportedFunction::Impl>();
  try {
    const int version = integer(field(whole, "version"));
    check(version == kVersion, "is version ", version, "; this hearth reads ", kVersion);
    impl->file = file;
    impl->metadata = text(field(whole, "metadata"));
    impl->shapeless = flag(field(whole, "shapeless"));
    for (const json& s : list(field(whole, "signatures")))
      impl->signatures.push_back(signature_of(s, constants));
  } catch (const std::exception& e) {
    ensure(false, file, ": ", kKey, ": ", e.what());
  }
  ImportedFunction out;
  out.impl_ = std::move(impl);
  return out;
}

}  // namespace hearth
