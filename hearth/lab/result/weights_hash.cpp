#include "hearth/lab/result/weights_hash.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include "hearth/base/error.h"
#include "hearth/io/file_hash.h"
#include "hearth/io/gguf.h"

namespace hearth::lab {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPiece = 4 << 20;

// The hash of a file, whose bytes `read` gets, piece by piece.
Reading<std::string> sha256(const fs::path& path, const std::function<void(size_t)>& read) {
  using Hash = Reading<std::string>;
  std::ifstream file(path, std::ios::binary);
  if (!file.good())
    return Hash::missing(concat(path.string(), ": cannot be read: ", std::strerror(errno)));
  FileHash hash = FileHash::sha256();
  std::vector<char> piece(kPiece);
  while (file.good()) {
    file.read(piece.data(), std::streamsize(piece.size()));
    const auto n = size_t(file.gcount());
    hash.add({piece.data(), n});
    read(n);
  }
  if (!file.eof()) return Hash::missing(concat(path.string(), ": cannot be read to its end"));
  return hash.digits();
}

}  // namespace

Reading<std::string> weights_sha256(const fs::path& folder,
                                    const std::function<void(double)>& progress) {
  using Hashes = Reading<std::string>;
  std::vector<fs::path> files;
  uintmax_t all = 0, done = 0;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  try {
    if (files.empty())
      if (const auto gguf = find_gguf(folder)) files = gguf_parts(*gguf);
  } catch (const std::runtime_error& error) {
    return Hashes::missing(error.what());
  }
  if (files.empty())
    return Hashes::missing(concat(folder.string(), " has no .safetensors, and no GGUF file"));
  for (const fs::path& file : files) all += fs::file_size(file, none);
  std::ranges::sort(files);
  std::string text;
  for (const fs::path& file : files) {
    if (files.size() > 1) text += concat(text.empty() ? "" : ", ", file.filename().string(), " ");
    const auto hash = sha256(file, [&](size_t n) {
      done += n;
      if (progress) progress(double(done) / double(std::max<uintmax_t>(all, 1)));
    });
    if (!hash.value) return hash;
    text += *hash.value;
  }
  return text;
}

}  // namespace hearth::lab
