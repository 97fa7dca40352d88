#include "hearth/io/safetensors.h"

#include "hearth/core/eval.h"
#include "hearth/io/foreign.h"
#include "hearth/io/json.h"
#include "hearth/io/mapped_file.h"
#include "hearth/io/output_file.h"
#include "hearth/io/safetensors_header.h"

namespace hearth {

SafetensorsLoad load_safetensors(const std::string& file, StreamOrDevice s) {
  StreamScope scope(s);
  return read_safetensors(file, "fetch it again");
}

// Of a whole file in memory that `keeper` holds.
static SafetensorsLoad tensors_of(const std::shared_ptr<const void>& keeper,
                                  std::span<const std::byte> bytes, const std::string& file,
                                  std::string_view cut) {
  SafetensorsHeader header = parse_safetensors_header(bytes, file, cut);
  Tensors tensors;
  tensors.reserve(header.tensors.size());
  for (const TensorInfo& tensor : header.tensors)
    tensors.emplace(tensor.name,
                    foreign_array(keeper, bytes.data() + tensor.offset, tensor.shape, tensor.dtype,
                                  concat(file, ": tensor ", in_quotes(tensor.name))));
  return {std::move(tensors), std::move(header.metadata)};
}

SafetensorsLoad read_safetensors(const std::filesystem::path& path, std::string_view cut) {
  const auto mapped = MappedFile::open(path);
  return tensors_of(mapped, mapped->bytes(), path.string(), cut);
}
SafetensorsLoad load_safetensors(std::shared_ptr<io::Reader> in_stream, StreamOrDevice s) {
  StreamScope scope(s);
  check(in_stream != nullptr, "load_safetensors: the reader is null");
  const io::Bytes all = io::rest_of(*in_stream);
  return tensors_of(all.keeper, all.bytes, in_stream->label(), "write it again");
}

void save_safetensors(std::string file, const Tensors& tensors,
                      const std::unordered_map<std::string, std::string>& metadata) {
  if (!file.ends_with(".safetensors")) file += ".safetensors";
  write_safetensors(file, tensors, metadata);
}

// Header and values, in order, to `write`.
template <class Write>
static void write_tensors(const Tensors& tensors,
                          const std::unordered_map<std::string, std::string>& metadata,
                          Write&& write) {
  std::vector<TensorInfo> order;
  Arrays all;
  for (const auto& [name, a] : tensors) {
    order.push_back({name, a.dtype(), {a.shape().begin(), a.shape().end()}, 0, 0});
    all.push_back(a);
  }
  eval(all);
  const std::string header = make_safetensors_header(order, metadata);
  write(std::as_bytes(std::span(header)));
  for (const TensorInfo& tensor : order) {
    const array values = row_major(tensors.at(tensor.name));
    write(bytes_of(values));
  }
}

void write_safetensors(const std::filesystem::path& file, const Tensors& tensors,
                       const std::unordered_map<std::string, std::string>& metadata) {
  OutputFile out(file);
  write_tensors(tensors, metadata, [&](std::span<const std::byte> bytes) { out.write(bytes); });
  out.commit();
}
void save_safetensors(std::shared_ptr<io::Writer> out_stream, Tensors tensors,
                      std::unordered_map<std::string, std::string> metadata) {
  check(out_stream != nullptr, "save_safetensors: the writer is null");
  out_stream->open();
  write_tensors(tensors, metadata,
                [&](std::span<const std::byte> bytes) { io::write(*out_stream, bytes); });
}

}  // namespace hearth
