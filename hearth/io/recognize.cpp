#include "hearth/io/recognize.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <vector>

#include "hearth/base/error.h"
#include "hearth/base/listed.h"
#include "hearth/io/hub.h"
#include "hearth/io/json.h"
#include "hearth/io/lower.h"

namespace hearth {

namespace fs = std::filesystem;

namespace {

constexpr size_t kLooked = 4096;  // bytes of a file's beginning

constexpr std::string_view kOnlySafetensors =
    "hearth reads safetensors only; transformers converts: "
    "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(FOLDER)";

/// The integer at `at`, or 0 beyond the end.
template <class T>
T number_at(std::string_view bytes, size_t at) {
  T value = 0;
  if (at <= bytes.size() && sizeof(T) <= bytes.size() - at)
    std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

bool is_text(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](unsigned char c) {
    const bool in_utf8 = c != 0xC0 && c != 0xC1 && c < 0xF5;
    return (c >= ' ' && in_utf8) || c == '\n' || c == '\r' || c == '\t';
  });
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

/// " of a llama model": the value of general.architecture, as a rule the first of a GGUF file.
std::string gguf_architecture(std::string_view file) {
  constexpr std::string_view kKey = "general.architecture";
  constexpr uint32_t kString = 8;
  constexpr size_t kFirst = 24;  // magic, version, counts of tensors and of keys
  const size_t type = kFirst + 8 + kKey.size(), text = type + 4 + 8;
  const auto length = number_at<uint64_t>(file, type + 4);
  if (number_at<uint64_t>(file, kFirst) != kKey.size() ||
      file.substr(kFirst + 8, kKey.size()) != kKey || number_at<uint32_t>(file, type) != kString ||
      length > 64 || text + length > file.size())
    return "";
  const std::string quoted = in_quotes(file.substr(text, length));
  return concat(" of a ", quoted.substr(1, quoted.size() - 2), " model");
}

std::optional<FileKind> recognize_zip(std::string_view file) {
  // The name of the first entry follows its header.
  const std::string_view name =
      file.substr(std::min<size_t>(30, file.size()), number_at<uint16_t>(file, 26));
  if (contains(name, ".pkl") || name.ends_with("/version") || contains(name, "/data/"))
    return FileKind{"a PyTorch file (a zip with a pickle)", std::string(kOnlySafetensors)};
  if (name.ends_with(".npy"))
    return FileKind{"a NumPy archive (.npz)",
                    "hearth::load_npz reads it as arrays, not as a model"};
  return FileKind{"a zip archive", "Unpack it first"};
}

struct Magic {
  std::string_view begin, is, next;
};
// Formats that their first bytes name for certain.
constexpr Magic kMagics[] = {
    {"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.", "a PyTorch file (a pickle)",
     kOnlySafetensors},
    {"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and TensorFlow write", kOnlySafetensors},
    {"\x93NUMPY", "a NumPy file (.npy)", "hearth::load reads it as an array, not as a model"},
    {"lmgg", "a GGML file, older than GGUF", "hearth cannot read it"},
    {"fmgg", "a GGML file, older than GGUF", "hearth cannot read it"},
    {"tjgg", "a GGML file, older than GGUF", "hearth cannot read it"},
    {"\x1f\x8b", "a compressed file (gzip)", "Unpack it first"},
    {"\xfd"
     "7zXZ",
     "a compressed file (xz)", "Unpack it first"},
    {"\x28\xb5\x2f\xfd", "a compressed file (zstd)", "Unpack it first"},
    {"BZh", "a compressed file (bzip2)", "Unpack it first"},
    {"7z\xbc\xaf\x27\x1c", "a 7z archive", "Unpack it first"},
    {"Rar!", "a RAR archive", "Unpack it first"},
    {"\x7f"
     "ELF",
     "a program (ELF)", ""},
    {"%PDF-", "a PDF", ""},
};

std::optional<FileKind> recognize_text(std::string_view text, size_t size) {
  if (text.starts_with("version https://git-lfs"))
    return FileKind{concat("a Git LFS pointer (a text file of ", size, " bytes)"),
                    "Fetch them: git lfs pull"};
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  while (!text.empty() && (text[0] == ' ' || text[0] == '\n' || text[0] == '\r' || text[0] == '\t'))
    text.remove_prefix(1);
  const std::string small = lower(text.substr(0, 1024));
  if (small.starts_with("<!doctype html") || small.starts_with("<html") ||
      (small.starts_with("<") && contains(small, "<html")))
    return FileKind{
        concat("a web page (HTML, ", size, " bytes)"),
        "Fetch them again: the link of a file itself has /resolve/ in the place of /blob/"};
  if (small.starts_with("<?xml") || small.starts_with("<error>"))
    return FileKind{concat("an answer of a server (XML, ", size, " bytes)"), "Fetch them again"};
  if (!is_text(text) || text.empty()) return std::nullopt;
  if (text[0] == '{' && contains(text, "application/vnd.ollama"))
    return FileKind{"an Ollama manifest", "hearth cannot read Ollama's models yet"};
  if (text[0] == '{' || text[0] == '[') return FileKind{"a JSON text", "", true};
  std::string first(text.substr(0, text.find('\n')));
  if (first.size() > 60) first = first.substr(0, 60) + "...";
  return FileKind{concat("a text of ", size, " bytes that begins ", in_quotes(first)), "", true};
}

}  // namespace

std::optional<FileKind> recognize_bytes(std::span<const std::byte> begin, size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(begin.data()),
                              std::min(begin.size(), kLooked));
  if (file.starts_with("GGUF"))
    return FileKind{concat("a GGUF file (version ", number_at<uint32_t>(file, 4), ")",
                           gguf_architecture(file), ", as llama.cpp and Ollama use it"),
                    "hearth reads it as a model of its own: name the file"};
  if (file.starts_with("PK\3\4")) return recognize_zip(file);
  for (const Magic& magic : kMagics)
    if (file.starts_with(magic.begin))
      return FileKind{std::string(magic.is), std::string(magic.next)};
  if (file.size() > 262 && file.substr(257, 5) == "ustar")
    return FileKind{"a tar archive", "Unpack it first"};
  return recognize_text(file, size);
}

