#include "hearth/io/file_hash.h"

#include <nettle/sha1.h>
#include <nettle/sha2.h>

#include <algorithm>
#include <array>
#include <span>
#include <variant>

#include "hearth/base/error.h"

namespace hearth {

struct FileHash::State {
  std::variant<sha256_ctx, sha1_ctx> context;
};

FileHash::FileHash(std::unique_ptr<State> state) : state_(std::move(state)) {}
FileHash::~FileHash() = default;
FileHash::FileHash(FileHash&&) noexcept = default;
FileHash& FileHash::operator=(FileHash&&) noexcept = default;

FileHash FileHash::sha256() {
  auto state = std::make_unique<State>();
  sha256_init(&state->context.emplace<sha256_ctx>());
  return FileHash(std::move(state));
}

FileHash FileHash::git_blob(uint64_t size) {
  auto state = std::make_unique<State>();
  sha1_init(&state->context.emplace<sha1_ctx>());
  FileHash hash(std::move(state));
  const std::string begin = concat("blob ", size);
  hash.add({begin.c_str(), begin.size() + 1});  // and a zero
  return hash;
}

FileHash FileHash::like(std::string_view digits, uint64_t size) {
  return digits.size() == 2 * SHA256_DIGEST_SIZE ? sha256() : git_blob(size);
}

void FileHash::add(std::string_view bytes) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  if (auto* sha256 = std::get_if<sha256_ctx>(&state_->context))
    sha256_update(sha256, bytes.size(), data);
  else
    sha1_update(&std::get<sha1_ctx>(state_->context), bytes.size(), data);
}

std::string FileHash::digits() {
  std::array<uint8_t, SHA256_DIGEST_SIZE> digest;
  size_t size = SHA256_DIGEST_SIZE;
  if (auto* sha256 = std::get_if<sha256_ctx>(&state_->context)) {
    sha256_digest(sha256, size, digest.data());
  } else {
    size = SHA1_DIGEST_SIZE;
    sha1_digest(&std::get<sha1_ctx>(state_->context), size, digest.data());
  }
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : std::span(digest).first(size))
    text += {kDigits[byte >> 4], kDigits[byte & 15]};
  return text;
}

bool is_hash(std::string_view text) {
  return (text.size() == 2 * SHA1_DIGEST_SIZE || text.size() == 2 * SHA256_DIGEST_SIZE) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace hearth
