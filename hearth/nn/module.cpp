#include "hearth/nn/module.h"

#include <algorithm>
#include <set>

#include "hearth/base/listed.h"
#include "hearth/core/eval.h"
#include "hearth/ops/quantize.h"
#include "hearth/transforms/grad.h"

namespace hearth::nn {
namespace {

// "2 missing: a, b"
void report(std::string& to, std::string_view what, std::vector<std::string> names) {
  if (names.empty()) return;
  std::sort(names.begin(), names.end());
  to += concat(to.empty() ? "" : "; ", names.size(), " ", what, ": ", listed(names));
}

}  // namespace

array& Parameter::operator*() const {
  if (array_) return *array_;
  matrix_->dense();  // or says why not
  return matrix_->planes()[0];
}
void Parameter::set(const fast::Matrix& m) const {
  if (matrix_)
    *matrix_ = m;
  else
    *array_ = fast::dequantize(m);
}
std::span<array> Parameter::planes() const {
  return matrix_ ? matrix_->planes() : std::span(array_, 1);
}

std::string plane_name(const std::string& parameter, Packing packing, int plane) {
  if (plane == 0) return parameter;
  constexpr std::string_view kWeight = ".weight";
  const size_t path = parameter.size() - (parameter.ends_with(kWeight) ? kWeight.size() : 0);
  return concat(parameter.substr(0, path), ".", plane_of(packing, plane, 0).name);
}

std::string mismatch(const Parameters& parameters, const Shapes& shapes, const Rename& rename,
                     const Rename& before) {
  const auto shown = [&](const std::string& key) { return before ? before(key) : key; };
  std::set<std::string> found;
  std::vector<std::string> missing, unused, differ, twice;
  for (const auto& [key, shape] : shapes) {
    const std::string name = rename ? rename(key) : key;
    if (name.empty()) continue;
    const auto parameter = parameters.find(name);
    if (parameter == parameters.end()) {
      unused.push_back(shown(key));
    } else if (!found.insert(name).second) {
      twice.push_back(name);
    } else if (shape != parameter->second.shape()) {
      differ.push_back(concat(shown(key), " is ", shape, ", wanted ", parameter->second.shape()));
    }
  }
  for (const auto& [name, where] : parameters)
    if (!found.count(name)) missing.push_back(shown(name));
  std::string problems;
  report(problems, "missing", std::move(missing));
  report(problems, "unused", std::move(unused));
  report(problems, "of another shape", std::move(differ));
  report(problems, "there twice", std::move(twice));
  return problems;
}

void load(const Parameters& parameters, const fast::Matrices& tensors, const Rename& rename) {
  Shapes shapes;
  for (const auto& [key, tensor] : tensors) shapes.emplace(key, tensor.shape());
  const std::string problems = mismatch(parameters, shapes, rename);
  ensure(problems.empty(), "load: the tensors are not those of the model: ", problems);
  for (const auto& [key, tensor] : tensors) {
    const std::string name = rename ? rename(key) : key;
    if (!name.empty()) parameters.at(name).set(tensor);
  }
}

fast::Matrix matrix_of(const std::string& key, Packing packing, const Arrays& planes) {
  try {
    fast::shape_of(key, packing, planes);
    return {packing, planes};
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(error.what());
  }
}

void load(const Parameters& parameters, const Tensors& tensors, const Rename& rename) {
  fast::Matrices whole(tensors.begin(), tensors.end());
  std::unordered_map<std::string, std::string> keys;  // by what they are renamed to
  for (const auto& [key, tensor] : tensors) keys.emplace(rename ? rename(key) : key, key);
  for (const auto& [name, p] : parameters) {
    const Packing packing = p.value().packing();
    const size_t count = p.planes().size();
    std::vector<std::string> found;
    for (int i = 0; size_t(i) < count; ++i)
      if (const auto key = keys.find(plane_name(name, packing, i)); key != keys.end())
        found.push_back(key->second);
    if (!p.packed() || found.size() < count) continue;
    Arrays planes;
    for (const std::string& key : found) {
      planes.push_back(tensors.at(key));
      whole.erase(key);
    }
    whole.emplace(found[0], matrix_of(found[0], packing, planes));
  }
  load(parameters, whole, rename);
}

Tensors tensors(const Parameters& parameters) {
  Tensors out;
  for (const auto& [name, where] : parameters)
    for (int i = 0; const array& plane : where.planes())
      out.emplace(plane_name(name, where.value().packing(), i++), plane);
  return out;
}

void quantize(const Parameters& parameters, std::optional<int> group_size, std::optional<int> bits,
              const std::string& mode, const std::function<bool(const std::string& name)>& but) {
  const Packing packing = packing_of_mode("quantize", mode, group_size, bits);
  for (const auto& [name, p] : parameters) {
    if (!p.matrix() || p.packed() || (but && but(name))) continue;
    check(packs(packing, p->shape(-1)), "quantize: ", name, " is ", p->shape(),
          ", of which rows are no whole number of groups of ", packing_info(packing).weights);
    p.set(fast::quantize(*p, packing));
  }
}

void eval(const Parameters& parameters) {
  Arrays all;
  for (const auto& [name, where] : parameters)
    all.insert(all.end(), where.planes().begin(), where.planes().end());
  hearth::eval(all);
}

std::pair<array, Tensors> value_and_grad(const Parameters& parameters,
                                         const std::function<array()>& loss) {
  std::vector<std::string> names;
  std::vector<array*> places;
  Arrays values;
  std::vector<int> all;
  for (const auto& [name, where] : parameters)
    if (!where.packed() && is_inexact(where->dtype())) {
      all.push_back(int(names.size()));
      names.push_back(name);
      places.push_back(&*where);
      values.push_back(*where);
    }
  struct Restore {  // what is traced must not stay in the module
    const std::vector<array*>& places;
    const Arrays& values;
    ~Restore() {
      for (size_t i = 0; i < places.size(); ++i) *places[i] = values[i];
    }
  } restore{places, values};
  const auto traced = [&](const Arrays& now) {
    for (size_t i = 0; i < places.size(); ++i) *places[i] = now[i];
    return loss();
  };
  check(!all.empty(), "value_and_grad: no floating parameters");
  const auto [value, slopes] = hearth::value_and_grad(ScalarFunction(traced), all)(values);
  Tensors gradients;
  for (size_t i = 0; i < names.size(); ++i) gradients.emplace(names[i], slopes[i]);
  return {value, gradients};
}

}  // namespace hearth::nn
