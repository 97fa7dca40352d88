// A GGUF file as a model: what a folder of Hugging Face's would have given, told from its metadata
// and tensors. gguf/architectures.cpp is the table of what each architecture calls things.
#pragma once
#include <string>
#include <vector>

#include "hearth/io/gguf.h"
#include "hearth/io/json.h"
#include "hearth/ops/matrix.h"

namespace hearth::llm {

/// general.architecture of the files that hearth runs.
std::vector<std::string> known_gguf_architectures();

/// What config.json would say. Throws std::runtime_error naming the file, and the architecture with
/// those that are known, or the key that is missing or wrong.
JsonObject gguf_config(const Gguf& file);

/// The tensors by Hugging Face's names, or by names that the model's rewrites leave as they are.
/// What the converter changed is undone. Weights stay packed, where the file is mapped. Without
/// `values` they stand for their shapes. Throws std::runtime_error naming a tensor of a type that
/// hearth cannot read.
fast::Matrices gguf_tensors(const Gguf& file, bool values = true);

/// What the file calls a tensor of gguf_tensors().
std::string gguf_name_of(const Gguf& file, const std::string& name);

/// "Q4_K 181, Q6_K 37, F32 61 tensors; 4.9 bits a weight".
std::string gguf_mix(const Gguf& file);

/// The ids that end an answer: eos, eot, eom, and the tokens that are known to by their names.
std::vector<int> gguf_stop_ids(const Gguf& file);

}  // namespace hearth::llm
