// hearth info: what this build found on the machine, and what a model is.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hearth/cli/build_facts.h"
#include "hearth/cli/commands.h"
#include "hearth/cli/json_out.h"
#include "hearth/cli/model_options.h"
#include "hearth/core/backend.h"
#include "hearth/llm/describe.h"
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
  as_json ? print_json(all) : print_out(text);
}

/// What a model needs of a device's memory.
struct Fit {
  size_t weights, state_per_token, state_full, free;  // bytes; free: 0 where nobody knows
  int context;  // of the model's, that fits beside the weights; 0: not even these do
};

Fit fit_of(const llm::LanguageModel& model, size_t weights, Dtype dtype) {
  const Device device = default_device();
  const int all = model.facts.context_length;
  Fit fit{weights, model.state_bytes(2, dtype) - model.state_bytes(1, dtype),
          model.state_bytes(all, dtype), backend(device.type)->memory(device.index).free, all};
  int fits = 0, beyond = all + 1;  // until they are neighbours
  while (fit.free > 0 && beyond - fits > 1) {
    const int half = fits + (beyond - fits) / 2;
    (weights + model.state_bytes(half, dtype) <= fit.free ? fits : beyond) = half;
  }
  if (fit.free > 0) fit.context = fits;
  return fit;
}

std::string size_text(size_t bytes) {
  const auto b = double(bytes);
  return b < 1e6   ? fmt::format("{:.1f} kB", b / 1e3)
         : b < 1e9 ? fmt::format("{:.1f} MB", b / 1e6)
                   : fmt::format("{:.2f} GB", b / 1e9);
}

std::string fit_text(const Fit& fit, int context) {
  const std::string needs = fmt::format("{} of weights and {} of state for {} tokens",
                                        size_text(fit.weights), size_text(fit.state_full), context);
  if (fit.free == 0) return "nobody knows: " + needs;
  const std::string free =
      fmt::format("{} are free on {}", size_text(fit.free), to_string(default_device()));
  if (fit.context == context) return fmt::format("yes: {}; {}", needs, free);
  if (fit.context > 0) return fmt::format("up to {} tokens: {}; {}", fit.context, needs, free);
  return fmt::format("no: {}; {}", needs, free);
}

/// Of a parameter's count: "0.8 M", "3.35 B".
std::string count_text(size_t n) {
  return n < 10'000'000'000 ? fmt::format("{:.1f} M", double(n) / 1e6)
                            : fmt::format("{:.2f} B", double(n) / 1e9);
}

/// Of a model that can be loaded; 0 where none is known.
double bits_per_weight(const llm::Description& d) {
  return d.costs.parameters ? 8.0 * double(d.costs.bytes) / double(d.costs.parameters) : 0;
}

template <class T>
json or_null(bool known, T&& value) {
  return known ? json(std::forward<T>(value)) : json();
}

