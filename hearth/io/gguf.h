// GGUF, llama.cpp's file of a model: metadata and tensors in one file or in several, mapped. Only
// what the header says is checked and read here; what it means for a model is llm/gguf's.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

/// A value of the metadata, seen where the file is mapped; good while the file is.
class GgufValue {
 public:
  enum Kind : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, list, u64, i64, f64 };

  Kind kind = u8;
  Kind element = u8;                 // of a list, never list
  uint64_t count = 1;                // of a list
  std::span<const std::byte> bytes;  // of the value, of a list all of its elements

  bool is_list() const { return kind == list; }
  /// Of a number or a bool that is no list; nothing for a text. Whole numbers are exact in 64 bits.
  std::optional<double> number() const;
  std::optional<int64_t> integer() const;
  std::optional<std::string_view> string() const;
  /// The elements of a list, or the value alone; empty where they are not of that kind.
  std::vector<double> numbers() const;
  std::vector<std::string_view> strings() const;
};

struct GgufTensor {
  std::string_view name;
  std::vector<int64_t> shape;  // slowest first, as hearth has it; each below 2^31
  uint32_t type;               // ggml's number
  size_t offset, bytes;        // in its file
  size_t file = 0;             // of a model in several
};

struct GgufHeader {
  std::map<std::string_view, GgufValue> metadata;
  std::vector<GgufTensor> tensors;  // in the order of the file
};

/// Reads and checks the header of a whole file: every tensor lies within it, none overlaps another.
/// Throws std::runtime_error with `name` (the file) and the key or tensor otherwise. Allocates no
/// more than a few times the header's length.
GgufHeader parse_gguf(std::span<const std::byte> file, std::string_view name);

/// "Q4_K"; "type 77" where nobody knows it.
std::string ggml_type_name(uint32_t type);
/// Of a tensor (..., row); nothing for a type that nobody knows, and for rows that are no whole
/// blocks of it.
std::optional<size_t> ggml_bytes(uint32_t type, std::span<const int64_t> shape);

/// A model's file, or all of its files.
class Gguf {
 public:
  /// `path` is the file, or one of several that are named ...-00001-of-0000N.gguf: then all are
  /// opened. Throws std::runtime_error with the file's name, or with those that are missing.
  static Gguf open(const std::filesystem::path& path);

  /// Of bytes that stay where they are, of a model in one file.
  static Gguf of_bytes(std::span<const std::byte> file, std::string_view name);

  const std::string& name() const { return name_; }  // for messages
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const std::map<std::string_view, GgufValue>& metadata() const { return metadata_; }
  const GgufValue* find(std::string_view key) const;
  const GgufTensor* find_tensor(std::string_view name) const;
  /// Where a tensor's bytes are mapped, and who keeps them there.
  std::span<const std::byte> bytes(const GgufTensor& tensor) const;
  const std::shared_ptr<const void>& keeper(const GgufTensor& tensor) const;

  /// Of a key that is there, or nothing; throws where it is of another kind.
  std::optional<int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> flag(std::string_view key) const;
  std::optional<std::string_view> text(std::string_view key) const;
  std::vector<double> numbers(std::string_view key) const;
  std::vector<std::string_view> texts(std::string_view key) const;

 private:
  void add(std::span<const std::byte> file, std::shared_ptr<const void> keeper,
           const std::string& name, size_t parts);

  std::string name_;
  std::vector<std::span<const std::byte>> files_;
  std::vector<std::shared_ptr<const void>> keepers_;
  std::map<std::string_view, GgufValue> metadata_;  // of the first
  std::vector<GgufTensor> tensors_;                 // of all
  std::map<std::string_view, size_t> places_;       // of tensors
};

/// The files of the model that `path` is, or is one of, by number. Throws std::runtime_error
/// listing those that are missing.
std::vector<std::filesystem::path> gguf_parts(const std::filesystem::path& path);

/// The models in a folder that are GGUF files, by name; of several files that are one, the first.
std::vector<std::filesystem::path> gguf_models_in(const std::filesystem::path& folder);

/// Of the names of files, those of the one GGUF model that is packed as `type` says ("Q4_K_M", of
/// "x-Q4_K_M.gguf" or "Q4_K_M/x-00001-of-00002.gguf", in letters of either case), in order. Throws
/// std::runtime_error, beginning with `who`, that lists the models where there is none, or where
/// more than one is called so.
std::vector<std::string> gguf_files_of_type(const std::vector<std::string>& names,
                                            std::string_view type, std::string_view who);

/// The GGUF file that `path` is, or that the folder `path` has in the place of safetensors (of
/// several that are one model, the first); nothing where there is none. Throws std::runtime_error
/// listing them where a folder has more than one model.
std::optional<std::filesystem::path> find_gguf(const std::filesystem::path& path);

}  // namespace hearth
