// hearth generate: text in, text out, then one line of figures; or several texts as one batch.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <sstream>

#include "hearth/cli/draft_flags.h"
#include "hearth/cli/failure.h"
#include "hearth/cli/interrupt.h"
#include "hearth/cli/json_out.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/cli/sampling_flags.h"
#include "hearth/cli/state_files.h"

namespace hearth::cli {

namespace {

struct Options : ModelOptions {
  std::vector<std::string> texts = {"Once upon a time"}, ids;
  std::string prompt_file, prompts_file, stdin_mark;
  std::string source = "--prompt";  // which of these it is
  bool ignore_eos = false, stats = false, json = false;
  llm::GenerateOptions generate;
  StateFiles state;
  DraftFlags draft;
};

/// What is to be continued: ids, and the text that they were.
struct Prompt {
  std::string text;  // empty for ids
  std::vector<int> ids;
};

// Lines of a file: each is a text, or in a .jsonl file a JSON string, {"prompt": ...} or {"ids":
// ...}. Empty lines are passed over.
std::vector<Prompt> prompts_of(const std::string& file) {
  std::vector<Prompt> all;
  std::istringstream lines(read_text(file));
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) continue;
    if (!file.ends_with(".jsonl")) {
      all.push_back({line, {}});
      continue;
    }
    const std::string where = fmt::format("{}: line {}", file, number);
    if (line.starts_with('"')) {
      all.push_back({parse_json(line, where).get<std::string>(), {}});
      continue;
    }
    const JsonObject object = JsonObject::parse(line, where);
    if (object.has("ids"))
      all.push_back({"", object.naturals("ids")});
    else
      all.push_back({object.text("prompt"), {}});
  }
  ensure(!all.empty(), file, ": has no prompt; wanted one in each line");
  return all;
}

std::vector<Prompt> given_prompts(const Options& o) {
  std::vector<Prompt> all;
  if (o.source == "--prompts") return prompts_of(o.prompts_file);
  if (o.source == "--prompt-file") return {{read_text(o.prompt_file), {}}};
  if (o.source == "--ids") {
    for (const std::string& ids : o.ids) all.push_back({"", parse_ids(ids, o.source)});
    return all;
  }
  if (o.source == "stdin") {
    std::string text = read_standard_input();
    if (text.ends_with('\n')) text.pop_back();  // what `echo` adds
    if (!text.empty() || !o.stdin_mark.empty()) return {{text, {}}};
  }
  for (const std::string& text : o.texts) all.push_back({text, {}});
  return all;
}

