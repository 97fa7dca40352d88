// hearth render: messages as the text, or the ids, that a model is given.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>

#include "hearth/cli/commands.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/cli/variables.h"
#include "hearth/llm/chat_template.h"

namespace hearth::cli {

namespace {

struct Options : ModelOptions {
  std::string file, which, messages, tools, now;
  std::vector<std::string> set;
  bool no_generation_prompt = false, ids = false, special_in_messages = false;
};

// "2025-03-09T08:07:06", with its day of the week and of the year.
std::tm parse_time(const std::string& text) {
  std::tm time{};
  std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d", &time.tm_year, &time.tm_mon, &time.tm_mday,
              &time.tm_hour, &time.tm_min, &time.tm_sec);
  time.tm_year -= 1900;
  time.tm_mon -= 1;
  timegm(&time);  // fills in the days, and settles what is no date
  char written[32];
  std::strftime(written, sizeof written, "%Y-%m-%dT%H:%M:%S", &time);
  if (text != written)
    throw UsageError(fmt::format("--now: '{}' is no time; wanted e.g. 2025-03-09T08:07:06", text));
  return time;
}

llm::ChatTemplate template_of(const Options& o) {
  if (!o.file.empty()) return llm::ChatTemplate::parse(read_text(o.file), o.file);
  auto found = llm::ChatTemplate::load(o.files(), o.which, !o.tools.empty());
  ensure(found.has_value(), o.folder().string(),
         ": this model has no chat template; it continues text (hearth generate). --template FILE "
         "gives it one");
  return *found;
}

void run(const Options& o) {
  llm::Conversation c;
  c.messages_name = o.messages == "-" ? "standard input" : o.messages;
  c.tools_name = o.tools;
  c.add_generation_prompt = !o.no_generation_prompt;
  if (!o.now.empty()) c.now = parse_time(o.now);
  c.variables = parse_variables(o.set);
  const auto chat_template = template_of(o);
  c.messages = read_text(o.messages);
  if (!o.tools.empty()) c.tools = read_text(o.tools);
  const llm::Rendered rendered = chat_template.render(c);
  if (!o.ids) return print_out(rendered.text());
  const auto tokenizer = load_tokenizer(o);
  print_out(
      fmt::format("{}\n", fmt::join(ids_of(tokenizer, rendered, o.special_in_messages), " ")));
}

}  // namespace

void add_render(Command& app) {
  auto* command =
      app.add_subcommand("render", "Messages to the text that the model's chat template makes");
  auto o = std::make_shared<Options>();
  add_model(*command, o->model);
  auto* file =
      command->add_option("--template", o->file, "A Jinja template, in place of the model's")
          ->type_name("FILE");
  command
      ->add_option("--name", o->which,
                   "Which of the model's templates, where it has several (default: tool_use "
                   "with --tools, else default)")
      ->excludes(file)
      ->type_name("NAME");
  command
      ->add_option("--messages", o->messages,
                   "A list of messages as in OpenAI's API, a JSON file; - is standard input")
      ->required()
      ->type_name("FILE");
  command->add_option("--tools", o->tools, "A list of tools, a JSON file")->type_name("FILE");
  add_variables(*command, o->set);
  command->add_option("--now", o->now, "The time for templates that tell it (default: now)")
      ->type_name("TIME");
  command->add_flag("--no-generation-prompt", o->no_generation_prompt,
                    "End with the last message, not with the beginning of an answer");
  command->add_flag("--ids", o->ids, "Print the token ids instead");
  command->add_flag("--special-in-messages", o->special_in_messages,
                    "With --ids: text of messages may become special tokens, as transformers has "
                    "it; not for text of strangers");
  needs_one_of(*command, "--special-in-messages", {"--ids"});
  command->callback([o] { run(*o); });
}

}  // namespace hearth::cli
