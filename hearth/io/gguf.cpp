#include "hearth/io/gguf.h"

#include <algorithm>
#include <charconv>
#include <fstream>

#include "hearth/base/error.h"
#include "hearth/base/listed.h"
#include "hearth/io/json.h"
#include "hearth/io/lower.h"
#include "hearth/io/mapped_file.h"

namespace hearth {

namespace fs = std::filesystem;

namespace {

/// "model-00002-of-00003.gguf": what stands before the numbers, and these.
struct SplitName {
  std::string prefix;
  int number, of;
};

std::optional<SplitName> split_name(std::string_view file) {
  constexpr std::string_view kEnd = "-00001-of-00001.gguf";
  if (file.size() <= kEnd.size()) return {};
  const std::string_view end = file.substr(file.size() - kEnd.size());
  if (end[0] != '-' || end.substr(6, 4) != "-of-" || !end.ends_with(".gguf")) return {};
  const auto number_at = [&](size_t at) {
    int number = 0;
    const auto [stop, error] = std::from_chars(end.data() + at, end.data() + at + 5, number);
    return error == std::errc{} && stop == end.data() + at + 5 ? number : 0;
  };
  SplitName name{std::string(file.substr(0, file.size() - kEnd.size())), number_at(1),
                 number_at(10)};
  if (name.number < 1 || name.number > name.of) return {};
  return name;
}

std::string part_name(const SplitName& name, int number) {
  const auto five = [](int n) {
    const std::string digits = std::to_string(n);
    return std::string(5 - digits.size(), '0') + digits;
  };
  return concat(name.prefix, "-", five(number), "-of-", five(name.of), ".gguf");
}

bool begins_as_gguf(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  char magic[4] = {};
  return in.read(magic, 4) && std::string_view(magic, 4) == "GGUF";
}

}  // namespace

std::vector<fs::path> gguf_parts(const fs::path& path) {
  const auto name = split_name(path.filename().string());
  if (!name || name->of == 1) return {path};
  std::vector<fs::path> parts;
  std::vector<std::string> missing;
  for (int i = 1; i <= name->of; ++i) {
    parts.push_back(path.parent_path() / part_name(*name, i));
    std::error_code none;
    if (!fs::exists(parts.back(), none)) missing.push_back(in_quotes(part_name(*name, i)));
  }
  ensure(missing.empty(), path.string(), ": ", missing.size(), " of the model's ", parts.size(),
         " files ", missing.size() == 1 ? "is" : "are", " missing: ", listed(missing, ", ", 5));
  return parts;
}

void Gguf::add(std::span<const std::byte> file, std::shared_ptr<const void> keeper,
               const std::string& name, size_t parts) {
  const size_t number = files_.size();
  files_.push_back(file);
  keepers_.push_back(std::move(keeper));
  GgufHeader header = parse_gguf(file, name);
  const auto said = [&](std::string_view key, int64_t otherwise) {
    const auto found = header.metadata.find(key);
    return found == header.metadata.end() ? otherwise : found->second.integer().value_or(-1);
  };
  const int64_t count = said("split.count", 1), place = said("split.no", -1);
  ensure(count <= 1 || parts > 1, name, ": part ", place + 1, " of a model in ", count,
         " files, which are found by their names: wanted one that ends in -00001-of-0000N.gguf");
  ensure(parts == 1 || (count == int64_t(parts) && place == int64_t(number)), name,
         ": by its name it is part ", number + 1, " of ", parts, ", by its content part ",
         place + 1, " of ", count);
  for (GgufTensor& tensor : header.tensors) {
    if (!places_.emplace(tensor.name, tensors_.size()).second)
      ensure(false, name, ": the tensor ", in_quotes(tensor.name), " is in another part too");
    tensor.file = number;
    tensors_.push_back(std::move(tensor));
  }
  if (number == 0) metadata_ = std::move(header.metadata);
}

Gguf Gguf::of_bytes(std::span<const std::byte> file, std::string_view name) {
  Gguf one;
  one.name_ = name;
  one.add(file, nullptr, one.name_, 1);
  return one;
}

Gguf Gguf::open(const fs::path& path) {
  Gguf all;
  all.name_ = path.string();
  const auto parts = gguf_parts(path);
  for (const fs::path& part : parts) {
    const auto mapped = MappedFile::open(part);
    all.add(mapped->bytes(), mapped, part.string(), parts.size());
  }
  const auto wanted = all.integer("split.tensors.count");
  ensure(parts.size() == 1 || !wanted || *wanted == int64_t(all.tensors_.size()), all.name_,
         ": its parts have ", all.tensors_.size(), " tensors, the first says ", wanted.value_or(0));
  return all;
}

const GgufValue* Gguf::find(std::string_view key) const {
  const auto found = metadata_.find(key);
  return found == metadata_.end() ? nullptr : &found->second;
}

const GgufTensor* Gguf::find_tensor(std::string_view name) const {
  const auto found = places_.find(name);
  return found == places_.end() ? nullptr : &tensors_[found->second];
}

std::span<const std::byte> Gguf::bytes(const GgufTensor& tensor) const {
  return files_[tensor.file].subspan(tensor.offset, tensor.bytes);
}

const std::shared_ptr<const void>& Gguf::keeper(const GgufTensor& tensor) const {
  return keepers_[tensor.file];
}

namespace {

template <class T>
std::optional<T> wanted(const Gguf& gguf, std::string_view key, const char* what,
                        std::optional<T> (GgufValue::*read)() const) {
  const GgufValue* value = gguf.find(key);
  if (!value) return std::nullopt;
  const auto got = (value->*read)();
  ensure(got.has_value(), gguf.name(), ": ", key, ": wanted ", what, ", got ",
         value->is_list()                    ? "a list"
         : value->kind == GgufValue::text    ? "a text"
         : value->kind == GgufValue::boolean ? "a bool"
                                             : "another number");
  return got;
}

}  // namespace

std::optional<int64_t> Gguf::integer(std::string_view key) const {
  return wanted(*this, key, "an integer", &GgufValue::integer);
}
std::optional<double> Gguf::number(std::string_view key) const {
  return wanted(*this, key, "a number", &GgufValue::number);
}
std::optional<bool> Gguf::flag(std::string_view key) const {
  const auto number = wanted(*this, key, "true or false", &GgufValue::integer);
  return number ? std::optional(*number != 0) : std::nullopt;
}
std::optional<std::string_view> Gguf::text(std::string_view key) const {
  return wanted(*this, key, "a text", &GgufValue::string);
}
std::vector<double> Gguf::numbers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  ensure(value->element != GgufValue::text, name_, ": ", key, ": wanted numbers, got texts");
  return value->numbers();
}
std::vector<std::string_view> Gguf::texts(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return {};
  ensure(value->element == GgufValue::text, name_, ": ", key, ": wanted texts, got numbers");
  if (!value->is_list()) return {*value->string()};
  return value->strings();
}

