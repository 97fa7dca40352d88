// hearth perplexity: how well a model predicts a file.
#include "hearth/llm/perplexity.h"
#include "hearth/cli/json_out.h"

#include <fmt/format.h>

#include "hearth/cli/divergence.h"
#include "hearth/cli/interrupt.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/cli/progress.h"

namespace hearth::cli {

namespace {

struct Options : ModelOptions {
  std::string file, base;
  int window = 0;
  bool json = false, divergence = false;
};

void run_base(const Options& o, llm::LanguageModel& model, const llm::Tokenizer& tokenizer) {
  CatchInterrupt ctrl_c;
  ProgressBar bar;
  const auto progress = [&](size_t done, size_t all) {
    bar.show(done, all, fmt::format("{} of {} tokens", done, all));
    return !CatchInterrupt::flag();
  };
  const auto around = tokenizer.encode("");
  const auto first = around.empty() ? std::nullopt : std::optional(around[0]);
  const nlohmann::json more = {{"base", o.base}, {"model", o.folder().string()}};
  if (o.divergence) {
    const auto d = llm::divergence_from(o.base, model, first, progress);
    bar.end();
    if (d.model.tokens == 0) CatchInterrupt::fail_if_interrupted();
    nlohmann::json all = divergence_json(d);
    all.update(more);
    print_out(o.json ? json_text(all) + "\n" : divergence_text(d));
  } else {
    const llm::Windows windows{tokenizer.encode(read_text(o.file)), o.window ? o.window : 512,
                               first};
    const auto p = llm::write_base(o.base, model, windows, progress);
    bar.end();
    CatchInterrupt::fail_if_interrupted();
    nlohmann::json all = {{"perplexity", p.value},
                          {"standard_error", p.standard_error},
                          {"tokens", p.tokens},
                          {"window_tokens", windows.length}};
    all.update(more);
    print_out(o.json ? json_text(all) + "\n"
                     : fmt::format("perplexity {:.4f} +- {:.4f} ({} tokens in windows of {}); "
                                   "what it is made of is in {}\n",
                                   p.value, p.standard_error, p.tokens, windows.length, o.base));
  }
  CatchInterrupt::fail_if_interrupted();
}

void run(const Options& o) {
  if (o.divergence && !o.file.empty())
    throw UsageError("--file: --kl-divergence reads the text that the base was written of");
  if (!o.divergence && o.file.empty()) throw UsageError("--file is required");
  const auto model = o.load();
  if (!o.base.empty()) return run_base(o, *model, load_tokenizer(o));
  const auto ids = load_tokenizer(o).encode(read_text(o.file));
  const int window = o.window ? o.window : model->facts.context_length;
  CatchInterrupt ctrl_c;
  ProgressBar bar;
  const auto p = llm::perplexity(*model, ids, window, [&](size_t done, size_t all) {
    bar.show(done, all, fmt::format("{} of {} tokens", done, all));
    return !CatchInterrupt::flag();
  });
  bar.end();
  if (p.tokens == 0) CatchInterrupt::fail_if_interrupted();
  if (o.json)
    print_json(nlohmann::json{{"perplexity", p.value},
                              {"standard_error", p.standard_error},
                              {"mean_nll_nats", p.mean_nll},
                              {"tokens", p.tokens},
                              {"window_tokens", window},
                              {"dtype", short_name(model->facts.dtype)},
                              {"activations", model->facts.activations()},
                              {"model", o.folder().string()}});
  else
    print_out(fmt::format("perplexity {:.4f} +- {:.4f} ({} tokens in windows of {})\n", p.value,
                          p.standard_error, p.tokens, window));
  CatchInterrupt::fail_if_interrupted();
}

}  // namespace

void add_perplexity(Command& app) {
  auto* command = app.add_subcommand("perplexity", "Measure how well a model predicts a text");
  auto o = std::make_shared<Options>();
  o->add_to(*command);
  command->add_option("-f,--file", o->file, "The text; -: standard input")->type_name("F");
  add_number(*command, "--window", o->window, {2, 1 << 30},
             "Tokens seen at once (default: the model's context)")
      ->default_str("");
  command
      ->add_option("--kl-divergence-base", o->base,
                   "A file of what the model predicts, as llama.cpp has it: written, or with "
                   "--kl-divergence read")
      ->type_name("F");
  command->add_flag("--kl-divergence", o->divergence,
                    "How far the model's predictions are from those of the base");
  needs_one_of(*command, "--kl-divergence", {"--kl-divergence-base"});
  command->add_flag("--json", o->json, "Print one JSON object (docs/cli.md)");
  command->callback([o] { run(*o); });
}

}  // namespace hearth::cli
