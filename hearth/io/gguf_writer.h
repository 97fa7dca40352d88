// Writes a GGUF file: what it says first, then its tensors as they are made.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hearth/io/gguf.h"
#include "hearth/io/output_file.h"

namespace hearth {

/// Keys and values in the order in which they were set.
class GgufMetadata {
 public:
  GgufMetadata() = default;
  /// Those of a file, but for what says how it lies: general.alignment and split.*.
  explicit GgufMetadata(const Gguf& file);

  void set(std::string_view key, uint32_t value);
  void set(std::string_view key, float value);
  void set(std::string_view key, bool value);
  void set(std::string_view key, std::string_view text);
  void set(std::string_view key, const char* text) { set(key, std::string_view(text)); }
  void set(std::string_view key, std::span<const std::string> texts);
  void set(std::string_view key, std::span<const int32_t> numbers);
  void set(std::string_view key, std::span<const float> numbers);
  void set(std::string_view key, std::span<const uint32_t> numbers);
  void set(std::string_view key, const GgufValue& value);
  void erase(std::string_view key);
  bool contains(std::string_view key) const;

  size_t size() const { return entries_.size(); }
  std::string bytes() const;

 private:
  /// Behind all others; what the key had before is gone.
  void put(std::string_view key, std::string value);

  std::vector<std::pair<std::string, std::string>> entries_;  // key, type and value as written
};

struct GgufOutput {
  std::string name;
  std::vector<int64_t> shape;  // slowest first
  uint32_t type;               // ggml's number
};

class GgufWriter {
 public:
  /// Begins the file. Throws std::runtime_error naming the path, or a tensor that cannot be of its
  /// type. Nothing is at the path before commit().
  GgufWriter(std::filesystem::path path, const GgufMetadata& metadata,
             std::span<const GgufOutput> tensors);
  /// The next bytes of the tensors, one tensor after the other, in pieces of any size of one.
  void write(std::span<const std::byte> bytes);
  /// All tensors are there: the file appears.
  void commit();

 private:
  void pass_complete();

  struct Tensor {
    std::string name;
    size_t bytes, left;  // that are not there yet
  };
  OutputFile out_;
  std::vector<Tensor> tensors_;
  size_t at_ = 0;  // the tensor under way
};

}  // namespace hearth
