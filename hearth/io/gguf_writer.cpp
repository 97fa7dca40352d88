#include "hearth/io/gguf_writer.h"

#include <algorithm>

#include "hearth/base/error.h"
#include "hearth/io/json.h"

namespace hearth {

namespace {

using ValueKind = GgufValue::Kind;
constexpr size_t kGgufAlignment = 32;

template <class T>
std::string gguf_raw(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::string gguf_raw(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::string gguf_text(std::string_view text) {
  return gguf_raw(uint64_t(text.size())) + std::string(text);
}
template <class T>
std::string gguf_list(ValueKind kind, std::span<const T> all) {
  return gguf_raw(uint32_t(ValueKind::list)) + gguf_raw(uint32_t(kind)) +
         gguf_raw(uint64_t(all.size())) + gguf_raw(std::as_bytes(all));
}
size_t gguf_padding(size_t bytes) {
  return (kGgufAlignment - bytes % kGgufAlignment) % kGgufAlignment;
}

}  // namespace

GgufMetadata::GgufMetadata(const Gguf& file) {
  std::vector<std::pair<std::string_view, GgufValue>> all(file.metadata().begin(),
                                                          file.metadata().end());
  // As they stand in the file.
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.second.bytes.data() < b.second.bytes.data();
  });
  for (const auto& [key, value] : all)
    if (key != "general.alignment" && !key.starts_with("split.")) set(key, value);
}

void GgufMetadata::put(std::string_view key, std::string value) {
  erase(key);
  entries_.emplace_back(key, std::move(value));
}
void GgufMetadata::set(std::string_view key, uint32_t value) {
  put(key, gguf_raw(uint32_t(ValueKind::u32)) + gguf_raw(value));
}
void GgufMetadata::set(std::string_view key, float value) {
  put(key, gguf_raw(uint32_t(ValueKind::f32)) + gguf_raw(value));
}
void GgufMetadata::set(std::string_view key, bool value) {
  put(key, gguf_raw(uint32_t(ValueKind::boolean)) + gguf_raw(uint8_t(value)));
}
void GgufMetadata::set(std::string_view key, std::string_view text) {
  put(key, gguf_raw(uint32_t(ValueKind::text)) + gguf_text(text));
}
void GgufMetadata::set(std::string_view key, std::span<const std::string> texts) {
  std::string value = gguf_raw(uint32_t(ValueKind::list)) + gguf_raw(uint32_t(ValueKind::text)) +
                      gguf_raw(uint64_t(texts.size()));
  for (const std::string& text : texts) value += gguf_text(text);
  put(key, std::move(value));
}
void GgufMetadata::set(std::string_view key, std::span<const int32_t> numbers) {
  put(key, gguf_list(ValueKind::i32, numbers));
}
void GgufMetadata::set(std::string_view key, std::span<const float> numbers) {
  put(key, gguf_list(ValueKind::f32, numbers));
}
void GgufMetadata::set(std::string_view key, std::span<const uint32_t> numbers) {
  put(key, gguf_list(ValueKind::u32, numbers));
}
void GgufMetadata::set(std::string_view key, const GgufValue& value) {
  std::string bytes = gguf_raw(uint32_t(value.kind));
  if (value.is_list()) bytes += gguf_raw(uint32_t(value.element)) + gguf_raw(value.count);
  put(key, bytes + gguf_raw(value.bytes));
}
void GgufMetadata::erase(std::string_view key) {
  std::erase_if(entries_, [&](const auto& entry) { return entry.first == key; });
}
bool GgufMetadata::contains(std::string_view key) const {
  return std::ranges::any_of(entries_, [&](const auto& entry) { return entry.first == key; });
}
std::string GgufMetadata::bytes() const {
  std::string all;
  for (const auto& [key, value] : entries_) all += gguf_text(key) + value;
  return all;
}

GgufWriter::GgufWriter(std::filesystem::path path, const GgufMetadata& metadata,
                       std::span<const GgufOutput> tensors)
    : out_(path) {
  std::string header = "GGUF" + gguf_raw(uint32_t(3)) + gguf_raw(uint64_t(tensors.size())) +
                       gguf_raw(uint64_t(metadata.size())) + metadata.bytes();
  size_t offset = 0;
  for (const GgufOutput& tensor : tensors) {
    const auto bytes = ggml_bytes(tensor.type, tensor.shape);
    ensure(bytes.has_value(), path.string(), ": tensor ", in_quotes(tensor.name),
           ": its rows are no whole blocks of ", ggml_type_name(tensor.type));
    header += gguf_text(tensor.name) + gguf_raw(uint32_t(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;) header += gguf_raw(uint64_t(tensor.shape[i]));
    header += gguf_raw(tensor.type) + gguf_raw(uint64_t(offset));
    tensors_.push_back({tensor.name, *bytes, *bytes});
    offset += *bytes + gguf_padding(*bytes);
  }
  header.resize(header.size() + gguf_padding(header.size()), '\0');
  out_.write(header);
  pass_complete();
}

void GgufWriter::pass_complete() {
  for (; at_ < tensors_.size() && tensors_[at_].left == 0; ++at_)
    out_.write(std::string(gguf_padding(tensors_[at_].bytes), '\0'));
}

void GgufWriter::write(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  check(at_ < tensors_.size(), "GgufWriter: ", bytes.size(), " bytes after the last tensor");
  Tensor& tensor = tensors_[at_];
  check(bytes.size() <= tensor.left, "GgufWriter: ", bytes.size(), " bytes for ",
        in_quotes(tensor.name), ", of whose ", tensor.bytes, " are ", tensor.left, " left");
  out_.write(bytes);
  tensor.left -= bytes.size();
  pass_complete();
}

void GgufWriter::commit() {
  check(at_ == tensors_.size(), "GgufWriter: ", tensors_.size() - at_, " tensors are not complete");
  out_.commit();
}

}  // namespace hearth
