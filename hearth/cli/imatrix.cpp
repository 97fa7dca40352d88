// hearth imatrix: how much each column of a model's matrices matters, over a text.
#include <fmt/format.h>

#include "hearth/cli/interrupt.h"
#include "hearth/cli/json_out.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/cli/progress.h"
#include "hearth/llm/gguf/names.h"
#include "hearth/llm/importance.h"

namespace hearth::cli {

namespace {

struct Options : ModelOptions {
  std::string text, out;
  int window = 512;
  bool json = false;
};

void run(const Options& o) {
  const auto model = o.load();
  const llm::GgufNames names = llm::gguf_names_of(o.folder(), *model);
  const llm::Tokenizer tokenizer = load_tokenizer(o);
  const auto ids = tokenizer.encode(read_text(o.text));
  llm::ImportanceOptions options{.window = std::min(o.window, model->facts.context_length)};
  if (const auto around = tokenizer.encode(""); !around.empty()) options.first = around[0];
  CatchInterrupt ctrl_c;
  ProgressBar bar;
  llm::Importance all =
      llm::measure_importance(*model, names, ids, options, [&](size_t done, size_t of) {
        bar.show(done, of, fmt::format("{} of {} tokens", done, of));
        return !CatchInterrupt::flag();
      });
  bar.end();
  CatchInterrupt::fail_if_interrupted();
  all.texts = {o.text};
  llm::write_importance(o.out, all);
  size_t unseen = 0;  // experts
  for (const auto& [name, columns] : all.tensors)
    for (const float count : columns.counts) unseen += count == 0;
  if (o.json) {
    print_json(nlohmann::json{{"output", o.out},
                              {"tensors", all.tensors.size()},
                              {"windows", all.chunks},
                              {"window_tokens", all.chunk_tokens},
                              {"experts_without_tokens", unseen}});
    return;
  }
  print_out(fmt::format("{}: {} tensors, {} tokens in windows of {}\n", o.out, all.tensors.size(),
                        all.chunks * all.chunk_tokens, all.chunk_tokens));
  if (unseen > 0)
    print_err(fmt::format("hearth: {} experts got no token, and count alike; a longer text helps\n",
                          unseen));
}

}  // namespace

void add_imatrix(Command& app) {
  auto* command =
      app.add_subcommand("imatrix", "Measure which weights matter, for `hearth quantize`");
  auto o = std::make_shared<Options>();
  o->add_to(*command);
  command->add_option("-f,--text", o->text, "What the model reads; -: standard input")
      ->required()
      ->type_name("F");
  command->add_option("-o,--output", o->out, "The file to write")->required()->type_name("F");
  add_number(*command, "--window", o->window, {2, 1 << 30}, "Tokens that are read at once");
  command->add_flag("--json", o->json, "Print one JSON object (docs/cli.md)");
  command->callback([o] { run(*o); });
}

}  // namespace hearth::cli
