// hearth embed: texts as vectors.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "hearth/cli/interrupt.h"
#include "hearth/cli/json_out.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/core/device.h"
#include "hearth/io/hub.h"
#include "hearth/io/npy.h"
#include "hearth/io/output_file.h"
#include "hearth/llm/embedder.h"

namespace hearth::cli {

namespace {

struct Options {
  std::string model, pooling, dtype, device, npy;
  std::vector<std::string> texts;
  bool normalize = false, no_normalize = false, json = false;
  llm::EmbedOptions embed;
};

/// Each line of standard input is a text.
std::vector<std::string> lines_of_input() {
  std::vector<std::string> lines;
  const std::string all = read_standard_input();
  for (size_t at = 0; at < all.size();) {
    const size_t end = std::min(all.find('\n', at), all.size());
    const bool windows = end > at && all[end - 1] == '\r';
    lines.push_back(all.substr(at, end - at - windows));
    at = end + 1;
  }
  return lines;
}

std::vector<std::string> texts_of(const Options& o) {
  const bool from_input = o.texts == std::vector<std::string>{"-"};
  if (!o.texts.empty() && !from_input) return o.texts;
  if (!from_input && !input_is_sent())
    throw UsageError("there is no text: name some, or send lines to standard input");
  return lines_of_input();
}

std::string text_of(std::span<const float> vector) {
  return fmt::format("{}", fmt::join(vector, " "));
}

void run(Options& o) {
  try {
    if (!o.pooling.empty()) o.embed.pooling = llm::parse_pooling(o.pooling);
    if (!o.dtype.empty()) o.embed.dtype = llm::parse_dtype(o.dtype);
    if (!o.device.empty()) set_default_device(parse_device(o.device));
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
  if (!o.npy.empty()) const OutputFile tried(o.npy);  // before anything is computed
  if (o.normalize || o.no_normalize) o.embed.normalize = o.normalize;
  const std::vector<std::string> texts = texts_of(o);
  const auto folder = find_model(o.model);
  const auto embedder = llm::Embedder::load(folder, o.embed);
  CatchInterrupt ctrl_c;
  const bool bar = is_terminal(STDERR_FILENO);
  const array vectors = embedder(texts, [&](size_t done) {
    if (bar) print_err(fmt::format("\r{} of {} texts", done, texts.size()));
    return !CatchInterrupt::flag();
  });
  if (bar) print_err("\n");
  CatchInterrupt::fail_if_interrupted();
  const auto n = size_t(embedder.dimensions());
  const std::vector<float> values = vectors.to_vector<float>();
  const auto vector = [&](size_t i) { return std::span(values).subspan(i * n, n); };
  if (!o.npy.empty()) write_npy(o.npy, vectors);
  if (o.json) {
    nlohmann::json all = nlohmann::json::array(), pooling = nlohmann::json::array();
    for (const llm::Pooling p : embedder.pooling()) pooling.push_back(to_string(p));
    for (size_t i = 0; i < texts.size(); ++i)
      all.push_back({{"text", texts[i]},
                     {"tokens", embedder.tokens(texts[i]).size()},
                     {"embedding", vector(i)}});
    const nlohmann::json json = {{"model", folder.string()},
                                 {"dimensions", n},
                                 {"max_tokens", embedder.max_tokens()},
                                 {"pooling", pooling},
                                 {"normalized", embedder.normalizes()},
                                 {"prompt", embedder.prompt()},
                                 {"embeddings", all}};
    print_json(json, -1);
  } else if (o.npy.empty()) {
    for (size_t i = 0; i < texts.size(); ++i) print_out(text_of(vector(i)) + "\n");
  }
}

}  // namespace

void add_embed(Command& app) {
  auto* command = app.add_subcommand("embed", "Turn texts into vectors");
  auto o = std::make_shared<Options>();
  command->add_option("-m,--model", o->model, "A folder, or a name as on the Hub")
      ->check(named_model)
      ->required()
      ->type_name("MODEL");
  command
      ->add_option("TEXT", o->texts,
                   "The texts; without any, or with -, the lines of standard input")
      ->type_name("");
  command
      ->add_option("--pooling", o->pooling,
                   "cls, max, mean, mean-sqrt-len, weighted-mean or last (default: the model's)")
      ->type_name("P");
  auto* yes = command->add_flag("--normalize", o->normalize,
                                "Make vectors of length 1 (default: as the model says)");
  command->add_flag("--no-normalize", o->no_normalize, "Leave their lengths")->excludes(yes);
  auto* prompt = command->add_option("--prompt", o->embed.prompt, "What stands before each text")
                     ->type_name("TEXT");
  command
      ->add_option("--prompt-name", o->embed.prompt_name,
                   "The same, by its name in the model's folder")
      ->excludes(prompt)
      ->type_name("NAME");
  command->add_option("--dtype", o->dtype, "f16, bf16 or f32 (default: f32 for encoders)")
      ->type_name("D");
  command->add_option("--device", o->device, "Where to run; `hearth info` lists what there is")
      ->type_name("D");
  add_threads(*command);
  command
      ->add_option("--npy", o->npy, "Write the vectors to a file of NumPy's, (texts, dimensions)")
      ->type_name("F");
  command->add_flag("--json", o->json, "Print one JSON object (docs/cli.md)");
  command->callback([o] { run(*o); });
}

}  // namespace hearth::cli
