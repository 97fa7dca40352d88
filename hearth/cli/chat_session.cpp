#include "hearth/cli/chat_session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <utility>

#include "hearth/cli/draft_flags.h"
#include "hearth/cli/interrupt.h"
#include "hearth/cli/options.h"
#include "hearth/cli/sampling_flags.h"
#include "hearth/io/output_file.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::cli {

namespace {

constexpr const char *kDim = "\033[2m", *kPlain = "\033[0m", *kClearLine = "\r\033[2K";

// The end of a text that fits in so many columns, on one line; a character counts as one.
std::string tail(std::string_view text, size_t columns) {
  std::string line;
  for (char c : text) line += c == '\n' || c == '\t' || c == '\r' ? ' ' : c;
  size_t begin = line.size();
  for (size_t n = 0; begin > 0 && n < columns; ++n) {
    --begin;
    while (begin > 0 && (line[begin] & 0xC0) == 0x80) --begin;
  }
  return line.substr(begin);
}

}  // namespace

std::string harmless(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const auto step = llm::utf8_step(text.substr(at));
    const bool control = (step.code < 32 && step.code != U'\n' && step.code != U'\t') ||
                         (step.code >= 127 && step.code < 160);
    if (step.kind != llm::Utf8Step::Kind::character || control)
      out += llm::kReplacement;
    else
      out += text.substr(at, size_t(step.length));
    at += size_t(step.length);
  }
  return out;
}

struct ChatSession::Command {
  const char *names, *argument, *meaning;
  void (ChatSession::*run)(const std::string&);
};

const std::vector<ChatSession::Command>& ChatSession::commands() {
  static const std::vector<Command> all = {
      {"/help", "", "this list", &ChatSession::help},
      {"/system", "TEXT", "what the model is told before all else; without a text: show it",
       &ChatSession::system},
      {"/retry", "", "another answer to the last message", &ChatSession::retry},
      {"/undo", "", "take back the last message and its answer", &ChatSession::undo},
      {"/clear", "", "begin anew; the system's message stays", &ChatSession::clear},
      {"/save", "FILE", "write the conversation, as `hearth render --messages` reads it",
       &ChatSession::save},
      {"/load", "FILE", "go on with a conversation", &ChatSession::load},
      {"/think", "", "show what the model thought before its last answer", &ChatSession::think},
      {"/stats", "", "speed, context, sampling", &ChatSession::stats},
      {"/set", "NAME VALUE", "an option: temp, top-p, max-tokens, ...; without a name: show them",
       &ChatSession::set},
      {"/bye /exit /quit", "", "leave, as Ctrl-D does", &ChatSession::leave},
  };
  return all;
}

ChatSession::ChatSession(llm::Chat& chat, llm::LanguageModel& model, llm::GenerateOptions options,
                         bool terminal)
    : chat_(chat), model_(model), options_(std::move(options)), terminal_(terminal) {}

// What the program says itself goes to stderr, dim where there are colours.
void ChatSession::note(const std::string& text) const {
  print_err(terminal_ ? concat(kDim, text, kPlain, "\n") : text + "\n");
}

