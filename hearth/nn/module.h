// Modules are plain structs: HEARTH_FIELDS names their members, and the names are the checkpoint's
// keys. No base class, no registration.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "hearth/base/fields.h"
#include "hearth/core/tensors.h"
#include "hearth/ops/matrix.h"

namespace hearth::nn {

/// Where a parameter lies in a module: an array, or a matrix, which may be packed.
class Parameter {
 public:
  Parameter(array* a) : array_(a) {}
  Parameter(fast::Matrix* m) : matrix_(m) {}

  /// The array; throws for what is packed.
  array& operator*() const;
  array* operator->() const { return &**this; }

  bool matrix() const { return matrix_ != nullptr; }
  bool packed() const { return matrix_ && matrix_->packed(); }
  fast::Matrix value() const { return matrix_ ? *matrix_ : fast::Matrix(*array_); }
  /// An array takes the values of a packed one.
  void set(const fast::Matrix& m) const;
  /// The arrays that it is made of.
  std::span<array> planes() const;
  Shape shape() const { return value().shape(); }
  size_t size() const { return value().size(); }
  size_t nbytes() const { return value().nbytes(); }

 private:
  array* array_ = nullptr;
  fast::Matrix* matrix_ = nullptr;
};
/// "model.layers.3.mlp.fc1.weight" -> where it lies in the module.
using Parameters = std::map<std::string, Parameter>;
/// What the arrays of a packed parameter are called, as MLX does: "fc1.weight", "fc1.scales",
/// "fc1.biases".
std::string plane_name(const std::string& parameter, Packing packing, int plane);
/// Checkpoint key -> parameter name; "" for a tensor to be passed over.
using Rename = std::function<std::string(const std::string& key)>;

/// A struct with HEARTH_FIELDS.
template <class M>
concept Module = requires(M& m) {
  m.fields([](const char*, auto&) {});
};

template <class>
inline constexpr bool kParameter = false;
/// The visitor behind parameters(): walks arrays, matrices, optional ones, lists, and modules.
struct Collector {
  std::string prefix;
  Parameters& out;

  void operator()(const char* name, array& a) const { out.emplace(prefix + name, &a); }
  void operator()(const char* name, fast::Matrix& m) const { out.emplace(prefix + name, &m); }
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
                  "array, a Matrix, a struct with HEARTH_FIELDS, or a std::optional or std::vector "
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

/// A checkpoint's arrays as one matrix. Throws std::runtime_error that names the tensor.
fast::Matrix matrix_of(const std::string& key, Packing packing, const Arrays& planes);

/// Puts a checkpoint's tensors in place of the parameters, as they are stored: in their dtypes,
/// packed or not. Throws one std::runtime_error with the mismatch(); the parameters are then as
/// before.
void load(const Parameters& parameters, const fast::Matrices& tensors, const Rename& rename = {});
/// The same of arrays: those of a parameter that is packed are its planes, by plane_name().
void load(const Parameters& parameters, const Tensors& tensors, const Rename& rename = {});
template <Module M>
void load(M& module, const Tensors& tensors, const Rename& rename = {}) {
  load(parameters(module), tensors, rename);
}

/// The parameters as named arrays, to be saved; what is packed as its planes.
Tensors tensors(const Parameters& parameters);
template <Module M>
Tensors tensors(M& module) {
  return tensors(parameters(module));
}

/// Packs the matrices of a module as MLX's nn.quantize does: what its Linear and Embedding layers
/// multiply by, but for those that `but` names. Throws std::invalid_argument naming one of which
/// the rows are no whole number of groups.
void quantize(const Parameters& parameters, std::optional<int> group_size = {},
              std::optional<int> bits = {}, const std::string& mode = "affine",
              const std::function<bool(const std::string& name)>& but = {});
template <Module M>
void quantize(M& module, std::optional<int> group_size = {}, std::optional<int> bits = {},
              const std::string& mode = "affine") {
  quantize(parameters(module), group_size, bits, mode);
}

/// Computes the parameters, all at once: what update() gave them is lazy.
void eval(const Parameters& parameters);

/// The loss, a scalar, and its gradients by the parameters, by name: `loss` computes it with the
/// module that they lie in. Parameters that are packed or not floating have none. A part of a
/// module's parameters leaves the others as they are.
std::pair<array, Tensors> value_and_grad(const Parameters& parameters,
                                         const std::function<array()>& loss);

}  // namespace hearth::nn
