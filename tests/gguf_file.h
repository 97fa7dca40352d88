// Writes GGUF files, right and wrong ones.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::testing {

/// The bytes of a file, put together piece by piece; nothing is checked.
class GgufFile {
 public:
  uint32_t version = 3;
  size_t alignment = 32;  // that the data gets, whatever general.alignment says

  template <class T>
  static std::string raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }
  static std::string text(std::string_view text) {
    return raw(uint64_t(text.size())) + std::string(text);
  }

  GgufFile& key(std::string_view name, uint32_t kind, const std::string& value) {
    keys_.push_back(text(name) + raw(kind) + value);
    return *this;
  }
  GgufFile& number(std::string_view name, uint32_t value) { return key(name, 4, raw(value)); }
  GgufFile& real(std::string_view name, float value) { return key(name, 6, raw(value)); }
  GgufFile& string(std::string_view name, std::string_view value) {
    return key(name, 8, text(value));
  }
  GgufFile& strings(std::string_view name, const std::vector<std::string>& all) {
    std::string value = raw(uint32_t(8)) + raw(uint64_t(all.size()));
    for (const std::string& one : all) value += text(one);
    return key(name, 9, value);
  }
  template <class T>
  GgufFile& numbers(std::string_view name, uint32_t kind, const std::vector<T>& all) {
    std::string value = raw(kind) + raw(uint64_t(all.size()));
    for (const T one : all) value += raw(one);
    return key(name, 9, value);
  }
  /// A tensor with its data, at the next place.
  GgufFile& tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                   const std::string& data) {
    data_.resize((data_.size() + alignment - 1) / alignment * alignment, '\0');
    return tensor_at(name, dims, type, data_.size(), data);
  }
  GgufFile& tensor_at(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                      uint64_t offset, const std::string& data = "") {
    std::string one = text(name) + raw(uint32_t(dims.size()));
    for (const uint64_t n : dims) one += raw(n);
    tensors_.push_back(one + raw(type) + raw(offset));
    data_ += data;
    return *this;
  }
  std::string bytes() const {
    std::string all =
        "GGUF" + raw(version) + raw(uint64_t(tensors_.size())) + raw(uint64_t(keys_.size()));
    for (const std::string& key : keys_) all += key;
    for (const std::string& tensor : tensors_) all += tensor;
    if (!tensors_.empty()) all.resize((all.size() + alignment - 1) / alignment * alignment, '\0');
    return all + data_;
  }

 private:
  std::vector<std::string> keys_, tensors_;
  std::string data_;
};

}  // namespace hearth::testing
