// A model to a GGUF file: what there is in a file or a folder, in the types of a mixture.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "hearth/io/gguf_writer.h"
#include "hearth/llm/gguf/mixture.h"
#include "hearth/llm/importance.h"
#include "hearth/ops/matrix.h"

namespace hearth::llm {

/// What a GGUF file will say and hold, as llama.cpp's converter has it.
struct GgufModel {
  struct Tensor {
    std::string name;
    fast::Matrix values;
    uint32_t type;  // ggml's, that they get where a mixture leaves them alone
  };
  std::string where;  // begins errors
  GgufMetadata metadata;
  std::vector<Tensor> tensors;
  MixedModel facts;
};

/// Of a file of any architecture. Throws for tensors of types that hearth cannot read.
GgufModel gguf_model(const Gguf& file);
/// Of a folder as Hugging Face has it. Throws std::runtime_error naming the architecture that
/// hearth cannot write, or the tensor that has no place in such a file.
GgufModel gguf_model(const std::filesystem::path& folder);
/// Whichever the path is.
GgufModel read_gguf_model(const std::filesystem::path& path);

struct Written {
  size_t weights = 0, bytes_before = 0, bytes = 0;  // of the tensors
  std::map<std::string, size_t> types;              // how many tensors are of which
  size_t without_importance = 0;                    // packed matrices that it says nothing of
};

/// Packs and writes one tensor after the other, some of its rows at a time. `progress(done, all)`,
/// in bytes read, ends it with false: then nothing is written, and the result is empty. Throws
/// std::runtime_error naming a tensor with weights that are not finite, or beyond half precision
/// where scales are in it.
Written write_gguf(const std::filesystem::path& to, GgufModel model, const GgufMixture& mixture,
                   const Importance* importance = nullptr,
                   const std::function<bool(size_t done, size_t all)>& progress = {});

}  // namespace hearth::llm
