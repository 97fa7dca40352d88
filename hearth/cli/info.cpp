// hearth info: what this build found on the machine, and what a model is.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hearth/cli/commands.h"
#include "hearth/cli/model_options.h"
#include "hearth/core/backend.h"
#include "hearth/llm/registry.h"

namespace hearth::cli {

namespace {

void show_machine() {
  fmt::print("hearth {}\n", HEARTH_VERSION);
  for (Backend* b : backends())
    for (int i = 0; i < b->device_count(); ++i)
      fmt::print("device   {}: {}\n", to_string(Device(b->type(), i)), b->describe(i));
  if (const auto why = backend_absence(Device::cuda); !why.empty())
    fmt::print("no cuda  {}\n", why);
  fmt::print("memory   limit {:.1f} GB\n", double(get_memory_limit()) / 1e9);
  fmt::print("models   {}\n", fmt::join(llm::known_models(), ", "));
}

void show_model(const ModelOptions& o) {
  const auto folder = o.folder();
  const auto config = JsonObject::read(folder / "config.json");
  const auto model = llm::make_model(config);
  size_t elements = 0;
  for (auto& [name, p] : model->parameters()) elements += p->size();
  const auto& f = model->facts;
  fmt::print("{}\n", folder.string());
  fmt::print("type        {}\n", f.type);
  fmt::print("parameters  {:.1f} M in {} tensors\n", double(elements) / 1e6,
             model->parameters().size());
  fmt::print("dtype       {}\n", config.text("dtype", config.text("torch_dtype", "not said: f32")));
  fmt::print("layers      {}\n", f.layers);
  fmt::print("vocabulary  {}\n", f.vocab_size);
  fmt::print("context     {}\n", f.context_length);
  fmt::print("memory      {:.2f} GB as f16 or bf16, {:.2f} GB as f32\n", 2e-9 * double(elements),
             4e-9 * double(elements));
}

}  // namespace

void add_info(CLI::App& app) {
  auto* command =
      app.add_subcommand("info", "Show what hearth found on this machine, or what a model is");
  auto o = std::make_shared<ModelOptions>();
  command->add_option("MODEL", o->model, "A folder, or a name as on the Hub");
  command->callback([o] { o->model.empty() ? show_machine() : show_model(*o); });
}

}  // namespace hearth::cli
