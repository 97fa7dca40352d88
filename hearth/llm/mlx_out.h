// A folder of Hugging Face's with its matrices in MLX's packed forms, as mlx-lm writes it.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hearth/ops/packing.h"

namespace hearth::llm {

/// "mlx-4bit", "mlx-mxfp4", ...
std::vector<std::string> mlx_forms();
std::optional<Packing> find_mlx_form(std::string_view name);

struct MlxWritten {
  size_t weights = 0, bytes_before = 0, bytes = 0;
  std::map<std::string, size_t> types;  // how many tensors are of which
};

/// Matrices of linear layers and embeddings whose rows are whole groups are packed, all else stays.
/// `to` is a folder that is not there, or empty; one that could not be finished is taken away
/// again, as it is where `progress(done, all)`, in bytes read, says false.
MlxWritten write_mlx(const std::filesystem::path& to, const std::filesystem::path& from,
                     Packing packing,
                     const std::function<bool(size_t done, size_t all)>& progress = {});

}  // namespace hearth::llm