// With the ids of all texts, and the tokenizer if the folder has one or a prompt needs one.
std::vector<Prompt> read_prompts(const Options& o, const llm::LanguageModel& model,
                                 std::optional<llm::Tokenizer>& tokenizer) {
  auto all = given_prompts(o);
  const bool texts = std::ranges::any_of(all, [](const Prompt& p) { return p.ids.empty(); });
  if (texts || llm::Tokenizer::file_in(o.files())) tokenizer = load_tokenizer(o);
  for (Prompt& prompt : all) {
    if (prompt.ids.empty()) prompt.ids = tokenizer->encode(prompt.text);
    if (prompt.ids.empty() && !model.facts.bos.empty()) prompt.ids.push_back(model.facts.bos[0]);
  }
  return all;
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

nlohmann::json answer_json(const Options& o, llm::LanguageModel& model, const llm::Generated& out,
                           double read, const Limit& limit, size_t peak) {
  nlohmann::json json = {
      {"model", o.folder().string()},
      {"dtype", short_name(model.facts.dtype)},
      {"activations", model.facts.activations()},
      {"device", to_string(default_device())},
      {"ids", out.ids},
      {"text", out.text},
      {"stopped_by",
       out.stopped_by == "caller" && CatchInterrupt::flag() ? "interrupt" : out.stopped_by},
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
  if (auto list = logprobs_json(out); !list.is_null()) json["logprobs"] = std::move(list);
  return json;
}

void show_json(const Options& o, llm::LanguageModel& model, const llm::Generated& out) {
  const size_t peak = peak_memory_bytes();
  const double read = gb_per_s(model, out);
  print_json(answer_json(o, model, out, read, limit_of(o, model, read), peak));
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

void run_one(Options& o, llm::LanguageModel& model, const Prompt& prompt,
             const llm::Tokenizer* tokenizer) {
  llm::Beginning held = o.state.load(model);
  std::optional<CatchInterrupt> ctrl_c;  // from the first token on: before, nothing would be lost
  const auto sink = [&](int id, std::string_view text) {
    if (!ctrl_c) ctrl_c.emplace();
    if (!o.json) print_out(tokenizer ? std::string(text) : fmt::format("{} ", id));
    const bool wanted = !output_failed() || !o.state.to.empty();
    return wanted && !CatchInterrupt::flag();
  };
  const auto out = o.state.used() ? generate_after(held, o.state.deterministic, model, prompt.ids,
                                                   o.generate, sink, tokenizer)
                                  : generate(model, prompt.ids, o.generate, sink, tokenizer);
  if (!output_failed()) o.json ? show_json(o, model, out) : show_figures(o, model, out);
  o.state.save(model, held);
}

std::string what(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  }
}

// "==> Once upon a time <==", as head(1) tells files apart.
std::string heading(const Prompt& prompt) {
  constexpr size_t kMost = 60;
  std::string text =
      prompt.text.empty() ? fmt::format("{}", fmt::join(prompt.ids, ",")) : prompt.text;
  std::ranges::replace(text, '\n', ' ');
  if (text.size() > kMost) {
    size_t end = kMost;
    while (end > 0 && (text[end] & 0xC0) == 0x80) --end;  // whole characters
    text = text.substr(0, end) + "...";
  }
  return concat("==> ", text, " <==\n");
}

// As rows of one batch; answers are shown in the order of the prompts, each as soon as it is whole.
void run_several(Options& o, llm::LanguageModel& model, const std::vector<Prompt>& prompts,
                 const llm::Tokenizer* tokenizer) {
  std::vector<std::vector<int>> ids;
  for (const Prompt& prompt : prompts) ids.push_back(prompt.ids);
  std::vector<std::string> whole(prompts.size());
  size_t shown = 0;
  const auto show = [&](size_t i, const llm::Generated& out) {
    const std::string text = tokenizer ? out.text : fmt::format("{}", fmt::join(out.ids, " "));
    whole[i] = concat(i ? "\n" : "", heading(prompts[i]), text, "\n");
    for (; shown < whole.size() && !whole[shown].empty(); ++shown) print_out(whole[shown]);
  };
  const CatchInterrupt ctrl_c;
  const auto start = std::chrono::steady_clock::now();
  auto all = generate_each(
      model, ids, o.generate,
      [&](size_t i, const llm::Generated& out) {
        if (!o.json && !out.stopped_by.empty() && out.stopped_by != "caller") show(i, out);
        return !output_failed() && !CatchInterrupt::flag();
      },
      tokenizer);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  size_t tokens = 0, failed = 0;
  std::string why;
  const size_t peak = peak_memory_bytes();
  const Limit limit = limit_of(o, model, 0);
  auto list = nlohmann::json::array();
  for (size_t i = 0; i < all.size(); ++i) {
    tokens += all[i].ids.size();
    if (all[i].error && failed++ == 0)
      why = fmt::format("prompt {}: {}", i + 1, what(all[i].error));
    if (!o.json && all[i].stopped_by == "caller" && !all[i].ids.empty()) show(i, all[i]);
    if (!o.json) continue;
    list.push_back(answer_json(o, model, all[i], 0, limit, peak));
    if (!prompts[i].text.empty()) list.back()["prompt"] = prompts[i].text;
    if (all[i].error) list.back()["error"] = what(all[i].error);
  }
  if (o.json) print_json(list);
  if (!output_failed())
    print_err(fmt::format("{} prompts, {} tokens, {:.1f} tokens/s together\n", all.size(), tokens,
                          double(tokens) / took.count()));
  if (failed > 0 && !CatchInterrupt::flag())
    throw Failure(1, fmt::format("{} of {} prompts failed; {}", failed, all.size(), why));
}

void run(Options& o) {
  const auto& g = o.generate;
  if (std::count(g.stop_texts.begin(), g.stop_texts.end(), ""))
    throw UsageError("--stop: an empty text would stop everything");
  check_sampling(g.sampling);  // before the weights are loaded
  o.state.check();
  const auto model = o.load();
  std::optional<llm::Tokenizer> tokenizer;
  const auto prompts = read_prompts(o, *model, tokenizer);
  const auto* with = tokenizer ? &*tokenizer : nullptr;
  if (!o.ignore_eos) o.generate.stop_ids = model->facts.eos;
  o.generate.draft = o.draft.load(o, *model, with);
  const bool several = prompts.size() > 1 || o.source == "--prompts";
  if (several && o.state.used())
    throw UsageError("--load-state and --save-state are for one prompt");
  several ? run_several(o, *model, prompts, with) : run_one(o, *model, prompts[0], with);
  CatchInterrupt::fail_if_interrupted();
}

}  // namespace

void add_generate(Command& app) {
  auto* command = app.add_subcommand("generate", "Continue a text");
  auto o = std::make_shared<Options>();
  o->add_to(*command);
  const std::vector<Option*> prompts = {
      add_texts(*command, "-p,--prompt", o->texts,
                "The text to continue; without it, what comes through a pipe")
          ->default_str("Once upon a time"),
      command->add_option("-f,--prompt-file", o->prompt_file, "The same, from a file")
          ->type_name("F"),
      add_texts(*command, "--ids", o->ids, "The same, as token ids: 1,2,3")->type_name("IDS"),
      command
          ->add_option("--prompts", o->prompts_file,
                       "Several: a line each, or a .jsonl file with {\"prompt\": ...}")
          ->type_name("F"),
      command->add_option("stdin", o->stdin_mark, "-: the text comes from standard input")
          ->type_name("-"),
  };
  auto& g = o->generate;
  add_number(*command, "-n,--max-tokens", g.max_tokens, {.least = 1}, "Tokens to generate at most");
  add_texts(*command, "--stop", g.stop_texts, "End before this text");
  command->add_flag("--ignore-eos", o->ignore_eos, "Go on after the model's end-of-text token");
  add_sampling(*command, g.sampling);
  needs_one_of(*command, "--penalty-window",
               {"--repetition-penalty", "--frequency-penalty", "--presence-penalty"});
  o->state.add_to(*command, false);
  o->draft.add_to(*command);
  command->add_flag("--stats", o->stats,
                    "Also measure the limit: the share of the read bandwidth, peak memory");
  command->add_flag("--json", o->json,
                    "Print one JSON object; a list for several prompts (docs/cli.md)");
  command->callback([o, prompts] {
    if (!o->stdin_mark.empty() && o->stdin_mark != "-")
      throw UsageError(
          fmt::format("'{}' is one argument too many; a text goes behind --prompt", o->stdin_mark));
    int given = 0;
    for (const Option* p : prompts)
      if (p->count() > 0) o->source = p->get_name(), ++given;
    if (given > 1)
      throw UsageError("give one kind of prompt: --prompt, --prompt-file, --ids, --prompts or -");
    if (given == 0 && input_is_sent()) o->source = "stdin";
    run(*o);
  });
}

}  // namespace hearth::cli