void show_model(const Options& o) {
  const ModelFiles files = o.files();
  const auto& folder = files.path();
  const llm::Description d = llm::describe(files);
  ensure(!d.use.empty() || d.shape, d.found.sentence);
  const auto config = llm::read_config(files);
  const std::string dtype = fmt::format("{}", fmt::join(d.found.dtypes, ", "));
  const std::string tokenizer = llm::describe_tokenizer(files),
                    chat = llm::describe_template(files);
  // An encoder keeps no state and decodes nothing.
  const bool decodes = d.use != "embed";
  const auto model = decodes ? llm::make_model(config) : nullptr;
  if (model) model->facts.state = o.state();
  const int layers = decodes ? model->facts.layers : config.positive("num_hidden_layers");
  const int vocabulary = decodes ? model->facts.vocab_size : config.positive("vocab_size");
  const int context =
      decodes ? model->facts.context_length : config.positive("max_position_embeddings");
  std::optional<Fit> fit;
  double gb_s = 0;
  bool cached = false;
  if (decodes) {
    fit = fit_of(*model, d.costs.bytes, llm::config_dtype(llm::language_config(config)));
    gb_s = read_bandwidth_gb_s();
    cached = fit_in_caches(d.costs.bytes).value.value_or(false);
  }
  // At the first tokens: state that is read comes on top later.
  const double rate = d.costs.bytes_per_token ? 1e9 * gb_s / double(d.costs.bytes_per_token) : 0;
  if (o.json) {
    const json all = {{"model", folder.string()},
                      {"type", d.found.type},
                      {"use", or_null(!d.use.empty(), d.use)},
                      {"parameters", d.found.parameters},
                      {"active_parameters", d.costs.active},
                      {"tensors", d.found.tensors},
                      {"dtype", dtype},
                      {"gguf_architecture", or_null(!d.found.mix.empty(), d.found.architecture)},
                      {"gguf_types", or_null(!d.found.mix.empty(), d.found.mix)},
                      {"layers", layers},
                      {"vocabulary", vocabulary},
                      {"context", context},
                      {"has_weights", d.has_weights},
                      {"has_tokenizer", d.found.tokenizer},
                      {"tokenizer", or_null(!tokenizer.empty(), tokenizer)},
                      {"template", or_null(!chat.empty(), chat)},
                      {"weights_bytes", or_null(d.has_weights, d.found.bytes)},
                      {"memory_bytes", or_null(d.costs.bytes > 0, d.costs.bytes)},
                      {"bits_per_weight", or_null(bits_per_weight(d) > 0, bits_per_weight(d))},
                      {"f16_bytes", 2 * d.found.parameters},
                      {"f32_bytes", 4 * d.found.parameters},
                      {"bytes_per_token", or_null(decodes, d.costs.bytes_per_token)},
                      {"state_bytes_per_token", fit ? json(fit->state_per_token) : json()},
                      {"state_bytes_at_context", fit ? json(fit->state_full) : json()},
                      {"memory_free_bytes", or_null(fit && fit->free, fit ? fit->free : 0)},
                      {"context_that_fits", fit ? json(fit->context) : json()},
                      {"device", to_string(default_device())},
                      {"read_bandwidth_gb_s", or_null(gb_s > 0, gb_s)},
                      {"weights_fit_in_caches", or_null(decodes, cached)},
                      {"expected_tokens_per_s", or_null(rate > 0, rate)}};
    print_json(all);
    return;
  }
  std::string text = folder.string() + "\n";
  text += fmt::format("type        {}\n", d.found.type);
  if (!d.found.mix.empty())
    text += fmt::format("file        GGUF of the architecture {}: {}\n", d.found.architecture,
                        d.found.mix);
  text += fmt::format("parameters  {} in {} tensors\n", count_text(d.found.parameters),
                      d.found.tensors);
  if (d.costs.active < d.costs.parameters)
    text += fmt::format("active      {}: a token is given to some of the experts\n",
                        count_text(d.costs.active));
  text += fmt::format("weights     {}\n",
                      d.shape ? "none are here; --random-weights runs the shape"
                              : fmt::format("{} of {}", size_text(d.found.bytes), dtype));
  text += fmt::format("tokenizer   {}\n",
                      tokenizer.empty() ? "none is here, so prompts are token ids" : tokenizer);
  text += fmt::format("template    {}\n", chat.empty() ? "none" : chat);
  text += fmt::format("layers      {}\n", layers);
  text += fmt::format("vocabulary  {}\n", vocabulary);
  text += fmt::format("context     {}\n", context);
  if (const double bits = bits_per_weight(d); bits > 0 && bits < 15)
    text += fmt::format("memory      {} loaded: {:.2f} bits a weight\n", size_text(d.costs.bytes),
                        bits);
  else
    text += fmt::format("memory      {:.2f} GB as f16 or bf16, {:.2f} GB as f32\n",
                        2e-9 * double(d.found.parameters), 4e-9 * double(d.found.parameters));
  if (fit) {
    text += fmt::format("a token     reads {} of weights, adds {} of state\n",
                        size_text(d.costs.bytes_per_token), size_text(fit->state_per_token));
    text += fmt::format("fits here   {}\n", fit_text(*fit, context));
    const std::string tokens =
        rate < 100 ? fmt::format("{:.1f}", rate) : fmt::format("{:.0f}", rate);
    text += cached
                ? fmt::format(
                      "speed       more than {} tokens/s: the weights fit in the caches, and "
                      "memory gives "
                      "{:.1f} GB/s\n",
                      tokens, gb_s)
                : fmt::format(
                      "speed       at most {} tokens/s, by the {:.1f} GB/s that memory gives now\n",
                      tokens, gb_s);
  } else {
    text += "use         hearth embed\n";
  }
  print_out(text);
}

}  // namespace

void add_info(Command& app) {
  auto* command =
      app.add_subcommand("info", "Show what hearth found on this machine, or what a model is");
  auto o = std::make_shared<Options>();
  command
      ->add_option("MODEL,-m,--model", o->model,
                   "A folder, a GGUF file, or a name as on the Hub (default: the machine is shown)")
      ->check(named_model)
      ->type_name("MODEL");
  command->add_flag("--json", o->json, "Print one JSON object (docs/cli.md)");
  add_kv(*command, o->kv);
  command->callback([o] { o->model.empty() ? show_machine(o->json) : show_model(*o); });
}

}  // namespace hearth::cli
