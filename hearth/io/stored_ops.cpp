#include "hearth/io/stored_ops.h"

#include <cmath>

#include "hearth/io/json.h"
#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/matmul.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives.h"
#include "hearth/ops/primitives_fast.h"
#include "hearth/ops/reduce.h"

namespace hearth::stored {

Dtype dtype_of_name(const std::string& name) {
  for (int d = 0; d < kDtypes; ++d)
    if (to_string(Dtype(d)) == name) return Dtype(d);
  check(false, "there is no dtype ", in_quotes(name));
  return float32;
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

namespace {

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

template <class P>
Op saved(const char* name, json (*write)(const P&),
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

}  // namespace

const std::vector<Op>& ops() {
  static const std::vector<Op> all{
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

}  // namespace hearth::stored
