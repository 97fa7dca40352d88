// hearth perplexity: how well a model predicts a file.
#include "hearth/llm/perplexity.h"

#include <fmt/format.h>
#include <unistd.h>

#include "hearth/cli/commands.h"
#include "hearth/cli/model_options.h"

namespace hearth::cli {

namespace {

struct Options : ModelOptions {
  std::string file;
  int window = 0;
  bool json = false;
};

void show_progress(size_t done, size_t all) {
  constexpr size_t kWidth = 40;
  const size_t filled = done * kWidth / all;
  fmt::print(stderr, "\r[{:<{}}] {} of {} tokens{}", std::string(filled, '#'), kWidth, done, all,
             done == all ? "\n" : "");
  std::fflush(stderr);
}

void run(const Options& o) {
  const auto model = o.load();
  const auto ids = load_tokenizer(o).encode(read_text(o.file));
  const int window = o.window ? o.window : model->facts.context_length;
  std::function<void(size_t, size_t)> progress;
  if (isatty(STDERR_FILENO)) progress = show_progress;
  const auto p = llm::perplexity(*model, ids, window, progress);
  if (o.json)
    print_out(nlohmann::json{{"perplexity", p.value},
                             {"standard_error", p.standard_error},
                             {"mean_nll_nats", p.mean_nll},
                             {"tokens", p.tokens},
                             {"window_tokens", window},
                             {"dtype", to_string(model->facts.dtype)},
                             {"model", o.folder().string()}}
                  .dump(2) +
              "\n");
  else
    print_out(fmt::format("perplexity {:.4f} +- {:.4f} ({} tokens in windows of {})\n", p.value,
                          p.standard_error, p.tokens, window));
}

}  // namespace

void add_perplexity(CLI::App& app) {
  auto* command = app.add_subcommand("perplexity", "Measure how well a model predicts a text");
  auto o = std::make_shared<Options>();
  o->add_to(*command);
  command->add_option("--file", o->file, "The text; -: standard input")->required()->type_name("F");
  command->add_option("--window", o->window, "Tokens seen at once (default: the model's context)")
      ->check(CLI::Range(2, 1 << 30))
      ->type_name("N");
  command->add_flag("--json", o->json, "Print one JSON object (docs/cli.md)");
  command->callback([o] { run(*o); });
}

}  // namespace hearth::cli
