// hearth perplexity: how well a model predicts a file.
#include "hearth/llm/perplexity.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "hearth/cli/interrupt.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"

namespace hearth::cli {

namespace {

struct Options : ModelOptions {
  std::string file;
  int window = 0;
  bool json = false;
};

// A bar as wide as the terminal has room for.
void show_progress(size_t done, size_t all) {
  const std::string count = fmt::format(" {} of {} tokens", done, all);
  const size_t room = size_t(width(STDERR_FILENO)), others = count.size() + 4;
  const size_t bar = std::clamp<size_t>(room > others ? room - others : 0, 0, 40);
  print_err(bar == 0 ? "\r" + count.substr(0, room - 1)
                     : fmt::format("\r[{:<{}}]{}", std::string(done * bar / all, '#'), bar, count));
}

void run(const Options& o) {
  const auto model = o.load();
  const auto ids = load_tokenizer(o).encode(read_text(o.file));
  const int window = o.window ? o.window : model->facts.context_length;
  CatchInterrupt ctrl_c;
  const bool bar = is_terminal(STDERR_FILENO);
  const auto p = llm::perplexity(*model, ids, window, [&](size_t done, size_t all) {
    if (bar) show_progress(done, all);
    return !CatchInterrupt::flag();
  });
  if (bar) print_err("\n");
  if (p.tokens == 0) CatchInterrupt::fail_if_interrupted();
  if (o.json)
    print_out(nlohmann::json{{"perplexity", p.value},
                             {"standard_error", p.standard_error},
                             {"mean_nll_nats", p.mean_nll},
                             {"tokens", p.tokens},
                             {"window_tokens", window},
                             {"dtype", short_name(model->facts.dtype)},
                             {"model", o.folder().string()}}
                  .dump(2) +
              "\n");
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
  command->add_option("-f,--file", o->file, "The text; -: standard input")
      ->required()
      ->type_name("F");
  add_number(*command, "--window", o->window, {2, 1 << 30},
             "Tokens seen at once (default: the model's context)")
      ->default_str("");
  command->add_flag("--json", o->json, "Print one JSON object (docs/cli.md)");
  command->callback([o] { run(*o); });
}

}  // namespace hearth::cli
