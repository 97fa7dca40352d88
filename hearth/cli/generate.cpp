// hearth generate: text in, text out, then one line of figures.
#include <fmt/format.h>

#include <algorithm>

#include "hearth/cli/commands.h"
#include "hearth/cli/model_options.h"

namespace hearth::cli {

namespace {

struct Options : ModelOptions {
  std::string prompt, prompt_file, ids, stdin_mark;
  std::string source = "--prompt";  // which of these it is
  bool ignore_eos = false, json = false;
  llm::GenerateOptions generate;
};

// The prompt's ids, and the tokenizer if the folder has one or the prompt needs one.
std::vector<int> prompt_ids(const Options& o, const llm::LanguageModel& model,
                            std::optional<llm::Tokenizer>& tokenizer) {
  const bool text_needed = o.source != "--ids";
  if (text_needed || std::filesystem::exists(o.folder() / "tokenizer.json"))
    tokenizer = load_tokenizer(o);
  if (!text_needed) return parse_ids(o.ids, o.source);
  std::string text = o.prompt;
  if (o.source == "--prompt-file") text = read_text(o.prompt_file);
  if (o.source == "stdin") text = read_text("-");
  auto ids = tokenizer->encode(text);
  if (ids.empty() && !model.facts.bos.empty()) ids.push_back(model.facts.bos[0]);
  return ids;
}

// null for a time or rate that this run was too short to have.
nlohmann::json known(double figure) {
  return figure > 0 ? nlohmann::json(figure) : nlohmann::json();
}

void run(Options& o) {
  const auto& g = o.generate;
  if (g.max_tokens < 1)
    throw CLI::ValidationError(fmt::format("--max-tokens: {}, wanted at least 1", g.max_tokens));
  if (std::count(g.stop_texts.begin(), g.stop_texts.end(), ""))
    throw CLI::ValidationError("--stop: an empty text would stop everything");
  try {
    llm::Sampler::check_options(g.sampling);  // before the weights are loaded
  } catch (const std::invalid_argument& error) {
    throw CLI::ValidationError(concat("--", error.what()));
  }
  const auto model = o.load();
  std::optional<llm::Tokenizer> tokenizer;
  const auto prompt = prompt_ids(o, *model, tokenizer);
  if (!o.ignore_eos) o.generate.stop_ids = model->facts.eos;
  const auto sink = [&](int id, std::string_view text) {
    if (!o.json) print_out(tokenizer ? std::string(text) : fmt::format("{} ", id));
    return true;
  };
  const auto out = generate(*model, prompt, o.generate, sink, tokenizer ? &*tokenizer : nullptr);
  const size_t peak = peak_memory_bytes();
  const auto limit = weights_bandwidth(*model);
  const auto cached = fit_in_caches(*model);
  const double rate = out.decode_tokens_per_s();
  const double gb_per_s = rate * double(model->facts.bytes_per_token) / 1e9;
  if (o.json) {
    const nlohmann::json json = {
        {"model", o.folder().string()},
        {"dtype", to_string(model->facts.dtype)},
        {"device", to_string(default_device())},
        {"ids", out.ids},
        {"text", out.text},
        {"stopped_by", out.stopped_by},
        {"prompt_tokens", out.prompt_tokens},
        {"generated_tokens", out.ids.size()},
        {"time_to_first_token_s", known(out.time_to_first_token_s)},
        {"prefill", {{"tokens", out.prompt_tokens}, {"tokens_per_s", out.prefill_tokens_per_s()}}},
        {"decode",
         {{"tokens", out.ids.empty() ? 0 : out.ids.size() - 1},
          {"tokens_per_s", known(rate)},
          {"gb_per_s", known(gb_per_s)},
          {"bandwidth_fraction", known(gb_per_s / limit.median)}}},
        {"read_bandwidth_gb_s", limit.median},
        {"weights_fit_in_caches", json_of(cached)},
        {"peak_memory_bytes", peak},
        {"device_peak_memory_bytes", device_peak_bytes()},
        {"weights_bytes", model->facts.weights_bytes},
    };
    print_out(json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    return;
  }
  print_out("\n");
  std::string figures = fmt::format("{} tokens; ", out.ids.size());
  if (out.stopped_by == "length" && out.ids.size() < size_t(o.generate.max_tokens))
    figures += fmt::format("the context of {} is full; ", model->facts.context_length);
  if (!out.ids.empty())
    figures += fmt::format("first after {:.1f} ms; ", out.time_to_first_token_s * 1e3);
  figures +=
      fmt::format("prefill {} at {:.1f} tokens/s; ", out.prompt_tokens, out.prefill_tokens_per_s());
  if (rate > 0)
    figures += fmt::format(
        "decode {:.1f} tokens/s = {:.1f} GB/s, {:.0f} % of the read bandwidth ({:.1f} GB/s{}{}); ",
        rate, gb_per_s, 100 * gb_per_s / limit.median, limit.median,
        cached.value.value_or(false) ? ": " : "", cached.value.value_or(false) ? kFitInCaches : "");
  fmt::print(stderr, "{}peak memory {:.2f} GB\n", figures, double(peak) / 1e9);
}

}  // namespace

void add_generate(CLI::App& app) {
  auto* command = app.add_subcommand("generate", "Continue a text");
  auto o = std::make_shared<Options>();
  o->prompt = "Once upon a time";
  o->add_to(*command);
  const std::vector<CLI::Option*> prompts = {
      command->add_option("--prompt", o->prompt, "The text to continue")
          ->capture_default_str()
          ->type_name("TEXT"),
      command->add_option("--prompt-file", o->prompt_file, "The same, from a file")->type_name("F"),
      command->add_option("--ids", o->ids, "The same, as token ids: 1,2,3")->type_name("IDS"),
      command->add_option("stdin", o->stdin_mark, "-: the text comes from standard input")
          ->type_name("-"),
  };
  auto& g = o->generate;
  command->add_option("--max-tokens", g.max_tokens, "Tokens to generate at most")
      ->capture_default_str();
  command->add_option("--stop", g.stop_texts, "End before this text (may be given several times)")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command->add_flag("--ignore-eos", o->ignore_eos, "Go on after the model's end-of-text token");
  command->add_option("--temp", g.sampling.temperature, "Temperature; 0: the most likely token")
      ->capture_default_str();
  command->add_option("--top-k", g.sampling.top_k, "Sample from the K most likely; 0: all")
      ->capture_default_str();
  command->add_option("--top-p", g.sampling.top_p, "Sample from the most likely with probability P")
      ->capture_default_str();
  command
      ->add_option("--min-p", g.sampling.min_p,
                   "Sample from those with P of the best one's probability")
      ->capture_default_str();
  command
      ->add_option("--repetition-penalty", g.sampling.repetition_penalty,
                   "Above 1: less repetition")
      ->capture_default_str();
  add_seed(*command, g.sampling.seed, "Seed of sampling");
  command->add_flag("--json", o->json, "Print one JSON object (docs/cli.md)");
  command->callback([o, prompts] {
    if (!o->stdin_mark.empty() && o->stdin_mark != "-")
      throw CLI::ValidationError(
          fmt::format("'{}' is one argument too many; a text goes behind --prompt", o->stdin_mark));
    int given = 0;
    for (const CLI::Option* p : prompts)
      if (p->count() > 0) o->source = p->get_name(), ++given;
    if (given > 1)
      throw CLI::ValidationError("give one prompt: --prompt, --prompt-file, --ids or -");
    run(*o);
  });
}

}  // namespace hearth::cli
