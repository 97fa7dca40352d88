#include "hearth/llm/importance.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "hearth/base/error.h"
#include "hearth/io/gguf.h"
#include "hearth/io/gguf_writer.h"
#include "hearth/io/json.h"
#include "hearth/io/mapped_file.h"

namespace hearth::llm {

namespace {

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";

std::vector<float> floats_of(const Gguf& file, const GgufTensor& tensor) {
  ensure(tensor.type == 0, file.name(), ": tensor ", in_quotes(tensor.name), ": is ",
         ggml_type_name(tensor.type), ", wanted F32");
  std::vector<float> values(tensor.bytes / sizeof(float));
  std::memcpy(values.data(), file.bytes(tensor).data(), tensor.bytes);
  return values;
}

void check_columns(const std::string& where, const std::string& name,
                   const Importance::Columns& columns) {
  const auto& [sums, counts] = columns;
  const auto good = [](float v) { return std::isfinite(v) && v >= 0; };
  ensure(!sums.empty() && !counts.empty() && sums.size() % counts.size() == 0, where, ": ", name,
         ": ", sums.size(), " sums and ", counts.size(), " counts, wanted as many for each count");
  for (const float v : sums)
    if (!good(v)) ensure(false, where, ": ", name, ": a sum of squares is ", v);
  for (const float v : counts)
    if (!good(v)) ensure(false, where, ": ", name, ": a count is ", v);
}

Importance importance_of_gguf(const Gguf& file) {
  Importance all;
  ensure(file.text("general.type").value_or("imatrix") == "imatrix", file.name(),
         ": a GGUF file of another kind (", *file.text("general.type"),
         "), wanted an importance matrix");
  for (const std::string_view text : file.texts("imatrix.datasets")) all.texts.emplace_back(text);
  const auto number = [&](const char* key) {
    return uint32_t(std::clamp<int64_t>(file.integer(key).value_or(0), 0, UINT32_MAX));
  };
  all.chunks = number("imatrix.chunk_count"), all.chunk_tokens = number("imatrix.chunk_size");
  for (const GgufTensor& tensor : file.tensors()) {
    const bool sums = tensor.name.ends_with(kSums), counts = tensor.name.ends_with(kCounts);
    ensure(sums || counts, file.name(), ": tensor ", in_quotes(tensor.name),
           ": wanted names that end in ", kSums, " and ", kCounts, ": is it an importance matrix?");
    const std::string name(
        tensor.name.substr(0, tensor.name.size() - (sums ? kSums : kCounts).size()));
    (sums ? all.tensors[name].sums : all.tensors[name].counts) = floats_of(file, tensor);
  }
  return all;
}

/// The form before GGUF: numbers and names one after the other.
class OldReader {
 public:
  OldReader(std::span<const std::byte> bytes, std::string where)
      : bytes_(bytes), where_(std::move(where)) {}
  bool at_end() const { return bytes_.empty(); }
  std::span<const std::byte> take(int64_t n, const char* what) {
    ensure(n >= 0 && size_t(n) <= bytes_.size(), where_, ": ", what, " needs ", n, " bytes, but ",
           bytes_.size(), " follow: no importance matrix, or cut short");
    const auto taken = bytes_.first(size_t(n));
    bytes_ = bytes_.subspan(size_t(n));
    return taken;
  }
  int32_t number(const char* what) {
    int32_t value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }
  std::string text(const char* what) {
    const auto bytes = take(number(what), what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

 private:
  std::span<const std::byte> bytes_;
  std::string where_;
};

Importance importance_of_old(std::span<const std::byte> bytes, const std::string& where) {
  Importance all;
  OldReader in(bytes, where);
  const int32_t entries = in.number("the number of entries");
  ensure(entries > 0, where, ": no importance matrix: it begins with ", entries, " entries");
  for (int32_t i = 0; i < entries; ++i) {
    const std::string name = in.text("the name of an entry");
    const int32_t calls = in.number("the number of calls");
    const int64_t values = in.number("the number of values");
    const auto data = in.take(values * int64_t(sizeof(float)), "the values of an entry");
    std::vector<float> sums(size_t(values), 0.0f);
    if (values > 0) std::memcpy(sums.data(), data.data(), data.size());
    // They are means times the number of calls.
    all.tensors[name] = {std::move(sums), {float(std::max(calls, 1))}};
  }
  if (!in.at_end()) all.chunks = uint32_t(std::max(0, in.number("the number of chunks")));
  if (!in.at_end()) all.texts.push_back(in.text("the name of the text"));
  return all;
}

}  // namespace

std::vector<float> Importance::Columns::means() const {
  std::vector<float> all(sums.size(), 1.0f);
  const size_t in = sums.size() / counts.size();
  for (size_t i = 0; i < all.size(); ++i)
    if (counts[i / in] > 0) all[i] = sums[i] / counts[i / in];
  return all;
}

Importance read_importance(const std::filesystem::path& path) {
  const std::string where = path.string();
  const auto mapped = MappedFile::open(path);
  const auto bytes = mapped->bytes();
  const bool gguf = bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0;
  Importance all =
      gguf ? importance_of_gguf(Gguf::of_bytes(bytes, where)) : importance_of_old(bytes, where);
  ensure(!all.tensors.empty(), where, ": an importance matrix without entries");
  for (const auto& [name, columns] : all.tensors) check_columns(where, name, columns);
  all.file = where;
  return all;
}

void write_importance(const std::filesystem::path& path, const Importance& importance) {
  GgufMetadata metadata;
  metadata.set("general.type", "imatrix");
  metadata.set("imatrix.datasets", importance.texts);
  metadata.set("imatrix.chunk_count", importance.chunks);
  metadata.set("imatrix.chunk_size", importance.chunk_tokens);
  std::vector<GgufOutput> outputs;
  for (const auto& [name, columns] : importance.tensors) {
    const auto experts = int64_t(columns.counts.size());
    const auto in = int64_t(columns.sums.size()) / experts;
    outputs.push_back({name + std::string(kSums), {experts, in}, 0});
    outputs.push_back({name + std::string(kCounts), {experts, 1}, 0});
  }
  GgufWriter out(path, metadata, outputs);
  for (const auto& [name, columns] : importance.tensors) {
    out.write(std::as_bytes(std::span(columns.sums)));
    out.write(std::as_bytes(std::span(columns.counts)));
  }
  out.commit();
}

}  // namespace hearth::llm
