// Functions in files: what a function computes of arguments like those given, to be called again
// without it. With MLX's functions; the format is hearth's own (docs/exported_functions.md).
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>

#include "hearth/core/array.h"

namespace hearth {

using Kwargs = std::unordered_map<std::string, array>;
using ExportedFunction = std::function<Arrays(const Arrays&, const Kwargs&)>;

/// What tells of a traced function, MLX's: an operation's parameters are one text here.
using StateT =
    std::variant<bool, int, size_t, float, double, Dtype, Shape, Strides, std::vector<int>,
                 std::vector<size_t>, std::vector<std::tuple<bool, bool, bool>>,
                 std::vector<std::variant<bool, int, float>>, std::optional<float>, std::string>;
using ExportCallbackInput =
    std::unordered_map<std::string, std::variant<std::vector<std::tuple<std::string, Shape, Dtype>>,
                                                 std::vector<std::pair<std::string, array>>,
                                                 std::vector<std::pair<std::string, std::string>>,
                                                 std::vector<StateT>, std::string>>;
/// Called with {"type": "inputs", "inputs": names, shapes and dtypes}, then with the types
/// "keyword_inputs" ("keywords": by name, the input), "outputs" ("outputs"), "constants"
/// ("constants": names and arrays), and for each operation in order "primitive" ("inputs",
/// "outputs", "name", "arguments").
using ExportCallback = std::function<void(const ExportCallbackInput&)>;

/// Writes what a function computes, once for each signature that it is called with; the file
/// appears, whole, at close or at the end of its life; only close tells that it could not. Throws
/// std::invalid_argument naming the operation that cannot be written.
class FunctionExporter {
 public:
  FunctionExporter(const std::string& file, ExportedFunction fun, bool shapeless,
                   const std::string& metadata);
  /// Tells it instead of writing it.
  FunctionExporter(const ExportCallback& callback, ExportedFunction fun, bool shapeless);
  FunctionExporter(FunctionExporter&&) noexcept;
  ~FunctionExporter();
  void operator()(const std::initializer_list<array>& args) { (*this)(Arrays(args)); }
  void operator()(const Arrays& args) { (*this)(args, {}); }
  void operator()(const Kwargs& kwargs) { (*this)({}, kwargs); }
  void operator()(const Arrays& args, const Kwargs& kwargs);
  void close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// `shapeless`: of arguments with as many axes, of any sizes. What the function captured, and a
/// random key that it drew, is written as it is now.
FunctionExporter exporter(const std::string& file, const std::function<Arrays(const Arrays&)>& fun,
                          bool shapeless = false, const std::string& metadata = "");
FunctionExporter exporter(const std::string& file, const std::function<Arrays(const Kwargs&)>& fun,
                          bool shapeless = false, const std::string& metadata = "");
FunctionExporter exporter(const std::string& file,
                          const std::function<Arrays(const Arrays&, const Kwargs&)>& fun,
                          bool shapeless = false, const std::string& metadata = "");
void export_function(const std::string& file, const std::function<Arrays(const Arrays&)>& fun,
                     const Arrays& args, bool shapeless = false, const std::string& metadata = "");
void export_function(const std::string& file, const std::function<Arrays(const Kwargs&)>& fun,
                     const Kwargs& kwargs, bool shapeless = false,
                     const std::string& metadata = "");
void export_function(const std::string& file,
                     const std::function<Arrays(const Arrays&, const Kwargs&)>& fun,
                     const Arrays& args, const Kwargs& kwargs, bool shapeless = false,
                     const std::string& metadata = "");

FunctionExporter exporter(const ExportCallback& callback,
                          const std::function<Arrays(const Arrays&)>& fun, bool shapeless = false);
FunctionExporter exporter(const ExportCallback& callback,
                          const std::function<Arrays(const Kwargs&)>& fun, bool shapeless = false);
FunctionExporter exporter(const ExportCallback& callback,
                          const std::function<Arrays(const Arrays&, const Kwargs&)>& fun,
                          bool shapeless = false);
void export_function(const ExportCallback& callback,
                     const std::function<Arrays(const Arrays&)>& fun, const Arrays& args,
                     bool shapeless = false);
void export_function(const ExportCallback& callback,
                     const std::function<Arrays(const Kwargs&)>& fun, const Kwargs& kwargs,
                     bool shapeless = false);
void export_function(const ExportCallback& callback,
                     const std::function<Arrays(const Arrays&, const Kwargs&)>& fun,
                     const Arrays& args, const Kwargs& kwargs, bool shapeless = false);

/// A function of a file. Throws std::invalid_argument for arguments that none of its signatures
/// has.
class ImportedFunction {
 public:
  Arrays operator()(const std::initializer_list<array>& args) const {
    return (*this)(Arrays(args));
  }
  Arrays operator()(const Arrays& args) const { return (*this)(args, {}); }
  Arrays operator()(const Kwargs& kwargs) const { return (*this)({}, kwargs); }
  Arrays operator()(const Arrays& args, const Kwargs& kwargs) const;
  const std::string& metadata() const;

 private:
  friend ImportedFunction import_function(const std::string& file);
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

/// Checks all of the file; throws std::runtime_error naming it and what is wrong.
ImportedFunction import_function(const std::string& file);

}  // namespace hearth