bool ChatSession::take(const std::string& text) {
  const std::string line = trimmed(text);
  if (line.empty()) return true;
  try {
    line[0] == '/' && line.find('\n') == line.npos ? command(line) : ask(text);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {  // a file, a template, a value: the conversation goes on
    note(harmless(error.what()));
  }
  return !leaving_;
}

void ChatSession::command(const std::string& line) {
  const size_t space = std::min(line.find(' '), line.size());
  const std::string word = line.substr(0, space), rest = trimmed(line.substr(space));
  for (const Command& c : commands()) {
    std::istringstream names(c.names);
    for (std::string name; names >> name;)
      if (name == word) return (this->*c.run)(rest);
  }
  note(fmt::format("there is no command {}; /help lists them", harmless(word)));
}

void ChatSession::help(const std::string&) {
  for (const Command& c : commands())
    note(fmt::format("  {:<20}{}", concat(c.names, *c.argument ? " " : "", c.argument), c.meaning));
  note(
      "A line that ends with \\ goes on in the next; so does Alt-Enter, and what stands between\n"
      "lines of \"\"\". Ctrl-C stops an answer. Ctrl-R searches what was typed before.");
}

void ChatSession::system(const std::string& text) {
  const auto& messages = chat_.messages;
  const bool has = !messages.empty() && messages[0].role == "system";
  if (text.empty()) return note(has ? harmless(messages[0].content) : "there is no system message");
  chat_.set_system(text);
  note("it holds from the next answer on");
}

void ChatSession::ask(const std::string& text) {
  const auto before = chat_.messages;
  chat_.messages.push_back({"user", text});
  try {
    respond();
  } catch (...) {
    chat_.messages = before;
    throw;
  }
}

void ChatSession::retry(const std::string&) {
  const auto before = chat_.messages;
  if (before.empty() || before.back().role != "assistant")
    return note("there is no answer to try again");
  chat_.messages.pop_back();
  ++options_.sampling.seed;  // another draw
  try {
    respond();
  } catch (...) {
    chat_.messages = before;
    throw;
  }
}

void ChatSession::undo(const std::string&) {
  auto& messages = chat_.messages;
  const auto last = std::find_if(messages.rbegin(), messages.rend(),
                                 [](const auto& m) { return m.role == "user"; });
  if (last == messages.rend()) return note("there is nothing to take back");
  note(fmt::format("taken back: {}", tail(harmless(last->content), 60)));
  messages.erase(std::prev(last.base()), messages.end());
}

void ChatSession::clear(const std::string&) {
  auto& messages = chat_.messages;
  const bool system = !messages.empty() && messages[0].role == "system";
  messages.erase(messages.begin() + (system ? 1 : 0), messages.end());
  chat_.dropped = 0;
  last_.reset();
  note("a new conversation");
}

void ChatSession::save(const std::string& file) {
  if (file.empty()) return note("/save FILE");
  OutputFile out(file);
  out.write(llm::to_json(chat_.messages) + "\n");
  out.commit();
  note(fmt::format("{} messages in {}", chat_.messages.size(), file));
}

void ChatSession::load(const std::string& file) {
  if (file.empty()) return note("/load FILE");
  ensure(std::filesystem::is_regular_file(file), file, ": there is no such file");
  chat_.messages = llm::messages_from_json(read_text(file), file);
  chat_.dropped = 0;
  last_.reset();
  note(fmt::format("{} messages from {}", chat_.messages.size(), file));
}

void ChatSession::think(const std::string&) {
  note(thought_.empty() ? "the last answer came without reasoning" : harmless(thought_));
}

void ChatSession::stats(const std::string&) {
  if (last_) {
    const auto& g = last_->generated;
    note(
        fmt::format("last answer: {} tokens at {:.1f} tokens/s; prompt: {} tokens, {} of them "
                    "read before, the others at {:.1f} tokens/s; first token after {:.2f} s",
                    g.ids.size(), g.decode_tokens_per_s(), g.prompt_tokens, g.reused_tokens,
                    g.prefill_tokens_per_s(), g.time_to_first_token_s));
    if (options_.draft.any()) note(drafts_text(g.drafts));
  }
  const std::string unseen =
      chat_.dropped ? fmt::format(", the {} oldest are no longer seen by the model", chat_.dropped)
                    : "";
  note(fmt::format("context: {} of {} tokens; {} messages{}", last_ ? last_->context_used : 0,
                   model_.facts.context_length, chat_.messages.size(), unseen));
  note(fmt::format("sampling: {}", sampling_text(options_.sampling)));
}

void ChatSession::set(const std::string& text) {
  const size_t space = std::min(text.find(' '), text.size());
  const std::string name = text.substr(0, space), value = trimmed(text.substr(space));
  if (name.empty()) {
    const auto all = sampling_json(options_.sampling);
    for (const auto& [key, now] : all.items()) note(fmt::format("  {:<20}{}", key, now.dump()));
    const int most = std::min(options_.max_tokens, model_.facts.context_length);
    return note(fmt::format("  {:<20}{}", "max_tokens", most));
  }
  if (value.empty()) return note("/set NAME VALUE");
  if (name == "max-tokens" || name == "max_tokens") {
    const auto number = parse_number<int>(value);
    check(number && *number >= 1, "max-tokens: '", value, "', wanted a whole number, 1 or more");
    options_.max_tokens = *number;
  } else if (!set_sampling(options_.sampling, name, value)) {
    return note(fmt::format("there is no option {}; /set lists them", harmless(name)));
  }
  note(fmt::format("{} is {}", name, value));
}

// The latest of it, on one line that is written again and again.
void ChatSession::show_reasoning(std::string_view text) {
  thought_ += text;
  if (!terminal_) return;
  const std::string head = "thinking: ";
  const size_t columns = size_t(std::max(width(STDOUT_FILENO) - int(head.size()) - 1, 10));
  const std::string_view end =
      std::string_view(thought_).substr(thought_.size() - std::min(thought_.size(), 8 * columns));
  print_out(concat(kClearLine, kDim, head, tail(harmless(end), columns), kPlain));
}

void ChatSession::fold_reasoning() {
  if (terminal_)
    print_out(concat(kClearLine, kDim, "thought for ", thought_tokens_, " tokens; /think shows it",
                     kPlain, "\n"));
}

llm::Chat::Answer ChatSession::answer(bool shown) {
  thought_.clear();
  thought_tokens_ = 0;
  bool folded = true;
  const CatchInterrupt ctrl_c;
  const auto sink = [&](bool reasoning, std::string_view text) {
    if (text.empty()) {
      thought_tokens_ += reasoning;
    } else if (reasoning) {
      folded = false;
      show_reasoning(text);
    } else {
      if (!std::exchange(folded, true)) fold_reasoning();
      if (shown) print_out(terminal_ ? harmless(text) : std::string(text));
    }
    return !CatchInterrupt::flag() && (unread_too || !output_failed());
  };
  options_.stop_ids = chat_.stop_ids();
  auto answer = chat_.answer(options_, sink);
  if (!folded) fold_reasoning();
  if (CatchInterrupt::flag()) answer.generated.stopped_by = "interrupt";
  return answer;
}

void ChatSession::respond() {
  const size_t dropped = chat_.dropped;
  last_ = answer(true);
  if (!last_->message.content.ends_with('\n')) print_out("\n");
  const auto& g = last_->generated;
  if (last_->dropped > dropped)
    note(
        fmt::format("the context of {} tokens is full: the model no longer sees the {} oldest "
                    "messages",
                    model_.facts.context_length, last_->dropped));
  if (g.stopped_by == "interrupt") note("stopped");
  if (g.stopped_by == "length")
    note(int(g.ids.size()) < options_.max_tokens
             ? "cut off: the context is full; /clear begins anew"
             : fmt::format("cut off after {} tokens; /set max-tokens N", options_.max_tokens));
  if (terminal_)
    note(fmt::format("[{} of {} tokens of context, {:.1f} tokens/s]", last_->context_used,
                     model_.facts.context_length, g.decode_tokens_per_s()));
}

}  // namespace hearth::cli
