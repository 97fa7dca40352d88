#include "hearth/io/stored_function.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "hearth/base/listed.h"
#include "hearth/io/json.h"
#include "hearth/io/safetensors.h"
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives.h"
#include "hearth/ops/primitives_fast.h"
#include "hearth/ops/reduce.h"
#include "hearth/transforms/graph.h"

namespace hearth {

using nlohmann::json;

namespace {

constexpr int kVersion = 1;
constexpr const char* kKey = "hearth.function";

Dtype dtype_of_name(const std::string& name) {
  for (int d = 0; d < kDtypes; ++d)
    if (to_string(Dtype(d)) == name) return Dtype(d);
  check(false, "there is no dtype ", in_quotes(name));
  return float32;
}
template <class List>
json numbers(const List& list) {
  return json(std::vector<int64_t>(list.begin(), list.end()));
}
int integer(const json& v) {
  check(v.is_number_integer() && v >= INT32_MIN && v <= INT32_MAX, "wanted an integer, got ",
        in_quotes(v.dump()));
  return v.get<int>();
}
bool flag(const json& v) {
  check(v.is_boolean(), "wanted true or false, got ", in_quotes(v.dump()));
  return v.get<bool>();
}
const json& list(const json& v) {
  check(v.is_array(), "wanted a list, got ", in_quotes(v.dump()));
  return v;
}
const json& field(const json& v, const char* key) {
  check(v.is_object() && v.contains(key), "there is no '", key, "'");
  return v[key];
}
std::string text(const json& v) {
  check(v.is_string(), "wanted a text, got ", in_quotes(v.dump()));
  return v.get<std::string>();
}
template <class List>
List integers(const json& v) {
  List out;
  for (const json& n : list(v)) out.push_back(integer(n));
  return out;
}

json map_to_json(const Map& map) {
  json out{{"inputs", json::array()}, {"constants", json::array()}, {"steps", json::array()}};
  for (Dtype d : map.inputs) out["inputs"].push_back(to_string(d));
  for (const Map::Constant& c : map.constants) {
    json bytes = json::array();
    for (std::byte b : c.value) bytes.push_back(int(b));
    out["constants"].push_back({to_string(c.dtype), std::move(bytes)});
  }
  for (const Map::Step& s : map.steps)
    out["steps"].push_back({to_string(s.op), to_string(s.dtype), numbers(s.from)});
  return out;
}
// Its infer checks the program.
std::shared_ptr<const Map> map_of(const json& v) {
  auto map = std::make_shared<Map>();
  const auto byte = [](const json& n) {
    check(integer(n) >= 0 && integer(n) < 256, "wanted a byte, got ", integer(n));
    return uint8_t(integer(n));
  };
  for (const json& d : list(field(v, "inputs"))) map->inputs.push_back(dtype_of_name(text(d)));
  for (const json& c : list(field(v, "constants"))) {
    check(list(c).size() == 2 && list(c[1]).size() == 8, "a constant has a dtype and 8 bytes");
    Map::Constant constant(0, dtype_of_name(text(c[0])));
    for (size_t i = 0; i < 8; ++i) constant.value[i] = std::byte(byte(c[1][i]));
    if (constant.dtype == bool_) constant.value[0] &= std::byte(1);
    map->constants.push_back(constant);
  }
  for (const json& s : list(field(v, "steps"))) {
    check(list(s).size() == 3 && list(s[2]).size() == 3, "a step has a name, a dtype, 3 places");
    int op = 0;
    const std::string name = text(s[0]);
    while (op < kElementOps && to_string(ElementOp(op)) != name) ++op;
    check(op < kElementOps, "there is no elementwise operation ", in_quotes(name));
    Map::Step step{ElementOp(op), dtype_of_name(text(s[1])), {}};
    for (size_t i = 0; i < 3; ++i) step.from[i] = byte(s[2][i]);
    map->steps.push_back(step);
  }
  check(!map->steps.empty() && map->registers() <= Map::kMaxRegisters, "a program of ",
        map->steps.size(), " steps and ", map->registers(), " registers");
  map->results.push_back(uint8_t(map->registers() - 1));
  return map;
}

}  // namespace

namespace stored {
// One line for each operation that can be written: its parameters, and the call that makes it
// again. The calls are those of the API, which check what they are given.
struct Saved {
  int id;
  const char* name;
  std::function<json(const Primitive&)> write;
  std::function<array(const json&, const Arrays&)> make;
};
}  // namespace stored

namespace {

using stored::Saved;

template <class P>
Saved saved(const char* name, json (*write)(const P&),
            std::function<array(const json&, const Arrays&)> make) {
  return {P::kernel_id(), name,
          [write](const Primitive& p) { return write(static_cast<const P&>(p)); }, std::move(make)};
}

array reduced(const json& p, const array& x) {
  const auto axes = integers<std::vector<int>>(field(p, "axes"));
  const bool keep = flag(field(p, "keepdims"));
  switch (integer(field(p, "kind"))) {
    case int(Reduce::Kind::sum): return sum(x, axes, keep);
    case int(Reduce::Kind::prod): return prod(x, axes, keep);
    case int(Reduce::Kind::mean): return mean(x, axes, keep);
    case int(Reduce::Kind::max): return max(x, axes, keep);
    case int(Reduce::Kind::min): return min(x, axes, keep);
    case int(Reduce::Kind::all): return all(x, axes, keep);
    case int(Reduce::Kind::any): return any(x, axes, keep);
    default: check(false, "there is no reduction ", integer(field(p, "kind")));
  }
  return x;
}
array scanned(const json& p, const array& x) {
  const int axis = integer(field(p, "axis"));
  const bool reverse = flag(field(p, "reverse")), inclusive = flag(field(p, "inclusive"));
  switch (integer(field(p, "kind"))) {
    case int(Scan::Kind::sum): return cumsum(x, axis, reverse, inclusive);
    case int(Scan::Kind::prod): return cumprod(x, axis, reverse, inclusive);
    case int(Scan::Kind::max): return cummax(x, axis, reverse, inclusive);
    case int(Scan::Kind::min): return cummin(x, axis, reverse, inclusive);
    case int(Scan::Kind::logaddexp): return logcumsumexp(x, axis, reverse, inclusive);
    default: check(false, "there is no scan ", integer(field(p, "kind")));
  }
  return x;
}
array sorted(const json& p, const array& x) {
  const int axis = integer(field(p, "axis")), kth = integer(field(p, "kth"));
  const bool places = flag(field(p, "places"));
  if (kth < 0) return places ? argsort(x, axis) : sort(x, axis);
  return places ? argpartition(x, kth, axis) : partition(x, kth, axis);
}
array sliced(const json& p, const array& x) {
  Box box{integers<Shape>(field(p, "start")), integers<Shape>(field(p, "strides")),
          integers<Shape>(field(p, "shape"))};
  check(int(box.start.size()) == x.ndim() && box.strides.size() == box.start.size() &&
            box.shape.size() == box.start.size(),
        "a box of ", box.start.size(), " axes of shape ", x.shape());
  return hearth::apply(std::make_shared<StaticSlice>(std::move(box)), {x});  // checks the box
}
array counted(const json& p) {
  const json &start = field(p, "start"), &step = field(p, "step"), &last = field(p, "last");
  check(start.is_number() && step.is_number() && (last.is_null() || last.is_number()),
        "wanted numbers");
  const int size = integer(field(p, "size"));
  const Dtype dtype = dtype_of_name(text(field(p, "dtype")));
  check(size >= 0 && dtype != bool_ && std::isfinite(start.get<double>() + step.get<double>()),
        "arange of ", size, " ", dtype, " numbers");
  return hearth::apply(
      std::make_shared<Arange>(
          start.get<double>(), step.get<double>(), size, dtype,
          last.is_null() ? std::nullopt : std::optional<double>(last.get<double>())),
      {});
}

const std::vector<Saved>& all_saved() {
  static const std::vector<Saved> all{
      saved<Map>("map", map_to_json,
                 [](const json& p, const Arrays& in) {
                   return hearth::apply(map_of(p), SmallVector<array, 3>(in.begin(), in.end()));
                 }),
      saved<StopGradient>(
          "stop_gradient", [](const StopGradient&) { return json(); },
          [](const json&, const Arrays& in) { return stop_gradient(in.at(0)); }),
      saved<Copy>(
          "copy", [](const Copy&) { return json(); },
          [](const json&, const Arrays& in) { return copy(in.at(0)); }),
      saved<Contiguous>(
          "contiguous",
          [](const Contiguous& p) {
            return json{{"columns", p.allow_col_major}};
          },
          [](const json& p, const Arrays& in) {
            return contiguous(in.at(0), flag(field(p, "columns")));
          }),
      saved<Reshape>(
          "reshape",
          [](const Reshape& p) {
            return json{{"shape", numbers(p.shape)}};
          },
          [](const json& p, const Arrays& in) {
            return reshape(in.at(0), integers<Shape>(field(p, "shape")));
          }),
      saved<Transpose>(
          "transpose",
          [](const Transpose& p) {
            return json{{"axes", numbers(p.axes)}};
          },
          [](const json& p, const Arrays& in) {
            return transpose(in.at(0), integers<std::vector<int>>(field(p, "axes")));
          }),
      saved<Broadcast>(
          "broadcast",
          [](const Broadcast& p) {
            return json{{"shape", numbers(p.shape)}};
          },
          [](const json& p, const Arrays& in) {
            return broadcast_to(in.at(0), integers<Shape>(field(p, "shape")));
          }),
      saved<StaticSlice>(
          "slice",
          [](const StaticSlice& p) {
            return json{{"start", numbers(p.box.start)},
                        {"strides", numbers(p.box.strides)},
                        {"shape", numbers(p.box.shape)}};
          },
          [](const json& p, const Arrays& in) { return sliced(p, in.at(0)); }),
      saved<Concatenate>(
          "concatenate",
          [](const Concatenate& p) {
            return json{{"axis", p.axis}};
          },
          [](const json& p, const Arrays& in) {
            return concatenate(in, integer(field(p, "axis")));
          }),
      saved<Arange>(
          "arange",
          [](const Arange& p) {
            return json{{"start", p.start},
                        {"step", p.step},
                        {"size", p.size},
                        {"dtype", to_string(p.dtype)},
                        {"last", p.last ? json(*p.last) : json()}};
          },
          [](const json& p, const Arrays&) { return counted(p); }),
      saved<Reduce>(
          "reduce",
          [](const Reduce& p) {
            return json{{"kind", int(p.kind)}, {"axes", numbers(p.axes)}, {"keepdims", p.keepdims}};
          },
          [](const json& p, const Arrays& in) { return reduced(p, in.at(0)); }),
      saved<ArgReduce>(
          "arg_reduce",
          [](const ArgReduce& p) {
            return json{{"largest", p.largest}, {"axis", p.axis}, {"keepdims", p.keepdims}};
          },
          [](const json& p, const Arrays& in) {
            const int axis = integer(field(p, "axis"));
            const bool keep = flag(field(p, "keepdims"));
            return flag(field(p, "largest")) ? argmax(in.at(0), axis, keep)
                                             : argmin(in.at(0), axis, keep);
          }),
      saved<Scan>(
          "scan",
          [](const Scan& p) {
            return json{{"kind", int(p.kind)},
                        {"axis", p.axis},
                        {"reverse", p.reverse},
                        {"inclusive", p.inclusive}};
          },
          [](const json& p, const Arrays& in) { return scanned(p, in.at(0)); }),
      saved<Sort>(
          "sort",
          [](const Sort& p) {
            return json{{"axis", p.axis}, {"places", p.places}, {"kth", p.kth}};
          },
          [](const json& p, const Arrays& in) { return sorted(p, in.at(0)); }),
      saved<Softmax>(
          "softmax", [](const Softmax&) { return json(); },
          [](const json&, const Arrays& in) { return softmax(in.at(0), -1); }),
      saved<LogSumExp>(
          "logsumexp", [](const LogSumExp&) { return json(); },
          [](const json&, const Arrays& in) { return logsumexp(in.at(0), -1, true); }),
      saved<Matmul>(
          "matmul",
          [](const Matmul& p) {
            return json{{"add", p.add}};
          },
          [](const json& p, const Arrays& in) {
            return flag(field(p, "add")) ? addmm(in.at(2), in.at(0), in.at(1))
                                         : matmul(in.at(0), in.at(1));
          }),
      saved<GatherAxis>(
          "take_along_axis",
          [](const GatherAxis& p) {
            return json{{"axis", p.axis}};
          },
          [](const json& p, const Arrays& in) {
            return take_along_axis(in.at(0), in.at(1), integer(field(p, "axis")));
          }),
  };
  return all;
}

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

bool computed(const Node& n) {
  return n.status.load(std::memory_order_acquire) == Node::Status::scheduled;
}

}  // namespace

struct FunctionExporter::Impl {
  std::string file;
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
  /// What the outputs are made of, inputs first; numbered behind the arguments.
  json nodes_of(const Arrays& args, const Arrays& outputs,
                std::unordered_map<const Node*, int>& number) {
    json nodes = json::array();
    for (const array& a : args) number.emplace(&a.node(), int(number.size()));
    std::vector<std::pair<array, size_t>> path;
    std::unordered_set<const Node*> seen;
    const auto visit = [&](const array& a) {
      if (!number.contains(&a.node()) && seen.insert(&a.node()).second) path.emplace_back(a, 0);
    };
    for (const array& y : outputs) {
      visit(y);
      while (!path.empty()) {
        const array a = path.back().first;
        const Node& n = a.node();
        if (!computed(n) && path.back().second < n.inputs.size()) {
          visit(n.inputs[path.back().second++]);
          continue;
        }
        nodes.push_back(node_to_json(a, number));
        number.emplace(&n, int(number.size()));
        path.pop_back();
      }
    }
    return nodes;
  }
  json node_to_json(const array& a, const std::unordered_map<const Node*, int>& number) {
    const Node& n = a.node();
    if (computed(n)) return {{"op", "constant"}, {"tensor", constant(a)}};
    json in = json::array();
    for (const array& x : n.inputs) in.push_back(number.at(&x.node()));
    if (graph::is_argument(n)) return {{"op", "same"}, {"in", std::move(in)}};
    const auto& all = all_saved();
    const auto found =
        std::ranges::find_if(all, [&](const Saved& s) { return n.op && s.id == n.op->id; });
    check(found != all.end() && n.more.empty(), "export_function: ",
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
    : impl_(new Impl{file, std::move(fun), {}, {}, {}, false}) {
  impl_->whole = {{"version", kVersion},
                  {"shapeless", shapeless},
                  {"metadata", metadata},
                  {"signatures", json::array()}};
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
  std::vector<std::string> names;
  for (const auto& [name, value] : kwargs) names.push_back(name);
  std::sort(names.begin(), names.end());
  Arrays given = args;
  for (const std::string& name : names) given.push_back(kwargs.at(name));
  graph::Tracing tracing;
  const Arrays all = graph::arguments(given);
  Kwargs named;
  for (size_t i = 0; i < names.size(); ++i) named.emplace(names[i], all[args.size() + i]);
  const Arrays outputs = impl_->fun(Arrays(all.begin(), all.begin() + long(args.size())), named);
  json arguments = json::array();
  for (size_t i = 0; i < all.size(); ++i) {
    json one{{"dtype", to_string(all[i].dtype())}, {"shape", numbers(all[i].shape())}};
    if (i >= args.size()) one["name"] = names[i - args.size()];
    arguments.push_back(std::move(one));
  }
  std::unordered_map<const Node*, int> number;
  json nodes = impl_->nodes_of(all, outputs, number);
  json out = json::array();
  for (const array& y : outputs) out.push_back(number.at(&y.node()));
  impl_->whole["signatures"].push_back({{"arguments", std::move(arguments)},
                                        {"nodes", std::move(nodes)},
                                        {"outputs", std::move(out)}});
}
void FunctionExporter::close() {
  if (std::exchange(impl_->closed, true)) return;
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

namespace stored {

struct Argument {
  std::string name;  // empty: by place
  Dtype dtype;
  Shape shape;
};
struct SavedNode {
  const Saved* op = nullptr;  // null: the constant, or input 0 itself
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
        const auto& all = all_saved();
        const auto found =
            std::ranges::find_if(all, [&](const Saved& o) { return o.name == name; });
        check(found != all.end(), "there is no operation ", in_quotes(name),
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

  bool takes(const Signature& s, size_t args, const Arrays& given,
             const std::vector<std::string>& names) const {
    if (s.arguments.size() != given.size()) return false;
    for (size_t i = 0; i < given.size(); ++i) {
      const Argument& a = s.arguments[i];
      const bool alike =
          shapeless ? given[i].ndim() == int(a.shape.size()) : given[i].shape() == a.shape;
      if (!alike || given[i].dtype() != a.dtype || a.name != (i < args ? "" : names[i - args]))
        return false;
    }
    return true;
  }
};

Arrays ImportedFunction::operator()(const Arrays& args, const Kwargs& kwargs) const {
  std::vector<std::string> names;
  for (const auto& [name, value] : kwargs) names.push_back(name);
  std::sort(names.begin(), names.end());
  Arrays given = args;
  for (const std::string& name : names) given.push_back(kwargs.at(name));
  for (const Signature& s : impl_->signatures)
    if (impl_->takes(s, args.size(), given, names)) return s.run(given);
  const auto told = [](const std::string& name, Dtype dtype, const Shape& shape) {
    return concat(name.empty() ? "" : name + "=", dtype, " ", shape);
  };
  std::vector<std::string> got, have;
  for (size_t i = 0; i < given.size(); ++i)
    got.push_back(
        told(i < args.size() ? "" : names[i - args.size()], given[i].dtype(), given[i].shape()));
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
