// hearth init: a checkpoint of random weights, as a Hugging Face folder that other engines load
// too.
#include <fmt/format.h>

#include <fstream>

#include "hearth/cli/commands.h"
#include "hearth/cli/interrupt.h"
#include "hearth/cli/model_options.h"
#include "hearth/io/hub.h"
#include "hearth/io/safetensors.h"

namespace hearth::cli {

namespace {

namespace fs = std::filesystem;

struct Options {
  std::string config, out, dtype = "f16";
  uint64_t seed = 0;
  bool random_weights = false;
};

void run(const Options& o) {
  const fs::path to = o.out;
  const bool there = fs::exists(to) && !(fs::is_directory(to) && fs::is_empty(to));
  ensure(!there, to.string(), ": is there already; name a folder that is not, or is empty");
  const CatchInterrupt ctrl_c;
  const auto facts = write_random_checkpoint(find_model(o.config), to, o.dtype, o.seed);
  print_out(fmt::format("{}: {}, {:.2f} GB of random {} weights\n", to.string(), facts.type,
                        double(facts.weights_bytes) / 1e9, short_name(facts.dtype)));
}

}  // namespace

llm::LanguageModel::Facts write_random_checkpoint(const fs::path& from, const fs::path& to,
                                                  const std::string& dtype, uint64_t seed,
                                                  const std::function<void()>& undo_too) {
  llm::LoadOptions load;
  try {
    load.dtype = llm::parse_dtype(dtype);
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
  load.random_weights = true;
  load.seed = seed;
  llm::LanguageModel::Facts facts;
  const auto write = [&] {
    const auto model = llm::load_model(from, load);
    facts = model->facts;
    fs::create_directories(to);
    save_safetensors((to / "model.safetensors").string(),
                     llm::rewrite_back(nn::tensors(model->parameters()), model->rewrites()),
                     {{"format", "pt"}});
    auto json = read_json(from / "config.json");
    json.erase("torch_dtype");
    json["dtype"] = json["torch_dtype"] = to_string(facts.dtype);
    std::ofstream config(to / "config.json");
    config << json.dump(2) << "\n";
    ensure(config.good(), (to / "config.json").string(), ": could not be written");
    std::vector<fs::path> copied = {"generation_config.json",
                                    "tokenizer_config.json",
                                    "special_tokens_map.json",
                                    "vocab.json",
                                    "merges.txt",
                                    "added_tokens.json",
                                    "chat_template.jinja",
                                    "chat_template.json"};
    if (const auto tokenizer = llm::Tokenizer::file_in(from))
      copied.push_back(tokenizer->filename());
    for (const fs::path& name : copied)
      if (fs::exists(from / name)) fs::copy_file(from / name, to / name);
  };
  do_or_undo(write, [&] {
    std::error_code none;
    fs::remove_all(to, none);
    if (undo_too) undo_too();
  });
  return facts;
}

void add_init(Command& app) {
  auto* command =
      app.add_subcommand("init", "Write a checkpoint of random weights in the shape of a config");
  auto o = std::make_shared<Options>();
  command->add_option("--config", o->config, "A folder with a config.json")
      ->required()
      ->type_name("DIR");
  command
      ->add_flag("--random-weights", o->random_weights,
                 "What to fill it with (the only kind there is)")
      ->required();
  command->add_option("--dtype", o->dtype, "f16, bf16 or f32")
      ->capture_default_str()
      ->type_name("D");
  add_seed(*command, o->seed, "Seed of the weights");
  command->add_option("-o,--output", o->out, "The folder to write")->required()->type_name("DIR");
  command->callback([o] { run(*o); });
}

}  // namespace hearth::cli
