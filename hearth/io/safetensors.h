// Tensors by name in a file: the format of Hugging Face's checkpoints.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "hearth/core/tensors.h"
#include "hearth/io/reader.h"

namespace hearth {

using SafetensorsLoad = std::pair<Tensors, std::unordered_map<std::string, std::string>>;

/// The tensors and the metadata of a file. Nothing is read but the header: the arrays stand where
/// the file is mapped, at whatever alignment it gives them, and keep it mapped; the stream is for
/// MLX's signature. Throws std::runtime_error naming the file and the tensor.
SafetensorsLoad load_safetensors(const std::string& file, StreamOrDevice s = {});
/// The same from a reader, from where it stands to its end, and to a writer.
SafetensorsLoad load_safetensors(std::shared_ptr<io::Reader> in_stream, StreamOrDevice s = {});
void save_safetensors(std::shared_ptr<io::Writer> out_stream, Tensors tensors,
                      std::unordered_map<std::string, std::string> metadata = {});
/// The same, where the file was not fetched: the error for one that is `cut` short says what to do.
SafetensorsLoad read_safetensors(const std::filesystem::path& file, std::string_view cut);

/// Evaluates the arrays and writes them row-major, with ".safetensors" added to a name that lacks
/// it. The file appears whole or not at all; arrays mapped from the one it replaces stay valid.
void save_safetensors(std::string file, const Tensors& tensors,
                      const std::unordered_map<std::string, std::string>& metadata = {});
/// The same, to a file of exactly this name.
void write_safetensors(const std::filesystem::path& file, const Tensors& tensors,
                       const std::unordered_map<std::string, std::string>& metadata);

}  // namespace hearth
