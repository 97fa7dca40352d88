#include "hearth/llm/chat.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/io/json.h"
#include "hearth/llm/reasoning.h"

namespace hearth::llm {

using nlohmann::ordered_json;

std::string to_json(const std::vector<ChatMessage>& messages) {
  ordered_json all = ordered_json::array();
  for (const ChatMessage& m : messages) {
    ordered_json one = {{"role", m.role}, {"content", m.content}};
    if (!m.reasoning.empty()) one["reasoning_content"] = m.reasoning;
    if (!m.others.empty()) one.update(ordered_json::parse(m.others));
    all.push_back(std::move(one));
  }
  return all.dump(2, ' ', false, ordered_json::error_handler_t::replace);
}

// The texts among the parts of a content, one after the other.
static std::string text_of_parts(const nlohmann::json& parts) {
  std::string text;
  for (const auto& part : parts)
    if (part.is_object() && part.contains("text") && part["text"].is_string())
      text += part["text"].get<std::string>();
  return text;
}

std::vector<ChatMessage> messages_from_json(std::string_view text, std::string_view name) {
  nlohmann::json all = parse_json(text, name);
  ensure(all.is_array(), name, ": wanted a list of messages");
  std::vector<ChatMessage> messages;
  for (size_t i = 0; i < all.size(); ++i) {
    nlohmann::json& one = all[i];
    const auto take = [&](const char* key, bool must) -> std::string {
      const bool there = one.is_object() && one.contains(key) && one[key].is_string();
      ensure(there || !must, name, ": message ", i, ": wanted a text under \"", key, "\"");
      if (!there) return "";
      const std::string value = one[key];
      one.erase(key);
      return value;
    };
    ChatMessage& message = messages.emplace_back(ChatMessage{take("role", true), ""});
    const bool parts = one.contains("content") && one["content"].is_array();
    const bool calls =
        one.contains("tool_calls") && (!one.contains("content") || one["content"].is_null());
    message.content = parts ? text_of_parts(one["content"]) : take("content", !calls);
    message.reasoning = take("reasoning_content", false);
    if (!one.empty()) message.others = one.dump();
  }
  return messages;
}

Chat::Chat(LanguageModel& model, Tokenizer tokenizer, std::optional<ChatTemplate> form)
    : model_(model), tokenizer_(std::move(tokenizer)), form_(std::move(form)) {}

void Chat::set_system(const std::string& text) {
  if (messages.empty() || messages[0].role != "system")
    messages.insert(messages.begin(), {"system", text});
  else
    messages[0] = {"system", text};
}

std::vector<int> Chat::stop_ids() const {
  std::vector<int> ids = model_.facts.eos;
  if (const auto eos = tokenizer_.eos_id()) ids.push_back(*eos);
  return ids;
}

Chat::Prompt Chat::whole_prompt(const std::vector<ChatMessage>& some) const {
  Prompt prompt;
  if (form_) {
    Conversation c;
    c.messages = to_json(some);
    c.variables = variables;
    const Rendered rendered = form_->render(c);
    prompt.ids = ids_of(tokenizer_, rendered);
    prompt.end = rendered.text();
    constexpr size_t kMost = 64;  // longer than any marker
    if (prompt.end.size() > kMost) prompt.end.erase(0, prompt.end.size() - kMost);
  } else {
    std::string text;
    for (const ChatMessage& m : some) {
      if (!text.empty() && text.back() != '\n' && text.back() != ' ') text += '\n';
      text += m.content;
    }
    const Tokenizer::Piece piece{text, false};
    prompt.ids = tokenizer_.encode({&piece, 1});
  }
  if (prompt.ids.empty() && !model_.facts.bos.empty()) prompt.ids.push_back(model_.facts.bos[0]);
  return prompt;
}

Chat::Prompt Chat::prompt(int answer) const {
  const int context = model_.facts.context_length;
  // A quarter of the context at least is for the prompt.
  const int room = context - std::min(answer, context - context / 4);
  Prompt prompt = whole_prompt(messages);
  std::vector<ChatMessage> kept = messages;
  while (int(prompt.ids.size()) > (prompt.dropped > dropped ? room / 2 : room)) {
    // The oldest turn goes: up to the next message of the user, never the last one.
    const auto first = std::find_if(kept.begin(), kept.end(),
                                    [](const ChatMessage& m) { return m.role != "system"; });
    const auto next =
        first == kept.end() ? first : std::find_if(first + 1, kept.end(), [](const ChatMessage& m) {
          return m.role == "user";
        });
    if (next == kept.end() && prompt.dropped < dropped) {  // not as long a conversation as before
      prompt.ids = whole_prompt(kept).ids;
      if (int(prompt.ids.size()) <= room) break;
    }
    if (next == kept.end()) {
      // Nothing to drop: the answer has what is left.
      ensure(int(prompt.ids.size()) < context, "your message has ", prompt.ids.size(),
             " tokens with what stands around it, the model's context is ", context,
             "; shorten it");
      break;
    }
    const size_t gone = prompt.dropped + size_t(next - first);
    kept.erase(first, next);
    if (gone >= dropped) prompt = whole_prompt(kept);
    prompt.dropped = gone;
  }
  return prompt;
}

Chat::Answer Chat::answer(const GenerateOptions& options, const Sink& sink) {
  constexpr int kLeast = 256;  // tokens of an answer for which old messages are dropped
  const Prompt given = prompt(std::min(options.max_tokens, kLeast));
  Answer answer;
  dropped = answer.dropped = given.dropped;
  answer.message.role = "assistant";
  ReasoningSplitter splitter(given.end);
  bool go_on = true;
  const auto take = [&](const std::vector<ReasoningSplitter::Part>& parts) {
    for (const auto& part : parts) {
      (part.reasoning ? answer.message.reasoning : answer.message.content) += part.text;
      go_on = go_on && (!sink || sink(part.reasoning, part.text));
    }
  };
  const auto on_token = [&](int id, std::string_view text) {
    take(splitter.push(text));
    // Special tokens are no text; those that mark reasoning are needed.
    if (id >= 0 && tokenizer_.is_special(id))
      if (const auto token = tokenizer_.id_to_token(id); token && ReasoningSplitter::marks(*token))
        take(splitter.push(*token));
    return go_on && (!sink || sink(splitter.reasoning(), {}));
  };
  answer.generated =
      generate_after(held, deterministic, model_, given.ids, options, on_token, &tokenizer_);
  take(splitter.finish());
  answer.context_used = int(given.ids.size() + answer.generated.ids.size());
  messages.push_back(answer.message);
  return answer;
}

}  // namespace hearth::llm
