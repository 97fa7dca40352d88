// hearth generate: text in, text out, then one line of figures.
#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "hearth/cli/draft_flags.h"
#include "hearth/cli/interrupt.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/cli/sampling_flags.h"
#include "hearth/cli/state_files.h"

namespace hearth::cli {

namespace {

struct Options : ModelOptions {
  std::string prompt, prompt_file, ids, stdin_mark;
  std::string source = "--prompt";  // which of these it is
  bool ignore_eos = false, stats = false, json = false;
  llm::GenerateOptions generate;
  StateFiles state;
  DraftFlags draft;
};

// The prompt's ids, and the tokenizer if the folder has one or the prompt needs one.
std::vector<int> prompt_ids(const Options& o, const llm::LanguageModel& model,
                            std::optional<llm::Tokenizer>& tokenizer) {
  const bool text_needed = o.source != "--ids";
  if (text_needed || llm::Tokenizer::file_in(o.folder())) tokenizer = load_tokenizer(o);
  if (!text_needed) return parse_ids(o.ids, o.source);
  std::string text = o.prompt;
  if (o.source == "--prompt-file") text = read_text(o.prompt_file);
  if (o.source == "stdin") {
    text = read_standard_input();
    if (text.ends_with('\n')) text.pop_back();  // what `echo` adds
    if (text.empty() && o.stdin_mark.empty()) text = o.prompt;
  }
  auto ids = tokenizer->encode(text);
  if (ids.empty() && !model.facts.bos.empty()) ids.push_back(model.facts.bos[0]);
  return ids;
}

// null for a time or rate that this run was too short to have.
nlohmann::json known(double figure) {
  return figure > 0 ? nlohmann::json(figure) : nlohmann::json();
}

/// The limit of decoding, where it was asked for: it takes a second.
struct Limit {
  double gb_per_s = 0, share = 0;  // of the weights that were read; 0: not known
  lab::Reading<bool> cached;
};
Limit limit_of(const Options& o, llm::LanguageModel& model, double gb_per_s) {
  if (!o.stats) return {};
  const double limit = weights_bandwidth(model).median;
  return {limit, gb_per_s / limit, fit_in_caches(model.facts.weights_bytes)};
}

// Of weights: 0, not known, where one step gave several tokens.
double gb_per_s(const llm::LanguageModel& model, const llm::Generated& out) {
  if (out.drafts.drafted > 0) return 0;
  return out.decode_tokens_per_s() * double(model.facts.bytes_per_token) / 1e9;
}

std::string as_json(const Options& o, llm::LanguageModel& model, const llm::Generated& out) {
  const size_t peak = peak_memory_bytes();
  const double read = gb_per_s(model, out);
  const Limit limit = limit_of(o, model, read);
  nlohmann::json json = {
      {"model", o.folder().string()},
      {"dtype", short_name(model.facts.dtype)},
      {"device", to_string(default_device())},
      {"ids", out.ids},
      {"text", out.text},
      {"stopped_by", CatchInterrupt::flag() ? "interrupt" : out.stopped_by},
      {"prompt_tokens", out.prompt_tokens},
      {"reused_tokens", out.reused_tokens},
      {"generated_tokens", out.ids.size()},
      {"time_to_first_token_s", known(out.time_to_first_token_s)},
      {"prefill",
       {{"tokens", out.prompt_tokens - out.reused_tokens},
        {"tokens_per_s", out.prefill_tokens_per_s()}}},
      {"decode",
       {{"tokens", out.ids.empty() ? 0 : out.ids.size() - 1},
        {"tokens_per_s", known(out.decode_tokens_per_s())},
        {"gb_per_s", known(read)},
        {"bandwidth_fraction", known(limit.share)},
        {"limit_disturbed", limit.share > 0 ? nlohmann::json(disturbed(limit.share)) : nullptr}}},
      {"draft", drafts_json(o.draft.given(), out.drafts)},
      {"read_bandwidth_gb_s", known(limit.gb_per_s)},
      {"weights_fit_in_caches", json_of(limit.cached)},
      {"peak_memory_bytes", peak},
      {"device_peak_memory_bytes", device_peak_bytes()},
      {"weights_bytes", model.facts.weights_bytes},
      {"sampling", sampling_json(o.generate.sampling)},
  };
  for (const auto& token : out.logprobs) {
    auto& list = json["logprobs"].emplace_back();
    for (const auto& [id, logprob] : token) list.push_back({{"id", id}, {"logprob", logprob}});
  }
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void show_figures(const Options& o, llm::LanguageModel& model, const llm::Generated& out) {
  print_out("\n");
  const size_t peak = peak_memory_bytes();
  const double rate = out.decode_tokens_per_s();
  std::string figures = fmt::format("{} tokens", out.ids.size());
  if (rate > 0) figures += fmt::format(", {:.1f} tokens/s", rate);
  if (!out.ids.empty())
    figures += fmt::format(", first after {:.1f} ms", out.time_to_first_token_s * 1e3);
  if (out.stopped_by == "length" && out.ids.size() < size_t(o.generate.max_tokens))
    figures += fmt::format("; the context of {} is full", model.facts.context_length);
  if (!o.state.from.empty())
    figures += fmt::format("\n{} of {} prompt tokens came from {}", out.reused_tokens,
                           out.prompt_tokens, o.state.from);
  if (o.stats) {
    figures += fmt::format("\nprefill {} at {:.1f} tokens/s; peak memory {:.2f} GB",
                           out.prompt_tokens - out.reused_tokens, out.prefill_tokens_per_s(),
                           double(peak) / 1e9);
    if (o.draft.given()) figures += "\n" + drafts_text(out.drafts);
    const double read = gb_per_s(model, out);
    const Limit limit = limit_of(o, model, read);
    if (read > 0)
      figures +=
          fmt::format("\ndecode {:.1f} GB/s, {:.0f} % of the read bandwidth ({:.1f} GB/s{})", read,
                      100 * limit.share, limit.gb_per_s, notes_on_share(limit.share, limit.cached));
  }
  print_err(figures + "\n");
}

void run(Options& o) {
  const auto& g = o.generate;
  if (std::count(g.stop_texts.begin(), g.stop_texts.end(), ""))
    throw UsageError("--stop: an empty text would stop everything");
  check_sampling(g.sampling);  // before the weights are loaded
  o.state.check();
  const auto model = o.load();
  std::optional<llm::Tokenizer> tokenizer;
  const auto prompt = prompt_ids(o, *model, tokenizer);
  if (!o.ignore_eos) o.generate.stop_ids = model->facts.eos;
  llm::Beginning held = o.state.load(*model);
  o.generate.draft = o.draft.load(o, *model, tokenizer ? &*tokenizer : nullptr);
  std::optional<CatchInterrupt> ctrl_c;  // from the first token on: before, nothing would be lost
  std::exception_ptr unseen;  // nobody takes the text; what was read is kept all the same
  const auto sink = [&](int id, std::string_view text) {
    if (!ctrl_c) ctrl_c.emplace();
    try {
      if (!o.json) print_out(tokenizer ? std::string(text) : fmt::format("{} ", id));
    } catch (...) {
      unseen = std::current_exception();
    }
    return !unseen && !CatchInterrupt::flag();
  };
  const auto* with = tokenizer ? &*tokenizer : nullptr;
  const auto out = o.state.used() ? generate_after(held, o.state.deterministic, *model, prompt,
                                                   o.generate, sink, with)
                                  : generate(*model, prompt, o.generate, sink, with);
  try {
    if (!unseen) o.json ? print_out(as_json(o, *model, out)) : show_figures(o, *model, out);
  } catch (...) {
    unseen = std::current_exception();
  }
  o.state.save(*model, held);
  if (unseen) std::rethrow_exception(unseen);
  CatchInterrupt::fail_if_interrupted();
}

}  // namespace

void add_generate(Command& app) {
  auto* command = app.add_subcommand("generate", "Continue a text");
  auto o = std::make_shared<Options>();
  o->prompt = "Once upon a time";
  o->add_to(*command);
  const std::vector<Option*> prompts = {
      command
          ->add_option("-p,--prompt", o->prompt,
                       "The text to continue; without it, what comes through a pipe")
          ->capture_default_str()
          ->type_name("TEXT"),
      command->add_option("-f,--prompt-file", o->prompt_file, "The same, from a file")
          ->type_name("F"),
      command->add_option("--ids", o->ids, "The same, as token ids: 1,2,3")->type_name("IDS"),
      command->add_option("stdin", o->stdin_mark, "-: the text comes from standard input")
          ->type_name("-"),
  };
  auto& g = o->generate;
  add_number(*command, "-n,--max-tokens", g.max_tokens, {.least = 1}, "Tokens to generate at most");
  command->add_option("--stop", g.stop_texts, "End before this text (may be given several times)")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command->add_flag("--ignore-eos", o->ignore_eos, "Go on after the model's end-of-text token");
  add_sampling(*command, g.sampling);
  o->state.add_to(*command);
  o->draft.add_to(*command);
  command->add_flag("--stats", o->stats,
                    "Also measure the limit: the share of the read bandwidth, peak memory");
  command->add_flag("--json", o->json, "Print one JSON object (docs/cli.md)");
  command->callback([o, prompts] {
    if (!o->stdin_mark.empty() && o->stdin_mark != "-")
      throw UsageError(
          fmt::format("'{}' is one argument too many; a text goes behind --prompt", o->stdin_mark));
    int given = 0;
    for (const Option* p : prompts)
      if (p->count() > 0) o->source = p->get_name(), ++given;
    if (given > 1) throw UsageError("give one prompt: --prompt, --prompt-file, --ids or -");
    if (given == 0 && input_is_sent()) o->source = "stdin";
    run(*o);
  });
}

}  // namespace hearth::cli
