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

SafetensorsLoad read_safetensors(const std::filesystem::path& path, std::string_view cut) {
  const std::string file = path.string();
  const auto mapped = MappedFile::open(file);
  SafetensorsHeader header = parse_safetensors_header(mapped->bytes(), file, cut);
  Tensors tensors;
  tensors.reserve(header.tensors.size());
  for (const TensorInfo& tensor : header.tensors)
    tensors.emplace(tensor.name,
                    foreign_array(mapped, mapped->bytes().data() + tensor.offset, tensor.shape,
                                  tensor.dtype, concat(file, ": tensor ", in_quotes(tensor.name))));
  return {std::move(tensors), std::move(header.metadata)};
}

void save_safetensors(std::string file, const Tensors& tensors,
                      const std::unordered_map<std::string, std::string>& metadata) {
  if (!file.ends_with(".safetensors")) file += ".safetensors";
  write_safetensors(file, tensors, metadata);
}

void write_safetensors(const std::filesystem::path& file, const Tensors& tensors,
                       const std::unordered_map<std::string, std::string>& metadata) {
  std::vector<TensorInfo> order;
  Arrays all;
  for (const auto& [name, a] : tensors) {
    order.push_back({name, a.dtype(), {a.shape().begin(), a.shape().end()}, 0, 0});
    all.push_back(a);
  }
  eval(all);
  const std::string header = make_safetensors_header(order, metadata);
  OutputFile out(file);
  out.write(header);
  for (const TensorInfo& tensor : order) {
    const array values = row_major(tensors.at(tensor.name));
    out.write(bytes_of(values));
  }
  out.commit();
}

}  // namespace hearth