namespace {

/// Whether the text has the word, with no letter, digit or "_" on either side.
bool has_word(std::string_view text, std::string_view word) {
  const auto inside = [&](size_t at) {
    return at < text.size() &&
           (std::isalnum(static_cast<unsigned char>(text[at])) || text[at] == '_');
  };
  for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1))
    if ((at == 0 || !inside(at - 1)) && !inside(at + word.size())) return true;
  return false;
}

}  // namespace

std::vector<std::string> gguf_files_of_type(const std::vector<std::string>& names,
                                            std::string_view type, std::string_view who) {
  std::map<std::string, std::vector<std::string>> models;  // by what their parts share
  for (const std::string& name : names) {
    const std::string small = lower(name), file = small.substr(small.rfind('/') + 1);
    if (!file.ends_with(".gguf") || file.starts_with("mmproj") || file.starts_with("imatrix"))
      continue;
    const auto split = split_name(name);
    models[split ? split->prefix : name.substr(0, name.size() - 5)].push_back(name);
  }
  std::vector<std::string> there, found;
  for (auto& [stem, files] : models) {
    there.push_back(stem);
    if (has_word(lower(stem), lower(type))) found.push_back(stem);
  }
  ensure(!there.empty(), who, ": has no GGUF file");
  ensure(!found.empty(), who, ": has no GGUF file of type ", in_quotes(type),
         "; there are: ", listed(there, ", ", 20));
  ensure(found.size() == 1, who, ": has ", found.size(), " GGUF files of type ", in_quotes(type),
         ": ", listed(found, ", ", 8), "; name more of the one you want");
  std::vector<std::string> files = models[found[0]];
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<fs::path> gguf_models_in(const fs::path& folder) {
  std::vector<fs::path> models;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    const std::string file = entry.path().filename().string();
    const auto split = split_name(file);
    // What else a repository has for a model that sees: mmproj-*.gguf.
    if (file.ends_with(".gguf") && (!split || split->number == 1) && !file.starts_with("mmproj"))
      models.push_back(entry.path());
  }
  std::sort(models.begin(), models.end());
  return models;
}

std::optional<fs::path> find_gguf(const fs::path& path) {
  std::error_code none;
  if (!fs::is_directory(path, none)) {
    if (fs::is_regular_file(path, none) && begins_as_gguf(path)) return path;
    return std::nullopt;
  }
  const std::vector<fs::path> models = gguf_models_in(path);
  if (models.empty()) return std::nullopt;
  for (const auto& entry : fs::directory_iterator(path, none))
    if (entry.path().extension() == ".safetensors") return std::nullopt;
  std::vector<std::string> names;
  for (const fs::path& model : models) names.push_back(model.filename().string());
  ensure(models.size() == 1, path.string(), ": has ", models.size(),
         " GGUF files: ", listed(names, ", ", 8), "; name the one to use, such as ",
         models[0].string());
  return models[0];
}

}  // namespace hearth
