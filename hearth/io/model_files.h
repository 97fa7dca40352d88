// What a path holds of a model, opened once: a folder, or a GGUF file.
#pragma once
#include <concepts>
#include <filesystem>
#include <memory>
#include <mutex>

#include "hearth/io/gguf.h"

namespace hearth {

/// A value: copies share what was opened. Whoever loads a model, its tokenizer and its template
/// passes the same one to all of them, so that a long header is read once.
class ModelFiles {
 public:
  template <class Path>
  requires std::convertible_to<const Path&, std::filesystem::path> ModelFiles(const Path& path)
      : opened_(std::make_shared<Opened>(path)) {}

  const std::filesystem::path& path() const { return opened_->path; }
  /// The GGUF file that the path is, or that the folder has in the place of safetensors; null where
  /// there is none. Opened when first asked for; throws std::runtime_error for what is damaged, and
  /// where a folder has more than one model.
  const std::shared_ptr<const Gguf>& gguf() const;

 private:
  struct Opened {
    explicit Opened(std::filesystem::path p) : path(std::move(p)) {}
    const std::filesystem::path path;
    std::mutex mutex;
    bool looked = false;
    std::shared_ptr<const Gguf> gguf;
  };
  std::shared_ptr<Opened> opened_;
};

}  // namespace hearth
