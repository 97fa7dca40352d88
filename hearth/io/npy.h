// Arrays in NumPy's files: .npy holds one, .npz several by name.
#pragma once
#include <filesystem>
#include <string>

#include "hearth/core/tensors.h"
#include "hearth/io/reader.h"

namespace hearth {

/// The array of a .npy file, mapped without a copy unless it was written by a big-endian machine.
/// Throws std::runtime_error naming the file and its fault, also for types hearth lacks.
array load(const std::string& file, StreamOrDevice s = {});
/// Evaluates and writes it row-major, with ".npy" added to a name that lacks it; the file appears
/// whole or not at all. NumPy has no bfloat16: throws std::invalid_argument.
void save(std::string file, const array& a);
/// The same, to a file of exactly this name.
void write_npy(const std::filesystem::path& file, const array& a);

/// The same from a reader, from where it stands to its end, and to a writer.
array load(std::shared_ptr<io::Reader> in_stream, StreamOrDevice s = {});
void save(std::shared_ptr<io::Writer> out_stream, array a);

/// The arrays of a .npz file by name, stored or deflated, read into memory.
Tensors load_npz(const std::string& file, StreamOrDevice s = {});
/// As save, with ".npz"; deflated if `compressed`. The same arrays give the same bytes.
void save_npz(std::string file, const Tensors& arrays, bool compressed = false);

}  // namespace hearth
