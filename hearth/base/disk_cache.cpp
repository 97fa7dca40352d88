#include "hearth/base/disk_cache.h"

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace hearth {

namespace {

namespace fs = std::filesystem;

constexpr size_t kDigits = 16;  // of a hash

// FNV-1a, as 16 digits.
std::string hash(std::string_view text, uint64_t h = 0xcbf29ce484222325u) {
  for (char c : text) h = (h ^ uint8_t(c)) * 0x100000001b3u;
  std::string digits(kDigits, '0');
  for (size_t i = kDigits; i-- > 0; h >>= 4) digits[i] = "0123456789abcdef"[h & 15];
  return digits;
}

fs::path file_of(const fs::path& folder, std::string_view key, std::string_view suffix) {
  return folder / (hash(key) + hash(key, 0x9e3779b97f4a7c15u) + std::string(suffix));
}

constexpr std::string_view kMapSuffix = ".map";

void append_size(std::string& to, size_t n) {
  for (int shift = 0; shift < 32; shift += 8) to += char(uint8_t(n >> shift));
}

// The next size and bytes of `text`, which loses them; nothing when it ends before.
std::optional<std::string> take(std::string_view& text) {
  if (text.size() < 4) return {};
  size_t n = 0;
  for (int i = 0; i < 4; ++i) n |= size_t(uint8_t(text[size_t(i)])) << 8 * i;
  text.remove_prefix(4);
  if (text.size() < n) return {};
  std::string out(text.substr(0, n));
  text.remove_prefix(n);
  return out;
}

}  // namespace

fs::path cache_folder() {
  if (const char* base = std::getenv("XDG_CACHE_HOME"); base && *base == '/')
    return fs::path(base) / "hearth";
  if (const char* home = std::getenv("HOME"); home && *home == '/')
    return fs::path(home) / ".cache" / "hearth";
  return {};
}

// A file is the hash of the content and the content.
std::optional<std::string> read_cache(std::string_view key, std::string_view suffix) {
  const fs::path folder = cache_folder();
  if (folder.empty()) return {};
  std::ifstream in(file_of(folder, key, suffix), std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(in), {}};
  if (all.size() < kDigits) return {};
  std::string content = all.substr(kDigits);
  if (all.compare(0, kDigits, hash(content)) != 0) return {};
  return content;
}

// Written aside and renamed: nobody sees a half.
void write_cache(std::string_view key, std::string_view suffix, std::string_view content) {
  const fs::path folder = cache_folder();
  if (folder.empty()) return;
  static std::atomic<int> count{0};
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) return;
  const fs::path file = file_of(folder, key, suffix);
  const fs::path part =
      file.string() + "." + std::to_string(getpid()) + "." + std::to_string(count++);
  bool written = false;
  {
    std::ofstream out(part, std::ios::binary);
    out << hash(content) << content;
    out.close();
    written = bool(out);
  }
  if (written) fs::rename(part, file, failed);
  if (!written || failed) fs::remove(part, failed);
}

void CachedMap::read() {
  const auto content = read_cache(key_, kMapSuffix);
  if (!content) return;
  for (std::string_view rest = *content; !rest.empty();) {
    auto name = take(rest), value = take(rest);
    if (!name || !value) return;
    values_.emplace(std::move(*name), std::move(*value));  // what this process put comes first
  }
}

std::optional<std::string> CachedMap::find(const std::string& name) {
  if (!known_) read();
  known_ = true;
  const auto found = values_.find(name);
  return found == values_.end() ? std::nullopt : std::optional(found->second);
}

void CachedMap::put(const std::string& name, const std::string& value) {
  read();  // what another process added meanwhile
  known_ = true;
  if (values_.size() >= most_) values_.clear();
  values_[name] = value;
  std::string content;
  for (const auto& [n, v] : values_)
    for (const std::string& s : {n, v}) append_size(content, s.size()), content += s;
  write_cache(key_, kMapSuffix, content);
}

}  // namespace hearth
