// What a file or a folder is that is not what its reader wanted, told from its content: a Git LFS
// pointer, a web page, a GGUF file. Only for errors: nothing is opened by what is found here.
#pragma once
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace hearth {

struct FileKind {
  std::string is;     // "a GGUF file (version 3) of a llama model, as llama.cpp and Ollama use it"
  std::string next;   // what to do, a sentence without its full stop; may be empty
  bool text = false;  // some text or JSON: what a reader of text may have wanted
};

/// The kind of a file by its first bytes (a few thousand suffice; `size`: of the whole file).
/// Nothing where they say nothing.
std::optional<FileKind> recognize_bytes(std::span<const std::byte> begin, size_t size);
/// The same of a file that may be missing, empty or unreadable: then nothing.
std::optional<FileKind> recognize_file(const std::filesystem::path& file);

/// Throws std::runtime_error where the bytes are of a kind that is known and none of the wanted
/// one: "model.safetensors is a Git LFS pointer (a text file of 133 bytes), not the weights. Fetch
/// them: git lfs pull". A reader of text wants `text`: text of any other kind is then let through.
void refuse_foreign(std::span<const std::byte> file, std::string_view name, std::string_view wanted,
                    bool text = false);

/// One sentence or two about a folder that has no config.json: a tokenizer, a LoRA adapter, a
/// folder of GGUF files, Ollama's store, the Hub cache's outer folder, ...
std::string folder_without_config(const std::filesystem::path& folder);

/// What a folder holds in the place of safetensors weights: "pytorch_model.bin is there, a PyTorch
/// file ...". Empty where it holds nothing of the kind.
std::string weights_of_another_kind(const std::filesystem::path& folder);

/// "; fetch them: hearth pull OWNER/MODEL@COMMIT" for a folder in the Hub's cache, else empty.
std::string how_to_fetch(const std::filesystem::path& folder);

}  // namespace hearth
