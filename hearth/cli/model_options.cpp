#include "hearth/cli/model_options.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "hearth/backend/pool.h"
#include "hearth/cli/build_facts.h"
#include "hearth/cli/options.h"
#include "hearth/core/backend.h"
#include "hearth/core/eval.h"
#include "hearth/io/hub.h"
#include "hearth/ops/create.h"

namespace hearth::cli {

namespace fs = std::filesystem;

// Beside the installed program, else in the source tree it was built from.
fs::path shipped_model() {
  std::error_code none;
  const fs::path program = fs::read_symlink("/proc/self/exe", none);
  for (const fs::path& folder :
       {program.parent_path().parent_path() / "share/hearth/models/tiny-phi",
        fs::path(kSourceDir) / "models/tiny-phi"})
    if (fs::exists(folder / "config.json", none)) return folder;
  ensure(false,
         "the model that ships with hearth is not where it was installed; name one with --model");
  return {};
}

std::string named_model(const std::string& model) {
  return model.empty() ? "'', wanted a folder, or a name as on the Hub" : "";
}

void add_model(Command& command, std::string& model) {
  command
      .add_option("-m,--model", model,
                  "A folder, or a name as on the Hub (default: the model that ships)")
      ->check(named_model)
      ->type_name("MODEL");
}

void ModelOptions::add_to(Command& command) {
  add_model(command, model);
  command.add_flag("--random-weights", random_weights,
                   "Fill the shape of its config.json with random weights");
  command.add_option("--dtype", dtype, "f16, bf16 or f32 (default: the checkpoint's)")
      ->type_name("D");
  command.add_option("--device", device, "Where to run; `hearth info` lists what there is")
      ->type_name("D");
  add_number<int>(
      command, "--context", [this](int n) { context = n; }, {1, 1 << 30},
      "Tokens that a conversation may have (default: the model's); memory for them must be free");
  command.add_flag("--mlock", locked, "Never let the weights be swapped out");
  command.add_flag("--no-mmap", unmapped,
                   "Read the weights into memory instead of mapping the file");
  add_threads(command);
}

fs::path ModelOptions::folder() const {
  return model.empty() ? shipped_model() : find_model(model);
}

std::unique_ptr<llm::LanguageModel> ModelOptions::load() const {
  llm::LoadOptions options;
  try {
    if (!dtype.empty()) options.dtype = llm::parse_dtype(dtype);
    if (!device.empty()) set_default_device(parse_device(device));
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
  try {
    default_device();
  } catch (const std::invalid_argument& error) {
    throw UsageError(concat("HEARTH_DEVICE: ", error.what()));
  }
  options.random_weights = random_weights;
  options.seed = seed;
  options.context = context;
  options.locked = locked;
  options.mapped = !unmapped;
  return llm::load_model(folder(), options);
}

llm::Tokenizer load_tokenizer(const ModelOptions& options) {
  return llm::Tokenizer::load(options.folder());
}

std::vector<int> parse_ids(const std::string& text, std::string_view where) {
  std::vector<int> ids;
  size_t at = 0;
  while (at <= text.size()) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string word = trimmed(text.substr(at, comma - at));
    const auto id = parse_number<int>(word);
    if (!id || *id < 0)
      throw UsageError(fmt::format("{}: '{}' is not a token id; wanted e.g. 1,2,3", where, word));
    ids.push_back(*id);
    at = comma + 1;
  }
  return ids;
}

std::string read_text(const std::string& path) {
  if (path == "-") return read_standard_input();
  std::ifstream file(path, std::ios::binary);
  ensure(file.good() && !fs::is_directory(path), path,
         ": cannot be read: ", std::strerror(errno ? errno : EISDIR));
  constexpr size_t kMost = size_t(1) << 30;  // /dev/zero has no end
  std::string text;
  for (std::vector<char> piece(1 << 20);
       file.read(piece.data(), long(piece.size())), file.gcount();) {
    text.append(piece.data(), size_t(file.gcount()));
    ensure(text.size() <= kMost, path, ": has more than 1 GiB, too much for a text");
  }
  return text;
}

lab::Samples weights_bandwidth(llm::LanguageModel& model) {
  Arrays all;
  for (auto& [name, p] : model.parameters()) all.push_back(*p);
  eval(all);
  auto samples = backend(default_device().type)->read_gb_per_s(all);
  if (!samples.empty()) return lab::summarize(std::move(samples));
  std::vector<lab::Bytes> spans;
  for (const array& p : all) spans.push_back({p.host_bytes(), p.nbytes()});
  return lab::measure_read_bandwidth(spans, cpu::threads()).gb_s;
}

double read_bandwidth_gb_s() {
  const Device device = default_device();
  std::vector<double> samples;
  if (device == Device(Device::cpu)) {
    const lab::ReadBuffer buffer(lab::Pages::plain);
    const lab::Bytes all[] = {buffer.bytes()};
    samples = lab::measure_read_bandwidth(all, cpu::threads()).gb_s.all;
  } else {
    const Arrays all{zeros({1 << 28}, float32)};
    eval(all);
    samples = backend(device.type)->read_gb_per_s(all);
  }
  return samples.empty() ? 0 : lab::summarize(std::move(samples)).max;
}

lab::Reading<bool> fit_in_caches(size_t weights_bytes) {
  if (default_device() != Device(Device::cpu)) return false;
  const auto caches = lab::cache_bytes(lab::read_facts());
  if (!caches.value) return lab::Reading<bool>::missing(caches.reason);
  return weights_bytes <= size_t(*caches.value);
}

std::string notes_on_share(double share, const lab::Reading<bool>& cached) {
  std::string notes;
  if (cached.value.value_or(false))
    notes += "; the weights fit in the caches, so memory's bandwidth is no limit";
  if (disturbed(share))
    notes += "; more than all of it: something disturbed its measurement, repeat it";
  return notes;
}

nlohmann::json json_of(const lab::Reading<bool>& known) {
  return known.value ? nlohmann::json(*known.value) : nlohmann::json();
}

size_t device_peak_bytes() {
  const Device device = default_device();
  return device == Device(Device::cpu) ? 0 : backend(device.type)->memory(device.index).peak;
}

size_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return size_t(usage.ru_maxrss) * 1024;
}

}  // namespace hearth::cli
