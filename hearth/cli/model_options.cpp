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
#include "hearth/ops/state_packing.h"

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
  return model.empty() ? "'', wanted a folder, a GGUF file, or a name as on the Hub" : "";
}

void add_model(Command& command, std::string& model, bool positional) {
  command
      .add_option(positional ? "MODEL,-m,--model" : "-m,--model", model,
                  "A folder, a GGUF file, or a name as on the Hub (default: the model that ships)")
      ->check(named_model)
      ->type_name("MODEL");
}

void add_kv(Command& command, std::string& kv) {
  command
      .add_option("--kv", kv,
                  "Keep keys and values in 8 or 4 bits: q8 or q4 (default: in the model's dtype)")
      ->check([](const std::string& text) {
        return state_packing(text) ? "" : concat("'", text, "' is not q8 or q4");
      })
      ->type_name("Q");
}

Packing ModelOptions::state() const { return state_packing(kv).value_or(Packing::dense); }

void ModelOptions::add_to(Command& command, bool positional) {
  add_model(command, model, positional);
  command.add_flag("--random-weights", random_weights,
                   "Fill the shape of its config.json with random weights");
  command.add_option("--dtype", dtype, "f16, bf16 or f32 (default: the checkpoint's)")
      ->type_name("D");
  add_kv(command, kv);
  command.add_option("--device", device, "Where to run; `hearth info` lists what there is")
      ->type_name("D");
  add_number<int>(
      command, "--gpu-layers", [this](int n) { gpu_layers = n; }, {0, 1 << 20},
      "Run so many of the last layers on the device, the others on the CPU (default: as many as "
      "its "
      "memory has room for)");
  command.add_flag("--cpu-moe", cpu_moe, "Run the experts of all layers on the CPU");
  add_number<int>(
      command, "--n-cpu-moe", [this](int n) { cpu_experts = n; }, {0, 1 << 20},
      "Run the experts of so many of the first layers on the CPU");
  add_number<int>(
      command, "--context", [this](int n) { context = n; }, {1, 1 << 30},
      "Tokens that a conversation may have (default: the model's); memory for them must be free");
  command.add_flag("--mlock", locked, "Never let the weights be swapped out");
  command.add_flag("--no-mmap", unmapped,
                   "Read the weights into memory instead of mapping the file");
  command.add_flag("--verify", verify,
                   "Refuse weights that are NaN or infinite: reads all of them");
  command
      .add_option("--activations", activations,
                  "What packed weights meet, 32 rows at most: int8 (default: the model's dtype)")
      ->check([](const std::string& text) {
        return text == "int8" ? "" : concat("'", text, "' is not int8; leave it out for the dtype");
      })
      ->type_name("A");
  add_threads(command);
}

fs::path ModelOptions::folder() const {
  return model.empty() ? shipped_model() : find_model(model);
}

ModelFiles ModelOptions::files() const {
  const fs::path now = folder();
  if (!files_ || files_->path() != now) files_.emplace(now);
  return *files_;
}

/// That a part of the model had no room on the device, though nobody asked for it to be elsewhere.
static void tell_of(const llm::LanguageModel::Facts& facts) {
  if (!facts.host.any()) return;
  const std::string what =
      facts.host.layers > 0
          ? fmt::format("{} of {} layers", facts.host.layers, facts.layers)
          : fmt::format("the experts of {} of {} layers", facts.host.experts, facts.layers);
  print_err(
      fmt::format("{} has no room for all of the model: {} run on the CPU "
                  "(--gpu-layers, --n-cpu-moe)\n",
                  to_string(default_device()), what));
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
  options.state = state();
  options.context = context;
  options.locked = locked;
  options.mapped = !unmapped;
  options.int8 = activations == "int8";
  options.verify = verify;
  options.device_layers = gpu_layers;
  options.host_experts = cpu_moe ? std::optional<int>(llm::LoadOptions::kAll) : cpu_experts;
  auto loaded = llm::load_model(files(), options);
  if (!options.device_layers && !options.host_experts) tell_of(loaded->facts);
  return loaded;
}

llm::Tokenizer load_tokenizer(const ModelOptions& options) {
  return llm::Tokenizer::load(options.files());
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
  std::error_code none;  // a folder can be opened, and errno is then of something else
  ensure(!fs::is_directory(path, none), path, ": cannot be read: ", std::strerror(EISDIR));
  std::ifstream file(path, std::ios::binary);
  ensure(file.good(), path, ": cannot be read: ", std::strerror(errno));
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
  Arrays on_device, on_host;
  const nn::Parameters parameters = model.parameters();
  for (const auto& [name, p] : parameters) {
    const bool host = model.facts.host.holds(name, !parameters.contains("lm_head.weight"));
    Arrays& all = host ? on_host : on_device;
    all.insert(all.end(), p.planes().begin(), p.planes().end());
  }
  const auto read_by_host = [](const Arrays& all) {
    std::vector<lab::Bytes> spans;
    for (const array& p : all) spans.push_back({p.host_bytes(), p.nbytes()});
    return lab::measure_read_bandwidth(spans, cpu::threads()).gb_s;
  };
  eval(on_device);
  auto samples = backend(default_device().type)->read_gb_per_s(on_device);
  if (samples.empty()) return read_by_host(on_device);
  lab::Samples device = lab::summarize(std::move(samples));
  if (!model.facts.host.any()) return device;
  // Of a token some bytes are read here, then the others there.
  const double here =
      double(model.facts.host_bytes_per_token) / double(model.facts.bytes_per_token);
  return lab::summarize({1 / (here / read_by_host(on_host).median + (1 - here) / device.median)});
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