std::optional<FileKind> recognize_file(const fs::path& file) {
  std::error_code none;
  if (!fs::is_regular_file(file, none)) return std::nullopt;
  std::ifstream in(file, std::ios::binary);
  std::string begin(kLooked, '\0');
  in.read(begin.data(), std::streamsize(begin.size()));
  begin.resize(size_t(std::max<std::streamsize>(in.gcount(), 0)));
  const auto size = fs::file_size(file, none);
  return recognize_bytes(std::as_bytes(std::span(begin)), none ? begin.size() : size_t(size));
}

void refuse_foreign(std::span<const std::byte> file, std::string_view name, std::string_view wanted,
                    bool text) {
  const auto kind = recognize_bytes(file, file.size());
  if (!kind || (text && kind->text)) return;
  std::string next = kind->next;  // "Fetch them: ..."
  if (const auto at = next.find("them"); !wanted.ends_with("weights") && at != next.npos)
    next.replace(at, 4, "it");
  ensure(false, name, " is ", kind->is, ", not ", wanted, next.empty() ? "" : ". ", next);
}

namespace {

std::vector<std::string> files_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> ends) {
  return std::any_of(ends.begin(), ends.end(), [&](auto end) { return name.ends_with(end); });
}

bool named_as_weights(std::string_view name) {
  return ends_with_any(name, {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".ggml",
                              ".h5", ".msgpack", ".onnx", ".npz", ".incomplete"}) &&
         !ends_with_any(name,
                        {"training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt"});
}

/// The kind of weights that `name` in `folder` would be, and what to do; by content where it says.
FileKind kind_of_weights(const fs::path& folder, const std::string& name) {
  if (fs::is_symlink(folder / name) && !fs::exists(folder / name))
    return {"a link to nothing: its download may have been broken off", ""};
  if (auto kind = recognize_file(folder / name); kind && !kind->text) return *kind;
  if (name.ends_with(".safetensors") && contains(name, "-of-"))
    return {"shards", "Fetch the file that lists them too: model.safetensors.index.json"};
  if (name.ends_with(".safetensors"))
    return {"safetensors under a name that hearth does not look for", ""};
  if (ends_with_any(name, {".bin", ".pt", ".pth", ".ckpt"}))
    return {"PyTorch's format, which hearth does not read: convert it to safetensors",
            std::string(kOnlySafetensors)};
  if (name.ends_with(".h5")) return {"the format of Keras", std::string(kOnlySafetensors)};
  if (name.ends_with(".msgpack")) return {"the format of Flax", std::string(kOnlySafetensors)};
  if (name.ends_with(".onnx")) return {"ONNX", std::string(kOnlySafetensors)};
  if (name.ends_with(".incomplete")) return {"a download that was broken off", ""};
  return {"weights of a kind that hearth does not know", ""};
}

}  // namespace

std::string weights_of_another_kind(const fs::path& folder) {
  std::vector<std::string> found;
  for (std::string& name : files_in(folder))
    if (named_as_weights(name)) found.push_back(std::move(name));
  if (found.empty()) return "";
  const FileKind kind = kind_of_weights(folder, found[0]);
  return concat(listed(found, ", ", 3), found.size() == 1 ? " is" : " are", " there: ", kind.is,
                kind.next.empty() ? "" : ". ", kind.next);
}

std::string folder_without_config(const fs::path& folder) {
  const std::vector<std::string> names = files_in(folder);
  const auto has = [&](std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const std::string is =
      concat(folder.string(), ": not the folder of a model: it has no config.json");
  if (fs::is_symlink(folder / "config.json"))
    return is + ", only a link to one that is not there; fetch the folder again";
  if (names.empty()) return is + "; it is empty";
  if (has("adapter_config.json"))
    return is +
           "; it is an adapter (PEFT, as LoRA), which hearth cannot apply yet: merge it into "
           "its model first (merge_and_unload, then save_pretrained)";
  if (has("model_index.json"))
    return is + "; it is a pipeline of diffusers, which hearth does not run";
  if (has("snapshots"))
    return is +
           "; it is a folder of the Hub's cache: name the model as on the Hub, or a folder in "
           "its snapshots/";
  if (has("blobs") && has("manifests"))
    return is + "; it is Ollama's store, which hearth cannot read yet";
  if (const std::string weights = weights_of_another_kind(folder); !weights.empty()) {
    const bool ours = has("model.safetensors") || has("model.safetensors.index.json");
    return ours ? is + ", which says what its weights are: fetch that file too"
                : concat(is, "; ", weights);
  }
  if (has("tokenizer.json") || has("tokenizer.model") || has("tokenizer_config.json"))
    return is + " and no weights, only a tokenizer";
  return is;
}

std::string how_to_fetch(const fs::path& folder) {
  // .../models--OWNER--MODEL/snapshots/COMMIT
  const fs::path snapshots = folder.parent_path();
  const std::string id = hub_name_of_entry(snapshots.parent_path().filename().string());
  if (snapshots.filename() != "snapshots" || id.empty()) return "";
  return concat("; fetch them: hearth pull ", id, "@", folder.filename().string());
}

}  // namespace hearth
