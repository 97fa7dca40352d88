// Modules are plain structs: HEARTH_FIELDS names their members, and the names are the checkpoint's
// keys. No base class, no registration.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "hearth/base/fields.h"
#include "hearth/core/tensors.h"

namespace hearth::nn {

/// What a layer multiplies by: (out, in). A struct of its own, so that a packed form with scales
/// can stand here without any model knowing.
struct Weight {
  array dense;
};

/// "model.layers.3.mlp.fc1.weight" -> where it lies in the module.
using Parameters = std::map<std::string, array*>;
/// Checkpoint key -> parameter name; "" for a tensor to be passed over.
using Rename = std::function<std::string(const std::string& key)>;

/// A struct with HEARTH_FIELDS.
template <class M>
concept Module = requires(M& m) {
  m.fields([](const char*, auto&) {});
};

template <class>
inline constexpr bool kParameter = false;
/// The visitor behind parameters(): walks arrays, weights, optional ones, lists, and modules.
struct Collector {
  std::string prefix;
  Parameters& out;

  void operator()(const char* name, array& a) const { out.emplace(prefix + name, &a); }
  void operator()(const char* name, Weight& w) const { out.emplace(prefix + name, &w.dense); }
  template <class T>
  void operator()(const char* name, std::optional<T>& maybe) const {
    if (maybe) (*this)(name, *maybe);
  }
  template <class T>
  void operator()(const char* name, std::vector<T>& list) const {
    for (size_t i = 0; i < list.size(); ++i)
      (*this)((std::string(name) + "." + std::to_string(i)).c_str(), list[i]);
  }
  template <Module M>
  void operator()(const char* name, M& module) const {
    module.fields(Collector{prefix + name + ".", out});
  }
  template <class T>
  void operator()(const char*, T&) const {
    static_assert(kParameter<T>,
                  "HEARTH_FIELDS lists a member that is no parameter: leave it out, or make it an "
                  "array, a Weight, a struct with HEARTH_FIELDS, or a std::optional or std::vector "
                  "of these");
  }
};

/// Every parameter of a module under its dotted name. The pointers are good while the module stays
/// where it is.
template <Module M>
Parameters parameters(M& module) {
  Parameters out;
  module.fields(Collector{"", out});
  return out;
}

/// In what a checkpoint, of which the shapes are known, differs from the parameters: "2 missing: a,
/// b; 1 unused: c", at most 20 names of each kind. Empty where it is theirs. `before` gives the key
/// that a parameter would have; its name unless given.
using Shapes = std::unordered_map<std::string, Shape>;
std::string mismatch(const Parameters& parameters, const Shapes& shapes, const Rename& rename = {},
                     const Rename& before = {});

/// Puts a checkpoint's tensors in place of the parameters, in the dtype that they are stored in.
/// Throws one std::runtime_error with the mismatch(); the parameters are then as before.
void load(const Parameters& parameters, const Tensors& tensors, const Rename& rename = {});
template <Module M>
void load(M& module, const Tensors& tensors, const Rename& rename = {}) {
  load(parameters(module), tensors, rename);
}

/// The parameters as named arrays, to be saved.
Tensors tensors(const Parameters& parameters);
template <Module M>
Tensors tensors(M& module) {
  return tensors(parameters(module));
}

/// Computes the parameters, all at once: what update() gave them is lazy.
void eval(const Parameters& parameters);

/// The loss, a scalar, and its gradients by the parameters, by name: `loss` computes it with the
/// module that they lie in. Parameters that are not floating have none. A part of a module's
/// parameters leaves the others as they are.
std::pair<array, Tensors> value_and_grad(const Parameters& parameters,
                                         const std::function<array()>& loss);

}  // namespace hearth::nn
