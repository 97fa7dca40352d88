#include "hearth/lab/telemetry/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <utility>

#include "hearth/base/error.h"
#include "hearth/base/trimmed.h"
#include "hearth/io/json.h"

namespace hearth::lab {
namespace {

namespace fs = std::filesystem;

std::string why(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR: return path + " is absent";
    case EACCES:
    case EPERM: return path + " may not be read (" + std::strerror(error) + ")";
    default: return path + " cannot be read (" + std::strerror(error) + ")";
  }
}

// By length, then by letters: cpu2 before cpu10.
bool by_number(const std::string& a, const std::string& b) {
  return std::pair(a.size(), std::string_view(a)) < std::pair(b.size(), std::string_view(b));
}

}  // namespace

Reading<std::string> read_text(const fs::path& root, const std::string& path) {
  using Text = Reading<std::string>;
  constexpr size_t kLongest = 1 << 20;
  const int file = ::open((root / path.substr(1)).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return Text::missing(why(path, errno));
  std::string text;
  char block[4096];
  ssize_t got;
  while ((got = ::read(file, block, sizeof block)) > 0 && text.size() <= kLongest)
    text.append(block, size_t(got));
  const int error = got < 0 ? errno : 0;
  ::close(file);
  if (error != 0) return Text::missing(why(path, error));
  if (text.size() > kLongest) return Text::missing(path + " is too long");
  text = trimmed(text);
  if (text.empty()) return Text::missing(path + " is empty");
  return text;
}

Reading<double> read_number(const fs::path& root, const std::string& path) {
  const auto text = read_text(root, path);
  if (!text.value) return Reading<double>::missing(text.reason);
  const auto number = number_of(*text.value);
  if (!number)
    return Reading<double>::missing(concat(path, " is not a number: ", in_quotes(*text.value)));
  return *number;
}

Reading<std::vector<std::string>> list_names(const fs::path& root, const std::string& path,
                                             std::string_view prefix) {
  using Names = Reading<std::vector<std::string>>;
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(root / path.substr(1), error), end; !error && entry != end;
       entry.increment(error)) {
    std::string name = entry->path().filename();
    if (name.starts_with(prefix) && names.size() < 4096) names.push_back(std::move(name));
  }
  if (error) return Names::missing(why(path, error.value()));
  if (names.empty()) return Names::missing(concat(path, " has no ", prefix, "*"));
  std::ranges::sort(names, by_number);
  return names;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (size_t at = 0; (at = line.find_first_not_of(" \t", at)) != line.npos;) {
    const size_t end = std::min(line.find_first_of(" \t", at), line.size());
    words.push_back(line.substr(at, end - at));
    at = end;
  }
  return words;
}

std::optional<double> number_of(std::string_view text) {
  double value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  constexpr double kMost = 1e20;  // no counter of 64 bits gets there, and sums stay finite
  if (error != std::errc() || end != text.data() + text.size() || !(std::abs(value) <= kMost))
    return std::nullopt;
  return value;
}

Reading<double> Rate::per_second(const Reading<double>& counter, double now) {
  const auto before = std::exchange(counter_, counter.value);
  const auto since = std::exchange(time_, now);
  if (!counter.value) return counter;
  if (!before || !since) return Reading<double>::missing("a rate needs a second sample");
  if (now <= *since) return Reading<double>::missing("no time has passed since the last sample");
  if (*counter.value < *before) return Reading<double>::missing("the counter went back");
  return (*counter.value - *before) / (now - *since);
}

}  // namespace hearth::lab
