// hearth chat: a conversation in the terminal, or one answer through a pipe.
#include <fmt/format.h>
#include <unistd.h>

#include <limits>

#include "hearth/cli/chat_session.h"
#include "hearth/cli/draft_flags.h"
#include "hearth/cli/interrupt.h"
#include "hearth/cli/json_out.h"
#include "hearth/cli/line_editor.h"
#include "hearth/cli/options.h"
#include "hearth/cli/sampling_flags.h"
#include "hearth/cli/state_files.h"
#include "hearth/cli/variables.h"
#include "hearth/llm/generation_config.h"

namespace hearth::cli {

namespace {

// Without a model's recommendation: an answer that is not always the same, nor wild.
const llm::SamplingOptions kUsual = {.temperature = 0.7f, .top_p = 0.95f};

struct Options : ModelOptions {
  std::string prompt, system, conversation, template_file;
  std::vector<std::string> set;
  bool json = false, recommended = false;
  llm::SamplingOptions given;  // by the command line
  llm::GenerateOptions generate;
  StateFiles state;
  DraftFlags draft;
};

// The command line's options over the model's recommendations over the usual ones.
void settle_sampling(Options& o, const Command& command) {
  const auto recommended = llm::recommended(o.folder(), kUsual);
  o.recommended = recommended.has_value();
  llm::SamplingOptions& sampling = o.generate.sampling;
  sampling = recommended.value_or(kUsual);
  each_option(o.given, [&](const std::string& name, const auto&, const char*) {
    const Option option = command.get_option("--" + name);
    if (option.count() > 0) set_sampling(sampling, name, option.results().back());
  });
  sampling.order = o.given.order;
  sampling.logit_bias = o.given.logit_bias;
  sampling.dry_sequence_breakers = o.given.dry_sequence_breakers;
}

std::optional<llm::ChatTemplate> template_of(const Options& o) {
  if (!o.template_file.empty())
    return llm::ChatTemplate::parse(read_text(o.template_file), o.template_file);
  return llm::ChatTemplate::load(o.files());
}

std::string as_json(const Options& o, const llm::LanguageModel& model, const llm::Chat& chat,
                    const llm::Chat::Answer& answer) {
  using nlohmann::ordered_json;
  const auto& g = answer.generated;
  const auto or_null = [](const std::string& text) {
    return text.empty() ? ordered_json() : ordered_json(text);
  };
  ordered_json json;
  json["model"] = o.folder().string();
  json["dtype"] = short_name(model.facts.dtype);
  json["activations"] = model.facts.activations();
  json["device"] = to_string(default_device());
  json["chat_template"] = or_null(chat.form() ? chat.form()->name() : "");
  json["content"] = answer.message.content;
  json["reasoning_content"] = or_null(answer.message.reasoning);
  json["ids"] = g.ids;
  json["stopped_by"] = g.stopped_by;
  json["prompt_tokens"] = g.prompt_tokens;
  json["reused_tokens"] = g.reused_tokens;
  json["generated_tokens"] = g.ids.size();
  json["context_tokens"] = model.facts.context_length;
  json["dropped_messages"] = answer.dropped;
  json["prefill_tokens_per_s"] = g.prefill_tokens_per_s();
  json["decode_tokens_per_s"] = g.decode_tokens_per_s();
  if (const auto list = logprobs_json(g); !list.is_null()) json["logprobs"] = list;
  json["draft"] = drafts_json(o.draft.given(), g.drafts);
  json["sampling"] = sampling_json(o.generate.sampling);
  json["sampling_from"] = o.recommended ? "generation_config.json" : "hearth";
  json["messages"] = ordered_json::parse(llm::to_json(chat.messages));
  return json_text(json) + "\n";
}

void converse(ChatSession& session) {
  // Ctrl-C stops an answer and is a key while a line is typed; in between it must not end the
  // program.
  const IgnoreInterrupt quiet;
  LineEditor editor("you> ");
  for (;;) {
    const auto text = editor.next();
    if (!text) return print_err("\n");
    if (!session.take(*text) || CatchInterrupt::is_order_to_end() || output_failed()) return;
  }
}

void run(Options& o, const Command& command) {
  check_sampling(o.given);  // before the weights are loaded
  offer_to_pull(o.model);
  settle_sampling(o, command);
  o.state.check();
  const bool one_answer = !o.prompt.empty() || !isatty(STDIN_FILENO);
  if (o.json && !one_answer)
    throw UsageError("--json: give the message with --prompt, or through a pipe");
  std::string message = o.prompt;
  if (one_answer && message.empty()) {
    message = read_standard_input();
    if (message.ends_with('\n')) message.pop_back();  // what `echo` adds
    if (message.empty())
      throw UsageError("the message is empty; give it with --prompt, or through a pipe");
  }
  const auto variables = parse_variables(o.set);
  const auto form = template_of(o);
  const auto model = o.load();
  const llm::Tokenizer tokenizer = load_tokenizer(o);
  o.generate.draft = o.draft.load(o, *model, &tokenizer);
  llm::Chat chat(*model, tokenizer, form);
  chat.variables = variables;
  chat.held = o.state.load(*model);
  chat.deterministic = o.state.deterministic;
  if (!o.conversation.empty())
    chat.messages = llm::messages_from_json(read_text(o.conversation), o.conversation);
  if (!o.system.empty()) chat.set_system(o.system);
  ChatSession session(chat, *model, o.generate, is_terminal(STDOUT_FILENO) && !one_answer);
  session.unread_too = !o.state.to.empty();
  if (o.json) {
    chat.messages.push_back({"user", message});
    const auto answer = session.answer(false);
    o.state.save(*model, chat.held);
    print_out(as_json(o, *model, chat, answer));
    return CatchInterrupt::fail_if_interrupted();
  }
  print_err(fmt::format("{} ({}, {}, {}), context of {} tokens; {}{}{}\n",
                        o.folder().filename().string(), model->facts.type,
                        short_name(model->facts.dtype), to_string(default_device()),
                        model->facts.context_length, sampling_text(o.generate.sampling),
                        o.recommended ? " (generation_config.json)" : "",
                        one_answer ? "" : "; /help lists the commands"));
  if (!form)
    print_err(
        "This model has no chat template: it was not made to converse. It continues the text of "
        "all messages; --template FILE gives it a form.\n");
  if (one_answer)
    session.ask(message);
  else
    converse(session);
  o.state.save(*model, chat.held);
  if (one_answer || CatchInterrupt::is_order_to_end()) CatchInterrupt::fail_if_interrupted();
}

}  // namespace

void add_chat(Command& app) {
  auto* command = app.add_subcommand("chat", "Talk with a model");
  auto o = std::make_shared<Options>();
  o->generate.max_tokens = std::numeric_limits<int>::max() / 2;
  o->given = kUsual;
  o->add_to(*command, /*positional=*/true);
  command->add_option("-p,--prompt", o->prompt, "One message: answer it and leave")
      ->type_name("TEXT");
  command->add_option("--system", o->system, "What the model is told before all else")
      ->type_name("TEXT");
  command->add_option("--load", o->conversation, "Go on with a conversation that /save wrote")
      ->type_name("FILE");
  command->add_option("--template", o->template_file, "A Jinja template, in place of the model's")
      ->type_name("FILE");
  add_variables(*command, o->set);
  add_number<int>(
      *command, "-n,--max-tokens", [o](int n) { o->generate.max_tokens = n; }, {.least = 1},
      "Tokens of an answer at most (default: what the context holds)");
  add_sampling(*command, o->given);
  o->state.add_to(*command, true);
  o->draft.add_to(*command);
  command->add_flag("--json", o->json, "Print one JSON object (docs/cli.md)");
  command->callback([o, command] { run(*o, *command); });
}

}  // namespace hearth::cli
