// Folders whose weights are packed otherwise than MLX's: by what config.json's quantization_config
// says, each method's tensors become matrices. What lies as a packing has it stays where it is
// mapped; the rest is repacked once, and what no packing can hold becomes dense.
#pragma once
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/core/dtype.h"
#include "hearth/core/tensors.h"
#include "hearth/io/json.h"
#include "hearth/llm/tokenizer/regex.h"
#include "hearth/ops/matrix.h"

namespace hearth::llm {

struct PackedFolder {
  std::string where;    // its path, which begins errors
  JsonObject settings;  // quantization_config
  Dtype dtype;          // what the model computes in
  bool values = true;   // else tensors stand for their shapes and dtypes
};

fast::Matrices fp8_matrices(const PackedFolder& folder, Tensors tensors);
fast::Matrices awq_matrices(const PackedFolder& folder, Tensors tensors);
fast::Matrices gptq_matrices(const PackedFolder& folder, Tensors tensors);
fast::Matrices compressed_matrices(const PackedFolder& folder, Tensors tensors);

/// How a module's weight, of rows of `in`, is packed as the settings alone say.
Packing fp8_packing(const PackedFolder& folder, const std::string& module, int64_t in);
Packing awq_packing(const PackedFolder& folder, const std::string& module, int64_t in);
Packing gptq_packing(const PackedFolder& folder, const std::string& module, int64_t in);
Packing compressed_packing(const PackedFolder& folder, const std::string& module, int64_t in);

// What the methods share.

/// Throws naming the first key that is neither in `known` nor empty (null, false, "", [], {}).
void refuse_others(const JsonObject& settings, const std::vector<std::string_view>& known);
/// Throws unless the text under `key`, if there is one, is one of these.
void refuse_unless(const JsonObject& settings, std::string_view key,
                   std::initializer_list<std::string_view> wanted);

/// A list of modules.
class ModuleNames {
 public:
  /// As transformers reads modules_to_not_convert: names their beginning up to a dot, as an
  /// expression or not, or their end.
  static ModuleNames beginnings(const JsonObject& settings, std::string_view list);
  /// As compressed-tensors reads targets: a name, the class of the module, or an expression after
  /// "re:".
  static ModuleNames targets(const JsonObject& settings, std::string_view list);

  bool contains(const std::string& module) const;
  /// Not only by its class.
  bool names(const std::string& module) const;

 private:
  ModuleNames(const JsonObject& settings, std::string_view list, bool targets);

  bool targets_;
  std::vector<std::string> plain_;
  std::vector<Regex> expressions_;
  std::shared_ptr<Regex::Memory> memory_ = std::make_shared<Regex::Memory>();
};

/// The tensors of one module, taken out of those of a folder as they are asked for.
class PackedModule {
 public:
  PackedModule(const PackedFolder& folder, Tensors& tensors, std::string path)
      : folder(folder), path(std::move(path)), tensors_(tensors) {}

  bool has(std::string_view end) const { return tensors_.contains(path + std::string(end)); }
  std::optional<array> take(std::string_view end);
  /// Throws where it is not there.
  array need(std::string_view end);
  template <class... Parts>
  void require(bool holds, std::string_view end, const Parts&... parts) const {
    if (!holds) ensure(false, folder.where, ": ", path, end, ": ", parts...);
  }
  /// A tensor has that shape.
  void require_shape(std::string_view end, const array& x, const Shape& wanted) const;
  fast::Matrix packed(std::string_view end, Packing packing, const Arrays& planes) const;

  const PackedFolder& folder;
  const std::string path;

 private:
  Tensors& tensors_;
};
/// The paths of modules that have a tensor of that end, in order.
std::set<std::string> modules_with(const Tensors& tensors, std::string_view end);
/// Takes away what belongs to activations: it is not needed, they stay as the model has them.
void drop_scales_of_activations(Tensors& tensors);

/// The elements of a matrix that share a scale.
struct Block {
  int rows, columns;
};
/// The shape of scales of a matrix of that shape.
Shape shape_of_scales(const Shape& matrix, Block block);
/// The most weights of a group that a block of so many columns is whole groups of: 128, 64, 32; or
/// 0.
int group_of(int columns, int in);
/// Scales of blocks as those of each row and each group of so many weights.
array spread(const array& scales, Block block, int out, int in, int group);

/// Values for codes, of one scale for each block: "fp8", "int8" (a byte each) or "fp4" (half of
/// one).
fast::Matrix valued(const PackedModule& module, std::string_view end, std::string_view kind,
                    const array& codes, const array& scales, Block block);

/// Codes without sign, a string of bits in each row: w = scale * (code - zero).
struct Integers {
  array words;  // uint32 (..., out, in * bits / 32)
  int bits, in;
  array scales;                      // of shape_of_scales
  std::optional<array> zeros = {};   // of the same shape, float32; none: 2^(bits - 1)
  Block block;                       // of one row
  std::optional<array> places = {};  // int32 (in): the scale of each column, where not in order
};
fast::Matrix integers(const PackedModule& module, std::string_view end, const Integers& x);
/// The codes of `bits` in each row of words: uint32 (..., count).
array codes_in(const array& words, int bits, int count);

/// Bytes that are e4m3, or e8m0, as floats.
array values_of_e4m3(const array& bytes);
array values_of_e8m0(const array& bytes);

}  // namespace hearth::llm
