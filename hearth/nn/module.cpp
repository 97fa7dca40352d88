#include "hearth/nn/module.h"

#include <algorithm>
#include <set>

#include "hearth/base/listed.h"
#include "hearth/core/eval.h"
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
    } else if (shape != parameter->second->shape()) {
      differ.push_back(concat(shown(key), " is ", shape, ", wanted ", parameter->second->shape()));
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

void load(const Parameters& parameters, const Tensors& tensors, const Rename& rename) {
  Shapes shapes;
  for (const auto& [key, tensor] : tensors) shapes.emplace(key, tensor.shape());
  const std::string problems = mismatch(parameters, shapes, rename);
  ensure(problems.empty(), "load: the tensors are not those of the model: ", problems);
  for (const auto& [key, tensor] : tensors) {
    const std::string name = rename ? rename(key) : key;
    if (!name.empty()) *parameters.at(name) = tensor;
  }
}

Tensors tensors(const Parameters& parameters) {
  Tensors out;
  for (const auto& [name, where] : parameters) out.emplace(name, *where);
  return out;
}

void eval(const Parameters& parameters) {
  Arrays all;
  for (const auto& [name, where] : parameters) all.push_back(*where);
  hearth::eval(all);
}

std::pair<array, Tensors> value_and_grad(const Parameters& parameters,
                                         const std::function<array()>& loss) {
  std::vector<std::string> names;
  std::vector<array*> places;
  Arrays values;
  std::vector<int> all;
  for (const auto& [name, where] : parameters)
    if (is_inexact(where->dtype())) {
      all.push_back(int(names.size()));
      names.push_back(name);
      places.push_back(where);
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
