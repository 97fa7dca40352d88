// The tensors of a GGUF file as arrays.
#pragma once
#include <string_view>
#include <vector>

#include "hearth/core/dtype.h"
#include "hearth/io/gguf.h"
#include "hearth/ops/matrix.h"

namespace hearth::llm {

/// A tensor where the file is mapped; rows of blocks are bytes. Throws std::runtime_error for a
/// type that hearth cannot read.
fast::Matrix gguf_matrix(const Gguf& file, const GgufTensor& tensor);

/// Where an architecture has one added to the weights of norms: is this one of them?
bool gguf_adds_one(std::string_view name);

/// What a model of the file computes in: what most of its weights are, or bfloat16 where they are
/// packed.
Dtype gguf_dtype(const Gguf& file);

/// The values of a tensor of at most some thousand elements, which belongs to the configuration;
/// empty where there is no such.
std::vector<double> small_values(const Gguf& file, std::string_view tensor);

}  // namespace hearth::llm
