// Small files of the system, read whole, with the reason where they cannot be.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/lab/measure/reading.h"

namespace hearth::lab {

/// The file's text without blanks at its ends. Missing: "PATH is absent", "PATH may not be read",
/// "PATH is empty" or "PATH is too long" (above 1 MiB). `path` is as seen from the root.
Reading<std::string> read_text(const std::filesystem::path& root, const std::string& path);

/// A file that holds one whole number, also a negative one; missing also for other content.
Reading<double> read_number(const std::filesystem::path& root, const std::string& path);

/// Names within a folder that start with `prefix`, the numbers in them in their order; at most
/// 4096. Missing as above, and "PATH has no PREFIX*" if there is none.
Reading<std::vector<std::string>> list_names(const std::filesystem::path& root,
                                             const std::string& path, std::string_view prefix);

/// The words of a line, between blanks.
std::vector<std::string_view> words_of(std::string_view line);

/// The whole of `text` as a number; nothing for other text, NaN, infinities, and what is above
/// 1e20.
std::optional<double> number_of(std::string_view text);

/// The rate of a counter over time; missing at the first call, if no time has passed, and if the
/// counter went back.
class Rate {
 public:
  Reading<double> per_second(const Reading<double>& counter, double now);

 private:
  std::optional<double> counter_, time_;
};

}  // namespace hearth::lab
