#include "hearth/io/model_files.h"

namespace hearth {

const std::shared_ptr<const Gguf>& ModelFiles::gguf() const {
  // Not call_once: what throws there leaves a waiter waiting under the thread sanitizer.
  std::lock_guard lock(opened_->mutex);
  if (!opened_->looked) {
    if (const auto file = find_gguf(opened_->path))
      opened_->gguf = std::make_shared<const Gguf>(Gguf::open(*file));
    opened_->looked = true;
  }
  return opened_->gguf;
}

}  // namespace hearth
