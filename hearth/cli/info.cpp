// hearth info: what this build found on the machine, and what a model is.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hearth/cli/build_facts.h"
#include "hearth/cli/commands.h"
#include "hearth/cli/model_options.h"
#include "hearth/core/backend.h"
#include "hearth/io/recognize.h"
#include "hearth/llm/recognize.h"
#include "hearth/llm/registry.h"

namespace hearth::cli {

namespace {

using nlohmann::json;

struct Options : ModelOptions {
  bool json = false;
};

void show_machine(bool as_json) {
  json devices = json::array();
  std::string text = fmt::format("hearth {}\n", kVersion);
  for (Backend* b : backends())
    for (int i = 0; i < b->device_count(); ++i) {
      const std::string name = to_string(Device(b->type(), i)), what = b->describe(i);
      devices.push_back({{"device", name}, {"description", what}});
      text += fmt::format("device   {}: {}\n", name, what);
    }
  const std::string no_cuda = backend_absence(Device::cuda);
  if (!no_cuda.empty()) text += fmt::format("no cuda  {}\n", no_cuda);
  text += fmt::format("memory   limit {:.1f} GB\n", double(get_memory_limit()) / 1e9);
  text += fmt::format("models   {}\n", fmt::join(llm::known_models(), ", "));
  const json all = {{"version", kVersion},
                    {"devices", devices},
                    {"no_cuda_because", no_cuda.empty() ? json() : json(no_cuda)},
                    {"memory_limit_bytes", get_memory_limit()},
                    {"models", llm::known_models()}};
  print_out(as_json ? all.dump(2) + "\n" : text);
}

/// Whether the folder has a config.json and no weights of any kind: a shape, to be run with random
/// ones.
bool only_shape(const std::filesystem::path& folder) {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none))
    if (entry.path().filename().string().find(".safetensors") != std::string::npos) return false;
  return weights_of_another_kind(folder).empty();
}

/// "f16" of a config's "float16"; what hearth does not know stays.
std::string dtype_of(const JsonObject& config) {
  const std::string said = config.text("dtype", config.text("torch_dtype", "float32"));
  try {
    return std::string(short_name(llm::parse_dtype(said)));
  } catch (const std::invalid_argument&) {
    return said;
  }
}

void show_model(const Options& o) {
  const auto folder = o.folder();
  const llm::Recognized found = llm::recognize(folder);
  const bool shape = !found.usable && found.packed.empty() && only_shape(folder);
  ensure(found.usable || shape, found.sentence);
  const auto config = llm::read_config(folder);
  const auto model = llm::make_model(config);
  size_t elements = found.parameters, tensors = found.tensors;
  if (shape) {
    const auto parameters = model->parameters();
    for (auto& [name, p] : parameters) elements += p->size();
    tensors = parameters.size();
  }
  const auto& f = model->facts;
  const std::string dtype =
      shape ? dtype_of(config) : fmt::format("{}", fmt::join(found.dtypes, ", "));
  if (o.json) {
    const json all = {{"model", folder.string()},
                      {"type", f.type},
                      {"parameters", elements},
                      {"tensors", tensors},
                      {"dtype", dtype},
                      {"layers", f.layers},
                      {"vocabulary", f.vocab_size},
                      {"context", f.context_length},
                      {"has_weights", found.usable},
                      {"has_tokenizer", found.tokenizer},
                      {"weights_bytes", found.usable ? json(found.bytes) : json()},
                      {"f16_bytes", 2 * elements},
                      {"f32_bytes", 4 * elements}};
    print_out(all.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
    return;
  }
  std::string text = folder.string() + "\n";
  text += fmt::format("type        {}\n", f.type);
  text += fmt::format("parameters  {:.1f} M in {} tensors\n", double(elements) / 1e6, tensors);
  text += fmt::format("weights     {}\n",
                      shape ? "none are here; --random-weights runs the shape"
                            : fmt::format("{:.2f} GB of {}", double(found.bytes) / 1e9, dtype));
  if (!found.tokenizer) text += "tokenizer   none is here, so prompts are token ids\n";
  text += fmt::format("layers      {}\n", f.layers);
  text += fmt::format("vocabulary  {}\n", f.vocab_size);
  text += fmt::format("context     {}\n", f.context_length);
  text += fmt::format("memory      {:.2f} GB as f16 or bf16, {:.2f} GB as f32\n",
                      2e-9 * double(elements), 4e-9 * double(elements));
  print_out(text);
}

}  // namespace

void add_info(CLI::App& app) {
  auto* command =
      app.add_subcommand("info", "Show what hearth found on this machine, or what a model is");
  auto o = std::make_shared<Options>();
  command
      ->add_option("MODEL,-m,--model", o->model,
                   "A folder, or a name as on the Hub (default: the machine is shown)")
      ->check(named_model)
      ->type_name("MODEL");
  command->add_flag("--json", o->json, "Print one JSON object (docs/cli.md)");
  command->callback([o] { o->model.empty() ? show_machine(o->json) : show_model(*o); });
}

}  // namespace hearth::cli
